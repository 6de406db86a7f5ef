//! Watermarks as the brokers keep them: a group's committed offsets. Knows how a watermark is written there.
//!
//! Kafka counts records, a watermark may stand within one. So the committed offset is the next record that is needed, for
//! the brokers' own tools to show, and the commit's metadata says where exactly the watermark stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::block::{first_of, index_of, record_of};
use super::client::{self, Consumer, Context};
use super::lane::Partition;
use super::member::{Member, Members};
use super::options::Options;
use super::sync::{blocking, lock};
use crate::{BusError, EngineError, Group};

/// How long leaving all groups may take.
const LEAVE_MAX: Duration = Duration::from_secs(15);

/// Clients that read and commit on groups' behalf.
pub(super) struct Groups {
    options: Arc<Options>,
    /// Clients that joined nothing.
    plain: Mutex<HashMap<Group, Arc<Consumer>>>,
    names: Mutex<HashMap<String, Group>>,
    pub(super) members: Members,
}

/// Where a watermark stands, for a commit.
pub(super) struct Stand {
    pub(super) partition: Arc<Partition>,
    pub(super) watermark: i64,
}

impl Stand {
    /// The next record that is needed: a block of which nothing is needed is done with.
    fn record(&self) -> i64 {
        let (record, index) = (record_of(self.watermark), index_of(self.watermark));
        let done = index > 0 && self.partition.count(record).is_some_and(|count| index >= count);
        record + i64::from(done)
    }
}

/// The list that carries these watermarks.
pub(super) fn to_list(stands: &[Stand]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(stands.len());
    for stand in stands {
        let mut element = list.add_partition(&stand.partition.topic, stand.partition.number());
        element.set_offset(Offset::Offset(stand.record()))?;
        element.set_metadata(stand.watermark.to_string());
    }
    Ok(list)
}

/// The watermark a committed offset stands for. Without our metadata somebody set it by hand, and means it.
fn from_committed(record: i64, metadata: &str) -> i64 {
    let exact = metadata.parse().ok().filter(|exact| {
        let ahead = record - record_of(*exact);
        ahead == 0 || (ahead == 1 && index_of(*exact) > 0)
    });
    exact.unwrap_or_else(|| first_of(record))
}

/// What a group's commits are made with.
pub(super) struct Ticket {
    pub(super) metadata: ConsumerGroupMetadata,
}

impl Groups {
    pub(super) fn new(options: Arc<Options>) -> Self {
        Groups { options, plain: Mutex::default(), names: Mutex::default(), members: Members::default() }
    }

    /// The groups of this prefix that the brokers know, and this process does.
    pub(super) async fn all(self: &Arc<Self>) -> Result<Vec<Group>, BusError> {
        let groups = Arc::clone(self);
        let consumer = self.plain(Group::PROJECTION)?;
        let wait = self.options.request_max;
        let listed = blocking(move || {
            let list = client::patiently(wait, || consumer.fetch_group_list(None, wait))?;
            Ok(list.groups().iter().map(|group| group.name().to_owned()).collect::<Vec<_>>())
        });
        let names = listed.await.map_err(|error: KafkaError| BusError::Open(client::engine("list groups", &error)))?;
        let mut all = lock(&groups.plain).keys().copied().collect::<std::collections::BTreeSet<_>>();
        for name in names {
            let own = name.strip_prefix(&self.options.prefix).and_then(|rest| rest.strip_prefix('.'));
            all.extend(own.map(|own| groups.named(own)));
        }
        Ok(all.into_iter().collect())
    }

    /// The group of this name. Names live as long as the process: there are a handful.
    fn named(&self, name: &str) -> Group {
        let mut names = lock(&self.names);
        if let Some(group) = names.get(name) {
            return *group;
        }
        let group = Group::new(Box::leak(name.to_owned().into_boxed_str()));
        names.insert(name.to_owned(), group);
        group
    }

    /// Waits, once closed, until this process has left all groups. Blocks.
    pub(super) fn wait_left(&self) {
        self.members.wait_left(LEAVE_MAX);
    }

