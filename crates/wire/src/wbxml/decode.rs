//! Reads octets as trees: string tables, entities, processing instructions and every character set a phone writes. Knows no
//! vocabulary by itself. Each length is checked before it is used, and nothing follows a reference outside the document.

use super::{
    ATTRIBUTES_MAX, Attribute, Content, DEPTH_MAX, DOCUMENT_OCTETS_MAX, Element, TEXT_OCTETS_MAX, Vocabulary,
    WbxmlError, date,
    encode::{END, HAS_ATTRIBUTES, HAS_CONTENT, OPAQUE, STRING_INLINE, SWITCH_PAGE, UNKNOWN_PUBLIC_ID},
    reader::Reader,
};

const ENTITY: u8 = 0x02;
const LITERAL: u8 = 0x04;
const INSTRUCTION: u8 = 0x43;
const STRING_TABLE: u8 = 0x83;
/// The lowest token a vocabulary may give out; those below are the format's own.
const TOKEN_MIN: u8 = 0x05;
const VALUE_TOKEN_MIN: u8 = 0x85;

/// Reads a document of a vocabulary.
///
/// # Errors
/// [`WbxmlError`] if it is another document, holds what the vocabulary does not, is cut, or is over a limit.
pub fn decode(octets: &[u8], vocabulary: &Vocabulary) -> Result<Element, WbxmlError> {
    if octets.len() > DOCUMENT_OCTETS_MAX {
        return Err(WbxmlError::TooMuch { what: "octets", max: DOCUMENT_OCTETS_MAX });
    }
    let mut decoder = Decoder::begin(octets, vocabulary)?;
    decoder.instructions()?;
    let root = decoder.element(1)?;
    if root.name != vocabulary.root {
        return Err(WbxmlError::Name { name: root.name });
    }
    decoder.instructions()?;
    match decoder.reader.left() {
        0 => Ok(root),
        octets => Err(WbxmlError::Trailing { octets }),
    }
}

/// Character sets a document may be written in.
#[derive(Clone, Copy)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
}

struct Decoder<'octets, 'vocabulary> {
    reader: Reader<'octets>,
    vocabulary: &'vocabulary Vocabulary,
    charset: Charset,
    strings: &'octets [u8],
    tag_page: u8,
    attribute_page: u8,
    text_octets: usize,
}

impl<'octets, 'vocabulary> Decoder<'octets, 'vocabulary> {
    /// Reads what stands before the first element.
    fn begin(octets: &'octets [u8], vocabulary: &'vocabulary Vocabulary) -> Result<Self, WbxmlError> {
        let mut reader = Reader::new(octets);
        let version = reader.octet("version")?;
        if version > 0x03 {
            return Err(WbxmlError::Version { octet: version });
        }
        let public_id = reader.integer("public identifier")?;
        let public_name = if public_id == 0 { Some(reader.integer("public identifier")?) } else { None };
        // 1.0 had no character set.
        let charset = if version == 0 { Charset::Utf8 } else { Charset::of(reader.integer("character set")?)? };
        let strings = reader.counted("string table")?;
        let mut decoder = Self { reader, vocabulary, charset, strings, tag_page: 0, attribute_page: 0, text_octets: 0 };
        decoder.check_type(public_id, public_name)?;
        Ok(decoder)
    }

    /// A document of an unregistered type is taken for what the caller expects.
    fn check_type(&mut self, number: u32, name: Option<u32>) -> Result<(), WbxmlError> {
        let name = name.map(|index| self.table_text(index)).transpose()?;
        let is_this = match name {
            Some(name) => self.vocabulary.public_ids.iter().any(|id| id.name == name),
            None => number == UNKNOWN_PUBLIC_ID || self.vocabulary.public_ids.iter().any(|id| id.number == number),
        };
        if is_this { Ok(()) } else { Err(WbxmlError::OtherDocument { number }) }
    }

