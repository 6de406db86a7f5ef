//! `carillon issue-farm`: what a new farm node needs to attach, and how a running installation learns of it. Knows
//! certificates and files, runs no role.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::party::Farm;
use model::{FarmName, RouteId};
use runtime::pki::Authority;
use runtime::tls::TlsFiles;

use crate::cli::Common;
use crate::demo;

/// Who operates farms that this installation issues itself.
pub(crate) const OPERATOR: &str = "demo";
/// Names the router's certificate is valid for, beside those given with --router.
const ROUTER_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Issues a certificate, a key and a settings file for a farm node, under DIR/farms/<name>/.
///
/// An installation that runs on DIR lets the farm attach within a second; nothing needs a restart. Copy the directory to
/// the farm's machine, list its modems in `modem-farm.toml`, and run `carillon modem-farm --config modem-farm.toml` there.
#[derive(Args, Debug)]
pub(crate) struct IssueFarm {
    /// The farm's name: a-z, 0-9, `-` and `_`.
    #[arg(long)]
    name: FarmName,
    /// A route the farm may serve; may be given more than once. Without any: all routes of the demo.
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<RouteId>,
    /// The router it attaches to. Without it: the one of the installation that runs on DIR.
    #[arg(long, value_name = "HOST:PORT")]
    router: Option<String>,
    /// Lists the simulated modems as the farm's links: all of them for the demo's own farm, else those that wait for a
    /// farm outside.
    #[arg(long)]
    demo_modems: bool,
}

impl IssueFarm {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let directory = common.data.join("farms").join(self.name.as_str());
        anyhow::ensure!(!directory.exists(), "`{}` exists; a farm is issued once", directory.display());
        let directory = make(&directory)?;
        let authority = authority(&common.data)?;
        let identity = control::FarmIdentity::certificate_name(OPERATOR, &self.name)?;
        let files = authority.issue_client(&identity)?.write(&directory, "farm")?;
        let ca = directory.join("ca.pem");
        std::fs::write(&ca, authority.certificate_pem()).with_context(|| format!("cannot write `{}`", ca.display()))?;
        let settings = directory.join("modem-farm.toml");
        let text = toml::to_string_pretty(&self.settings(common, &directory, files, ca)?)?;
        std::fs::write(&settings, text).with_context(|| format!("cannot write `{}`", settings.display()))?;
        register(&directory, &self.farm()?)?;
        println!("{}", settings.display());
        Ok(ExitCode::SUCCESS)
    }

    fn farm(&self) -> anyhow::Result<Farm> {
        let mut routes: BTreeSet<RouteId> = self.routes.iter().cloned().collect();
        if routes.is_empty() {
            routes = demo::farm(self.name.as_str(), &demo::route_names())?.routes;
        }
        Ok(Farm { name: self.name.clone(), operator: OPERATOR.into(), routes })
    }

    fn settings(
        &self,
        common: &Common,
        directory: &Path,
        files: TlsFiles,
        ca_file: PathBuf,
    ) -> anyhow::Result<modem_farm::Config> {
        let address = match &self.router {
            Some(router) => router.clone(),
            None => demo::Demo::read(&common.data)?.map(|demo| demo.control).context("give --router HOST:PORT")?,
        };
        Ok(modem_farm::Config {
            name: self.name.clone(),
            journal_dir: directory.join("journal"),
            ops_listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            ca_file,
            certificate_file: files.certificate,
            key_file: files.key,
            routers: vec![address],
            links: if self.demo_modems { self.links(&common.data)? } else { Vec::new() },
            port_opens_per_second_max: if self.demo_modems { demo::PORT_OPENS_PER_SECOND_MAX } else { 5 },
            ..modem_farm::Config::default()
        })
    }

    fn links(&self, data: &Path) -> anyhow::Result<Vec<modem_farm::Link>> {
        let all = demo::links(data, &demo::Demo::read(data)?.context("there is no demo in this directory")?.modems)?;
        let own = self.name.as_str() == demo::FARM;
        Ok(all.into_iter().filter(|link| own != demo::is_outside(&link.name)).collect())
    }
}

/// The installation's authority for the farm link; made if there is none.
pub(crate) fn authority(data: &Path) -> anyhow::Result<Authority> {
    Authority::open(&data.join("pki")).context("cannot open the authority of the farm link")
}

/// The certificate of the router inside, made if there is none.
pub(crate) fn router_certificate(data: &Path) -> anyhow::Result<(TlsFiles, PathBuf)> {
    let directory = data.join("pki");
    let authority = authority(data)?;
    let files = TlsFiles { certificate: directory.join("router.pem"), key: directory.join("router.key") };
    if !files.certificate.exists() {
        let issued = authority.issue_server(&ROUTER_NAMES).context("cannot issue the router's certificate")?;
        if files.key.exists() {
            std::fs::remove_file(&files.key).context("cannot replace a key without a certificate")?;
        }
        issued.write(&directory, "router").context("cannot write the router's certificate")?;
    }
    Ok((files, directory.join("ca.pem")))
}

/// The farms that were issued under `data`. One that can't be read is told and left out: the others still attach.
pub(crate) fn issued(data: &Path) -> Vec<Farm> {
    let Ok(entries) = std::fs::read_dir(data.join("farms")) else { return Vec::new() };
    let farm = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path().join("farm.json");
        let text = std::fs::read(&path).ok()?;
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "an issued farm can't be read"))
            .ok()
    };
    entries.filter_map(farm).collect()
}

/// Leaves the farm where a running installation finds it; whole, so that it is never half read.
fn register(directory: &Path, farm: &Farm) -> anyhow::Result<()> {
    let (path, draft) = (directory.join("farm.json"), directory.join("farm.json.new"));
    std::fs::write(&draft, serde_json::to_vec_pretty(farm)?).context("cannot write the farm's record")?;
    std::fs::rename(&draft, &path).context("cannot write the farm's record")
}

/// Makes the directory, for its owner only, and names it absolutely: the settings must work from anywhere.
fn make(directory: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("cannot make `{}`", directory.display()))?;
    std::path::absolute(directory).context("cannot name the directory")
}
