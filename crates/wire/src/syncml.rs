//! Package #0 of SyncML DS 1.0 to 1.2: the notification as an ordinary SyncML message in WBXML. Knows the elements; must not
//! know octets, how it travels, nor devices. The binary form of 1.2 is [`crate::san`].
//!
//! In an alert's item the data store stands in `Source`, because the server is the one who speaks.

use crate::{
    san::SyncType,
    wbxml::{self, Element, SYNCML_1_0, SYNCML_1_1, SYNCML_1_2, Version, Vocabulary, WbxmlError},
};

/// Alerts of one package.
pub const ALERTS_MAX: usize = 64;
/// Items of one alert.
pub const ITEMS_MAX: usize = 256;

/// Package #0.
#[derive(Clone, PartialEq, Eq)]
pub struct Package {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The session the phone is to name.
    pub session_id: u32,
    /// The message's number in the session; the first is 1.
    pub message_id: u32,
    /// To whom: `/`, or the device's identifier.
    pub target: String,
    /// From whom: the server's identifier, as the phone has it in its settings.
    pub source: String,
    /// What is to be synchronised, at least one.
    pub alerts: Vec<Alert>,
}

/// Does not show the target: it is the identity of a device.
impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Package")
            .field("version", &self.version)
            .field("session_id", &self.session_id)
            .field("message_id", &self.message_id)
            .field("source", &self.source)
            .field("alerts", &self.alerts)
            .finish_non_exhaustive()
    }
}

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// 1.0
    V1_0,
    /// 1.1
    #[default]
    V1_1,
    /// 1.2
    V1_2,
}

/// Data stores to be synchronised in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The way.
    pub sync_type: SyncType,
    /// The data stores.
    pub items: Vec<Item>,
}

/// One data store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name on the phone, to the last letter.
    pub uri: String,
    /// What is in it, as a media type.
    pub content_type: Option<String>,
}

/// Why octets are not package #0, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncmlError {
    /// It is no SyncML document.
    #[error("package is no document")]
    Document {
        /// What is wrong with it.
        #[source]
        source: WbxmlError,
    },
    /// An element that must be there is not.
    #[error("element `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A version other than 1.0, 1.1 and 1.2.
    #[error("version is not known")]
    Version,
    /// An element that holds a number does not.
    #[error("element `{name}` is no number")]
    Number {
        /// Its name.
        name: &'static str,
    },
    /// A kind of synchronisation that must not be asked for.
    #[error("alert `{code}` does not notify")]
    Alert {
        /// The alert code.
        code: u16,
    },
    /// Over a limit.
    #[error("more than `{max}` {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

impl Package {
    /// Writes the package.
    ///
    /// # Errors
    /// [`SyncmlError`] if there is no alert, one must not be sent, or it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, SyncmlError> {
        check_count(self.alerts.len(), "Alert", "alerts", ALERTS_MAX)?;
        let mut body = Element::new("SyncBody");
        for (index, alert) in self.alerts.iter().enumerate() {
            body = body.containing(alert.element(index + 1)?);
        }
        let body = body.containing(Element::new("Final"));
        let root = Element::new("SyncML").containing(self.header()).containing(body);
        wbxml::encode(&root, self.version.vocabulary(), Version::V1_2)
            .map_err(|source| SyncmlError::Document { source })
    }

    /// Reads a package of any of the versions. What is not asked for here is passed over.
    ///
    /// # Errors
    /// [`SyncmlError`] if it is no SyncML document or lacks what makes it a notification.
    pub fn decode(octets: &[u8]) -> Result<Self, SyncmlError> {
        let root = wbxml::decode(octets, &SYNCML_1_1).map_err(|source| SyncmlError::Document { source })?;
        let header = child(&root, "SyncHdr")?;
        let body = child(&root, "SyncBody")?;
        child(body, "Final")?;
        let alerts: Vec<&Element> = body.children().filter(|element| element.name == "Alert").collect();
        check_count(alerts.len(), "Alert", "alerts", ALERTS_MAX)?;
        Ok(Self {
            version: ProtocolVersion::of(&child(header, "VerDTD")?.text())?,
            session_id: number(header, "SessionID")?,
            message_id: number(header, "MsgID")?,
            target: location(header, "Target")?,
            source: location(header, "Source")?,
            alerts: alerts.into_iter().map(Alert::of).collect::<Result<_, _>>()?,
        })
    }

    fn header(&self) -> Element {
        let version = self.version.text();
        Element::new("SyncHdr")
            .containing(Element::new("VerDTD").saying(version))
            .containing(Element::new("VerProto").saying(&format!("SyncML/{version}")))
            .containing(Element::new("SessionID").saying(&self.session_id.to_string()))
            .containing(Element::new("MsgID").saying(&self.message_id.to_string()))
            .containing(located("Target", &self.target))
            .containing(located("Source", &self.source))
    }
}

impl Alert {
    fn element(&self, command_id: usize) -> Result<Element, SyncmlError> {
        let code = self.sync_type.alert();
        if let SyncType::Other(_) = self.sync_type {
            return Err(SyncmlError::Alert { code });
        }
        check_count(self.items.len(), "Item", "items", ITEMS_MAX)?;
        let alert = Element::new("Alert")
            .containing(Element::new("CmdID").saying(&command_id.to_string()))
            .containing(Element::new("Data").saying(&code.to_string()));
        Ok(self.items.iter().map(Item::element).fold(alert, Element::containing))
    }

