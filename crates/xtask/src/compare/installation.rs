//! The same installation on each engine: the demo's tenant and prices, a simulated network or service centre in a process of its own, and
//! one process of each role, or one of all.
//!
//! Knows command lines and settings as an operator does; must not know what is measured.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::centre::{ACCOUNTS, Centre};
use super::part::Part;
use crate::process;

/// The farm that the demo's start enters.
const FARM: &str = "demo-farm";
/// The farm of the cluster; the demo's own is never attached there.
const FARM_APART: &str = "farm-1";
const ROUTES: [&str; 2] = ["blue-modems", "green-modems"];
/// Gives up on a backlog that does not shrink for so long.
const STILL_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Engines on servers, as settings name them.
pub(crate) struct Servers {
    pub(crate) kafka: String,
    pub(crate) cql: String,
    pub(crate) replication: u8,
}

/// An installation that accepts; it delivers from [`Installation::deliver`] on.
pub(crate) struct Installation {
    folder: PathBuf,
    carillon: PathBuf,
    servers: Option<Servers>,
    ports: Ports,
    way: Way,
    /// Of the demo.
    tenants: u32,
    roles: Vec<Part>,
}

/// What messages go out through, in a process of its own.
pub(crate) enum Way {
    /// Simulated modems on a simulated network.
    Modems(Modems),
    /// A simulated service centre.
    Smpp(Centre),
}

/// Simulated modems, half of them a route.
pub(crate) struct Modems {
    network: Part,
    folder: PathBuf,
    count: u32,
}

/// Free ports, each for one door.
struct Ports {
    public: u16,
    control: u16,
    /// Health of the gateway, or of all roles; of the router; of the farm; of the demo's start.
    ops: [u16; 4],
}

/// What the ledger says.
#[derive(Deserialize)]
pub(crate) struct Ledger {
    accepted: u64,
    #[serde(rename = "final")]
    settled: u64,
    pending: u64,
    difference: i64,
}

#[derive(Deserialize)]
struct Demo {
    api_key: String,
}

impl Installation {
    /// Begins one in an empty folder, without anybody who drives the links.
    pub(crate) fn begin(
        folder: PathBuf,
        target: &Path,
        way: Way,
        servers: Option<Servers>,
        tenants: u32,
    ) -> anyhow::Result<Self> {
        let (carillon, ports) = (target.join("release/carillon"), Ports::choose()?);
        let mut installation = Self { folder, carillon, servers, ports, way, tenants, roles: Vec::new() };
        installation.seed()?;
        installation.start_roles()?;
        Ok(installation)
    }

    /// Has the links driven from here on, and waits until what waited for them is delivered.
    pub(crate) fn deliver(&mut self) -> anyhow::Result<()> {
        if self.servers.is_some() {
            let settings = self.folder.join("data/farms").join(FARM_APART).join("modem-farm.toml");
            let text = fs::read_to_string(&settings).context("the farm's settings")?;
            let mut table: toml::Table = toml::from_str(&text).context("the farm's settings")?;
            let links: toml::Table = toml::from_str(&self.way.links("")).context("the links")?;
            table.extend(links);
            fs::write(&settings, toml::to_string(&table)?).context("the farm's settings")?;
            let arguments = ["modem-farm".into(), "--config".into(), shown(&settings)];
            self.start("farm", &arguments, self.ports.ops[2])?;
        } else {
            for role in self.roles.drain(..) {
                role.stop()?;
            }
            self.start_whole(&self.way.links("modem_farm."))?;
        }
        self.wait_settled()
    }

