//! What the next build will write beside what this one does, so that tests can run neighbouring builds of one installation.
//! Only debug builds know it. Knows protobuf's framing, and which lanes hold a record with a header.

use std::sync::LazyLock;

use bytes::Bytes;
use model::Lane;

use crate::Entry;

/// The variable that asks for it.
const VARIABLE: &str = "CARILLON_NEXT_BUILD";
/// A field that no build has had: number 2047, one byte of it.
const FIELD: [u8; 4] = [0xFA, 0x7F, 0x01, 0x01];
/// A header that says schema 2, which is merged into the one before it: field 1, two bytes of it, its field 1.
const HEADER: [u8; 4] = [0x0A, 0x02, 0x08, 0x02];

static IS_ASKED: LazyLock<bool> = LazyLock::new(|| {
    let is_asked = std::env::var_os(VARIABLE).is_some();
    if is_asked {
        tracing::warn!("writes as the next build will");
    }
    is_asked
});

/// The entry as the next build would append it, if that is asked for.
pub(crate) fn written(lane: &Lane, entry: Entry) -> Entry {
    if !*IS_ASKED {
        return entry;
    }
    let header: &[u8] = match lane {
        Lane::Accepted | Lane::Front(_) | Lane::Bulk(_) => &HEADER,
        _ => &[],
    };
    let payload: Bytes = [&entry.payload[..], header, &FIELD].concat().into();
    Entry { payload, ..entry }
}
