//! The suite every engine of [`Store`] passes. Knows the trait and its promises, no engine.
//!
//! Each scenario has tenants and messages of its own, so that an engine may keep all of them in one place.

mod content;
mod push;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::event::{Ended, Event, KeyReused, Leased, Retried, Routed, Scheduled, Step, Submitted};
use model::party::{Farm, OmsUser, Rate, RatePrice, Supplier, WrappedKey};
use model::record::Amount;
use model::{Allowance, DeliveryId, Lane, MessageId, RouterName, State, SupplierId, TenantId, Timestamp};

use crate::{
    AcceptedRow, Cancelled, Conversation, EventRow, Fate, InboundOwner, InboundPart, InboundPlace, InboundRow,
    InboundTaken, KEEP_MS_MIN, Ledger, Projection, ReferenceClosed, ReferenceRow, RouterSeat, ScheduledRow, Store,
};

/// When the suite's messages are accepted: within one hour.
pub const ACCEPTED: Timestamp = Timestamp(1_795_257_000_000);

/// Runs the suite. `open` opens the engine; called again, it finds what was left, and what was opened before is not used
/// any more.
///
/// # Panics
/// On the first promise that is not kept.
pub async fn conformance<S: Store>(open: impl AsyncFn() -> S) {
    let open = &open;
    // Boxed: each is large, and a test's stack is small.
    Box::pin(parties_are_one_snapshot(open)).await;
    Box::pin(the_deck_is_replaced_whole(open)).await;
    Box::pin(a_life_is_told_in_order(open)).await;
    Box::pin(a_stretch_may_come_twice(open)).await;
    Box::pin(repeats_and_misused_keys_are_counted_apart(open)).await;
    Box::pin(events_may_come_before_their_record(open)).await;
    Box::pin(corrections_move_between_finals(open)).await;
    Box::pin(tenants_are_apart(open)).await;
    Box::pin(usage_is_per_hour(open)).await;
    Box::pin(the_ledger_holds_at_every_instant(open)).await;
    Box::pin(old_rows_go_and_young_ones_stay(open)).await;
    Box::pin(what_is_due_comes_in_order(open)).await;
    Box::pin(references_open_and_close(open)).await;
    Box::pin(routers_stay_until_their_time_is_up(open)).await;
    Box::pin(an_allowance_is_replaced_by_who_knows_it(open)).await;
    Box::pin(a_user_is_replaced_by_who_knows_the_record(open)).await;
    Box::pin(what_is_cancelled_stays_cancelled(open)).await;
    Box::pin(the_last_to_write_is_remembered(open)).await;
    Box::pin(messages_from_handsets_are_listed_by_owner(open)).await;
    Box::pin(an_arrival_is_known_where_it_was_first(open)).await;
    Box::pin(parts_wait_for_each_other(open)).await;
    Box::pin(content::waits_for_phones(open)).await;
    Box::pin(push::what_notifications_need(open)).await;
}

/// A tenant and its two lanes, from which a test takes stretches.
#[derive(Clone, Debug)]
pub struct Story {
    tenant: TenantId,
    partition: u32,
    accepted: i64,
    events: i64,
}

impl Story {
    /// A story in a partition of its own.
    ///
    /// # Panics
    /// If `tenant` is no name.
    #[must_use]
    pub fn new(tenant: &str, partition: u32) -> Self {
        Story { tenant: TenantId::new(tenant).expect("a name of this suite"), partition, accepted: 0, events: 0 }
    }

    /// The tenant it is about.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// A delivery of the story: its key names the message.
    #[must_use]
    pub fn delivery(&self, key: &str, index: u32) -> DeliveryId {
        DeliveryId { message: MessageId::derived(&self.tenant, key), index }
    }

    /// The next stretch of lane `accepted`.
    pub fn accept(&mut self, deliveries: &[(DeliveryId, &str)]) -> Projection {
        let row = |(nth, (delivery, digest)): (usize, &(DeliveryId, &str))| AcceptedRow {
            offset: self.accepted + nth as i64,
            tenant: self.tenant.clone(),
            delivery: *delivery,
            deliveries: 2,
            accepted: ACCEPTED,
            segments: 2,
            keyed: true,
            digest: digest.as_bytes().to_vec(),
        };
        let accepted: Vec<AcceptedRow> = deliveries.iter().enumerate().map(row).collect();
        self.accepted += accepted.len() as i64;
        let (lane, partition, next_offset) = (Lane::Accepted, self.partition, self.accepted);
        Projection { lane, partition, next_offset, accepted, events: vec![] }
    }

