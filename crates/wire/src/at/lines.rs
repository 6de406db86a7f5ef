//! Cuts a modem's bytes into lines and prompts. Knows line ends and the prompt; must not know what a line means.

/// The longest line kept; a longer one is dropped whole and counted. A stored message of 176 octets is 352 characters.
const LINE_BYTES_MAX: usize = 1024;

/// What the modem said next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// One line without its end and without control characters around it; never empty.
    Line(&'a [u8]),
    /// The `>` that asks for a PDU. It has no line end (3GPP TS 27.005, 3.5.1).
    Prompt,
}

/// Whether a `>` at the start of a line is a prompt, or text like any other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Lines,
    Prompt,
}

/// Collects bytes as they come, split anywhere, and hands out whole lines.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    taken: usize,
    scanned: usize,
    overlong: bool,
    dropped: u64,
}

impl Splitter {
    /// Appends what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.scanned -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Hands out the next whole line, or the prompt where one is expected.
    pub(super) fn next(&mut self, expect: Expect) -> Option<Token<'_>> {
        loop {
            if expect == Expect::Prompt && self.at_prompt() {
                return Some(Token::Prompt);
            }
            let Some(length) = self.buffer[self.scanned..].iter().position(|byte| is_line_end(*byte)) else {
                self.scanned = self.buffer.len();
                self.bound();
                return None;
            };
            let line = self.taken..self.scanned + length;
            self.taken = line.end + 1;
            self.scanned = self.taken;
            if std::mem::take(&mut self.overlong) {
                continue;
            }
            let line = trimmed(&self.buffer, line);
            if !line.is_empty() {
                return Some(Token::Line(&self.buffer[line]));
            }
        }
    }

    /// Forgets an unfinished line, as after a port was reopened.
    pub(super) fn clear(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    /// The number of lines dropped for being too long.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a `>` that begins a line, with the blank after it if that is here already.
    fn at_prompt(&mut self) -> bool {
        let rest = &self.buffer[self.taken..];
        let blank = rest.iter().take_while(|byte| matches!(**byte, b'\r' | b'\n' | b' ')).count();
        if self.overlong || rest.get(blank) != Some(&b'>') {
            return false;
        }
        let space = usize::from(rest.get(blank + 1) == Some(&b' '));
        self.taken += blank + 1 + space;
        self.scanned = self.taken;
        true
    }

    /// Keeps an endless line from growing the buffer.
    fn bound(&mut self) {
        if self.buffer.len() - self.taken > LINE_BYTES_MAX {
            self.taken = self.buffer.len();
            if !std::mem::replace(&mut self.overlong, true) {
                self.dropped += 1;
            }
        }
    }
}

/// CR and LF in any order and number end a line; Ctrl-Z ends the echo of a PDU.
fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0x1a)
}

fn trimmed(buffer: &[u8], range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let line = &buffer[range.clone()];
    let start = line.iter().take_while(|byte| blank(byte)).count();
    let end = line.len() - line.iter().rev().take_while(|byte| blank(byte)).count();
    range.start + start.min(end.max(start))..range.start + end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expect: Expect, input: &[u8], expected: &[&str]) {
        for chunk in [1, 2, 3, input.len().max(1)] {
            let mut splitter = Splitter::default();
            let mut seen = Vec::new();
            for bytes in input.chunks(chunk) {
                splitter.push(bytes);
                while let Some(token) = splitter.next(expect) {
                    seen.push(match token {
                        Token::Line(line) => String::from_utf8_lossy(line).into_owned(),
                        Token::Prompt => "<prompt>".to_owned(),
                    });
                }
            }
            assert_eq!(seen, expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn lines_come_out_however_they_were_cut() {
        check(Expect::Lines, b"\r\nOK\r\n", &["OK"]);
        check(Expect::Lines, b"\r\r\nOK\r\r\n\r\n", &["OK"]);
        check(Expect::Lines, b"\r\n+CMGS: 34\r\n\r\nOK\r\n", &["+CMGS: 34", "OK"]);
        check(Expect::Lines, b"0\r", &["0"]);
        check(Expect::Lines, b"\x1b\rAT\r\r\nOK\r\n", &["AT", "OK"]);
        check(Expect::Lines, b"0031\x1a\r\n+CMGS: 1\r\n", &["0031", "+CMGS: 1"]);
        check(Expect::Lines, b"no end", &[]);
        check(Expect::Lines, b"\r\n   \r\n\0\r\n", &[]);
    }

    #[test]
    fn a_prompt_has_no_line_end_and_a_bare_one_is_one_too() {
        check(Expect::Prompt, b"\r\n> ", &["<prompt>"]);
        check(Expect::Prompt, b">", &["<prompt>"]);
        check(Expect::Prompt, b"AT+CMGS=23\r\r\n> ", &["AT+CMGS=23", "<prompt>"]);
        check(Expect::Prompt, b"\r\n+CREG: 1\r\n\r\n> ", &["+CREG: 1", "<prompt>"]);
        check(Expect::Prompt, b"+X: a > b\r\n", &["+X: a > b"]);
        check(Expect::Lines, b"> \r\nOK\r\n", &[">", "OK"]);
    }

    #[test]
    fn an_endless_line_is_dropped_whole_and_counted_once() {
        let mut splitter = Splitter::default();
        for _ in 0..10 {
            splitter.push(&[b'x'; 700]);
            assert!(splitter.next(Expect::Lines).is_none());
        }
        splitter.push(b"OK\r\nOK\r\n");
        assert_eq!(splitter.next(Expect::Lines), Some(Token::Line(b"OK")));
        assert!(splitter.next(Expect::Lines).is_none());
        assert_eq!(splitter.dropped(), 1);
    }
}