    fn element(&mut self, depth: usize) -> Result<Element, WbxmlError> {
        if depth > DEPTH_MAX {
            return Err(WbxmlError::TooMuch { what: "elements inside each other", max: DEPTH_MAX });
        }
        let token = self.tag_token()?;
        let mut element = Element { name: self.tag_name(token)?, ..Element::default() };
        if token & HAS_ATTRIBUTES != 0 {
            element.attributes = self.attributes()?;
        }
        if token & HAS_CONTENT != 0 {
            element.content = self.content(depth)?;
        }
        Ok(element)
    }

    fn tag_token(&mut self) -> Result<u8, WbxmlError> {
        loop {
            match self.reader.octet("an element")? {
                SWITCH_PAGE => self.tag_page = self.reader.octet("a page switch")?,
                token => return Ok(token),
            }
        }
    }

    fn tag_name(&mut self, token: u8) -> Result<String, WbxmlError> {
        match token & !(HAS_ATTRIBUTES | HAS_CONTENT) {
            LITERAL => self.literal(),
            code => {
                let name = self.vocabulary.tag(self.tag_page, code);
                Ok(name.ok_or(WbxmlError::Token { page: self.tag_page, code: token })?.to_owned())
            }
        }
    }

    fn content(&mut self, depth: usize) -> Result<Vec<Content>, WbxmlError> {
        let mut content: Vec<Content> = Vec::new();
        loop {
            match self.reader.peek().ok_or(WbxmlError::Cut { within: "content" })? {
                END => {
                    self.reader.octet("content")?;
                    return Ok(content);
                }
                SWITCH_PAGE => {
                    self.reader.octets(1, "a page switch")?;
                    self.tag_page = self.reader.octet("a page switch")?;
                }
                INSTRUCTION => self.instructions()?,
                ENTITY | STRING_INLINE | STRING_TABLE | OPAQUE => {
                    let piece = self.text()?;
                    match content.last_mut() {
                        Some(Content::Text(text)) => text.push_str(&piece),
                        _ => content.push(Content::Text(piece)),
                    }
                }
                _ => content.push(Content::Element(self.element(depth + 1)?)),
            }
        }
    }

    fn attributes(&mut self) -> Result<Vec<Attribute>, WbxmlError> {
        let mut attributes: Vec<Attribute> = Vec::new();
        loop {
            match self.reader.peek().ok_or(WbxmlError::Cut { within: "attributes" })? {
                END => {
                    self.reader.octet("attributes")?;
                    return Ok(attributes);
                }
                SWITCH_PAGE => {
                    self.reader.octets(1, "a page switch")?;
                    self.attribute_page = self.reader.octet("a page switch")?;
                }
                LITERAL | TOKEN_MIN..0x40 | 0x44..0x80 => {
                    if attributes.len() == ATTRIBUTES_MAX {
                        return Err(WbxmlError::TooMuch { what: "attributes", max: ATTRIBUTES_MAX });
                    }
                    let attribute = self.attribute_start()?;
                    attributes.push(attribute);
                }
                token => {
                    let attribute =
                        attributes.last_mut().ok_or(WbxmlError::Token { page: self.attribute_page, code: token })?;
                    self.attribute_value(attribute)?;
                }
            }
        }
    }

    fn attribute_start(&mut self) -> Result<Attribute, WbxmlError> {
        let code = self.reader.octet("an attribute")?;
        if code == LITERAL {
            return Ok(Attribute { name: self.literal()?, value: String::new() });
        }
        let page = self.attribute_page;
        let start = self.vocabulary.start(page, code).ok_or(WbxmlError::Token { page, code })?;
        self.count(start.prefix.len())?;
        Ok(Attribute { name: start.name.to_owned(), value: start.prefix.to_owned() })
    }

    fn attribute_value(&mut self, attribute: &mut Attribute) -> Result<(), WbxmlError> {
        let code = self.reader.peek().unwrap_or_default();
        let piece = match code {
            OPAQUE if self.vocabulary.is_date(&attribute.name) => {
                self.reader.octet("a date")?;
                date::decode(self.reader.counted("a date")?)?
            }
            ENTITY | STRING_INLINE | STRING_TABLE | OPAQUE => self.text()?,
            _ => self.value_token()?,
        };
        attribute.value.push_str(&piece);
        Ok(())
    }

