//! The small grammar of XML 1.0: names, attributes, references, characters. Knows single productions; must not know documents.

use crate::oms::escape::is_xml_character;
use std::borrow::Cow;

/// Longest reference that is looked for the end of. Leading zeros are legal in it and nobody writes them.
const REFERENCE_BYTES_MAX: usize = 64;

/// The text breaks a rule of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotXml;

/// XML 1.0, production 3.
pub(super) const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// XML 1.0, 2.2, over a whole document. Surrogates cannot occur in a `str`.
pub(super) fn has_only_xml_characters(source: &str) -> bool {
    // Without an exit inside the chunk, the compiler makes one vector comparison of it.
    let is_bad = |chunk: &[u8]| chunk.iter().fold(false, |bad, byte| bad | (*byte < b' ' && !is_white_space(*byte)));
    let has_control = source.as_bytes().chunks(128).any(is_bad);
    !has_control && (source.is_ascii() || source.chars().all(is_xml_character))
}

/// Splits `prefix:local`; an absent prefix is the empty one. `None` if it is no name.
pub(super) fn qualified_name(name: &str) -> Option<(&str, &str)> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let is_whole = is_part_of_name(local) && (prefix.len() + local.len() == name.len() || is_part_of_name(prefix));
    is_whole.then_some((prefix, local))
}

/// A processing instruction may be called anything but `xml` (XML 1.0, 2.6).
pub(super) fn is_instruction_target(target: &str) -> bool {
    is_part_of_name(target) && !target.eq_ignore_ascii_case("xml")
}

/// Namespaces in XML 1.0, production 4: a name without a colon.
fn is_part_of_name(name: &str) -> bool {
    if let [first, rest @ ..] = name.as_bytes()
        && first.is_ascii_alphabetic()
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric())
    {
        return true; // nearly every name there is
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_character)
}

/// XML 1.0, production 4, without the colon.
const fn is_name_start(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '_' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// XML 1.0, production 4a, without the colon.
const fn is_name_character(character: char) -> bool {
    is_name_start(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// One attribute as it stands in the tag.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a str,
}

/// The attributes of a start tag, from what follows its name. Ends at the first error.
#[derive(Clone)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    pub(super) const fn of(rest: &'a str) -> Self {
        Self { rest }
    }

    fn read(&mut self) -> Option<Attribute<'a>> {
        let rest = self.rest;
        let name_from = rest.bytes().position(|byte| !is_white_space(byte)).filter(|at| *at > 0)?; // production 40
        let (name, after) = rest[name_from..].split_once('=')?;
        let after = after.trim_start_matches(|character: char| character.is_ascii() && is_white_space(character as u8));
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (raw, rest) = after[1..].split_once(quote)?;
        self.rest = rest;
        let name = name.trim_end_matches([' ', '\t', '\r', '\n']);
        Some(Attribute { name, raw })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, NotXml>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.bytes().all(is_white_space) {
            return None;
        }
        let attribute = self.read().ok_or(NotXml);
        if attribute.is_err() {
            self.rest = "";
        }
        Some(attribute)
    }
}

/// An attribute's value with references resolved and white space normalised (XML 1.0, 3.3.3).
pub(super) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, NotXml> {
    if raw.bytes().all(|byte| !matches!(byte, b'<' | b'&' | b'\t' | b'\r' | b'\n')) {
        return Ok(Cow::Borrowed(raw));
    }
    if raw.contains('<') {
        return Err(NotXml);
    }
    // 2.11 makes one line feed of CR LF before 3.3.3 makes it a space; a reference to a control stays what it is.
    let spaced = raw.replace("\r\n", " ").replace(['\t', '\r', '\n'], " ");
    resolved(&spaced).map(|value| Cow::Owned(value.into_owned()))
}

/// XML 1.0, 2.4: what ends a CDATA section may not stand in other text.
pub(super) fn has_section_end(text: &str) -> bool {
    text.as_bytes().contains(&b']') && text.contains("]]>")
}

