//! A document as a tree: elements, attributes, texts. Knows no octets and no vocabulary.

use std::fmt;

/// An element and all that is in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in document order.
    pub attributes: Vec<Attribute>,
    /// What is in it, in document order.
    pub content: Vec<Content>,
}

/// One attribute.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// One piece of what is in an element.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// An element.
    Element(Element),
    /// A text.
    Text(String),
}

/// Shows the shape: values hold addresses and passwords.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes: Vec<&str> = self.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        f.debug_struct("Element")
            .field("name", &self.name)
            .field("attributes", &attributes)
            .field("content", &self.content)
            .finish()
    }
}

/// Shows the name only.
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({}, {} octets)", self.name, self.value.len())
    }
}

/// Shows the size of a text only.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(element) => element.fmt(f),
            Self::Text(text) => write!(f, "Text({} octets)", text.len()),
        }
    }
}

impl Element {
    /// An element with nothing in it.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(Attribute { name: name.to_owned(), value: value.to_owned() });
        self
    }

    /// The same with one more element in it.
    #[must_use]
    pub fn containing(mut self, element: Self) -> Self {
        self.content.push(Content::Element(element));
        self
    }

    /// The same with one more text in it; an empty text is none.
    #[must_use]
    pub fn saying(mut self, text: &str) -> Self {
        if !text.is_empty() {
            self.content.push(Content::Text(text.to_owned()));
        }
        self
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// The elements in it, without texts.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.content.iter().filter_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text(_) => None,
        })
    }

    /// The first element in it of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children().find(|child| child.name == name)
    }

    /// Its own text, joined.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            Content::Element(_) => None,
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let element = Element::new("parm").with("name", "AAUTHSECRET").with("value", "s3cret").saying("text");
        let shown = format!("{element:?} {:?}", element.attributes);
        assert!(shown.contains("parm") && !shown.contains("s3cret") && !shown.contains("\"text\""), "{shown}");
    }
}
