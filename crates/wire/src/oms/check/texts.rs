//! The texts of an SMS: type, length, characters, and the joining of parts. Knows what a client was told the limits are;
//! must not know segments or alphabets, which are the sender's business.

use super::{CALENDAR_SUMMARY_PARTS_MAX, PartJoining, Profile, SmsLimits};
use crate::oms::request::{Content, XmsData};
use crate::oms::response::{ErrorCode, ErrorItem, joined};

/// Checks the parts as they came and gives the texts to be sent.
pub(super) fn check_sms(data: &XmsData<'_>, limits: &SmsLimits, profile: &Profile) -> Result<Vec<String>, ErrorItem> {
    check_part_count(data, limits)?;
    check_types(&data.contents)?;
    check_lengths(&data.contents, limits)?;
    for content in &data.contents {
        check_characters(&content.text, profile)?;
    }
    if data.contents.iter().all(|content| content.text.is_empty()) {
        return Err(ErrorItem::of(ErrorCode::InvalidFormat));
    }
    Ok(texts_to_send(&data.contents, profile.part_joining))
}

/// Checks the characters and words of one text.
pub(super) fn check_characters(text: &str, profile: &Profile) -> Result<(), ErrorItem> {
    if text.chars().any(is_refused) || has_refused_word(text, &profile.words_refused) {
        return Err(ErrorItem::of(ErrorCode::InvalidChar));
    }
    Ok(())
}

/// The one text that `parts` come to if each starts with its mark: `(1/n)` to `(n/n)` in order, with n parts. The marks
/// and one space after each are left out. `None`: they are not such parts.
#[must_use]
pub fn joined_parts<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    let count = parts.len();
    let mut whole = String::new();
    for (index, part) in parts.enumerate() {
        let text = part.strip_prefix(&format!("({}/{count})", index + 1))?;
        whole.push_str(text.strip_prefix(' ').unwrap_or(text));
    }
    Some(whole)
}

fn texts_to_send(contents: &[Content<'_>], joining: PartJoining) -> Vec<String> {
    let whole = match joining {
        PartJoining::Join => joined_parts(contents.iter().map(|content| content.text.as_ref())),
        PartJoining::Keep => None,
    };
    let parts = || contents.iter().map(|content| content.text.to_string()).filter(|text| !text.is_empty()).collect();
    whole.filter(|whole| !whole.is_empty()).map_or_else(parts, |whole| vec![whole])
}

fn check_part_count(data: &XmsData<'_>, limits: &SmsLimits) -> Result<(), ErrorItem> {
    let is_summary = data.source_type.as_deref() == Some("calSummary");
    let limit = usize::try_from(limits.parts_max).unwrap_or(usize::MAX);
    let limit = if is_summary { limit.max(CALENDAR_SUMMARY_PARTS_MAX) } else { limit };
    if data.contents.len() <= limit {
        return Ok(());
    }
    Err(ErrorItem::with_content(ErrorCode::Other, format!("A message can have at most {limit} parts.")))
}

fn check_types(contents: &[Content<'_>]) -> Result<(), ErrorItem> {
    let is_text = |content: &&Content<'_>| media_type(&content.content_type).eq_ignore_ascii_case("text/plain");
    let others: Vec<String> =
        contents.iter().filter(|content| !is_text(content)).map(|content| content.content_id.to_string()).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(ErrorItem::with_content(ErrorCode::InvalidMedia, joined(&others)))
}

/// The type without its parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn check_lengths(contents: &[Content<'_>], limits: &SmsLimits) -> Result<(), ErrorItem> {
    let fits = |content: &Content<'_>| match content.text.as_ref() {
        ascii if ascii.is_ascii() => ascii.len() as u64 <= u64::from(limits.sbcs_max),
        // No client says how it counts; UTF-16 units are the strictest reading.
        other => other.encode_utf16().count() as u64 <= u64::from(limits.dbcs_max),
    };
    if contents.iter().all(fits) {
        return Ok(());
    }
    Err(ErrorItem::with_content(ErrorCode::LengthLimit, format!("{};{}", limits.sbcs_max, limits.dbcs_max)))
}

/// Controls but for tab and line ends, and what Unicode calls noncharacters (23.7). Surrogates cannot occur in a `str`.
fn is_refused(character: char) -> bool {
    let is_control = character.is_control() && !matches!(character, '\t' | '\n' | '\r') && character != '\u{7F}';
    is_control || matches!(character, '\u{FDD0}'..='\u{FDEF}') || (character as u32) & 0xFFFE == 0xFFFE
}

fn has_refused_word(text: &str, words: &[Box<str>]) -> bool {
    if words.is_empty() {
        return false;
    }
    let text = text.to_lowercase();
    words.iter().any(|word| !word.is_empty() && text.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_joined(parts: &[&str], expected: Option<&str>) {
        assert_eq!(joined_parts(parts.iter().copied()).as_deref(), expected);
    }

    #[test]
    fn parts_are_joined_only_if_all_marks_fit() {
        check_joined(&["(1/2) ab ", "(2/2)cd"], Some("ab cd"));
        check_joined(&["(1/1)  x"], Some(" x"));
        check_joined(&["(2/2) b", "(1/2) a"], None);
        check_joined(&["(1/3) a", "(2/3) b"], None);
        check_joined(&["(1/2) a", "b"], None);
        check_joined(&["(01/2) a", "(2/2) b"], None);
        check_joined(&[" (1/2) a", "(2/2) b"], None);
    }

    #[test]
    fn characters() {
        for good in ["", "tab\tline\r\n", "é📦`^{}\\[~]|", "\u{7F}"] {
            assert!(check_characters(good, &Profile::default()).is_ok(), "`{good:?}`");
        }
        for bad in ["\u{85}", "\u{9F}", "\u{1}", "\u{FDD0}", "\u{1FFFE}", "\u{10FFFF}"] {
            assert!(check_characters(bad, &Profile::default()).is_err(), "`{bad:?}`");
        }
    }

    #[test]
    fn words() {
        let profile = Profile { words_refused: vec!["Lottery".into()], ..Profile::default() };
        assert!(check_characters("you won the LOTTERY!", &profile).is_err());
        assert!(check_characters("you won", &profile).is_ok());
    }
}
