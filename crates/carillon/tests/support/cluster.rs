//! An installation of many processes on real engines: two gateways, two routers, two farms and the simulated network. Knows
//! the command lines an operator types, and cleans up the engines after itself.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::Rng;

use super::part::{Part, Role, run};
use super::{Carillon, Demo, PATIENCE, client, read_demo, tail};

/// Replicas of each role.
const REPLICAS: usize = 2;
/// The farms: the demo's own, and one that has the modems left for others.
const FARMS: [&str; REPLICAS] = ["demo-farm", "cellar"];
/// The settings that are shown to operators.
const SETTINGS: &str = include_str!("../../cluster/cluster.toml");

/// Who drives the modems.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farms {
    /// Two farms of their own.
    Two,
    /// Nobody yet.
    None,
}

/// What stays the same while an installation is started again and again: names on the engines, and ports.
pub(crate) struct Plan {
    dir: PathBuf,
    lanes: String,
    state: String,
    gateways: Vec<Ports>,
    routers: Vec<Ports>,
    farms: Vec<Ports>,
    network: Ports,
    /// Ports that farms reach the routers by, if not their own.
    fronts: Vec<u16>,
}

#[derive(Clone, Copy)]
struct Ports {
    door: u16,
    ops: u16,
}

impl Plan {
    /// A plan with names and ports of its own, on the engines that the environment names.
    pub(crate) fn new(dir: &Path) -> Self {
        Plan::on(dir, &address("CARILLON_KAFKA"), &address("CARILLON_CQL"))
    }

    /// The same on these engines.
    pub(crate) fn on(dir: &Path, kafka: &str, cql: &str) -> Self {
        let name = format!("t{:016x}", rand::random::<u64>());
        let replicas = || (0..REPLICAS).map(|_| Ports { door: free_port(), ops: free_port() }).collect();
        Plan {
            dir: dir.to_owned(),
            lanes: format!("kafka://{kafka}/{name}"),
            state: format!("cql://{cql}/{name}"),
            gateways: replicas(),
            routers: replicas(),
            farms: replicas(),
            network: Ports { door: 0, ops: free_port() },
            fronts: Vec::new(),
        }
    }

    /// Where the routers listen for farms.
    pub(crate) fn router_doors(&self) -> Vec<u16> {
        self.routers.iter().map(|ports| ports.door).collect()
    }

    /// Lets farms reach the routers by these ports, one each, instead of their own.
    pub(crate) fn reach_routers_by(&mut self, fronts: Vec<u16>) {
        self.fronts = fronts;
    }

    /// A router beside the others, which does not run yet.
    pub(crate) fn another_router(&mut self, data: &Path) -> Part {
        let (n, config) = (self.routers.len(), self.dir.join("cluster.toml"));
        self.routers.push(Ports { door: free_port(), ops: free_port() });
        let name = router_name(n);
        let common = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
        run(&[&["issue-router", "--name", &name], &common[..]].concat(), &self.dir.join("issue.log"));
        self.router(n, data, &config)
    }

    /// The topic of a lane.
    pub(crate) fn topic(&self, lane: &model::Lane) -> String {
        let (_, prefix) = self.lanes.rsplit_once('/').unwrap();
        format!("{prefix}.{lane}")
    }

    /// Starts all processes and waits until each is ready.
    pub(crate) async fn start(&self, data: &Path, settings: &str, farms: Farms) -> Carillon {
        std::fs::create_dir_all(data).unwrap();
        let config = self.write_settings(settings);
        let client = client();
        // A network that was killed leaves links to terminals that may be another network's by now.
        let devices = data.join("sim/dev");
        if devices.exists() {
            std::fs::remove_dir_all(devices).unwrap();
        }
        let mut network = self.network(data, &config);
        let first = read_demo(data).is_none();
        network.start();
        let mut parts = Vec::new();
        if first {
            // Only the demo's first start makes the master key, and credentials to be read.
            network.ready(&client).await;
            self.issue(data, &config);
        }
        parts.extend((0..REPLICAS).map(|n| self.gateway(n, data, &config)));
        if farms == Farms::Two {
            parts.extend((0..REPLICAS).map(|n| self.farm(n, data)));
        }
        parts.extend((0..REPLICAS).map(|n| self.router(n, data, &config)));
        parts.iter_mut().for_each(Part::start);
        parts.push(network);
        all_ready(&mut parts, &client).await;
        let doors = self.gateways.iter().map(|ports| format!("http://127.0.0.1:{}", ports.door)).collect();
        let demo = read_demo(data).expect("the demo is ready");
        Carillon::of(data, demo, doors, parts)
    }

    /// The settings shown to operators, on this plan's names and ports, with others over them.
    fn write_settings(&self, settings: &str) -> PathBuf {
        let mut table: toml::Table = toml::from_str(SETTINGS).unwrap();
        let own = format!(
            "drain_seconds_max = 110\nstart_seconds_max = {}\n[lanes]\nurl = \"{}\"\n[state]\nurl = \"{}\"\n[gateway]\nlisten = \
             \"127.0.0.1:{}\"\n[sms_router.control]\nlisten = \"127.0.0.1:{}\"\n",
            PATIENCE.as_secs(),
            self.lanes,
            self.state,
            self.gateways[0].door,
            self.routers[0].door
        );
        for over in [&own, settings] {
            merge(&mut table, toml::from_str(over).unwrap());
        }
        let path = self.dir.join("cluster.toml");
        std::fs::write(&path, toml::to_string(&table).unwrap()).unwrap();
        path
    }

