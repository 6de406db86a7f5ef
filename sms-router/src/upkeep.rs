//! What has to be done now and then: newer snapshots, the price deck's file, trimming, the ledger's check. Knows no message.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bus::{Bus, Group};
use model::Lane;
use runtime::{Stop, in_full};
use store::Store;

use crate::desk::{Desk, Source};
use crate::metrics::{LagOf, Metrics};
use crate::notify::NOTIFIERS;
use crate::replies::{inbox, mailer};
use crate::routing::Loads;
use crate::{RouterError, deck, oldest, tidings};

/// How often old messages are looked for.
const PURGE_REST: Duration = Duration::from_secs(60);
/// How often the ledger and the lag are looked up for the metrics.
const SAMPLE_REST: Duration = Duration::from_secs(2);

/// The oldest delivery is looked for each time so many samples were taken: it costs a read of each route that is behind.
const OLDEST_ROUNDS: u32 = 8;

/// The price deck's file, as it was last looked at.
#[derive(Debug, Default)]
pub struct DeckFile {
    seen: Option<(SystemTime, u64, u64)>,
}

impl DeckFile {
    /// Imports the deck if its file, or who takes part, changed since the last call. A deck equal to the one in force is
    /// not imported again, so its version stays.
    ///
    /// # Errors
    /// The file can't be read, or is refused; the prices in force stay. It is not looked at again until it changes.
    pub async fn import<S: Store>(&mut self, store: &S, path: &Path, bytes_max: u64) -> Result<bool, RouterError> {
        let failed = |source| RouterError::DeckFile { path: path.to_owned(), source };
        let meta = tokio::fs::metadata(path).await.map_err(failed)?;
        let version = store.parties_version().await.map_err(RouterError::Parties)?;
        let seen = (meta.modified().map_err(failed)?, meta.len(), version);
        if self.seen == Some(seen) {
            return Ok(false);
        }
        if meta.len() > bytes_max {
            self.seen = Some(seen);
            return Err(RouterError::DeckSize { path: path.to_owned(), bytes: meta.len() });
        }
        let text = tokio::fs::read(path).await.map_err(failed)?;
        let parties = store.parties().await.map_err(RouterError::Parties)?;
        self.seen = Some((seen.0, seen.1, parties.version));
        let suppliers: BTreeSet<_> = parties.suppliers.iter().map(|supplier| supplier.id.clone()).collect();
        let rates =
            deck::read(&text, &suppliers).map_err(|source| RouterError::Deck { path: path.to_owned(), source })?;
        if rates == parties.deck.rates {
            return Ok(false);
        }
        let deck = store.replace_deck(rates).await.map_err(RouterError::DeckKeep)?;
        tracing::info!(deck.version = deck, "the price deck was imported");
        Ok(true)
    }
}

