//! The accounts and devices events are about. Knows their names and how they are registered, not what happens to them.

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{ChangesOptions, client};
use crate::client::{Client, Endpoint};
use crate::progress::Progress;

/// Numbers there are for them, one each.
pub(super) const DEVICES_MAX: u32 = 1_000_000;
/// What every device has, by its canonical name and its own.
pub(super) const RESOURCES: [(&str, &str); 3] =
    [("contacts", "./contacts"), ("calendar", "./calendar"), ("notes", "./notes")];
const MODEL: &str = "loadtest";

pub(super) fn account(device: u32) -> String {
    format!("user-{device}@load.example")
}

/// Registers the model and the accounts, each with its device; what is there already is made what it is to be.
pub(super) async fn register(rest: &Endpoint, api_key: &str, options: &ChangesOptions) -> anyhow::Result<()> {
    let names = RESOURCES.map(|(resource, name)| (resource.to_owned(), json!({ "name": name })));
    let resources: serde_json::Map<String, Value> = names.into_iter().collect();
    let model = json!({ "push": true, "ota": false, "san": "ds-1.2", "resources": resources });
    put(rest, &mut client(rest), api_key, &format!("/v1/models/{MODEL}"), &model).await?;
    let progress = Progress::new(u64::from(options.devices));
    let step = u32::try_from(options.connections).context("too many connections")?;
    let part = async |first: u32| {
        let mut client = client(rest);
        for device in (first..options.devices).step_by(step as usize) {
            let path = format!("/v1/accounts/{}/config", account(device));
            put(rest, &mut client, api_key, &path, &document(device)).await?;
            progress.accepted();
        }
        anyhow::Ok(())
    };
    try_join_all((0..step).map(part)).await.map(drop)
}

fn document(device: u32) -> Value {
    json!({
        "server_id": "load",
        "sync_url": "https://sync.load.example/syncml/",
        "devices": [{ "id": format!("load-{device}"), "model": MODEL, "number": format!("+447400{device:06}") }],
    })
}

async fn put(rest: &Endpoint, client: &mut Client, api_key: &str, path: &str, body: &Value) -> anyhow::Result<()> {
    let head = rest.call("PUT", path).header("authorization", &format!("Bearer {api_key}"));
    let call = head.header("content-type", "application/json").body(body.to_string().as_bytes());
    let answer = client.ask(&call).await?;
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status.is_success(), "`PUT {path}` was answered {}: {said}", answer.status);
    Ok(())
}
