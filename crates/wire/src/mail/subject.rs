//! The subjects of replies. Knows the rules, no header syntax.

use unicode_segmentation::UnicodeSegmentation as _;

/// Characters of a text that stand in its subject.
const CHARACTERS_MAX: usize = 40;
/// What every multimedia message says, since a preview shows only a part of it.
const OPEN: &str = "(Open the message to view content)";

/// The text up to its first line end, cut after whole graphemes.
pub(super) fn of_text(text: &str) -> String {
    let line = cut(&first_line(text), CHARACTERS_MAX);
    if line.trim().is_empty() { "(no text)".to_owned() } else { line.trim().to_owned() }
}

/// The message's own subject, and a word to open it.
pub(super) fn of_multimedia(subject: &str) -> String {
    match first_line(subject).trim() {
        "" => OPEN.to_owned(),
        subject => format!("{subject} {OPEN}"),
    }
}

fn first_line(text: &str) -> String {
    let line = text.split(['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}']).next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}

fn cut(text: &str, max: usize) -> String {
    let mut left = max;
    let whole: String = text
        .graphemes(true)
        .take_while(|grapheme| {
            let characters = grapheme.chars().count();
            let fits = characters <= left;
            left = if fits { left - characters } else { 0 };
            fits
        })
        .collect();
    // One grapheme of more characters than a subject has: somebody plays.
    if whole.is_empty() { text.chars().take(max).collect() } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(of_text(text), expected);
    }

    #[test]
    fn subjects_are_first_lines_of_forty_characters() {
        check("On my way, ten minutes.", "On my way, ten minutes.");
        check("first\r\nsecond", "first");
        check("first\u{2028}second", "first");
        check("", "(no text)");
        check("\nsecond", "(no text)");
        check(" \u{7}\t ", "(no text)");
        check("tab\there", "tabhere");
        check(&"x".repeat(41), &"x".repeat(40));
        check(&"x".repeat(40), &"x".repeat(40));
        // e and its accent stay together, and a family does.
        check(&format!("{}e\u{301}", "x".repeat(39)), &"x".repeat(39));
        check(&format!("{}e\u{301}", "x".repeat(38)), &format!("{}e\u{301}", "x".repeat(38)));
        let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        check(&format!("{}{family}", "x".repeat(36)), &"x".repeat(36));
        check(&format!("a{}", "\u{301}".repeat(60)), &format!("a{}", "\u{301}".repeat(39)));
    }

    #[test]
    fn multimedia_says_that_it_is_to_be_opened() {
        assert_eq!(of_multimedia("Holiday"), "Holiday (Open the message to view content)");
        assert_eq!(of_multimedia(" \r\nBcc: x"), "(Open the message to view content)");
    }
}
