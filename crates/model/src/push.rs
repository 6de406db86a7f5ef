//! Change notifications: whose devices are told, what they understand, and what travels to tell them. No I/O, no clock.

mod account;
mod change;
mod client;
mod device;
mod sealed;
mod trace;

pub use account::{ACCOUNT_BYTES_MAX, ACCOUNT_DEVICES_MAX, Access, AccessRule, Account, SYNC_PATH};
pub use change::{Change, ChangeKind, Dirty, Notice, Op, SUPERSEDED_MAX, Told, Touched};
pub use client::{ClientModel, Ota, San};
pub use device::{
    Channel, DEVICE_ID_CHARS_MAX, DEVICE_RESOURCES_MAX, Device, DeviceState, INBOX, InboxBy, Number, Resource,
    Standing, SyncKind,
};
pub use sealed::SealedText;
pub use trace::{Confirmed, ConfirmedBy, NoticeState, PackageEnd, SPARED_MAX, Spared, Trace};