    /// The next stretch of lane `events`.
    pub fn tell(&mut self, steps: &[(DeliveryId, u32, Step)]) -> Projection {
        let event = |(nth, (delivery, attempt, step)): (usize, &(DeliveryId, u32, Step))| {
            let event = Event {
                tenant: self.tenant.as_str().into(),
                message: delivery.message.to_bytes().to_vec(),
                delivery: delivery.index,
                deliveries: 2,
                attempt: *attempt,
                at_ms: ACCEPTED.0 + self.events + nth as i64,
                segments: 2,
                accepted_ms: ACCEPTED.0,
                notice: None,
                report: None,
                step: Some(step.clone()),
            };
            EventRow::read(self.events + nth as i64, event.to_bytes()).expect("what was just written")
        };
        let events: Vec<_> = steps.iter().enumerate().map(event).collect();
        self.events += events.len() as i64;
        let (lane, partition, next_offset) = (Lane::Events, self.partition, self.events);
        Projection { lane, partition, next_offset, accepted: vec![], events }
    }
}

/// A step onto a route, at 0.03 EUR a segment.
#[must_use]
pub fn routed(hop: u32) -> Step {
    let unit = Amount { micros: 30_000, currency: "EUR".into() };
    Step::Routed(Routed { route: format!("route-{hop}"), hop, unit, ..Routed::default() })
}

/// A grant.
#[must_use]
pub fn leased() -> Step {
    Step::Leased(Leased { farm: "cellar".into(), link: "modem-1".into() })
}

/// A hand-over that waits for its receipt.
#[must_use]
pub fn submitted() -> Step {
    Step::Submitted(Submitted { farm: "cellar".into(), link: "modem-1".into(), references: vec![7] })
}

/// An attempt that came to nothing.
#[must_use]
pub fn retried() -> Step {
    Step::Retried(Retried { reason: "CMS 42".into() })
}

/// An end.
#[must_use]
pub fn ended(state: State) -> Step {
    Step::Ended(Ended { state: state.rank().into(), ..Ended::default() })
}

/// An end that a later proof corrects.
#[must_use]
pub fn corrected(state: State) -> Step {
    Step::Ended(Ended { state: state.rank().into(), correction: true, ..Ended::default() })
}

async fn project<S: Store>(store: &S, batch: &Projection) {
    store.project(batch.clone()).await.expect("a stretch in order is taken");
}

fn counts(of: &[(State, u64)]) -> BTreeMap<State, u64> {
    of.iter().copied().collect()
}

async fn check_ledger<S: Store>(store: &S, story: &Story, finals: &[(State, u64)], pending: &[(State, u64)]) -> Ledger {
    let ledger = store.ledger(Some(story.tenant())).await.unwrap();
    assert_eq!(ledger.difference, 0, "{ledger:?}");
    assert_eq!((&ledger.finals, &ledger.pending), (&counts(finals), &counts(pending)));
    let all = finals.iter().chain(pending).map(|(_, count)| count).sum::<u64>();
    assert_eq!(ledger.accepted, all);
    ledger
}

fn supplier(name: &str) -> SupplierId {
    SupplierId::new(name).expect("a name of this suite")
}

async fn parties_are_one_snapshot<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let empty = store.parties().await.unwrap();
    assert_eq!(empty.version, store.parties_version().await.unwrap());
    let blue = |name: &str| Supplier { id: supplier("blue"), name: name.into() };
    let first = store.put_supplier(blue("Blue")).await.unwrap();
    let second = store.put_supplier(blue("Blue Ltd")).await.unwrap();
    assert!(empty.version < first && first < second, "each change raises the version");
    let farm = Farm { name: "cellar".parse().unwrap(), operator: "us".into(), routes: ["r1".parse().unwrap()].into() };
    store.put_farm(farm.clone()).await.unwrap();
    let tenant = TenantId::new("parties").unwrap();
    let key = |wrapped: u8| WrappedKey {
        id: "parties.0".into(),
        tenant: tenant.clone(),
        from: ACCEPTED,
        wrapped: vec![wrapped; 60],
    };
    store.put_data_key(key(1)).await.unwrap();
    store.put_opt_outs(&tenant).await.unwrap();
    let last = store.put_data_key(key(2)).await.unwrap();
    store.put_opt_outs(&tenant).await.unwrap();
    let store = open().await;
    let parties = store.parties().await.unwrap();
    assert_eq!((parties.version, store.parties_version().await.unwrap()), (last, last));
    assert_eq!(parties.opt_outs, std::slice::from_ref(&tenant));
    assert_eq!((parties.suppliers, parties.farms), (vec![blue("Blue Ltd")], vec![farm]));
    assert_eq!(parties.data_keys, vec![key(1)], "what a key sealed must open for ever");
}

async fn the_deck_is_replaced_whole<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let rate = |prefix: &str, to| Rate {
        supplier: supplier("blue"),
        prefix: prefix.into(),
        country: "GB".into(),
        unit: RatePrice { micros: 37_500, currency: "GBP".parse().unwrap() },
        from: Timestamp(0),
        to,
    };
    let (old, new) = (vec![rate("44", None), rate("447", None)], vec![rate("4477", Some(ACCEPTED))]);
    let before = store.parties().await.unwrap();
    let first = store.replace_deck(old).await.unwrap();
    assert_eq!(first, before.deck.version + 1);
    let second = store.replace_deck(new.clone()).await.unwrap();
    let after = open().await.parties().await.unwrap();
    assert_eq!((second, after.deck.version, after.deck.rates), (first + 1, first + 1, new));
    assert!(after.version > before.version, "the change feed tells of it");
}