    fn value_token(&mut self) -> Result<String, WbxmlError> {
        let (page, code) = (self.attribute_page, self.reader.octet("an attribute's value")?);
        let known = if code >= VALUE_TOKEN_MIN { self.vocabulary.value(page, code) } else { None };
        let text = known.ok_or(WbxmlError::Token { page, code })?;
        self.count(text.len())?;
        Ok(text.to_owned())
    }

    /// A text in any of the ways the format has for one.
    fn text(&mut self) -> Result<String, WbxmlError> {
        match self.reader.octet("a text")? {
            STRING_INLINE => {
                let octets = self.reader.terminated("a text")?;
                self.decoded(octets)
            }
            STRING_TABLE => {
                let index = self.reader.integer("a reference")?;
                self.table_text(index)
            }
            OPAQUE => {
                let octets = self.reader.counted("opaque data")?;
                self.decoded(octets)
            }
            _ => {
                let number = self.reader.integer("an entity")?;
                let character = char::from_u32(number).ok_or(WbxmlError::Reference { index: number })?;
                self.count(character.len_utf8())?;
                Ok(character.to_string())
            }
        }
    }

    fn literal(&mut self) -> Result<String, WbxmlError> {
        let index = self.reader.integer("a name")?;
        self.table_text(index)
    }

    fn table_text(&mut self, index: u32) -> Result<String, WbxmlError> {
        let nowhere = WbxmlError::Reference { index };
        let from = usize::try_from(index).ok().and_then(|from| self.strings.get(from..)).ok_or(nowhere.clone())?;
        let end = from.iter().position(|octet| *octet == 0).ok_or(nowhere)?;
        self.decoded(&from[..end])
    }

    fn decoded(&mut self, octets: &[u8]) -> Result<String, WbxmlError> {
        self.count(octets.len())?;
        match self.charset {
            Charset::Utf8 => Ok(std::str::from_utf8(octets).map_err(|_| WbxmlError::NotText)?.to_owned()),
            Charset::Ascii if !octets.is_ascii() => Err(WbxmlError::NotText),
            Charset::Ascii | Charset::Latin1 => Ok(octets.iter().copied().map(char::from).collect()),
        }
    }

    fn count(&mut self, octets: usize) -> Result<(), WbxmlError> {
        self.text_octets += octets;
        if self.text_octets > TEXT_OCTETS_MAX {
            return Err(WbxmlError::TooMuch { what: "octets of text", max: TEXT_OCTETS_MAX });
        }
        Ok(())
    }

    /// Passes over processing instructions: they are for others.
    fn instructions(&mut self) -> Result<(), WbxmlError> {
        while self.reader.peek() == Some(INSTRUCTION) {
            self.reader.octet("an instruction")?;
            self.attributes()?;
        }
        Ok(())
    }
}

