//! A real gateway on embedded engines, loaded with a profile, and asked over HTTP. Knows engines and HTTP; no expectation.

use bus::{AnyBus, Bus, EmbeddedBus};
use gateway::{Config, Deps, Listeners};
use model::keyring::MasterKey;
use model::{Lane, Timestamp};
use runtime::{Health, Registry, Stop};
use serde_json::Value;
use store::{AnyStore, EmbeddedStore, Store};
use tokio::net::TcpListener;

use crate::profile;

/// A running service.
pub(crate) struct Server {
    address: std::net::SocketAddr,
    registry: Registry,
    client: reqwest::Client,
    bus: AnyBus,
    stop: Stop,
    _folder: tempfile::TempDir,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Server {
    /// Loads a profile: everything starts from zero.
    pub(crate) async fn start(profile: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("carillon.db");
        let database = embedded::Database::open(&database, &embedded::Options::default()).expect("a database");
        let bus = EmbeddedBus::open(database.clone(), lanes(profile)).await.expect("lanes");
        let (bus, store) =
            (AnyBus::Embedded(bus), AnyStore::Embedded(EmbeddedStore::open(database).await.expect("state")));
        let master = MasterKey::new([7; 32]);
        store.put_data_key(master.mint(&profile::tenant_id(), Timestamp(0), [9; 32])).await.expect("writable");
        profile::put(&store, profile, gateway::clock::now()).await;
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = public.local_addr().expect("an address");
        let (registry, stop) = (Registry::new(), Stop::new(5));
        let deps = Deps { bus: bus.clone(), store, master, registry: registry.clone(), health: Health::new() };
        let running = gateway::run(Config::default(), deps, Listeners { public, events: None }, stop.clone());
        tokio::spawn(async move { running.await.expect("the gateway starts") });
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Server { address, registry, client, bus, stop, _folder: folder }
    }

    /// Posts a body to the canonical path.
    pub(crate) async fn post(&self, headers: &Value, body: Vec<u8>) -> Reply {
        let mut request = self.client.post(format!("http://{}/oms/service.asmx", self.address)).body(body);
        for (name, value) in headers.as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().expect("a header's text"));
        }
        let response = request.send().await.expect("an answer");
        let content_type = response.headers().get("content-type");
        Reply {
            status: response.status().as_u16(),
            content_type: content_type.map_or("", |value| value.to_str().expect("text")).to_owned(),
            body: response.text().await.expect("a whole answer"),
        }
    }

    /// What has happened so far: records in lane `accepted`, and logins.
    pub(crate) async fn counts(&self) -> (i64, u64) {
        let partitions = self.bus.create(&Lane::Accepted).await.expect("the lane").partitions;
        let mut records = 0;
        for partition in 0..partitions {
            let held = self.bus.bounds(&Lane::Accepted, partition).await.expect("readable");
            records += held.next - held.first;
        }
        // A gateway that is still starting has no metrics, and has counted nothing.
        let metrics = self.registry.text();
        let logins = metrics.lines().find_map(|line| line.strip_prefix("carillon_gateway_password_checks_total "));
        (records, logins.map_or(0, |count| count.parse().expect("a count")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

/// Lanes that can't be written are lanes without room.
fn lanes(profile: &Value) -> bus::Options {
    let mut options = bus::Options::default();
    match profile.get("lanes").and_then(Value::as_str) {
        None => {}
        Some("unavailable") => options.lane_entries_max = 0,
        Some(other) => panic!("`{other}` is no state of the lanes"),
    }
    options
}
