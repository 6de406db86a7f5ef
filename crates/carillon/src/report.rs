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
        Fresh::Yes => {
            println!("  demo tenant, shown this once (also in {}):", data.join("demo.json").display());
            println!("    API key   {}", demo.api_key);
            println!("    OMS user  {}   password  {}", demo.user_id, demo.password);
            println!("    numbers   {}", demo.numbers.join("  "));
        }
        Fresh::No => println!("  demo     credentials and addresses in {}", data.join("demo.json").display()),
    }
}
