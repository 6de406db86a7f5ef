//! The devices of one partition: what is known of each, whose time comes next, and which rows are to be written. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use model::{TenantId, Timestamp};
use runtime::metrics::Gauge;
use store::WindowRow;

use super::row::{self, Names};
use super::window::Window;

/// How long a device that was removed is remembered: as long as anybody may tell what became of its notifications.
const GONE_MS: i64 = 8 * 24 * 60 * 60 * 1_000;

/// Which device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct DeviceKey {
    /// Whose.
    pub(super) tenant: TenantId,
    /// Its account.
    pub(super) account: Box<str>,
    /// Its id.
    pub(super) device: Box<str>,
}

/// The devices of a partition.
pub(super) struct Book {
    partition: u32,
    windows: BTreeMap<Arc<DeviceKey>, Window>,
    timers: BTreeSet<(Timestamp, Arc<DeviceKey>)>,
    changed: BTreeSet<Arc<DeviceKey>>,
    open: Opened,
    pub(super) names: Names,
}

/// Counts open windows in the metrics, and takes them back when the partition is another's.
struct Opened {
    gauge: Gauge,
    count: i64,
}

impl Opened {
    fn add(&mut self, difference: i64) {
        self.count += difference;
        self.gauge.add(difference);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.gauge.add(-self.count);
    }
}

impl Book {
    /// An empty book.
    pub(super) fn new(partition: u32, gauge: Gauge) -> Self {
        let (windows, timers, changed, names) = Default::default();
        Book { partition, windows, timers, changed, open: Opened { gauge, count: 0 }, names }
    }

    /// Takes rows in. Those of devices that are long gone are to be removed.
    ///
    /// # Errors
    /// A row is none of this build.
    pub(super) fn load(&mut self, rows: Vec<WindowRow>, now: Timestamp) -> Result<(), prost::DecodeError> {
        for row in rows {
            let window = row::read(row.state, &mut self.names)?;
            let key = DeviceKey { tenant: row.tenant, account: row.account.into(), device: row.device.into() };
            if window.gone.is_some_and(|since| since.plus_ms(GONE_MS) < now) {
                self.changed.insert(Arc::new(key));
                continue;
            }
            self.change(&key, |known| *known = window);
        }
        // What is as its row says need not be written.
        self.changed.retain(|key| !self.windows.contains_key(&**key));
        Ok(())
    }

    /// What is known of a device.
    pub(super) fn get(&self, key: &DeviceKey) -> Option<&Window> {
        self.windows.get(key)
    }

    /// Changes what is known of a device; one that was not known is now.
    pub(super) fn change<T>(&mut self, key: &DeviceKey, change: impl FnOnce(&mut Window) -> T) -> T {
        let key = match self.windows.get_key_value(key) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(key.clone()),
        };
        let window = self.windows.entry(Arc::clone(&key)).or_default();
        let (due, was_open) = (window.due(), window.open.is_some());
        let result = change(window);
        let (next, is_open) = (window.due(), window.open.is_some());
        if due != next {
            if let Some(due) = due {
                self.timers.remove(&(due, Arc::clone(&key)));
            }
            if let Some(next) = next {
                self.timers.insert((next, Arc::clone(&key)));
            }
        }
        if was_open != is_open {
            self.open.add(if is_open { 1 } else { -1 });
        }
        self.changed.insert(key);
        result
    }

    /// At most `max` devices whose time has come, the longest overdue first.
    pub(super) fn due(&self, now: Timestamp, max: usize) -> Vec<Arc<DeviceKey>> {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now).take(max);
        due.map(|(_, key)| Arc::clone(key)).collect()
    }

    /// When the next device's time comes.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The devices of an account that are known.
    pub(super) fn of_account(&self, tenant: &TenantId, account: &str) -> Vec<Arc<DeviceKey>> {
        let first = DeviceKey { tenant: tenant.clone(), account: account.into(), device: "".into() };
        let of = self.windows.range(Arc::new(first)..).take_while(|(key, _)| key.is_of(tenant, account));
        of.map(|(key, _)| Arc::clone(key)).collect()
    }

    /// The rows that are to be written.
    pub(super) fn take_changed(&mut self) -> Vec<WindowRow> {
        let row = |key: &Arc<DeviceKey>| WindowRow {
            partition: self.partition,
            tenant: key.tenant.clone(),
            account: key.account.to_string(),
            device: key.device.to_string(),
            state: self.windows.get(key).map_or_else(Bytes::new, row::write),
        };
        let rows = self.changed.iter().map(row).collect();
        self.changed.clear();
        rows
    }
}

impl DeviceKey {
    /// Whether it is one of an account's.
    pub(super) fn is_of(&self, tenant: &TenantId, account: &str) -> bool {
        self.tenant == *tenant && &*self.account == account
    }
}

#[cfg(test)]
mod tests {
    use runtime::Registry;

    use super::*;
    use crate::metrics::Metrics;

    const AT: Timestamp = Timestamp(1_795_257_000_000);

    fn key(account: &str, device: &str) -> DeviceKey {
        DeviceKey { tenant: TenantId::new("acme").unwrap(), account: account.into(), device: device.into() }
    }

    fn gauge() -> Gauge {
        Metrics::new(&Registry::new()).notify_windows_open
    }

    #[test]
    fn devices_come_up_in_the_order_of_their_times() {
        let gauge = gauge();
        let mut book = Book::new(2, gauge.clone());
        for (device, ms) in [("b", 20), ("a", 30), ("c", 10)] {
            book.change(&key("ann", device), |window| window.mark(&"x".into(), AT, ms));
        }
        assert_eq!((book.next(), gauge.value()), (Some(AT.plus_ms(10)), 3));
        let due = |book: &Book, ms, max| -> Vec<String> {
            book.due(AT.plus_ms(ms), max).iter().map(|key| key.device.to_string()).collect()
        };
        assert_eq!(due(&book, 9, 9), [""; 0]);
        assert_eq!(due(&book, 20, 9), ["c", "b"]);
        assert_eq!(due(&book, 99, 1), ["c"]);
        book.change(&key("ann", "c"), |window| window.mark(&"y".into(), AT, 50));
        book.change(&key("ann", "b"), |window| window.hold(None));
        assert_eq!(due(&book, 99, 9), ["c", "a"]);
        book.change(&key("ann", "c"), |window| window.clear());
        assert_eq!((due(&book, 99, 9), gauge.value()), (vec!["a".to_owned()], 2));
        drop(book);
        assert_eq!(gauge.value(), 0);
    }

    #[test]
    fn rows_bring_back_what_was_known() {
        let mut book = Book::new(2, gauge());
        book.change(&key("ann", "a"), |window| window.mark(&"x".into(), AT, 5));
        book.change(&key("ann", "b"), |window| window.gone = Some(AT));
        book.change(&key("bob", "a"), |window| window.mark(&"y".into(), AT, 7));
        let rows = book.take_changed();
        assert_eq!((rows.len(), book.take_changed().len()), (3, 0));
        let mut again = Book::new(2, gauge());
        again.load(rows.clone(), AT.plus_ms(1)).unwrap();
        assert_eq!((again.next(), again.take_changed().len()), (Some(AT.plus_ms(5)), 0));
        assert_eq!(again.of_account(&TenantId::new("acme").unwrap(), "ann").len(), 2);
        let mut later = Book::new(2, gauge());
        later.load(rows, AT.plus_ms(GONE_MS + 1)).unwrap();
        let removed = later.take_changed();
        assert_eq!((removed.len(), removed[0].device.as_str(), removed[0].state.len()), (1, "b", 0));
    }
}
