//! Tells devices whose time has come. Knows the order that loses nothing and doubles nothing (see [`super`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Entry};
use model::push::{Channel, Device, DeviceState, NoticeState, Trace};
use model::seal::SealError;
use model::{Lane, MessageId, TenantId, Timestamp};
use store::Store;

use super::book::DeviceKey;
use super::compose::{Made, Order, Unmade, notification_id};
use super::notifier::Notifier;
use super::roster::{Household, Member, Verdict};
use super::take::dropped;
use super::traces::{self, Traces};
use super::unsent::Unsent;
use super::window::{Closed, Intent, Mark, Open, PackageId};
use crate::RouterError;
use crate::metrics::NoticeAs;
use crate::routing::Loads;

/// Devices told in one round.
const ROUND_MAX: usize = 500;
/// What a change may take to the channel at most (push channels, 3).
const PROMISE_MS: i64 = 30_000;
/// How long a notification waits that has no way, or can't be made, before it is looked at again.
const AGAIN_MS: i64 = 30_000;
/// How long it waits for a key that the snapshot may not have yet.
const KEY_AGAIN_MS: i64 = 1_000;
/// What a device shows that nothing leads to.
const NO_ROUTE: &str = "no_route";

/// What a round comes to.
#[derive(Default)]
struct Round {
    /// Packages that are still before their routes, of devices where it matters.
    unsent: Unsent,
    traces: Traces,
    entries: Vec<(Lane, Entry)>,
    made: Vec<Handed>,
    spared: Vec<(Arc<DeviceKey>, MessageId, Open)>,
    /// Devices whose reason is to be said, or taken back.
    reasons: Vec<(Arc<DeviceKey>, &'static str)>,
    lacks_key: bool,
}

/// A notification on its way out.
struct Handed {
    key: Arc<DeviceKey>,
    id: MessageId,
    packages: Vec<Vec<Mark>>,
    until: Timestamp,
    window: Open,
}

impl<B: Bus, S: Store, L: Loads> Notifier<B, S, L> {
    /// Tells devices whose time has come, as many as a round takes; false if there were none.
    pub(super) async fn flush(&mut self, from: i64) -> Result<bool, RouterError> {
        let keys = self.book.due(self.desk.clock.now(), ROUND_MAX);
        if keys.is_empty() {
            return Ok(false);
        }
        let households = self.households(&keys).await?;
        let now = self.desk.clock.now();
        let mut round = Round { unsent: self.unsent(&keys, now).await?, ..Round::default() };
        for key in keys {
            let household = households.get(&(key.tenant.clone(), key.account.to_string()));
            self.close(&key, household.and_then(Option::as_deref), now, &mut round);
        }
        if round.lacks_key {
            self.desk.keeper.refresh(&self.desk.world).await?;
        }
        for (key, id, window) in std::mem::take(&mut round.spared) {
            let change = |trace: &mut Trace| traces::spare(trace, &window, now);
            round.traces.change(&self.desk.store, &key.tenant, id, change).await?;
        }
        round.traces.write(&self.desk.store).await?;
        self.write().await?;
        self.hand_over(round, from).await?;
        Ok(true)
    }

    async fn households(
        &self,
        keys: &[Arc<DeviceKey>],
    ) -> Result<BTreeMap<(TenantId, String), Option<Arc<Household>>>, RouterError> {
        let mut ids: Vec<_> = keys.iter().map(|key| (key.tenant.clone(), key.account.to_string())).collect();
        ids.sort_unstable();
        ids.dedup();
        let households = self.roster.fresh_all(&ids).await?;
        Ok(ids.into_iter().zip(households).collect())
    }

