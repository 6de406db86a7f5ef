//! Writes trees as octets, canonically: no string table, UTF-8, tokens wherever there is one, a page switch only where the
//! next token needs one. Knows no vocabulary by itself.

use super::{
    DEPTH_MAX, DOCUMENT_OCTETS_MAX, Element, Vocabulary, WbxmlError, date,
    element::{Attribute, Content},
};
use crate::uintvar;

pub(super) const SWITCH_PAGE: u8 = 0x00;
pub(super) const END: u8 = 0x01;
pub(super) const STRING_INLINE: u8 = 0x03;
pub(super) const OPAQUE: u8 = 0xc3;
pub(super) const HAS_ATTRIBUTES: u8 = 0x80;
pub(super) const HAS_CONTENT: u8 = 0x40;
/// IANA's MIBenum.
pub(super) const UTF_8: u8 = 106;

/// The version a document says it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.1
    V1_1 = 0x01,
    /// 1.2
    V1_2 = 0x02,
    /// 1.3
    V1_3 = 0x03,
}

/// Writes a document.
///
/// # Errors
/// [`WbxmlError`] if a name is not in the vocabulary, a date is none, a text holds a NUL, or it is over a limit.
pub fn encode(root: &Element, vocabulary: &Vocabulary, version: Version) -> Result<Vec<u8>, WbxmlError> {
    let mut octets = vec![version as u8];
    uintvar::push(vocabulary.public_ids.first().map_or(UNKNOWN_PUBLIC_ID, |id| id.number), &mut octets);
    octets.extend_from_slice(&[UTF_8, 0]);
    let mut encoder = Encoder { octets, vocabulary, tag_page: 0, attribute_page: 0 };
    encoder.element(root, 1)?;
    if encoder.octets.len() > DOCUMENT_OCTETS_MAX {
        return Err(WbxmlError::TooMuch { what: "octets", max: DOCUMENT_OCTETS_MAX });
    }
    Ok(encoder.octets)
}

/// What a document of an unregistered type says (WAP-192-WBXML, 7.2).
pub(super) const UNKNOWN_PUBLIC_ID: u32 = 1;

struct Encoder<'vocabulary> {
    octets: Vec<u8>,
    vocabulary: &'vocabulary Vocabulary,
    /// Elements and attributes have code pages of their own (WAP-192-WBXML, 5.8.4.7.2).
    tag_page: u8,
    attribute_page: u8,
}

impl Encoder<'_> {
    fn element(&mut self, element: &Element, depth: usize) -> Result<(), WbxmlError> {
        if depth > DEPTH_MAX {
            return Err(WbxmlError::TooMuch { what: "elements inside each other", max: DEPTH_MAX });
        }
        let tag = self.vocabulary.tag_of(&element.name).ok_or_else(|| unknown(&element.name))?;
        switch(&mut self.octets, &mut self.tag_page, tag.page);
        let flag = |is_empty: bool, bit: u8| if is_empty { 0 } else { bit };
        let attributes = flag(element.attributes.is_empty(), HAS_ATTRIBUTES);
        let content = flag(element.content.is_empty(), HAS_CONTENT);
        self.octets.push(tag.code | attributes | content);
        if attributes != 0 {
            element.attributes.iter().try_for_each(|attribute| self.attribute(attribute))?;
            self.octets.push(END);
        }
        if content != 0 {
            element.content.iter().try_for_each(|content| self.content(content, depth))?;
            self.octets.push(END);
        }
        Ok(())
    }

    fn content(&mut self, content: &Content, depth: usize) -> Result<(), WbxmlError> {
        match content {
            Content::Element(element) => self.element(element, depth + 1),
            Content::Text(text) => self.string(text),
        }
    }

    fn attribute(&mut self, attribute: &Attribute) -> Result<(), WbxmlError> {
        let Attribute { name, value } = attribute;
        let start = self.vocabulary.start_of(name, value).ok_or_else(|| unknown(name))?;
        switch(&mut self.octets, &mut self.attribute_page, start.page);
        self.octets.push(start.code);
        if self.vocabulary.is_date(name) {
            let date = date::encode(value)?;
            self.octets.extend_from_slice(&[OPAQUE, date.len() as u8]);
            self.octets.extend_from_slice(&date);
            return Ok(());
        }
        self.value(&value[start.prefix.len()..])
    }

    fn value(&mut self, mut rest: &str) -> Result<(), WbxmlError> {
        while let Some((offset, token)) = self.vocabulary.value_in(rest) {
            self.string(&rest[..offset])?;
            switch(&mut self.octets, &mut self.attribute_page, token.page);
            self.octets.push(token.code);
            rest = &rest[offset + token.text.len()..];
        }
        self.string(rest)
    }

    fn string(&mut self, text: &str) -> Result<(), WbxmlError> {
        if text.contains('\0') {
            return Err(WbxmlError::NotText);
        }
        if !text.is_empty() {
            self.octets.push(STRING_INLINE);
            self.octets.extend_from_slice(text.as_bytes());
            self.octets.push(0);
        }
        Ok(())
    }
}

fn switch(octets: &mut Vec<u8>, page: &mut u8, wanted: u8) {
    if *page != wanted {
        octets.extend_from_slice(&[SWITCH_PAGE, wanted]);
        *page = wanted;
    }
}

fn unknown(name: &str) -> WbxmlError {
    WbxmlError::Name { name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wbxml::{NOKIA_SYNC_SETTINGS, PROVISIONING, SERVICE_INDICATION};

    #[test]
    fn settings_for_synchronisation_begin_as_phones_expect() {
        let root = Element::new("SyncSettings").containing(Element::new("Version").saying("1.0"));
        let octets = encode(&root, &NOKIA_SYNC_SETTINGS, Version::V1_1).unwrap();
        assert_eq!(octets, [1, 1, 0x6a, 0, 0x55, 0x58, 3, b'1', b'.', b'0', 0, 1, 1]);
    }

    #[test]
    fn refuses_what_is_no_document() {
        let encode = |element: &Element| encode(element, &SERVICE_INDICATION, Version::V1_2);
        assert_eq!(encode(&Element::new("html")), Err(WbxmlError::Name { name: "html".to_owned() }));
        let bad = |name: &str, value: &str| Element::new("si").containing(Element::new("indication").with(name, value));
        assert_eq!(encode(&bad("lang", "en")), Err(WbxmlError::Name { name: "lang".to_owned() }));
        assert_eq!(encode(&bad("action", "signal-loud")), Err(WbxmlError::Name { name: "action".to_owned() }));
        assert_eq!(encode(&bad("created", "today")), Err(WbxmlError::Date));
        assert_eq!(encode(&bad("href", "a\0b")), Err(WbxmlError::NotText));
        assert!(matches!(encode(&bad("href", &"a".repeat(65_536))), Err(WbxmlError::TooMuch { .. })));
    }

    #[test]
    fn depth_is_limited() {
        let nest =
            |depth: usize| (1..depth).fold(Element::new("parm"), |inner, _| Element::new("parm").containing(inner));
        assert!(encode(&nest(DEPTH_MAX), &PROVISIONING, Version::V1_3).is_ok());
        assert!(matches!(encode(&nest(DEPTH_MAX + 1), &PROVISIONING, Version::V1_3), Err(WbxmlError::TooMuch { .. })));
    }
}
