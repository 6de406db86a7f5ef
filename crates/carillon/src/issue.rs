//! `carillon issue-farm`: what a new farm node needs to attach, and how a running installation learns of it. Knows
//! certificates and files, runs no role.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::party::Farm;
use model::{FarmName, RouteId, RouterName};
use runtime::pki::Authority;
use runtime::tls::TlsFiles;
use store::Store;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::demo;
use crate::engines::{self, Patience};

/// Who operates farms that this installation issues itself.
pub(crate) const OPERATOR: &str = "demo";
/// Names the router's certificate is valid for, beside those given with --router.
const ROUTER_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Issues a certificate, a key and a settings file for a farm node, under DIR/farms/<name>/.
///
/// An installation that runs on DIR lets the farm attach within a second, one on servers (give its settings by --config)
/// within `parties_refresh_ms`; nothing needs a restart. Copy the directory to
/// the farm's machine, list its modems in `modem-farm.toml`, and run `carillon modem-farm --config modem-farm.toml` there.
#[derive(Args, Debug)]
pub(crate) struct IssueFarm {
    /// A route the farm may serve; may be given more than once. Without any: all routes of the demo.
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<RouteId>,
    /// A router it attaches to; may be given more than once, though routers tell of each other. Without any: the one of
    /// the installation that runs on DIR.
    #[arg(long = "router", value_name = "HOST:PORT")]
    routers: Vec<String>,
    /// Lists the simulated modems as the farm's links: all of them for the demo's own farm, else those that wait for a
    /// farm outside.
    #[arg(long)]
    demo_modems: bool,
}

impl IssueFarm {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let name = common.name.as_deref().context("give the farm's --name: a-z, 0-9, `-` and `_`")?;
        let farm = self.farm(FarmName::new(name).context("`--name` is no name of a farm")?)?;
        let directory = common.data.join("farms").join(name);
        anyhow::ensure!(!directory.exists(), "`{}` exists; a farm is issued once", directory.display());
        // First what may fail for reasons of others: then nothing is in the way of another try.
        enter(common, &farm).await?;
        let directory = make(&directory)?;
        let authority = authority(&common.data)?;
        let identity = control::FarmIdentity::certificate_name(OPERATOR, &farm.name)?;
        let files = authority.issue_client(&identity)?.write(&directory, "farm")?;
        let ca_file = write_ca(&authority, &directory)?;
        let settings = directory.join("modem-farm.toml");
        let text =
            toml::to_string_pretty(&self.settings(common, &farm.name, &directory, Papers { files, ca_file })?)?;
        std::fs::write(&settings, text).with_context(|| format!("cannot write `{}`", settings.display()))?;
        register(&directory, &farm)?;
        println!("{}", settings.display());
        Ok(ExitCode::SUCCESS)
    }

    fn farm(&self, name: FarmName) -> anyhow::Result<Farm> {
        let mut routes: BTreeSet<RouteId> = self.routes.iter().cloned().collect();
        if routes.is_empty() {
            routes = demo::farm(name.as_str(), &demo::route_names())?.routes;
        }
        Ok(Farm { name, operator: OPERATOR.into(), routes })
    }

    fn settings(
        &self,
        common: &Common,
        name: &FarmName,
        directory: &Path,
        papers: Papers,
    ) -> anyhow::Result<modem_farm::Config> {
        let mut routers = self.routers.clone();
        if routers.is_empty() {
            let demo = demo::Demo::read(&common.data)?.context("give --router HOST:PORT")?;
            routers.push(demo.control);
        }
        Ok(modem_farm::Config {
            name: name.clone(),
            journal_dir: directory.join("journal"),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ca_file: papers.ca_file,
            certificate_file: papers.files.certificate,
            key_file: papers.files.key,
            routers,
            links: if self.demo_modems { demo_links(&common.data, name)? } else { Vec::new() },
            port_opens_per_second_max: if self.demo_modems { demo::PORT_OPENS_PER_SECOND_MAX } else { 5 },
            ..modem_farm::Config::default()
        })
    }
}

/// What a farm proves itself with.
struct Papers {
    files: TlsFiles,
    ca_file: PathBuf,
}

/// Enters the farm in a store on servers; an embedded one belongs to the process that runs on it, which looks for issued
/// farms itself.
async fn enter(common: &Common, farm: &Farm) -> anyhow::Result<()> {
    if common.config.is_none() {
        return Ok(());
    }
    let config = Config::load(&Common { name: None, ..common.clone() }, Door::None)?;
    if engines::on_servers(&config) {
        let store = engines::open_store(&config, &Patience::of_command()).await?;
        store.put_farm(farm.clone()).await.context("cannot enter the farm in the store")?;
    }
    Ok(())
}

/// The demo's own farm has most of its modems, any other those that wait for a farm outside.
fn demo_links(data: &Path, name: &FarmName) -> anyhow::Result<Vec<modem_farm::Link>> {
    let all = demo::links(data, &demo::Demo::read(data)?.context("there is no demo in this directory")?.modems)?;
    let own = name.as_str() == demo::FARM;
    Ok(all.into_iter().filter(|link| own != demo::is_outside(&link.name)).collect())
}

fn write_ca(authority: &Authority, directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join("ca.pem");
    let written = std::fs::write(&path, authority.certificate_pem());
    written.with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
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

/// Issues the certificate that a router shows to farms, under DIR/routers/<name>/.
///
/// A router with this name and `--data DIR` finds it there; on another machine name the files in `[sms_router.control]`. All
/// routers of an installation need certificates of one authority, which is in DIR/pki: issue them, and the farms', from one
/// DIR.
#[derive(Args, Debug)]
pub(crate) struct IssueRouter {
    /// A host name or address farms reach the router by; may be given more than once. Always valid: localhost.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
}

impl IssueRouter {
    pub(crate) fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let name = common.name.as_deref().context("give the router's --name")?;
        let name = RouterName::new(name).context("`--name` is no name of a router")?;
        let directory = router_directory(&common.data, &name);
        anyhow::ensure!(!directory.exists(), "`{}` exists; a router's certificate is issued once", directory.display());
        let authority = authority(&common.data)?;
        let directory = make(&directory)?;
        let hosts: Vec<&str> = ROUTER_NAMES.into_iter().chain(self.hosts.iter().map(String::as_str)).collect();
        let issued = authority.issue_server(&hosts).context("cannot issue the router's certificate")?;
        let files = issued.write(&directory, "router").context("cannot write the router's certificate")?;
        write_ca(&authority, &directory)?;
        println!("{}", files.certificate.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes what [`IssueRouter`] left under `data`, if the settings let farms attach and name no certificate.
pub(crate) fn find_router_certificate(config: &mut Config, data: &Path) -> anyhow::Result<()> {
    let name = config.sms_router.name.clone();
    let control = &mut config.sms_router.control;
    if !control.enabled || !control.certificate_file.as_os_str().is_empty() {
        return Ok(());
    }
    let directory = router_directory(data, &name);
    anyhow::ensure!(
        directory.exists(),
        "farms may attach (`sms_router.control.enabled`), but there is no certificate to show them: neither \
         `sms_router.control.certificate_file` nor `{}`; make it with `carillon issue-router --name {name} --data {}`",
        directory.display(),
        data.display()
    );
    let file = |name: &str| directory.join(name);
    (control.certificate_file, control.key_file, control.farm_ca_file) =
        (file("router.pem"), file("router.key"), file("ca.pem"));
    Ok(())
}

fn router_directory(data: &Path, name: &RouterName) -> PathBuf {
    data.join("routers").join(name.as_str())
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
