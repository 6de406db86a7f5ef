//! XML as the tree the codecs use. The vectors' documents are trusted: this reader knows no limits.

use quick_xml::{Reader, events::BytesStart, events::Event};
use wire::wbxml::{Attribute, Content, Element};

/// Reads a document. White space between elements is no text.
pub(crate) fn read(text: &str) -> Element {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(element(&start)),
            Event::Empty(start) => {
                let element = element(&start);
                close(&mut open, element);
            }
            Event::End(_) => {
                let element = open.pop().unwrap();
                close(&mut open, element);
            }
            Event::Text(piece) => say(&mut open, &piece.xml10_content()),
            Event::CData(piece) => say(&mut open, &piece.xml10_content()),
            Event::GeneralRef(name) => say(&mut open, &resolved(&name)),
            Event::Eof => break,
            Event::Decl(_) | Event::DocType(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
    let outermost = open.pop().unwrap();
    outermost.children().next().expect("a root element").clone()
}

fn element(start: &BytesStart<'_>) -> Element {
    let attribute = |attribute: quick_xml::events::attributes::Attribute<'_>| Attribute {
        name: std::str::from_utf8(attribute.key.as_ref().as_ref()).unwrap().to_owned(),
        value: unescaped(std::str::from_utf8(attribute.value.as_ref().as_ref()).unwrap()),
    };
    Element {
        name: std::str::from_utf8(start.name().as_ref().as_ref()).unwrap().to_owned(),
        attributes: start.attributes().map(|found| attribute(found.unwrap())).collect(),
        content: vec![],
    }
}

fn close(open: &mut [Element], mut element: Element) {
    let has_elements = element.children().next().is_some();
    element.content.retain(|content| !matches!(content, Content::Text(text) if has_elements && text.trim().is_empty()));
    open.last_mut().unwrap().content.push(Content::Element(element));
}

fn say(open: &mut [Element], piece: &str) {
    let content = &mut open.last_mut().unwrap().content;
    match content.last_mut() {
        Some(Content::Text(text)) => text.push_str(piece),
        _ => content.push(Content::Text(piece.to_owned())),
    }
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut whole = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';').unwrap();
        whole.push_str(&resolved(name));
        whole.push_str(rest);
    }
    whole
}

fn resolved(name: &str) -> String {
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).unwrap()).unwrap();
    match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ if name.starts_with("#x") => number(&name[2..], 16),
        _ if name.starts_with('#') => number(&name[1..], 10),
        other => panic!("entity `{other}`"),
    }
    .to_string()
}