    /// What an operator does once, before the roles start.
    fn issue(&self, data: &Path, config: &Path) {
        let log = self.dir.join("issue.log");
        let common = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
        for n in 0..REPLICAS {
            run(&[&["issue-router", "--name", &router_name(n)], &common[..]].concat(), &log);
        }
        // The first router is enough: it tells of the others.
        let router = format!("127.0.0.1:{}", self.fronts.first().copied().unwrap_or(self.routers[0].door));
        for name in FARMS {
            let asked = ["issue-farm", "--name", name, "--demo-modems", "--router", &router];
            run(&[&asked, &common[..]].concat(), &log);
        }
    }

    fn network(&self, data: &Path, config: &Path) -> Part {
        self.part(Role::Network, 0, self.network, &["demo"], Some((data, config)))
    }

    fn gateway(&self, n: usize, data: &Path, config: &Path) -> Part {
        let (name, listen) = (format!("gateway-{}", n + 1), format!("127.0.0.1:{}", self.gateways[n].door));
        let asked = ["gateway", "--name", &name, "--listen", &listen];
        self.part(Role::Gateway, n, self.gateways[n], &asked, Some((data, config)))
    }

    fn router(&self, n: usize, data: &Path, config: &Path) -> Part {
        let listen = format!("127.0.0.1:{}", self.routers[n].door);
        let asked = ["sms-router", "--name", &router_name(n), "--listen", &listen];
        let mut part = self.part(Role::Router, n, self.routers[n], &asked, Some((data, config)));
        if let Some(front) = self.fronts.get(n) {
            part.environment.insert("CARILLON_SMS_ROUTER__CONTROL__ADVERTISE", format!("127.0.0.1:{front}"));
        }
        part
    }

    fn farm(&self, n: usize, data: &Path) -> Part {
        let settings = data.join("farms").join(FARMS[n]).join("modem-farm.toml");
        let asked = ["modem-farm", "--config", settings.to_str().unwrap()];
        self.part(Role::Farm, n, self.farms[n], &asked, None)
    }

    fn part(&self, role: Role, n: usize, ports: Ports, asked: &[&str], of: Option<(&Path, &Path)>) -> Part {
        let ops = format!("127.0.0.1:{}", ports.ops);
        let mut arguments: Vec<String> = asked.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(["--ops-listen".to_owned(), ops.clone()]);
        if let Some((data, config)) = of {
            let (data, config) = (data.to_str().unwrap().to_owned(), config.to_str().unwrap().to_owned());
            arguments.extend(["--data".to_owned(), data, "--config".to_owned(), config]);
        }
        let log = self.dir.join(format!("{role:?}-{n}.log").to_lowercase());
        let mut part = Part::new(role, n, arguments, log);
        part.ops = Some(format!("http://{ops}"));
        part
    }
}

/// Waits until all are ready. If some are not, they tell why, and then the logs of the others.
async fn all_ready(parts: &mut [Part], client: &reqwest::Client) {
    let begun = Instant::now();
    loop {
        let (mut missing, mut ended) = (Vec::new(), false);
        for (n, part) in parts.iter_mut().enumerate() {
            if part.has_ended() {
                missing.push((n, "it ended".to_owned()));
                ended = true;
            } else if let Some(reason) = part.unready(client).await {
                missing.push((n, reason));
            }
        }
        if missing.is_empty() {
            return;
        }
        if ended || begun.elapsed() > PATIENCE {
            panic!("not ready after {:?}\n{}", begun.elapsed(), logs(parts, &missing));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The logs of all, first of those that are not ready.
fn logs(parts: &[Part], missing: &[(usize, String)]) -> String {
    let unready = missing.iter().map(|(n, reason)| (&parts[*n], reason.as_str()));
    let others = parts.iter().enumerate().filter(|(n, _)| missing.iter().all(|(one, _)| one != n));
    let told = unready.chain(others.map(|(_, part)| (part, "ready")));
    told.map(|(part, reason)| format!("--- {part:?}: {reason}\n{}\n", tail(&part.log))).collect()
}

impl Drop for Plan {
    /// Takes topics and keyspace away, also when the test failed.
    fn drop(&mut self) {
        let (lanes, state) = (self.lanes.clone(), self.state.clone());
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(PATIENCE, clean_up(&lanes, &state)).await })
        });
        if !matches!(cleaned.join(), Ok(Ok(()))) {
            eprintln!("`{}` and `{}` could not be taken away", self.lanes, self.state);
        }
    }
}

async fn clean_up(lanes: &str, state: &str) {
    let (hosts, prefix) = lanes.trim_start_matches("kafka://").split_once('/').unwrap();
    let hosts = hosts.split(',').map(str::to_owned).collect();
    let bus = bus::KafkaBus::open(bus::kafka::Options::new(hosts, prefix, "cleaner")).await.unwrap();
    bus.delete_topics().await.unwrap();
    let (hosts, keyspace) = state.trim_start_matches("cql://").split_once('/').unwrap();
    let contact_points = hosts.split(',').map(str::to_owned).collect();
    let options = store::cql::Options { contact_points, keyspace: keyspace.to_owned(), ..Default::default() };
    store::CqlStore::open(options).await.unwrap().drop_keyspace().await.unwrap();
}

fn router_name(n: usize) -> String {
    format!("router-{}", n + 1)
}

/// Where the engines are.
fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("`{variable}` is not set: start the engines with `cargo xtask engines up`, then `eval \"$(cargo xtask engines env)\"`")
    })
}

/// A port nobody has, below those that systems give to outgoing connections: it stays free while its process is away. Given
/// once in a test's process: the next who asks may do so before the first listens.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut chance = rand::rng();
    loop {
        let port = chance.random_range(10_000..20_000);
        let is_new = GIVEN.lock().expect("nobody panics here").insert(port);
        if is_new && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn merge(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
