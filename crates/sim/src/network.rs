//! The network as a whole: starts the modems, gives them their ports, lets messages in. Knows no AT.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rustix::fs::{FlockOperation, flock};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{
    tpdu::{Address, Incoming, Timestamp as ServiceCentreTime, TpduError, delivers},
    udh::Reference,
};

use crate::{
    SimError,
    config::{ModemConfig, NetworkConfig},
    driver::{Driver, Order, now},
    fault::FaultPlan,
    journal::{self, Journal},
    modem::SimModem,
    port::Port,
    record::{Origin, RecordLog},
    watch::{PortUse, Watch},
};

/// Orders waiting for one modem.
const ORDERS_MAX: usize = 64;

/// A running network. It stops with its token; dropping it stops nothing.
#[derive(Debug)]
pub struct Network {
    modems: BTreeMap<String, Modem>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Modem {
    port: PathBuf,
    orders: mpsc::Sender<Order>,
}

/// What all modems of a network share.
#[derive(Clone)]
struct Shared {
    config: Arc<NetworkConfig>,
    record: Arc<RecordLog>,
    /// Held as long as a modem runs: two networks on one folder would both count the same references.
    _lock: Arc<File>,
    stop: CancellationToken,
}

/// The modems one thread runs, by link.
type Group = BTreeMap<String, Modem>;

impl Network {
    /// Starts all modems, on threads of their own: what they wait for on disk holds up nobody else. What the network
    /// remembers of their SIMs is restored, and their ports are there when it returns.
    ///
    /// # Errors
    /// [`SimError`] if a name is bad, the folder is in use or unusable, or a port cannot be made; nothing runs then.
    pub async fn start(
        config: NetworkConfig,
        modems: Vec<ModemConfig>,
        stop: CancellationToken,
    ) -> Result<Self, SimError> {
        check_names(&modems)?;
        let lock = prepare(&config)?;
        let record = Arc::new(RecordLog::open(&config.sim_log)?);
        let groups = grouped(modems, config.threads);
        let stop = stop.child_token();
        let shared = Shared { config: Arc::new(config), record, _lock: lock, stop: stop.clone() };
        let tasks = TaskTracker::new();
        tasks.close();
        let mut network = Self { modems: Group::new(), tasks };
        for group in groups {
            match network.start_group(&shared, group).await {
                Ok(modems) => network.modems.extend(modems),
                Err(error) => {
                    stop.cancel();
                    network.stopped().await;
                    return Err(error);
                }
            }
        }
        Ok(network)
    }

    /// Starts a thread for these modems and waits until they run.
    async fn start_group(&self, shared: &Shared, group: Vec<(u64, ModemConfig)>) -> Result<Group, SimError> {
        let (started, running) = oneshot::channel();
        let shared = shared.clone();
        let ended = self.tasks.token();
        let body = move || {
            run_group(&shared, &group, started);
            drop((shared, ended));
        };
        let thread = thread::Builder::new().name("sim-network".to_owned()).spawn(body);
        thread.map_err(|source| SimError::Thread { source })?;
        running.await.unwrap_or_else(|_| Err(SimError::Thread { source: io::ErrorKind::BrokenPipe.into() }))
    }

    /// Each link with the path its port is opened by. The path stays the same over restarts and hang-ups.
    pub fn ports(&self) -> BTreeMap<String, PathBuf> {
        self.modems.iter().map(|(link, modem)| (link.clone(), modem.port.clone())).collect()
    }

    /// Lets a text for a SIM into the network. When it returns the network remembers it until the modem's owner has it.
    ///
    /// # Errors
    /// [`SimError::NoModem`] or, if the text or the sender cannot be a message, [`SimError::Message`].
    pub async fn inject(&self, link: &str, from: &str, text: &str) -> Result<(), SimError> {
        let tpdus = inbound(from, text).map_err(|source| SimError::Message { link: link.to_owned(), source })?;
        let (remembered, answer) = oneshot::channel();
        self.order(link, Order::Come { tpdus, remembered }).await?;
        answer.await.map_err(|_| SimError::NoModem { link: link.to_owned() })
    }

    /// Replaces what goes wrong with a modem from here on. Occasions are counted anew.
    ///
    /// # Errors
    /// [`SimError::NoModem`].
    pub async fn set_faults(&self, link: &str, plan: FaultPlan) -> Result<(), SimError> {
        self.order(link, Order::Faults(plan)).await
    }

    /// Waits until all modems have stopped, which their token makes them do.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    async fn order(&self, link: &str, order: Order) -> Result<(), SimError> {
        let no_modem = || SimError::NoModem { link: link.to_owned() };
        let modem = self.modems.get(link).ok_or_else(no_modem)?;
        modem.orders.send(order).await.map_err(|_| no_modem())
    }
}

/// Spreads the modems over threads; each keeps its place in the whole, which its chance depends on.
fn grouped(modems: Vec<ModemConfig>, threads: usize) -> Vec<Vec<(u64, ModemConfig)>> {
    let mut groups = vec![Vec::new(); threads.max(1)];
    for (index, modem) in modems.into_iter().enumerate() {
        let group = index % groups.len();
        groups[group].push((index as u64, modem));
    }
    groups
}

