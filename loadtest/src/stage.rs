//! Runs a scenario: its server, its phases one after the other, and its checks.
//!
//! Knows the order of things; must not know how a message is sent nor how a figure is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cpu::Watched;
use crate::crew::{self, Order};
use crate::ledger::{Follower, Growth};
use crate::network::{NetworkCount, NetworkLog};
use crate::options::{FIRST_TENANT, ScenarioOptions, Target, Watch, read_secret};
use crate::plan::{self, Share};
use crate::progress::Progress;
use crate::result::{Done, ScenarioReport, Settled};
use crate::scenario::{Phase, Scenario, ServerSettings, Stream};
use crate::server::Server;
use crate::verify::States;

/// How often the ledgers are read while messages are sent.
const GLANCE: Duration = Duration::from_millis(500);
const SERVER: &str = "server";

/// A scenario under way.
struct Stage<'a> {
    scenario: &'a Scenario,
    demo: PathBuf,
    watch: Vec<Watch>,
    settle: Duration,
    run: String,
    report: ScenarioReport,
}

pub(crate) async fn run(options: &ScenarioOptions) -> anyhow::Result<ScenarioReport> {
    let scenario = Scenario::read(&options.file)?;
    let Some(settings) = &scenario.server else {
        let demo = options.demo.clone().context("the scenario starts no server: give `--demo`")?;
        return play(&scenario, options, demo, None).await;
    };
    ensure!(options.demo.is_none(), "the scenario starts a server of its own: `--demo` is not for it");
    let home = Home::new(options.data.as_deref())?;
    let program = options.program.as_deref().unwrap_or(&settings.program);
    let server = start(program, settings, &home.data).await?;
    let report = play(&scenario, options, home.data.join("demo.json"), Some(server.pid())).await;
    server.stop().await?;
    report
}

/// Where a server's data are; gone with it if nobody named the place.
struct Home {
    data: PathBuf,
    ours: bool,
}