impl Charset {
    fn of(mib: u32) -> Result<Self, WbxmlError> {
        match mib {
            // 0 leaves it to the transport, which says UTF-8 where it says anything.
            0 | 106 => Ok(Self::Utf8),
            3 => Ok(Self::Ascii),
            4 => Ok(Self::Latin1),
            _ => Err(WbxmlError::Charset { mib }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wbxml::{PROVISIONING, SERVICE_INDICATION, SYNCML_1_1};

    #[track_caller]
    fn check_indication(octets: &[u8], expected: Result<&Element, WbxmlError>) {
        assert_eq!(decode(octets, &SERVICE_INDICATION), expected.cloned());
    }

    #[test]
    fn other_legal_ways_of_writing() {
        let expected = Element::new("si").containing(Element::new("indication").with("href", "http://a/").saying("ü"));
        // As inline strings, with an instruction before and after the document.
        let plain =
            [&[2, 5, 106, 0, 0x43, 0x0b, 1, 0x45, 0xc6, 0x0b, 3][..], b"http://a/\0", &[1, 3, 0xc3, 0xbc, 0, 1, 1]];
        check_indication(&plain.concat(), Ok(&expected));
        // From a string table that also holds the document type, the text as an entity.
        let table = b"-//WAPFORUM//DTD SI 1.0//EN\0a/\0";
        let octets =
            [&[3, 0, 0, 106, table.len() as u8][..], table, &[0x45, 0xc6, 0x0c, 0x83, 28, 1, 2, 0x81, 0x7c, 1, 1]];
        check_indication(&octets.concat(), Ok(&expected));
        // In Latin-1, as opaque data, the element's name as a literal.
        let octets =
            [&[1, 5, 4, 11][..], b"indication\0", &[0x45, 0xc4, 0, 0x0c, 3, b'a', b'/', 0, 1, 0xc3, 1, 0xfc, 1, 1]];
        check_indication(&octets.concat(), Ok(&expected));
    }

    #[test]
    fn refuses() {
        check_indication(&[], Err(WbxmlError::Cut { within: "version" }));
        check_indication(&[4, 5, 106, 0], Err(WbxmlError::Version { octet: 4 }));
        check_indication(&[2, 6, 106, 0, 5], Err(WbxmlError::OtherDocument { number: 6 }));
        check_indication(&[2, 5, 17, 0, 5], Err(WbxmlError::Charset { mib: 17 }));
        check_indication(&[2, 5, 106, 0], Err(WbxmlError::Cut { within: "an element" }));
        check_indication(&[2, 5, 106, 9, 5], Err(WbxmlError::Cut { within: "string table" }));
        check_indication(&[2, 5, 106, 0, 5, 0], Err(WbxmlError::Trailing { octets: 1 }));
        check_indication(&[2, 5, 106, 0, 6], Err(WbxmlError::Name { name: "indication".to_owned() }));
        check_indication(&[2, 5, 106, 0, 0x45], Err(WbxmlError::Cut { within: "content" }));
        check_indication(&[2, 5, 106, 0, 0x45, 0x40, 0, 1], Err(WbxmlError::Token { page: 0, code: 0x40 }));
        check_indication(&[2, 5, 106, 0, 0x45, 3, b'a'], Err(WbxmlError::Cut { within: "a text" }));
        check_indication(&[2, 5, 106, 0, 0x45, 0x83, 0, 1], Err(WbxmlError::Reference { index: 0 }));
        check_indication(&[2, 5, 106, 0, 0x45, 2, 0x83, 0xb0, 0, 1], Err(WbxmlError::Reference { index: 0xd800 }));
        check_indication(&[2, 5, 106, 0, 0x45, 3, 0xff, 0, 1], Err(WbxmlError::NotText));
        check_indication(&[2, 5, 106, 0, 0x45, 0, 7, 6, 1], Err(WbxmlError::Token { page: 7, code: 6 }));
        check_indication(&[2, 5, 106, 0, 0x85, 0x85, 1], Err(WbxmlError::Token { page: 0, code: 0x85 }));
    }

    #[test]
    fn depth_and_text_are_limited() {
        let nested = |depth: usize| [&[3, 11, 106, 0][..], &vec![0x45; depth], &vec![1; depth]].concat();
        assert!(decode(&nested(DEPTH_MAX), &PROVISIONING).is_ok());
        assert!(matches!(decode(&nested(DEPTH_MAX + 1), &PROVISIONING), Err(WbxmlError::TooMuch { .. })));
        assert!(matches!(decode(&nested(30_000), &PROVISIONING), Err(WbxmlError::TooMuch { .. })));
        // One long string in the table, and many references to it.
        let table = [&vec![b'a'; 30_000][..], &[0]].concat();
        let bomb = [&[2, 0x9f, 0x53, 106, 0x81, 0xea, 0x31][..], &table, &[0x6d], &[0x83, 0].repeat(10_000), &[1]];
        assert!(matches!(decode(&bomb.concat(), &SYNCML_1_1), Err(WbxmlError::TooMuch { .. })));
        assert!(matches!(decode(&vec![0; DOCUMENT_OCTETS_MAX + 1], &SYNCML_1_1), Err(WbxmlError::TooMuch { .. })));
    }
}