/// Keeps the snapshot up with the store until the stop begins.
///
/// # Errors
/// The store is away; run again.
pub async fn follow_parties<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Result<(), RouterError> {
    while rest(stop, Duration::from_millis(desk.config.parties_refresh_ms)).await {
        desk.keeper.refresh(&desk.world).await?;
        let version = desk.world.snapshot().table.version();
        desk.metrics.price_table.set(i64::try_from(version).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// Imports the price deck whenever its file changes, until the stop begins. A deck that is refused is said once.
pub async fn follow_deck<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Result<(), RouterError> {
    let (path, mut file) = (&desk.config.price_deck_file, DeckFile::default());
    let mut said = String::new();
    while rest(stop, Duration::from_millis(desk.config.price_deck_poll_ms)).await {
        match file.import(&desk.store, path, desk.config.price_deck_bytes_max).await {
            Ok(false) if !said.is_empty() => {}
            Ok(_) => {
                said.clear();
                desk.metrics.deck_refused.set(0);
            }
            Err(error) => {
                desk.metrics.deck_refused.set(1);
                let words = in_full(&error);
                if words != said {
                    tracing::warn!(reason = %words, "the price deck was not imported, the prices in force stay");
                    said = words;
                }
            }
        }
    }
    Ok(())
}

/// Trims the lanes until the stop begins.
///
/// # Errors
/// The lanes can't be trimmed; run again.
pub async fn trim<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Result<(), RouterError> {
    while rest(stop, Duration::from_secs(desk.config.trim_seconds)).await {
        tidings::forget(desk).await?;
        desk.bus.trim().await.map_err(RouterError::Trim)?;
    }
    Ok(())
}

/// Removes old messages from the store until the stop begins.
///
/// # Errors
/// The store is away; run again.
pub async fn purge<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Result<(), RouterError> {
    let keep_ms = i64::from(desk.config.message_keep_hours.max(24)) * 60 * 60 * 1_000;
    while rest(stop, PURGE_REST).await {
        let removed = desk.store.purge(desk.clock.now(), keep_ms).await.map_err(RouterError::Purge)?;
        if removed > 0 {
            tracing::debug!(removed, "old deliveries were removed");
        }
    }
    Ok(())
}

/// Looks up the ledger and the lag for the metrics until the stop begins. Whoever samples no longer shows nothing: another
/// router does.
///
/// # Errors
/// A lane or the store is away; run again.
pub async fn sample<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Result<(), RouterError> {
    let _shown = Shown(&desk.metrics);
    let mut round: u32 = 0;
    while rest(stop, SAMPLE_REST).await {
        if round.is_multiple_of(OLDEST_ROUNDS) {
            let world = desk.world.snapshot();
            let waits_ms = oldest::waits_ms(&desk.bus, world.routes.keys(), desk.clock.now()).await;
            desk.metrics.oldest_waiting.set(waits_ms.map_err(RouterError::Oldest)? / 1_000);
        }
        round = round.wrapping_add(1);
        let ledger = desk.store.ledger(None).await.map_err(RouterError::Ledger)?;
        let metrics = &desk.metrics;
        metrics.ledger_accepted.set(count(ledger.accepted));
        metrics.ledger_final.set(count(ledger.finals.values().sum()));
        metrics.ledger_pending.set(count(ledger.pending.values().sum()));
        metrics.ledger_difference.set(ledger.difference);
        for (label, group, lane) in LAGS {
            let mut lag = 0;
            for partition in 0..lane.partitions() {
                lag += desk.lag(&Source { group, lane: lane.clone(), partition }).await?;
            }
            metrics.lag.with(label).set(count(lag));
        }
    }
    Ok(())
}

/// The lanes outside of dispatch, and who reads them.
const LAGS: [(LagOf, Group, Lane); 9] = [
    (LagOf::Accepted, Group::PLANNER, Lane::Accepted),
    (LagOf::Outcomes, Group::SETTLER, Lane::Outcomes),
    (LagOf::ProjectedAccepted, Group::PROJECTION, Lane::Accepted),
    (LagOf::ProjectedEvents, Group::PROJECTION, Lane::Events),
    (LagOf::Inbox, inbox::READERS, Lane::Inbox),
    (LagOf::Mail, mailer::MAILERS, Lane::Mail),
    (LagOf::Hooks, mailer::POSTERS, Lane::Hooks),
    (LagOf::Reports, mailer::REPORTERS, Lane::Reports),
    (LagOf::Changes, NOTIFIERS, Lane::Changes),
];

/// What is shown while it lives.
struct Shown<'a>(&'a Metrics);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let Metrics { ledger_accepted, ledger_final, ledger_pending, ledger_difference, lag, .. } = self.0;
        self.0.oldest_waiting.set(0);
        [ledger_accepted, ledger_final, ledger_pending, ledger_difference].iter().for_each(|gauge| gauge.set(0));
        LAGS.iter().for_each(|(label, ..)| lag.with(*label).set(0));
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Rests; false if the stop began.
async fn rest(stop: &Stop, duration: Duration) -> bool {
    tokio::select! { () = stop.begun() => false, () = tokio::time::sleep(duration) => true }
}
