//! Templates: `%variable;modifier;modifier%` in a path and query (the variables are IceWarp's). Knows their grammar; must not
//! know what services answer.

use super::{
    Charset, Message,
    value::{Modifier, Value, Variable},
};

/// Octets of a template.
pub const TEMPLATE_OCTETS_MAX: usize = 8 * 1024;

/// A template that has been checked: every variable and modifier in it is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// Shows the variables only: what stands between them is somebody's password.
impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { variable, .. } => Some(variable),
            Piece::Literal(_) => None,
        });
        f.debug_list().entries(variables).finish()
    }
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable { variable: Variable, modifiers: Vec<Modifier> },
}

/// Why a text is no template, or a message does not fit one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name between percent signs that is no variable.
    #[error("variable `{name}` is not known")]
    Variable {
        /// The name.
        name: String,
    },
    /// A name behind a semicolon that is no modifier.
    #[error("modifier `{name}` is not known")]
    Modifier {
        /// The name.
        name: String,
    },
    /// A character set this codec does not know.
    #[error("character set `{name}` is not known")]
    Charset {
        /// The name.
        name: String,
    },
    /// A character that may not stand in a request.
    #[error("character at `{at}` may not stand in a request")]
    Character {
        /// Its offset in octets.
        at: usize,
    },
    /// A template over the limit.
    #[error("template of more than `{max}` octets")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A value that is too long for the octet that shall say its length.
    #[error("value of `{octets}` octets does not fit its length octet")]
    ValueTooLong {
        /// Its octets.
        octets: usize,
    },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] for anything that is neither a known variable, nor an escape, nor plain: nothing is sent as is.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_OCTETS_MAX {
            return Err(TemplateError::TooLong { max: TEMPLATE_OCTETS_MAX });
        }
        if let Some(at) = text.bytes().position(|octet| !octet.is_ascii_graphic()) {
            return Err(TemplateError::Character { at });
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            let (piece, length) = Self::piece(&rest[at..])?;
            match piece {
                Piece::Literal(escape) => literal.push_str(&escape),
                variable => pieces.extend([Piece::Literal(std::mem::take(&mut literal)), variable]),
            }
            rest = &rest[at + length..];
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Ok(Self { pieces })
    }

    /// What a percent sign begins, and how long it is.
    fn piece(text: &str) -> Result<(Piece, usize), TemplateError> {
        let after = &text[1..];
        let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, behind) = after.split_at(length);
        // The variables come first: `%da` and `%dc` would be escapes too.
        if let (Some(variable), Some('%' | ';')) = (Variable::of(name), behind.chars().next())
            && let Some(end) = behind.find('%')
        {
            let modifiers = behind[..end].split(';').skip(1).map(modifier).collect::<Result<_, _>>()?;
            return Ok((Piece::Variable { variable, modifiers }, 1 + length + end + 1));
        }
        let is_escape = name.len() >= 2 && name.bytes().take(2).all(|octet| octet.is_ascii_hexdigit());
        if is_escape && Variable::of(name).is_none() {
            return Ok((Piece::Literal(text[..3].to_owned()), 3));
        }
        Err(TemplateError::Variable { name: name.to_owned() })
    }

    /// Whether it has a place for the user data header. Without one, it must not be used for octets.
    pub fn carries_header(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable { variable: Variable::Header, .. }))
    }

    /// Whether it says of a message that it is octets, by `%binary%` or `%dcs%`.
    pub fn carries_coding(&self) -> bool {
        let tells = |piece: &Piece| match piece {
            Piece::Variable { variable, .. } => matches!(variable, Variable::Binary | Variable::Dcs),
            Piece::Literal(_) => false,
        };
        self.pieces.iter().any(tells)
    }

    /// Whether it tells the service where to report.
    pub fn carries_report(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable { variable: Variable::Report, .. }))
    }

    /// Fills it with a message.
    ///
    /// # Errors
    /// [`TemplateError::ValueTooLong`] if a value is too long for the length octet the template asks for.
    pub fn render(&self, message: &Message<'_>) -> Result<String, TemplateError> {
        let mut request = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => request.push_str(literal),
                Piece::Variable { variable, modifiers } => {
                    let value = Value::of(*variable, message).modified(modifiers, message.payload)?;
                    push_escaped(&value, &mut request);
                }
            }
        }
        Ok(request)
    }
}

fn modifier(text: &str) -> Result<Modifier, TemplateError> {
    let unknown = || TemplateError::Modifier { name: text.to_owned() };
    match text.split_once('=') {
        None => Modifier::of(text).ok_or_else(unknown),
        Some(("charset", name)) => {
            let charset = Charset::of(name).ok_or_else(|| TemplateError::Charset { name: name.to_owned() })?;
            Ok(Modifier::Charset(charset))
        }
        Some(("interprefix", prefix)) => Ok(Modifier::InternationalPrefix(prefix.to_owned())),
        Some(("value", value)) => Ok(Modifier::Append(value.to_owned())),
        Some(_) => Err(unknown()),
    }
}

