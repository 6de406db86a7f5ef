//! Links that prove a mailbox. Knows what a link is made of; must not know pages or mails.

use model::Timestamp;
use model::party::OmsUser;
use subtle::ConstantTimeEq as _;

use crate::snapshot::Snapshot;

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    /// The mailbox is the user's.
    Prove,
    /// Who forgot the password reads the proved mailbox.
    Reset,
}

impl Errand {
    /// How long a link is good: somebody who forgot a password waits for it.
    const fn valid_ms(self) -> i64 {
        match self {
            Errand::Prove => 24 * 60 * 60 * 1_000,
            Errand::Reset => 30 * 60 * 1_000,
        }
    }
}

/// What the link to a mailbox shows: until when it is good, and a keyed hash of all that makes it worth something.
pub(super) fn made(snapshot: &Snapshot, errand: Errand, user: &OmsUser, mailbox: &str, now: Timestamp) -> String {
    let until = now.0 + errand.valid_ms();
    format!("{until:x}.{}", hash(snapshot, errand, user, mailbox, until))
}

/// Whether this is such a token, and still good. One that changed a password is dead: the old one is part of it.
pub(super) fn is_right(
    snapshot: &Snapshot,
    errand: Errand,
    user: &OmsUser,
    mailbox: &str,
    shown: &str,
    now: Timestamp,
) -> bool {
    let Some((until, shown)) = shown.trim().split_once('.') else { return false };
    let Ok(until) = i64::from_str_radix(until, 16) else { return false };
    let is_equal: bool = hash(snapshot, errand, user, mailbox, until).as_bytes().ct_eq(shown.as_bytes()).into();
    is_equal && now.0 < until
}

fn hash(snapshot: &Snapshot, errand: Errand, user: &OmsUser, mailbox: &str, until: i64) -> String {
    let OmsUser { tenant, user_id, password_hash, smtp_address, .. } = user;
    let password = if errand == Errand::Reset { password_hash } else { "" };
    let said = format!("link\0{errand:?}\0{tenant}\0{user_id}\0{smtp_address}\0{password}\0{mailbox}\0{until}");
    model::hex::digits(&snapshot.numbers().hash_text(&said))
}
