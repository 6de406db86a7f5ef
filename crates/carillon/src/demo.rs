//! What the first start makes so that a newcomer can send: a tenant, two suppliers with prices, simulated modems. Knows
//! the store's records and the simulated network.

pub(crate) mod phones;
pub(crate) mod report;
pub(crate) mod seed;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use model::keyring::MasterKey;
use model::party::{
    ApiKey, Carries, Farm, OmsMultimedia, OmsProfile, OmsService, OmsSignUp, OmsUser, Rate, RatePrice, Route, Supplier,
    Tenant,
};
use model::{FarmName, LinkName, RouteId, SupplierId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sim::{ModemConfig, Network, NetworkConfig};
use store::{AnyStore, Store};
use tokio_util::sync::CancellationToken;

use crate::config::DemoConfig;

const TENANT: &str = "demo";
/// Further tenants that are made at once: their commits share their syncs.
const OTHERS_AT_ONCE: usize = 16;
/// The farm inside the all-in-one process.
pub(crate) const FARM: &str = "demo-farm";
/// One valid mobile number per country with a price; their last four digits may be any.
const NUMBERS: [&str; 2] = ["+447400123456", "+4915112345678"];
/// The first supplier's route for multimedia messages.
const MULTIMEDIA: &str = "blue-multimedia";
/// Supplier, its prices per segment in euros: Britain, Germany. Each is cheaper in one of them.
const SUPPLIERS: [(&str, &str, &str); 2] = [("blue", "0.035", "0.08"), ("green", "0.041", "0.072")];

/// What `DIR/demo.json` says: how to reach and use the demo. Rewritten at each start, since ports may change.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Demo {
    /// Base URL of the REST door.
    pub(crate) rest: String,
    /// The OMS service's own URL.
    pub(crate) oms: String,
    /// Base URL of health and metrics.
    pub(crate) ops: String,
    /// Address farms attach to.
    pub(crate) control: String,
    /// The tenant's API key.
    pub(crate) api_key: String,
    /// The OMS user.
    pub(crate) user_id: String,
    /// The OMS user's password.
    pub(crate) password: String,
    /// One valid mobile number per country.
    pub(crate) numbers: Vec<String>,
    /// The simulated modems, by link; their devices are under `sim/dev`.
    #[serde(default)]
    pub(crate) modems: Vec<String>,
    /// What the simulated network received.
    pub(crate) sim_log: PathBuf,
    /// Tenants beside the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<Other>,
}

/// A tenant beside the first: it has an API key and nothing else.
#[derive(Serialize, Deserialize, Clone)]
struct Other {
    name: String,
    api_key: String,
}

/// The addresses a start ended up with.
pub(crate) struct Addresses {
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) control: SocketAddr,
    /// Whether the public doors speak TLS.
    pub(crate) tls: bool,
}

/// Credentials that exist only here and, hashed, in the store.
struct Credentials {
    api_key: String,
    user_id: String,
    password: String,
}

/// Makes the demo's records if the store has no tenant yet. Returns the demo file's content with empty addresses, or what
/// the file says if it was made before; `None` if this installation never had a demo.
pub(crate) async fn prepare(
    store: &AnyStore,
    master: &MasterKey,
    data: &Path,
    config: &DemoConfig,
) -> anyhow::Result<Option<(Demo, Fresh)>> {
    let now = now();
    let parties = store.parties().await.context("cannot read the state")?;
    if let Some(demo) = Demo::read(data)? {
        // A crash between the file and the records: make them again, with the credentials of the file.
        let is_other = |tenant: &Tenant| demo.tenants.iter().any(|other| other.name == tenant.id.as_str());
        if parties.tenants.iter().all(is_other) {
            let credentials = Credentials {
                api_key: demo.api_key.clone(),
                user_id: demo.user_id.clone(),
                password: demo.password.clone(),
            };
            provision(store, master, &credentials, &demo.tenants, config, now).await?;
        }
        return Ok(Some((demo, Fresh::No)));
    }
    if !parties.tenants.is_empty() {
        return Ok(None);
    }
    let api_key = || format!("ck_{}", model::hex::digits(&rand::random::<[u8; 32]>()));
    let others = (2..=config.tenants).map(|number| Other { name: format!("{TENANT}-{number}"), api_key: api_key() });
    let credentials = Credentials {
        api_key: api_key(),
        user_id: "demo".into(),
        password: model::hex::digits(&rand::random::<[u8; 9]>()),
    };
    let demo = Demo {
        rest: String::new(),
        oms: String::new(),
        ops: String::new(),
        control: String::new(),
        api_key: credentials.api_key.clone(),
        user_id: credentials.user_id.clone(),
        password: credentials.password.clone(),
        numbers: NUMBERS.map(str::to_owned).to_vec(),
        modems: Vec::new(),
        sim_log: std::path::absolute(data.join("sim").join("received.jsonl")).context("cannot name the log")?,
        tenants: others.collect(),
    };
    // The file first: credentials that only the store knows, hashed, would be lost for good.
    demo.write(data)?;
    provision(store, master, &credentials, &demo.tenants, config, now).await?;
    Ok(Some((demo, Fresh::Yes)))
}

