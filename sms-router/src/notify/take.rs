//! Takes in what lane `changes` tells: changes, what became of notifications, and what became of devices. Knows which device each
//! concerns; what comes of it is the window's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{Bus, Entry, Read};
use model::push::{Change, ChangeKind, Device, DeviceState, Dirty, Standing, Told, Touched};
use model::record::RecordError;
use model::{Lane, State, TenantId, Timestamp};
use store::Store;

use super::book::DeviceKey;
use super::compose::notification_id;
use super::notifier::Notifier;
use super::roster::{Verdict, Why};
use super::traces::{self, Traces};
use super::window::{End, PackageId};
use crate::RouterError;
use crate::deadletter::{self, Origin};
use crate::metrics::{ChangeAs, EndedAs, LagOf, NoticeAs};
use crate::routing::Loads;

/// The longest a window may be open (push channels, 3, rule 1).
const WINDOW_MS_MAX: u64 = 30_000;
/// Why a device is disabled whose network refuses what is sent to it, and who says so.
const HARD_BOUNCE: &str = "hard_bounce";
const NETWORK: &str = "network";

/// What is to be written of a batch besides the windows.
#[derive(Default)]
struct Work {
    traces: Traces,
    /// Failures in a row, by device.
    failures: BTreeMap<Arc<DeviceKey>, u32>,
    letters: Vec<(Lane, Entry)>,
}

/// An entry, and where it stands.
struct At {
    tenant: TenantId,
    account: String,
    offset: i64,
    at: Timestamp,
}

impl<B: Bus, S: Store, L: Loads> Notifier<B, S, L> {
    /// Takes a batch in: windows and traces first, then what devices' failures come to, then the watermark.
    pub(super) async fn take(&mut self, reads: Vec<Read>, up_to: i64) -> Result<(), RouterError> {
        self.desk.metrics.batch.with(LagOf::Changes).observe(reads.len() as f64);
        let mut work = Work::default();
        for read in reads {
            match Change::read(read.payload.clone()).and_then(|change| Ok((change.tenant()?, change))) {
                Ok((tenant, change)) => self.take_one(tenant, change, &read, &mut work).await?,
                Err(error) => work.letters.push(self.bury(read, &error)),
            }
        }
        self.write().await?;
        work.traces.write(&self.desk.store).await?;
        for (key, failures) in work.failures {
            if self.note_failures(&key, failures).await? {
                self.book.change(&key, |window| window.clear());
            }
        }
        self.write().await?;
        self.desk.commit(&self.source, up_to, work.letters).await
    }

    async fn take_one(
        &mut self,
        tenant: TenantId,
        change: Change,
        read: &Read,
        work: &mut Work,
    ) -> Result<(), RouterError> {
        if change.answer_by_ms > 0 && read.at.0 > change.answer_by_ms {
            self.count(ChangeAs::NotAnswered);
            return Ok(());
        }
        let at = At { tenant, account: change.account, offset: read.offset, at: read.at };
        match change.kind {
            Some(ChangeKind::Dirty(dirty)) => self.take_dirty(&at, &dirty).await,
            Some(ChangeKind::Told(told)) => self.take_told(&at, &told, work).await,
            Some(ChangeKind::Touched(touched)) => self.take_touched(&at, &touched, work).await,
            None => Ok(()),
        }
    }

    /// Marks the resource on each device of the account that is to hear of it (rules 3 and 6).
    async fn take_dirty(&mut self, at: &At, dirty: &Dirty) -> Result<(), RouterError> {
        let Some(household) = self.roster.recent(&at.tenant, &at.account).await? else {
            self.count(ChangeAs::Unknown);
            return Ok(());
        };
        let resource = self.book.names.share(&dirty.resource);
        let window_ms = self.desk.config.notify_window_ms.min(WINDOW_MS_MAX);
        let within_ms = dirty.within_ms.map_or(window_ms, |within| u64::from(within).min(window_ms));
        let within_ms = i64::try_from(within_ms).unwrap_or(i64::MAX);
        let now = self.desk.clock.now();
        for device in household.account.devices.keys() {
            let key = at.key(device);
            if self.is_applied(&key, at.offset) {
                continue;
            }
            if *device == dirty.origin {
                self.count(ChangeAs::Origin);
                continue;
            }
            let (member, held) = match household.verdict(device, now) {
                Verdict::Drop(why) => {
                    self.count(dropped(why));
                    self.clear(&key, at.offset);
                    continue;
                }
                Verdict::Hold(member, until) => (member, Some(until)),
                Verdict::Tell(member) => (member, None),
            };
            if member.resource(&dirty.resource).is_none() {
                self.count(ChangeAs::NotMapped);
                continue;
            }
            let is_new = self.book.change(&key, |window| {
                window.applied = at.offset + 1;
                match held {
                    Some(until) => window.hold(until),
                    None => window.release(now),
                }
                window.mark(&resource, at.at, within_ms)
            });
            self.count(if is_new { ChangeAs::Marked } else { ChangeAs::Merged });
        }
        Ok(())
    }

