//! A strict pull reader for untrusted XML with limits and namespaces. Knows well-formedness; must not know what the
//! elements mean. The tokens are quick-xml's, which forgives much: attributes, names, characters and the shape of the
//! document are checked here, so that what other parsers refuse is refused here too.

mod scan;

use super::{NAMESPACE, NAMESPACE_SOAP11, NAMESPACE_SOAP12};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::borrow::Cow;
use std::io::BufRead as _;

/// Namespace declarations in scope at one time. No client needs more than a handful; each look-up walks them.
const BINDINGS_MAX: usize = 256;

/// Attributes of one element, declarations included. Looking for duplicates is quadratic in it.
const ATTRIBUTES_MAX: usize = 64;

/// What the prefix `xml` stands for, declared or not.
const NAMESPACE_XML: &str = "http://www.w3.org/XML/1998/namespace";

/// How much of a document is read before it is refused. The defaults are what the house allows a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the string argument, after unescaping.
    pub argument_bytes_max: usize,
    /// Elements inside each other.
    pub depth_max: usize,
    /// Elements in one document.
    pub elements_max: usize,
    /// Length of one attribute's value.
    pub attribute_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { argument_bytes_max: 1024 * 1024, depth_max: 32, elements_max: 10_000, attribute_bytes_max: 4096 }
    }
}

/// Why a document is not read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Not well-formed, or over a limit.
    Malformed,
    /// It has a document type declaration. What that says has not been looked at.
    DocumentType,
}

/// A namespace the house knows, or one it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    None,
    Oms,
    /// The OMS name with `https`, a rewriting accident of the vendor's documentation site. Means the same.
    OmsHttps,
    Soap11,
    Soap12,
    Other,
}

impl Namespace {
    fn of(uri: &str) -> Self {
        match uri {
            "" => Self::None,
            NAMESPACE => Self::Oms,
            NAMESPACE_SOAP11 => Self::Soap11,
            NAMESPACE_SOAP12 => Self::Soap12,
            _ if uri.strip_prefix("https").is_some_and(|rest| NAMESPACE.strip_prefix("http") == Some(rest)) => {
                Self::OmsHttps
            }
            _ => Self::Other,
        }
    }

    /// Whether this is the OMS namespace in either spelling.
    pub(crate) const fn is_oms(self) -> bool {
        matches!(self, Self::Oms | Self::OmsHttps)
    }
}

/// A start tag that has been checked.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) namespace: Namespace,
    pub(crate) local: &'a str,
    attributes: &'a str,
    is_empty_tag: bool,
}

impl<'a> Element<'a> {
    /// Whether this is the OMS element `local`.
    pub(crate) fn is_oms(&self, local: &str) -> bool {
        self.local == local && self.namespace.is_oms()
    }

    /// The value of an attribute without namespace.
    pub(crate) fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let found = scan::Attributes::of(self.attributes).flatten().find(|attribute| attribute.name == name)?;
        scan::attribute_value(found.raw).ok()
    }

    /// The value of an attribute by its local name, whatever its namespace.
    pub(crate) fn attribute_by_local(&self, local: &str) -> Option<Cow<'a, str>> {
        let local_of = |name: &'a str| name.split_once(':').map_or(name, |(_, local)| local);
        let found =
            scan::Attributes::of(self.attributes).flatten().find(|attribute| local_of(attribute.name) == local)?;
        scan::attribute_value(found.raw).ok()
    }
}

/// What comes next in the document.
pub(crate) enum Item<'a> {
    Start(Element<'a>),
    End,
    Text(Cow<'a, str>),
    /// The document is whole: one root, nothing but white space and comments around it.
    Eof,
}

struct Binding<'a> {
    depth: usize,
    prefix: &'a str,
    uri: Cow<'a, str>,
    namespace: Namespace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prolog,
    Root,
    Epilog,
}

/// The reader. After an error it must not be asked again; only behind a document type it may be asked for the root.
pub(crate) struct Pull<'a> {
    reader: Reader<&'a [u8]>,
    source: &'a str,
    limits: Limits,
    stage: Stage,
    bindings: Vec<Binding<'a>>,
    /// The attribute names of the element at hand; kept to be used again.
    names: Vec<&'a str>,
    depth: usize,
    elements: usize,
}

