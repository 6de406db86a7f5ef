//! `carillon apply`: who takes part, as a file says it. Knows the store's records and how a file writes them, no role.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::keyring::MasterKey;
use model::party::{ApiKey, Carries, Farm, OmsProfile, Route, Supplier, Tenant, WrappedKey};
use model::{RouteId, SupplierId, TenantId};
use runtime::Secret;
use serde::{Deserialize, Serialize};
use sms_router::replies::hooks;
use store::{Parties, Store};
use toml::{Table, Value};

use super::{Desk, Order};
use crate::cli::Common;
use crate::config::{Config, Door};
use crate::engines::{self, Absent};
use crate::{demo, secrets};

/// Octets of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The fewest characters of an API key: what is shorter can be guessed.
const KEY_CHARS_MIN: usize = 32;

/// Brings tenants, API keys, suppliers, routes and farms to what a file says; said again, it changes nothing.
///
/// What the file does not name stays as it is: a route is switched off by `enabled = false`. Prices come by
/// `sms_router.price_deck_file`. Every role follows within `parties_refresh_ms`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// The file (TOML).
    #[arg(long, short, value_name = "FILE", required_unless_present = "example")]
    file: Option<PathBuf>,
    /// Says what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints what changed as JSON, one array.
    #[arg(long)]
    json: bool,
    /// Prints a file with everything that can be said.
    #[arg(long)]
    example: bool,
}

/// What the file says.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct World {
    tenant: Vec<Table>,
    api_key: Vec<KeyFile>,
    supplier: Vec<Supplier>,
    route: Vec<RouteLine>,
    farm: Vec<Farm>,
}

/// An API key, whose text is in a file of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    tenant: TenantId,
    name: String,
    /// Below the folder of the file that names it; made, with a key in it, if it is not there.
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteLine {
    id: RouteId,
    supplier: SupplierId,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default = "yes")]
    receipts: bool,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    carries: Carries,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

/// What is to be there, as the store has it.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Wanted {
    tenants: Vec<Tenant>,
    /// A first data key for each of these, for those that have none.
    data_keys: Vec<WrappedKey>,
    api_keys: Vec<ApiKey>,
    suppliers: Vec<Supplier>,
    routes: Vec<Route>,
    farms: Vec<Farm>,
    dry_run: bool,
    json: bool,
}

/// What became of one of them.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Change {
    Made,
    Changed,
    Unchanged,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    change: Change,
}

impl Apply {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        if self.example {
            print!("{}", include_str!("../../world.toml"));
            return Ok(ExitCode::SUCCESS);
        }
        let config = Config::load(common, Door::None)?;
        let path = self.file.as_deref().context("give --file FILE")?;
        let world = read(path)?;
        let absent = if engines::on_servers(&config) { Absent::Refuse } else { Absent::Make };
        let master = secrets::master_key(&config, &common.data, absent)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let wanted = world.resolve(&master, folder, self)?;
        super::give(common, &config, Order::Apply(wanted)).await
    }
}

fn read(path: &Path) -> anyhow::Result<World> {
    let context = || format!("cannot read `{}`", path.display());
    let bytes = std::fs::metadata(path).with_context(context)?.len();
    anyhow::ensure!(bytes <= FILE_BYTES_MAX, "`{}` has more than {FILE_BYTES_MAX} octets", path.display());
    let text = std::fs::read_to_string(path).with_context(context)?;
    toml::from_str(&text).with_context(|| format!("`{}` is not usable", path.display()))
}

impl World {
    fn resolve(self, master: &MasterKey, folder: &Path, apply: &Apply) -> anyhow::Result<Wanted> {
        let tenants = self.tenant.into_iter().map(tenant).collect::<anyhow::Result<Vec<_>>>()?;
        let mint = |tenant: &Tenant| master.mint(&tenant.id, demo::now(), rand::random());
        let key = |key: KeyFile| key.resolve(master, folder, apply.dry_run);
        let route = |line: RouteLine| {
            let RouteLine { id, supplier, prefixes, receipts, enabled, carries, weight } = line;
            let most = Route::WEIGHT_MAX;
            anyhow::ensure!(weight <= most, "route `{id}`: `weight` is 0 to {most}");
            Ok(Route { id, supplier, prefixes, receipts, enabled, carries, weight })
        };
        Ok(Wanted {
            data_keys: tenants.iter().map(mint).collect(),
            tenants,
            api_keys: self.api_key.into_iter().map(key).collect::<anyhow::Result<_>>()?,
            suppliers: self.supplier,
            routes: self.route.into_iter().map(route).collect::<anyhow::Result<_>>()?,
            farms: self.farm,
            dry_run: apply.dry_run,
            json: apply.json,
        })
    }
}

