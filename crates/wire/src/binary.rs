//! Binary short messages between the record they travel in and the PDUs they go out as. Knows room and codings; must not know
//! what octets mean.

use model::record::{Binary, BinaryPart};

use crate::tpdu::{Address, Coding, Report, Submit, TpduError, UserData, Validity};
use crate::udh::Header;

/// What the messages of a binary message have in common besides its octets.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// To whom.
    pub to: Address,
    /// Whether a status report is wanted.
    pub report: Report,
    /// How long it is worth delivering.
    pub validity: Option<Validity>,
}

/// Puts user data that is already cut into a record.
///
/// # Errors
/// [`TpduError::CodingMismatch`] if `dcs` does not announce octets, [`TpduError::Header`] for a header that is too long.
pub fn compose(parts: &[UserData], pid: u8, dcs: u8) -> Result<Binary, TpduError> {
    let part = |user_data: &UserData| {
        let header = user_data.header().map(Header::encode).transpose();
        let udh = header.map_err(|source| TpduError::Header { source })?.unwrap_or_default();
        Ok(BinaryPart { udh: udh.into(), data: user_data.body_octets().into() })
    };
    announces_octets(dcs)?;
    let parts = parts.iter().map(part).collect::<Result<_, TpduError>>()?;
    Ok(Binary { pid: pid.into(), dcs: dcs.into(), parts })
}

/// TP-PID and TP-DCS, checked as everything is before it may go out.
///
/// # Errors
/// [`TpduError::Octet`] for more than an octet, [`TpduError::CodingMismatch`] if TP-DCS does not announce octets.
pub fn protocol_and_coding(binary: &Binary) -> Result<(u8, u8), TpduError> {
    let octet = |number: u32, field| u8::try_from(number).map_err(|_| TpduError::Octet { field });
    let (pid, dcs) = (octet(binary.pid, "TP-PID")?, octet(binary.dcs, "TP-DCS")?);
    announces_octets(dcs)?;
    Ok((pid, dcs))
}

/// The user data of a part.
///
/// # Errors
/// [`TpduError::Header`] for a header that is none or does not end where it says, [`TpduError::TooLong`] for more than a message
/// carries.
pub fn user_data(part: &BinaryPart) -> Result<UserData, TpduError> {
    if part.udh.is_empty() {
        return UserData::octets(None, &part.data);
    }
    let (header, taken) = Header::decode(&part.udh).map_err(|source| TpduError::Header { source })?;
    if taken != part.udh.len() {
        return Err(TpduError::TooLong { octets: part.udh.len() + part.data.len() });
    }
    UserData::octets(Some(header), &part.data)
}

/// The messages to submit, in order; at least one. TP-MR is zero: the modem counts.
///
/// # Errors
/// As [`protocol_and_coding`] and [`user_data`]; [`TpduError::TooManyParts`] for none at all.
pub fn submits(binary: &Binary, envelope: &Envelope) -> Result<Vec<Submit>, TpduError> {
    let (pid, dcs) = protocol_and_coding(binary)?;
    if binary.parts.is_empty() {
        return Err(TpduError::TooManyParts { parts: 0 });
    }
    let submit = |part: &BinaryPart| {
        Ok(Submit {
            reject_duplicates: false,
            status_report_request: envelope.report == Report::Wanted,
            reply_path: false,
            reference: 0,
            destination: envelope.to.clone(),
            pid,
            dcs,
            validity: envelope.validity,
            user_data: user_data(part)?,
        })
    };
    binary.parts.iter().map(submit).collect()
}

fn announces_octets(dcs: u8) -> Result<(), TpduError> {
    if Coding::of(dcs) == Coding::Octets { Ok(()) } else { Err(TpduError::CodingMismatch { dcs }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::datagram::{DCS_PUSH, Datagram};
    use crate::udh::Reference;

    fn envelope() -> Envelope {
        let to = Address::number("+447700900123").expect("it is a number");
        Envelope { to, report: Report::Wanted, validity: Some(Validity::minutes(1440)) }
    }

    fn part(udh: &[u8], data: &[u8]) -> BinaryPart {
        BinaryPart { udh: udh.to_vec().into(), data: data.to_vec().into() }
    }

    proptest! {
        #[test]
        fn a_datagram_goes_out_as_it_was_composed(payload: Vec<u8>, reference: u8, pid: u8) {
            let datagram = Datagram { destination_port: 2948, source_port: 9200, payload: &payload };
            let cut = datagram.parts(Reference::Narrow(reference)).unwrap();
            let binary = compose(&cut, pid, DCS_PUSH).unwrap();
            let out = submits(&binary, &envelope()).unwrap();
            prop_assert_eq!(out.iter().map(|submit| submit.user_data.clone()).collect::<Vec<_>>(), cut);
            for submit in out {
                prop_assert_eq!((submit.pid, submit.dcs), (pid, DCS_PUSH));
                prop_assert_eq!(Submit::decode(&submit.encode().unwrap()), Ok(submit));
            }
        }

        #[test]
        fn whatever_a_record_holds_is_refused_or_fits(udh: Vec<u8>, data: Vec<u8>) {
            if let Ok(user_data) = user_data(&part(&udh, &data)) {
                prop_assert_eq!(user_data.body_octets(), data);
                let header = user_data.header().map(|header| header.encode().unwrap()).unwrap_or_default();
                prop_assert_eq!(header, udh);
            }
        }
    }

    #[test]
    fn what_cannot_go_out_is_refused() {
        let binary = |pid, dcs, parts| submits(&Binary { pid, dcs, parts }, &envelope()).map(|out| out.len());
        let fits = || vec![part(&[], &[7; 140])];
        assert_eq!(binary(0, 4, fits()), Ok(1));
        assert_eq!(binary(256, 4, fits()), Err(TpduError::Octet { field: "TP-PID" }));
        assert_eq!(binary(0, 0x104, fits()), Err(TpduError::Octet { field: "TP-DCS" }));
        assert_eq!(binary(0, 8, fits()), Err(TpduError::CodingMismatch { dcs: 8 }));
        assert_eq!(binary(0, 4, vec![]), Err(TpduError::TooManyParts { parts: 0 }));
        assert_eq!(binary(0, 4, vec![part(&[], &[7; 141])]), Err(TpduError::TooLong { octets: 141 }));
        assert!(matches!(binary(0, 4, vec![part(&[3, 1], &[7])]), Err(TpduError::Header { .. })));
        assert_eq!(binary(0, 4, vec![part(&[0, 9], &[7])]), Err(TpduError::TooLong { octets: 3 }));
    }
}
