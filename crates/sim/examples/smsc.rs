//! Runs a simulated service centre by itself, for SMPP programs of other makers and for load: prints where it listens, and at
//! its end what it took. `cargo run -p sim --example smsc -- [ADDRESS [CONFIG.json]]`

use std::{env, fs};

use sim::{Smsc, SmscConfig};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next();
    let mut config: SmscConfig = match arguments.next() {
        Some(path) => serde_json::from_str(&fs::read_to_string(path)?)?,
        None => SmscConfig::default(),
    };
    if let Some(address) = address {
        config.listen = address.parse()?;
    }
    let stop = CancellationToken::new();
    let smsc = Smsc::start(config, None, stop.clone()).await?;
    println!("listening on {}", smsc.address());
    tokio::signal::ctrl_c().await?;
    println!("took {} messages, owes {}", smsc.taken(), smsc.owed());
    stop.cancel();
    smsc.stopped().await;
    Ok(())
}