async fn a_life_is_told_in_order<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("life", 100);
    let (a, b) = (story.delivery("k", 0), story.delivery("k", 1));
    assert_eq!(store.message(story.tenant(), a.message).await.unwrap(), None);
    project(&store, &story.accept(&[(a, "d"), (b, "d")])).await;
    check_ledger(&store, &story, &[], &[(State::Accepted, 2)]).await;
    project(&store, &story.tell(&[(a, 0, routed(1)), (b, 0, routed(1)), (a, 1, leased())])).await;
    check_ledger(&store, &story, &[], &[(State::Routed, 1), (State::Leased, 1)]).await;
    let rest = [(a, 1, retried()), (a, 1, routed(2)), (a, 2, leased()), (a, 2, submitted())];
    project(&store, &story.tell(&rest)).await;
    check_ledger(&store, &story, &[], &[(State::Routed, 1), (State::Submitted, 1)]).await;
    let soon = Step::Scheduled(Scheduled { due_ms: ACCEPTED.0 + 60_000 });
    project(&store, &story.tell(&[(a, 2, ended(State::Delivered)), (b, 1, retried()), (b, 1, soon)])).await;
    check_ledger(&store, &story, &[(State::Delivered, 1)], &[(State::Scheduled, 1)]).await;
    let store = open().await;
    let view = store.message(story.tenant(), a.message).await.unwrap().expect("it is there");
    assert_eq!((view.id, view.accepted_at, view.deliveries.len()), (a.message, ACCEPTED, 2));
    assert_eq!(view.deliveries.iter().map(|d| d.state).collect::<Vec<_>>(), [State::Delivered, State::Scheduled]);
    let told: Vec<_> = view.deliveries[0].events.iter().map(|e| (e.attempt, e.step.as_ref().unwrap().name())).collect();
    let wanted = [
        (0, "routed"),
        (1, "leased"),
        (1, "retried"),
        (1, "routed"),
        (2, "leased"),
        (2, "submitted"),
        (2, "delivered"),
    ];
    assert_eq!(told, wanted);
    let event = &view.deliveries[0].events[6];
    assert_eq!((event.id().unwrap(), event.tenant().unwrap()), (a, story.tenant().clone()), "events come back whole");
    assert_eq!(view.deliveries[0].events[5].step, Some(submitted()));
}

async fn a_stretch_may_come_twice<S: Store>(open: &impl AsyncFn() -> S) {
    let mut store = open().await;
    let mut story = Story::new("twice", 101);
    let a = story.delivery("k", 0);
    let accepted = story.accept(&[(a, "d")]);
    let told = story.tell(&[(a, 0, routed(1)), (a, 1, leased()), (a, 1, ended(State::Sent))]);
    let again = story.tell(&[(a, 1, leased()), (a, 1, ended(State::Sent))]); // the same steps, told at other offsets
    for batch in [&accepted, &accepted, &told, &again, &told, &accepted] {
        project(&store, batch).await;
        store = open().await;
        project(&store, batch).await;
    }
    let ledger = check_ledger(&store, &story, &[(State::Sent, 1)], &[]).await;
    assert_eq!((ledger.repeats, ledger.keys_reused), (0, 0));
    let view = store.message(story.tenant(), a.message).await.unwrap().unwrap();
    assert_eq!(view.deliveries[0].events.len(), 3);
    assert_eq!(store.projected(&Lane::Accepted, 101).await.unwrap(), 1);
    assert_eq!(store.projected(&Lane::Events, 101).await.unwrap(), 5);
    // A stretch that overlaps what is in brings only the rest.
    let b = story.delivery("other", 0);
    let mut longer = story.accept(&[(b, "d")]);
    longer.accepted.insert(0, accepted.accepted[0].clone());
    project(&store, &longer).await;
    check_ledger(&store, &story, &[(State::Sent, 1)], &[(State::Accepted, 1)]).await;
}

