//! What a scenario file says: phases one after the other, in each some streams side by side, and what must come of it.
//!
//! Knows the file's keys and their limits; must not talk to anyone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::options::Door;

/// A scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Processes of the loader that share each stream's connections and messages, but for those that are sent apart.
    #[serde(default = "one")]
    pub(crate) processes: u32,
    /// Messages that are sent and followed to their end before anything counts.
    #[serde(default)]
    pub(crate) warm_up_messages: u64,
    /// The server to start, if not one that runs already.
    pub(crate) server: Option<ServerSettings>,
    /// By the name streams have for them; `demo` need not be here.
    #[serde(default)]
    pub(crate) tenants: BTreeMap<String, Tenant>,
    #[serde(rename = "phase")]
    pub(crate) phases: Vec<Phase>,
    #[serde(rename = "check", default)]
    pub(crate) checks: Vec<Check>,
}

/// A server that lives for the scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// `carillon`, or where it is.
    pub(crate) program: PathBuf,
    /// What would stand in its settings file: modems and how fast they answer, limits, tenants.
    #[serde(default)]
    pub(crate) settings: toml::Table,
}

/// How a tenant gets in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    /// A file with its API key.
    pub(crate) api_key_file: PathBuf,
}

/// Streams that run side by side. A phase ends when all have ended, and what they sent has its final state.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) name: String,
    #[serde(rename = "stream")]
    pub(crate) streams: Vec<Stream>,
}

/// Messages of one kind through one door.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) door: Door,
    /// Connections over all processes; in an open loop the most calls that can be under way.
    pub(crate) connections: usize,
    /// Messages of the stream; with `seconds` the most.
    pub(crate) messages: Option<u64>,
    /// How long it begins messages.
    pub(crate) seconds: Option<f64>,
    /// Messages begun a second, whatever became of those before (open loop); without it, as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// The rate, as a multiple of what another stream of an earlier phase had accepted a second.
    pub(crate) rate_by: Option<RateBy>,
    /// Messages that are due at one moment, at the same rate.
    pub(crate) burst: u64,
    pub(crate) recipients: usize,
    /// Messages of one call of `oms-batch`.
    pub(crate) batch: usize,
    pub(crate) text: String,
    /// Lengths of texts in characters, in turn; empty: `text` and a token.
    pub(crate) characters: Vec<usize>,
    pub(crate) alphabet: Alphabet,
    /// Sends again what was refused for now. Without it, a refusal is counted and that is all.
    pub(crate) retry: bool,
    pub(crate) idempotency: bool,
    /// Sent by a process of its own, so that its times are not those of a loader that is busy with another stream.
    pub(crate) apart: bool,
}

/// A rate by another stream's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateBy {
    /// `phase/stream`.
    pub(crate) of: String,
    pub(crate) times: f64,
}

/// What texts are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Alphabet {
    /// GSM 7-bit.
    #[default]
    Gsm7,
    /// Letters that only UCS-2 has.
    Ucs2,
    /// Both in turn.
    Mixed,
}

/// A figure that must be within bounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// What it means, for people.
    pub(crate) name: String,
    pub(crate) figure: Figure,
    /// `phase/stream`.
    pub(crate) of: String,
    /// The same figure of this one divides it.
    pub(crate) by: Option<String>,
    pub(crate) at_least: Option<f64>,
    pub(crate) at_most: Option<f64>,
}

/// A figure of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Messages accepted a second.
    AcceptedPerSecond,
    /// Messages refused for now.
    Refused,
    /// Milliseconds that half of the accepted calls took at most.
    P50Ms,
    /// That 99 of 100 took at most.
    P99Ms,
}

const PROCESSES_MAX: u32 = 64;
const SECONDS_MAX: f64 = 86_400.0;
/// A text has at most 255 parts of 153 characters.
const CHARACTERS_MAX: usize = 255 * 153;
/// Messages of a stream; the loader remembers each.
pub(crate) const MESSAGES_MAX: u64 = 100_000_000;

const fn one() -> u32 {
    1
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            name: String::new(),
            tenant: "demo".to_owned(),
            door: Door::Rest,
            connections: 16,
            messages: None,
            seconds: None,
            rate: None,
            rate_by: None,
            burst: 1,
            recipients: 1,
            batch: 10,
            text: "Carillon rings".to_owned(),
            characters: Vec::new(),
            alphabet: Alphabet::default(),
            retry: true,
            idempotency: false,
            apart: false,
        }
    }
}

