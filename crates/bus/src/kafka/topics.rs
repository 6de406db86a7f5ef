//! Topics that keep lanes: how they are made, and what they must be. Knows the brokers' settings.
//!
//! The lane's id stands in two settings that mean something for compacted topics only, and lanes never are: set when the
//! topic is made, in the same step, kept as safely as the topic itself, gone with it. So a topic made anew is another lane,
//! and one that was made by somebody else is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Lane;
use rand::Rng as _;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{self, Consumer, Context};
use super::options::Options;
use super::sync::blocking;
use crate::{BusError, EngineError, LaneInfo, WrongTopic};

/// The settings that hold a lane's id.
const ID_SETTINGS: [&str; 2] = ["delete.retention.ms", "max.compaction.lag.ms"];
/// Halves of ids are at least this, which nobody sets by hand.
const ID_MIN: i64 = 1 << 62;
/// Rest while brokers tell each other of a new topic.
const SETTLE_REST: Duration = Duration::from_millis(25);

/// Makes topics and looks at them.
pub(super) struct Topics {
    admin: Arc<AdminClient<Context>>,
    meta: Arc<Consumer>,
    options: Arc<Options>,
}

/// A topic as the brokers describe it.
struct Described {
    partitions: u32,
    /// The fewest replicas of a partition.
    replicas: usize,
    /// All partitions have a leader.
    led: bool,
}

impl Topics {
    pub(super) fn start(options: Arc<Options>, meta: Arc<Consumer>) -> Result<Self, BusError> {
        let admin = Arc::new(client::create(&options, &client::admin(&options), Context::default())?);
        Ok(Topics { admin, meta, options })
    }

    pub(super) fn admin(&self) -> &AdminClient<Context> {
        &self.admin
    }

    pub(super) fn topic(&self, lane: &Lane) -> String {
        self.options.named(&lane.to_string())
    }

    /// The lane kept in a topic; `None` if it is none of ours.
    pub(super) fn lane(&self, topic: &str) -> Option<Lane> {
        Lane::from_name(topic.strip_prefix(&self.options.prefix)?.strip_prefix('.')?)
    }