    /// A package of a notification ended (rule 4).
    async fn take_told(&mut self, at: &At, told: &Told, work: &mut Work) -> Result<(), RouterError> {
        let key = at.key(&told.notice.device);
        let Some(window) = self.book.get(&key).filter(|_| !self.is_applied(&key, at.offset)) else { return Ok(()) };
        let Ok(state) = told.final_state() else { return Ok(()) };
        let (seq, id) = (told.notice.seq, notification_id(&at.tenant, &key.device, window.born, told.notice.seq));
        let by = told.superseded_by();
        let end = match state {
            _ if by.is_some() => End::Superseded,
            State::Delivered => End::Delivered,
            State::Expired => End::Expired,
            State::Failed => End::Failed { permanent: told.permanent },
            State::Rejected | State::Cancelled | State::Uncertain => End::Failed { permanent: false },
            _ => End::Unheard,
        };
        let (before, failures) = self.book.change(&key, |window| {
            let before = window.failures;
            window.applied = at.offset + 1;
            window.ended(PackageId { seq, delivery: told.delivery }, end);
            (before, window.failures)
        });
        if before != failures {
            work.failures.insert(Arc::new(key), failures);
        }
        if let Some(label) = EndedAs::of(state) {
            self.desk.metrics.notify_ends.with(label).increment();
        }
        if by.is_some() && told.delivery == 0 {
            self.desk.metrics.notices.with(NoticeAs::Superseded).increment();
        }
        let (delivery, reason, at_ms) = (told.delivery, told.reason.as_str(), Timestamp(told.at_ms));
        let change = |trace: &mut _| match by {
            Some(by) => traces::supersede(trace, delivery, by, reason, at_ms),
            None => traces::end(trace, delivery, state, reason, at_ms),
        };
        work.traces.change(&self.desk.store, &at.tenant, id, change).await
    }

    /// A device is another, or synchronises; an empty name means all of the account's.
    async fn take_touched(&mut self, at: &At, touched: &Touched, work: &mut Work) -> Result<(), RouterError> {
        let household = self.roster.fresh(&at.tenant, &at.account).await?;
        let (failures_max, now) = (self.desk.config.notify_failures_max, self.desk.clock.now());
        let mut keys = self.book.of_account(&at.tenant, &at.account);
        if !touched.device.is_empty() {
            keys.retain(|key| *key.device == *touched.device);
            if keys.is_empty() && touched.synced_from_ms.is_some() {
                keys.push(Arc::new(at.key(&touched.device)));
            }
        }
        for key in keys {
            if self.is_applied(&key, at.offset) {
                continue;
            }
            match household.as_ref().map(|household| household.verdict(&key.device, now)) {
                None | Some(Verdict::Drop(Why::Unknown)) => {
                    self.clear(&key, at.offset);
                    self.book.change(&key, |window| window.gone = Some(now));
                    continue;
                }
                Some(Verdict::Drop(_)) => {
                    self.clear(&key, at.offset);
                    continue;
                }
                Some(Verdict::Hold(_, until)) => self.book.change(&key, |window| window.hold(until)),
                Some(Verdict::Tell(_)) => self.book.change(&key, |window| {
                    window.release(now);
                    window.look_again(now);
                    if window.failures >= failures_max {
                        window.failures = 0; // somebody enabled it again
                    }
                }),
            }
            let confirmed = self.book.change(&key, |window| {
                window.applied = at.offset + 1;
                let to = Some(touched.synced_to_ms).filter(|to| *to > 0).map(Timestamp);
                touched.synced_from_ms.map(|from| (window.born, window.synced(Timestamp(from), to, now)))
            });
            let Some((born, confirmed)) = confirmed else { continue };
            for seq in confirmed {
                let id = notification_id(&at.tenant, &key.device, born, seq);
                let change = |trace: &mut _| traces::synced(trace, now);
                work.traces.change(&self.desk.store, &at.tenant, id, change).await?;
            }
        }
        Ok(())
    }

    /// Says in its account how often in a row a device failed for good, and disables it when that is too often; true then.
    async fn note_failures(&self, key: &DeviceKey, failures: u32) -> Result<bool, RouterError> {
        let (failures_max, now) = (self.desk.config.notify_failures_max, self.desk.clock.now());
        let note = |device: &mut Device| {
            if device.failures == failures {
                return false;
            }
            device.failures = failures;
            if failures >= failures_max && device.standing.state != DeviceState::Disabled {
                let (reason, by) = (HARD_BOUNCE.to_owned(), NETWORK.to_owned());
                device.standing = Standing { state: DeviceState::Disabled, reason, since: now, by, until: None };
            }
            true
        };
        let is_noted = self.roster.edit(&key.tenant, &key.account, &key.device, note).await?;
        let is_disabled = is_noted && failures >= failures_max;
        if is_disabled {
            self.desk.metrics.notify_disabled.increment();
        }
        Ok(is_disabled)
    }

    /// Whether a device's row has this entry in it already: then it is read again after a crash.
    fn is_applied(&self, key: &DeviceKey, offset: i64) -> bool {
        self.book.get(key).is_some_and(|window| window.applied > offset)
    }

    fn clear(&mut self, key: &DeviceKey, offset: i64) {
        if self.book.get(key).is_some() {
            self.book.change(key, |window| {
                window.applied = offset + 1;
                window.clear()
            });
        }
    }

    pub(super) fn count(&self, what: ChangeAs) {
        self.desk.metrics.notify_changes.with(what).increment();
    }

    fn bury(&self, read: Read, error: &RecordError) -> (Lane, Entry) {
        let (lane, partition) = (self.source.lane.clone(), self.source.partition);
        tracing::error!(%lane, partition, offset = read.offset, %error, "a change can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane, partition, offset: read.offset };
        deadletter::entry(&origin, read.payload, error.to_string(), self.desk.clock.now())
    }
}

impl At {
    fn key(&self, device: &str) -> DeviceKey {
        DeviceKey { tenant: self.tenant.clone(), account: self.account.as_str().into(), device: device.into() }
    }
}

/// As what a change counts that a device is not told of.
pub(super) fn dropped(why: Why) -> ChangeAs {
    match why {
        Why::Unknown => ChangeAs::Unknown,
        Why::Disabled => ChangeAs::Disabled,
        Why::NoPush => ChangeAs::NoPush,
        Why::NoAccess => ChangeAs::NoAccess,
    }
}
