//! A document as a tree that can be asked. Reads the plain XML that services answer with (no comments, sections or document
//! types) with nothing of the product's; panics where it can't.

/// What a prefix stands for where it is declared.
type Scope<'a> = Vec<(&'a str, String)>;

/// One element.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// As written, prefix included.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
    pub(crate) text: String,
}

impl Node {
    /// Reads a document.
    pub(crate) fn parse(document: &str) -> Self {
        let mut rest = document.trim_start_matches('\u{FEFF}');
        if rest.starts_with("<?") {
            rest = rest.split_once("?>").expect("the declaration ends").1;
        }
        let root = element(&mut rest, &mut Vec::new());
        assert_eq!(rest.trim(), "", "nothing comes after the root");
        root
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The only child.
    pub(crate) fn only_child(&self) -> &Node {
        assert_eq!(self.children.len(), 1, "`{}` has one child", self.name);
        &self.children[0]
    }
}

fn element<'a>(rest: &mut &'a str, scope: &mut Scope<'a>) -> Node {
    let (tag, after) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("a start tag");
    *rest = after;
    let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let (written, pairs) = tag.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((tag, ""));
    let (outer, attributes) = (scope.len(), attributes(pairs));
    for (name, value) in &attributes {
        if let Some(prefix) = name.strip_prefix("xmlns") {
            scope.push((prefix.strip_prefix(':').unwrap_or(prefix), value.clone()));
        }
    }
    let (prefix, name) = written.split_once(':').unwrap_or(("", written));
    let namespace = scope.iter().rev().find(|(known, _)| *known == prefix).map(|(_, uri)| uri.clone());
    assert!(prefix.is_empty() || namespace.is_some(), "prefix `{prefix}` is declared");
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let namespace = namespace.unwrap_or_default();
    let mut node = Node { namespace, name: name.into(), attributes, children: Vec::new(), text: String::new() };
    if !is_empty {
        content(rest, scope, &mut node, written);
    }
    scope.truncate(outer);
    node
}

fn content<'a>(rest: &mut &'a str, scope: &mut Scope<'a>, node: &mut Node, written: &str) {
    loop {
        let at = rest.find('<').expect("the element ends");
        node.text.push_str(&unescaped(&rest[..at]));
        *rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("</") {
            *rest = after.strip_prefix(written).and_then(|after| after.strip_prefix('>')).expect("its own end tag");
            return;
        }
        node.children.push(element(rest, scope));
    }
}

fn attributes(mut pairs: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    while let Some((name, after)) = pairs.trim_start().split_once("=\"") {
        let (value, after) = after.split_once('"').expect("the value ends");
        assert!(found.iter().all(|(known, _)| *known != name), "`{name}` stands once");
        found.push((name, unescaped(value)));
        pairs = after;
    }
    assert_eq!(pairs.trim(), "", "attributes are pairs");
    found
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, after) = piece.split_once(';').expect("a reference ends");
        out.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#').expect("a known reference");
                let hex = number.strip_prefix('x').map(|hex| u32::from_str_radix(hex, 16));
                let code = hex.unwrap_or_else(|| number.parse()).expect("a number");
                char::from_u32(code).expect("a character")
            }
        });
        out.push_str(after);
    }
    out
}
