//! Reading a document by its elements. Knows the difference between a broken document and a wrong one; must not know
//! which elements there are.

use super::InvalidFormat;
use crate::oms::xml::{Broken, Element, Item, Pull};
use std::borrow::Cow;

/// Why an element is refused. The difference matters in a batch: a wrong item leaves the others alone, a broken document
/// has no items at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The document is not well-formed or over a limit.
    Broken,
    /// The element is well-formed so far, and not what it should be.
    Wrong,
}

impl From<Broken> for ReadError {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl From<ReadError> for InvalidFormat {
    fn from(_: ReadError) -> Self {
        Self
    }
}

/// Reads the root's start tag, which must be the OMS element `name`.
pub(super) fn root<'a>(pull: &mut Pull<'a>, name: &str) -> Result<Element<'a>, ReadError> {
    match pull.next()? {
        Item::Start(root) if root.is_oms(name) => Ok(root),
        _ => Err(ReadError::Wrong),
    }
}

/// Makes sure that nothing follows the root.
pub(super) fn end(pull: &mut Pull<'_>) -> Result<(), ReadError> {
    match pull.next()? {
        Item::Eof => Ok(()),
        _ => Err(ReadError::Broken),
    }
}

/// Gives every child element to `on_child`, until the element just started ends. A child in the OMS namespace that
/// `on_child` does not take (`Ok(false)`), and every other one, is passed over. Text between children means nothing.
pub(super) fn children<'a>(
    pull: &mut Pull<'a>,
    mut on_child: impl FnMut(&mut Pull<'a>, &Element<'a>) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    loop {
        match pull.next()? {
            Item::Start(child) => {
                let depth = pull.depth() - 1;
                if !(child.namespace.is_oms() && on_child(pull, &child)?) {
                    pull.skip_to(depth)?;
                }
            }
            Item::End => return Ok(()),
            Item::Text(_) => {}
            Item::Eof => return Err(ReadError::Broken),
        }
    }
}

/// Puts the text of the element just started into `slot`. Twice the same element, or elements in the text, are wrong.
pub(super) fn text_into<'a>(pull: &mut Pull<'a>, slot: &mut Option<Cow<'a, str>>) -> Result<bool, ReadError> {
    let text = pull.leaf_text()?.ok_or(ReadError::Wrong)?;
    set(slot, text)
}

/// Fills `slot` once.
pub(super) fn set<T>(slot: &mut Option<T>, value: T) -> Result<bool, ReadError> {
    match slot.replace(value) {
        None => Ok(true),
        Some(_) => Err(ReadError::Wrong),
    }
}

/// A required attribute.
pub(super) fn required<'a>(element: &Element<'a>, name: &str) -> Result<Cow<'a, str>, ReadError> {
    element.attribute(name).ok_or(ReadError::Wrong)
}

/// A required attribute of type `unsignedInt`.
pub(super) fn required_number(element: &Element<'_>, name: &str) -> Result<u32, ReadError> {
    trimmed_str(&required(element, name)?).parse().map_err(|_| ReadError::Wrong)
}

/// Drops ASCII white space at both ends.
pub(super) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trimmed_str(text)),
        Cow::Owned(text) => Cow::Owned(trimmed_str(&text).to_owned()),
    }
}

pub(super) fn trimmed_str(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_ascii_whitespace())
}
