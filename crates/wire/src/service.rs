//! Service indications and service loading (WAP-167-ServiceInd, WAP-168-ServiceLoad): a link with a text, or a link to open.
//! Knows the elements; must not know octets, nor how it travels.

use std::fmt;

use crate::wbxml::{self, Element, SERVICE_INDICATION, SERVICE_LOADING, Version, WbxmlError};

/// The content type of a service indication.
pub const INDICATION_MEDIA_TYPE: &str = "application/vnd.wap.sic";
/// The content type of a service loading.
pub const LOADING_MEDIA_TYPE: &str = "application/vnd.wap.slc";
/// The program on the phone that opens links.
pub const APPLICATION: &str = "wml.ua";

/// A link with a text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Indication {
    /// The link.
    pub href: Option<String>,
    /// What later indications name it by, to replace or to delete it.
    pub id: Option<String>,
    /// How loud it is; medium if nothing is said.
    pub action: Option<Signal>,
    /// When it was made, as `2026-11-20T08:05:00Z`.
    pub created: Option<String>,
    /// When the phone shall forget it.
    pub expires: Option<String>,
    /// The text.
    pub text: String,
}

/// How loud an indication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Not at all.
    None,
    /// Later.
    Low,
    /// As soon as it does not disturb.
    Medium,
    /// At once.
    High,
    /// Takes an earlier one away.
    Delete,
}

/// A link to open.
#[derive(Clone, PartialEq, Eq)]
pub struct Loading {
    /// The link.
    pub href: String,
    /// How it is opened; quietly if nothing is said.
    pub action: Option<Execution>,
}

/// How a link is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Execution {
    /// Without disturbing.
    Low,
    /// At once.
    High,
    /// Not: only fetched.
    Cache,
}

/// Shows no text and no link: links sign people in.
impl fmt::Debug for Indication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indication")
            .field("action", &self.action)
            .field("created", &self.created)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Shows no link.
impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").field("action", &self.action).finish_non_exhaustive()
    }
}

/// Why octets are not one of the two, or a value cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It is no such document.
    #[error("service message is no document")]
    Document {
        /// What is wrong with it.
        #[source]
        source: WbxmlError,
    },
    /// Something that must be there is not.
    #[error("`{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// An action that is none.
    #[error("action is not known")]
    Action,
}

const SIGNALS: &[(Signal, &str)] = &[
    (Signal::None, "signal-none"),
    (Signal::Low, "signal-low"),
    (Signal::Medium, "signal-medium"),
    (Signal::High, "signal-high"),
    (Signal::Delete, "delete"),
];

const EXECUTIONS: &[(Execution, &str)] =
    &[(Execution::Low, "execute-low"), (Execution::High, "execute-high"), (Execution::Cache, "cache")];

impl Indication {
    /// Writes the document.
    ///
    /// # Errors
    /// [`ServiceError`] if a date is none, a text holds a NUL, or it is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, ServiceError> {
        let action = self.action.map(|action| name_of(SIGNALS, action));
        let attributes = [
            ("href", self.href.as_deref()),
            ("si-id", self.id.as_deref()),
            ("action", action),
            ("created", self.created.as_deref()),
            ("si-expires", self.expires.as_deref()),
        ];
        let indication = Element::new("indication").saying(&self.text);
        let indication = attributes.into_iter().fold(indication, |element, (name, value)| {
            value.map_or(element.clone(), |value| element.with(name, value))
        });
        let root = Element::new("si").containing(indication);
        wbxml::encode(&root, &SERVICE_INDICATION, Version::V1_2).map_err(|source| ServiceError::Document { source })
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`ServiceError`] if it is none, or not an indication.
    pub fn decode(octets: &[u8]) -> Result<Self, ServiceError> {
        let root = wbxml::decode(octets, &SERVICE_INDICATION).map_err(|source| ServiceError::Document { source })?;
        let indication = root.child("indication").ok_or(ServiceError::Missing { name: "indication" })?;
        let attribute = |name: &str| indication.attribute(name).map(str::to_owned);
        Ok(Self {
            href: attribute("href"),
            id: attribute("si-id"),
            action: indication.attribute("action").map(|name| of_name(SIGNALS, name)).transpose()?,
            created: attribute("created"),
            expires: attribute("si-expires"),
            text: indication.text(),
        })
    }
}

impl Loading {
    /// Writes the document.
    ///
    /// # Errors
    /// [`ServiceError`] if the link holds a NUL or is over a limit.
    pub fn encode(&self) -> Result<Vec<u8>, ServiceError> {
        let root = Element::new("sl").with("href", &self.href);
        let root = match self.action {
            Some(action) => root.with("action", name_of(EXECUTIONS, action)),
            None => root,
        };
        wbxml::encode(&root, &SERVICE_LOADING, Version::V1_2).map_err(|source| ServiceError::Document { source })
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`ServiceError`] if it is none, or has no link.
    pub fn decode(octets: &[u8]) -> Result<Self, ServiceError> {
        let root = wbxml::decode(octets, &SERVICE_LOADING).map_err(|source| ServiceError::Document { source })?;
        Ok(Self {
            href: root.attribute("href").ok_or(ServiceError::Missing { name: "href" })?.to_owned(),
            action: root.attribute("action").map(|name| of_name(EXECUTIONS, name)).transpose()?,
        })
    }
}

fn name_of<Action: PartialEq>(names: &'static [(Action, &'static str)], action: Action) -> &'static str {
    names.iter().find(|(other, _)| *other == action).map(|(_, name)| *name).expect("every action has a name")
}

fn of_name<Action: Copy>(names: &[(Action, &str)], name: &str) -> Result<Action, ServiceError> {
    names.iter().find(|(_, other)| *other == name).map(|(action, _)| *action).ok_or(ServiceError::Action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indications_come_back() {
        for (action, _) in SIGNALS {
            let indication = Indication {
                href: Some("https://www.example.org/mail".to_owned()),
                id: Some("x@example.org".to_owned()),
                action: Some(*action),
                created: Some("2026-11-20T08:05:00Z".to_owned()),
                expires: None,
                text: "4 new emails".to_owned(),
            };
            assert_eq!(Indication::decode(&indication.encode().unwrap()), Ok(indication));
        }
        let bad = Indication { created: Some("now".to_owned()), ..Indication::default() };
        assert_eq!(bad.encode(), Err(ServiceError::Document { source: WbxmlError::Date }));
    }

    #[test]
    fn loadings_come_back() {
        for action in EXECUTIONS.iter().map(|(action, _)| Some(*action)).chain([None]) {
            let loading = Loading { href: "http://www.example.com/go".to_owned(), action };
            assert_eq!(Loading::decode(&loading.encode().unwrap()), Ok(loading));
        }
        assert_eq!(Loading::decode(&[2, 6, 106, 0, 5]), Err(ServiceError::Missing { name: "href" }));
    }
}