impl Scenario {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let scenario = toml::from_str(&text).map_err(anyhow::Error::from).and_then(|scenario: Self| {
            scenario.check()?;
            Ok(scenario)
        });
        scenario.with_context(|| format!("`{}` is no usable scenario", path.display()))
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=PROCESSES_MAX).contains(&self.processes), "`processes` must be 1 to {PROCESSES_MAX}");
        ensure!(!self.phases.is_empty(), "there is no `[[phase]]`");
        let mut before = BTreeSet::new();
        for phase in &self.phases {
            let mut own = BTreeSet::new();
            ensure!(!phase.streams.is_empty(), "phase `{}` has no `[[phase.stream]]`", phase.name);
            for stream in &phase.streams {
                let path = format!("{}/{}", phase.name, stream.name);
                stream.check(&before).with_context(|| format!("stream `{path}`"))?;
                ensure!(path.matches('/').count() == 1, "`{path}` must not have `/` in its names");
                ensure!(own.insert(path.clone()) && !before.contains(&path), "there are two streams `{path}`");
            }
            before.extend(own);
        }
        for check in &self.checks {
            let named = [Some(&check.of), check.by.as_ref()];
            let unknown = named.into_iter().flatten().find(|path| !before.contains(*path));
            ensure!(unknown.is_none(), "check `{}`: no stream `{}`", check.name, unknown.map_or("", String::as_str));
            ensure!(check.at_least.or(check.at_most).is_some(), "check `{}` has no bound", check.name);
        }
        Ok(())
    }
}

impl Stream {
    fn check(&self, before: &BTreeSet<String>) -> anyhow::Result<()> {
        let positive = |number: Option<f64>| number.is_none_or(|number| number > 0.0 && number.is_finite());
        ensure!(self.messages.or(self.seconds.map(|_| 1)).is_some(), "`messages` or `seconds` is needed");
        let messages = self.messages.unwrap_or(1);
        ensure!((1..=MESSAGES_MAX).contains(&messages), "`messages` must be 1 to {MESSAGES_MAX}");
        ensure!(
            positive(self.seconds) && self.seconds.is_none_or(|seconds| seconds <= SECONDS_MAX),
            "`seconds` must be above 0, and at most {SECONDS_MAX}"
        );
        ensure!(positive(self.rate), "`rate` must be above 0");
        ensure!(self.rate.is_none() || self.rate_by.is_none(), "`rate` and `rate_by` cannot both be");
        if let Some(by) = &self.rate_by {
            ensure!(before.contains(&by.of), "`rate_by`: no stream `{}` in a phase before", by.of);
            ensure!(positive(Some(by.times)), "`rate_by`: `times` must be above 0");
        }
        ensure!(
            self.burst > 0 && self.batch > 0 && self.connections > 0,
            "`burst`, `batch`, `connections`: at least 1"
        );
        ensure!((1..=1000).contains(&self.recipients), "`recipients` must be 1 to 1000");
        ensure!(self.characters.iter().all(|count| *count <= CHARACTERS_MAX), "`characters` up to {CHARACTERS_MAX}");
        ensure!(self.door != Door::Kannel, "the door `kannel` is for runs without a scenario");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> anyhow::Result<()> {
        toml::from_str::<Scenario>(text)?.check()
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = format!("{:#}", check(text).expect_err("it is refused"));
        assert!(error.contains(expected), "{error}");
    }

    const ONE: &str = "name = \"x\"\n[[phase]]\nname = \"a\"\n[[phase.stream]]\nname = \"s\"\nmessages = 1\n";

    #[test]
    fn what_does_not_go_together_is_refused() {
        check(ONE).unwrap();
        refused(&ONE.replace("messages = 1", ""), "`messages` or `seconds`");
        refused(&ONE.replace("messages = 1", "seconds = -1.0"), "`seconds` must be above 0");
        refused(&format!("{ONE}rate = 0.0\n"), "`rate` must be above 0");
        refused(&format!("{ONE}rate_by = {{ of = \"a/s\", times = 2.0 }}\n"), "no stream `a/s` in a phase before");
        refused(&format!("{ONE}[[phase.stream]]\nname = \"s\"\nmessages = 1\n"), "two streams `a/s`");
        refused(&format!("{ONE}door = \"kannel\"\n"), "is for runs without a scenario");
        refused(&format!("{ONE}speed = 1\n"), "unknown field `speed`");
        let check = "[[check]]\nname = \"c\"\nfigure = \"p50_ms\"\nof = \"a/s\"\n";
        refused(&format!("{ONE}{check}"), "has no bound");
        refused(&format!("{ONE}{check}at_most = 2.0\nby = \"b/s\"\n"), "no stream `b/s`");
        self::check(&format!("{ONE}{check}at_most = 2.0\nby = \"a/s\"\n")).unwrap();
    }

    #[test]
    fn the_files_beside_this_crate_are_usable() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            Scenario::read(&file).unwrap();
        }
    }
}
