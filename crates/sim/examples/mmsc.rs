//! Runs a simulated relay (MMSC) by itself. It prints where it listens, then what it took and reported, once a second while that
//! changes. `cargo run -p sim --example mmsc -- [CONFIG.json]`

use std::time::Duration;
use std::{env, fs};

use sim::{Mmsc, MmscConfig};
use tokio_util::sync::CancellationToken;

/// How often it says what it did.
const TELL: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config: MmscConfig = match env::args().nth(1) {
        Some(path) => serde_json::from_str(&fs::read_to_string(path)?)?,
        None => MmscConfig::default(),
    };
    let relay = Mmsc::start(config, CancellationToken::new()).await?;
    println!("listening on {}", relay.address());
    let (mut every, mut told) = (tokio::time::interval(TELL), (0, 0));
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            _ = every.tick() => {}
        }
        let (taken, (reported, _)) = (relay.taken(), relay.reports());
        if (taken.len(), reported) != told {
            let last = taken.last().map(|one| format!("{:?}", one.message.parts)).unwrap_or_default();
            println!("{} messages, {reported} reports; the last had {last}", taken.len());
            told = (taken.len(), reported);
        }
    }
}
