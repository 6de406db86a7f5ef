//! What a start tells the person at the terminal. Knows words, shows secrets once.

use crate::demo::{Demo, Fresh};

/// Prints where everything is, and at the first start the credentials.
pub(crate) fn started(demo: &Demo, fresh: Fresh, data: &std::path::Path) {
    println!("carillon {} is up", env!("CARGO_PKG_VERSION"));
    println!("  REST     {}/v1/messages", demo.rest);
    println!("  OMS      {}   (description: {}?WSDL)", demo.oms, demo.oms);
    println!("  health   {}/readyz   metrics: {}/metrics", demo.ops, demo.ops);
    println!("  farms    attach to {} (mTLS; `carillon issue-farm --help`)", demo.control);
    match fresh {
        Fresh::Yes => credentials(demo, data),
        Fresh::No => println!("  demo     credentials and addresses in {}", data.join("demo.json").display()),
    }
}

/// Prints what `carillon demo` made, and at its first start the credentials.
pub(crate) fn seeded(demo: &Demo, fresh: Fresh, data: &std::path::Path) {
    println!(
        "the demo is in the engines, and its {} simulated modems run until this process is stopped",
        demo.modems.len()
    );
    println!("  devices  {}", data.join("sim").join("dev").display());
    println!("  health   {}/readyz", demo.ops);
    match fresh {
        Fresh::Yes => credentials(demo, data),
        Fresh::No => println!("  demo     credentials and addresses in {}", data.join("demo.json").display()),
    }
}

fn credentials(demo: &Demo, data: &std::path::Path) {
    println!("  demo tenant, shown this once (also in {}):", data.join("demo.json").display());
    println!("    API key   {}", demo.api_key);
    println!("    OMS user  {}   password  {}", demo.user_id, demo.password);
    println!("    numbers   {}", demo.numbers.join("  "));
}
