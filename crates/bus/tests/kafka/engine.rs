//! What is Kafka's own: records, topics, names.

use bus::kafka::{Options, Sasl, Tls};
use bus::{Acks, Bus, BusError, Consumed, Entry, Group, KafkaBus};
use model::{Lane, RouteId};
use rdkafka::admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::Duration;

use super::support::Cluster;

const WAIT: Duration = Duration::from_secs(20);

fn lane() -> Lane {
    Lane::Front(RouteId::new("blue").unwrap())
}

async fn fresh(cluster: &Cluster) -> KafkaBus {
    let bus = cluster.open(cluster.options("test")).await;
    bus.create(&lane()).await.unwrap();
    bus
}

/// Records in the lane's partition, markers included.
fn records(cluster: &Cluster) -> i64 {
    let consumer: BaseConsumer = cluster.config().create().unwrap();
    consumer.fetch_watermarks(&cluster.topic(&lane()), 0, WAIT).unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_many_callers_share_records() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    let callers: Vec<_> = (0..500)
        .map(|n| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.append(&lane(), vec![Entry::new(format!("{n}"), "x")]).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let records = records(&cluster);
    assert!(records < 100, "500 callers, {records} records");
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_not_ours_stops_its_reader_and_nothing_else() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    let first = bus.append(&lane(), vec![Entry::new("k", "one")]).await.unwrap()[0].offset;
    let producer: BaseProducer = cluster.config().create().unwrap();
    let topic = cluster.topic(&lane());
    producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("{\"not\": \"ours\"}")).unwrap();
    producer.flush(WAIT).unwrap();
    let last = bus.append(&lane(), vec![Entry::new("k", "two")]).await.unwrap()[0].offset;
    for _ in 0..2 {
        let read = bus.read(&lane(), 0, first, 10).await.unwrap();
        assert_eq!(read.len(), 1, "what stands before it is read");
        let told = bus.read(&lane(), 0, first + 1, 10).await;
        let Err(BusError::Damaged { offset, .. }) = told else { panic!("{told:?}") };
        assert!(first < offset && offset < last);
        assert!(matches!(bus.fetch(&lane(), 0, &[first, offset]).await, Err(BusError::Damaged { .. })));
        let read = bus.read(&lane(), 0, offset + 1, 10).await.unwrap();
        assert_eq!((read[0].offset, &read[0].payload[..]), (last, &b"two"[..]), "and what stands behind, on demand");
    }
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_a_key_that_fit_no_record_are_refused() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    let whole = |count: usize| (0..count).map(|_| Entry::new("key", vec![0; 1 << 20])).collect::<Vec<_>>();
    assert!(matches!(bus.append(&lane(), whole(4)).await, Err(BusError::TooLarge { .. })));
    let many = (0..5_000).map(|_| Entry::new("key", "x")).collect();
    assert!(matches!(bus.append(&lane(), many).await, Err(BusError::TooLarge { .. })));
    assert_eq!(records(&cluster), 0, "nothing of it was appended");
    bus.append(&lane(), whole(3)).await.unwrap();
    assert_eq!(records(&cluster), 1, "entries of one key share a record");
    let parted = (0..5_000).map(|n| Entry::new(format!("{n}"), "x")).collect();
    assert_eq!(bus.append(&lane(), parted).await.unwrap().len(), 5_000);
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_join_over_records_and_markers() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    // Records: an append, a transaction with its marker, an append.
    let one = bus.append(&lane(), vec![Entry::new("k", "1")]).await.unwrap()[0].offset;
    let two = bus.commit(vec![], vec![(lane(), Entry::new("k", "2"))]).await.unwrap()[0].offset;
    let three = bus.append(&lane(), vec![Entry::new("k", "3")]).await.unwrap()[0].offset;
    let acknowledge = async |bus: &KafkaBus, offset: i64| {
        let acks = Acks::Offsets(vec![offset]);
        let consumed = vec![Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks }];
        bus.commit(consumed, vec![]).await.unwrap();
        bus.watermark(Group::OWNER, &lane(), 0).await.unwrap()
    };
    assert_eq!(acknowledge(&bus, two).await, 0);
    assert_eq!(acknowledge(&bus, one).await, two + 1);
    bus.close().await;
    // Whoever comes next has read nothing yet, and finds out what lies between.
    let bus = cluster.open(cluster.options("test")).await;
    assert_eq!(acknowledge(&bus, three).await, three + 1);
    assert_eq!(bus.bounds(&lane(), 0).await.unwrap().next, three + 1);
    assert_eq!(bus.lag(Group::OWNER, &lane(), 0).await.unwrap(), 0);
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_of_markers_alone_holds_nothing_to_wait_for() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    bus.declare(&lane(), &[Group::OWNER]).await.unwrap();
    let mut config = cluster.config();
    let producer: BaseProducer = config.set("transactional.id", &cluster.prefix).create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), str>::to(&cluster.topic(&lane())).partition(0).payload("half")).unwrap();
    producer.flush(WAIT).unwrap();
    producer.abort_transaction(WAIT).unwrap();
    // The brokers answer before they have written the marker.
    let late = std::time::Instant::now() + WAIT;
    while records(&cluster) < 2 {
        assert!(std::time::Instant::now() < late, "what was aborted, and the marker that says so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bus.lag(Group::OWNER, &lane(), 0).await.unwrap(), 0);
    bus.append(&lane(), vec![Entry::new("k", "one")]).await.unwrap();
    assert!(bus.lag(Group::OWNER, &lane(), 0).await.unwrap() > 0);
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_many_callers_are_each_whole() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    let from = Lane::Events;
    bus.create(&from).await.unwrap();
    bus.append(&from, (0..400).map(|n| Entry::to_partition(n % 4, format!("{n}"))).collect()).await.unwrap();
    let movers: Vec<_> = (0..4)
        .map(|partition| {
            let (bus, lane, from) = (bus.clone(), from.clone(), lane());
            tokio::spawn(async move {
                let (from, to) = (lane_of(&bus, &Lane::Events, partition).await, from);
                for read in from {
                    let acks = Acks::UpTo(read.offset + 1);
                    let consumed = vec![Consumed { group: Group::PLANNER, lane: lane_events(), partition, acks }];
                    bus.commit(consumed, vec![(to.clone(), Entry::to_partition(0, read.payload))]).await.unwrap();
                }
                drop(lane);
            })
        })
        .collect();
    for mover in movers {
        mover.await.unwrap();
    }
    let moved = lane_of(&bus, &lane(), 0).await;
    let mut texts: Vec<u32> =
        moved.iter().map(|read| String::from_utf8_lossy(&read.payload).parse().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..400).collect::<Vec<_>>(), "each once");
    for partition in 0..4 {
        assert_eq!(bus.lag(Group::PLANNER, &from, partition).await.unwrap(), 0);
    }
    bus.close().await;
    cluster.remove().await;
}

