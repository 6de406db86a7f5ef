//! A binary short message as `POST /v1/messages` says it, in hexadecimal. No I/O.

use model::Refusal;
use model::record::{Binary, BinaryPart};
use serde::Deserialize;
use wire::tpdu::from_hex;

use crate::problem::Problem;

/// Octets of one short message (3GPP TS 23.040, 9.2.3.24).
const OCTETS_MAX: usize = 140;

/// `binary` of the body: one short message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Octets {
    /// The user data header, its length octet first.
    #[serde(default)]
    udh: String,
    data: String,
    #[serde(default)]
    pid: u8,
    /// 8-bit data without a message class.
    #[serde(default = "plain")]
    dcs: u8,
}

const fn plain() -> u8 {
    wire::datagram::DCS_PLAIN
}

impl Octets {
    /// The message, if it is one.
    ///
    /// # Errors
    /// A problem that names the field and the mend.
    pub(super) fn checked(&self) -> Result<Binary, Problem> {
        let udh = octets("binary.udh", &self.udh)?;
        let data = octets("binary.data", &self.data)?;
        if udh.len() + data.len() > OCTETS_MAX {
            let detail = format!(
                "`binary` has {} octets of header and data; at most {OCTETS_MAX} fit one message",
                udh.len() + data.len()
            );
            return Err(Problem::new(Refusal::TooLong, detail));
        }
        let part = BinaryPart { udh: udh.into(), data: data.into() };
        wire::binary::user_data(&part).map_err(|_| {
            let detail = "`binary.udh` is no user data header: write its length octet, then its elements";
            Problem::new(Refusal::InvalidField, detail)
        })?;
        let binary = Binary { pid: self.pid.into(), dcs: self.dcs.into(), parts: vec![part] };
        wire::binary::protocol_and_coding(&binary).map_err(|_| {
            let detail = format!("`binary.dcs` {} does not announce 8-bit data; write 4 or 245", self.dcs);
            Problem::new(Refusal::InvalidField, detail)
        })?;
        Ok(binary)
    }
}

fn octets(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let not_hex =
        |_| Problem::new(Refusal::InvalidField, format!("`{field}` is not in hexadecimal, two digits an octet"));
    from_hex(text.as_bytes()).map_err(not_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Binary, Problem> {
        serde_json::from_str::<Octets>(json).expect("it is JSON").checked()
    }

    #[track_caller]
    fn check(json: &str, pid: u32, dcs: u32, udh: &[u8], data: &[u8]) {
        let part = BinaryPart { udh: udh.to_vec().into(), data: data.to_vec().into() };
        assert_eq!(read(json), Ok(Binary { pid, dcs, parts: vec![part] }));
    }

    #[track_caller]
    fn refused(json: &str, words: &str) {
        let problem = read(json).expect_err("this is refused");
        assert!(problem.detail.contains(words), "{problem:?}");
    }

    #[test]
    fn octets_are_taken_or_refused_with_the_field() {
        check(r#"{"data": "0106Ff"}"#, 0, 4, &[], &[1, 6, 255]);
        let ports = [6, 5, 4, 0x0b, 0x84, 0x23, 0xf0];
        check(r#"{"udh": "0605040b8423f0", "data": "", "pid": 127, "dcs": 245}"#, 127, 245, &ports, &[]);
        refused(r#"{"data": "0"}"#, "`binary.data`");
        refused(r#"{"udh": "zz", "data": "00"}"#, "`binary.udh` is not in hexadecimal");
        refused(r#"{"udh": "05040b8423f0", "data": "00"}"#, "`binary.udh` is no user data header");
        refused(r#"{"udh": "00ff", "data": "00"}"#, "`binary.udh`");
        refused(r#"{"data": "00", "dcs": 0}"#, "`binary.dcs` 0");
        refused(&format!(r#"{{"udh": "03240101", "data": "{}"}}"#, "00".repeat(137)), "141 octets");
    }
}
