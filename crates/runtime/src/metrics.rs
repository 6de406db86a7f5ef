//! A small registry of metrics and their text form (Prometheus exposition format 0.0.4).
//!
//! Knows counters, gauges, histograms and labels; must not know what is counted. Each role keeps all its metrics as
//! fields of one struct, made from a `&Registry`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;

/// The content type of [`Registry::text`].
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of one process. Clones share them.
#[derive(Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    samplers: Arc<Mutex<Vec<Sampler>>>,
}

type Sampler = Box<dyn Fn() + Send>;

/// A value of a label. Only enums implement it, so that no number, id or text of a tenant becomes a label.
pub trait Label: Copy + PartialEq + Send + Sync + 'static {
    /// The name of the label.
    const NAME: &'static str;
    /// Every value there is; each gets its series at once, so that an alert sees the zero before the one.
    const ALL: &'static [Self];
    /// The value as it is shown.
    fn value(self) -> &'static str;
}

/// One label or a pair of them.
pub trait LabelSet: Copy + PartialEq + Send + Sync + 'static {
    /// The names of the labels.
    fn names() -> Vec<&'static str>;
    /// Every combination there is.
    fn all() -> Vec<Self>;
    /// The values as they are shown, in the order of the names.
    fn values(self) -> Vec<&'static str>;
}

impl<L: Label> LabelSet for L {
    fn names() -> Vec<&'static str> {
        vec![L::NAME]
    }

    fn all() -> Vec<Self> {
        L::ALL.to_vec()
    }

    fn values(self) -> Vec<&'static str> {
        vec![self.value()]
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    fn names() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }

    fn all() -> Vec<Self> {
        A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| (*a, *b))).collect()
    }

    fn values(self) -> Vec<&'static str> {
        vec![self.0.value(), self.1.value()]
    }
}

/// Counts what happened. Its name ends with `_total`.
#[derive(Clone, Debug)]
pub struct Counter(prometheus::IntCounter);

/// Counts time that passes elsewhere, in seconds. Its name ends with `_seconds_total`.
#[derive(Clone, Debug)]
pub struct SecondsCounter(prometheus::Counter);

/// Holds a value that rises and falls.
#[derive(Clone, Debug)]
pub struct Gauge(prometheus::IntGauge);

/// Counts observations in buckets. Its name ends with its base unit (`_seconds`, `_bytes`).
#[derive(Clone, Debug)]
pub struct Histogram(prometheus::Histogram);

/// One metric per combination of labels, all made at the start.
#[derive(Clone, Debug)]
pub struct Family<L, M>(Arc<[(L, M)]>);

/// Counters by label.
pub type CounterBy<L> = Family<L, Counter>;
/// Gauges by label.
pub type GaugeBy<L> = Family<L, Gauge>;
/// Histograms by label.
pub type HistogramBy<L> = Family<L, Histogram>;

/// Bucket bounds in seconds, from a tenth of a millisecond to five minutes: fits a request as well as a delivery.
pub const SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0,
];

/// Bucket bounds for how many things went together in one batch.
pub const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