fn lane_events() -> Lane {
    Lane::Events
}

async fn lane_of(bus: &KafkaBus, lane: &Lane, partition: u32) -> Vec<bus::Read> {
    let next = bus.bounds(lane, partition).await.unwrap().next;
    let (mut all, mut from) = (Vec::new(), 0);
    while from < next {
        let reads = bus.read(lane, partition, from, 100).await.unwrap();
        from = reads.last().unwrap().offset + 1;
        all.extend(reads);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_keep_a_lane_is_reported() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    let info = bus.create(&lane()).await.unwrap();
    let (admin, options, topic) = (cluster.admin(), AdminOptions::new(), cluster.topic(&lane()));

    // Somebody lets it forget by age. (Altering sets all: what is not named falls back to the brokers' defaults.)
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "3600000");
    admin.alter_configs([&alter], &options).await.unwrap()[0].as_ref().unwrap();
    let told = bus.create(&lane()).await;
    let Err(BusError::Topic(wrong)) = &told else { panic!("{told:?}") };
    assert_eq!(wrong.topic, topic);
    assert!(!wrong.setting.is_empty() && wrong.found != wrong.wanted && !wrong.mend.is_empty(), "{wrong}");

    // Deleted and made anew, it is another lane.
    admin.delete_topics(&[&topic], &options).await.unwrap()[0].as_ref().unwrap();
    bus.close().await;
    let bus = cluster.open(cluster.options("test")).await;
    assert_ne!(bus.create(&lane()).await.unwrap().id, info.id);

    // Made by somebody else, it is none; and its partitions can't be changed.
    let (other, events) = (cluster.topic(&Lane::Outcomes), cluster.topic(&Lane::Events));
    let replicas = cluster.options("").replication;
    for (name, partitions) in [(&other, 4), (&events, 3)] {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("min.insync.replicas", "2")
            .set("max.message.bytes", "8388608")
            .set("message.timestamp.type", "LogAppendTime");
        admin.create_topics([&new], &options).await.unwrap()[0].as_ref().unwrap();
    }
    let told = bus.create(&Lane::Outcomes).await;
    assert!(matches!(&told, Err(BusError::Topic(wrong)) if wrong.wanted.contains("id")), "{told:?}");
    assert!(matches!(bus.create(&Lane::Events).await, Err(BusError::Layout { partitions: 3, .. })));
    bus.close().await;
    cluster.remove().await;
}