async fn repeats_and_misused_keys_are_counted_apart<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("repeats", 102);
    let (a, b) = (story.delivery("k", 0), story.delivery("k", 1));
    let unknown = story.delivery("unknown", 0).message;
    project(&store, &story.accept(&[(a, "body"), (b, "body")])).await;
    project(&store, &story.accept(&[(a, "body"), (b, "body"), (a, "another")])).await;
    let reused = |offset| Step::KeyReused(KeyReused { offset });
    project(&store, &story.tell(&[(a, 0, reused(4)), (a, 0, reused(9)), (a, 0, reused(4))])).await;
    let ledger = check_ledger(&store, &story, &[], &[(State::Accepted, 2)]).await;
    assert_eq!((ledger.repeats, ledger.keys_reused), (2, 1));
    let claims = store.claims(&[unknown, a.message]).await.unwrap();
    assert_eq!(claims[0], None);
    let claim = claims[1].clone().expect("the key is taken");
    assert_eq!((claim.partition, claim.offset, claim.digest.as_slice()), (102, 0, b"body".as_slice()));
    assert!(claim.is_by(102, 0, 0) && claim.is_by(102, 1, 1) && !claim.is_by(102, 2, 0) && !claim.is_by(103, 0, 0));
    let view = store.message(story.tenant(), a.message).await.unwrap().unwrap();
    assert_eq!(view.deliveries[0].events.len(), 2, "each misuse is shown, once");
    assert_eq!(view.deliveries[0].state, State::Accepted, "and changes nothing");
}

async fn events_may_come_before_their_record<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("early", 103);
    let (a, b) = (story.delivery("k", 0), story.delivery("k", 1));
    project(&store, &story.tell(&[(a, 0, routed(1)), (b, 0, routed(1)), (a, 1, ended(State::Delivered))])).await;
    check_ledger(&store, &story, &[], &[]).await;
    assert_eq!(store.claims(&[a.message]).await.unwrap(), vec![None], "what is not in lane accepted claims nothing");
    project(&store, &story.accept(&[(a, "d"), (b, "d")])).await;
    check_ledger(&store, &story, &[(State::Delivered, 1)], &[(State::Routed, 1)]).await;
    assert!(store.claims(&[a.message]).await.unwrap()[0].is_some());
}

async fn corrections_move_between_finals<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("corrections", 104);
    let a = story.delivery("k", 0);
    project(&store, &story.accept(&[(a, "d")])).await;
    project(&store, &story.tell(&[(a, 0, routed(1)), (a, 1, leased()), (a, 1, ended(State::Uncertain))])).await;
    check_ledger(&store, &story, &[(State::Uncertain, 1)], &[]).await;
    project(&store, &story.tell(&[(a, 1, ended(State::Failed)), (a, 1, submitted())])).await;
    check_ledger(&store, &story, &[(State::Uncertain, 1)], &[]).await; // final is entered once
    project(&store, &story.tell(&[(a, 1, corrected(State::Delivered))])).await;
    check_ledger(&store, &story, &[(State::Delivered, 1)], &[]).await;
    let all = store.ledger(None).await.unwrap();
    assert_eq!(all.difference, 0);
}

async fn tenants_are_apart<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let (mut one, other) = (Story::new("apart", 105), Story::new("apart-other", 106));
    let a = one.delivery("k", 0);
    project(&store, &one.accept(&[(a, "d")])).await;
    assert!(store.message(one.tenant(), a.message).await.unwrap().is_some());
    assert_eq!(store.message(other.tenant(), a.message).await.unwrap(), None, "another's message is none");
    assert_eq!(store.ledger(Some(other.tenant())).await.unwrap(), Ledger::default());
    let all = store.usage(other.tenant(), Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(all, vec![]);
    // An event under a foreign name can't be told into a tenant's message.
    let mut foreign = one.tell(&[(a, 1, ended(State::Delivered))]);
    foreign.events[0].event.tenant = "apart-other".into();
    project(&store, &foreign).await;
    check_ledger(&store, &one, &[], &[(State::Accepted, 1)]).await;
}

async fn usage_is_per_hour<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("usage", 107);
    let (a, b) = (story.delivery("k", 0), story.delivery("k", 1));
    project(&store, &story.accept(&[(a, "d"), (b, "d")])).await;
    let failed = [(a, 0, routed(1)), (a, 1, submitted()), (a, 1, retried()), (a, 1, routed(2))];
    project(&store, &story.tell(&failed)).await;
    project(
        &store,
        &story.tell(&[(a, 2, submitted()), (a, 2, ended(State::Delivered)), (b, 0, ended(State::Rejected))]),
    )
    .await;
    let hour_ms = 60 * 60 * 1_000;
    let hour = Timestamp(ACCEPTED.0 - ACCEPTED.0 % hour_ms);
    let usage = store.usage(story.tenant(), hour, hour.plus_ms(1)).await.unwrap();
    assert_eq!(usage.len(), 1);
    let used = &usage[0];
    assert_eq!((used.hour, used.messages, used.deliveries, used.segments), (hour, 1, 2, 4));
    let eur = "EUR".parse().unwrap();
    assert_eq!(used.cost_micros, BTreeMap::from([(eur, 2 * 60_000)]), "both hand-overs cost, each once");
    assert_eq!(store.usage(story.tenant(), hour.plus_ms(hour_ms), Timestamp(i64::MAX)).await.unwrap(), vec![]);
    assert_eq!(store.usage(story.tenant(), Timestamp(0), hour).await.unwrap(), vec![]);
}

