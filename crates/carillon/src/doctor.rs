//! `carillon doctor`: what stands in the way of an installation's promises, and what mends it. Knows what to ask, changes
//! nothing.

pub(crate) mod machine;

use std::borrow::Cow;
use std::process::ExitCode;

use bus::{Bus, BusError};
use clap::Args;
use model::Lane;
use runtime::in_full;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::demo;
use crate::engines::{self, Absent, Engines};
use crate::operator::{self, Desk, Order};
use crate::secrets;

/// How far clocks may be apart.
const CLOCKS_APART_MS_MAX: i64 = 2_000;

/// Checks the settings, the engines and what they can promise, lanes, tables, keys, certificates, free disk and clocks; says what
/// to mend.
///
/// Changes nothing. Ends with 1 if something stands in the way of running, or of a promise.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Prints the findings as JSON, one array.
    #[arg(long)]
    json: bool,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Good,
    /// It works; a promise is weaker than it could be.
    Warning,
    /// It does not work, or a promise does not hold.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// What was looked at: `settings`, `lanes`, `state`, `keys`, `clock`, `parties`, `mail`.
    pub(crate) part: Cow<'static, str>,
    /// How grave it is.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What mends it; empty if nothing needs to be.
    pub(crate) mend: String,
}

impl Finding {
    pub(crate) fn good(part: &'static str, found: impl Into<String>) -> Self {
        Finding { part: part.into(), verdict: Verdict::Good, found: found.into(), mend: String::new() }
    }

    pub(crate) fn bad(part: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { part: part.into(), verdict: Verdict::Bad, found: found.into(), mend: mend.into() }
    }

    pub(crate) fn warning(part: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { part: part.into(), verdict: Verdict::Warning, found: found.into(), mend: mend.into() }
    }
}

impl Doctor {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let mut findings = examine(common).await;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            findings.iter().for_each(tell);
        }
        let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn tell(finding: &Finding) {
    let verdict = match finding.verdict {
        Verdict::Good => "good   ",
        Verdict::Warning => "warning",
        Verdict::Bad => "bad    ",
    };
    println!("{verdict}  {:<8}  {}", finding.part, finding.found);
    if !finding.mend.is_empty() {
        println!("{:19}mend: {}", "", finding.mend);
    }
}

/// Everything that can be looked at: the machine from here, the engines from where they are open.
async fn examine(common: &Common) -> Vec<Finding> {
    let config = match Config::load(common, Door::None) {
        Ok(config) => config,
        Err(error) => return vec![Finding::bad("settings", format!("{error:#}"), "mend the key that is named")],
    };
    let mut findings = vec![Finding::good("settings", "they load and go together")];
    match secrets::master_key(&config, &common.data, Absent::Refuse) {
        Ok(_) => findings.push(Finding::good("keys", "the master key can be read")),
        Err(error) => findings.push(Finding::bad("keys", format!("{error:#}"), "give this process the master key")),
    }
    findings.extend(machine::certificates(&config, &common.data));
    findings.extend(machine::disk(&common.data));
    let found = operator::carried_out(common, &config, Order::Doctor(Examination)).await;
    match found.and_then(|found| Ok(serde_json::from_str::<Vec<Finding>>(&found)?)) {
        Ok(found) => findings.extend(found),
        Err(error) => {
            let mend = match engines::on_servers(&config) {
                true => "start the servers, or correct the setting that is named",
                false => {
                    "give the installation's directory by --data; if a process has it that does not answer, stop it"
                }
            };
            findings.push(Finding::bad("engines", format!("{error:#}"), mend));
        }
    }
    findings
}

/// What is asked of the engines.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(crate) struct Examination;

impl Examination {
    /// Looks at them, and tells the findings as JSON.
    pub(crate) async fn perform(self, desk: &Desk<'_>) -> anyhow::Result<String> {
        let (engines, config) = (desk.engines, desk.config);
        let mut findings = engines.findings().await;
        findings.extend(lanes(engines).await);
        findings.extend(clock(engines).await);
        findings.extend(mail(engines, config).await);
        findings.extend(parties(engines).await);
        if let Ok(master) = secrets::master_key(config, desk.data, Absent::Refuse) {
            let path = secrets::path(config, desk.data);
            findings.push(match secrets::check(&master, &engines.store, &path).await {
                Ok(()) => Finding::good("keys", "the master key opens every data key of the installation"),
                Err(error) => Finding::bad("keys", in_full(&error), "give this process the installation's master key"),
            });
        }
        Ok(serde_json::to_string(&findings)?)
    }
}

