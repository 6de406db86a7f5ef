//! The PDU: transaction, type, headers, body (WAP-230-WSP, 8.2.4.1). Knows nothing of how it travels.

use super::{
    ApplicationId, MediaType, PDU_OCTETS_MAX, Parameters, WspError,
    header::Headers,
    media,
    value::{Reader, push_uintvar},
};

const PUSH: u8 = 0x06;

/// A push without a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Push {
    /// The transaction; any value, nobody answers.
    pub transaction_id: u8,
    /// What the body is.
    pub media_type: MediaType,
    /// What is said of the body beside its type.
    pub parameters: Parameters,
    /// Which program on the phone gets it.
    pub application: Option<ApplicationId>,
    /// Bits: 1 the sender is authenticated, 2 the content is trusted, 4 it is the last one for now.
    pub push_flag: Option<u8>,
    /// The content.
    pub body: Vec<u8>,
}

/// Shows the size of the body: it is a text, or settings.
impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("transaction_id", &self.transaction_id)
            .field("media_type", &self.media_type)
            .field("parameters", &self.parameters)
            .field("application", &self.application)
            .field("push_flag", &self.push_flag)
            .field("body_octets", &self.body.len())
            .finish()
    }
}

impl Push {
    /// A push of a body for a program, with nothing else said.
    pub fn new(transaction_id: u8, media_type: &str, application: Option<&str>, body: Vec<u8>) -> Self {
        Self {
            transaction_id,
            media_type: MediaType::named(media_type),
            parameters: Parameters::default(),
            application: application.map(ApplicationId::named),
            push_flag: None,
            body,
        }
    }

    /// Writes the PDU.
    ///
    /// # Errors
    /// [`WspError`] if a text is not printable ASCII, or it is over the limit.
    pub fn encode(&self) -> Result<Vec<u8>, WspError> {
        let mut headers = Vec::new();
        media::encode(&self.media_type, &self.parameters, &mut headers)?;
        Headers { application: self.application.clone(), push_flag: self.push_flag }.encode_into(&mut headers)?;
        let mut octets = vec![self.transaction_id, PUSH];
        push_uintvar(headers.len(), &mut octets);
        octets.extend_from_slice(&headers);
        octets.extend_from_slice(&self.body);
        if octets.len() > PDU_OCTETS_MAX {
            return Err(WspError::TooLong { max: PDU_OCTETS_MAX });
        }
        Ok(octets)
    }

    /// Reads a PDU.
    ///
    /// # Errors
    /// [`WspError`] if it is another kind of PDU, cut, over the limit, or a header that is read is broken.
    pub fn decode(octets: &[u8]) -> Result<Self, WspError> {
        if octets.len() > PDU_OCTETS_MAX {
            return Err(WspError::TooLong { max: PDU_OCTETS_MAX });
        }
        let mut reader = Reader::new(octets);
        let transaction_id = reader.octet("transaction id")?;
        match reader.octet("pdu type")? {
            PUSH => {}
            found => return Err(WspError::WrongType { found }),
        }
        let length = reader.uintvar("headers length")?;
        let mut headers = Reader::new(reader.octets(length, "headers")?);
        let (media_type, parameters) = media::decode(&mut headers)?;
        let Headers { application, push_flag } = Headers::decode(headers)?;
        Ok(Self { transaction_id, media_type, parameters, application, push_flag, body: reader.rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses() {
        let push = Push::new(1, "text/plain", None, vec![1]);
        let octets = push.encode().unwrap();
        assert_eq!(octets, [1, 6, 1, 0x83, 1]);
        assert_eq!(Push::decode(&octets), Ok(push.clone()));
        assert!((0..4).all(|length| Push::decode(&octets[..length]).is_err()));
        assert_eq!(Push::decode(&[1, 7, 1, 0x83]), Err(WspError::WrongType { found: 7 }));
        assert_eq!(Push::decode(&[1, 6, 2, 0x83]), Err(WspError::Cut { field: "headers" }));
        assert_eq!(Push::decode(&[1, 6, 0]), Err(WspError::Cut { field: "content type" }));
        let bad = Push { media_type: MediaType::named("text/\0"), ..push.clone() };
        assert_eq!(bad.encode(), Err(WspError::Text { field: "content type" }));
        let long = Push { body: vec![0; PDU_OCTETS_MAX], ..push };
        assert_eq!(long.encode(), Err(WspError::TooLong { max: PDU_OCTETS_MAX }));
    }
}