/// One task carries the projection on, others read the ledger all the while.
async fn the_ledger_holds_at_every_instant<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut stories: Vec<Story> = (0..4).map(|n| Story::new("instant", 110 + n)).collect();
    let (done, over) = tokio::sync::watch::channel(false);
    let reader = |store: S, tenant: TenantId| async move {
        let mut reads = 0;
        while !*over.borrow() {
            let ledger = store.ledger(Some(&tenant)).await.unwrap();
            assert_eq!(ledger.difference, 0, "{ledger:?}");
            reads += 1;
        }
        reads
    };
    let reader = tokio::spawn(reader(store.clone(), stories[0].tenant().clone()));
    let write = |store: S, mut story: Story| async move {
        for round in 0..20 {
            let ids: Vec<_> = (0..10).map(|n| story.delivery(&format!("{}:{round}:{n}", story.partition), 0)).collect();
            let ends = [State::Delivered, State::Failed, State::Uncertain, State::Sent];
            let lives: Vec<_> = ids.iter().zip(ends.iter().cycle()).collect();
            let begun: Vec<_> = ids.iter().flat_map(|id| [(*id, 0, routed(1)), (*id, 1, leased())]).collect();
            let ended: Vec<_> = lives.iter().map(|(id, end)| (**id, 1, ended(**end))).collect();
            let late: Vec<_> = ids.iter().skip(2).step_by(4).map(|id| (*id, 1, corrected(State::Delivered))).collect();
            let accepted = story.accept(&ids.iter().map(|id| (*id, "d")).collect::<Vec<_>>());
            let batches = [story.tell(&begun), accepted, story.tell(&ended), story.tell(&late)];
            for batch in batches {
                project(&store, &batch).await;
            }
        }
    };
    let writers: Vec<_> = stories.drain(..).map(|story| tokio::spawn(write(store.clone(), story))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.send_replace(true);
    assert!(reader.await.unwrap() > 0);
    let ledger = store.ledger(Some(&TenantId::new("instant").unwrap())).await.unwrap();
    assert_eq!((ledger.accepted, ledger.difference, ledger.pending.len()), (800, 0, 0));
    assert_eq!(ledger.finals.values().sum::<u64>(), 800);
    assert!(!ledger.finals.contains_key(&State::Uncertain), "all were corrected");
}

async fn old_rows_go_and_young_ones_stay<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let mut story = Story::new("old", 120);
    let (ended_one, waits) = (story.delivery("ended", 0), story.delivery("waits", 0));
    project(&store, &story.accept(&[(ended_one, "d"), (waits, "d")])).await;
    let orphan = story.delivery("orphan", 0);
    project(&store, &story.tell(&[(ended_one, 0, ended(State::Rejected)), (orphan, 0, routed(1))])).await;
    let early = ACCEPTED.plus_ms(KEEP_MS_MIN - 1);
    store.purge(early, 0).await.unwrap();
    assert!(store.claims(&[ended_one.message]).await.unwrap()[0].is_some(), "an id stays claimed for a day at least");
    let removed = store.purge(ACCEPTED.plus_ms(KEEP_MS_MIN + 10), 0).await.unwrap();
    assert!(removed >= 1);
    assert_eq!(store.claims(&[ended_one.message]).await.unwrap(), vec![None]);
    assert_eq!(store.message(story.tenant(), ended_one.message).await.unwrap(), None);
    assert!(store.message(story.tenant(), waits.message).await.unwrap().is_some(), "what is pending stays");
    check_ledger(&store, &story, &[(State::Rejected, 1)], &[(State::Accepted, 1)]).await; // totals stay
    assert_eq!(store.message(story.tenant(), orphan.message).await.unwrap(), None, "nobody knows whose step it was");
    project(&store, &story.accept(&[(orphan, "d")])).await; // it comes after all
    check_ledger(&store, &story, &[(State::Rejected, 1)], &[(State::Accepted, 2)]).await;
}

async fn what_is_due_comes_in_order<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let story = Story::new("due", 0);
    let row = |shard: u32, n: i64, hop: u32| ScheduledRow {
        shard,
        due: ACCEPTED.plus_ms(n * 40_000),
        delivery: story.delivery(&n.to_string(), 0),
        hop,
        attempt: 3,
        payload: Bytes::from(n.to_string()),
    };
    let mut rows: Vec<_> = [4, 1, 3, 0, 2].into_iter().map(|n| row(1, n, 1)).collect();
    rows.push(row(2, 0, 1));
    store.schedule_put(rows.clone()).await.unwrap();
    store.schedule_put(rows).await.unwrap();
    let store = open().await;
    assert_eq!(store.schedule_due(1, ACCEPTED.plus_ms(-1), 10).await.unwrap(), vec![]);
    assert_eq!(store.schedule_due(1, ACCEPTED.plus_ms(80_000), 10).await.unwrap(), [0, 1, 2].map(|n| row(1, n, 1)));
    assert_eq!(store.schedule_due(1, ACCEPTED.plus_ms(80_000), 2).await.unwrap(), [0, 1].map(|n| row(1, n, 1)));
    // Put again for a later hop: another row; for the same hop: in its place.
    let later = ScheduledRow { due: ACCEPTED.plus_ms(400_000), ..row(1, 0, 1) };
    store.schedule_put(vec![row(1, 1, 2), later.clone()]).await.unwrap();
    store.schedule_clear(vec![row(1, 1, 1), row(1, 2, 1), row(2, 0, 1), row(2, 7, 7)]).await.unwrap();
    let left = store.schedule_due(1, Timestamp(i64::MAX), 10).await.unwrap();
    assert_eq!(left, [row(1, 1, 2), row(1, 3, 1), row(1, 4, 1), later]);
    assert_eq!(store.schedule_due(2, Timestamp(i64::MAX), 10).await.unwrap(), vec![]);
}