    /// Closes the window of a device whose time has come, and makes what is to be told.
    fn close(&mut self, key: &Arc<DeviceKey>, household: Option<&Household>, now: Timestamp, round: &mut Round) {
        self.book.change(key, |window| window.stop_waiting_for_sync(now));
        let Some(household) = household else { return self.drop_all(key, super::roster::Why::Unknown) };
        let member = match household.verdict(&key.device, now) {
            Verdict::Drop(why) => return self.drop_all(key, why),
            Verdict::Hold(_, until) => return self.hold(key, until),
            Verdict::Tell(member) => member,
        };
        self.book.change(key, |window| window.release(now));
        let window = self.book.get(key).expect("it was due");
        if window.intent.is_none() && window.due().is_none_or(|due| due > now) {
            return; // it waits for something else now
        }
        if window.intent.is_none() {
            let unsent = round.unsent.get(key).map_or(&[][..], Vec::as_slice);
            let wants = |name: &str| member.resource(name).is_some();
            match self.book.change(key, |window| window.close(now, unsent, wants)) {
                Closed::Nothing { unwanted } => {
                    let dropped = u64::try_from(unwanted).unwrap_or(u64::MAX);
                    self.desk.metrics.notify_changes.with(crate::metrics::ChangeAs::NotMapped).add(dropped);
                    return;
                }
                Closed::Covered { window, by } => return self.spare(key, window, &by, round),
                Closed::Notice => {}
            }
        }
        self.make(key, household, member, now, round);
    }

    /// Makes the notification of a device's intent; if that can't be, its set goes on collecting.
    fn make(
        &mut self,
        key: &Arc<DeviceKey>,
        household: &Household,
        member: Member<'_>,
        now: Timestamp,
        round: &mut Round,
    ) {
        let window = self.book.get(key).expect("it was due");
        let intent = window.intent.as_deref().expect("it was just made").clone();
        let valid_ms = i64::from(self.desk.config.notify_valid_minutes) * 60_000;
        let order = Order { key, household, member, born: window.born, intent: &intent, valid_ms };
        let snapshot = self.desk.world.snapshot();
        let made = order.make(&snapshot, &self.keys.numbers).and_then(|made| {
            let leads = self.desk.routing.leads(&snapshot, &made.number, made.segments, now);
            if leads { Ok(made) } else { Err(Unmade::NoWay) }
        });
        match made {
            Ok(made) => {
                round.traces.put(&key.tenant, made.id, trace(key, &intent, &made));
                if is_said(member.device) {
                    round.reasons.push((Arc::clone(key), ""));
                }
                let Made { id, packages, until, entries, .. } = made;
                round.entries.extend(entries);
                round.made.push(Handed { key: Arc::clone(key), id, packages, until, window: intent.window });
            }
            Err(error) => self.put_off(key, member, &error, now, round),
        }
    }

    /// Nothing was handed over: the set stays dirty, and the device says why if nothing leads to it.
    fn put_off(&mut self, key: &Arc<DeviceKey>, member: Member<'_>, error: &Unmade, now: Timestamp, round: &mut Round) {
        let (label, again_ms) = match error {
            Unmade::NoWay => (NoticeAs::NoRoute, AGAIN_MS),
            Unmade::Seal(SealError::NoKey(_)) => {
                round.lacks_key = true;
                (NoticeAs::Unmade, KEY_AGAIN_MS)
            }
            _ => (NoticeAs::Unmade, AGAIN_MS),
        };
        self.desk.metrics.notices.with(label).increment();
        if label == NoticeAs::Unmade {
            let reason = runtime::in_full(error);
            tracing::warn!(tenant = %key.tenant, %reason, "a notification can't be made and is tried again");
        } else if !is_said(member.device) {
            round.reasons.push((Arc::clone(key), NO_ROUTE));
        }
        self.book.change(key, |window| window.take_back(now.plus_ms(again_ms)));
    }

