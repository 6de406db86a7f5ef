//! What the phones of the simulated network say, from a file that grows. Knows the file's lines, no modem.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sim::Network;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
const REST: Duration = Duration::from_millis(100);
/// Bytes of the file one look takes in.
const BYTES_MAX: usize = 1 << 20;

/// A line: a text from a phone to the SIM of a modem.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    link: String,
    from: String,
    text: String,
}

/// Lets what is appended to `phones.jsonl` in the network's folder into the network, until it is stopped.
pub(crate) async fn follow(network: Arc<Network>, folder: PathBuf, stop: CancellationToken) {
    let path = folder.join("phones.jsonl");
    let mut at = read(&path).await.len();
    while !stop.is_cancelled() {
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(REST) => {} }
        let text = read(&path).await;
        let fresh = text.get(at..).unwrap_or_default();
        let whole = fresh.rfind('\n').map_or(0, |end| end + 1);
        for line in fresh[..whole].lines() {
            say(&network, line).await;
        }
        at = at.min(text.len()) + whole;
    }
}

async fn say(network: &Network, line: &str) {
    let said = match serde_json::from_str::<Said>(line) {
        Ok(said) => said,
        Err(error) => return tracing::warn!(%error, "a line of `phones.jsonl` can't be read"),
    };
    if let Err(error) = network.inject(&said.link, &said.from, &said.text).await {
        tracing::warn!(%error, "a line of `phones.jsonl` can't be said");
    }
}

/// Only the first mebibyte: it is a toy.
async fn read(path: &Path) -> String {
    let mut bytes = tokio::fs::read(path).await.unwrap_or_default();
    bytes.truncate(BYTES_MAX);
    String::from_utf8(bytes).unwrap_or_default()
}