async fn references_open_and_close<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let story = Story::new("references", 0);
    let row = |reference: u32, opened_at_offset: i64| ReferenceRow {
        partition: 3,
        imsi: "001010000000001".into(),
        recipient_hash: [7; 16],
        reference,
        delivery: story.delivery(&opened_at_offset.to_string(), 0),
        attempt: 1,
        part: 1,
        parts: 2,
        until: ACCEPTED.plus_ms(i64::from(reference) * 1_000),
        opened_at_offset,
        payload: Bytes::from_static(b"header"),
    };
    let close = |reference: u32, closed_at_offset: i64| ReferenceClosed {
        partition: 3,
        imsi: "001010000000001".into(),
        recipient_hash: [7; 16],
        reference,
        closed_at_offset,
    };
    store.references_open(vec![row(2, 11), row(1, 10), ReferenceRow { partition: 4, ..row(1, 10) }]).await.unwrap();
    store.references_open(vec![row(1, 10)]).await.unwrap(); // a replay
    let store = open().await;
    assert_eq!(store.references(3).await.unwrap(), [row(1, 10), row(2, 11)]);
    assert_eq!(store.references_expired(3, ACCEPTED.plus_ms(1_999), 9).await.unwrap(), [row(1, 10)]);
    assert_eq!(store.references_expired(3, Timestamp(i64::MAX), 1).await.unwrap(), [row(1, 10)]);
    store.references_open(vec![row(1, 20)]).await.unwrap(); // the number came round again
    store.references_open(vec![row(1, 10)]).await.unwrap(); // a late replay does not bring the old one back
    store.references_close(vec![close(1, 15)]).await.unwrap(); // the receipt of the old one
    assert_eq!(store.references(3).await.unwrap(), [row(2, 11), row(1, 20)]);
    store.references_close(vec![close(1, 25), close(2, 12), close(9, 99)]).await.unwrap();
    assert_eq!(store.references(3).await.unwrap(), vec![]);
    assert_eq!(store.references(4).await.unwrap().len(), 1);
}

async fn what_is_cancelled_stays_cancelled<S: Store>(open: &impl AsyncFn() -> S) {
    let (store, story) = (open().await, Story::new("undecided", 0));
    let [one, other] = ["one", "other"].map(|key| Cancelled::Message(story.delivery(key, 0).message));
    let user = Cancelled::User { tenant: story.tenant.clone(), user_id: "o'neil/\u{1F4E8}".into() };
    assert_eq!(store.cancelled(&[one.clone(), other.clone(), user.clone()]).await.expect("readable"), [None; 3]);
    let later = ACCEPTED.plus_ms(1);
    for at in [ACCEPTED, later] {
        store.cancel(other.clone(), at).await.expect("writable");
    }
    store.cancel(user.clone(), ACCEPTED).await.expect("writable");
    store.purge(ACCEPTED.plus_ms(KEEP_MS_MIN - 1), KEEP_MS_MIN).await.expect("writable");
    let store = open().await;
    let asked = [other.clone(), one, user, other];
    let said = [Some(later), None, Some(ACCEPTED), Some(later)];
    assert_eq!(store.cancelled(&asked).await.expect("readable"), said);
    assert_eq!(store.cancelled(&[]).await.expect("readable"), [None; 0]);
}

async fn the_last_to_write_is_remembered<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let said = |tenant: &str, number: u8, minutes: i64| Conversation {
        account: "234150000000001".into(),
        number_hash: [number; 16],
        tenant: TenantId::new(tenant).expect("a name of this suite"),
        user: "demo".into(),
        is_oms: number == 1,
        at: ACCEPTED.plus_ms(minutes * 60_000),
    };
    let find = async |store: &S, account: &str, number: u8| store.conversation(account, [number; 16]).await.unwrap();
    assert_eq!(find(&store, "234150000000001", 1).await, None);
    store.converse(vec![said("acme", 1, 5), said("acme", 2, 5)]).await.unwrap();
    store.converse(vec![said("blue", 1, 6)]).await.unwrap();
    store.converse(vec![said("late", 1, 4)]).await.unwrap(); // it was handed over before the others
    let store = open().await;
    assert_eq!(find(&store, "234150000000001", 1).await, Some(said("blue", 1, 6)));
    assert_eq!(find(&store, "234150000000001", 2).await, Some(said("acme", 2, 5)));
    assert_eq!(find(&store, "234150000000002", 1).await, None, "through another SIM");
    let mut numbers = store.conversation_numbers(9).await.unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, [[1; 16], [2; 16]]);
    assert_eq!(store.conversation_numbers(1).await.unwrap().len(), 1);
}