/// Character data with references resolved and line ends normalised.
pub(super) fn text(raw: &str) -> Result<Cow<'_, str>, NotXml> {
    if has_section_end(raw) {
        return Err(NotXml);
    }
    if raw.contains('\r') {
        let normalised = raw.replace("\r\n", "\n").replace('\r', "\n");
        return resolved(&normalised).map(|text| Cow::Owned(text.into_owned()));
    }
    resolved(raw)
}

/// The character of a reference, given what stands between `&` and `;`. Only the five predefined entities exist here.
pub(super) fn reference(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => character_reference(name.strip_prefix('#')?),
    }
}

fn character_reference(number: &str) -> Option<char> {
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None; // `from_str_radix` takes a sign
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|character| is_xml_character(*character))
}

/// Bytes before the first reference. The gaps in escaped markup are a few bytes long, too short for a clever search.
fn plain_length(text: &str) -> usize {
    text.bytes().position(|byte| byte == b'&').unwrap_or(text.len())
}

fn resolved(raw: &str) -> Result<Cow<'_, str>, NotXml> {
    let first = plain_length(raw);
    if first == raw.len() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    out.push_str(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some(after) = rest.strip_prefix('&') {
        let end = after.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';').ok_or(NotXml)?;
        out.push(reference(&after[..end]).ok_or(NotXml)?);
        let after = &after[end + 1..];
        let plain = plain_length(after);
        out.push_str(&after[..plain]);
        rest = &after[plain..];
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(qualified_name("a"), Some(("", "a")));
        assert_eq!(qualified_name("s:Body"), Some(("s", "Body")));
        for bad in ["", ":", ":a", "a:", "a:b:c", "1a", "-a", "a\"", "a/b"] {
            assert_eq!(qualified_name(bad), None, "`{bad}`");
        }
    }

    #[track_caller]
    fn check_attributes(tail: &str, expected: Option<&[(&str, &str)]>) {
        let read: Result<Vec<_>, _> =
            Attributes::of(tail).map(|found| found.map(|found| (found.name, found.raw))).collect();
        assert_eq!(read.ok().as_deref(), expected, "`{tail}`");
    }

    #[test]
    fn attributes() {
        check_attributes("", Some(&[]));
        check_attributes("  \n", Some(&[]));
        check_attributes(" a=\"1\" b = 'x\"y'\t", Some(&[("a", "1"), ("b", "x\"y")]));
        check_attributes(" a=\"1\"b=\"2\"", None);
        check_attributes("a=\"1\"", None);
        check_attributes(" a", None);
        check_attributes(" a=1", None);
        check_attributes(" a=\"1", None);
    }

    #[track_caller]
    fn check_text(raw: &str, expected: Option<&str>) {
        assert_eq!(text(raw).ok().as_deref(), expected, "`{raw}`");
    }

    #[test]
    fn references() {
        check_text("plain", Some("plain"));
        check_text("&lt;a&gt; &amp;lt; &quot;&apos;", Some("<a> &lt; \"'"));
        check_text("&#65;&#x42;&#x1F4E6;", Some("AB📦"));
        check_text("a\r\nb\rc&#13;", Some("a\nb\nc\r"));
        for bad in [
            "&",
            "&;",
            "&lt",
            "&nbsp;",
            "&#0;",
            "&#1;",
            "&#xD800;",
            "&#xFFFE;",
            "&#x110000;",
            "&#+65;",
            "&#;",
            "&#x;",
            "]]>",
        ] {
            check_text(bad, None);
        }
    }

    #[test]
    fn attribute_values_are_normalised() {
        assert_eq!(attribute_value("a\r\nb\tc&#10;d").as_deref(), Ok("a b c\nd"));
        assert_eq!(attribute_value("a<b"), Err(NotXml));
    }
}
