//! Clients of librdkafka: how they are set up, what they log, how their errors read. Knows no lanes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

use super::options::{GroupProtocol, Mechanism, Options};
use super::sync::lock;
use crate::{BusError, EngineError};

/// Errors a client remembers, to say why it couldn't connect.
const ERRORS_MAX: usize = 8;
/// Longest text of a client that is logged.
const LOG_CHARS_MAX: usize = 300;

/// What all clients of a process do with what librdkafka tells them.
#[derive(Clone, Default)]
pub(super) struct Context {
    errors: Arc<Mutex<VecDeque<(RDKafkaErrorCode, String)>>>,
}

impl Context {
    /// What went wrong lately, the newest first.
    pub(super) fn errors(&self) -> Vec<(RDKafkaErrorCode, String)> {
        lock(&self.errors).iter().rev().cloned().collect()
    }

    fn remember(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut errors = lock(&self.errors);
        // The newest of each kind: that all brokers are away is said again and again, why only once.
        errors.retain(|(known, _)| *known != code);
        if errors.len() == ERRORS_MAX {
            errors.pop_front();
        }
        errors.push_back((code, short(reason)));
    }
}

fn short(text: &str) -> String {
    text.chars().take(LOG_CHARS_MAX).collect()
}

/// Lines of librdkafka that come by the dozen while a broker is away, and say nothing the errors don't.
fn is_chatter(facility: &str) -> bool {
    matches!(facility, "FAIL" | "ERROR" | "COORD" | "HBFAIL" | "REQTMOUT")
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = short(message);
        if facility == "FAIL" {
            self.remember(RDKafkaErrorCode::Fail, &message);
        }
        match level {
            _ if is_chatter(facility) => tracing::debug!(facility, message, "kafka client"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(facility, message, "kafka client");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "kafka client"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        tracing::debug!(%code, reason = short(reason), "kafka client");
        self.remember(code, reason);
    }
}

impl ConsumerContext for Context {}

/// What all clients have in common.
pub(super) fn base(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", options.address())
        .set("client.id", options.named(&options.name))
        .set("socket.timeout.ms", millis(options.request_max))
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "60000")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "500")
        .set_log_level(RDKafkaLogLevel::Info);
    if let Some(tls) = &options.tls {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                config.set(key, file.to_string_lossy());
            }
        }
    }
    if let Some(sasl) = &options.sasl {
        let mechanism = match sasl.mechanism {
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
        };
        config.set("sasl.mechanism", mechanism);
        config.set("sasl.username", &sasl.user).set("sasl.password", &sasl.password);
    }
    let security = match (&options.tls, &options.sasl) {
        (None, None) => "PLAINTEXT",
        (Some(_), None) => "SSL",
        (None, Some(_)) => "SASL_PLAINTEXT",
        (Some(_), Some(_)) => "SASL_SSL",
    };
    config.set("security.protocol", security);
    config
}

/// A consumer that reads by offset; nothing is ever committed behind our back.
pub(super) fn consumer(options: &Options, group: Option<&str>) -> ClientConfig {
    let mut config = base(options);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.message.max.bytes", "1048576")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "1024");
    if let Some(group) = group {
        config.set("group.id", options.named(group));
    }
    config
}

/// A client that looks after topics. It follows none, so nothing tells it that the broker it would ask is gone but its own
/// looking.
pub(super) fn admin(options: &Options) -> ClientConfig {
    let mut config = base(options);
    config.set("topic.metadata.refresh.interval.ms", "5000").set("metadata.max.age.ms", "10000");
    config
}

/// A member of a group.
pub(super) fn member(options: &Options, group: &str) -> ClientConfig {
    let mut config = consumer(options, Some(group));
    config.set("group.instance.id", options.named(&options.name));
    match options.group_protocol {
        GroupProtocol::Consumer => {
            config.set("group.protocol", "consumer");
        }
        GroupProtocol::Classic => {
            config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", millis(options.session))
                .set("heartbeat.interval.ms", millis(options.session / 5));
        }
    }
    config
}

