//! Who takes part: tenants, their credentials and limits, suppliers, routes, prices, farms. No I/O, no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{AllowanceLimits, Decimal, FarmName, Money, RouteId, SupplierId, TenantId, Timestamp};

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
    /// Whether it is remembered which phones it wrote to, so that what they answer through a SIM or account that others use, too, is
    /// known to be for it. Of messages of OMS users it always is.
    #[serde(default, skip_serializing_if = "is_off")]
    pub hears_answers: bool,
    /// Where the tenant gets what phones send it and is no user's reply; empty: where the router's settings say, or nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub webhook: String,
    /// Where the tenant is asked what changed, over and over; empty: it tells us itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub events_url: String,
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
    /// Whether short messages are offered.
    #[serde(default = "offered")]
    pub sms: bool,
    /// What a multimedia message may be; `None`: they are not offered.
    #[serde(default)]
    pub mms: Option<OmsMultimedia>,
    /// Bytes one request may have; 0: what the gateway allows.
    #[serde(default)]
    pub request_bytes_max: u64,
    /// Words no text may have, in any case.
    #[serde(default)]
    pub words_refused: Vec<String>,
    /// Whether what a user sends again within ten minutes, same content ids, recipient and text, is taken for a repeat.
    #[serde(default, skip_serializing_if = "is_off")]
    pub drops_repeats: bool,
    /// Whether result documents declare `utf-16`, as some old clients' services do.
    #[serde(default)]
    pub declares_utf16: bool,
    /// Whether `serviceInfo` stands in the namespace of the other documents, as the vendor's schema has it.
    #[serde(default)]
    pub info_in_base_namespace: bool,
    /// How users sign up by themselves; `None`: they do not, here.
    #[serde(default)]
    pub sign_up: Option<OmsSignUp>,
    /// When what clients are told by `GetServiceInfo` changed last; `None`: never since they were told first.
    #[serde(default)]
    pub changed: Option<Timestamp>,
}

/// What a user who signs up gets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OmsSignUp {
    /// The price list, as people are to read it: plain text, line by line.
    pub price_list: String,
    /// What a delivery takes off the balance.
    pub price: Option<Decimal>,
    /// What a user begins with; `None`: nobody counts it.
    pub balance: Option<Decimal>,
    /// Deliveries a day (UTC); `None`: any number.
    pub per_day: Option<u64>,
    /// Deliveries a month (UTC); `None`: any number.
    pub per_month: Option<u64>,
}

/// The limits of multimedia messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmsMultimedia {
    /// Whether slides are understood; if not, they are flattened to their contents.
    pub slides: bool,
    /// Recipients one message may have.
    pub recipients_max: u32,
    /// Bytes of all its media, decoded.
    pub size_bytes_max: u32,
    /// Slides one message may have.
    pub slides_max: u32,
    /// Whether numbers that no route carries multimedia messages to get a notice, by a route for short messages, of one that waits at
    /// the gateway.
    #[serde(default)]
    pub by_notice: bool,
}

/// What is as it always was is not written: builds that do not know the field read the record.
const fn is_off(value: &bool) -> bool {
    !*value
}

const fn one() -> u32 {
    1
}

const fn is_one(value: &u32) -> bool {
    *value == 1
}

const fn offered() -> bool {
    true
}

/// The limits are those of the protocol's own example.
impl Default for OmsProfile {
    fn default() -> Self {
        OmsProfile {
            service_provider: String::new(),
            service_uri: String::new(),
            sign_up_page: String::new(),
            target_locale: 0,
            local_name: String::new(),
            english_name: String::new(),
            recipients_max: 50,
            messages_max: 20,
            sbcs_max: 160,
            dbcs_max: 70,
            batch_max: 100,
            scheduling: false,
            schedule_days_max: 0,
            join_parts: false,
            sms: true,
            mms: None,
            request_bytes_max: 0,
            words_refused: Vec::new(),
            drops_repeats: false,
            declares_utf16: false,
            info_in_base_namespace: false,
            sign_up: None,
            changed: None,
        }
    }
}

