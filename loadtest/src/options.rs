//! What the user asks for, and where the server is.
//!
//! Knows the command line and `demo.json`; must not talk to anyone.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// Sends messages through a public door, follows each to its end, and exits non-zero if one is lost or doubled.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The `demo.json` a server wrote at its start: addresses, credentials, numbers and the network's own record.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["rest", "kannel"])]
    pub demo: Option<PathBuf>,

    /// Base URL of the REST door, instead of the one in `--demo`.
    #[arg(long, value_name = "URL")]
    pub rest: Option<String>,

    /// File with the API key, instead of the one in `--demo`.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,

    /// URL of the OMS service, instead of the one in `--demo`.
    #[arg(long, value_name = "URL")]
    pub oms: Option<String>,

    /// Base URL of a Kannel gateway, for the door `kannel`; `--user-id` and `--password-file` are its user's.
    #[arg(long, value_name = "URL", default_value = "")]
    pub kannel: String,

    /// OMS user id, instead of the one in `--demo`.
    #[arg(long)]
    pub user_id: Option<String>,

    /// File with the OMS password, instead of the one in `--demo`.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Numbers whose last four digits may be any, instead of those in `--demo`.
    #[arg(long, value_name = "+NUMBER", value_delimiter = ',')]
    pub numbers: Vec<String>,

    /// The simulated network's own record to count against, instead of the one in `--demo`.
    #[arg(long, value_name = "FILE")]
    pub sim_log: Option<PathBuf>,

    /// How many messages to send.
    #[arg(short = 'n', long, default_value_t = 1000)]
    pub messages: u64,

    /// How many connections to keep open.
    #[arg(short, long, default_value_t = 16)]
    pub connections: usize,

    /// The door to send through.
    #[arg(long, value_enum, default_value_t = Door::Rest)]
    pub door: Door,

    /// So many of the demo's tenants send in turn, each message as another (REST only).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub tenants: u32,

    /// How many recipients each message has.
    #[arg(long, default_value_t = 1)]
    pub recipients_per_message: usize,

    /// How many messages go into one call of the `oms-batch` door.
    #[arg(long, default_value_t = 10)]
    pub batch_messages: usize,

    /// The text of each message; a token that tells them apart is added.
    #[arg(long, default_value = "Carillon rings")]
    pub text: String,

    /// Sends an idempotency key with each message, and sends again when a connection breaks (REST only).
    #[arg(long)]
    pub idempotency: bool,

    /// Which messages to look up by id once the ledger says all is done (REST only).
    #[arg(long, value_enum, default_value_t = Verify::All)]
    pub verify: Verify,

    /// Gives up when the ledger has shown no progress for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub settle_seconds_max: u64,

    /// Begins so many messages a second, whatever became of those before (open loop); a message's latency counts from the
    /// moment it was due. Without it, each connection sends its next message when it has the answer to the last (closed
    /// loop).
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,

    /// When the run ends: when every message has its final state, or already when it was accepted (to measure accepting
    /// alone, while nobody sends).
    #[arg(long, value_enum, default_value_t = Until::Final)]
    pub until: Until,

    /// Process whose CPU time is shown, with its children.
    #[arg(long, value_name = "PID", conflicts_with = "spawn")]
    pub server_pid: Option<u32>,

    /// A process whose CPU time and memory are shown under this name; may be given more than once.
    #[arg(long, value_name = "NAME=PID", value_parser = Watch::parse)]
    pub watch: Vec<Watch>,

    /// Starts the server with this command, waits until it is ready, and stops it at the end. Needs `--demo`.
    #[arg(long, value_name = "COMMAND", requires = "demo")]
    pub spawn: Option<String>,

    /// Prints the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs a scenario.
#[derive(Clone, Debug, Args)]
pub struct ScenarioOptions {
    /// The scenario (TOML).
    pub file: PathBuf,

    /// The `demo.json` of the server, if the scenario starts none: addresses, credentials, numbers and the network's own record.
    #[arg(long, value_name = "FILE")]
    pub demo: Option<PathBuf>,

    /// The server's program, instead of the one the scenario names.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,

    /// Where a server that is started keeps its data; it must be empty or absent. Without it, in a folder of its own below the
    /// system's temporary one, which is removed.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// A process whose CPU time and memory are shown under this name; may be given more than once. A server that is started is
    /// shown without it.
    #[arg(long, value_name = "NAME=PID", value_parser = Watch::parse)]
    pub watch: Vec<Watch>,

    /// Gives up when the ledger has shown no progress for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub settle_seconds_max: u64,

    /// Writes the result there as JSON.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Writes a page with charts there, which needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Prints the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Shows two results side by side: figure by figure, and the second divided by the first.
#[derive(Clone, Debug, Args)]
pub struct CompareOptions {
    /// A result (JSON) of a scenario, of a single run, or of `cargo xtask compare`.
    pub first: PathBuf,