    pub(super) fn admin_options(&self) -> AdminOptions {
        let wait = self.options.request_max;
        AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait))
    }

    /// Deletes what stands before these offsets; the topic's new first offsets. The client goes by what it last heard of the
    /// leaders, and a leader that is gone is the end of it ("no such entry"): then it is made to ask.
    pub(super) async fn delete_records(
        &self,
        topic: &str,
        before: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        match self.admin.delete_records(before, &self.admin_options()).await {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoEnt) => {
                let (admin, topic, wait) = (Arc::clone(&self.admin), topic.to_owned(), self.options.request_max);
                let ask = move || admin.inner().fetch_metadata(Some(&topic), wait).map(drop);
                blocking(ask).await?;
                self.admin.delete_records(before, &self.admin_options()).await
            }
            told => told,
        }
    }

    /// Makes the lane's topic if there is none, and checks it.
    pub(super) async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        let topic = self.topic(lane);
        if self.describe(lane, &topic).await?.is_none() {
            self.make(lane, &topic).await?;
        }
        let described = self.settled(lane, &topic).await?;
        if described.partitions != lane.partitions() {
            return Err(BusError::Layout { lane: lane.clone(), partitions: described.partitions });
        }
        self.check(lane, &topic, &described).await
    }

    /// What the lane is, if its topic is there.
    pub(super) async fn find(&self, lane: &Lane) -> Result<Option<LaneInfo>, BusError> {
        let topic = self.topic(lane);
        match self.describe(lane, &topic).await? {
            None => Ok(None),
            Some(described) => self.check(lane, &topic, &described).await.map(Some),
        }
    }

    /// The lanes whose topics are there.
    pub(super) async fn all(&self) -> Result<Vec<Lane>, EngineError> {
        let (meta, wait) = (Arc::clone(&self.meta), self.options.request_max);
        let names = blocking(move || {
            let metadata = meta.fetch_metadata(None, wait)?;
            Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>())
        });
        let names = names.await.map_err(|error: KafkaError| client::engine("list topics", &error))?;
        Ok(names.iter().filter_map(|name| self.lane(name)).collect())
    }

    async fn make(&self, lane: &Lane, topic: &str) -> Result<(), BusError> {
        let settings = self.settings();
        let partitions = i32::try_from(lane.partitions()).expect("a lane has few partitions");
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(self.options.replication));
        for (key, value) in &settings {
            new = new.set(key, value);
        }
        let failed = |said: String| declare(lane, "create a topic", said);
        let late = Instant::now() + self.options.open_max;
        loop {
            let made = self.admin.create_topics([&new], &self.admin_options()).await;
            match made.map_err(|error| failed(error.to_string()))?.pop() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => return Ok(()),
                // Brokers that have just started do not all know each other yet.
                Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor | RDKafkaErrorCode::RequestTimedOut)))
                    if Instant::now() < late =>
                {
                    tokio::time::sleep(SETTLE_REST).await;
                }
                Some(Err((topic, code))) => return Err(failed(format!("`{topic}`: {code}"))),
            }
        }
    }

    /// What a new topic is made with.
    fn settings(&self) -> BTreeMap<&'static str, String> {
        let mut settings: BTreeMap<_, _> = [
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("min.insync.replicas", self.options.min_isr.to_string()),
            ("max.message.bytes", self.options.message_bytes_max.to_string()),
        ]
        .into();
        for half in ID_SETTINGS {
            settings.insert(half, rand::rng().random_range(ID_MIN..i64::MAX).to_string());
        }
        settings
    }

    /// The topic, when all brokers that lead its partitions know it.
    async fn settled(&self, lane: &Lane, topic: &str) -> Result<Described, BusError> {
        let late = Instant::now() + self.options.request_max;
        loop {
            if let Some(described) = self.describe(lane, topic).await?.filter(|described| described.led) {
                return Ok(described);
            }
            if Instant::now() > late {
                return Err(declare(lane, "create a topic", format!("`{topic}` has no leaders yet")));
            }
            tokio::time::sleep(SETTLE_REST).await;
        }
    }

    async fn describe(&self, lane: &Lane, topic: &str) -> Result<Option<Described>, BusError> {
        let (meta, name, wait) = (Arc::clone(&self.meta), topic.to_owned(), self.options.request_max);
        let described = blocking(move || {
            let metadata = meta.fetch_metadata(Some(&name), wait)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let there = topic.filter(|topic| !topic.partitions().is_empty());
            Ok(there.map(|topic| Described {
                partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
                replicas: topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
                led: topic.partitions().iter().all(|partition| partition.leader() >= 0),
            }))
        });
        described.await.map_err(|error: KafkaError| declare(lane, "look at a topic", error.to_string()))
    }

    async fn check(&self, lane: &Lane, topic: &str, described: &Described) -> Result<LaneInfo, BusError> {
        let config = self.config(lane, topic).await?;
        let value = |key| config.get(key).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        for demand in self.demands(described) {
            let found = demand.found.unwrap_or_else(|| value(demand.setting).to_owned());
            if !(demand.met)(&found) {
                return Err(BusError::Topic(Box::new(WrongTopic {
                    lane: lane.clone(),
                    topic: topic.to_owned(),
                    setting: demand.setting,
                    found,
                    wanted: demand.wanted,
                    mend: demand.mend,
                })));
            }
        }
        let half = |key| value(key).parse::<i64>().map_or(0, i64::unsigned_abs);
        let id = u128::from(half(ID_SETTINGS[0])) << 64 | u128::from(half(ID_SETTINGS[1]));
        Ok(LaneInfo { id, partitions: described.partitions })
    }

    async fn config(&self, lane: &Lane, topic: &str) -> Result<ConfigResource, BusError> {
        let failed = |said: String| declare(lane, "look at a topic's settings", said);
        let late = Instant::now() + self.options.request_max;
        loop {
            let asked = [ResourceSpecifier::Topic(topic)];
            let told = self.admin.describe_configs(&asked, &self.admin_options()).await;
            match told.map_err(|error| failed(error.to_string()))?.pop() {
                Some(Ok(config)) if !config.entries.is_empty() => return Ok(config),
                // The broker that was asked has not heard of it yet, or of its settings.
                Some(Ok(_) | Err(RDKafkaErrorCode::UnknownTopicOrPartition)) if Instant::now() < late => {
                    tokio::time::sleep(SETTLE_REST).await;
                }
                Some(Err(code)) => return Err(failed(format!("`{topic}`: {code}"))),
                Some(Ok(_)) | None => return Err(failed("an empty answer".into())),
            }
        }
    }

    /// What a topic must be to keep a lane.
    fn demands(&self, described: &Described) -> Vec<Demand> {
        const ALTER: &str = "set it with kafka-configs";
        let at_least = |least: i64| -> Met { Box::new(move |found| found.parse::<i64>().is_ok_and(|n| n >= least)) };
        let equal = |wanted: &'static str| -> Met { Box::new(move |found| found == wanted) };
        let (replication, min_isr) = (self.options.replication, self.options.min_isr);
        let bytes = i64::try_from(self.options.message_bytes_max).unwrap_or(i64::MAX);
        let mut demands = vec![
            Demand {
                setting: "replication.factor",
                found: Some(described.replicas.to_string()),
                met: at_least(replication.into()),
                wanted: format!("at least {replication}"),
                mend: "add replicas with kafka-reassign-partitions",
            },
            Demand::new("min.insync.replicas", at_least(min_isr.into()), format!("at least {min_isr}"), ALTER),
            Demand::new("max.message.bytes", at_least(bytes), format!("at least {bytes}"), ALTER),
            Demand::new("cleanup.policy", equal("delete"), "delete".into(), ALTER),
            Demand::new("retention.ms", equal("-1"), "-1".into(), ALTER),
            Demand::new("retention.bytes", equal("-1"), "-1".into(), ALTER),
            Demand::new("message.timestamp.type", equal("LogAppendTime"), "LogAppendTime".into(), ALTER),
        ];
        demands.extend(ID_SETTINGS.map(|setting| {
            let ours: Met = Box::new(|found| found.parse::<i64>().is_ok_and(|half| (ID_MIN..i64::MAX).contains(&half)));
            let mend = "this topic was not made by this program; delete it if nothing is in it, and it is made anew";
            Demand::new(setting, ours, "half of the lane's id".into(), mend)
        }));
        demands
    }
}

type Met = Box<dyn Fn(&str) -> bool + Send>;

/// What one setting must be.
struct Demand {
    setting: &'static str,
    /// `None`: look in the topic's settings.
    found: Option<String>,
    met: Met,
    wanted: String,
    mend: &'static str,
}

impl Demand {
    fn new(setting: &'static str, met: Met, wanted: String, mend: &'static str) -> Self {
        Demand { setting, found: None, met, wanted, mend }
    }
}

fn declare(lane: &Lane, doing: &'static str, said: String) -> BusError {
    BusError::Declare { lane: lane.clone(), source: EngineError::Kafka { doing, said } }
}
