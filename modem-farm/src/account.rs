//! What is counted by SIM, wherever it sits, or by supplier account, whichever bind is used: the day's budget, the rate, open
//! references. Must not know modems, binds or files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{IdMap, Timestamp};

use crate::journal::Entry;
use crate::letter::RecipientKey;
use crate::pace::Limiter;

/// References kept open per account; the oldest gives way.
const OPEN_MAX: usize = 16_384;
/// A report that has not come after this will not come.
const OPEN_FOR: Duration = Duration::from_secs(48 * 3600);

/// All SIMs and supplier accounts seen, by IMSI or name.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<String, Arc<Account>>>);

/// One SIM, or one supplier account.
pub(crate) struct Account {
    /// The IMSI, or the account's name: half of what receipts are found by.
    pub(crate) name: String,
    pub(crate) limiter: Option<Limiter>,
    limits: Limits,
    state: Mutex<State>,
}

/// What its contract allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Segments a day; 0: no limit.
    pub(crate) per_day: u32,
    /// When the other side's day begins, as its distance from UTC.
    pub(crate) utc_offset_minutes: i32,
}

#[derive(Default)]
struct State {
    day: i64,
    used: u32,
    references: References,
}

/// The day's budget does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetSpent;

/// References the network handed out and has not reported on, newest last.
#[derive(Default)]
struct References {
    open: IdMap<(u8, RecipientKey), Instant>,
    order: VecDeque<(u8, RecipientKey, Instant)>,
    last: Option<u8>,
}

impl Accounts {
    /// The account of this name. Who sees it first sets its limits; `used` is what the journal knows of `day`.
    pub(crate) fn seen(
        &self,
        name: &str,
        limiter: impl FnOnce() -> Option<Limiter>,
        limits: Limits,
        (day, used): (i64, u32),
    ) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(name.to_owned()).or_insert_with(|| {
            let state = State { day, used, references: References::default() };
            Arc::new(Account { name: name.to_owned(), limiter: limiter(), limits, state: Mutex::new(state) })
        });
        account.clone()
    }
}

/// The operator's day at this moment.
pub(crate) fn day_of(now: Timestamp, utc_offset_minutes: i32) -> i64 {
    (now.0 / 1000 + i64::from(utc_offset_minutes) * 60).div_euclid(24 * 3600)
}

impl Account {
    /// Takes segments out of the day's budget, all or none, and says what to write down. Attempts count, whatever becomes of them.
    pub(crate) fn spend(&self, segments: u32, now: Timestamp) -> Result<Entry, BudgetSpent> {
        let day = day_of(now, self.limits.utc_offset_minutes);
        let mut state = self.state();
        if state.day != day {
            (state.day, state.used) = (day, 0);
        }
        let used = state.used.saturating_add(segments);
        if self.limits.per_day > 0 && used > self.limits.per_day {
            return Err(BudgetSpent);
        }
        state.used = used;
        Ok(Entry::Used { imsi: self.name.clone(), day, segments: used })
    }

    /// Whether nothing is left today.
    pub(crate) fn is_spent(&self, now: Timestamp) -> bool {
        let state = self.state();
        self.limits.per_day > 0
            && state.day == day_of(now, self.limits.utc_offset_minutes)
            && state.used >= self.limits.per_day
    }

    /// Whether the reference most likely next (modems count) is open for this recipient: its report would be taken for the newer message's.
    pub(crate) fn would_reuse(&self, recipient: &RecipientKey, now: Instant) -> bool {
        let references = &self.state().references;
        let Some(next) = references.last.map(|last| last.wrapping_add(1)) else { return false };
        references.open.get(&(next, recipient.clone())).is_some_and(|since| now < *since + OPEN_FOR)
    }

    /// The network handed out a reference for a message to this recipient and will report on it.
    pub(crate) fn opened(&self, reference: u8, recipient: &RecipientKey, now: Instant) {
        let references = &mut self.state().references;
        references.last = Some(reference);
        references.open.insert((reference, recipient.clone()), now);
        references.order.push_back((reference, recipient.clone(), now));
        while references.order.len() > OPEN_MAX {
            let Some((reference, recipient, since)) = references.order.pop_front() else { break };
            let key = (reference, recipient);
            if references.open.get(&key) == Some(&since) {
                references.open.remove(&key);
            }
        }
    }

    /// The network's last word on a reference has come.
    pub(crate) fn closed(&self, reference: u8, recipient: &RecipientKey) {
        self.state().references.open.remove(&(reference, recipient.clone()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn card(used: u32) -> Arc<Account> {
        let limits = Limits { per_day: 10, utc_offset_minutes: 0 };
        Accounts::default().seen("262019876543210", || None, limits, (day_of(NOW, 0), used))
    }

    #[test]
    fn a_budget_is_spent_whole_messages_at_a_time_and_starts_anew_each_day() {
        let card = card(7);
        assert_eq!(card.spend(4, NOW).err(), Some(BudgetSpent));
        let Ok(Entry::Used { segments, .. }) = card.spend(3, NOW) else { panic!("three are left") };
        assert_eq!(segments, 10);
        assert!(card.is_spent(NOW));
        assert_eq!(card.spend(1, NOW).err(), Some(BudgetSpent));
        let tomorrow = NOW.plus_ms(24 * 3600 * 1000);
        assert!(!card.is_spent(tomorrow) && card.spend(1, tomorrow).is_ok());
    }

    #[test]
    fn the_day_is_the_operators() {
        // 2027-01-15T08:00:00Z
        assert_eq!(day_of(NOW, 0), day_of(NOW, 15 * 60));
        assert_eq!(day_of(NOW, 0) + 1, day_of(NOW, 16 * 60));
        assert_eq!(day_of(NOW, 0) - 1, day_of(NOW, -9 * 60));
    }

    #[test]
    fn an_open_reference_is_not_reused_for_its_recipient() {
        let (card, now) = (card(0), Instant::now());
        let (one, other) = (RecipientKey::of("+447700900123"), RecipientKey::of("+447700900124"));
        assert!(!card.would_reuse(&one, now));
        card.opened(4, &one, now);
        card.opened(3, &other, now);
        assert!(card.would_reuse(&one, now));
        assert!(!card.would_reuse(&other, now));
        assert!(!card.would_reuse(&one, now + OPEN_FOR));
        card.closed(4, &RecipientKey::of("07700900123"));
        assert!(!card.would_reuse(&one, now));
    }

    #[test]
    fn open_references_are_bounded() {
        let (card, now) = (card(0), Instant::now());
        for number in 0..3 * OPEN_MAX {
            card.opened(number as u8, &RecipientKey::of(&format!("{number:08}")), now);
        }
        assert!(card.state().references.open.len() <= OPEN_MAX);
    }
}
