//! What the accept path knows of tenants, credentials, routes and keys: an immutable picture, replaced whole. Never written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::keyring::{Keyring, MasterKey};
use model::party::{Carries, OmsUser, PriceDeck, Route, Tenant};
use model::record::Service;
use model::seal::{DataKey, NumberKey, SealError};
use model::webhook::WebhookKey;
use model::{Msisdn, TenantId, Timestamp};
use store::Parties;

/// The picture. Its staleness is bounded by `parties_refresh_ms`.
#[derive(Debug)]
pub struct Snapshot {
    /// The parties' version it was made from.
    pub version: u64,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    keys: HashMap<String, Arc<KeyHolder>>,
    users: HashMap<(TenantId, String), Arc<OmsUser>>,
    /// Tenants that may have numbers which opted out.
    opt_outs: HashSet<TenantId>,
    short: HashSet<String>,
    multimedia: HashSet<String>,
    has_multimedia_route: bool,
    has_short_route: bool,
    ring: Keyring,
    numbers: NumberKey,
    installation: String,
    master: MasterKey,
}

/// Who holds an API key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The key's name within the tenant.
    pub name: String,
}

impl Snapshot {
    /// Compiles the parties as they hold at `now`.
    ///
    /// # Errors
    /// [`SealError`] when a data key does not open: probably the wrong master key.
    pub fn new(parties: Parties, master: &MasterKey, now: Timestamp) -> Result<Self, SealError> {
        let ring = Keyring::open(master, &parties.data_keys, now)?;
        let [short, multimedia] = [Carries::Sms, Carries::Mms].map(|carries| {
            reachable(parties.routes.iter().filter(|route| route.carries == carries), &parties.deck, now)
        });
        let has_route = |carries| parties.routes.iter().any(|route| route.enabled && route.carries == carries);
        let (has_multimedia_route, has_short_route) = (has_route(Carries::Mms), has_route(Carries::Sms));
        let tenants: HashMap<_, _> =
            parties.tenants.into_iter().map(|tenant| (tenant.id.clone(), Arc::new(tenant))).collect();
        let holder = |key: model::party::ApiKey| {
            let tenant = Arc::clone(tenants.get(&key.tenant)?);
            Some((key.hash, Arc::new(KeyHolder { tenant, name: key.name })))
        };
        let keys = parties.api_keys.into_iter().filter_map(holder).collect();
        let user = |user: OmsUser| ((user.tenant.clone(), user.user_id.clone()), Arc::new(user));
        let users = parties.oms_users.into_iter().map(user).collect();
        let opt_outs = parties.opt_outs.into_iter().collect();
        let numbers = master.number_key();
        let version = parties.version;
        let (installation, master) = (master.installation(), master.clone());
        Ok(Snapshot {
            version,
            tenants,
            keys,
            users,
            opt_outs,
            short,
            multimedia,
            has_multimedia_route,
            has_short_route,
            ring,
            numbers,
            installation,
            master,
        })
    }

    /// The holder of an API key. The look-up is by a keyed hash, so its timing tells nothing of other keys.
    #[must_use]
    pub fn key_holder(&self, key: &str) -> Option<&Arc<KeyHolder>> {
        self.keys.get(&self.master.api_key_hash(key))
    }

    /// What is kept of a device's token.
    #[must_use]
    pub fn device_token_hash(&self, token: &str) -> String {
        self.master.device_token_hash(token)
    }

    /// Whether a tenant may have numbers that opted out.
    #[must_use]
    pub fn has_opt_outs(&self, tenant: &TenantId) -> bool {
        self.opt_outs.contains(tenant)
    }

    /// A tenant by name.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// The tenant an address without a tenant means: `preferred` if it names one, else the only one there is.
    #[must_use]
    pub fn default_tenant(&self, preferred: &str) -> Option<&Arc<Tenant>> {
        if preferred.is_empty() {
            let mut all = self.tenants.values();
            return all.next().filter(|_| all.next().is_none());
        }
        self.tenant(&TenantId::new(preferred).ok()?)
    }

    /// A user of a tenant's OMS door.
    #[must_use]
    pub fn user(&self, tenant: &TenantId, user_id: &str) -> Option<&Arc<OmsUser>> {
        self.users.get(&(tenant.clone(), user_id.to_owned()))
    }