/// Whether this start made the demo: then its secrets are shown, once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    Yes,
    No,
}

impl Demo {
    /// Reads `DIR/demo.json`; `None` if there is none.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join("demo.json");
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("file `{}` is broken", path.display()))
    }

    /// The same demo at the addresses, and with the modems, of this start.
    pub(crate) fn at(mut self, addresses: &Addresses, modems: &[ModemConfig]) -> Self {
        self.modems = modems.iter().map(|modem| modem.link.clone()).collect();
        let scheme = if addresses.tls { "https" } else { "http" };
        self.rest = format!("{scheme}://{}", addresses.public);
        self.oms = format!("{scheme}://{}/oms/service.asmx", addresses.public);
        self.ops = format!("http://{}", addresses.ops);
        self.control = addresses.control.to_string();
        self
    }

    /// Writes `DIR/demo.json`, whole or not at all, for its owner only.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write the demo as JSON")?;
        let (path, draft) = (data.join("demo.json"), data.join("demo.json.new"));
        if draft.exists() {
            std::fs::remove_file(&draft).with_context(|| format!("cannot remove `{}`", draft.display()))?;
        }
        runtime::secret::write_private(&draft, format!("{text}\n").as_bytes()).context("cannot write the demo file")?;
        std::fs::rename(&draft, &path).with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// Starts the demo's simulated network; it runs until `stop`.
pub(crate) async fn start_network(
    config: &DemoConfig,
    data: &Path,
    demo: &Demo,
    modems: Vec<ModemConfig>,
    stop: CancellationToken,
) -> anyhow::Result<Network> {
    let network = NetworkConfig {
        dir: data.join("sim"),
        sim_log: demo.sim_log.clone(),
        receipt_delay_ms: (config.receipt_ms_min, config.receipt_ms_max),
        ..NetworkConfig::default()
    };
    Network::start(network, modems, stop).await.context("cannot start the simulated network")
}

/// The system's time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

async fn provision(
    store: &AnyStore,
    master: &MasterKey,
    credentials: &Credentials,
    others: &[Other],
    config: &DemoConfig,
    now: Timestamp,
) -> anyhow::Result<()> {
    for (name, ..) in SUPPLIERS {
        store.put_supplier(Supplier { id: SupplierId::new(name)?, name: format!("{name} (simulated)") }).await?;
        store.put_route(route(name)?).await?;
    }
    store.replace_deck(rates()?).await?;
    let mut routes = route_names();
    if config.multimedia {
        store.put_route(multimedia_route()?).await?;
        routes.push(MULTIMEDIA.to_owned());
    }
    store.put_farm(farm(FARM, &routes)?).await?;
    let others = stream::iter(others).map(|other| provision_other(store, master, other, now));
    others.buffer_unordered(OTHERS_AT_ONCE).try_collect::<()>().await?;
    let tenant = TenantId::new(TENANT)?;
    store.put_data_key(master.mint(&tenant, now, rand::random())).await?;
    let hash = master.api_key_hash(&credentials.api_key);
    store.put_api_key(ApiKey { name: "demo".into(), tenant: tenant.clone(), hash }).await?;
    let mut user = user(&tenant, credentials);
    let mut tenant = self::tenant(tenant);
    if config.multimedia || config.multimedia_by_notice {
        user.services = [OmsService::Sms, OmsService::Mms].into();
        tenant.oms.mms = Some(OmsMultimedia { by_notice: config.multimedia_by_notice, ..OmsMultimedia::default() });
    }
    store.put_oms_user(user).await?;
    // The tenant last: it is the demo's, and whoever has its key may send.
    store.put_tenant(tenant).await?;
    Ok(())
}

async fn provision_other(store: &AnyStore, master: &MasterKey, other: &Other, now: Timestamp) -> anyhow::Result<()> {
    let id = TenantId::new(&other.name)?;
    store.put_data_key(master.mint(&id, now, rand::random())).await?;
    let hash = master.api_key_hash(&other.api_key);
    store.put_api_key(ApiKey { name: "demo".into(), tenant: id.clone(), hash }).await?;
    store.put_tenant(tenant(id)).await?;
    Ok(())
}

fn tenant(id: TenantId) -> Tenant {
    Tenant {
        id,
        provider: "demo".into(),
        reseller: String::new(),
        default_country: "GB".into(),
        weight: 1,
        recipients_max: 1_000,
        segments_max: 10,
        validity_seconds: 86_400,
        resend_uncertain: false,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms: OmsProfile {
            service_provider: "Carillon demo".into(),
            service_uri: String::new(),
            sign_up_page: String::new(),
            target_locale: 0,
            local_name: "Carillon demo".into(),
            english_name: "Carillon demo".into(),
            recipients_max: 50,
            messages_max: 20,
            sbcs_max: 160,
            dbcs_max: 70,
            batch_max: 100,
            scheduling: true,
            schedule_days_max: 0,
            join_parts: false,
            sign_up: Some(OmsSignUp::default()),
            ..OmsProfile::default()
        },
    }
}

