//! What each kind of vector says, as calls of the codecs. Knows the format of the vectors; must not know folders.

mod http;
mod malformed;
mod markup;
mod san;
mod settings;
mod sms;
mod text;
mod wap;

use serde_json::Value;
use wire::tpdu::{from_hex, to_hex};

pub(crate) use text::tables;

/// The kinds there are.
pub(crate) const KINDS: &[&str] = &[
    "gsm7",
    "http-template",
    "malformed",
    "nokia-ota",
    "oma-cp",
    "san-dm",
    "san-ds11",
    "san-ds12",
    "segmentation",
    "si-sl",
    "sms-deliver",
    "sms-status-report",
    "sms-submit",
    "tp-status",
    "vp-relative",
    "wap-sms",
    "wsp-push",
];

/// One vector of a file.
pub(crate) struct Vector<'document> {
    value: &'document Value,
}

impl<'document> Vector<'document> {
    pub(crate) fn of(value: &'document Value) -> Self {
        Self { value }
    }

    pub(crate) fn name(&self) -> &'document str {
        self.value["name"].as_str().expect("a vector has a name")
    }

    /// Runs it in every direction its kind has.
    pub(crate) fn check(&self, kind: &str) {
        match self.value.get("direction").map(|direction| direction.as_str()) {
            None | Some(Some("decode")) => {}
            Some(other) => panic!("direction {other:?}"),
        }
        match kind {
            "gsm7" => text::gsm7(self),
            "http-template" => http::template(self),
            "malformed" => malformed::malformed(self),
            "nokia-ota" => settings::ota_settings(self),
            "oma-cp" => settings::provisioning(self),
            "san-dm" => san::device_management(self),
            "san-ds11" => san::package_0(self),
            "san-ds12" => san::data_sync(self),
            "segmentation" => text::segmentation(self),
            "si-sl" => settings::service(self),
            "sms-deliver" => sms::deliver(self),
            "sms-status-report" => sms::status_report(self),
            "sms-submit" => sms::submit(self),
            "tp-status" => sms::status(self),
            "vp-relative" => sms::validity_octet(self),
            "wap-sms" => wap::sms(self),
            "wsp-push" => wap::push(self),
            other => panic!("kind `{other}`"),
        }
    }

    /// Whether the other direction would give other octets.
    fn decodes_only(&self) -> bool {
        self.value.get("direction").is_some()
    }

    /// The inputs, none of which is unknown.
    fn inputs(&self, known: &[&str]) -> Fields<'document> {
        Fields::of(&self.value["inputs"], known)
    }

    /// What is expected, none of which is unknown. Notes are to be named too.
    fn expected(&self, known: &[&str]) -> Fields<'document> {
        Fields::of(&self.value["expected"], known)
    }
}

/// An object of a vector.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'document> {
    value: &'document Value,
}

impl<'document> Fields<'document> {
    fn of(value: &'document Value, known: &[&str]) -> Self {
        only_keys(value, known);
        Self { value }
    }

    /// A value that is there and not null.
    fn get(&self, key: &str) -> Option<&'document Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> &'document str {
        self.maybe_text(key).unwrap_or_else(|| panic!("`{key}` is missing"))
    }

    fn maybe_text(&self, key: &str) -> Option<&'document str> {
        self.get(key).map(|value| value.as_str().unwrap_or_else(|| panic!("`{key}` is no text")))
    }

    fn maybe_number<Number: TryFrom<u64>>(&self, key: &str) -> Option<Number> {
        let number = |value: &Value| value.as_u64().and_then(|number| Number::try_from(number).ok());
        self.get(key).map(|value| number(value).unwrap_or_else(|| panic!("`{key}` is no such number")))
    }

    fn number<Number: TryFrom<u64>>(&self, key: &str) -> Number {
        self.maybe_number(key).unwrap_or_else(|| panic!("`{key}` is missing"))
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.as_bool().unwrap_or_else(|| panic!("`{key}` is no flag")))
    }

    fn octets(&self, key: &str) -> Vec<u8> {
        from_hex(self.text(key).as_bytes()).unwrap_or_else(|error| panic!("`{key}`: {error}"))
    }

    fn maybe_octets(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).map(|_| self.octets(key))
    }

    fn list(&self, key: &str) -> &'document [Value] {
        self.get(key).and_then(Value::as_array).unwrap_or_else(|| panic!("`{key}` is no list"))
    }

    /// Compares octets with lower-case digits, as the files have them.
    #[track_caller]
    fn check_hex(&self, key: &str, octets: &[u8]) {
        assert_eq!(to_hex(octets).to_lowercase(), self.text(key), "`{key}`");
    }
}

/// An object without keys that nobody knows.
#[track_caller]
pub(crate) fn only_keys(value: &Value, known: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let unknown: Vec<&String> = object.keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "keys {unknown:?} are not known");
}
