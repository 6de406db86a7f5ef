//! What a document type is made of: token tables, and how values are matched with them. Knows no octets of a document.

/// A document type: its identifiers and token tables.
#[derive(Debug)]
pub struct Vocabulary {
    /// The name of the root element.
    pub root: &'static str,
    /// How a document names its type, the one to write first.
    pub public_ids: &'static [PublicId],
    /// Element names.
    pub tags: &'static [Tag],
    /// Attribute names with the beginning of a value.
    pub starts: &'static [Start],
    /// Values, or pieces of values.
    pub values: &'static [Value],
    /// How values are matched.
    pub matching: Values,
    /// Attributes whose value is a date, written as digits in octets.
    pub dates: &'static [&'static str],
}

/// A document type's public identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicId {
    /// As a number.
    pub number: u32,
    /// As a name.
    pub name: &'static str,
}

/// An element name as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its code page.
    pub page: u8,
    /// Its token, without the bits for attributes and content.
    pub code: u8,
    /// Its name.
    pub name: &'static str,
}

/// An attribute name, and the beginning of its value, as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its code page.
    pub page: u8,
    /// Its token.
    pub code: u8,
    /// The attribute's name.
    pub name: &'static str,
    /// What the value begins with.
    pub prefix: &'static str,
}

/// A value, or a piece of one, as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its code page.
    pub page: u8,
    /// Its token.
    pub code: u8,
    /// Its text.
    pub text: &'static str,
}

/// How the encoder uses the tokens of values; decoders take all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Tokens stand for parts of a value: the longest beginning, then pieces wherever they occur.
    Parts,
    /// Tokens stand for whole values only.
    Whole,
}

impl Vocabulary {
    /// The token of an element name: the lowest page that has it.
    pub(super) fn tag_of(&self, name: &str) -> Option<&'static Tag> {
        self.tags.iter().filter(|tag| tag.name == name).min_by_key(|tag| tag.page)
    }

    pub(super) fn tag(&self, page: u8, code: u8) -> Option<&'static str> {
        self.tags.iter().find(|tag| (tag.page, tag.code) == (page, code)).map(|tag| tag.name)
    }

    /// The token of an attribute: the longest beginning of its value there is, on the lowest page that has it.
    pub(super) fn start_of(&self, name: &str, value: &str) -> Option<&'static Start> {
        let fits = |start: &&Start| match self.matching {
            Values::Parts => value.starts_with(start.prefix),
            Values::Whole => start.prefix.is_empty() || start.prefix == value,
        };
        let named = self.starts.iter().filter(|start| start.name == name).filter(fits);
        named.min_by_key(|start| (usize::MAX - start.prefix.len(), start.page))
    }

    pub(super) fn start(&self, page: u8, code: u8) -> Option<&'static Start> {
        self.starts.iter().find(|start| (start.page, start.code) == (page, code))
    }

    /// The first token in a value, with the offset where its text begins.
    pub(super) fn value_in(&self, value: &str) -> Option<(usize, &'static Value)> {
        let at = |token: &Value| match self.matching {
            Values::Parts => value.find(token.text),
            Values::Whole => (value == token.text).then_some(0),
        };
        let found = self.values.iter().filter_map(|token| at(token).map(|offset| (offset, token)));
        found.min_by_key(|(offset, token)| (*offset, usize::MAX - token.text.len(), token.page))
    }

    pub(super) fn value(&self, page: u8, code: u8) -> Option<&'static str> {
        self.values.iter().find(|value| (value.page, value.code) == (page, code)).map(|value| value.text)
    }

    pub(super) fn is_date(&self, attribute: &str) -> bool {
        self.dates.contains(&attribute)
    }
}
