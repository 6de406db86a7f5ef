//! Quoted-printable (RFC 2045, 6.7) of texts. Knows octets and lines, no charset.

/// Characters of a line, a soft break among them.
const LINE_MAX: usize = 76;

/// The octets of a text, of whatever line ends, as lines that end in CRLF.
pub(super) fn encode(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
        line(&rest[..end], &mut out);
        out.push_str("\r\n");
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
    }
    if out.is_empty() {
        out.push_str("\r\n");
    }
    out
}

fn line(octets: &[u8], out: &mut String) {
    let mut used = 0;
    for (index, octet) in octets.iter().enumerate() {
        let is_last = index + 1 == octets.len();
        let is_literal = match octet {
            b' ' | b'\t' => !is_last,
            b'=' => false,
            octet => octet.is_ascii_graphic(),
        };
        let width = if is_literal { 1 } else { 3 };
        if used + width > LINE_MAX - usize::from(!is_last) {
            out.push_str("=\r\n");
            used = 0;
        }
        used += width;
        if is_literal {
            out.push(char::from(*octet));
        } else {
            out.push_str(&format!("={octet:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(encode(text), expected);
    }

    #[test]
    fn lines_are_short_and_spaces_survive() {
        check(b"", "\r\n");
        check(b"a = b", "a =3D b\r\n");
        check(b"one\ntwo\r\nthree\rfour\n", "one\r\ntwo\r\nthree\r\nfour\r\n");
        check(b"space \n\ttab\t", "space=20\r\n\ttab=09\r\n");
        check(&[b'x'; 76], &format!("{}\r\n", "x".repeat(76)));
        check(&[b'x'; 77], &format!("{}=\r\nxx\r\n", "x".repeat(75)));
        check("\u{411}".as_bytes(), "=D0=91\r\n");
    }

    #[test]
    fn no_line_is_longer_than_allowed() {
        let text: String = (0..2_000).map(|n| char::from_u32(32 + n * 7 % 900).unwrap_or('?')).collect();
        for line in encode(text.as_bytes()).split("\r\n") {
            assert!(line.len() <= LINE_MAX && !line.ends_with(' '), "{line}");
        }
    }
}