    fn of(element: &Element) -> Result<Self, SyncmlError> {
        let code = number(element, "Data")?;
        let code = u16::try_from(code).map_err(|_| SyncmlError::Number { name: "Data" })?;
        let sync_type = SyncType::of_alert(code).ok_or(SyncmlError::Alert { code })?;
        let items: Vec<&Element> = element.children().filter(|element| element.name == "Item").collect();
        check_count(items.len(), "Item", "items", ITEMS_MAX)?;
        Ok(Self { sync_type, items: items.into_iter().map(Item::of).collect::<Result<_, _>>()? })
    }
}

impl Item {
    fn element(&self) -> Element {
        let item = Element::new("Item").containing(located("Source", &self.uri));
        match &self.content_type {
            Some(media_type) => {
                item.containing(Element::new("Meta").containing(Element::new("Type").saying(media_type)))
            }
            None => item,
        }
    }

    fn of(element: &Element) -> Result<Self, SyncmlError> {
        let media_type = element.child("Meta").and_then(|meta| meta.child("Type")).map(Element::text);
        Ok(Self { uri: location(element, "Source")?, content_type: media_type })
    }
}

impl ProtocolVersion {
    fn of(text: &str) -> Result<Self, SyncmlError> {
        [Self::V1_0, Self::V1_1, Self::V1_2]
            .into_iter()
            .find(|version| version.text() == text)
            .ok_or(SyncmlError::Version)
    }

    /// As the documents write it.
    pub fn text(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    fn vocabulary(self) -> &'static Vocabulary {
        match self {
            Self::V1_0 => &SYNCML_1_0,
            Self::V1_1 => &SYNCML_1_1,
            Self::V1_2 => &SYNCML_1_2,
        }
    }
}

fn check_count(count: usize, name: &'static str, what: &'static str, max: usize) -> Result<(), SyncmlError> {
    match count {
        0 => Err(SyncmlError::Missing { name }),
        _ if count > max => Err(SyncmlError::TooMany { what, max }),
        _ => Ok(()),
    }
}

fn located(name: &str, uri: &str) -> Element {
    Element::new(name).containing(Element::new("LocURI").saying(uri))
}

fn child<'tree>(element: &'tree Element, name: &'static str) -> Result<&'tree Element, SyncmlError> {
    element.child(name).ok_or(SyncmlError::Missing { name })
}

fn location(element: &Element, name: &'static str) -> Result<String, SyncmlError> {
    Ok(child(child(element, name)?, "LocURI")?.text())
}

fn number(element: &Element, name: &'static str) -> Result<u32, SyncmlError> {
    child(element, name)?.text().trim().parse().map_err(|_| SyncmlError::Number { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let item = Item { uri: "./contacts".to_owned(), content_type: None };
        Package {
            version: ProtocolVersion::V1_1,
            session_id: 1,
            message_id: 1,
            target: "/".to_owned(),
            source: "srv".to_owned(),
            alerts: vec![Alert { sync_type: SyncType::TwoWay, items: vec![item] }],
        }
    }

    #[test]
    fn an_empty_notification_is_none() {
        let silent = Package { alerts: vec![], ..package() };
        assert_eq!(silent.encode(), Err(SyncmlError::Missing { name: "Alert" }));
        let empty = Package { alerts: vec![Alert { sync_type: SyncType::TwoWay, items: vec![] }], ..package() };
        assert_eq!(empty.encode(), Err(SyncmlError::Missing { name: "Item" }));
    }

    #[test]
    fn other_alerts_are_refused() {
        let mut other = package();
        other.alerts[0].sync_type = SyncType::Other(0);
        assert_eq!(other.encode(), Err(SyncmlError::Alert { code: 200 }));
        let octets = package().encode().unwrap();
        let at = octets.windows(3).position(|three| three == b"206").unwrap();
        let mut changed = octets.clone();
        changed[at..at + 3].copy_from_slice(b"200");
        assert_eq!(Package::decode(&changed), Err(SyncmlError::Alert { code: 200 }));
        changed[at..at + 3].copy_from_slice(b"2x6");
        assert_eq!(Package::decode(&changed), Err(SyncmlError::Number { name: "Data" }));
    }

    #[test]
    fn what_others_add_is_passed_over() {
        // A credential, a response address, a second command and a target in the item; `Final` before the alert.
        let target = located("Target", "/");
        let item = Element::new("Item").containing(target.clone()).containing(located("Source", "./contacts"));
        let header =
            package().header().containing(Element::new("Cred").containing(Element::new("Data").saying("c2Vj")));
        let body = Element::new("SyncBody")
            .containing(Element::new("Final"))
            .containing(Element::new("Get").containing(Element::new("CmdID").saying("1")))
            .containing(Element::new("Alert").containing(Element::new("Data").saying("206")).containing(item));
        let root = Element::new("SyncML").containing(header).containing(body);
        let octets = wbxml::encode(&root, &SYNCML_1_1, Version::V1_3).unwrap();
        assert_eq!(Package::decode(&octets), Ok(package()));
    }
}
