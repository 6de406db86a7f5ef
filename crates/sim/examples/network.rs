//! Runs a simulated network by itself, for modem programs of other makers: prints the paths of its ports, and what the
//! network takes. `cargo run -p sim --example network -- DIR [MODEMS [FAULTS.json]]`

use std::{env, fs, path::PathBuf};

use sim::{FaultPlan, ModemConfig, Network, NetworkConfig};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("a folder is needed")?);
    let modems: u32 = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let faults = match arguments.next() {
        Some(path) => serde_json::from_str(&fs::read_to_string(path)?)?,
        None => FaultPlan::default(),
    };
    let config = NetworkConfig { sim_log: dir.join("sim.log"), dir, ..NetworkConfig::default() };
    let modem = |number| ModemConfig {
        link: format!("modem-{number}"),
        imsi: format!("26201{number:010}"),
        imei: format!("49015420{number:07}"),
        faults: faults.clone(),
        ..ModemConfig::default()
    };
    let stop = CancellationToken::new();
    let network = Network::start(config, (0..modems).map(modem).collect(), stop.clone()).await?;
    for (link, path) in network.ports() {
        println!("{link} {}", path.display());
    }
    println!("type `LINK SENDER TEXT` to let a message in, end with Ctrl-D or Ctrl-C");
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(line) = line else { break };
        match line.splitn(3, ' ').collect::<Vec<_>>().as_slice() {
            [link, from, text] => network.inject(link, from, text).await?,
            _ => println!("`LINK SENDER TEXT` is wanted"),
        }
    }
    stop.cancel();
    network.stopped().await;
    Ok(())
}
