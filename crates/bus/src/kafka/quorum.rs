//! Whether enough brokers are there to keep what a lane is given. Asks, and writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::Lane;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::task::JoinSet;

use super::KafkaBus;
use super::client;
use super::sync::blocking;
use crate::BusError;

/// The copies of one partition.
struct Copies {
    partition: i32,
    /// Brokers that should have it.
    all: Vec<i32>,
    /// Those of them that are in step, by the cluster's own account.
    in_step: Vec<i32>,
}

impl Copies {
    /// Copies that are in step on brokers that answer.
    fn kept(&self, answering: &BTreeSet<i32>) -> usize {
        self.in_step.iter().filter(|broker| answering.contains(broker)).count()
    }
}

impl KafkaBus {
    /// Asks every broker that has a copy of the lane for a word of its own, and says whether each partition has enough
    /// copies on brokers that answer and are in step. The cluster's account alone is not enough: without a majority of its
    /// controllers nobody takes a dead broker off it, and what a leader alone has may still be read from it.
    ///
    /// # Errors
    /// [`BusError::TooFew`]; [`BusError::Open`] if nobody tells where the copies are. Takes about `wait` when a broker does
    /// not answer, and as long again for every broker that was asked in vain where the copies are: at most as many as a
    /// partition has copies.
    pub async fn check_quorum(&self, lane: &Lane, wait: Duration) -> Result<(), BusError> {
        let copies = self.copies(lane, wait).await?;
        let brokers: BTreeSet<i32> = copies.iter().flat_map(|copies| copies.all.iter().copied()).collect();
        let mut asked = JoinSet::new();
        for broker in brokers {
            let bus = self.clone();
            asked.spawn(async move { bus.answers(broker, wait).await.then_some(broker) });
        }
        let answering = asked.join_all().await.into_iter().flatten().collect();
        let needed = usize::try_from(self.inner.options.min_isr).unwrap_or(0);
        match copies.iter().map(|copies| (copies.kept(&answering), copies)).find(|(kept, _)| *kept < needed) {
            None => Ok(()),
            Some((kept, copies)) => Err(BusError::TooFew {
                lane: lane.clone(),
                partition: u32::try_from(copies.partition).unwrap_or_default(),
                kept,
                copies: copies.all.len(),
                needed,
            }),
        }
    }

    /// Any broker may be asked, also one that stands still. A question in vain ends the connection it went over, so that the
    /// next goes to another broker.
    async fn copies(&self, lane: &Lane, wait: Duration) -> Result<Vec<Copies>, BusError> {
        let topic = self.inner.topics.topic(lane);
        let meta = Arc::clone(self.inner.reader.meta());
        let brokers = self.inner.options.replication.max(1);
        let told = blocking(move || {
            let mut told = copies_of(&meta, &topic, wait);
            for _ in 1..brokers {
                if !matches!(&told, Err(error) if is_unanswered(error)) {
                    break;
                }
                told = copies_of(&meta, &topic, wait);
            }
            told
        });
        told.await.map_err(|error: KafkaError| BusError::Open(client::engine("ask where a lane's copies are", &error)))
    }

    /// Whether a broker answers at all: also one that refuses the question does.
    async fn answers(&self, broker: i32, wait: Duration) -> bool {
        let options = AdminOptions::new().request_timeout(Some(wait));
        let asked = [ResourceSpecifier::Broker(broker)];
        self.inner.topics.admin().describe_configs(&asked, &options).await.is_ok()
    }
}

fn copies_of(meta: &client::Consumer, topic: &str, wait: Duration) -> Result<Vec<Copies>, KafkaError> {
    let metadata = meta.fetch_metadata(Some(topic), wait)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let copies = partitions.map(|partition| Copies {
        partition: partition.id(),
        all: partition.replicas().to_vec(),
        in_step: partition.isr().to_vec(),
    });
    Ok(copies.collect())
}

/// Whether nobody answered, as opposed to an answer that refuses.
fn is_unanswered(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_if_it_is_in_step_and_its_broker_answers() {
        let copies = Copies { partition: 0, all: vec![1, 2, 3], in_step: vec![1, 3] };
        let kept = |answering: &[i32]| copies.kept(&answering.iter().copied().collect());
        assert_eq!([kept(&[1, 2, 3]), kept(&[1, 2]), kept(&[2]), kept(&[])], [2, 1, 0, 0]);
    }
}
