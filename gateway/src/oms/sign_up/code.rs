//! Codes that prove a phone. Knows what a code is made of and how many are sent; must not know pages.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::party::OmsUser;
use model::{Msisdn, Refusal, TenantId, Timestamp};
use moka::sync::Cache;
use subtle::ConstantTimeEq as _;

use crate::snapshot::Snapshot;

/// How long a code is good at least; twice as long at most.
pub(super) const VALID_MS_MIN: i64 = 15 * 60 * 1_000;
/// Codes sent to one phone in an hour, by this replica.
const PER_PHONE_MAX: u32 = 5;
/// Codes asked for from one address in an hour, of this replica.
const PER_ADDRESS_MAX: u32 = 30;
/// Phones, users and addresses counted at a time.
const COUNTED_MAX: u64 = 100_000;

/// What a code proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// That the phone is the user's.
    Phone,
    /// That who forgot the password has the proved phone.
    Reset,
}

/// The code for a user's phone, good from `now` on.
pub(super) fn made(snapshot: &Snapshot, purpose: Purpose, user: &OmsUser, phone: &Msisdn, now: Timestamp) -> String {
    of(snapshot, purpose, user, phone, now.0.div_euclid(VALID_MS_MIN))
}

/// Whether this is such a code, and still good.
pub(super) fn is_right(
    snapshot: &Snapshot,
    purpose: Purpose,
    user: &OmsUser,
    phone: &Msisdn,
    shown: &str,
    now: Timestamp,
) -> bool {
    let window = now.0.div_euclid(VALID_MS_MIN);
    let is = |window| of(snapshot, purpose, user, phone, window).as_bytes().ct_eq(shown.trim().as_bytes());
    (is(window) | is(window - 1)).into()
}

/// Eight digits, from all that makes the code worth something.
fn of(snapshot: &Snapshot, purpose: Purpose, user: &OmsUser, phone: &Msisdn, window: i64) -> String {
    let OmsUser { tenant, user_id, password_hash, .. } = user;
    let said = format!("code\0{purpose:?}\0{tenant}\0{user_id}\0{password_hash}\0{phone}\0{window}");
    let hash = snapshot.numbers().hash_text(&said);
    let number = u64::from_be_bytes(*hash.first_chunk().expect("a hash has 16 bytes"));
    format!("{:08}", number % 100_000_000)
}

/// Bounds what codes cost, and how often a phone is disturbed.
pub(crate) struct CodeBudget {
    sent: Cache<String, Arc<AtomicU32>>,
}

impl CodeBudget {
    pub(crate) fn new() -> Self {
        let hour = Duration::from_secs(60 * 60);
        CodeBudget { sent: Cache::builder().max_capacity(COUNTED_MAX).time_to_live(hour).build() }
    }

    /// Counts a code to a phone, asked for from an address.
    pub(super) fn take(&self, phone: &Msisdn, address: IpAddr) -> Result<(), Refusal> {
        self.count(&format!("address {address}"), PER_ADDRESS_MAX)?;
        self.count(&format!("phone {phone}"), PER_PHONE_MAX)
    }

    /// Counts a mail to a mailbox, asked for from an address.
    pub(super) fn take_mail(&self, mailbox: &str, address: IpAddr) -> Result<(), Refusal> {
        self.count(&format!("address {address}"), PER_ADDRESS_MAX)?;
        self.count(&format!("mailbox {mailbox}"), PER_PHONE_MAX)
    }

    /// Counts a code that was asked for by the name of a user, of whom it is not said whether there is one.
    pub(super) fn take_asked(&self, tenant: &TenantId, user_id: &str, address: IpAddr) -> Result<(), Refusal> {
        self.count(&format!("address {address}"), PER_ADDRESS_MAX)?;
        self.count(&format!("user {tenant} {user_id}"), PER_PHONE_MAX)
    }

    fn count(&self, whose: &str, max: u32) -> Result<(), Refusal> {
        let count = self.sent.get_with(whose.to_owned(), Arc::default);
        if count.fetch_add(1, Ordering::Relaxed) < max { Ok(()) } else { Err(Refusal::RateLimited) }
    }
}
