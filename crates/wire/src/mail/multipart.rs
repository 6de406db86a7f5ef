//! The body of a multimedia reply: a presentation and its media, or media alone. Knows MIME's multiparts, no media.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line of base64 (RFC 2045, 6.8).
const LINE_MAX: usize = 76;
/// What the presentation is called.
const PRESENTATION: &str = "mmspresent.smil";
/// Characters of a part's name.
const NAME_MAX: usize = 64;

/// A medium of a multimedia message.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its media type, without parameters.
    pub content_type: &'a str,
    /// The charset of a text; empty for what is none.
    pub charset: &'a str,
    /// What a presentation names it by (`cid:`); empty if it has no such name.
    pub id: &'a str,
    /// The file name it came with. What cannot stand in a header, or is a path, is replaced.
    pub name: &'a str,
    /// Its bytes.
    pub data: &'a [u8],
}

/// From `Content-Type` to the last delimiter.
pub(super) fn write(id: &str, smil: Option<&[u8]>, media: &[Part<'_>]) -> String {
    let boundary = format!("=_oms_{}", id.split('.').next().unwrap_or(id));
    let mut out = match smil {
        Some(_) => format!(
            "Content-Type: multipart/related; type=\"application/smil\";\r\n\tboundary=\"{boundary}\"\r\n\r\n\
             This is a multipart message in MIME format.\r\n"
        ),
        None => format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n"),
    };
    if let Some(smil) = smil {
        part(&boundary, ("application/smil", ""), ("", PRESENTATION), smil, &mut out);
    }
    for (index, medium) in in_order(smil, media).into_iter().enumerate() {
        let content_type = if is_type(medium.content_type) { medium.content_type } else { "application/octet-stream" };
        let name = file_name(medium.name, index);
        part(&boundary, (content_type, token(medium.charset)), (medium.id, &name), medium.data, &mut out);
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    out
}

/// The media as the presentation shows them; what it does not show comes last.
fn in_order<'a>(smil: Option<&[u8]>, media: &[Part<'a>]) -> Vec<Part<'a>> {
    let shown = String::from_utf8_lossy(smil.unwrap_or_default());
    // Only the order hangs on it: what reads like a source and is none does no harm.
    let sources: Vec<&str> = shown
        .split("src=")
        .skip(1)
        .filter_map(|rest| {
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            rest[1..].split(quote).next()
        })
        .collect();
    let place = |part: &Part<'_>| {
        let is = |source: &&str| match source.strip_prefix("cid:") {
            Some(id) => id == part.id,
            None => *source == part.name,
        };
        sources.iter().position(is).unwrap_or(sources.len())
    };
    let mut ordered = media.to_vec();
    ordered.sort_by_key(place);
    ordered
}

fn part(
    boundary: &str,
    (content_type, charset): (&str, &str),
    (id, name): (&str, &str),
    data: &[u8],
    out: &mut String,
) {
    let charset = if charset.is_empty() { String::new() } else { format!(" charset=\"{charset}\";") };
    out.push_str(&format!(
        "--{boundary}\r\nContent-Type: {content_type};{charset} name=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Location: {name}\r\n"
    ));
    // Only what is a file's name, too, may stand between the brackets.
    if !id.is_empty() && id.len() <= NAME_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b)) {
        out.push_str(&format!("Content-ID: <{id}>\r\n"));
    }
    out.push_str("\r\n");
    let text = STANDARD.encode(data);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_MAX));
        out.push_str(line);
        out.push_str("\r\n");
        rest = more;
    }
}

/// A name that is a file's and no path: what came from outside never names a place.
fn file_name(name: &str, index: usize) -> String {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_name = !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(is_fit) && !name.starts_with('.');
    if is_name { name.to_owned() } else { format!("part-{}", index + 1) }
}

fn is_type(text: &str) -> bool {
    let is_token = |text: &str| !text.is_empty() && token(text) == text;
    text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest))
}

/// The text if it is a token (RFC 2045, 5.1) without dots of its own meaning; else nothing.
fn token(text: &str) -> &str {
    let is_token = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
    if is_token { text } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_come_as_they_are_shown() {
        let part = |id, name| Part { content_type: "text/plain", charset: "", id, name, data: b"x" };
        let smil = br#"<par><img src="cid:pic"/><text src='b.txt' region="Text"/></par><text src="lost"/>"#;
        let media = [part("", "never.txt"), part("", "b.txt"), part("pic", "a.gif")];
        let names: Vec<_> = in_order(Some(smil), &media).iter().map(|part| part.name).collect();
        assert_eq!(names, ["a.gif", "b.txt", "never.txt"]);
        assert!(write("1", Some(smil), &media).contains("Content-Location: a.gif\r\nContent-ID: <pic>\r\n\r\n"));
        assert_eq!(in_order(None, &media)[0].name, "never.txt");
    }

    #[test]
    fn names_and_types_from_outside_stay_harmless() {
        let tricky = Part {
            content_type: "image/gif\r\nX: y",
            charset: "a\"b",
            id: "x>\r\ny",
            name: "../../etc/passwd",
            data: &[0; 100],
        };
        let body = write("7.reply", None, &[tricky]);
        assert!(body.contains("--=_oms_7\r\nContent-Type: application/octet-stream; name=\"part-1\"\r\n"), "{body}");
        assert!(body.ends_with("--=_oms_7--\r\n"));
        assert!(body.split("\r\n").all(|line| line.len() <= 80));
    }
}
