//! Client models: what a make of phone understands. A table that a tenant edits; no I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Device, Resource, SyncKind};

/// What devices of a model understand. Kept as a document by (tenant, name).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientModel {
    /// Its name, unique within the tenant.
    pub name: String,
    /// Whether devices of it can be notified.
    pub push: bool,
    /// The settings they take.
    pub ota: Ota,
    /// The notification they understand.
    pub san: San,
    /// Whether notifications are to be signed with the account's password.
    #[serde(default)]
    pub digest: bool,
    /// Whether a notification may name no data store and mean all of them.
    #[serde(default)]
    pub all_stores: bool,
    /// TP-DCS of what goes to them (octets, 3GPP 23.038).
    #[serde(default = "class_1_octets")]
    pub dcs: u8,
    /// What they call resources unless the device says something else, by the canonical name.
    #[serde(default)]
    pub resources: BTreeMap<String, Resource>,
}

const fn class_1_octets() -> u8 {
    0xf5
}

impl ClientModel {
    /// The models every tenant has without naming them; a document of the same name takes the place of one.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        // What phones call their data stores: push-wire.md, 2, from the templates of a synchronisation program.
        let nokia = [
            ("contacts", "Contacts", "text/x-vcard"),
            ("calendar", "Calendar", "text/x-vcalendar"),
            ("notes", "Notes", "text/plain"),
        ];
        let sony_ericsson = [
            ("contacts", "Contact", "text/x-vcard"),
            ("calendar", "Calendar", "text/x-vcalendar"),
            ("tasks", "Task", "text/x-vcalendar"),
            ("notes", "Memo", "text/plain"),
        ];
        vec![
            Self::plain("ds-1.2", San::Ds12, &[]),
            Self::plain("ds-1.1", San::Ds11, &[]),
            Self::plain("ds-1.0", San::Ds10, &[]),
            ClientModel { digest: true, ota: Ota::None, ..Self::plain("dm-1.2", San::Dm12, &[]) },
            Self::plain("nokia", San::Ds12, &nokia),
            // They take settings and heed no alert that comes by short message.
            ClientModel { push: false, ..Self::plain("sony-ericsson", San::Ds12, &sony_ericsson) },
            ClientModel { push: false, ..Self::plain("sony-ericsson-k750", San::Ds11, &sony_ericsson) },
        ]
    }

    /// The built-in model of this name.
    #[must_use]
    pub fn built_in_of(name: &str) -> Option<Self> {
        Self::built_in().into_iter().find(|model| model.name == name)
    }

    /// What a device of this model calls things: the model's names, and in their place the device's own.
    #[must_use]
    pub fn resources_of(&self, device: &Device) -> BTreeMap<String, Resource> {
        let mut resources = self.resources.clone();
        resources.extend(device.resources.clone());
        resources
    }

    fn plain(name: &str, san: San, resources: &[(&str, &str, &str)]) -> Self {
        let resource = |&(canonical, name, media_type): &(&str, &str, &str)| {
            let (name, content_type) = (name.to_owned(), media_type.to_owned());
            (canonical.to_owned(), Resource { name, sync: SyncKind::TwoWay, content_type, enabled: true })
        };
        ClientModel {
            name: name.to_owned(),
            push: true,
            ota: Ota::ClientProvisioning,
            san,
            digest: false,
            all_stores: false,
            dcs: class_1_octets(),
            resources: resources.iter().map(resource).collect(),
        }
    }
}

/// The kinds of notification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum San {
    /// OMA DS 1.2: the binary package.
    #[default]
    #[serde(rename = "ds-1.2")]
    Ds12,
    /// SyncML DS 1.1: package #0 in WBXML.
    #[serde(rename = "ds-1.1")]
    Ds11,
    /// SyncML DS 1.0: the same, as it was.
    #[serde(rename = "ds-1.0")]
    Ds10,
    /// OMA DM 1.2: names no data stores.
    #[serde(rename = "dm-1.2")]
    Dm12,
}

/// The kinds of settings sent over the air.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ota {
    /// None.
    #[default]
    None,
    /// OMA Client Provisioning.
    ClientProvisioning,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_have_names_of_their_own_and_read_back() {
        let all = ClientModel::built_in();
        let names: std::collections::BTreeSet<&str> = all.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for model in all {
            assert_eq!(ClientModel::built_in_of(&model.name), Some(model.clone()));
            let text = serde_json::to_string(&model).unwrap();
            assert_eq!(serde_json::from_str::<ClientModel>(&text).unwrap(), model);
        }
        assert_eq!(ClientModel::built_in_of("typewriter"), None);
    }
}