/// Writes octets so that they mean nothing to a URL (RFC 3986, 2.3).
fn push_escaped(octets: &[u8], request: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &octet in octets {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            request.push(char::from(octet));
        } else {
            request.push('%');
            request.push(char::from(DIGITS[usize::from(octet >> 4)]));
            request.push(char::from(DIGITS[usize::from(octet & 0xf)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Payload;
    use super::*;

    const TEXT: Message<'static> = Message {
        number: "+4915112345678",
        payload: Payload::Text("Grüße"),
        header: &[],
        pid: 0,
        dcs: 8,
        sender: "Ann & Co",
        sender_phone_alias: "",
        parts: 1,
        report: "https://a.example/r/Ab-1",
    };
    const OCTETS: Message<'static> =
        Message { payload: Payload::Octets(&[0, 0xff]), header: &[5, 4, 0x0b, 0x84, 0x23, 0xf0], dcs: 0xf5, ..TEXT };

    #[track_caller]
    fn check(template: &str, message: &Message<'_>, expected: &str) {
        assert_eq!(Template::parse(template).and_then(|template| template.render(message)).as_deref(), Ok(expected));
    }

    #[test]
    fn variables() {
        check("/?n=%number%&s=%sender%", &TEXT, "/?n=%2B4915112345678&s=Ann%20%26%20Co");
        check("%binary%%pid%/%dcs%", &TEXT, "00/8");
        check("%binary%,%data%,%udh%", &OCTETS, "1,AP8%3D,BQQLhCPw");
        check("%udh%.%parts%.%condition%", &TEXT, ".1.");
        // Kannel's `dlr-url`, whose own escapes are escaped.
        let url = "https%3A%2F%2Fa.example%2Fr%2FAb-1";
        check("/?dlr-url=%report%%3Fstate%3D%25d", &TEXT, &format!("/?dlr-url={url}%3Fstate%3D%25d"));
    }

    #[test]
    fn modifiers() {
        check("%udh;len%", &OCTETS, "BgUEC4Qj8A%3D%3D");
        check("%udh;len;hex%", &OCTETS, "060504 0B8423F0".replace(' ', "").as_str());
        check("%data;raw%", &OCTETS, "%00%FF");
        check("%data;hex;b64%", &OCTETS, "MDBGRg%3D%3D");
        check("%data;unicode;hex%", &TEXT, "0047007200FC00DF0065");
        check("%data;charset=iso-8859-1%", &TEXT, "Gr%FC%DFe");
        check("%data;charset=us-ascii%", &TEXT, "Gr%3F%3Fe");
        check("%data;b64%", &TEXT, "R3LDvMOfZQ%3D%3D");
        check("%number;interprefix=00%", &TEXT, "004915112345678");
        check("%sender;interprefix=00%", &TEXT, "Ann%20%26%20Co");
        check("%data;unicode%", &OCTETS, "AP8%3D");
    }

    #[test]
    fn conditions_choose_what_follows_them() {
        let template = "%data;isunicode;unicode;hex;isascii;b64%&f=%condition;isunicode;value=1;isbinary;value=2%";
        check(template, &TEXT, "0047007200FC00DF0065&f=1");
        check(template, &Message { payload: Payload::Text("hi"), ..TEXT }, "aGk%3D&f=");
        check(template, &OCTETS, "AP8%3D&f=2");
    }

    #[test]
    fn escapes_are_left_alone() {
        check("/%2Fa%20b?x=%dcs%&y=%DC%face", &TEXT, "/%2Fa%20b?x=8&y=%DC%face");
        check("%2B%number%", &TEXT, "%2B%2B4915112345678");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |text: &str| Template::parse(text).expect_err("it must be refused");
        for name in ["text", "number_", "", "Number"] {
            assert_eq!(refused(&format!("/?x=%{name}%")), TemplateError::Variable { name: name.to_owned() });
        }
        assert_eq!(refused("100%"), TemplateError::Variable { name: String::new() });
        // A variable that is never closed is no escape, although it begins like one.
        assert_eq!(refused("/?x=%data&y=1"), TemplateError::Variable { name: "data".to_owned() });
        assert_eq!(refused("/?x=%data;hex"), TemplateError::Variable { name: "data".to_owned() });
        for name in ["HEX", "", "len=1", "base64"] {
            assert_eq!(refused(&format!("%data;{name}%")), TemplateError::Modifier { name: name.to_owned() });
        }
        assert_eq!(refused("%data;charset=klingon%"), TemplateError::Charset { name: "klingon".to_owned() });
        assert_eq!(refused("/a b"), TemplateError::Character { at: 2 });
        assert_eq!(refused("/a\r\nHost:x"), TemplateError::Character { at: 2 });
        assert_eq!(refused(&"a".repeat(8193)), TemplateError::TooLong { max: TEMPLATE_OCTETS_MAX });
    }

    #[test]
    fn a_length_octet_has_its_limit() {
        let long = [0; 256];
        let template = Template::parse("%data;len%").unwrap();
        let message = |payload| Message { payload, ..OCTETS };
        assert!(template.render(&message(Payload::Octets(&long[1..]))).is_ok());
        let refused = template.render(&message(Payload::Octets(&long)));
        assert_eq!(refused, Err(TemplateError::ValueTooLong { octets: 256 }));
    }

    #[test]
    fn debug_shows_no_password() {
        let template = Template::parse("/?user=ann&password=s3cret&to=%number%").unwrap();
        assert_eq!(format!("{template:?}"), "[Number]");
    }

    #[test]
    fn a_template_says_whether_it_has_room_for_headers() {
        let carries = |text: &str| Template::parse(text).unwrap().carries_header();
        assert!(carries("%data%%udh;len;hex%") && !carries("%data%&udh=1"));
        let tells = |text: &str| Template::parse(text).unwrap().carries_coding();
        let reports = |text: &str| Template::parse(text).unwrap().carries_report();
        assert!(reports("/?r=%report%") && !reports("/?r=report"));
        assert!(tells("%binary%") && tells("x=%dcs%") && !tells("%data%%udh%&dcs=4"));
    }
}
