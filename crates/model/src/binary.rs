//! Binary short messages: octets with a header each, cut into parts by whoever composed them. No I/O; what they mean, phones know.

use bytes::Bytes;

/// In place of a text: octets for an application of the phone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Binary {
    /// TP-PID, one octet.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// TP-DCS, one octet; announces octets.
    #[prost(uint32, tag = "2")]
    pub dcs: u32,
    /// One short message each, in order.
    #[prost(message, repeated, tag = "3")]
    pub parts: Vec<BinaryPart>,
}

/// One short message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct BinaryPart {
    /// The user data header as it travels, its length octet first; empty: there is none.
    #[prost(bytes = "bytes", tag = "1")]
    pub udh: Bytes,
    /// The octets behind it.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}

/// Tells how much there is, not what.
impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binary").field("pid", &self.pid).field("dcs", &self.dcs).field("parts", &self.parts).finish()
    }
}

impl std::fmt::Debug for BinaryPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} + {} octets", self.udh.len(), self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_stay_out_of_debug() {
        let part = BinaryPart { udh: vec![1, 0xab].into(), data: vec![0xcd; 3].into() };
        let shown = format!("{:?}", Binary { pid: 0, dcs: 4, parts: vec![part] });
        assert_eq!(shown, "Binary { pid: 0, dcs: 4, parts: [2 + 3 octets] }");
    }
}
