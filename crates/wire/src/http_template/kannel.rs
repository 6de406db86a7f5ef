//! How Kannel's `sendsms` names what other services call the data coding scheme: `coding`, `mclass` and `alt-dcs` (its user
//! guide, "Using the HTTP interface"). Knows nothing of the rest of its requests.

/// The parameters that stand for a data coding scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kannel {
    /// `coding`: 0 for 7 bit, 1 for 8 bit, 2 for UCS-2.
    pub coding: u8,
    /// `mclass`: the message class, if there is one.
    pub class: Option<u8>,
    /// `alt-dcs`: the class is written in the group from f0 on.
    pub alternative: bool,
}

impl Kannel {
    /// The parameters of a scheme, if they can say it: neither compression, nor waiting indications, nor UCS-2 in the
    /// alternative group.
    pub fn of_dcs(dcs: u8) -> Option<Self> {
        let class = dcs & 0b11;
        match (dcs >> 4, dcs >> 2 & 0b11) {
            (0x0, coding @ 0..=2) if class == 0 => Some(Self { coding, class: None, alternative: false }),
            (0x1, coding @ 0..=2) => Some(Self { coding, class: Some(class), alternative: false }),
            (0xf, coding @ 0..=1) => Some(Self { coding, class: Some(class), alternative: true }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        let check = |dcs: u8, expected: Option<(u8, Option<u8>, bool)>| {
            let expected = expected.map(|(coding, class, alternative)| Kannel { coding, class, alternative });
            assert_eq!(Kannel::of_dcs(dcs), expected, "{dcs:#04x}");
        };
        check(0x00, Some((0, None, false)));
        check(0x04, Some((1, None, false)));
        check(0x08, Some((2, None, false)));
        check(0x10, Some((0, Some(0), false)));
        check(0x15, Some((1, Some(1), false)));
        check(0x18, Some((2, Some(0), false)));
        check(0xf5, Some((1, Some(1), true)));
        check(0xf8, None);
        check(0x20, None);
        check(0xc8, None);
    }
}