fn user(tenant: &TenantId, credentials: &Credentials) -> OmsUser {
    let password_hash = gateway::auth::hash_password(&credentials.password);
    OmsUser {
        reply_phone: "+447400120000".into(),
        smtp_address: format!("r-{}@replies.example.invalid", model::hex::digits(&rand::random::<[u8; 8]>())),
        ..OmsUser::new(tenant.clone(), credentials.user_id.clone(), password_hash)
    }
}

fn route(supplier: &str) -> anyhow::Result<Route> {
    let (id, supplier) = (RouteId::new(&format!("{supplier}-modems"))?, SupplierId::new(supplier)?);
    Ok(Route { id, supplier, prefixes: Vec::new(), receipts: true, enabled: true, carries: Carries::Sms, weight: 1 })
}

fn multimedia_route() -> anyhow::Result<Route> {
    let (id, carries) = (RouteId::new(MULTIMEDIA)?, Carries::Mms);
    Ok(Route { id, carries, ..route(SUPPLIERS[0].0)? })
}

fn rates() -> anyhow::Result<Vec<Rate>> {
    let currency = "EUR".parse()?;
    let mut rates = Vec::new();
    for (supplier, britain, germany) in SUPPLIERS {
        for (prefix, country, price) in [("44", "GB", britain), ("49", "DE", germany)] {
            let price = model::Money::parse(price, currency)?;
            rates.push(Rate {
                supplier: SupplierId::new(supplier)?,
                prefix: prefix.into(),
                country: country.into(),
                unit: RatePrice { micros: price.micros, currency },
                from: Timestamp(0),
                to: None,
            });
        }
    }
    Ok(rates)
}

/// The demo's routes by name.
pub(crate) fn route_names() -> Vec<String> {
    SUPPLIERS.iter().map(|(supplier, ..)| format!("{supplier}-modems")).collect()
}

/// A farm that may serve these routes.
pub(crate) fn farm(name: &str, routes: &[String]) -> anyhow::Result<Farm> {
    let routes: Result<BTreeSet<RouteId>, _> = routes.iter().map(|route| RouteId::new(route)).collect();
    Ok(Farm { name: FarmName::new(name)?, operator: crate::issue::OPERATOR.into(), routes: routes? })
}

/// The simulated modems of the demo: so many a route for the farm inside, and two a route that wait for a farm node
/// outside.
pub(crate) fn modems(config: &DemoConfig) -> Vec<ModemConfig> {
    let mut modems = Vec::new();
    for (number, route) in route_names().iter().enumerate() {
        let inside = (0..config.modems_per_route).map(|modem| format!("{route}-{modem}"));
        let outside = (0..OUTSIDE_PER_ROUTE).map(|modem| format!("{route}{OUTSIDE}{modem}"));
        for (modem, link) in inside.chain(outside).enumerate() {
            modems.push(ModemConfig {
                link,
                imsi: format!("23415{number}{modem:09}"),
                imei: format!("35693803{number}{modem:06}"),
                plmn: "23415".to_owned(),
                answer_ms: (config.answer_ms_min, config.answer_ms_max),
                ..ModemConfig::default()
            });
        }
    }
    modems
}

/// Modems a route that no farm inside drives: they are for a farm node in another process.
const OUTSIDE_PER_ROUTE: u32 = 2;
/// What the names of their links have.
const OUTSIDE: &str = "-outside-";
/// Simulated modems pull no voltage down: they may start all at once.
pub(crate) const PORT_OPENS_PER_SECOND_MAX: u32 = 1_000;

/// Whether a link waits for a farm node outside.
pub(crate) fn is_outside(link: &LinkName) -> bool {
    link.as_str().contains(OUTSIDE)
}

/// The simulated modems as a farm's links: without limits, since no operator minds.
pub(crate) fn links(data: &Path, modems: &[String]) -> anyhow::Result<Vec<modem_farm::Link>> {
    let devices = std::path::absolute(data.join("sim").join("dev")).context("cannot name the devices")?;
    let link = |name: &String| {
        let route = route_names().into_iter().find(|route| name.starts_with(route.as_str()));
        Ok(modem_farm::Link {
            name: LinkName::new(name)?,
            route: RouteId::new(&route.context("a modem of no route")?)?,
            device: devices.join(name),
            segments_per_minute: 0,
            sim_segments_per_minute: 0,
            sim_segments_per_day: 0,
            command_gap_ms: 0,
            ..modem_farm::Link::default()
        })
    };
    modems.iter().map(link).collect()
}