    /// Another of the same kind.
    pub second: PathBuf,

    /// Writes a page with both in the same charts there (scenarios only).
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Prints the comparison as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A public door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// `POST /v1/messages`.
    Rest,
    /// `DeliverXms`, SOAP 1.1.
    Oms,
    /// `DeliverXmsBatch`, SOAP 1.1.
    OmsBatch,
    /// `/cgi-bin/sendsms` of a Kannel gateway, one recipient a message. It has no ledger: delivery reports come here, and are
    /// counted instead.
    Kannel,
}

/// Which messages are looked up by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Every one.
    All,
    /// A thousand, spread over the whole run.
    Sample,
    /// None: the ledger and the network's record must do.
    None,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// Every message was answered, and the ledger has counted it.
    Accepted,
    /// Every message has its final state.
    Final,
}

/// A process that is measured, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What the report calls it; those of one name are added up.
    pub name: String,
    /// The process.
    pub pid: u32,
}

impl Watch {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("it is no NAME=PID")?;
        let pid = pid.parse().map_err(|_| format!("`{pid}` is no process id"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// Where the server is and how to get in.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(crate) struct Target {
    pub(crate) rest: String,
    pub(crate) oms: String,
    pub(crate) kannel: String,
    pub(crate) api_key: String,
    /// Of tenants that send in turn with the one of `api_key`.
    pub(crate) other_keys: Vec<String>,
    pub(crate) user_id: String,
    pub(crate) password: String,
    pub(crate) numbers: Vec<String>,
    pub(crate) sim_log: Option<PathBuf>,
}

/// The file a server writes at its start. What is missing may be given by options.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Demo {
    pub(crate) rest: String,
    pub(crate) oms: String,
    pub(crate) ops: String,
    api_key: String,
    user_id: String,
    password: String,
    numbers: Vec<String>,
    sim_log: Option<PathBuf>,
    tenants: Vec<DemoTenant>,
}

/// A tenant beside the first.
#[derive(Deserialize)]
struct DemoTenant {
    name: String,
    api_key: String,
}

impl Demo {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is no demo file", path.display()))
    }
}

impl Target {
    /// What a demo file says, for the tenant of this name in it. Only the first has an OMS user.
    pub(crate) fn of_demo(path: &Path, tenant: &str) -> anyhow::Result<Self> {
        let Demo { rest, oms, api_key, user_id, password, numbers, sim_log, tenants, .. } = Demo::read(path)?;
        let (kannel, other_keys) = (String::new(), Vec::new());
        let mut target = Self { rest, oms, kannel, api_key, other_keys, user_id, password, numbers, sim_log };
        if tenant != FIRST_TENANT {
            let named = tenants.into_iter().find(|one| one.name == tenant);
            target.api_key = named.with_context(|| format!("no tenant `{tenant}` in `{}`", path.display()))?.api_key;
            target.user_id = String::new();
        }
        target.check_keys()?;
        Ok(target)
    }

    pub(crate) fn resolve(options: &Options) -> anyhow::Result<Self> {
        let demo = options.demo.as_deref().map(Demo::read).transpose()?.unwrap_or_default();
        let target = Self {
            rest: options.rest.clone().unwrap_or(demo.rest),
            oms: options.oms.clone().unwrap_or(demo.oms),
            kannel: options.kannel.clone(),
            api_key: options.api_key_file.as_deref().map_or(Ok(demo.api_key), read_secret)?,
            other_keys: demo.tenants.into_iter().map(|one| one.api_key).take(options.tenants as usize - 1).collect(),
            user_id: options.user_id.clone().unwrap_or(demo.user_id),
            password: options.password_file.as_deref().map_or(Ok(demo.password), read_secret)?,
            numbers: if options.numbers.is_empty() { demo.numbers } else { options.numbers.clone() },
            sim_log: options.sim_log.clone().or(demo.sim_log),
        };
        target.check(options)?;
        Ok(target)
    }

    /// Keys go into headers as they are.
    fn check_keys(&self) -> anyhow::Result<()> {
        let sound = |key: &str| key.bytes().all(|octet| octet.is_ascii_graphic());
        ensure!(
            self.api_keys().all(sound),
            "an API key of `--demo` or `--api-key-file` has characters that no key has"
        );
        Ok(())
    }

