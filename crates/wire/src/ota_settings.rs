//! Settings as Nokia and Ericsson sent them before client provisioning (OTA Settings Specification 7.0): an access point, a
//! home page, bookmarks. Knows the documents; must not know phones, nor how it travels.

use std::fmt;

use crate::{
    wbxml::{self, Element, OTA_SETTINGS, Version, WbxmlError},
    wsp::{MediaType, Parameters, Push},
};

/// The content type of settings.
pub const SETTINGS_MEDIA_TYPE: &str = "application/x-wap-prov.browser-settings";
/// The content type of bookmarks.
pub const BOOKMARKS_MEDIA_TYPE: &str = "application/x-wap-prov.browser-bookmarks";
/// The transaction of the push; nobody looks at it.
const TRANSACTION_ID: u8 = 1;
const BOOKMARK: &str = "BOOKMARK";

/// A list of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What it sets, in order.
    pub characteristics: Vec<Characteristic>,
}

/// One group of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Characteristic {
    /// Its type: `ADDRESS`, `URL`, `NAME`, `BOOKMARK`, …
    pub kind: String,
    /// Its value; those of type `URL` have one.
    pub value: Option<String>,
    /// What is in it, in order.
    pub parameters: Vec<Parameter>,
}

/// One setting.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Shows the name only: values may be passwords.
impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({})", self.name)
    }
}

/// Why octets are not such a document, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtaError {
    /// It is no such document.
    #[error("settings are no document")]
    Document {
        /// What is wrong with it.
        #[source]
        source: WbxmlError,
    },
    /// An element that does not belong where it is.
    #[error("element `{name}` does not belong here")]
    Element {
        /// Its name.
        name: String,
    },
    /// An attribute that must be there is not.
    #[error("attribute `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
}

impl Document {
    /// Writes the document.
    ///
    /// # Errors
    /// [`OtaError::Document`] if a type has no token, a text holds a NUL, or it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, OtaError> {
        let root = Element::new(OTA_SETTINGS.root);
        let root = self.characteristics.iter().map(Characteristic::element).fold(root, Element::containing);
        wbxml::encode(&root, &OTA_SETTINGS, Version::V1_1).map_err(|source| OtaError::Document { source })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`OtaError`] if it is none.
    pub fn decode(octets: &[u8]) -> Result<Self, OtaError> {
        let root = wbxml::decode(octets, &OTA_SETTINGS).map_err(|source| OtaError::Document { source })?;
        Self::of(&root)
    }

    /// The document of a tree.
    ///
    /// # Errors
    /// [`OtaError`] if an element is in the wrong place or an attribute is missing.
    pub fn of(root: &Element) -> Result<Self, OtaError> {
        check_name(root, OTA_SETTINGS.root)?;
        Ok(Self { characteristics: root.children().map(Characteristic::of).collect::<Result<_, _>>()? })
    }

    /// What a phone is told it is: bookmarks, if it holds nothing else.
    pub fn media_type(&self) -> &'static str {
        let is_bookmark = |characteristic: &Characteristic| characteristic.kind == BOOKMARK;
        let only_bookmarks = !self.characteristics.is_empty() && self.characteristics.iter().all(is_bookmark);
        if only_bookmarks { BOOKMARKS_MEDIA_TYPE } else { SETTINGS_MEDIA_TYPE }
    }

    /// The push that carries it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn push(&self) -> Result<Push, OtaError> {
        Ok(Push {
            transaction_id: TRANSACTION_ID,
            media_type: MediaType::named(self.media_type()),
            parameters: Parameters::utf_8(),
            application: None,
            push_flag: None,
            body: self.encode()?,
        })
    }
}

impl Characteristic {
    fn element(&self) -> Element {
        let element = Element::new("CHARACTERISTIC").with("TYPE", &self.kind);
        let element = match &self.value {
            Some(value) => element.with("VALUE", value),
            None => element,
        };
        let parameter =
            |parameter: &Parameter| Element::new("PARM").with("NAME", &parameter.name).with("VALUE", &parameter.value);
        self.parameters.iter().map(parameter).fold(element, Element::containing)
    }

    fn of(element: &Element) -> Result<Self, OtaError> {
        check_name(element, "CHARACTERISTIC")?;
        Ok(Self {
            kind: attribute(element, "TYPE")?,
            value: element.attribute("VALUE").map(str::to_owned),
            parameters: element.children().map(Parameter::of).collect::<Result<_, _>>()?,
        })
    }
}

impl Parameter {
    fn of(element: &Element) -> Result<Self, OtaError> {
        check_name(element, "PARM")?;
        Ok(Self { name: attribute(element, "NAME")?, value: attribute(element, "VALUE")? })
    }
}

fn check_name(element: &Element, name: &'static str) -> Result<(), OtaError> {
    if element.name == name { Ok(()) } else { Err(OtaError::Element { name: element.name.clone() }) }
}

fn attribute(element: &Element, name: &'static str) -> Result<String, OtaError> {
    Ok(element.attribute(name).ok_or(OtaError::Missing { name })?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn characteristic(kind: &str, parameters: &[(&str, &str)]) -> Characteristic {
        let parameter =
            |(name, value): &(&str, &str)| Parameter { name: (*name).to_owned(), value: (*value).to_owned() };
        Characteristic { kind: kind.to_owned(), value: None, parameters: parameters.iter().map(parameter).collect() }
    }

    #[test]
    fn documents_come_back() {
        let address =
            characteristic("ADDRESS", &[("BEARER", "GPRS"), ("PORT", "9201"), ("X", "GPRS 2"), ("PROXY", "")]);
        let page = Characteristic { value: Some("http://wap.example".to_owned()), ..characteristic("URL", &[]) };
        let document = Document { characteristics: vec![address, page] };
        assert_eq!(Document::decode(&document.encode().unwrap()), Ok(document.clone()));
        assert_eq!(document.media_type(), SETTINGS_MEDIA_TYPE);
        assert!(!format!("{document:?}").contains("GPRS"));
    }

    #[test]
    fn only_bookmarks_are_bookmarks() {
        let bookmark = characteristic("BOOKMARK", &[("NAME", "Mail"), ("URL", "http://mail.example/")]);
        assert_eq!(Document { characteristics: vec![bookmark.clone()] }.media_type(), BOOKMARKS_MEDIA_TYPE);
        let name = characteristic("NAME", &[("NAME", "x")]);
        assert_eq!(Document { characteristics: vec![bookmark, name] }.media_type(), SETTINGS_MEDIA_TYPE);
        assert_eq!(Document::default().media_type(), SETTINGS_MEDIA_TYPE);
    }

    #[test]
    fn a_type_without_a_token_is_refused() {
        let document = Document { characteristics: vec![characteristic("HOME", &[])] };
        let source = WbxmlError::Name { name: "TYPE".to_owned() };
        assert_eq!(document.encode(), Err(OtaError::Document { source }));
    }
}