impl Default for OmsMultimedia {
    fn default() -> Self {
        OmsMultimedia { slides: true, recipients_max: 100, size_bytes_max: 30_000, slides_max: 10, by_notice: false }
    }
}

impl OmsProfile {
    /// This profile in place of `old`: the time of change moves to `now` if clients that asked before were told
    /// something else, and stays if not.
    #[must_use]
    pub fn in_place_of(self, old: &OmsProfile, now: Timestamp) -> Self {
        let changed = if self.tells_what(old) { old.changed } else { Some(now) };
        OmsProfile { changed, ..self }
    }

    /// Whether `GetServiceInfo` tells the same of both.
    fn tells_what(&self, other: &OmsProfile) -> bool {
        fn texts(of: &OmsProfile) -> [&str; 5] {
            [&of.service_provider, &of.service_uri, &of.sign_up_page, &of.local_name, &of.english_name]
        }
        let sms = |of: &OmsProfile| of.sms.then_some([of.recipients_max, of.messages_max, of.sbcs_max, of.dbcs_max]);
        let rest = |of: &OmsProfile| (of.target_locale, sms(of), of.mms, of.sign_up.is_some());
        texts(self) == texts(other) && rest(self) == rest(other)
    }
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
    /// What the user has subscribed to.
    #[serde(default = "short_messages")]
    pub services: BTreeSet<OmsService>,
    /// Deliveries a day (UTC); `None`: any number.
    #[serde(default)]
    pub per_day: Option<u64>,
    /// Deliveries a month (UTC); `None`: any number.
    #[serde(default)]
    pub per_month: Option<u64>,
    /// What a delivery takes off the balance, for a user who has one.
    #[serde(default)]
    pub price: Option<Decimal>,
    /// Since when the user has this state; `None`: since an earlier build, which did not note it.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// From when an active user is expired; `None`: never by itself.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The user's own mailbox; may be empty.
    #[serde(default)]
    pub mail_address: String,
    /// Whether the mailbox was proved to be the user's. Nothing goes to one that was not.
    #[serde(default)]
    pub mail_verified: bool,
    /// Where the user wants replies; `None`: in the mailbox if there is a proved one, else on the phone.
    #[serde(default)]
    pub reply_to: Option<ReplyTo>,
    /// Whether the reply phone was proved to be the user's.
    #[serde(default)]
    pub phone_verified: bool,
    /// Whether the tenant allows this user an empty password.
    #[serde(default)]
    pub may_have_no_password: bool,
    /// Whether the user began to sign up at the page and has something left to prove. Only such a user becomes active there,
    /// and only such a user's id becomes free again.
    #[serde(default)]
    pub signing_up: bool,
}

/// Where replies from phones go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyTo {
    /// To the user's mailbox.
    Mailbox,
    /// To the user's own phone.
    Phone,
    /// To both.
    Both,
}

impl OmsUser {
    /// An active user of short messages, without limits.
    #[must_use]
    pub fn new(tenant: TenantId, user_id: String, password_hash: String) -> Self {
        OmsUser {
            tenant,
            user_id,
            password_hash,
            state: UserState::Active,
            reply_phone: String::new(),
            smtp_address: String::new(),
            services: short_messages(),
            per_day: None,
            per_month: None,
            price: None,
            since: None,
            until: None,
            mail_address: String::new(),
            mail_verified: false,
            reply_to: None,
            phone_verified: false,
            may_have_no_password: false,
            signing_up: false,
        }
    }