impl Registry {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter. `help` is a sentence.
    ///
    /// # Panics
    /// This and the other constructors panic when a name is malformed or taken: a mistake in the program, seen at
    /// its first start.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::unregistered(name, help);
        self.register(counter.0.clone(), name);
        counter
    }

    /// Registers a counter of seconds. `help` is a sentence.
    pub fn seconds_counter(&self, name: &str, help: &str) -> SecondsCounter {
        assert!(name.ends_with("_seconds_total"), "counter `{name}` must end with `_seconds_total`");
        let counter = prometheus::Counter::with_opts(options(name, help)).unwrap_or_else(refused(name));
        self.register(counter.clone(), name);
        SecondsCounter(counter)
    }

    /// Registers counters by label.
    pub fn counter_by<L: LabelSet>(&self, name: &str, help: &str) -> CounterBy<L> {
        assert!(name.ends_with("_total"), "counter `{name}` must end with `_total`");
        let vec = prometheus::IntCounterVec::new(options(name, help), &L::names()).unwrap_or_else(refused(name));
        self.register(vec.clone(), name);
        Family::of(|labels| Counter(vec.with_label_values(labels)))
    }

    /// Registers a gauge. `help` is a sentence.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = prometheus::IntGauge::with_opts(options(name, help)).unwrap_or_else(refused(name));
        self.register(gauge.clone(), name);
        Gauge(gauge)
    }

    /// Registers gauges by label.
    pub fn gauge_by<L: LabelSet>(&self, name: &str, help: &str) -> GaugeBy<L> {
        let vec = prometheus::IntGaugeVec::new(options(name, help), &L::names()).unwrap_or_else(refused(name));
        self.register(vec.clone(), name);
        Family::of(|labels| Gauge(vec.with_label_values(labels)))
    }

    /// Registers a histogram with the given bucket bounds ([`SECONDS`] fits most).
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = histogram_options(name, help, buckets);
        let histogram = prometheus::Histogram::with_opts(options).unwrap_or_else(refused(name));
        self.register(histogram.clone(), name);
        Histogram(histogram)
    }

    /// Registers histograms by label.
    pub fn histogram_by<L: LabelSet>(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramBy<L> {
        let options = histogram_options(name, help, buckets);
        let vec = prometheus::HistogramVec::new(options, &L::names()).unwrap_or_else(refused(name));
        self.register(vec.clone(), name);
        Family::of(|labels| Histogram(vec.with_label_values(labels)))
    }

    /// Runs `sample` before each scrape, for gauges whose value is looked up rather than followed. It must be quick.
    pub fn before_scrape(&self, sample: impl Fn() + Send + 'static) {
        self.samplers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(sample));
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        for sample in self.samplers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            sample();
        }
        prometheus::TextEncoder::new()
            .encode_to_string(&self.inner.gather())
            .expect("families this registry made itself are well formed")
    }

    pub(crate) fn register(&self, metric: impl Collector + 'static, name: &str) {
        self.inner.register(Box::new(metric)).unwrap_or_else(refused(name));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Registry")
    }
}

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.0.inc();
    }

    /// Counts several at once.
    pub fn add(&self, count: u64) {
        self.0.inc_by(count);
    }

    /// What was counted so far.
    pub fn value(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn unregistered(name: &str, help: &str) -> Self {
        assert!(name.ends_with("_total"), "counter `{name}` must end with `_total`");
        Self(prometheus::IntCounter::with_opts(options(name, help)).unwrap_or_else(refused(name)))
    }

    pub(crate) fn register_in(&self, registry: &Registry, name: &str) {
        registry.register(self.0.clone(), name);
    }
}

impl SecondsCounter {
    /// Counts time.
    pub fn add(&self, duration: std::time::Duration) {
        self.0.inc_by(duration.as_secs_f64());
    }

    /// Sets the count to a total kept elsewhere; a smaller total than before changes nothing.
    pub fn advance_to(&self, total: std::time::Duration) {
        self.0.inc_by((total.as_secs_f64() - self.0.get()).max(0.0));
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Adds to the value; a negative number lowers it.
    pub fn add(&self, difference: i64) {
        self.0.add(difference);
    }

    /// The value.
    pub fn value(&self) -> i64 {
        self.0.get()
    }
}

impl Histogram {
    /// Counts one observation, in the base unit.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }

    /// Counts one duration, in seconds.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.0.get_sample_count()
    }
}

impl<L: LabelSet, M> Family<L, M> {
    /// The metric for these labels.
    pub fn with(&self, labels: L) -> &M {
        let found = self.0.iter().find(|(known, _)| *known == labels);
        &found.expect("a label type lists every value it has in `ALL`").1
    }

    fn of(make: impl Fn(&[&str]) -> M) -> Self {
        Self(L::all().into_iter().map(|labels| (labels, make(&labels.values()))).collect())
    }
}

fn options(name: &str, help: &str) -> prometheus::Opts {
    assert!(help.ends_with('.') && help.contains(' '), "the help of metric `{name}` must be a sentence");
    prometheus::Opts::new(name, help)
}

