//! The headers behind the content type (WAP-230-WSP, 8.4.2.6 and 8.4.2.65): application id and push flag are read, all others
//! passed over. Knows nothing of the PDU around them.

use super::{
    ApplicationId, WspError,
    value::{Reader, SHORT, push_integer},
};

const APPLICATION_ID: u8 = 0xaf;
const PUSH_FLAG: u8 = 0xb4;
/// The code page the two headers are on.
const DEFAULT_PAGE: u8 = 1;
const SHIFT_DELIMITER: u8 = 0x7f;

/// The headers that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) application: Option<ApplicationId>,
    pub(super) push_flag: Option<u8>,
}

impl Headers {
    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) -> Result<(), WspError> {
        if let Some(application) = &self.application {
            octets.push(APPLICATION_ID);
            application.encode_into(octets)?;
        }
        if let Some(push_flag) = self.push_flag {
            octets.push(PUSH_FLAG);
            push_integer(u32::from(push_flag), octets);
        }
        Ok(())
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, WspError> {
        let mut headers = Self::default();
        let mut page = DEFAULT_PAGE;
        while !reader.is_empty() {
            match (reader.octet("a header")?, page) {
                (APPLICATION_ID, DEFAULT_PAGE) => headers.application = Some(ApplicationId::decode(&mut reader)?),
                (PUSH_FLAG, DEFAULT_PAGE) => {
                    let flag = reader.integer("push flag")?;
                    headers.push_flag = Some(u8::try_from(flag).map_err(|_| WspError::Number { field: "push flag" })?);
                }
                (SHORT.., _) => reader.skip_value("a header")?,
                (SHIFT_DELIMITER, _) => page = reader.octet("a page shift")?,
                (shift @ 1..0x20, _) => page = shift,
                (0x20..SHIFT_DELIMITER, _) => {
                    reader.text("a header")?;
                    reader.skip_value("a header")?;
                }
                (octet, _) => return Err(WspError::Header { octet }),
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_headers_are_passed_over() {
        let expected = Headers { application: Some(ApplicationId::named("push.syncml")), push_flag: Some(4) };
        // Content length, date, a header by name, one with a quoted length, one from another page.
        let octets = [
            &[0x8d, 0x85, 0x92, 4, 1, 2, 3, 4][..],
            b"x-what\0why\0",
            &[0x90, 31, 2, 0xff, 0xff, 0xaf, 0x85, 0x7f, 2, 0xaf, 0x87, 1, 0xb4, 0x84],
        ];
        assert_eq!(Headers::decode(Reader::new(&octets.concat())), Ok(expected));
    }

    #[test]
    fn refuses() {
        let decode = |octets: &[u8]| Headers::decode(Reader::new(octets));
        assert_eq!(decode(&[0]), Err(WspError::Header { octet: 0 }));
        assert_eq!(decode(&[0xaf]), Err(WspError::Cut { field: "application id" }));
        assert_eq!(decode(&[0xb4, 2, 1, 1]), Err(WspError::Number { field: "push flag" }));
        assert_eq!(decode(b"x\0"), Err(WspError::Cut { field: "a header" }));
    }
}
