//! Runs a simulated service centre by itself, for SMPP programs of other makers and for load. It prints where it listens, then
//! what it did, as a line of JSON, once a second while that changes, and at its end.
//! `cargo run --release -p sim --example smsc -- [ADDRESS [CONFIG.json]]`

use std::time::Duration;
use std::{env, fs};

use sim::{Smsc, SmscConfig, SmscCounts};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often it says what it did.
const TELL: Duration = Duration::from_secs(1);

/// One thread: the centre is meant to leave the processors to what is measured.
#[tokio::main(flavor = "current_thread")]
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
    let (stop, mut terminated) = (CancellationToken::new(), signal(SignalKind::terminate())?);
    let smsc = Smsc::start(config, None, stop.clone()).await?;
    println!("listening on {}", smsc.address());
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
        told = tell(&smsc) => told?,
    }
    stop.cancel();
    smsc.stopped().await;
    println!("{}", serde_json::to_string(&smsc.counts())?);
    Ok(())
}

async fn tell(smsc: &Smsc) -> Result<(), serde_json::Error> {
    let (mut every, mut told) = (tokio::time::interval(TELL), SmscCounts::default());
    loop {
        every.tick().await;
        let counts = smsc.counts();
        if counts != told {
            println!("{}", serde_json::to_string(&counts)?);
            told = counts;
        }
    }
}