    /// The state at `now`: a registration may have run out by itself.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> UserState {
        match self.state {
            UserState::Active if self.until.is_some_and(|until| until <= now) => UserState::Expired,
            state => state,
        }
    }

    /// Where replies go.
    #[must_use]
    pub fn replies_go(&self) -> ReplyTo {
        let by_default = if self.mail_verified { ReplyTo::Mailbox } else { ReplyTo::Phone };
        self.reply_to.unwrap_or(by_default)
    }

    /// How much the user may send.
    #[must_use]
    pub const fn limits(&self) -> AllowanceLimits {
        AllowanceLimits { per_day: self.per_day, per_month: self.per_month, price: self.price }
    }
}

/// A service of the OMS door.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum OmsService {
    /// Short messages.
    #[serde(rename = "SMS_SENDER")]
    Sms,
    /// Multimedia messages.
    #[serde(rename = "MMS_SENDER")]
    Mms,
}

fn short_messages() -> BTreeSet<OmsService> {
    BTreeSet::from([OmsService::Sms])
}

/// What a route carries. A connection to a multimedia centre is a route of its own, with prices of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// Short messages.
    #[default]
    Sms,
    /// Multimedia messages.
    Mms,
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
    /// What it carries.
    #[serde(default)]
    pub carries: Carries,
    /// Its part of what several routes would carry at the same price, at most [`Route::WEIGHT_MAX`]; 0: only what no other of them can.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
}

impl Route {
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 1_000;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_changes_when_clients_are_told_something_else() {
        let (now, old) = (Timestamp(7), OmsProfile { changed: Some(Timestamp(3)), ..OmsProfile::default() });
        let same = OmsProfile { scheduling: true, ..OmsProfile::default() };
        assert_eq!(same.in_place_of(&old, now).changed, Some(Timestamp(3)));
        let other = OmsProfile { sbcs_max: 153, ..OmsProfile::default() };
        assert_eq!(other.in_place_of(&old, now).changed, Some(now));
        let mms = OmsProfile { mms: Some(OmsMultimedia::default()), ..OmsProfile::default() };
        assert_eq!(mms.in_place_of(&old, now).changed, Some(now));
    }

    #[test]
    fn what_is_not_used_is_not_written() {
        let written = |profile: &OmsProfile| serde_json::to_string(profile).unwrap().contains("drops_repeats");
        let used = OmsProfile { drops_repeats: true, ..OmsProfile::default() };
        assert_eq!(
            (written(&OmsProfile::default()), written(&used)),
            (false, true),
            "builds before know no such field"
        );
    }

    #[test]
    fn a_registration_runs_out_by_itself() {
        let tenant = TenantId::new("acme").unwrap();
        let user = OmsUser { until: Some(Timestamp(5)), ..OmsUser::new(tenant, "demo".into(), String::new()) };
        assert_eq!([4, 5].map(|now| user.state_at(Timestamp(now))), [UserState::Active, UserState::Expired]);
        let ceased = OmsUser { state: UserState::Ceased, ..user };
        assert_eq!(ceased.state_at(Timestamp(6)), UserState::Ceased);
    }

    #[test]
    fn replies_go_to_the_mailbox_once_it_is_proved() {
        let user = OmsUser::new(TenantId::new("acme").unwrap(), "demo".into(), String::new());
        assert_eq!(user.replies_go(), ReplyTo::Phone);
        let proved = OmsUser { mail_verified: true, ..user };
        assert_eq!(proved.replies_go(), ReplyTo::Mailbox);
        assert_eq!(OmsUser { reply_to: Some(ReplyTo::Both), ..proved }.replies_go(), ReplyTo::Both);
    }

    #[test]
    fn records_of_earlier_builds_are_read() {
        let user = r#"{"tenant":"acme","user_id":"demo","password_hash":"x","state":"active","reply_phone":"","smtp_address":""}"#;
        let user: OmsUser = serde_json::from_str(user).unwrap();
        assert_eq!(user.services, short_messages());
        let route = r#"{"id":"r","supplier":"s","prefixes":[],"receipts":true,"enabled":true}"#;
        assert_eq!(serde_json::from_str::<Route>(route).unwrap().carries, Carries::Sms);
    }
}
