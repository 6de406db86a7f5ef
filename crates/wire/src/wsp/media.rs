//! Content types and their parameters (WAP-230-WSP, 8.4.2.24): which are sent as codes. Knows nothing of the content.

use super::{
    WspError,
    value::{Reader, push_integer, push_length, push_text},
};

/// IANA's MIBenum of UTF-8.
pub const CHARSET_UTF_8: u32 = 106;

const CHARSET: u8 = 0x81;
const SECURITY: u8 = 0x91;
const MAC: u8 = 0x92;
const FIELD: &str = "content type";

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    /// A name. One that the push vocabulary has a code for travels as its code.
    Name(String),
    /// A code of no such name.
    Code(u32),
}

/// What is said of a body beside its type.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The character set, by IANA's MIBenum.
    pub charset: Option<u32>,
    /// How a provisioning document is signed.
    pub security: Option<u8>,
    /// The signature of a provisioning document.
    pub mac: Option<String>,
}

/// Says of a signature only that there is one: a short PIN can be found from it.
impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parameters")
            .field("charset", &self.charset)
            .field("security", &self.security)
            .field("has_mac", &self.mac.is_some())
            .finish()
    }
}

/// The names that travel as codes.
const CODES: &[(u32, &str)] = &[
    (0x03, "text/plain"),
    (0x2e, "application/vnd.wap.sic"),
    (0x30, "application/vnd.wap.slc"),
    (0x36, "application/vnd.wap.connectivity-wbxml"),
    (0x3e, "application/vnd.wap.mms-message"),
    (0x42, "application/vnd.syncml.dm+wbxml"),
    (0x44, "application/vnd.syncml.notification"),
    (0x4e, "application/vnd.syncml.ds.notification"),
    (0x020b, "application/vnd.nokia.syncset+wbxml"),
    (0x0302, "application/vnd.syncml+xml"),
    (0x0303, "application/vnd.syncml+wbxml"),
    (0x030a, "application/vnd.wap.emn+wbxml"),
];

impl MediaType {
    /// A media type by its name.
    pub fn named(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    /// Its name, unless it is a code without one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Code(_) => None,
        }
    }

    fn of_code(code: u32) -> Self {
        let known = CODES.iter().find(|(other, _)| *other == code);
        known.map_or(Self::Code(code), |(_, name)| Self::named(name))
    }

    fn code(&self) -> Option<u32> {
        match self {
            Self::Code(code) => Some(*code),
            Self::Name(name) => CODES.iter().find(|(_, other)| other == name).map(|(code, _)| *code),
        }
    }

    /// Writes it by itself.
    fn encode_into(&self, octets: &mut Vec<u8>) -> Result<(), WspError> {
        match (self.code(), self) {
            (Some(code), _) => {
                push_integer(code, octets);
                Ok(())
            }
            (None, Self::Name(name)) => push_text(name, FIELD, octets),
            (None, Self::Code(_)) => unreachable!("a code is its own code"),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WspError> {
        match reader.peek(FIELD)? {
            0x20..=0x7f => Ok(Self::Name(reader.text(FIELD)?)),
            _ => Ok(Self::of_code(reader.integer(FIELD)?)),
        }
    }
}

impl Parameters {
    /// Text in UTF-8.
    pub fn utf_8() -> Self {
        Self { charset: Some(CHARSET_UTF_8), ..Self::default() }
    }

    fn encode_into(&self, octets: &mut Vec<u8>) -> Result<(), WspError> {
        if let Some(charset) = self.charset {
            octets.push(CHARSET);
            push_integer(charset, octets);
        }
        if let Some(security) = self.security {
            octets.push(SECURITY);
            push_integer(u32::from(security), octets);
        }
        if let Some(mac) = &self.mac {
            octets.push(MAC);
            push_text(mac, "mac", octets)?;
        }
        Ok(())
    }

    /// Reads what is known and passes over the rest.
    fn decode(mut reader: Reader<'_>) -> Result<Self, WspError> {
        let mut parameters = Self::default();
        while !reader.is_empty() {
            match reader.peek("parameter")? {
                CHARSET => {
                    reader.octet("charset")?;
                    parameters.charset = Some(reader.integer("charset")?);
                }
                SECURITY => {
                    reader.octet("security")?;
                    let security = reader.integer("security")?;
                    parameters.security =
                        Some(u8::try_from(security).map_err(|_| WspError::Number { field: "security" })?);
                }
                MAC => {
                    reader.octet("mac")?;
                    parameters.mac = Some(reader.text("mac")?);
                }
                _ => {
                    // A name as text or as a number, then a value.
                    reader.skip_value("parameter")?;
                    reader.skip_value("parameter")?;
                }
            }
        }
        Ok(parameters)
    }
}

/// Writes a content type: alone where it can stand alone.
pub(super) fn encode(media_type: &MediaType, parameters: &Parameters, octets: &mut Vec<u8>) -> Result<(), WspError> {
    let mut value = Vec::new();
    media_type.encode_into(&mut value)?;
    let stands_alone = *parameters == Parameters::default() && media_type.code().is_none_or(|code| code < 0x80);
    if !stands_alone {
        parameters.encode_into(&mut value)?;
        push_length(value.len(), octets);
    }
    octets.extend_from_slice(&value);
    Ok(())
}

/// Reads a content type.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<(MediaType, Parameters), WspError> {
    if reader.peek(FIELD)? >= 0x20 {
        return Ok((MediaType::decode(reader)?, Parameters::default()));
    }
    let mut value = reader.counted(FIELD)?;
    let media_type = MediaType::decode(&mut value)?;
    Ok((media_type, Parameters::decode(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], media_type: MediaType, parameters: Parameters) {
        assert_eq!(decode(&mut Reader::new(octets)), Ok((media_type, parameters)));
    }

    #[test]
    fn reads_what_others_write() {
        // A known type as text; a code without a name, short and long; parameters nobody asked for.
        check(b"text/plain\0", MediaType::named("text/plain"), Parameters::default());
        check(&[0x9f], MediaType::Code(0x1f), Parameters::default());
        check(&[3, 2, 0x7f, 0x7f], MediaType::Code(0x7f7f), Parameters::default());
        let octets = [9, 0x83, b'q', 0, b'1', 0, 0x99, 0x80, 0x81, 0xea];
        check(&octets, MediaType::named("text/plain"), Parameters::utf_8());
    }

    #[test]
    fn every_code_has_one_name() {
        for (code, name) in CODES {
            assert_eq!(MediaType::of_code(*code), MediaType::named(name));
            assert_eq!(MediaType::named(name).code(), Some(*code));
        }
    }
}
