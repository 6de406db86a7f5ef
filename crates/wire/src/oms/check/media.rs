//! The contents of a multimedia message: types, base64, links, sizes, slides; and the bundle they make. Knows what a client
//! was told the limits are; must not know pictures or sounds.

use super::texts::{check_characters, media_type};
use super::{MmsLimits, Profile};
use crate::oms::request::{Content, Layout, Slide, Slides, XmsData};
use crate::oms::response::{ErrorCode, ErrorItem, joined};
use model::record::{self, Medium, Multimedia};

/// The media a client converts everything else into. The vendor's examples say `audio/midi`, its table `audio/mid`.
const MEDIA_TYPES: [&str; 6] = ["image/jpeg", "image/gif", "audio/mid", "audio/midi", "audio/x-midi", "audio/amr"];

/// Checks subject, texts, media, sizes and slides, and gives the message as one bundle. Slides that the service does not
/// understand are left out of it: what they show is in its contents.
pub(super) fn check(data: &XmsData<'_>, limits: &MmsLimits, profile: &Profile) -> Result<Multimedia, ErrorItem> {
    check_texts(data, profile)?;
    let media = media(&data.contents)?;
    if let Some(slides) = &data.slides {
        check_links(slides, &data.contents)?;
    }
    let size: u64 = media.iter().map(|medium| medium.data.len() as u64).sum();
    if size > limits.size_bytes_max {
        return Err(ErrorItem::with_content(ErrorCode::SizeLimit, limits.size_bytes_max.to_string()));
    }
    let count = data.slides.as_ref().map_or(0, |slides| slides.slides.len());
    if count as u64 > u64::from(limits.slides_max) {
        return Err(ErrorItem::with_content(ErrorCode::SlidesLimit, limits.slides_max.to_string()));
    }
    let slides = data.slides.as_ref().filter(|_| limits.supports_slides);
    Ok(Multimedia {
        subject: data.subject.as_deref().unwrap_or_default().to_owned(),
        media,
        slides: slides.map_or_else(Vec::new, |slides| slides.slides.iter().map(slide).collect()),
        screen: slides.and_then(|slides| slides.layout.as_ref()).map(screen),
    })
}

fn slide(slide: &Slide<'_>) -> record::Slide {
    let id = |link: &Option<std::borrow::Cow<'_, str>>| link.as_deref().and_then(target).unwrap_or_default().to_owned();
    record::Slide {
        duration_ms: slide.duration_ms,
        image: id(&slide.image),
        text: id(&slide.text),
        audio: id(&slide.audio),
    }
}

fn screen(layout: &Layout<'_>) -> record::Screen {
    let region = |region: &crate::oms::request::Region<'_>| record::Region {
        id: region.id.to_string(),
        left: region.left.to_string(),
        top: region.top.to_string(),
        width: region.width.to_string(),
        height: region.height.to_string(),
        fit: region.fit.as_deref().unwrap_or_default().to_owned(),
    };
    record::Screen {
        width: layout.width,
        height: layout.height,
        background: layout.background.to_string(),
        regions: layout.regions.iter().map(region).collect(),
    }
}

fn check_texts(data: &XmsData<'_>, profile: &Profile) -> Result<(), ErrorItem> {
    let texts = data.contents.iter().filter(|content| is_text(content)).map(|content| &content.text);
    for text in data.subject.iter().chain(texts) {
        check_characters(text, profile)?;
    }
    Ok(())
}

/// All contents, decoded.
fn media(contents: &[Content<'_>]) -> Result<Vec<Medium>, ErrorItem> {
    let (mut media, mut bad) = (Vec::with_capacity(contents.len()), Vec::new());
    for content in contents {
        match medium(content) {
            Some(medium) => media.push(medium),
            None => bad.push(content.content_id.to_string()),
        }
    }
    if bad.is_empty() { Ok(media) } else { Err(invalid_media(&bad)) }
}

fn medium(content: &Content<'_>) -> Option<Medium> {
    let kind = media_type(&content.content_type);
    let (kind, data) = match MEDIA_TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind)) {
        Some(known) => (*known, base64(&content.text)?),
        None if is_text(content) => ("text/plain", content.text.as_bytes().to_vec()),
        None => return None,
    };
    Some(Medium {
        content_type: kind.to_owned(),
        id: content.content_id.to_string(),
        location: content.content_location.to_string(),
        data,
    })
}

fn is_text(content: &Content<'_>) -> bool {
    media_type(&content.content_type).eq_ignore_ascii_case("text/plain")
}

/// The bytes that `text` encodes (RFC 4648, 4), white space left out; `None` if it is not base64, or nothing.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut digits, mut padding, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0_usize, 0, 0_u32);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        bits = (bits << 6) | u32::from(sextet(byte).filter(|_| padding == 0)?);
        digits += 1;
        if digits.is_multiple_of(4) {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
    }
    match (digits % 4, padding) {
        (0, 0) if digits > 0 => {}
        (2, 2) => bytes.push((bits >> 4) as u8),
        (3, 1) => bytes.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(bytes)
}

const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Every link must lead to a content of the same message.
fn check_links(slides: &Slides<'_>, contents: &[Content<'_>]) -> Result<(), ErrorItem> {
    let links = slides.slides.iter().flat_map(|slide| [&slide.image, &slide.text, &slide.audio]).flatten();
    let resolves = |link: &str| target(link).is_some_and(|id| contents.iter().any(|content| content.content_id == id));
    let mut dangling: Vec<String> = Vec::new();
    for link in links.filter(|link| !resolves(link)) {
        let id = target(link).unwrap_or(link);
        if !dangling.iter().any(|known| known == id) {
            dangling.push(id.to_owned());
        }
    }
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
    fn base64_is_decoded_strictly() {
        for (text, expected) in [
            ("TWFu", Some("Man")),
            ("TW\r\n Fu", Some("Man")),
            ("TWE=", Some("Ma")),
            ("TQ==", Some("M")),
            ("TWFuTWFuTQ==", Some("ManManM")),
            ("", None),
            ("T", None),
            ("TWE", None),
            ("TWFu=", None),
            ("T===", None),
            ("TQ==TQ==", None),
            ("!!!not base64!!!", None),
        ] {
            assert_eq!(base64(text), expected.map(|text| text.as_bytes().to_vec()), "`{text}`");
        }
    }
}