/// What Terraform has Strimzi make topics of.
const TOPICS: &str = include_str!("../../../../terraform/modules/carillon/topics.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_strimzi_made_keeps_a_lane() {
    let cluster = Cluster::new();
    let bus = cluster.open(cluster.options("test")).await;
    let topics: serde_json::Value = serde_json::from_str(TOPICS).unwrap();
    let (admin, topic) = (cluster.admin(), cluster.topic(&Lane::Accepted));
    let copies = cluster.options("").replication;
    let partitions = topics["partitions"]["accepted"].as_i64().unwrap().try_into().unwrap();
    let min_isr = cluster.options("").min_isr.to_string();
    let halves = ["4611686018427387904", "5764607523034234879"];
    let mut new =
        NewTopic::new(&topic, partitions, TopicReplication::Fixed(copies)).set("min.insync.replicas", &min_isr);
    for (setting, value) in topics["config"].as_object().unwrap() {
        new = new.set(setting, value.as_str().unwrap());
    }
    for (setting, half) in topics["id"].as_array().unwrap().iter().zip(halves) {
        new = new.set(setting.as_str().unwrap(), half);
    }
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();

    let id = halves.iter().fold(0, |id, half| id << 64 | half.parse::<u128>().unwrap());
    assert_eq!(bus.create(&Lane::Accepted).await.unwrap().id, id, "the lane is the one that was named");
    bus.append(&Lane::Accepted, vec![Entry::to_partition(0, "x")]).await.unwrap();
    assert_eq!(bus.read(&Lane::Accepted, 0, 0, 1).await.unwrap()[0].payload, "x");
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_comes_again_ends_what_it_left_open() {
    let cluster = Cluster::new();
    let bus = fresh(&cluster).await;
    bus.append(&lane(), vec![Entry::new("k", "before")]).await.unwrap();
    // A predecessor of the same name, in the middle of a transaction.
    let mut config = cluster.config();
    config.set("transactional.id", format!("{}.other.0", cluster.prefix));
    let predecessor: BaseProducer = config.create().unwrap();
    predecessor.init_transactions(WAIT).unwrap();
    predecessor.begin_transaction().unwrap();
    let topic = cluster.topic(&lane());
    predecessor.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("never")).unwrap();
    predecessor.flush(WAIT).unwrap();
    // What stands behind it is not seen, though it is there.
    let behind = bus.append(&lane(), vec![Entry::new("k", "behind")]).await.unwrap()[0].offset;
    let wait = Duration::from_millis(300);
    let early = tokio::time::timeout(wait, bus.fetch(&lane(), 0, &[behind])).await;
    assert!(early.is_err(), "{early:?}");
    let again = cluster.open(cluster.options("other")).await;
    let read = tokio::time::timeout(WAIT, bus.fetch(&lane(), 0, &[behind])).await.unwrap().unwrap();
    assert_eq!(&read[0].payload[..], b"behind");
    assert_eq!(lane_of(&again, &lane(), 0).await.len(), 2, "what was left open never happened");
    assert!(predecessor.commit_transaction(WAIT).is_err(), "and can't any more");
    bus.close().await;
    again.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_not_there_are_named() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{port}");
    let options = Options { open_max: Duration::from_secs(1), ..Options::new(vec![address.clone()], "p", "n") };
    let told = KafkaBus::open(options.clone()).await.map(drop).unwrap_err();
    assert!(told.to_string().contains(&address) && told.to_string().contains("lanes.url"), "{told}");
    // Settings that can't be are told at once.
    let tls = Tls { ca_file: Some("/nowhere/ca.pem".into()), ..Tls::default() };
    let told = KafkaBus::open(Options { tls: Some(tls), ..options.clone() }).await.map(drop).unwrap_err();
    assert!(told.to_string().contains("lanes.ca_file"), "{told}");
    let sasl = Sasl { mechanism: bus::kafka::Mechanism::ScramSha512, user: "u".into(), password: "hunter2".into() };
    let told = KafkaBus::open(Options { sasl: Some(sasl), ..options }).await.map(drop).unwrap_err();
    assert!(!told.to_string().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brokers_cannot_promise_is_found() {
    let cluster = Cluster::new();
    let options = Options { min_isr: 1, replication: 1, ..cluster.options("test") };
    let bus = cluster.open(options).await;
    let findings = bus.check().await.unwrap();
    for setting in ["lanes.replication", "lanes.min_insync_replicas"] {
        assert!(findings.iter().any(|finding| finding.setting == setting), "{findings:?}");
    }
    bus.close().await;
}

/// What one takes between another's look at what there is and its wait for what comes is not missed by the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_to_read_while_another_does_misses_nothing() {
    const LANES: [Lane; 4] = [Lane::Accepted, Lane::Outcomes, Lane::Events, Lane::Changes];
    const ROUNDS: u64 = 8;
    let cluster = Cluster::new();
    let writer = cluster.open(cluster.options("writer")).await;
    for lane in LANES {
        writer.create(&lane).await.unwrap();
        writer.append(&lane, (0..64).map(|n| Entry::new(format!("{n}"), "x")).collect()).await.unwrap();
    }
    for round in 0..ROUNDS {
        let bus = cluster.open(cluster.options("reader")).await;
        let mut readers = tokio::task::JoinSet::new();
        for (n, lane) in LANES.iter().enumerate() {
            for partition in 0..lane.partitions() {
                // The one looks while the other's first fetch is under way: when exactly, nobody knows.
                let later = Duration::from_millis(2 * (n as u64 * 4 + u64::from(partition)) + round);
                for wait in [Duration::ZERO, later] {
                    let (bus, lane) = (bus.clone(), lane.clone());
                    readers.spawn(async move {
                        tokio::time::sleep(wait).await;
                        let read = tokio::time::timeout(WAIT, bus.read(&lane, partition, 0, 1_000)).await;
                        let read = read.unwrap_or_else(|_| panic!("`{lane}` {partition}: stood still, {wait:?} later"));
                        read.unwrap().len()
                    });
                }
            }
        }
        let read: usize = readers.join_all().await.into_iter().sum();
        assert_eq!(read, 2 * 64 * LANES.len(), "both read all there is");
        bus.close().await;
    }
    writer.close().await;
    cluster.remove().await;
}