    /// The processes of ours, by what the report calls them.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.roles.iter().map(|part| (part.name, part.pid()))
    }

    /// The simulated network's process.
    pub(crate) fn network(&self) -> (&'static str, u32) {
        match &self.way {
            Way::Modems(modems) => (modems.network.name, modems.network.pid()),
            Way::Smpp(centre) => centre.process(),
        }
    }

    /// Where the loader finds everything.
    pub(crate) fn loader_arguments(&self) -> Vec<String> {
        let words = [
            "--demo",
            &shown(&self.folder.join("data/demo.json")),
            "--rest",
            &format!("http://127.0.0.1:{}", self.ports.public),
            "--oms",
            &format!("http://127.0.0.1:{}/oms/service.asmx", self.ports.public),
            "--sim-log",
            &shown(&self.way.record()),
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Where everything is kept.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the ledger says now; an error if it does not add up.
    pub(crate) fn ledger(&self) -> anyhow::Result<Ledger> {
        let demo = fs::read(self.folder.join("data/demo.json")).context("the demo's file")?;
        let demo: Demo = serde_json::from_slice(&demo).context("the demo's file")?;
        let text = process::get(&format!("127.0.0.1:{}", self.ports.public), "/v1/ledger", &demo.api_key)?;
        let ledger: Ledger = serde_json::from_str(&text).context("the ledger")?;
        let whole = ledger.difference == 0 && ledger.accepted == ledger.settled + ledger.pending;
        ensure!(whole, "the ledger does not add up: {text}");
        Ok(ledger)
    }

    /// Waits until every delivery has its final state.
    pub(crate) fn wait_settled(&self) -> anyhow::Result<()> {
        let (mut moved, mut last) = (Instant::now(), 0);
        loop {
            let ledger = self.ledger()?;
            if ledger.pending == 0 {
                return Ok(());
            }
            if ledger.settled != last {
                (moved, last) = (Instant::now(), ledger.settled);
            }
            ensure!(moved.elapsed() < STILL_MAX, "{} deliveries are pending and nothing moves", ledger.pending);
            std::thread::sleep(POLL);
        }
    }

    /// Stops everything in order.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        for role in self.roles {
            role.stop()?;
        }
        drop(self.way); // a network of modems ends with its standard input
        Ok(())
    }

    /// The demo's first start, stopped as soon as tenant, prices and farm are made.
    fn seed(&mut self) -> anyhow::Result<()> {
        let demo = format!("[demo]\ntenants = {}\nmodems_per_route = 1\ndrive_modems = false\n", self.tenants);
        let settings = self.write_settings("seed", &demo)?;
        let ops = self.ports.ops[3];
        let mut arguments = self.common(&settings);
        if self.servers.is_some() {
            arguments.insert(0, "demo".to_owned());
        }
        arguments.extend(["--ops-listen".to_owned(), address(ops)]);
        let mut seed = Part::start("seed", &self.carillon, &arguments, &self.folder)?;
        seed.wait_ready(&address(ops))?;
        seed.stop()?;
        if self.servers.is_some() {
            let settings = self.write_settings("issue", "")?;
            let mut router = vec!["issue-router".to_owned(), "--name".to_owned(), "router-1".to_owned()];
            router.extend(self.common(&settings));
            Part::run("issue", &self.carillon, &router, &self.folder)?;
            let mut farm = ["issue-farm", "--name", FARM_APART, "--router"].map(str::to_owned).to_vec();
            farm.push(address(self.ports.control));
            farm.extend(self.common(&settings));
            Part::run("issue", &self.carillon, &farm, &self.folder)?;
        }
        Ok(())
    }

    fn start_roles(&mut self) -> anyhow::Result<()> {
        if self.servers.is_none() {
            return self.start_whole("");
        }
        let settings = self.write_settings("cluster", "")?;
        let roles = [
            ("gateway", ["gateway", "--name", "gateway-1"], self.ports.public, self.ports.ops[0]),
            ("router", ["sms-router", "--name", "router-1"], self.ports.control, self.ports.ops[1]),
        ];
        for (name, asked, door, ops) in roles {
            let mut arguments = asked.map(str::to_owned).to_vec();
            arguments.extend(["--listen".to_owned(), address(door)]);
            arguments.extend(self.common(&settings));
            self.start(name, &arguments, ops)?;
        }
        Ok(())
    }

    /// All roles in one process; `links` are the farm's.
    fn start_whole(&mut self, links: &str) -> anyhow::Result<()> {
        let more = format!(
            "[demo]\nenabled = false\n[modem_farm]\nname = \"{FARM}\"\nport_opens_per_second_max = 1000\n{links}"
        );
        let settings = self.write_settings("whole", &more)?;
        let mut arguments = self.common(&settings);
        arguments.extend(["--listen".to_owned(), address(self.ports.public)]);
        self.start("carillon", &arguments, self.ports.ops[0])
    }

    fn start(&mut self, name: &'static str, arguments: &[String], ops: u16) -> anyhow::Result<()> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--ops-listen".to_owned(), address(ops)]);
        let mut part = Part::start(name, &self.carillon, &arguments, &self.folder)?;
        part.wait_ready(&address(ops))?;
        self.roles.push(part);
        Ok(())
    }

    fn common(&self, settings: &Path) -> Vec<String> {
        ["--data", &shown(&self.data()), "--config", &shown(settings)].map(str::to_owned).to_vec()
    }

    fn write_settings(&self, name: &str, more: &str) -> anyhow::Result<PathBuf> {
        let mut text = String::new();
        if let Some(Servers { kafka, cql, replication }) = &self.servers {
            let in_sync = if *replication > 2 { 2 } else { 1 };
            let _ = write!(
                text,
                "[lanes]\nurl = \"kafka://{kafka}/compare\"\nreplication = {replication}\nmin_insync_replicas = {in_sync}\n\
                 [state]\nurl = \"cql://{cql}/compare\"\nreplication = 1\n"
            );
        }
        let control = address(self.ports.control);
        let _ = write!(text, "[sms_router.control]\nenabled = true\nlisten = \"{control}\"\n{more}");
        let path = self.folder.join(format!("{name}.toml"));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

impl Modems {
    pub(crate) fn start(folder: &Path, target: &Path, count: u32) -> anyhow::Result<Self> {
        let at = folder.join("network");
        fs::create_dir_all(&at).context("the network's folder")?;
        let arguments = [shown(&at), count.to_string()];
        let mut network = Part::start("network", &target.join("release/examples/network"), &arguments, folder)?;
        network.wait(|| (0..count).all(|number| at.join(format!("dev/modem-{number}")).exists()))?;
        Ok(Self { network, folder: at, count })
    }

    fn link(&self, number: u32) -> String {
        let device = self.folder.join(format!("dev/modem-{number}"));
        let route = ROUTES[number as usize % ROUTES.len()];
        format!(
            "name = \"modem-{number}\"\nroute = \"{route}\"\ndevice = \"{}\"\nsegments_per_minute = 0\n\
             sim_segments_per_minute = 0\nsim_segments_per_day = 0\ncommand_gap_ms = 0\n",
            device.display()
        )
    }
}

impl Way {
    /// The network's own record.
    fn record(&self) -> PathBuf {
        match self {
            Self::Modems(modems) => modems.folder.join("sim.log"),
            Self::Smpp(centre) => centre.record(),
        }
    }

    /// As a farm's links, without limits; tables below `table`.
    fn links(&self, table: &str) -> String {
        match self {
            Self::Modems(modems) => {
                (0..modems.count).map(|number| format!("[[{table}links]]\n{}", modems.link(number))).collect()
            }
            Self::Smpp(centre) => {
                let supplier = |(route, account): (&str, &str)| {
                    format!(
                        "[[{table}smpp]]\nname = \"{account}\"\nroute = \"{route}\"\naddress = \"{}\"\nsystem_id = \
                         \"{account}\"\nbinds = {}\nwindow = {}\nresponse_id = \"decimal\"\nreceipt_id = \"decimal\"\n",
                        centre.address(),
                        centre.binds,
                        centre.window
                    )
                };
                ROUTES.into_iter().zip(ACCOUNTS).map(supplier).collect()
            }
        }
    }
}

/// An empty folder of that name, and what is in it otherwise is gone.
pub(crate) fn empty(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    fs::canonicalize(folder).context("cannot name the folder")
}

impl Ports {
    fn choose() -> anyhow::Result<Self> {
        let [public, control, first, second, third, fourth] = free_ports()?;
        Ok(Self { public, control, ops: [first, second, third, fourth] })
    }
}

/// Ports nobody has now.
pub(crate) fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let held: Vec<TcpListener> =
        (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("no free port")?;
    let mut free = [0; COUNT];
    for (port, held) in free.iter_mut().zip(&held) {
        *port = held.local_addr()?.port();
    }
    Ok(free)
}

pub(super) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
