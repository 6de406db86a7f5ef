//! Who may do what, as far as the dispatcher goes: a snapshot taken from the store's. Knows parties, asks nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use control::FarmIdentity;
use lease::message::Hello;
use model::keyring::Keyring;
use model::party::Farm;
use model::{FarmName, RouteId, TenantId};
use store::Parties;

/// A snapshot of farms, routes, weights and data keys.
#[derive(Clone, Default, Debug)]
pub struct Directory {
    farms: BTreeMap<FarmName, Farm>,
    routes: BTreeSet<RouteId>,
    weights: HashMap<TenantId, u32>,
    keys: Arc<Keyring>,
}

/// Why a farm may not attach. The farm is told, and the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwelcome {
    /// Its first word names another farm than its certificate.
    #[error(transparent)]
    Identity(#[from] control::IdentityError),
    /// Nobody entered it.
    #[error("farm `{farm}` is not in the table of farms")]
    Unknown { farm: FarmName },
    /// It is operated by somebody else.
    #[error("farm `{farm}` belongs to operator `{known}`, the certificate says `{certified}`")]
    Operator { farm: FarmName, known: String, certified: String },
    /// It serves what it must not.
    #[error("farm `{farm}` may not serve route `{route}`")]
    Route { farm: FarmName, route: RouteId },
}

impl Directory {
    /// The snapshot that follows from the store's and the keys unwrapped from it.
    #[must_use]
    pub fn of(parties: &Parties, keys: Arc<Keyring>) -> Self {
        Directory {
            farms: parties.farms.iter().map(|farm| (farm.name.clone(), farm.clone())).collect(),
            routes: parties.routes.iter().map(|route| route.id.clone()).collect(),
            weights: parties.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.weight)).collect(),
            keys,
        }
    }

    /// The routes there are, also those that are switched off: what stands before them is still carried.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.routes.iter()
    }

    /// Whether there is such a route.
    pub(super) fn has_route(&self, route: &RouteId) -> bool {
        self.routes.contains(route)
    }

    /// A tenant's weight in the service of a route.
    pub(super) fn weight(&self, tenant: &TenantId) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(1).max(1)
    }

    /// A data key's secret.
    pub(super) fn secret(&self, id: &str) -> Option<[u8; 32]> {
        self.keys.key(id).ok().map(|key| *key.expose())
    }

    /// Checks a farm's first word against its certificate and the table.
    pub(super) fn admit(&self, identity: &FarmIdentity, hello: &Hello) -> Result<(), Unwelcome> {
        identity.check(hello)?;
        let name = &hello.farm;
        let farm = self.farms.get(name).ok_or_else(|| Unwelcome::Unknown { farm: name.clone() })?;
        if farm.operator != identity.operator {
            let (known, certified) = (farm.operator.clone(), identity.operator.clone());
            return Err(Unwelcome::Operator { farm: name.clone(), known, certified });
        }
        match hello.routes.iter().find(|route| !farm.routes.contains(*route) || !self.routes.contains(*route)) {
            Some(route) => Err(Unwelcome::Route { farm: name.clone(), route: route.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lease::message::Incarnation;

    fn directory() -> Directory {
        let route = |name: &str| RouteId::new(name).unwrap();
        let farm = Farm {
            name: FarmName::new("cellar").unwrap(),
            operator: "blue".into(),
            routes: [route("gb"), route("gone")].into(),
        };
        Directory {
            farms: [(farm.name.clone(), farm)].into(),
            routes: [route("gb"), route("de")].into(),
            ..Directory::default()
        }
    }

    #[track_caller]
    fn check(operator: &str, certified: &str, said: &str, routes: &[&str], expected: Option<&str>) {
        let identity = FarmIdentity { operator: operator.into(), farm: FarmName::new(certified).unwrap() };
        let hello = Hello {
            farm: FarmName::new(said).unwrap(),
            incarnation: Incarnation(1),
            version: String::new(),
            routes: routes.iter().map(|route| RouteId::new(route).unwrap()).collect(),
            sessions: Vec::new(),
        };
        let refused = directory().admit(&identity, &hello).err().map(|reason| reason.to_string());
        assert_eq!(refused.as_deref(), expected);
    }

    #[test]
    fn only_the_farm_of_the_table_with_its_routes_is_welcome() {
        check("blue", "cellar", "cellar", &["gb"], None);
        check("blue", "cellar", "cellar", &[], None);
        check("blue", "cellar", "attic", &[], Some("the farm calls itself `attic`, its certificate says `cellar`"));
        check("blue", "attic", "attic", &[], Some("farm `attic` is not in the table of farms"));
        let operator = "farm `cellar` belongs to operator `blue`, the certificate says `red`";
        check("red", "cellar", "cellar", &["gb"], Some(operator));
        check("blue", "cellar", "cellar", &["gb", "de"], Some("farm `cellar` may not serve route `de`"));
        check("blue", "cellar", "cellar", &["gone"], Some("farm `cellar` may not serve route `gone`"));
    }
}
