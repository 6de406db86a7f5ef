//! A supplier's name for a message, and the number it becomes here. Knows how suppliers write ids; must not know receipts.

/// How a supplier writes the ids of messages. Many write one form in the answer and another in the receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// Any text, as it is.
    #[default]
    Text,
    /// Any text; capitals and leading zeros make no difference.
    Loose,
    /// A hexadecimal number, with or without `0x`, of either case, with any leading zeros.
    Hex,
    /// A decimal number with any leading zeros.
    Decimal,
}

/// The reference of a message, the same for all spellings its forms allow. Receipts are found by account, recipient and
/// this: 32 bits among the open messages of one recipient. A number that fits is its own reference, for people who ask the
/// supplier.
pub fn reference(id: &str, form: IdForm) -> u32 {
    let id = id.trim();
    let number = match form {
        IdForm::Hex => {
            let digits = id.strip_prefix("0x").or_else(|| id.strip_prefix("0X")).unwrap_or(id);
            u128::from_str_radix(digits, 16).ok()
        }
        IdForm::Decimal => id.parse::<u128>().ok(),
        IdForm::Text | IdForm::Loose => None,
    };
    match (number, form) {
        (Some(number), _) => u32::try_from(number).unwrap_or_else(|_| digest(&number.to_be_bytes())),
        (None, IdForm::Text) => digest(id.as_bytes()),
        // An id that is not of its form is compared as loosely as possible.
        (None, _) => digest(id.trim_start_matches('0').to_ascii_lowercase().as_bytes()),
    }
}

/// FNV-1a, folded. It need not resist anybody: who can choose ids is the supplier, and they are his receipts.
fn digest(octets: &[u8]) -> u32 {
    let mixed = octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |mixed, octet| (mixed ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3));
    (mixed ^ (mixed >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(one: (&str, IdForm), other: (&str, IdForm)) {
        assert_eq!(reference(one.0, one.1), reference(other.0, other.1), "{one:?} {other:?}");
    }

    #[track_caller]
    fn differ(one: (&str, IdForm), other: (&str, IdForm)) {
        assert_ne!(reference(one.0, one.1), reference(other.0, other.1), "{one:?} {other:?}");
    }

    #[test]
    fn one_message_has_one_reference_in_all_spellings() {
        use IdForm::{Decimal, Hex, Loose, Text};
        same(("1A2B", Hex), ("6699", Decimal));
        same(("0x1a2b", Hex), ("0000006699", Decimal));
        same(("00001A2B", Hex), ("1a2b", Hex));
        same(("123456789ABCDEF01", Hex), ("20988295479420645121", Decimal));
        same(("ABCD-0001", Loose), ("abcd-0001", Loose));
        same(("000ab", Loose), ("AB", Loose));
        same((" 17 ", Text), ("17", Text));
        // Not of its form: still compared.
        same(("X-17", Decimal), ("x-17", Hex));
        differ(("ABCD", Text), ("abcd", Text));
        differ(("0017", Text), ("17", Text));
        differ(("17", Hex), ("17", Decimal));
        assert_eq!(reference("6699", Decimal), 6699);
        same(("", Decimal), ("000", Loose));
    }

    #[test]
    fn ids_in_a_row_have_references_of_their_own() {
        let references: std::collections::BTreeSet<u32> =
            (0..20_000).map(|n| reference(&format!("7b5c9f3e-{n:012x}"), IdForm::Text)).collect();
        assert!(references.len() >= 19_998);
    }
}
