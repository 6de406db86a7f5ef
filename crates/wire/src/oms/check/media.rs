//! The contents of a multimedia message: types, base64, links, sizes, slides. Knows what a client was told the limits are;
//! must not know pictures or sounds.

use super::texts::{check_characters, media_type};
use super::{MmsLimits, Profile};
use crate::oms::request::{Content, Slides, XmsData};
use crate::oms::response::{ErrorCode, ErrorItem, joined};

/// The media a client converts everything else into. The vendor's examples say `audio/midi`, its table `audio/mid`.
const MEDIA_TYPES: [&str; 6] = ["image/jpeg", "image/gif", "audio/mid", "audio/midi", "audio/x-midi", "audio/amr"];

/// Checks subject, texts, media, sizes and slides.
pub(super) fn check(data: &XmsData<'_>, limits: &MmsLimits, profile: &Profile) -> Result<(), ErrorItem> {
    check_texts(data, profile)?;
    let size = check_contents(&data.contents)?;
    if let Some(slides) = &data.slides {
        check_links(slides, &data.contents)?;
    }
    if size > limits.size_bytes_max {
        return Err(ErrorItem::with_content(ErrorCode::SizeLimit, limits.size_bytes_max.to_string()));
    }
    let slides = data.slides.as_ref().map_or(0, |slides| slides.slides.len());
    if limits.supports_slides && slides as u64 > u64::from(limits.slides_max) {
        return Err(ErrorItem::with_content(ErrorCode::SlidesLimit, limits.slides_max.to_string()));
    }
    Ok(())
}

fn check_texts(data: &XmsData<'_>, profile: &Profile) -> Result<(), ErrorItem> {
    let texts = data.contents.iter().filter(|content| is_text(content)).map(|content| &content.text);
    for text in data.subject.iter().chain(texts) {
        check_characters(text, profile)?;
    }
    Ok(())
}

/// The size of all contents, decoded.
fn check_contents(contents: &[Content<'_>]) -> Result<u64, ErrorItem> {
    let (mut size, mut bad) = (0, Vec::new());
    for content in contents {
        match decoded_length(content) {
            Some(length) => size += length,
            None => bad.push(content.content_id.to_string()),
        }
    }
    if bad.is_empty() { Ok(size) } else { Err(invalid_media(&bad)) }
}

fn decoded_length(content: &Content<'_>) -> Option<u64> {
    if is_text(content) {
        return Some(content.text.len() as u64);
    }
    let kind = media_type(&content.content_type);
    let is_known = MEDIA_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind));
    if is_known { base64_length(&content.text) } else { None }
}

fn is_text(content: &Content<'_>) -> bool {
    media_type(&content.content_type).eq_ignore_ascii_case("text/plain")
}

/// The number of bytes that `text` encodes (RFC 4648, 4), white space left out; `None` if it is not base64.
fn base64_length(text: &str) -> Option<u64> {
    let (mut digits, mut padding) = (0_u64, 0_u64);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            b'=' if padding < 2 => padding += 1,
            _ => return None,
        }
    }
    let is_whole = digits > 0 && (digits + padding).is_multiple_of(4) && digits % 4 != 1;
    is_whole.then_some(digits * 3 / 4)
}

/// Every link must lead to a content of the same message.
fn check_links(slides: &Slides<'_>, contents: &[Content<'_>]) -> Result<(), ErrorItem> {
    let links = slides.slides.iter().flat_map(|slide| [&slide.image, &slide.text, &slide.audio]).flatten();
    let resolves = |link: &str| target(link).is_some_and(|id| contents.iter().any(|content| content.content_id == id));
    let dangling: Vec<String> =
        links.filter(|link| !resolves(link)).map(|link| target(link).unwrap_or(link).to_owned()).collect();
    if dangling.is_empty() { Ok(()) } else { Err(invalid_media(&dangling)) }
}

fn target(link: &str) -> Option<&str> {
    let (scheme, id) = link.trim().split_once(':')?;
    scheme.eq_ignore_ascii_case("cid").then_some(id)
}

fn invalid_media(content_ids: &[String]) -> ErrorItem {
    ErrorItem::with_content(ErrorCode::InvalidMedia, joined(content_ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (text, length) in [
            ("TWFu", Some(3)),
            ("TW\r\n Fu", Some(3)),
            ("TWE=", Some(2)),
            ("TQ==", Some(1)),
            ("", None),
            ("T", None),
            ("TWE", None),
            ("TWFu=", None),
            ("T===", None),
            ("TQ==TQ==", None),
            ("!!!not base64!!!", None),
        ] {
            assert_eq!(base64_length(text), length, "`{text}`");
        }
    }
}