impl<'a> Pull<'a> {
    /// Starts on `source`, which begins with the document's first character (no byte order mark).
    pub(crate) fn new(source: &'a str, limits: &Limits) -> Result<Self, Broken> {
        if !scan::has_only_xml_characters(source) {
            return Err(Broken::Malformed);
        }
        let mut reader = Reader::from_str(source);
        let config = reader.config_mut();
        config.check_comments = true;
        config.expand_empty_elements = true;
        Ok(Self {
            reader,
            source,
            limits: *limits,
            stage: Stage::Prolog,
            bindings: Vec::new(),
            names: Vec::new(),
            depth: 0,
            elements: 0,
        })
    }

    /// How many elements are open.
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }

    /// The next item; comments and processing instructions are passed over.
    pub(crate) fn next(&mut self) -> Result<Item<'a>, Broken> {
        loop {
            let from = self.position();
            let event = self.reader.read_event().map_err(|_| Broken::Malformed)?;
            match event {
                Event::Start(_) | Event::Empty(_) => return self.start(from).map(Item::Start),
                Event::End(_) => {
                    self.end();
                    return Ok(Item::End);
                }
                Event::Text(text) => {
                    if let Some(text) = self.text(text.xml10_content())? {
                        return Ok(Item::Text(text));
                    }
                }
                Event::CData(text) if self.stage == Stage::Root => return Ok(Item::Text(text.xml10_content())),
                Event::GeneralRef(reference) if self.stage == Stage::Root => {
                    let character = scan::reference(&reference).ok_or(Broken::Malformed)?;
                    return Ok(Item::Text(Cow::Owned(character.to_string())));
                }
                Event::Comment(_) => {}
                Event::PI(instruction) if scan::is_instruction_target(instruction.target()) => {}
                Event::Decl(_) if from == 0 => {}
                Event::DocType(_) => return Err(Broken::DocumentType),
                Event::Eof if self.stage == Stage::Epilog => return Ok(Item::Eof),
                _ => return Err(Broken::Malformed),
            }
        }
    }

    /// Reads on to the end of the innermost `element` just started and gives its text.
    /// `Ok(None)`: there were child elements, and the reader stands behind the element's end all the same.
    pub(crate) fn leaf_text(&mut self) -> Result<Option<Cow<'a, str>>, Broken> {
        let depth = self.depth;
        let mut text = Cow::Borrowed("");
        let mut has_children = false;
        loop {
            match self.next()? {
                Item::Text(piece) if self.depth == depth => append(&mut text, piece),
                Item::End if self.depth < depth => return Ok((!has_children).then_some(text)),
                Item::Start(_) => has_children = true,
                Item::Text(_) | Item::End => {}
                Item::Eof => return Err(Broken::Malformed),
            }
        }
    }

    /// Like [`Self::leaf_text`], in one pass over text that is mostly escaped markup: a tokeniser would stop at each
    /// of its references.
    pub(crate) fn escaped_document(&mut self, element: &Element<'a>) -> Result<Option<Cow<'a, str>>, Broken> {
        let rest = &self.source[self.position()..];
        let Some(length) = rest.find('<').filter(|at| !element.is_empty_tag && rest[*at..].starts_with("</")) else {
            return self.leaf_text();
        };
        let text = scan::text(&rest[..length]).map_err(|_| Broken::Malformed)?;
        self.reader.stream().consume(length);
        match self.next()? {
            Item::End => Ok(Some(text)),
            _ => Err(Broken::Malformed),
        }
    }

    /// Reads on until `depth` elements are open, looking into nothing.
    pub(crate) fn skip_to(&mut self, depth: usize) -> Result<(), Broken> {
        while self.depth > depth {
            if let Item::Eof = self.next()? {
                return Err(Broken::Malformed);
            }
        }
        Ok(())
    }

    /// The value of the attribute `{namespace}local`, for an element whose scope is still open.
    pub(crate) fn attribute_in(
        &self,
        element: &Element<'a>,
        namespace: Namespace,
        local: &str,
    ) -> Option<Cow<'a, str>> {
        let found = scan::Attributes::of(element.attributes).flatten().find(|attribute| {
            attribute.name.split_once(':').is_some_and(|(prefix, name)| {
                name == local && self.binding(prefix).is_some_and(|binding| binding.namespace == namespace)
            })
        })?;
        scan::attribute_value(found.raw).ok()
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(self.source.len())
    }

    fn text(&self, text: Cow<'a, str>) -> Result<Option<Cow<'a, str>>, Broken> {
        match self.stage {
            Stage::Root if scan::has_section_end(&text) => Err(Broken::Malformed), // XML 1.0, 2.4
            Stage::Root => Ok(Some(text)),
            _ if text.bytes().all(scan::is_white_space) => Ok(None),
            _ => Err(Broken::Malformed),
        }
    }

    fn start(&mut self, from: usize) -> Result<Element<'a>, Broken> {
        if self.stage == Stage::Epilog
            || self.depth >= self.limits.depth_max
            || self.elements >= self.limits.elements_max
        {
            return Err(Broken::Malformed);
        }
        self.stage = Stage::Root;
        self.depth += 1;
        self.elements += 1;
        let tag = self.source[from..self.position()].strip_prefix('<').and_then(|tag| tag.strip_suffix('>'));
        let tag = tag.ok_or(Broken::Malformed)?;
        let (tag, is_empty_tag) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_at(tag.bytes().position(scan::is_white_space).unwrap_or(tag.len()));
        self.check_attributes(attributes)?;
        let (prefix, local) = scan::qualified_name(name).ok_or(Broken::Malformed)?;
        let namespace = self.resolve(prefix)?;
        Ok(Element { namespace, local, attributes, is_empty_tag })
    }

    fn end(&mut self) {
        while self.bindings.last().is_some_and(|binding| binding.depth >= self.depth) {
            self.bindings.pop();
        }
        self.depth -= 1; // the tokeniser refuses an end without a start
        if self.depth == 0 {
            self.stage = Stage::Epilog;
        }
    }

    /// Checks every attribute, known or not, and takes up the namespace declarations.
    fn check_attributes(&mut self, attributes: &'a str) -> Result<(), Broken> {
        let mut has_prefixes = false;
        self.names.clear();
        for attribute in scan::Attributes::of(attributes) {
            let scan::Attribute { name, raw } = attribute.map_err(|_| Broken::Malformed)?;
            let value = scan::attribute_value(raw).map_err(|_| Broken::Malformed)?;
            let (prefix, local) = scan::qualified_name(name).ok_or(Broken::Malformed)?;
            let is_too_much = self.names.len() >= ATTRIBUTES_MAX || value.len() > self.limits.attribute_bytes_max;
            if is_too_much || self.names.contains(&name) {
                return Err(Broken::Malformed);
            }
            self.names.push(name);
            match (prefix, local) {
                ("", "xmlns") => self.bind("", value)?,
                ("", _) => {}
                ("xmlns", _) => self.bind(local, value)?,
                _ => has_prefixes = true,
            }
        }
        if has_prefixes { self.check_prefixed(attributes) } else { Ok(()) }
    }

    fn bind(&mut self, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Broken> {
        let is_bad = match prefix {
            "" => false,
            "xml" => uri != NAMESPACE_XML,
            "xmlns" => true,
            _ => uri.is_empty(),
        };
        if is_bad || self.bindings.len() >= BINDINGS_MAX {
            return Err(Broken::Malformed); // Namespaces in XML 1.0, 3 and 5
        }
        let namespace = Namespace::of(&uri);
        self.bindings.push(Binding { depth: self.depth, prefix, uri, namespace });
        Ok(())
    }

    fn binding(&self, prefix: &str) -> Option<&Binding<'a>> {
        // The empty prefix, which nearly every element has, is found without comparing text.
        let mut newest_first = self.bindings.iter().rev();
        newest_first
            .find(|binding| if prefix.is_empty() { binding.prefix.is_empty() } else { binding.prefix == prefix })
    }

    fn resolve(&self, prefix: &str) -> Result<Namespace, Broken> {
        match self.binding(prefix) {
            Some(binding) => Ok(binding.namespace),
            None if prefix.is_empty() => Ok(Namespace::None),
            None if prefix == "xml" => Ok(Namespace::Other),
            None => Err(Broken::Malformed),
        }
    }

    /// Every prefix is declared, and no two names become one when their prefixes are resolved (Namespaces in XML 1.0, 6.3).
    fn check_prefixed(&self, attributes: &'a str) -> Result<(), Broken> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for attribute in scan::Attributes::of(attributes).flatten() {
            let Some((prefix, local)) = attribute.name.split_once(':').filter(|(prefix, _)| *prefix != "xmlns") else {
                continue;
            };
            self.resolve(prefix)?;
            let uri = self.binding(prefix).map_or(NAMESPACE_XML, |binding| &binding.uri);
            if seen.contains(&(uri, local)) {
                return Err(Broken::Malformed);
            }
            seen.push((uri, local));
        }
        Ok(())
    }
}

fn append<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else {
        text.to_mut().push_str(&piece);
    }
}