async fn messages_from_handsets_are_listed_by_owner<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let owner = InboundOwner::Tenant(TenantId::new("listed").expect("a name of this suite"));
    let row = |owner: &InboundOwner, id: u128, hours: i64| InboundRow {
        place: InboundPlace { owner: owner.clone(), received: ACCEPTED.plus_ms(hours * 3_600_000), id: MessageId(id) },
        account: "234150000000001".into(),
        user: "demo".into(),
        goes_to: "mailbox".into(),
        data_key: "listed.0".into(),
        sealed: Bytes::from_static(b"sealed"),
        fate: None,
    };
    let rows = [row(&owner, 2, 0), row(&owner, 9, 0), row(&owner, 1, 30)];
    store.inbound_put(vec![rows[2].clone(), rows[1].clone(), rows[0].clone()]).await.unwrap();
    store.inbound_put(vec![row(&InboundOwner::Operator, 4, 0)]).await.unwrap();
    let fate = |word: &str| Fate { word: word.into(), reason: "550".into(), at: ACCEPTED };
    store.inbound_tell(&rows[1].place, fate("queued")).await.unwrap();
    store.inbound_tell(&rows[1].place, fate("bounced")).await.unwrap();
    store.inbound_put(vec![rows[1].clone()]).await.unwrap(); // again: it keeps what became of it
    let store = open().await;
    let told = InboundRow { fate: Some(fate("bounced")), ..rows[1].clone() };
    let now = ACCEPTED.plus_ms(31 * 3_600_000);
    let first = InboundPlace { owner: owner.clone(), received: ACCEPTED, id: MessageId(0) };
    let list = async |after: &InboundPlace, max| store.inbound(after, now, max).await.unwrap();
    assert_eq!(list(&first, 9).await, [rows[0].clone(), told.clone(), rows[2].clone()]);
    assert_eq!(list(&first, 2).await, [rows[0].clone(), told.clone()]);
    assert_eq!(list(&rows[0].place, 9).await, [told.clone(), rows[2].clone()]);
    assert_eq!(store.inbound_one(&rows[1].place).await.unwrap(), Some(told));
    assert_eq!(store.inbound_one(&InboundPlace { id: MessageId(3), ..rows[1].place.clone() }).await.unwrap(), None);
    let operators = InboundPlace { owner: InboundOwner::Operator, ..first };
    assert_eq!(list(&operators, 9).await, [row(&InboundOwner::Operator, 4, 0)]);
}

async fn an_arrival_is_known_where_it_was_first<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let taken = |arrival: u8, offset| InboundTaken { arrival: [arrival; 16], offset, at: ACCEPTED };
    store.inbound_take(vec![taken(1, 5), taken(2, 6)]).await.unwrap();
    store.inbound_take(vec![taken(1, 7), taken(2, 6)]).await.unwrap();
    let store = open().await;
    assert_eq!(store.inbound_taken(vec![[2; 16], [3; 16], [1; 16]]).await.unwrap(), [Some(6), None, Some(5)]);
    assert_eq!(store.inbound_taken(Vec::new()).await.unwrap(), []);
}

async fn parts_wait_for_each_other<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let part = |message: u8, number: u8, offset: i64| InboundPart {
        partition: 71,
        message: [message; 16],
        number,
        offset,
        at: ACCEPTED,
        payload: Bytes::from(vec![number; 3]),
    };
    store.inbound_parts_put(vec![part(1, 2, 10), part(2, 1, 11)]).await.unwrap();
    store.inbound_parts_put(vec![part(1, 1, 12), part(2, 1, 13)]).await.unwrap();
    let store = open().await;
    assert_eq!(store.inbound_parts(71).await.unwrap(), [part(1, 2, 10), part(1, 1, 12), part(2, 1, 13)]);
    assert_eq!(store.inbound_parts(72).await.unwrap(), []);
    store.inbound_parts_drop(71, vec![[1; 16]]).await.unwrap();
    assert_eq!(store.inbound_parts(71).await.unwrap(), [part(2, 1, 13)]);
}

