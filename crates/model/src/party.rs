//! Who takes part: tenants, their credentials and limits, suppliers, routes, prices, farms. No I/O, no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{FarmName, Money, RouteId, SupplierId, TenantId, Timestamp};

/// A tenant: whose servers hand us messages.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's name.
    pub id: TenantId,
    /// The provider of the installation.
    pub provider: String,
    /// The reseller between, if any; else empty.
    pub reseller: String,
    /// Completes national numbers (ISO 3166-1 alpha-2); empty: only international ones are taken.
    pub default_country: String,
    /// Weight in the service of a route; 1 or more.
    pub weight: u32,
    /// Recipients one REST request may have.
    pub recipients_max: u32,
    /// Segments one text may have.
    pub segments_max: u32,
    /// How long a message without a validity of its own may wait.
    pub validity_seconds: u32,
    /// Whether what may have been sent is sent again.
    pub resend_uncertain: bool,
    /// What the OMS service says of itself and allows.
    pub oms: OmsProfile,
}

/// What the OMS service of a tenant says of itself (`serviceInfo`), and its limits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmsProfile {
    /// Company name.
    pub service_provider: String,
    /// The service's public address; empty: the address the request came to.
    pub service_uri: String,
    /// Where users sign up.
    pub sign_up_page: String,
    /// Windows LCID of the market; 0 is worldwide.
    pub target_locale: u16,
    /// Name in the market's language.
    pub local_name: String,
    /// Name elsewhere.
    pub english_name: String,
    /// Recipients one xmsData may have.
    pub recipients_max: u32,
    /// Parts one xmsData may have.
    pub messages_max: u32,
    /// Characters of an all-ASCII part.
    pub sbcs_max: u32,
    /// UTF-16 units of any other part.
    pub dbcs_max: u32,
    /// Items one batch may have.
    pub batch_max: u32,
    /// Whether `scheduled` is honoured.
    pub scheduling: bool,
    /// How far ahead; 0: no limit.
    pub schedule_days_max: u32,
    /// Whether parts marked `(i/n)` are joined into one long text.
    pub join_parts: bool,
}

/// A key for the REST door: only its hash is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name within the tenant, for logs and lists.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Keyed BLAKE3 hash of the key, 64 hexadecimal digits.
    pub hash: String,
}

/// A user of the OMS door.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmsUser {
    /// Whose user.
    pub tenant: TenantId,
    /// Unique within the tenant.
    pub user_id: String,
    /// Argon2 hash of the password (PHC string).
    pub password_hash: String,
    /// Whether the user may send.
    pub state: UserState,
    /// The user's own number, as `GetUserInfo` tells it; may be empty.
    pub reply_phone: String,
    /// The address replies come from; made by us, unguessable.
    pub smtp_address: String,
}

/// State of an OMS user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserState {
    /// May send.
    Active,
    /// Known, not registered.
    Unregistered,
    /// Credit or registration ran out.
    Expired,
    /// The service was shut down for this user.
    Ceased,
}

/// A supplier: who carries for money.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplier {
    /// The supplier's name.
    pub id: SupplierId,
    /// For people.
    pub name: String,
}

/// A route: one connection to a supplier.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The route's name.
    pub id: RouteId,
    /// Whose connection.
    pub supplier: SupplierId,
    /// Number prefixes (digits) this connection carries; empty: all the supplier has a price for.
    pub prefixes: Vec<String>,
    /// Whether it gives delivery receipts.
    pub receipts: bool,
    /// Off: nothing new is routed to it.
    pub enabled: bool,
}

/// One line of a supplier's price deck: valid from `from` up to, not including, `to`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Whose price.
    pub supplier: SupplierId,
    /// Digits the number begins with, without `+`.
    pub prefix: String,
    /// ISO 3166-1 alpha-2; empty if the deck does not say.
    pub country: String,
    /// Price of one segment.
    pub unit: RatePrice,
    /// First moment it holds.
    pub from: Timestamp,
    /// First moment it no longer holds; `None`: for good.
    pub to: Option<Timestamp>,
}

/// Money in a form that reads back from JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePrice {
    /// Millionths of the currency's unit.
    pub micros: i64,
    /// ISO 4217.
    pub currency: crate::Currency,
}

impl From<RatePrice> for Money {
    fn from(price: RatePrice) -> Self {
        Money { micros: price.micros, currency: price.currency }
    }
}

/// The price deck in force, whole: the result of one accepted import.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceDeck {
    /// Rises by one with each import; recorded in every routed message.
    pub version: u64,
    /// All lines of all suppliers.
    pub rates: Vec<Rate>,
}

/// A farm that may attach, and what it may serve.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Farm {
    /// The farm's name, as its certificate says.
    pub name: FarmName,
    /// Who operates it, as its certificate says.
    pub operator: String,
    /// Routes it may serve.
    pub routes: BTreeSet<RouteId>,
}

/// A data key at rest: wrapped with the installation's master key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// Public id: tenant and period.
    pub id: String,
    /// Whose content it seals.
    pub tenant: TenantId,
    /// First moment of its period.
    pub from: Timestamp,
    /// The secret, sealed with the master key.
    pub wrapped: Vec<u8>,
}