/// A producer whose records are there once, in order, on enough replicas.
pub(super) fn producer(options: &Options) -> ClientConfig {
    let mut config = base(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("message.timeout.ms", millis(options.append_max))
        .set("request.timeout.ms", millis(options.append_max))
        .set("message.max.bytes", options.message_bytes_max.to_string())
        .set("queue.buffering.max.kbytes", "262144")
        .set("queue.buffering.max.messages", "100000");
    config
}

pub(super) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Makes a client; a failure here is a setting's.
pub(super) fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
    options: &Options,
    config: &ClientConfig,
    context: C,
) -> Result<T, BusError> {
    config.create_with_context(context).map_err(|error| {
        let reason = error.to_string();
        let (setting, _) = blame(&[(RDKafkaErrorCode::Unknown, reason.clone())]);
        BusError::Connect { address: options.address(), setting, reason }
    })
}

/// Which setting to look at after these errors, and the error that says so.
pub(super) fn blame(errors: &[(RDKafkaErrorCode, String)]) -> (&'static str, Option<&str>) {
    const WORDS: [(&str, &str); 7] = [
        ("ssl.ca.location", "lanes.ca_file"),
        ("ssl.certificate.location", "lanes.certificate_file"),
        ("ssl.key.location", "lanes.key_file"),
        ("certificate verify failed", "lanes.ca_file"),
        ("certificate required", "lanes.certificate_file"),
        ("SASL", "lanes.user, lanes.password_file"),
        ("SSL", "lanes.tls"),
    ];
    for (code, reason) in errors {
        if *code == RDKafkaErrorCode::Authentication || reason.contains("Authentication failed") {
            return ("lanes.user, lanes.password_file", Some(reason));
        }
        if let Some((_, setting)) = WORDS.iter().find(|(word, _)| reason.contains(word)) {
            return (setting, Some(reason));
        }
    }
    let said = errors.iter().find(|(code, _)| *code != RDKafkaErrorCode::AllBrokersDown).or(errors.first());
    ("lanes.url", said.map(|(_, reason)| reason.as_str()))
}

/// Rest before a question is asked again.
const PATIENT_REST: Duration = Duration::from_millis(20);

/// Asks until there is an answer, an error that does not pass by itself, or no time left. Blocks.
pub(super) fn patiently<T>(
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let late = Instant::now() + patience;
    loop {
        match ask() {
            Err(error) if passes(&error) && Instant::now() < late => std::thread::sleep(PATIENT_REST),
            told => return told,
        }
    }
}

/// Whether an error passes by itself: brokers come, go, and hand over what they lead.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::WaitingForCoordinator
                | Code::UnstableOffsetCommit
                | Code::BrokerTransportFailure
                | Code::DestroyBroker
                | Code::AllBrokersDown
                | Code::RequestTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
        )
    )
}

/// Whether the client does not know the partition: it is not there, or was not when the client last looked.
pub(super) fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::UnknownPartition | Code::UnknownTopicOrPartition))
}

/// An error as the bus tells it.
pub(super) fn engine(doing: &'static str, error: &KafkaError) -> EngineError {
    EngineError::Kafka { doing, said: error.to_string() }
}

/// A consumer of ours.
pub(super) type Consumer = BaseConsumer<Context>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lead_to_settings() {
        let blamed = |code, reason: &str| blame(&[(code, reason.to_owned())]).0;
        assert_eq!(
            blamed(RDKafkaErrorCode::Authentication, "SASL authentication error: Authentication failed"),
            "lanes.user, lanes.password_file"
        );
        assert_eq!(
            blamed(
                RDKafkaErrorCode::SSL,
                "SSL handshake failed: certificate verify failed: (install ca-certificates?)"
            ),
            "lanes.ca_file"
        );
        assert_eq!(blamed(RDKafkaErrorCode::BrokerTransportFailure, "Connect to ipv4#127.0.0.1:1 failed"), "lanes.url");
        assert_eq!(blame(&[]), ("lanes.url", None));
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut options = Options::new(vec!["a:1".into()], "p", "n");
        let sasl = super::super::options::Sasl {
            mechanism: Mechanism::ScramSha512,
            user: "alice".into(),
            password: "hunter2".into(),
        };
        options.sasl = Some(sasl);
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