async fn a_user_is_replaced_by_who_knows_the_record<S: Store>(open: &impl AsyncFn() -> S) {
    let (store, tenant) = (open().await, TenantId::new("hosting").expect("a name of this suite"));
    let user = |id: &str, phone: &str| OmsUser {
        reply_phone: phone.into(),
        ..OmsUser::new(tenant.clone(), id.into(), "hash".into())
    };
    assert_eq!(store.oms_user(&tenant, "demo").await.expect("readable"), None);
    let before = store.parties_version().await.expect("readable");
    let version = store.replace_oms_user(None, user("demo", "1")).await.expect("writable").expect("there was none");
    assert!(version > before);
    assert_eq!(store.replace_oms_user(None, user("demo", "2")).await.expect("writable"), None, "there is one");
    let (first, kept) = store.oms_user(&tenant, "demo").await.expect("readable").expect("it is in");
    assert_eq!(kept, user("demo", "1"));
    let replace = |phone: &'static str| store.replace_oms_user(Some(first.clone()), user("demo", phone));
    let (one, other) = tokio::join!(replace("3"), replace("4"));
    let won = [one, other].into_iter().filter(|won| won.as_ref().expect("writable").is_some()).count();
    assert_eq!(won, 1, "one of two is first");
    let removed = store.remove_oms_user(&tenant, "demo", first.clone()).await.expect("writable");
    assert_eq!(removed, None, "that revision is gone");
    store.put_oms_user(user("demo", "5")).await.expect("writable");
    let store = open().await;
    let (last, kept) = store.oms_user(&tenant, "demo").await.expect("readable").expect("it is in");
    assert_eq!(kept, user("demo", "5"));
    for id in ["zoë", "Anna", "o'neil/1"] {
        store.replace_oms_user(None, user(id, "")).await.expect("writable").expect("there was none");
    }
    let ids = async |after: &str, max| -> Vec<String> {
        let users = store.oms_users(&tenant, after, max).await.expect("readable");
        users.into_iter().map(|user| user.user_id).collect()
    };
    assert_eq!(ids("", 2).await, ["Anna", "demo"]);
    assert_eq!(ids("demo", 9).await, ["o'neil/1", "zoë"]);
    let version = store.parties_version().await.expect("readable");
    let removed = store.remove_oms_user(&tenant, "demo", last).await.expect("writable").expect("it is this revision");
    assert!(removed > version);
    assert_eq!(store.oms_user(&tenant, "demo").await.expect("readable"), None);
    let parties = store.parties().await.expect("readable");
    assert_eq!(parties.oms_users.iter().filter(|user| user.tenant == tenant).count(), 3);
}

async fn an_allowance_is_replaced_by_who_knows_it<S: Store>(open: &impl AsyncFn() -> S) {
    let (store, tenant) = (open().await, TenantId::new("thrifty").expect("a name of this suite"));
    let used = |deliveries| Allowance::begun(ACCEPTED, deliveries, deliveries, "0.10".parse().ok());
    assert_eq!(store.allowance(&tenant, "demo").await.expect("readable"), (0, Allowance::default()));
    let replace = |version, deliveries| store.replace_allowance(&tenant, "demo", version, used(deliveries));
    assert!(replace(0, 1).await.expect("writable"));
    assert!(!replace(0, 2).await.expect("writable"), "it is there already");
    assert!(!replace(7, 2).await.expect("writable"), "nobody has seen that version");
    let (version, allowance) = store.allowance(&tenant, "demo").await.expect("readable");
    assert_eq!((version, allowance), (1, used(1)));
    let (one, other) = tokio::join!(replace(version, 3), replace(version, 3));
    assert_eq!(usize::from(one.expect("writable")) + usize::from(other.expect("writable")), 1, "one of two is first");
    let store = open().await;
    assert_eq!(store.allowance(&tenant, "demo").await.expect("readable"), (2, used(3)));
    assert_eq!(store.allowance(&tenant, "other").await.expect("readable"), (0, Allowance::default()));
}

async fn routers_stay_until_their_time_is_up<S: Store>(open: &impl AsyncFn() -> S) {
    let store = open().await;
    let seat = |name: &str, port: u16, seconds: i64| RouterSeat {
        name: RouterName::new(name).expect("a name of this suite"),
        address: format!("router:{port}"),
        until: ACCEPTED.plus_ms(seconds * 1_000),
    };
    let there = async |store: &S, seconds: i64| store.routers(ACCEPTED.plus_ms(seconds * 1_000)).await.unwrap();
    assert_eq!(there(&store, 0).await, vec![]);
    store.put_router(seat("router-b", 2, 20)).await.unwrap();
    store.put_router(seat("router-a", 1, 10)).await.unwrap();
    let store = open().await;
    assert_eq!(there(&store, 0).await, [seat("router-a", 1, 10), seat("router-b", 2, 20)]);
    assert_eq!(there(&store, 10).await, [seat("router-b", 2, 20)]);
    store.put_router(seat("router-a", 3, 30)).await.unwrap(); // it came back elsewhere
    assert_eq!(there(&store, 10).await, [seat("router-a", 3, 30), seat("router-b", 2, 20)]);
    assert_eq!(there(&store, 30).await, vec![]);
}
