//! Optional parameters (SMPP 3.4, 5.3): tag, length, value. Knows the few that are used here by name; keeps all.

/// A parameter's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

impl Tag {
    /// 5.3.2.12: which message a receipt is about.
    pub const RECEIPTED_MESSAGE_ID: Self = Self(0x001e);
    /// 5.3.2.22: what all parts of a message share.
    pub const SAR_REFERENCE: Self = Self(0x020c);
    /// 5.3.2.23: how many parts there are.
    pub const SAR_TOTAL: Self = Self(0x020e);
    /// 5.3.2.24: which part this is, from 1.
    pub const SAR_NUMBER: Self = Self(0x020f);
    /// 5.3.2.25: which version the other side speaks.
    pub const INTERFACE_VERSION: Self = Self(0x0210);
    /// 5.3.2.31: an error of the network behind the service centre.
    pub const NETWORK_ERROR: Self = Self(0x0423);
    /// 5.3.2.32: a text longer than `short_message` may be.
    pub const MESSAGE_PAYLOAD: Self = Self(0x0424);
    /// 5.3.2.35: what became of a message.
    pub const MESSAGE_STATE: Self = Self(0x0427);
}

/// The optional parameters of one PDU, in order. Values may be texts: `Debug` shows tags and lengths.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<(Tag, Vec<u8>)>);

impl std::fmt::Debug for Tlvs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(tag, value)| (tag.0, value.len()))).finish()
    }
}

impl Tlvs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value under this tag.
    pub fn get(&self, tag: Tag) -> Option<&[u8]> {
        self.0.iter().find(|(of, _)| *of == tag).map(|(_, value)| value.as_slice())
    }

    /// The number under this tag, whichever of one to four octets it was given.
    pub fn number(&self, tag: Tag) -> Option<u32> {
        let value = self.get(tag).filter(|value| (1..=4).contains(&value.len()))?;
        Some(value.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// The string under this tag, with or without its zero.
    pub fn string(&self, tag: Tag) -> Option<String> {
        let value = self.get(tag)?;
        let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
        Some(value[..end].iter().map(|octet| char::from(*octet)).collect())
    }

    /// Adds a parameter behind the others. A value longer than its length field can say is cut.
    #[must_use]
    pub fn with(mut self, tag: Tag, mut value: Vec<u8>) -> Self {
        value.truncate(usize::from(u16::MAX));
        self.0.push((tag, value));
        self
    }

    /// Reads what follows the mandatory fields. What is cut at the end is left out.
    pub(super) fn decode(mut octets: &[u8]) -> Self {
        let mut tlvs = Vec::new();
        while let Some((head, rest)) = octets.split_at_checked(4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some((value, rest)) = rest.split_at_checked(length) else { break };
            tlvs.push((Tag(u16::from_be_bytes([head[0], head[1]])), value.to_vec()));
            octets = rest;
        }
        Self(tlvs)
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        for (tag, value) in &self.0 {
            out.extend_from_slice(&tag.0.to_be_bytes());
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}
