//! What can go wrong in the router role. Knows the operations that can fail, not who is told.

use std::path::PathBuf;

use bus::BusError;
use model::Lane;
use model::seal::SealError;
use store::StoreError;

use crate::deck::DeckError;
use crate::planner::TableError;

/// An operation of the router role that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A lane could not be read.
    #[error("lane `{lane}` partition `{partition}` could not be read")]
    Read {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// Why.
        source: BusError,
    },
    /// What was worked out could not be written to the lanes.
    #[error("what came of lane `{lane}` partition `{partition}` could not be committed")]
    Commit {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// Why.
        source: BusError,
    },
    /// A lane could not be created or declared.
    #[error("lane `{lane}` could not be prepared")]
    Prepare {
        /// The lane.
        lane: Lane,
        /// Why.
        source: BusError,
    },
    /// How long deliveries wait could not be looked up.
    #[error("how long deliveries wait in the routes' lanes could not be looked up")]
    Oldest(#[source] BusError),
    /// The lanes could not be trimmed.
    #[error("the lanes could not be trimmed")]
    Trim(#[source] BusError),
    /// The snapshot of tenants, routes, prices and keys could not be taken.
    #[error("the snapshot of tenants, routes and prices could not be taken")]
    Parties(#[source] StoreError),
    /// Tenants' data keys could not be made or kept.
    #[error("the data keys could not be kept")]
    Keys(#[source] StoreError),
    /// A data key does not open: most likely another master key made it.
    #[error("the data keys do not open")]
    Keyring(#[source] SealError),
    /// The prices in the store can't be compiled.
    #[error("the prices in the store can't be used")]
    Table(#[source] TableError),
    /// The price deck's file could not be read.
    #[error("the price deck `{path}` could not be read")]
    DeckFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The price deck's file is larger than allowed.
    #[error("the price deck `{path}` has `{bytes}` bytes, more than a deck may have")]
    DeckSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The price deck is broken; the prices in force stay.
    #[error("the price deck `{path}` is not taken")]
    Deck {
        /// The file.
        path: PathBuf,
        /// What to mend.
        source: DeckError,
    },
    /// The price deck could not be kept.
    #[error("the price deck could not be kept")]
    DeckKeep(#[source] StoreError),
    /// The ids that are claimed could not be looked up.
    #[error("claimed message ids could not be looked up")]
    Claims(#[source] StoreError),
    /// The schedule could not be read or written.
    #[error("the schedule could not be read or written")]
    Schedule(#[source] StoreError),
    /// The numbers that opted out could not be read or written.
    #[error("the numbers that opted out could not be read or written")]
    OptOuts(#[source] StoreError),
    /// A device could not be looked up or changed.
    #[error("a device could not be looked up or changed")]
    Devices(#[source] StoreError),
    /// Others were first too often.
    #[error("could not {what}: others were first {times} times")]
    Contended {
        /// What was to be done.
        what: &'static str,
        /// How often it was tried.
        times: u32,
    },
    /// What was due could not be appended.
    #[error("what was due could not be appended")]
    Due(#[source] BusError),
    /// Other routers could not be told of this one's routes.
    #[error("other routers could not be told of the loads of this one's routes")]
    Tell(#[source] BusError),
    /// Open references could not be read or written.
    #[error("open references could not be read or written")]
    References(#[source] StoreError),
    /// Messages from handsets, or who wrote to whom last, could not be read or written.
    #[error("messages from handsets could not be read or kept")]
    Inbound(#[source] StoreError),
    /// The mail server's settings can't be used.
    #[error("`mail.{key}` is not usable")]
    MailSetting {
        /// The key.
        key: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The webhooks' settings can't be used.
    #[error("`webhooks.{key}` is not usable")]
    WebhookSetting {
        /// The key.
        key: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings of reports can't be used.
    #[error("`reports.{key}` is not usable")]
    ReportSetting {
        /// The key.
        key: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What change notifications need could not be read or written.
    #[error("what change notifications need could not be read or kept")]
    Notify(#[source] StoreError),
    /// What is known of a device can't be read: a later build wrote it.
    #[error("what is known of a device that is notified can't be read")]
    NotifyRow(#[source] prost::DecodeError),
    /// A notifier wrote as often as it may between two looks at what is kept; run again.
    #[error("the rows of devices are to be taken over anew")]
    NotifySeat,
    /// An account could not be changed: others were first again and again.
    #[error("an account was changed by others `{times}` times in a row")]
    NotifyContended {
        /// How often.
        times: u32,
    },
    /// Steps could not be carried into the store.
    #[error("lane `{lane}` partition `{partition}` could not be projected")]
    Project {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// Why.
        source: StoreError,
    },
    /// The ledger could not be read.
    #[error("the ledger could not be read")]
    Ledger(#[source] StoreError),
    /// Old messages could not be removed.
    #[error("old messages could not be removed")]
    Purge(#[source] StoreError),
    /// Farms can't attach.
    #[error("farms can't attach")]
    Control(#[source] control::ServerError),
    /// The certificates for farms can't be used.
    #[error("the certificates for farms can't be used")]
    Tls(#[source] runtime::tls::TlsError),
}

impl RouterError {
    /// Whether another router has the share of what was to be done: nothing of it happened.
    #[must_use]
    pub fn is_disowned(&self) -> bool {
        matches!(
            self,
            RouterError::Commit { source: BusError::NotOwner { .. }, .. } | RouterError::Due(BusError::NotOwner { .. })
        )
    }
}