    /// Commits the packages on the group's behalf; then notes that they were handed over.
    async fn hand_over(&mut self, round: Round, from: i64) -> Result<(), RouterError> {
        for (key, reason) in &round.reasons {
            self.say(key, reason).await?;
        }
        if round.made.is_empty() {
            return Ok(());
        }
        self.desk.commit(&self.source, from, round.entries).await?;
        let (mut traces, now) = (Traces::default(), self.desk.clock.now());
        for Handed { key, id, packages, until, window } in round.made {
            self.count_handed(&window, packages.len(), now);
            self.book.change(&key, |window| window.handed_over(packages, until));
            let change = |trace: &mut Trace| {
                trace.handed_over = Some(now);
                if trace.state == NoticeState::Sending {
                    trace.state = NoticeState::Accepted;
                }
            };
            traces.change(&self.desk.store, &key.tenant, id, change).await?;
        }
        self.write().await?;
        traces.write(&self.desk.store).await
    }

    fn count_handed(&self, window: &Open, packages: usize, now: Timestamp) {
        let metrics = &self.desk.metrics;
        metrics.notices.with(NoticeAs::Sent).increment();
        metrics.notify_packages.add(u64::try_from(packages).unwrap_or(u64::MAX));
        let took_ms = now.since_ms(window.opened).max(0);
        if !window.held_up {
            metrics.notify_seconds.observe_duration(Duration::from_millis(u64::try_from(took_ms).unwrap_or(0)));
            if took_ms > PROMISE_MS {
                metrics.push_deadline_missed.increment();
            }
        }
    }

    /// Says in its account why a device is not told, or takes it back.
    async fn say(&self, key: &DeviceKey, reason: &'static str) -> Result<(), RouterError> {
        let say = |device: &mut Device| {
            let may = device.standing.state == DeviceState::Enabled && (reason.is_empty() == is_said(device));
            if may {
                reason.clone_into(&mut device.standing.reason);
            }
            may
        };
        self.roster.edit(&key.tenant, &key.account, &key.device, say).await.map(drop)
    }

    fn spare(&mut self, key: &Arc<DeviceKey>, window: Open, by: &[u64], round: &mut Round) {
        self.desk.metrics.notices.with(NoticeAs::Covered).increment();
        let born = self.book.get(key).expect("it was due").born;
        let id = |seq: &u64| notification_id(&key.tenant, &key.device, born, *seq);
        round.spared.extend(by.iter().map(|seq| (Arc::clone(key), id(seq), window)));
    }

    fn hold(&mut self, key: &DeviceKey, until: Option<Timestamp>) {
        self.book.change(key, |window| {
            window.take_back_if_made();
            window.hold(until);
        });
    }

    fn drop_all(&mut self, key: &DeviceKey, why: super::roster::Why) {
        let dropped_marks = self.book.change(key, |window| {
            window.take_back_if_made();
            window.clear()
        });
        self.desk.metrics.notify_changes.with(dropped(why)).add(u64::try_from(dropped_marks).unwrap_or(u64::MAX));
    }
}

/// Whether a device says that nothing leads to it.
fn is_said(device: &Device) -> bool {
    device.standing.reason == NO_ROUTE
}

/// The numbers of packages' notifications, each once.
fn numbers(packages: &[PackageId]) -> Vec<u64> {
    let mut numbers: Vec<u64> = packages.iter().map(|package| package.seq).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn trace(key: &DeviceKey, intent: &Intent, made: &Made) -> Trace {
    Trace {
        account: key.account.to_string(),
        device: key.device.to_string(),
        seq: intent.seq,
        state: NoticeState::Sending,
        opened: intent.window.opened,
        deadline: intent.window.deadline,
        made: intent.made,
        handed_over: None,
        events: intent.window.events,
        resources: intent.marks.iter().map(|mark| mark.resource.to_string()).collect(),
        told_before: intent.told_before,
        told_by: intent.told_by.clone(),
        supersedes: numbers(&intent.supersedes),
        superseded_by: None,
        channel: Channel::Sms,
        chosen_because: made.because.to_owned(),
        packages: u32::try_from(made.packages.len()).unwrap_or(u32::MAX),
        spared: Vec::new(),
        spared_count: 0,
        ends: Vec::new(),
        confirmed: None,
    }
}
