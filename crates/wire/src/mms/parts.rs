//! The body of a message: its parts, each with a type and a name (WAP-230-WSP, 8.5). Knows what phones need to put it together.

use model::record::{Medium, Multimedia};

use super::{MmsError, UTF_8, push_length, push_text, push_uintvar};
use crate::mm7::compose::{essence, file_name, ids};
use crate::mm7::smil;

const CONTENT_TYPE: u8 = 0x84;
/// `application/vnd.wap.multipart.related` and `.mixed`.
const RELATED: u8 = 0xb3;
const MIXED: u8 = 0xa3;
const PARAMETER_TYPE: u8 = 0x89;
const PARAMETER_START: u8 = 0x8a;
const PARAMETER_CHARSET: u8 = 0x81;
const TEXT_PLAIN: u8 = 0x83;
const CONTENT_ID: u8 = 0xc0;
const CONTENT_LOCATION: u8 = 0x8e;
const SMIL: &str = "application/smil";
/// `Content-ID` of the presentation.
const SMIL_ID: &str = "smil";
const FIELD: &str = "part";

/// Types that travel as a code (the WSP content type table).
const CODES: &[(&str, u8)] = &[("image/gif", 0x9d), ("image/jpeg", 0x9e), ("image/png", 0xa0)];

/// Writes the type of the body, which is the last header, and the body.
pub(super) fn push(multimedia: &Multimedia, octets: &mut Vec<u8>) -> Result<(), MmsError> {
    let media: Vec<(&Medium, String)> = multimedia.media.iter().zip(ids(&multimedia.media)).collect();
    let has_slides = !multimedia.slides.is_empty();
    octets.push(CONTENT_TYPE);
    if has_slides {
        let mut value = vec![RELATED, PARAMETER_TYPE];
        push_text(SMIL, FIELD, &mut value)?;
        value.push(PARAMETER_START);
        push_text(&format!("<{SMIL_ID}>"), FIELD, &mut value)?;
        push_length(value.len(), octets);
        octets.extend(value);
    } else {
        octets.push(MIXED);
    }
    push_uintvar(media.len() + usize::from(has_slides), octets);
    if has_slides {
        let mut headers = Vec::new();
        push_text(SMIL, FIELD, &mut headers)?;
        push_part(headers, SMIL_ID, None, smil::write(multimedia, &media).as_bytes(), octets)?;
    }
    for (medium, id) in &media {
        let name = file_name(&medium.location);
        push_part(media_type(medium)?, id, name.as_deref(), &medium.data, octets)?;
    }
    Ok(())
}

fn media_type(medium: &Medium) -> Result<Vec<u8>, MmsError> {
    let essence = essence(medium);
    if essence == "text/plain" {
        return Ok(vec![3, TEXT_PLAIN, PARAMETER_CHARSET, UTF_8]);
    }
    if let Some((_, code)) = CODES.iter().find(|(name, _)| *name == essence) {
        return Ok(vec![*code]);
    }
    let mut octets = Vec::new();
    push_text(&essence, FIELD, &mut octets)?;
    Ok(octets)
}

fn push_part(
    mut headers: Vec<u8>,
    id: &str,
    name: Option<&str>,
    data: &[u8],
    octets: &mut Vec<u8>,
) -> Result<(), MmsError> {
    // A quoted string: it has an opening quote and no closing one.
    headers.extend([CONTENT_ID, b'"']);
    push_text(&format!("<{id}>"), FIELD, &mut headers)?;
    if let Some(name) = name {
        headers.push(CONTENT_LOCATION);
        push_text(name, FIELD, &mut headers)?;
    }
    push_uintvar(headers.len(), octets);
    push_uintvar(data.len(), octets);
    octets.extend(headers);
    octets.extend(data);
    Ok(())
}