/// What the file says of a tenant, over what is usual.
fn tenant(given: Table) -> anyhow::Result<Tenant> {
    let id = given.get("id").and_then(Value::as_str).context("a tenant has no `id`")?.to_owned();
    let usual = Tenant {
        id: TenantId::new(&id).with_context(|| format!("tenant `{id}`"))?,
        provider: String::new(),
        reseller: String::new(),
        default_country: String::new(),
        weight: 1,
        recipients_max: 1_000,
        segments_max: 10,
        validity_seconds: 86_400,
        resend_uncertain: false,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms: OmsProfile::default(),
    };
    let mut merged = Table::try_from(usual).context("cannot write what is usual")?;
    lay_over(&mut merged, given);
    let tenant: Tenant = merged.try_into().with_context(|| format!("tenant `{id}`"))?;
    anyhow::ensure!(tenant.weight > 0, "tenant `{id}`: `weight` must be 1 or more");
    Ok(tenant)
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

impl KeyFile {
    fn resolve(self, master: &MasterKey, folder: &Path, dry_run: bool) -> anyhow::Result<ApiKey> {
        let path = folder.join(&self.file);
        if !path.exists() && !dry_run {
            let text = format!("ck_{}\n", model::hex::digits(&rand::random::<[u8; 32]>()));
            runtime::secret::write_private(&path, text.as_bytes()).context("cannot write an API key")?;
        }
        let hash = if path.exists() {
            let secret = Secret::read(&path).context("cannot read an API key")?;
            let long = secret.expose().chars().count() >= KEY_CHARS_MIN;
            anyhow::ensure!(long, "`{}` has fewer than {KEY_CHARS_MIN} characters: a key is random", path.display());
            master.api_key_hash(secret.expose())
        } else {
            String::new()
        };
        Ok(ApiKey { name: self.name, tenant: self.tenant, hash })
    }
}

impl Wanted {
    /// Brings it about, and says what changed. What is refused is refused before anything is changed.
    pub(crate) async fn perform(&self, desk: &Desk<'_>) -> anyhow::Result<String> {
        let store = &desk.engines.store;
        let there = store.parties().await.context("cannot read who takes part")?;
        self.check(&there)?;
        for tenant in &self.tenants {
            for (field, url) in [("webhook", &tenant.webhook), ("events_url", &tenant.events_url)] {
                let checked = if url.is_empty() { Ok(()) } else { hooks::check(url, &desk.config.sms_router.webhooks) };
                checked.map_err(|reason| anyhow::anyhow!("tenant `{}`: `{field}`: {reason}", tenant.id))?;
            }
        }
        let mut rows = Vec::new();
        let mut row = |kind, name: String, change| {
            rows.push(Row { kind, name, change });
            change != Change::Unchanged && !self.dry_run
        };
        for supplier in &self.suppliers {
            let was = there.suppliers.iter().find(|was| was.id == supplier.id);
            if row("supplier", supplier.id.to_string(), change(was, supplier)) {
                store.put_supplier(supplier.clone()).await.context("cannot put a supplier")?;
            }
        }
        for route in &self.routes {
            let was = there.routes.iter().find(|was| was.id == route.id);
            if row("route", route.id.to_string(), change(was, route)) {
                store.put_route(route.clone()).await.context("cannot put a route")?;
            }
        }
        for farm in &self.farms {
            let was = there.farms.iter().find(|was| was.name == farm.name);
            if row("farm", farm.name.to_string(), change(was, farm)) {
                store.put_farm(farm.clone()).await.context("cannot put a farm")?;
            }
        }
        for key in &self.api_keys {
            let was = there.api_keys.iter().find(|was| (&was.tenant, &was.name) == (&key.tenant, &key.name));
            if row("api key", format!("{}/{}", key.tenant, key.name), change(was, key)) {
                store.put_api_key(key.clone()).await.context("cannot put an API key")?;
            }
        }
        // The tenant after its keys: whoever finds it may seal for it.
        for (tenant, key) in self.tenants.iter().zip(&self.data_keys) {
            let was = there.tenants.iter().find(|was| was.id == tenant.id);
            let mut tenant = tenant.clone();
            // When clients were told something else last is the service's own word.
            let old = was.map(|was| was.oms.clone()).unwrap_or_default();
            tenant.oms = OmsProfile { changed: old.changed, ..tenant.oms };
            let is = change(was, &tenant);
            if row("tenant", tenant.id.to_string(), is) {
                if !there.data_keys.iter().any(|there| there.tenant == tenant.id) {
                    store.put_data_key(key.clone()).await.context("cannot put a data key")?;
                }
                if is == Change::Changed {
                    tenant.oms = tenant.oms.in_place_of(&old, demo::now());
                }
                store.put_tenant(tenant).await.context("cannot put a tenant")?;
            }
        }
        self.told(&rows)
    }

    /// What is named must be there, or come with this.
    fn check(&self, there: &Parties) -> anyhow::Result<()> {
        let suppliers: BTreeSet<&SupplierId> =
            there.suppliers.iter().chain(&self.suppliers).map(|supplier| &supplier.id).collect();
        let routes: BTreeSet<&RouteId> = there.routes.iter().chain(&self.routes).map(|route| &route.id).collect();
        let tenants: BTreeSet<&TenantId> = there.tenants.iter().chain(&self.tenants).map(|tenant| &tenant.id).collect();
        for route in &self.routes {
            let (id, supplier) = (&route.id, &route.supplier);
            anyhow::ensure!(suppliers.contains(supplier), "route `{id}`: there is no supplier `{supplier}`");
            let digits = |prefix: &String| !prefix.is_empty() && prefix.bytes().all(|octet| octet.is_ascii_digit());
            anyhow::ensure!(route.prefixes.iter().all(digits), "route `{id}`: a prefix has digits only");
            let moves = there.routes.iter().any(|was| was.id == *id && was.carries != route.carries);
            anyhow::ensure!(!moves, "route `{id}`: what it carries can't be changed; make another route");
        }
        for farm in &self.farms {
            let strange = farm.routes.iter().find(|route| !routes.contains(route));
            anyhow::ensure!(strange.is_none(), "farm `{}`: there is no route `{}`", farm.name, strange.expect("found"));
        }
        for key in &self.api_keys {
            anyhow::ensure!(tenants.contains(&key.tenant), "API key `{}`: no tenant `{}`", key.name, key.tenant);
        }
        Ok(())
    }

    fn told(&self, rows: &[Row]) -> anyhow::Result<String> {
        if self.json {
            return Ok(serde_json::to_string_pretty(rows)? + "\n");
        }
        let mut text = String::new();
        for Row { kind, name, change } in rows {
            let change = match (change, self.dry_run) {
                (Change::Made, false) => "made",
                (Change::Made, true) => "would be made",
                (Change::Changed, false) => "changed",
                (Change::Changed, true) => "would be changed",
                (Change::Unchanged, _) => "as it was",
            };
            writeln!(text, "{kind:<9} {name:<40} {change}")?;
        }
        Ok(text)
    }
}

fn change<T: PartialEq>(was: Option<&T>, wanted: &T) -> Change {
    match was {
        None => Change::Made,
        Some(was) if was == wanted => Change::Unchanged,
        Some(_) => Change::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../world.toml");

    #[test]
    fn the_example_is_read_and_says_everything() {
        let world: World = toml::from_str(EXAMPLE).unwrap();
        let tenant = tenant(world.tenant.into_iter().next().unwrap()).unwrap();
        assert_eq!((tenant.id.as_str(), tenant.weight, tenant.oms.recipients_max), ("acme", 2, 50));
        assert_eq!((world.route[0].enabled, world.route[0].receipts), (true, true));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let given: Table = toml::from_str("id = 'acme'\nwieght = 2").unwrap();
        let said = format!("{:#}", tenant(given).unwrap_err());
        assert!(said.contains("wieght") && said.contains("acme"), "{said}");
        assert!(toml::from_str::<World>("[[route]]\nid = 'a'\nsuplier = 'b'").is_err());
    }
}
