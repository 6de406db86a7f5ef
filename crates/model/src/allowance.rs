//! What a user may still send: deliveries of a day and of a month, and a balance. No clock, no store.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Timestamp};

/// How often a user is told that the service changed.
pub const NOTICES_MAX: u32 = 3;

/// How much a user may send. What is `None` is not limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AllowanceLimits {
    /// Deliveries a day.
    pub per_day: Option<u64>,
    /// Deliveries a month.
    pub per_month: Option<u64>,
    /// What one delivery takes off the balance.
    pub price: Option<Decimal>,
}

/// What a user has used and has left. Days and months are those of UTC; what was used in another one does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    day: i64,
    day_used: u64,
    month: i64,
    month_used: u64,
    /// Money left; `None`: nobody counts it.
    pub balance: Option<Decimal>,
    told_of: Option<Timestamp>,
    told: u32,
}

/// Which limit refuses a recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// The day's deliveries.
    Day {
        /// So many are allowed.
        limit: u64,
    },
    /// The month's deliveries.
    Month {
        /// So many are allowed.
        limit: u64,
    },
    /// The balance.
    Balance {
        /// What is left.
        left: Decimal,
        /// What one delivery costs.
        price: Decimal,
    },
}

impl AllowanceLimits {
    /// Whether there is nothing to count.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == AllowanceLimits::default()
    }
}

impl Allowance {
    /// One that begins with these deliveries used, in the day and the month of `now`.
    #[must_use]
    pub fn begun(now: Timestamp, day_used: u64, month_used: u64, balance: Option<Decimal>) -> Self {
        Allowance { day: day(now), day_used, month: month(now), month_used, balance, ..Allowance::default() }
    }

    /// Deliveries used in the day of `now`, and in its month.
    #[must_use]
    pub fn used(&self, now: Timestamp) -> (u64, u64) {
        let turned = self.turned(now);
        (turned.day_used, turned.month_used)
    }

    /// Takes so many deliveries, all or none.
    ///
    /// # Errors
    /// The first limit, in the order of [`Shortage`], that has no room for them.
    pub fn take(&mut self, limits: &AllowanceLimits, deliveries: u64, now: Timestamp) -> Result<(), Shortage> {
        let mut taken = self.turned(now);
        taken.day_used = taken.day_used.saturating_add(deliveries);
        taken.month_used = taken.month_used.saturating_add(deliveries);
        match (limits.per_day, limits.per_month) {
            (Some(limit), _) if taken.day_used > limit => return Err(Shortage::Day { limit }),
            (_, Some(limit)) if taken.month_used > limit => return Err(Shortage::Month { limit }),
            _ => {}
        }
        if let (Some(left), Some(price)) = (taken.balance, limits.price) {
            taken.balance = Some(left.less(price, deliveries).ok_or(Shortage::Balance { left, price })?);
        }
        *self = taken;
        Ok(())
    }

    /// Gives back what was taken at `then` and not sent.
    pub fn give_back(&mut self, limits: &AllowanceLimits, deliveries: u64, then: Timestamp) {
        if self.day == day(then) {
            self.day_used = self.day_used.saturating_sub(deliveries);
        }
        if self.month == month(then) {
            self.month_used = self.month_used.saturating_sub(deliveries);
        }
        if let (Some(left), Some(price)) = (self.balance, limits.price) {
            self.balance = Some(left.plus(price, deliveries));
        }
    }

    /// Whether the user is to be told of a change; counts it if so. A few times must do: nobody knows whether the client
    /// asked again.
    pub fn tell(&mut self, change: Timestamp) -> bool {
        if self.told_of != Some(change) {
            (self.told_of, self.told) = (Some(change), 0);
        }
        let is_due = self.told < NOTICES_MAX;
        self.told += u32::from(is_due);
        is_due
    }

    /// As it stands at `now`: the counts of another day or month are over.
    fn turned(self, now: Timestamp) -> Self {
        let (day, month) = (day(now), month(now));
        Allowance {
            day_used: if self.day == day { self.day_used } else { 0 },
            month_used: if self.month == month { self.month_used } else { 0 },
            day,
            month,
            ..self
        }
    }
}

fn day(now: Timestamp) -> i64 {
    now.0.div_euclid(24 * 60 * 60 * 1_000)
}

/// Months since the year 0.
fn month(now: Timestamp) -> i64 {
    let moment = ::time::OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1_000));
    let moment = moment.unwrap_or(::time::OffsetDateTime::UNIX_EPOCH);
    i64::from(moment.year()) * 12 + i64::from(u8::from(moment.month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_257_296_045);

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn limits(per_day: Option<u64>, per_month: Option<u64>, price: Option<&str>) -> AllowanceLimits {
        AllowanceLimits { per_day, per_month, price: price.map(decimal) }
    }

    #[test]
    fn the_first_limit_without_room_refuses() {
        let all = limits(Some(5), Some(6), Some("0.50"));
        let mut allowance = Allowance::begun(NOW, 4, 6, Some(decimal("0.40")));
        assert_eq!(allowance.take(&all, 2, NOW), Err(Shortage::Day { limit: 5 }));
        assert_eq!(allowance.take(&all, 1, NOW), Err(Shortage::Month { limit: 6 }));
        let short = Shortage::Balance { left: decimal("0.40"), price: decimal("0.50") };
        assert_eq!(allowance.take(&limits(Some(5), None, Some("0.50")), 1, NOW), Err(short));
        assert_eq!(allowance, Allowance::begun(NOW, 4, 6, Some(decimal("0.40"))), "a refusal takes nothing");
        assert_eq!(allowance.take(&limits(Some(5), None, Some("0.20")), 1, NOW), Ok(()));
        assert_eq!((allowance.used(NOW), allowance.balance), ((5, 7), Some(decimal("0.20"))));
    }

    #[test]
    fn counts_end_with_the_day_and_the_month() {
        let (mut allowance, next_day) = (Allowance::begun(NOW, 9, 9, None), NOW.plus_ms(24 * 3_600_000));
        assert_eq!(allowance.used(next_day), (0, 9));
        assert_eq!(allowance.take(&limits(Some(1), Some(10), None), 1, next_day), Ok(()));
        assert_eq!(allowance.used(next_day), (1, 10));
        allowance.give_back(&limits(None, None, None), 3, NOW);
        assert_eq!(allowance.used(next_day), (1, 7), "another day's are not given back to this one");
        assert_eq!(allowance.used(NOW.plus_ms(31 * 24 * 3_600_000)), (0, 0));
    }

    #[test]
    fn a_change_is_told_three_times() {
        let mut allowance = Allowance::default();
        let told = |allowance: &mut Allowance, change| (0..5).filter(|_| allowance.tell(Timestamp(change))).count();
        assert_eq!(told(&mut allowance, 1), 3);
        assert_eq!(told(&mut allowance, 2), 3);
        assert_eq!(told(&mut allowance, 2), 0);
    }
}
