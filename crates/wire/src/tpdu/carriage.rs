//! How AT commands carry a TPDU (3GPP TS 27.005, 3.1 and 4): behind an SMSC address, in hexadecimal. Knows no command.

use super::{Address, HexError, TpduError, from_hex, reader::Reader, to_hex};

/// A TPDU as it came from a modem or for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The service centre; `None` leaves it to the modem.
    pub service_centre: Option<Address>,
    /// The TPDU.
    pub tpdu: Vec<u8>,
}

/// Puts the SMSC address in front of a TPDU; without one the modem's own is used.
pub fn with_service_centre(tpdu: &[u8], service_centre: Option<&Address>) -> Vec<u8> {
    let mut octets = service_centre.map_or_else(|| vec![0], Address::encode_service_centre);
    octets.extend_from_slice(tpdu);
    octets
}

/// What goes to a modem for a TPDU: the length for `AT+CMGS=`, which leaves the SMSC address out, and the digits.
pub fn at_command_pdu(tpdu: &[u8]) -> (usize, String) {
    (tpdu.len(), to_hex(&with_service_centre(tpdu, None)))
}

/// Takes the SMSC address off octets that begin with one.
///
/// # Errors
/// [`TpduError::Cut`] or [`TpduError::BadAddress`] if there is none.
pub fn carried(octets: &[u8]) -> Result<Carried, TpduError> {
    let mut reader = Reader::new(octets);
    let service_centre = Address::decode_service_centre(&mut reader)?;
    Ok(Carried { service_centre, tpdu: reader.rest().to_vec() })
}

/// Why a line from a modem is not a TPDU behind an SMSC address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not hexadecimal.
    #[error("line is not hexadecimal")]
    Hex {
        /// What is wrong with it.
        #[source]
        source: HexError,
    },
    /// It does not begin with an SMSC address.
    #[error("line begins with no service centre address")]
    ServiceCentre {
        /// What is wrong with it.
        #[source]
        source: TpduError,
    },
}

impl Carried {
    /// Reads the hexadecimal line a modem writes after `+CMT:`, `+CDS:`, `+CMGL:` or `+CMGR:`.
    ///
    /// # Errors
    /// [`LineError`] if it is not hexadecimal or begins with no SMSC address.
    pub fn from_line(line: &[u8]) -> Result<Self, LineError> {
        let octets = from_hex(line).map_err(|source| LineError::Hex { source })?;
        carried(&octets).map_err(|source| LineError::ServiceCentre { source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_centre_comes_off_again() {
        let centre = Address::number("+491710760000").unwrap();
        let octets = with_service_centre(&[1, 2, 3], Some(&centre));
        assert_eq!(to_hex(&octets), "07919471016700000102".to_owned() + "03");
        assert_eq!(carried(&octets), Ok(Carried { service_centre: Some(centre), tpdu: vec![1, 2, 3] }));
        assert_eq!(carried(&[0, 1]), Ok(Carried { service_centre: None, tpdu: vec![1] }));
    }

    #[test]
    fn refuses() {
        assert_eq!(carried(&[]), Err(TpduError::Cut { field: "SMSC" }));
        assert_eq!(carried(&[7, 0x91]), Err(TpduError::Cut { field: "SMSC" }));
        assert!(matches!(Carried::from_line(b"0x"), Err(LineError::Hex { .. })));
    }
}
