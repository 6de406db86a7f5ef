//! Numbers as relays write them. Must not know messages.

/// How a number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// `+447700900123`.
    #[default]
    Plus,
    /// `447700900123`.
    Digits,
    /// `+447700900123/TYPE=PLMN`.
    Typed,
}

/// What some relays put behind a number.
const TYPE: &str = "/TYPE=PLMN";

impl NumberForm {
    /// Writes an E.164 number, which may begin with `+`.
    pub(super) fn write(self, number: &str) -> String {
        let digits = number.trim_start_matches('+');
        match self {
            Self::Plus => format!("+{digits}"),
            Self::Digits => digits.to_owned(),
            Self::Typed => format!("+{digits}{TYPE}"),
        }
    }
}

/// The number in an address of whatever form, E.164 with `+`; what is none stays as it is.
pub(super) fn number_of(address: &str) -> String {
    let address = address.trim();
    let cut = [address.find('/'), address.find('@')].into_iter().flatten().min().unwrap_or(address.len());
    let digits: String = address[..cut].chars().filter(|character| !matches!(character, ' ' | '-' | '.')).collect();
    let digits = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00")).unwrap_or(&digits);
    if !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return format!("+{digits}");
    }
    address.to_owned()
}