impl Home {
    fn new(data: Option<&Path>) -> anyhow::Result<Self> {
        let ours = data.is_none();
        let own = || std::env::temp_dir().join(format!("carillon-loadtest-{}", std::process::id()));
        let data = data.map_or_else(own, Path::to_owned);
        let empty = std::fs::read_dir(&data).map_or(true, |mut entries| entries.next().is_none());
        ensure!(empty, "`{}` is not empty", data.display());
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make `{}`", data.display()))?;
        Ok(Self { data, ours })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.ours {
            // What cannot be removed is in the system's temporary folder, and of no use to anyone.
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}

async fn start(program: &Path, settings: &ServerSettings, data: &Path) -> anyhow::Result<Server> {
    let file = data.join("scenario.toml");
    let text = toml::to_string(&settings.settings).context("the server's settings")?;
    std::fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let (program, settings, folder, log) =
        (quoted(program), quoted(&file), quoted(data), quoted(&data.join("server.log")));
    let command = format!("{program} --data {folder} --config {settings} --listen 127.0.0.1:0 2>{log}");
    Server::run(&command, &data.join("demo.json")).await
}

async fn play(
    scenario: &Scenario,
    options: &ScenarioOptions,
    demo: PathBuf,
    server: Option<u32>,
) -> anyhow::Result<ScenarioReport> {
    let own = server.map(|pid| Watch { name: SERVER.to_owned(), pid });
    let mut stage = Stage {
        scenario,
        demo,
        watch: options.watch.iter().cloned().chain(own).collect(),
        settle: Duration::from_secs(options.settle_seconds_max),
        run: plan::run_name(),
        report: ScenarioReport::new(scenario)?,
    };
    stage.warm_up().await?;
    for phase in &scenario.phases {
        eprintln!("{} …", phase.name);
        let done = stage.phase(phase).await.with_context(|| format!("phase `{}`", phase.name))?;
        stage.report.add(phase, done);
    }
    stage.report.check(&scenario.checks);
    stage.report.write(options)?;
    Ok(stage.report)
}

impl Stage<'_> {
    /// Sends through every door of the scenario, and forgets what came of it.
    async fn warm_up(&self) -> anyhow::Result<()> {
        if self.scenario.warm_up_messages == 0 {
            return Ok(());
        }
        let streams = self.scenario.phases.iter().flat_map(|phase| &phase.streams);
        let mut doors: BTreeMap<String, Stream> = BTreeMap::new();
        for stream in streams {
            let kind = format!("{:?} {}", stream.door, stream.tenant);
            let once = Stream { messages: Some(self.scenario.warm_up_messages), seconds: None, ..stream.clone() };
            doors.entry(kind).or_insert(Stream { rate: None, rate_by: None, retry: true, ..once });
        }
        eprintln!("warm-up …");
        let phase = Phase { name: "warm-up".to_owned(), streams: doors.into_values().collect() };
        self.phase(&phase).await.context("warm-up").map(drop)
    }

    async fn phase(&self, phase: &Phase) -> anyhow::Result<Done> {
        let orders = self.orders(phase)?;
        let log = orders.iter().find_map(|order| order.target.sim_log.clone());
        let log = log.map(|path| NetworkLog::from_here(&path)).transpose()?;
        let mut followers = BTreeMap::new();
        for order in &orders {
            if !followers.contains_key(&order.stream.tenant) {
                let follower = Follower::start(&order.target).await.context("cannot read a ledger")?;
                followers.insert(order.stream.tenant.clone(), follower);
            }
        }
        let watched = Watched::start(&self.watch)?;
        let all: u64 = orders.iter().map(|order| order.plan(Share::WHOLE).deliveries()).sum();
        let progress = Progress::new(all);
        let mut settled = Settled::new();
        let sending = crew::send(orders.clone(), self.scenario.processes, &progress);
        let outcome = glance_during(sending, &mut followers, &mut settled, &progress).await?;
        let mut growths = Vec::new();
        for (tenant, follower) in &mut followers {
            let of_tenant = orders.iter().zip(&outcome.sent).filter(|(order, _)| order.stream.tenant == *tenant);
            let expected =
                of_tenant.map(|(order, sent)| sent.accepted_messages() * order.stream.recipients as u64).sum();
            let before = settled.last();
            let growth =
                follower.wait_for_final(expected, self.settle, |done| progress.followed(before.max(done))).await?;
            growths.push((tenant.clone(), expected, growth));
        }
        settled.ended(growths.iter().map(|(_, _, growth)| growth));
        progress.finish();
        let watched = watched.elapsed()?;
        let networks = log.map(|log| count(&log, &orders, &outcome)).transpose()?;
        Ok(Done { orders, outcome, growths, settled, networks, watched })
    }

    fn orders(&self, phase: &Phase) -> anyhow::Result<Vec<Order>> {
        let order = |(number, stream): (usize, &Stream)| {
            let by = stream.rate_by.as_ref();
            let rate = by.map(|by| {
                let base = self.report.accepted_per_second(&by.of);
                base.map(|base| base * by.times).with_context(|| format!("no figures of `{}`", by.of))
            });
            // Runs of one log are told apart by this; the number stands for the stream.
            let run = format!("{}{}{number}", self.run, char::from(b'a' + (self.report.phases() % 26) as u8));
            Ok(Order { stream: stream.clone(), rate: rate.transpose()?, run, target: self.target(&stream.tenant)? })
        };
        phase.streams.iter().enumerate().map(order).collect()
    }

    fn target(&self, tenant: &str) -> anyhow::Result<Target> {
        match self.scenario.tenants.get(tenant) {
            None => Target::of_demo(&self.demo, tenant),
            Some(named) => {
                let target = Target::of_demo(&self.demo, FIRST_TENANT)?;
                Ok(Target { api_key: read_secret(&named.api_key_file)?, user_id: String::new(), ..target })
            }
        }
    }
}

/// Does the work, and notes every now and then how many deliveries have ended.
async fn glance_during<T>(
    work: impl Future<Output = anyhow::Result<T>>,
    followers: &mut BTreeMap<String, Follower>,
    settled: &mut Settled,
    progress: &Progress,
) -> anyhow::Result<T> {
    let (mut work, began) = (pin!(work), Instant::now());
    loop {
        tokio::select! {
            done = work.as_mut() => return done,
            () = tokio::time::sleep(GLANCE) => {}
        }
        let mut sum = 0;
        for follower in followers.values_mut() {
            // A reading must not keep the messages waiting.
            tokio::select! {
                done = work.as_mut() => return done,
                seen = follower.glance() => sum += seen.unwrap_or(0),
            }
        }
        progress.followed(sum);
        settled.note(began.elapsed(), sum);
    }
}

fn count(log: &NetworkLog, orders: &[Order], outcome: &crew::Outcome) -> anyhow::Result<Vec<NetworkCount>> {
    let streams = orders.iter().zip(&outcome.sent);
    streams
        .map(|(order, sent)| log.count(&order.plan(Share::WHOLE), sent, &States::default(), outcome.began_at))
        .collect()
}

/// What the ledgers grew by, tenant by tenant, with what was expected.
pub(crate) type Growths = Vec<(String, u64, Growth)>;
