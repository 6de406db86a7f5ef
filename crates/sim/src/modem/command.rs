//! Cuts a command line into commands (ITU-T V.250, 5.2 and 5.4). Knows no command.

/// One command of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// In upper case, with its prefix: `E`, `&F`, `+CMGS`.
    pub(super) name: String,
    /// How it is meant.
    pub(super) form: Form,
}

/// How a command is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `AT+X`, and basic commands with or without their number.
    Run(String),
    /// `AT+X=…`.
    Set(String),
    /// `AT+X?`.
    Read,
    /// `AT+X=?`.
    Test,
}

/// The commands of a line without its `AT`, or `None` where it is none.
pub(super) fn parse(line: &str) -> Option<Vec<Command>> {
    let mut commands = Vec::new();
    let mut rest = line.trim_matches([' ', ';']);
    while let Some(first) = rest.chars().next() {
        let (command, left) = match first {
            '+' | '^' | '#' | '$' | '*' | '%' => extended(rest),
            '&' => basic(rest, 2)?,
            'd' | 'D' => dial(rest),
            'a'..='z' | 'A'..='Z' => basic(rest, 1)?,
            _ => return None,
        };
        commands.push(command);
        rest = left.trim_start_matches([' ', ';']);
    }
    Some(commands)
}

fn extended(text: &str) -> (Command, &str) {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let (body, rest) = text.split_at(end.unwrap_or(text.len()));
    let (name, form) = match body.find(['=', '?']) {
        Some(at) => (&body[..at], &body[at..]),
        None => (body, ""),
    };
    let form = match form {
        "" => Form::Run(String::new()),
        "?" => Form::Read,
        "=?" => Form::Test,
        set => Form::Set(set[1..].trim().to_owned()),
    };
    (Command { name: name.trim().to_ascii_uppercase(), form }, rest)
}

fn basic(text: &str, name_octets: usize) -> Option<(Command, &str)> {
    let name = text.get(..name_octets)?.to_ascii_uppercase();
    let arguments = &text[name_octets..];
    let digits = arguments.find(|c: char| !c.is_ascii_digit()).unwrap_or(arguments.len());
    let (number, rest) = arguments.split_at(digits);
    // `S3?` and `S3=13`: the registers are not kept.
    let rest =
        if name == "S" { rest.trim_start_matches(|c: char| c == '?' || c == '=' || c.is_ascii_digit()) } else { rest };
    Some((Command { name, form: Form::Run(number.to_owned()) }, rest))
}

fn dial(text: &str) -> (Command, &str) {
    let end = text.find(';').unwrap_or(text.len());
    (Command { name: "D".to_owned(), form: Form::Run(text[1..end].to_owned()) }, &text[end..])
}

/// The arguments of a set command, without quotes.
pub(super) fn arguments(text: &str) -> Vec<&str> {
    text.split(',').map(|argument| argument.trim().trim_matches('"')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[(&str, Form)]) {
        let expected = expected.iter().map(|(name, form)| Command { name: (*name).to_owned(), form: form.clone() });
        assert_eq!(parse(line), Some(expected.collect()));
    }

    fn run(text: &str) -> Form {
        Form::Run(text.to_owned())
    }

    fn set(text: &str) -> Form {
        Form::Set(text.to_owned())
    }

    #[test]
    fn parses() {
        check("", &[]);
        check("E0", &[("E", run("0"))]);
        check("E0V1&D0+CMEE=1", &[("E", run("0")), ("V", run("1")), ("&D", run("0")), ("+CMEE", set("1"))]);
        check("+CMEE=1;+CREG=2", &[("+CMEE", set("1")), ("+CREG", set("2"))]);
        check("+creg?", &[("+CREG", Form::Read)]);
        check("+CPMS=?", &[("+CPMS", Form::Test)]);
        check("+CPMS=\"SM\",\"a;b\"", &[("+CPMS", set("\"SM\",\"a;b\""))]);
        check("D+49151;", &[("D", run("+49151"))]);
        check("S0=0E1", &[("S", run("0")), ("E", run("1"))]);
        check("Z", &[("Z", run(""))]);
        assert_eq!(parse("é"), None);
        assert_eq!(parse("&é"), None);
        assert_eq!(parse("1"), None);
    }

    #[test]
    fn arguments_lose_their_quotes() {
        assert_eq!(arguments("\"SM\", 2,"), ["SM", "2", ""]);
    }
}