    fn check(&self, options: &Options) -> anyhow::Result<()> {
        self.check_keys()?;
        ensure!(options.messages > 0, "`--messages` must be at least 1");
        ensure!(options.connections > 0, "`--connections` must be at least 1");
        ensure!(options.batch_messages > 0, "`--batch-messages` must be at least 1");
        ensure!(options.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "`--rate` must be above 0");
        let recipients = options.recipients_per_message;
        ensure!((1..=1000).contains(&recipients), "`--recipients-per-message` must be 1 to 1000");
        if options.door == Door::Kannel {
            self.check_kannel(options)?;
        } else {
            ensure!(!self.rest.is_empty(), "no REST address: it is needed to read the ledger, whatever the door");
            ensure!(!self.api_key.is_empty(), "no API key: give `--demo` or `--api-key-file`");
        }
        let tenants = 1 + self.other_keys.len();
        ensure!(
            options.tenants as usize == tenants,
            "`--tenants`: the demo file has {tenants}, and `[demo] tenants` makes more"
        );
        ensure!(
            tenants == 1 || options.door == Door::Rest,
            "`--tenants`: only the first has an OMS user, the others send by `--door rest`"
        );
        ensure!(!self.numbers.is_empty(), "no numbers to send to: give `--demo` or `--numbers`");
        for number in &self.numbers {
            let digits = number.strip_prefix('+').unwrap_or_default();
            if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                bail!("a number of the demo file or of `--numbers` is not `+` and 7 to 15 digits");
            }
        }
        if matches!(options.door, Door::Oms | Door::OmsBatch) {
            ensure!(!self.oms.is_empty() && !self.user_id.is_empty(), "no OMS address or user: give `--demo`");
        }
        Ok(())
    }

    /// The keys of the tenants that send.
    pub(crate) fn api_keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.api_key).chain(&self.other_keys).map(String::as_str)
    }

    /// Whose turn a message is, by the place among the keys.
    pub(crate) fn turn_of(&self, index: u64) -> usize {
        index as usize % (1 + self.other_keys.len())
    }

    fn check_kannel(&self, options: &Options) -> anyhow::Result<()> {
        ensure!(!self.kannel.is_empty(), "no address of Kannel: give `--kannel`");
        ensure!(!self.user_id.is_empty(), "no user of Kannel: give `--user-id` and `--password-file`");
        ensure!(options.recipients_per_message == 1, "the door `kannel` takes one recipient a message");
        ensure!(!options.idempotency, "the door `kannel` knows no idempotency keys");
        Ok(())
    }
}

/// The demo's own tenant.
pub(crate) const FIRST_TENANT: &str = "demo";

pub(crate) fn read_secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refusal(arguments: &[&str], expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        std::fs::write(&key, "k\n").unwrap();
        let fixed = ["loadtest", "--rest", "http://127.0.0.1:1", "--api-key-file", key.to_str().unwrap()];
        let options = Options::try_parse_from(fixed.iter().chain(arguments)).unwrap();
        let error = Target::resolve(&options).err().expect("this is refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn unusable_options_are_refused() {
        check_refusal(&[], "no numbers");
        check_refusal(&["--numbers", "0151"], "is not `+` and 7 to 15 digits");
        check_refusal(&["--numbers", "+4915100000000", "-n", "0"], "`--messages`");
        check_refusal(&["--numbers", "+4915100000000", "-c", "0"], "`--connections`");
        check_refusal(&["--numbers", "+4915100000000", "--rate", "0"], "`--rate`");
        check_refusal(&["--numbers", "+4915100000000", "--recipients-per-message", "0"], "`--recipients-per-message`");
        check_refusal(&["--numbers", "+4915100000000", "--door", "oms"], "no OMS address");
        check_refusal(&["--numbers", "+4915100000000", "--tenants", "2"], "the demo file has 1");
        check_refusal(&["--door", "kannel"], "no address of Kannel");
        check_refusal(&["--door", "kannel", "--kannel", "http://x"], "no user of Kannel");
        let kannel = ["--door", "kannel", "--kannel", "http://x", "--user-id", "u"];
        check_refusal(&[&kannel[..], &["--recipients-per-message", "2"]].concat(), "one recipient");
    }

    #[test]
    fn a_process_is_watched_under_a_name() {
        let watch = Watch { name: "router".to_owned(), pid: 7 };
        assert_eq!(Watch::parse("router=7"), Ok(watch));
        assert!(Watch::parse("router").is_err() && Watch::parse("router=x").is_err());
    }

    #[test]
    fn options_beat_the_demo_file() {
        let directory = tempfile::tempdir().unwrap();
        let demo = directory.path().join("demo.json");
        let text = r#"{"rest":"http://a","oms":"http://b","api_key":"k","user_id":"u","password":"p","numbers":["+4915100000000"],"sim_log":"/x"}"#;
        std::fs::write(&demo, text).unwrap();
        let options = ["loadtest", "--demo", demo.to_str().unwrap(), "--rest", "http://c", "--door", "oms"];
        let target = Target::resolve(&Options::try_parse_from(options).unwrap()).unwrap();
        assert_eq!(
            (target.rest.as_str(), target.oms.as_str(), target.password.as_str()),
            ("http://c", "http://b", "p")
        );
        assert_eq!(target.sim_log, Some(PathBuf::from("/x")));
    }
}
