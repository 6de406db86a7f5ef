//! Brokers for a test, and names of its own on them.

use bus::KafkaBus;
use bus::kafka::Options;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

/// Brokers, and a prefix nobody else has.
pub(crate) struct Cluster {
    bootstrap: Vec<String>,
    pub(crate) prefix: String,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let how = "set CARILLON_KAFKA to host:port,… of running brokers, or start some: cargo xtask engines up";
        let bootstrap = std::env::var("CARILLON_KAFKA").expect(how);
        Cluster {
            bootstrap: bootstrap.split(',').map(Into::into).collect(),
            prefix: format!("test-{:016x}", rand::random::<u64>()),
        }
    }

    /// Other brokers than the environment's.
    pub(crate) fn at(bootstrap: Vec<String>) -> Self {
        Cluster { bootstrap, prefix: format!("test-{:016x}", rand::random::<u64>()) }
    }

    pub(crate) fn topic(&self, lane: &model::Lane) -> String {
        format!("{}.{lane}", self.prefix)
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub(crate) fn options(&self, name: &str) -> Options {
        let mut options = Options::new(self.bootstrap.clone(), self.prefix.clone(), name);
        let (replication, min_isr) = if self.bootstrap.len() < 3 { (1, 1) } else { (3, 2) };
        (options.replication, options.min_isr) = (replication, min_isr);
        options
    }

    pub(crate) async fn open(&self, options: Options) -> KafkaBus {
        KafkaBus::open(options).await.expect("the brokers are up")
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap.join(","));
        config
    }

    /// Deletes what the test left.
    pub(crate) async fn remove(&self) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(None, WAIT).unwrap();
        let topics: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
        let topics: Vec<&str> = topics.into_iter().filter(|topic| topic.starts_with(&self.prefix)).collect();
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        for deleted in admin.delete_topics(&topics, &options).await.unwrap() {
            deleted.unwrap();
        }
    }
}
