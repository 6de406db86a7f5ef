//! Says what one line is, by its exact form. Knows final results, value lines and unsolicited lines; must not know the state of a dialogue.

use super::fault::Fault;

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Final {
    Ok,
    Failed(Fault),
}

/// Whether the modem may still be answering in digits (`ATV0`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verbosity {
    MayBeDigits,
    Words,
}

/// A final result, or nothing. Call results (`NO CARRIER`, `BUSY`, …) are none: we never dial, so they end somebody else's call.
pub(super) fn final_result(line: &[u8], verbosity: Verbosity) -> Option<Final> {
    match line {
        b"OK" => Some(Final::Ok),
        b"ERROR" | b"COMMAND NOT SUPPORT" | b"TOO MANY PARAMETERS" => Some(Final::Failed(Fault::Bare)),
        b"0" if verbosity == Verbosity::MayBeDigits => Some(Final::Ok),
        b"4" if verbosity == Verbosity::MayBeDigits => Some(Final::Failed(Fault::Bare)),
        _ => error_code(line).map(Final::Failed),
    }
}

fn error_code(line: &[u8]) -> Option<Fault> {
    if let Some(rest) = line.strip_prefix(b"+CMS ERROR:") {
        return Some(number(rest).map_or(Fault::Bare, Fault::Cms));
    }
    let rest = line.strip_prefix(b"+CME ERROR:")?;
    Some(number(rest).map_or(Fault::Bare, Fault::Cme))
}

/// A whole field as a number, with blanks around it allowed.
pub(super) fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// What follows `name` and a colon at the start of a line.
pub(super) fn value_of<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
    Some(rest.trim_ascii())
}

/// The comma-separated fields of a value, without blanks and quotes around them. A comma inside quotes separates nothing.
pub(super) fn fields(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        })
        .map(|field| {
            let field = field.trim_ascii();
            let field = field.strip_prefix(b"\"").unwrap_or(field);
            field.strip_suffix(b"\"").unwrap_or(field)
        })
}

/// A line that says the modem started anew: all its settings are gone.
pub(super) fn is_restart(line: &[u8]) -> bool {
    const LINES: [&[u8]; 9] = [
        b"RDY",
        b"^SYSSTART",
        b"Call Ready",
        b"SMS Ready",
        b"NORMAL POWER DOWN",
        b"POWERED DOWN",
        b"^SHUTDOWN",
        b"+CPIN: NOT READY",
        b"SYSSTART",
    ];
    LINES.contains(&line)
}

/// A line that begins like one nobody asked for: `+X:`, `^X:`, `#X:`, `*X:`.
pub(super) fn is_marked(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'+' | b'^' | b'#' | b'*')) && line.contains(&b':')
}

/// Decodes hexadecimal digits; nothing if the line is anything else.
pub(super) fn hex_bytes(line: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if line.is_empty() || !line.len().is_multiple_of(2) {
        return None;
    }
    line.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Cuts a PDU line into the TPDU, whose `length` excludes the service centre's address in front (3GPP TS 27.005, 3.1, `<length>`).
/// Some modems leave that address out.
pub(super) fn tpdu_of(mut octets: Vec<u8>, length: usize) -> Option<Vec<u8>> {
    if octets.len() == length {
        return Some(octets);
    }
    let service_centre = usize::from(*octets.first()?) + 1;
    if octets.len() != service_centre + length {
        return None;
    }
    Some(octets.split_off(service_centre))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Final>) {
        assert_eq!(final_result(line.as_bytes(), Verbosity::Words), expected, "`{line}`");
    }

    #[test]
    fn only_the_exact_form_ends_an_answer() {
        check("OK", Some(Final::Ok));
        check("ERROR", Some(Final::Failed(Fault::Bare)));
        check("+CMS ERROR: 500", Some(Final::Failed(Fault::Cms(500))));
        check("+CMS ERROR:500", Some(Final::Failed(Fault::Cms(500))));
        check("+CME ERROR: 14", Some(Final::Failed(Fault::Cme(14))));
        check("+CMS ERROR: invalid PDU mode parameter", Some(Final::Failed(Fault::Bare)));
        check("COMMAND NOT SUPPORT", Some(Final::Failed(Fault::Bare)));
        check("+COPS: 0,0,\"OKTEL\"", None);
        check("OKTEL", None);
        check("ok", None);
        check("NO CARRIER", None);
        check("0", None);
        check("+CMS ERROR", None);
    }

    #[test]
    fn digits_end_an_answer_only_where_they_may() {
        assert_eq!(final_result(b"0", Verbosity::MayBeDigits), Some(Final::Ok));
        assert_eq!(final_result(b"4", Verbosity::MayBeDigits), Some(Final::Failed(Fault::Bare)));
        assert_eq!(final_result(b"04", Verbosity::MayBeDigits), None);
    }

    #[test]
    fn fields_know_blanks_and_quotes() {
        let seen: Vec<&[u8]> = fields(b" 1, \"E,6B\",ABE0016 ").collect();
        assert_eq!(seen, [b"1".as_slice(), b"E,6B", b"ABE0016"]);
        assert_eq!(value_of(b"+CREG: 1, 5", "+CREG"), Some(b"1, 5".as_slice()));
        assert_eq!(value_of(b"+CREGX: 1", "+CREG"), None);
        assert_eq!(value_of(b"+CPIN:READY", "+CPIN"), Some(b"READY".as_slice()));
    }

    #[test]
    fn the_service_centre_is_cut_off_where_there_is_one() {
        assert_eq!(tpdu_of(vec![2, 0x91, 0x49, 6, 1], 2), Some(vec![6, 1]));
        assert_eq!(tpdu_of(vec![0, 6, 1], 2), Some(vec![6, 1]));
        assert_eq!(tpdu_of(vec![6, 1], 2), Some(vec![6, 1]));
        assert_eq!(tpdu_of(vec![9, 6, 1], 2), None);
        assert_eq!(tpdu_of(vec![], 2), None);
        assert_eq!(hex_bytes(b"0aF"), None);
        assert_eq!(hex_bytes(b"0aFf"), Some(vec![0x0a, 0xff]));
        assert_eq!(hex_bytes(b"+1"), None);
    }
}
