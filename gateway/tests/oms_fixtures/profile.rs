//! A profile of the fixtures as what the product keeps in its store. Knows the fixtures' words and the store's records.

use model::party::{Carries, OmsMultimedia, OmsProfile, OmsService, OmsUser};
use model::party::{Rate, RatePrice, Route, Supplier, Tenant, UserState};
use model::{Allowance, Decimal, RouteId, SupplierId, TenantId, Timestamp};
use serde_json::Value;
use store::{AnyStore, Store};

/// The tenant that everything is loaded for.
pub(crate) fn tenant_id() -> TenantId {
    TenantId::new("acme").expect("a name")
}

/// RFC 7396.
pub(crate) fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut out = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            out.remove(key);
        } else {
            let value = merged(out.get(key).unwrap_or(&Value::Null), value);
            out.insert(key.clone(), value);
        }
    }
    Value::Object(out)
}

/// Puts a profile into an empty store.
pub(crate) async fn put(store: &AnyStore, profile: &Value, now: Timestamp) {
    for key in profile.as_object().expect("a profile").keys() {
        assert!(KEYS.contains(&key.as_str()), "the profile has a key `{key}` that nobody knows");
    }
    put_routes(store, profile).await;
    store.put_tenant(tenant(profile)).await.expect("writable");
    for one in list(profile, "users") {
        let user = user(one);
        let (tenant, id) = (user.tenant.clone(), user.user_id.clone());
        store.put_oms_user(user).await.expect("writable");
        let used = |period: &str| number(&one[period], "used").unwrap_or(0);
        let allowance = Allowance::begun(now, used("perDay"), used("perMonth"), decimal(&one["balance"]));
        assert!(store.replace_allowance(&tenant, &id, 0, allowance).await.expect("writable"));
    }
}

const KEYS: [&str; 12] = [
    "sms",
    "mms",
    "maxBatch",
    "maxRequestBytes",
    "maxScheduleDays",
    "scheduling",
    "joinParts",
    "users",
    "routable",
    "lanes",
    "serviceChanged",
    "notes",
];

fn list<'a>(profile: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    profile.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn number(of: &Value, key: &str) -> Option<u64> {
    of.get(key).map(|value| value.as_u64().unwrap_or_else(|| panic!("`{key}` is a number")))
}

fn narrow(of: &Value, key: &str, otherwise: u32) -> u32 {
    number(of, key).map_or(otherwise, |number| u32::try_from(number).expect("a number of 32 bits"))
}

fn text(of: &Value, key: &str) -> String {
    of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn decimal(value: &Value) -> Option<Decimal> {
    value.as_str().map(|text| text.parse().expect("a decimal number"))
}

/// One supplier for each service, both with a price for every prefix.
async fn put_routes(store: &AnyStore, profile: &Value) {
    let mut rates = Vec::new();
    for (name, carries) in [("short", Carries::Sms), ("multimedia", Carries::Mms)] {
        let supplier = SupplierId::new(name).expect("a name");
        store.put_supplier(Supplier { id: supplier.clone(), name: name.into() }).await.expect("writable");
        let id = RouteId::new(name).expect("a name");
        let route = Route {
            id,
            supplier: supplier.clone(),
            prefixes: Vec::new(),
            receipts: true,
            enabled: true,
            carries,
            weight: 1,
        };
        store.put_route(route).await.expect("writable");
        rates.extend(list(profile, "routable").map(|prefix| Rate {
            supplier: supplier.clone(),
            prefix: prefix.as_str().expect("a prefix").trim_start_matches('+').to_owned(),
            country: String::new(),
            unit: RatePrice { micros: 35_000, currency: "EUR".parse().expect("a currency") },
            from: Timestamp(0),
            to: None,
        }));
    }
    store.replace_deck(rates).await.expect("writable");
}

fn tenant(profile: &Value) -> Tenant {
    Tenant {
        id: tenant_id(),
        provider: "provider".into(),
        reseller: String::new(),
        default_country: String::new(),
        weight: 1,
        recipients_max: 100,
        segments_max: 10,
        validity_seconds: 3600,
        resend_uncertain: false,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms: oms(profile),
    }
}

fn oms(profile: &Value) -> OmsProfile {
    let (sms, mms, usual) = (&profile["sms"], &profile["mms"], OmsMultimedia::default());
    let otherwise = OmsProfile::default();
    let changed = profile.get("serviceChanged").and_then(Value::as_str);
    OmsProfile {
        service_provider: "Example Telecom".into(),
        sign_up_page: "https://oms.example.invalid/signup".into(),
        local_name: "Example SMS".into(),
        english_name: "Example SMS".into(),
        sms: *sms != Value::Bool(false),
        recipients_max: narrow(sms, "maxRecipientsPerMessage", otherwise.recipients_max),
        messages_max: narrow(sms, "maxMessagesPerSend", otherwise.messages_max),
        sbcs_max: narrow(sms, "maxSbcsPerMessage", otherwise.sbcs_max),
        dbcs_max: narrow(sms, "maxDbcsPerMessage", otherwise.dbcs_max),
        mms: (*mms != Value::Bool(false)).then(|| OmsMultimedia {
            slides: mms.get("supportSlide").map_or(usual.slides, |value| value == true),
            recipients_max: narrow(mms, "maxRecipientsPerMessage", usual.recipients_max),
            size_bytes_max: narrow(mms, "maxSizePerMessage", usual.size_bytes_max),
            slides_max: narrow(mms, "maxSlidesPerMessage", usual.slides_max),
            ..usual
        }),
        batch_max: narrow(profile, "maxBatch", otherwise.batch_max),
        request_bytes_max: number(profile, "maxRequestBytes").unwrap_or(0),
        schedule_days_max: narrow(profile, "maxScheduleDays", 0),
        scheduling: profile["scheduling"] == true,
        join_parts: profile["joinParts"] == true,
        changed: changed.map(|text| Timestamp::parse_rfc3339(text).expect("a time")),
        ..otherwise
    }
}

fn user(one: &Value) -> OmsUser {
    let password_hash = gateway::auth::hash_password(&text(one, "password"));
    OmsUser {
        state: match one.get("state").and_then(Value::as_str) {
            None | Some("active") => UserState::Active,
            Some("unregistered") => UserState::Unregistered,
            Some("expired") => UserState::Expired,
            Some("ceased") => UserState::Ceased,
            Some(other) => panic!("`{other}` is no state of a user"),
        },
        reply_phone: text(one, "replyPhone"),
        smtp_address: text(one, "smtpAddress"),
        services: list(one, "services").map(service).collect(),
        per_day: number(&one["perDay"], "limit"),
        per_month: number(&one["perMonth"], "limit"),
        price: decimal(&one["price"]),
        ..OmsUser::new(tenant_id(), text(one, "userId"), password_hash)
    }
}

fn service(name: &Value) -> OmsService {
    serde_json::from_value(name.clone()).expect("a service")
}