/// Runs modems until they stop. Says once whether they run.
fn run_group(shared: &Shared, group: &[(u64, ModemConfig)], started: oneshot::Sender<Result<Group, SimError>>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => return drop(started.send(Err(SimError::Thread { source }))),
    };
    runtime.block_on(async {
        let tasks = TaskTracker::new();
        let result = shared.spawn(group, &tasks);
        if started.send(result).is_err() {
            return;
        }
        tasks.close();
        tasks.wait().await;
    });
}

impl Shared {
    fn spawn(&self, group: &[(u64, ModemConfig)], tasks: &TaskTracker) -> Result<Group, SimError> {
        let watch = watch();
        let drivers: Result<Vec<_>, SimError> =
            group.iter().map(|(index, modem)| self.driver(*index, modem, watch.clone())).collect();
        let mut modems = Group::new();
        for (driver, orders) in drivers? {
            modems.insert(driver.origin.link.clone(), Modem { port: driver.link.clone(), orders });
            tasks.spawn(driver.run(self.stop.clone()));
        }
        if let Some(watch) = watch {
            let stop = self.stop.clone();
            tasks.spawn(async move { watch.run(stop).await });
        }
        Ok(modems)
    }

    fn driver(
        &self,
        index: u64,
        modem: &ModemConfig,
        watch: Option<Arc<Watch>>,
    ) -> Result<(Driver, mpsc::Sender<Order>), SimError> {
        let path = self.config.dir.join("sims").join(&modem.imsi).with_extension("jsonl");
        let entries = journal::read(&path)?;
        // Each modem has its own stream of chance, so that one more modem does not change the others.
        let seed = self.config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index);
        let state = SimModem::new(&self.config, modem, seed, entries);
        let journal = Journal::rewrite(&path, &state.snapshot())?;
        let failed = |source| SimError::Port { link: modem.link.clone(), source };
        let port = Port::open().map_err(failed)?;
        let link = self.config.dir.join("dev").join(&modem.link);
        let port_use = watch.as_ref().map(|watch| watch.add(port.path())).transpose().map_err(failed)?;
        port.link(&link).map_err(failed)?;
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let driver = Driver {
            modem: state,
            port,
            port_use,
            link,
            origin: Origin { link: modem.link.clone(), imsi: modem.imsi.clone() },
            journal,
            record: self.record.clone(),
            watch,
            orders,
            pending: Vec::new(),
            seen: PortUse::default(),
            last_input: now(),
            read_check: None,
        };
        Ok((driver, sender))
    }
}

/// Without it a modem cannot see that its owner died, and what the owner left unread is lost with it.
fn watch() -> Option<Arc<Watch>> {
    match Watch::new() {
        Ok(watch) => Some(Arc::new(watch)),
        Err(error) => {
            tracing::warn!(%error, "simulated ports cannot see their owners come and go");
            None
        }
    }
}

/// Links are file names and paths of devices, SIMs are file names; neither may be there twice.
fn check_names(modems: &[ModemConfig]) -> Result<(), SimError> {
    let (mut links, mut sims) = (BTreeSet::new(), BTreeSet::new());
    for modem in modems {
        if !is_plain(&modem.link) || !links.insert(&modem.link) {
            return Err(SimError::BadName { name: modem.link.clone() });
        }
        if !modem.imsi.chars().all(|c| c.is_ascii_digit()) || modem.imsi.is_empty() || !sims.insert(&modem.imsi) {
            return Err(SimError::BadName { name: modem.imsi.clone() });
        }
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

/// Makes the folders, takes the lock and clears away the links of ports that are gone.
fn prepare(config: &NetworkConfig) -> Result<Arc<File>, SimError> {
    let devices = config.dir.join("dev");
    for folder in [&config.dir, &devices, &config.dir.join("sims")] {
        private_folder(folder)?;
    }
    let path = config.dir.join("lock");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|source| SimError::File { attempt: "open", path, source })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| SimError::InUse { path: config.dir.clone() })?;
    remove_links(&devices).map_err(|source| SimError::File { attempt: "clear", path: devices, source })?;
    Ok(Arc::new(file))
}

fn private_folder(path: &Path) -> Result<(), SimError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| SimError::File { attempt: "make", path: path.to_owned(), source })
}

fn remove_links(devices: &Path) -> io::Result<()> {
    for entry in fs::read_dir(devices)? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn inbound(from: &str, text: &str) -> Result<Vec<Vec<u8>>, TpduError> {
    let from = if from.starts_with('+') || from.chars().all(|c| c.is_ascii_digit()) {
        Address::number(from)?
    } else {
        Address::alphanumeric(from)?
    };
    let seconds = now().0.div_euclid(1_000);
    let incoming = Incoming {
        text,
        from,
        // Any will do that the sender did not use just before.
        reference: Reference::Narrow(rand::random()),
        service_centre_time: ServiceCentreTime::from_unix_seconds(seconds, 0),
    };
    delivers(&incoming)?.iter().map(wire::tpdu::Deliver::encode).collect()
}