fn histogram_options(name: &str, help: &str, buckets: &[f64]) -> prometheus::HistogramOpts {
    prometheus::HistogramOpts::from(options(name, help)).buckets(buckets.to_vec())
}

fn refused<T>(name: &str) -> impl FnOnce(prometheus::Error) -> T {
    move |error| panic!("metric `{name}` cannot be registered: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Door {
        Rest,
        Oms,
    }

    impl Label for Door {
        const NAME: &'static str = "door";
        const ALL: &'static [Self] = &[Self::Rest, Self::Oms];
        fn value(self) -> &'static str {
            match self {
                Self::Rest => "rest",
                Self::Oms => "oms",
            }
        }
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Answer {
        Accepted,
    }

    impl Label for Answer {
        const NAME: &'static str = "answer";
        const ALL: &'static [Self] = &[Self::Accepted];
        fn value(self) -> &'static str {
            "accepted"
        }
    }

    #[track_caller]
    fn check_line(registry: &Registry, line: &str) {
        let text = registry.text();
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }

    #[test]
    fn each_kind_shows_its_value() {
        let registry = Registry::new();
        registry.counter("doors_total", "Counts doors.").add(3);
        registry.gauge("open_doors", "Open doors.").set(-2);
        registry.histogram("wait_seconds", "Time at the door.", &[1.0, 2.0]).observe(1.5);
        check_line(&registry, "doors_total 3");
        check_line(&registry, "open_doors -2");
        check_line(&registry, "wait_seconds_bucket{le=\"2\"} 1");
        check_line(&registry, "wait_seconds_bucket{le=\"1\"} 0");
        check_line(&registry, "# HELP doors_total Counts doors.");
    }

    #[test]
    fn every_label_is_there_from_the_start() {
        let registry = Registry::new();
        let doors = registry.counter_by::<Door>("doors_total", "Counts doors.");
        doors.with(Door::Rest).increment();
        check_line(&registry, "doors_total{door=\"rest\"} 1");
        check_line(&registry, "doors_total{door=\"oms\"} 0");
    }

    #[test]
    fn labels_come_in_pairs_too() {
        let registry = Registry::new();
        let gauges = registry.gauge_by::<(Door, Answer)>("answers", "Open answers.");
        gauges.with((Door::Oms, Answer::Accepted)).add(4);
        check_line(&registry, "answers{answer=\"accepted\",door=\"oms\"} 4");
        check_line(&registry, "answers{answer=\"accepted\",door=\"rest\"} 0");
        registry.histogram_by::<Door>("wait_seconds", "Time at the door.", SECONDS).with(Door::Oms).observe(0.002);
        check_line(&registry, "wait_seconds_bucket{door=\"oms\",le=\"0.0025\"} 1");
    }

    #[test]
    fn samplers_run_before_each_scrape() {
        let registry = Registry::new();
        let gauge = registry.gauge("scrapes", "Scrapes so far.");
        registry.before_scrape(move || gauge.add(1));
        check_line(&registry, "scrapes 1");
        check_line(&registry, "scrapes 2");
    }

    #[track_caller]
    fn check_panic(make: impl FnOnce(&Registry) + std::panic::UnwindSafe, expected: &str) {
        let panic = std::panic::catch_unwind(|| make(&Registry::new())).expect_err("a mistake in the program");
        let said = panic.downcast_ref::<String>().expect("the panic has a text");
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn mistakes_are_seen_at_the_first_start() {
        check_panic(|registry| drop(registry.counter("doors", "Counts doors.")), "must end with `_total`");
        check_panic(|registry| drop(registry.gauge("doors", "doors")), "must be a sentence");
        check_panic(|registry| drop(registry.gauge("a-b", "Counts doors.")), "`a-b` cannot be registered");
        let twice = |registry: &Registry| {
            let _ = registry.gauge("a", "Counts doors.");
            let _ = registry.gauge("a", "Counts doors.");
        };
        check_panic(twice, "`a` cannot be registered");
    }
}