    /// Whether some enabled route of a supplier with a price carries this service to this number. The router decides
    /// again, by health.
    #[must_use]
    pub fn is_reachable(&self, number: &Msisdn, service: Service) -> bool {
        let (digits, prefixes) = match service {
            Service::Sms => (number.digits(), &self.short),
            Service::Mms => (number.digits(), &self.multimedia),
        };
        (1..=digits.len()).any(|length| prefixes.contains(&digits[..length])) || prefixes.contains("")
    }

    /// What other installations know this one by.
    #[must_use]
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// Whether there is any enabled route for multimedia messages: without one nobody is offered them.
    #[must_use]
    pub fn has_multimedia_route(&self) -> bool {
        self.has_multimedia_route
    }

    /// Whether there is any enabled route for short messages: without one no device hears of anything.
    #[must_use]
    pub fn has_short_route(&self) -> bool {
        self.has_short_route
    }

    /// The data keys.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// The key of what handsets sent to whoever had none.
    #[must_use]
    pub fn inbound_key(&self) -> DataKey {
        self.master.inbound_key()
    }

    /// The key that posts to a tenant's webhook are signed with.
    #[must_use]
    pub fn webhook_key(&self, tenant: &TenantId) -> WebhookKey {
        self.master.webhook_key(tenant)
    }

    /// The key of look-up hashes.
    #[must_use]
    pub fn numbers(&self) -> &NumberKey {
        &self.numbers
    }
}

/// Prefixes that some enabled route carries at a price valid now: of two nested prefixes (the rate's, the route's) the
/// longer one.
fn reachable<'a>(routes: impl Iterator<Item = &'a Route> + Clone, deck: &PriceDeck, now: Timestamp) -> HashSet<String> {
    let mut prefixes = HashSet::new();
    let valid = deck.rates.iter().filter(|rate| rate.from <= now && rate.to.is_none_or(|to| now < to));
    for rate in valid {
        for route in routes.clone().filter(|route| route.enabled && route.supplier == rate.supplier) {
            if route.prefixes.is_empty() {
                prefixes.insert(rate.prefix.clone());
            }
            let meet = |own: &String| match (own.starts_with(&rate.prefix), rate.prefix.starts_with(own.as_str())) {
                (true, _) => Some(own.clone()),
                (_, true) => Some(rate.prefix.clone()),
                _ => None,
            };
            prefixes.extend(route.prefixes.iter().filter_map(meet));
        }
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::party::{Rate, RatePrice};
    use model::{RouteId, SupplierId};

    fn rate(prefix: &str, from: i64, to: Option<i64>) -> Rate {
        let unit = RatePrice { micros: 1, currency: "EUR".parse().unwrap() };
        let supplier = SupplierId::new("blue").unwrap();
        Rate {
            supplier,
            prefix: prefix.into(),
            country: String::new(),
            unit,
            from: Timestamp(from),
            to: to.map(Timestamp),
        }
    }

    fn route(prefixes: &[&str], enabled: bool) -> Route {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let (id, supplier) = (RouteId::new("blue-1").unwrap(), SupplierId::new("blue").unwrap());
        Route { id, supplier, prefixes, receipts: true, enabled, carries: Carries::Sms, weight: 1 }
    }

    #[track_caller]
    fn check(rates: &[Rate], routes: &[Route], expected: &[&str]) {
        let deck = PriceDeck { version: 1, rates: rates.to_vec() };
        let found = reachable(routes.iter(), &deck, Timestamp(100));
        assert_eq!(found, expected.iter().map(|prefix| (*prefix).to_owned()).collect());
    }

    #[test]
    fn a_number_needs_a_route_with_a_price() {
        check(&[rate("44", 0, None)], &[route(&[], true)], &["44"]);
        check(&[rate("44", 0, None)], &[route(&["447"], true)], &["447"]);
        check(&[rate("447", 0, None)], &[route(&["44"], true)], &["447"]);
        check(&[rate("44", 0, None)], &[route(&["49"], true)], &[]);
        check(&[rate("44", 0, None)], &[route(&[], false)], &[]);
        check(&[rate("44", 0, Some(100))], &[route(&[], true)], &[]);
        check(&[rate("44", 101, None)], &[route(&[], true)], &[]);
    }
}