    fn plain(&self, group: Group) -> Result<Arc<Consumer>, BusError> {
        let mut plain = lock(&self.plain);
        if let Some(consumer) = plain.get(&group) {
            // What it has to say is taken up here; it joined nothing, so there is never a record.
            drop(consumer.poll(Duration::ZERO));
            return Ok(Arc::clone(consumer));
        }
        let config = client::consumer(&self.options, Some(group.name()));
        let consumer: Arc<Consumer> = Arc::new(client::create(&self.options, &config, Context::default())?);
        plain.insert(group, Arc::clone(&consumer));
        Ok(consumer)
    }

    /// The groups' watermarks in these partitions, as committed; waits for transactions that are about to set them. `None`
    /// where a group has none.
    pub(super) async fn committed(
        self: &Arc<Self>,
        group: Group,
        partitions: Vec<Arc<Partition>>,
    ) -> Result<Vec<Option<i64>>, BusError> {
        let consumer = self.plain(group)?;
        let wait = self.options.request_max;
        let lane = partitions.first().map(|partition| partition.lane.clone());
        let asked = blocking(move || {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in &partitions {
                list.add_partition(&partition.topic, partition.number());
            }
            client::patiently(wait, || {
                let found = consumer.committed_offsets(list.clone(), wait)?;
                partitions.iter().map(|partition| read(&found, partition)).collect()
            })
        });
        asked.await.map_err(|error: KafkaError| match lane {
            Some(lane) => BusError::Read { lane, source: client::engine("ask for a watermark", &error) },
            None => BusError::Write(client::engine("ask for a watermark", &error)),
        })
    }

    /// What a transaction names the group by. Taken before it is checked what the group's member owns.
    pub(super) fn ticket(&self, group: Group) -> Result<Ticket, BusError> {
        let metadata = match self.members.get(group) {
            Some(member) => member.consumer.group_metadata(),
            None => self.plain(group)?.group_metadata(),
        };
        let gone = || BusError::Write(EngineError::Kafka { doing: "commit", said: "the group has no metadata".into() });
        Ok(Ticket { metadata: metadata.ok_or_else(gone)? })
    }

    /// Commits watermarks of a group by themselves. Repeating it does no harm, so what passes by itself is waited for. Blocks.
    pub(super) fn commit(&self, group: Group, stands: &[Stand]) -> Result<(), KafkaError> {
        let (list, wait) = (to_list(stands)?, self.options.request_max);
        match self.members.get(group) {
            Some(member) => client::patiently(wait, || member.consumer.commit(&list, CommitMode::Sync)),
            None => match self.plain(group) {
                Ok(consumer) => client::patiently(wait, || consumer.commit(&list, CommitMode::Sync)),
                Err(error) => Err(KafkaError::ClientCreation(error.to_string())),
            },
        }
    }

    /// Whether this process is a member of the group.
    pub(super) fn is_joined(&self, group: Group) -> bool {
        self.members.get(group).is_some()
    }

    /// Whether this process may commit for a group in these partitions: it joined nothing, or has them.
    pub(super) fn allows(&self, group: Group, partition: &Partition) -> bool {
        self.members.get(group).is_none_or(|member: Arc<Member>| member.has(partition))
    }
}

fn read(found: &TopicPartitionList, partition: &Partition) -> Result<Option<i64>, KafkaError> {
    let Some(element) = found.find_partition(&partition.topic, partition.number()) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(record) => Some(from_committed(record, element.metadata())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_comes_back_from_its_commit() {
        for (record, metadata, watermark) in [
            (3, first_of(3).to_string(), first_of(3)),
            (3, (first_of(3) + 5).to_string(), first_of(3) + 5),
            (4, (first_of(3) + 5).to_string(), first_of(3) + 5), // a block that is done with
            (4, first_of(3).to_string(), first_of(4)),
            (9, (first_of(3) + 5).to_string(), first_of(9)), // set by hand
            (9, String::new(), first_of(9)),
        ] {
            assert_eq!(from_committed(record, &metadata), watermark, "{record} {metadata}");
        }
    }
}