/// Whether this machine's clock goes with that of those who appended: what was accepted can't be from tomorrow.
async fn clock(engines: &Engines) -> Option<Finding> {
    let now = demo::now().0;
    let mut ahead_ms = i64::MIN;
    for partition in 0..Lane::Accepted.partitions() {
        let bounds = engines.bus.bounds(&Lane::Accepted, partition).await.ok()?;
        ahead_ms = ahead_ms.max(bounds.oldest_ms.map_or(i64::MIN, |at| at - now));
    }
    if ahead_ms > CLOCKS_APART_MS_MAX {
        let found = format!("what stands in lane `accepted` is {} s ahead of this machine's clock", ahead_ms / 1_000);
        let mend = "let all machines follow one time server; validities and schedules go by their clocks";
        return Some(Finding::bad("clock", found, mend));
    }
    Some(Finding::good("clock", "nothing that was accepted is ahead of this machine's clock"))
}

/// Whether the lanes that every installation has are there and whole.
async fn lanes(engines: &Engines) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (lane, _) in sms_router::LANES {
        findings.extend(match engines.bus.bounds(&lane, 0).await {
            Ok(_) => None,
            Err(BusError::NoLane { .. }) => {
                let mend = "start a router, which makes it";
                Some(Finding::warning("lanes", format!("lane `{lane}` is not there yet"), mend))
            }
            Err(error) => Some(Finding::bad("lanes", in_full(&error), "mend what is named")),
        });
    }
    findings
}

/// Whether replies wait for a mail server that nobody named.
async fn mail(engines: &Engines, config: &Config) -> Option<Finding> {
    let lag = engines.bus.lag(sms_router::replies::mailer::MAILERS, &Lane::Mail, 0).await;
    match (config.sms_router.mail.host.as_str(), lag) {
        (_, Err(_)) => None,
        ("", Ok(0)) => Some(Finding::good("mail", "no mail server is set, and no reply waits for one")),
        ("", Ok(waiting)) => {
            let mend = "set `sms_router.mail.host`, and what that server wants";
            Some(Finding::bad("mail", format!("{waiting} replies wait, and no mail server is set"), mend))
        }
        (_, Ok(waiting)) => Some(Finding::good("mail", format!("{waiting} replies wait for the mail server"))),
    }
}

async fn parties(engines: &Engines) -> Vec<Finding> {
    let parties = match engines.store.parties().await {
        Ok(parties) => parties,
        Err(error) => {
            let found = format!("the parties can't be read: {}", in_full(&error));
            return vec![Finding::bad("state", found, "see what the database logs")];
        }
    };
    let mut findings = vec![Finding::good(
        "parties",
        format!("{} tenants, {} routes, {} farms", parties.tenants.len(), parties.routes.len(), parties.farms.len()),
    )];
    if parties.deck.rates.is_empty() {
        let mend = "import a price deck (`sms_router.price_deck_file`)";
        findings.push(Finding::warning("parties", "there are no prices: nothing is routable", mend));
    }
    if let Ok(routers) = engines.store.routers(demo::now()).await {
        findings.push(Finding::good("parties", format!("{} routers say that they are there", routers.len())));
    }
    findings
}

/// Logs what the engines can't promise, at a role's start.
pub(crate) async fn log_at_start(engines: &Engines) {
    for finding in engines.findings().await {
        let Finding { part, verdict, found, mend } = finding;
        match verdict {
            Verdict::Good => tracing::info!(%part, found, "the engines were checked"),
            Verdict::Warning => tracing::warn!(%part, found, mend, "the engines promise less than they could"),
            Verdict::Bad => tracing::error!(%part, found, mend, "the engines break a promise"),
        }
    }
}
