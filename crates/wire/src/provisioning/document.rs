//! Characteristics and their parameters, as a tree and as octets. Knows no application.

use std::fmt;

use super::{MEDIA_TYPE, ProvisioningError, Security};
use crate::{
    wbxml::{self, Element, PROVISIONING, Version},
    wsp::{MediaType, Parameters, Push},
};

/// A provisioning document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its version, `1.0` on everything there is.
    pub version: Option<String>,
    /// What it sets, in order.
    pub characteristics: Vec<Characteristic>,
}

/// A group of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Characteristic {
    /// Its type, such as `APPLICATION`.
    pub kind: String,
    /// What is in it, in order.
    pub entries: Vec<Entry>,
}

/// One thing in a group.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A setting.
    Parameter {
        /// Its name.
        name: String,
        /// Its value; some have none.
        value: Option<String>,
    },
    /// A group inside the group.
    Characteristic(Characteristic),
}

/// Shows names only: values are addresses and passwords.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { name, .. } => write!(f, "Parameter({name})"),
            Self::Characteristic(characteristic) => characteristic.fmt(f),
        }
    }
}

impl Document {
    /// A document of version 1.0.
    pub fn new(characteristics: Vec<Characteristic>) -> Self {
        Self { version: Some("1.0".to_owned()), characteristics }
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`ProvisioningError::Document`] if a text holds a NUL or it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, ProvisioningError> {
        wbxml::encode(&self.element(), &PROVISIONING, Version::V1_3)
            .map_err(|source| ProvisioningError::Document { source })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ProvisioningError`] if it is none.
    pub fn decode(octets: &[u8]) -> Result<Self, ProvisioningError> {
        let root = wbxml::decode(octets, &PROVISIONING).map_err(|source| ProvisioningError::Document { source })?;
        Self::of(&root)
    }

    /// The document of a tree.
    ///
    /// # Errors
    /// [`ProvisioningError`] if an element is in the wrong place or an attribute is missing.
    pub fn of(root: &Element) -> Result<Self, ProvisioningError> {
        check_name(root, "wap-provisioningdoc")?;
        Ok(Self {
            version: root.attribute("version").map(str::to_owned),
            characteristics: root.children().map(Characteristic::of).collect::<Result<_, _>>()?,
        })
    }

    fn element(&self) -> Element {
        let root = Element::new("wap-provisioningdoc");
        let root = match &self.version {
            Some(version) => root.with("version", version),
            None => root,
        };
        self.characteristics.iter().map(Characteristic::element).fold(root, Element::containing)
    }
}

impl Characteristic {
    /// An empty group.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), entries: vec![] }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.entries.push(Entry::Parameter { name: name.to_owned(), value: Some(value.to_owned()) });
        self
    }

    /// The same with one more group in it.
    #[must_use]
    pub fn containing(mut self, characteristic: Self) -> Self {
        self.entries.push(Entry::Characteristic(characteristic));
        self
    }

    fn element(&self) -> Element {
        let element = Element::new("characteristic").with("type", &self.kind);
        self.entries.iter().map(Entry::element).fold(element, Element::containing)
    }

    fn of(element: &Element) -> Result<Self, ProvisioningError> {
        check_name(element, "characteristic")?;
        Ok(Self {
            kind: attribute(element, "type")?,
            entries: element.children().map(Entry::of).collect::<Result<_, _>>()?,
        })
    }
}

impl Entry {
    fn element(&self) -> Element {
        match self {
            Self::Parameter { name, value } => {
                let parameter = Element::new("parm").with("name", name);
                match value {
                    Some(value) => parameter.with("value", value),
                    None => parameter,
                }
            }
            Self::Characteristic(characteristic) => characteristic.element(),
        }
    }

    fn of(element: &Element) -> Result<Self, ProvisioningError> {
        if element.name != "parm" {
            return Characteristic::of(element).map(Self::Characteristic);
        }
        Ok(Self::Parameter { name: attribute(element, "name")?, value: element.attribute("value").map(str::to_owned) })
    }
}

/// The push that carries a document, signed where there is something to sign with.
///
/// Without a signature most phones show the settings or drop them.
pub fn push(transaction_id: u8, document: Vec<u8>, security: Option<&Security>) -> Push {
    let parameters = security.map_or_else(Parameters::default, |security| Parameters {
        charset: None,
        security: Some(security.code()),
        mac: Some(security.mac(&document)),
    });
    Push {
        transaction_id,
        media_type: MediaType::named(MEDIA_TYPE),
        parameters,
        application: None,
        push_flag: None,
        body: document,
    }
}

fn check_name(element: &Element, name: &'static str) -> Result<(), ProvisioningError> {
    if element.name == name { Ok(()) } else { Err(ProvisioningError::Element { name: element.name.clone() }) }
}

fn attribute(element: &Element, name: &'static str) -> Result<String, ProvisioningError> {
    Ok(element.attribute(name).ok_or(ProvisioningError::Missing { name })?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back() {
        let application = Characteristic::new("APPLICATION")
            .with("APPID", "w5")
            .containing(Characteristic::new("APPAUTH").with("AAUTHLEVEL", "APPSRV").with("AAUTHNAME", "alice"))
            .with("X-OTHER", "");
        let mut document = Document::new(vec![application, Characteristic::new("X-VENDOR")]);
        document.characteristics[1].entries.push(Entry::Parameter { name: "INTERNET".to_owned(), value: None });
        assert_eq!(Document::decode(&document.encode().unwrap()), Ok(document.clone()));
        assert!(!format!("{document:?}").contains("alice"));
    }

    #[test]
    fn both_ways_of_writing_a_level_are_read() {
        let expected = Document {
            version: None,
            characteristics: vec![Characteristic::new("APPAUTH").with("AAUTHLEVEL", "APPSRV")],
        };
        // `value` from page 0, and from page 1 where the level's own token stands.
        let head = [3, 0x0b, 106, 0, 0x45, 0xc6, 0, 1, 0x57, 1, 0x87, 0x30];
        for value in [&[0, 0, 6, 0, 1, 0x8d][..], &[6, 0x8d]] {
            assert_eq!(Document::decode(&[&head[..], value, &[1, 1, 1]].concat()), Ok(expected.clone()));
        }
    }

    #[test]
    fn refuses_what_is_in_the_wrong_place() {
        assert_eq!(
            Document::decode(&[3, 11, 106, 0, 0x45, 7, 1]),
            Err(ProvisioningError::Element { name: "parm".to_owned() })
        );
        assert_eq!(Document::decode(&[3, 11, 106, 0, 0x45, 6, 1]), Err(ProvisioningError::Missing { name: "type" }));
    }
}
