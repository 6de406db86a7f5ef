//! Reads Rust source just far enough to look for words: comments, texts and tests do not count.
//!
//! Knows the lexical rules of Rust; must not know what is looked for.

/// The code of a file with comments and the insides of texts blanked out, line by line as it was.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if !ends_with_word(&out) => raw_or_byte_text(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|blanked| if blanked == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// Blanks what `#[cfg(test)]` stands before: an item with a body, or one that ends with a semicolon.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let end = at + MARK.len() + item_length(&rest[at + MARK.len()..]);
        out.push_str(&rest[..at]);
        out.extend(rest[at..end].chars().map(|blanked| if blanked == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The lines on which a word stands by itself, counted from 1.
pub(crate) fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines().enumerate().filter(move |(_, line)| has_word(line, word)).map(|(number, _)| number + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = !word.starts_with(part_of_word) || !before.is_some_and(part_of_word);
        let ends = !word.ends_with(part_of_word) || !after.is_some_and(part_of_word);
        starts && ends
    })
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a text in quotes, from its first quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `b"…"`, `c"…"`, `r"…"`, `br#"…"#` and the like; 0 when it is none of them.
fn raw_or_byte_text(text: &str) -> usize {
    let after_kind = text.trim_start_matches(['b', 'c']);
    let kind = text.len() - after_kind.len();
    if kind > 1 {
        return 0;
    }
    let Some(after_r) = after_kind.strip_prefix('r') else {
        return if after_kind.starts_with('"') && kind > 0 { kind + quoted(after_kind) } else { 0 };
    };
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    if !after_r[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = kind + 1 + hashes + 1;
    text[body..].find(&end).map_or(text.len(), |at| body + at + end.len())
}

/// The length of a character in quotes; 0 when the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escape_at, escape))) => {
            let after = escape_at + escape.len_utf8();
            text[after..].find('\'').map_or(0, |at| after + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn ends_with_word(out: &str) -> bool {
    out.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
}

fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_code(text: &str, expected: &str) {
        let found = code(text);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        assert_eq!(found.matches('\n').count(), text.matches('\n').count(), "lines stay where they are");
    }

    #[test]
    fn comments_are_blanked() {
        check_code("a // tokio\nb", "a b");
        check_code("a /* x /* y */ \n z */ b", "a b");
        check_code("/// unwrap()\nfn a() {}", "fn a() {}");
        check_code("a / b", "a / b");
    }

    #[test]
    fn texts_are_blanked() {
        check_code(r#"a("x \" // y") b"#, "a( ) b");
        check_code("a(r#\"x \" y\"#) b", "a( ) b");
        check_code("a(b\"x\", br\"y\\\", c\"z\") b", "a( , , ) b");
        check_code("let r = b; over(r)", "let r = b; over(r)");
        check_code("r#type", "r#type");
    }

    #[test]
    fn characters_are_not_lifetimes() {
        check_code("fn a<'a>(x: &'a str) { '\"' }", "fn a<'a>(x: &'a str) { }");
        check_code("['\\'', '\\\\', '{', '\\u{7d}'] 'outer: loop {}", "[ , , , ] 'outer: loop {}");
    }

    #[test]
    fn tests_are_blanked() {
        let text = "a();\n#[cfg(test)]\nmod tests {\n fn b() { unwrap() }\n}\nc();\n#[cfg(test)]\nmod more;\nd();";
        let found = without_tests(text);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["a();", "c();", "d();"]);
        assert_eq!(lines_with(&found, "d").collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_word_stands_by_itself() {
        let found = |line: &str, word: &str| lines_with(line, word).count();
        assert_eq!(found("use tokio::net;", "tokio"), 1);
        assert_eq!(found("mod my_tokio; tokios", "tokio"), 0);
        assert_eq!(found("x.unwrap()", ".unwrap()"), 1);
        assert_eq!(found("x.unwrap_or(1)", ".unwrap()"), 0);
    }
}
