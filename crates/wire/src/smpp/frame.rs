//! PDUs out of a stream of bytes: bounded, whatever the other side sends. Knows lengths; must not know commands.

/// No PDU is longer: a payload of 64 KiB and all other fields.
pub const PDU_OCTETS_MAX: usize = 72 * 1024;

/// Octets of a PDU's header.
pub(super) const HEADER_OCTETS: usize = 16;

/// The stream is not one of PDUs, or not any more: where the next one begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pdu of `{length}` octets")]
pub struct FrameError {
    /// What the length field says.
    pub length: u32,
}

/// Bytes that came and are not read yet.
#[derive(Debug, Default)]
pub struct Frames {
    octets: Vec<u8>,
    read: usize,
}

impl Frames {
    /// Takes bytes. Call [`Self::take`] until it has no more: then what stays is less than one PDU.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..std::mem::take(&mut self.read));
        self.octets.extend_from_slice(octets);
    }

    /// The next whole PDU, header included; `None` if it has not come whole.
    ///
    /// # Errors
    /// [`FrameError`] if its length is shorter than a header or longer than [`PDU_OCTETS_MAX`]. There is no way on.
    pub fn take(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let waiting = &self.octets[self.read..];
        let Some(length) = waiting.first_chunk::<4>().map(|four| u32::from_be_bytes(*four)) else { return Ok(None) };
        let octets = length as usize;
        if !(HEADER_OCTETS..=PDU_OCTETS_MAX).contains(&octets) {
            return Err(FrameError { length });
        }
        if waiting.len() < octets {
            return Ok(None);
        }
        let begin = self.read;
        self.read += octets;
        Ok(Some(&self.octets[begin..self.read]))
    }

    /// Octets it holds.
    pub fn len(&self) -> usize {
        self.octets.len() - self.read
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdu(length: usize) -> Vec<u8> {
        let mut octets = (length as u32).to_be_bytes().to_vec();
        octets.resize(length, 7);
        octets
    }

    #[test]
    fn pdus_come_whole_however_they_are_cut() {
        let stream = [pdu(16), pdu(33), pdu(PDU_OCTETS_MAX)].concat();
        for step in [1, 5, 16, 1000, stream.len()] {
            let (mut frames, mut lengths) = (Frames::default(), Vec::new());
            for chunk in stream.chunks(step) {
                frames.push(chunk);
                while let Some(pdu) = frames.take().unwrap() {
                    lengths.push(pdu.len());
                }
            }
            assert_eq!(lengths, [16, 33, PDU_OCTETS_MAX]);
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn lengths_that_are_none_are_refused() {
        for length in [0, 15, PDU_OCTETS_MAX as u32 + 1, u32::MAX] {
            let mut frames = Frames::default();
            frames.push(&length.to_be_bytes());
            assert_eq!(frames.take(), Err(FrameError { length }));
        }
    }
}
