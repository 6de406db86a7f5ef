//! Escapes text for XML. Knows which characters XML 1.0 can carry; must not know what the text means.

/// Where the text is going to stand: in an attribute, quotes and line ends need escaping too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Text,
    Attribute,
}

/// Appends `text`, escaped. Characters that XML 1.0 cannot carry become U+FFFD.
pub(crate) fn push_escaped(out: &mut String, text: &str, place: Place) {
    let mut plain_from = 0;
    for (at, character) in text.char_indices() {
        let Some(replacement) = replacement(character, place) else {
            continue;
        };
        out.push_str(&text[plain_from..at]);
        out.push_str(replacement);
        plain_from = at + character.len_utf8();
    }
    out.push_str(&text[plain_from..]);
}

/// XML 1.0, 2.2: the characters a document may hold, escaped or not.
pub(crate) const fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

const fn replacement(character: char, place: Place) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),   // `]]>` may not stand in text (XML 1.0, 2.4)
        '\r' => Some("&#13;"), // a reader would turn a bare one into a line feed (XML 1.0, 2.11)
        '"' if matches!(place, Place::Attribute) => Some("&quot;"),
        '\n' if matches!(place, Place::Attribute) => Some("&#10;"),
        '\t' if matches!(place, Place::Attribute) => Some("&#9;"),
        _ if is_xml_character(character) => None,
        _ => Some("\u{FFFD}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(place: Place, text: &str, expected: &str) {
        let mut out = String::new();
        push_escaped(&mut out, text, place);
        assert_eq!(out, expected);
    }

    #[test]
    fn escapes_what_xml_needs() {
        check(Place::Text, "a < b && c > \"d\"\n", "a &lt; b &amp;&amp; c &gt; \"d\"\n");
        check(Place::Attribute, "a\"b\n\tc", "a&quot;b&#10;&#9;c");
        check(Place::Text, "é📦\r\n", "é📦&#13;\n");
    }

    #[test]
    fn replaces_what_xml_cannot_carry() {
        check(Place::Text, "a\u{0}b\u{FFFE}", "a\u{FFFD}b\u{FFFD}");
    }
}
