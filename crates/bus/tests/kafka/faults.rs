//! Brokers of the test's own: doors that ask for more, and a death.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bus::kafka::{Mechanism, Options, Sasl, Tls};
use bus::{Bus, BusError, Entry, Group, KafkaBus};
use engines::{Parts, Temporary, USER};
use model::{Lane, RouteId};

use super::support::Cluster;

const SOON: Duration = Duration::from_secs(120);
const CALLERS: usize = 16;
/// Far above what a broker needs that is there.
const ANSWER_MAX: Duration = Duration::from_secs(10);

fn lane() -> Lane {
    Lane::Front(RouteId::new("busy").unwrap())
}

fn servers(list: Option<String>) -> Vec<String> {
    list.expect("the set has brokers").split(',').map(Into::into).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doors_are_opened_and_a_dead_broker_loses_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let wanted = engines::Options { parts: Parts::Kafka, ..engines::Options::default() };
    let set = Temporary::up(folder.path(), &wanted).unwrap_or_else(|error| panic!("{error}"));
    doors(&set).await;
    death(&set).await;
}

async fn doors(set: &Temporary) {
    let (addresses, credentials) = (set.addresses(), set.credentials());
    let authority = Tls { ca_file: Some(credentials.authority()), ..Tls::default() };
    let known = Tls {
        certificate_file: Some(credentials.client_certificate()),
        key_file: Some(credentials.client_key()),
        ..authority.clone()
    };
    let password = std::fs::read_to_string(credentials.password_file()).unwrap();
    let user =
        |password: &str| Some(Sasl { mechanism: Mechanism::ScramSha512, user: USER.into(), password: password.into() });
    let at = |bootstrap: Vec<String>| {
        let options = Cluster::at(bootstrap).options("doors");
        Options { open_max: Duration::from_secs(5), replication: 3, min_isr: 2, ..options }
    };
    let (tls, sasl) = (servers(addresses.kafka_tls), servers(addresses.kafka_sasl));
    let good = [
        Options { tls: Some(known), ..at(tls.clone()) },
        Options { tls: Some(authority.clone()), sasl: user(password.trim()), ..at(sasl.clone()) },
    ];
    for options in good {
        let bus = KafkaBus::open(options).await.unwrap();
        bus.create(&lane()).await.unwrap();
        let at = bus.append(&lane(), vec![Entry::new("k", "x")]).await.unwrap()[0].offset;
        bus.commit(vec![], vec![(lane(), Entry::new("k", "y"))]).await.unwrap();
        assert_eq!(&bus.fetch(&lane(), 0, &[at]).await.unwrap()[0].payload[..], b"x");
        bus.close().await;
    }
    let bad = [
        (Options { tls: Some(authority.clone()), sasl: user("wrong"), ..at(sasl.clone()) }, "lanes.password_file"),
        (Options { tls: Some(Tls::default()), sasl: user(password.trim()), ..at(sasl) }, "lanes.ca_file"),
    ];
    for (options, setting) in bad {
        let address = options.bootstrap.join(",");
        let told = KafkaBus::open(options).await.map(drop).unwrap_err().to_string();
        assert!(told.contains(setting) && told.contains(&address), "{told}");
        assert!(!told.contains(password.trim()));
    }
}

/// Appends until it is told to stop; what was answered.
async fn append(bus: KafkaBus, caller: usize, stop: Arc<AtomicBool>) -> (Vec<String>, Duration) {
    let (mut answered, mut longest) = (Vec::new(), Duration::ZERO);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{caller}:{n}");
        let began = Instant::now();
        if bus.append(&lane(), vec![Entry::new(text.clone(), text.clone())]).await.is_ok() {
            answered.push(text);
        }
        longest = longest.max(began.elapsed());
    }
    (answered, longest)
}

async fn death(set: &Temporary) {
    let cluster = Cluster::at(servers(set.addresses().kafka));
    let options =
        Options { replication: 3, min_isr: 2, append_max: Duration::from_secs(30), ..cluster.options("death") };
    let bus = cluster.open(options).await;
    bus.create(&lane()).await.unwrap();
    bus.declare(&lane(), &[Group::OWNER]).await.unwrap();
    set.wait_in_sync(SOON).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS).map(|n| tokio::spawn(append(bus.clone(), n, Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let topic = cluster.topic(&lane());
    let victim = set.wait_leader(&topic, 0, SOON).unwrap().clone();
    victim.kill().unwrap();
    // Until another leads and takes entries again.
    let dead = bus.append(&lane(), vec![Entry::new("after", "after")]).await.unwrap()[0].offset;
    // A commit goes through, too, whoever coordinated it.
    let acks = bus::Acks::UpTo(dead + 1);
    let consumed = bus::Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks };
    bus.commit(vec![consumed], vec![(lane(), Entry::new("moved", "moved"))]).await.unwrap();
    victim.start().unwrap();
    victim.wait_ready(SOON).unwrap();
    stop.store(true, Ordering::Relaxed);
    let (mut answered, mut longest) = (Vec::new(), Duration::ZERO);
    for caller in callers {
        let (more, wait) = caller.await.unwrap();
        answered.extend(more);
        longest = longest.max(wait);
    }
    let next = bus.bounds(&lane(), 0).await.unwrap().next;
    let (mut found, mut from) = (std::collections::HashMap::<String, usize>::new(), 0);
    while from < next {
        let reads = bus.read(&lane(), 0, from, 1_000).await.unwrap();
        from = reads.last().unwrap().offset + 1;
        for read in reads {
            *found.entry(String::from_utf8(read.payload.to_vec()).unwrap()).or_default() += 1;
        }
    }
    println!("{} answered, {} found, longest wait {longest:?}", answered.len(), found.len());
    assert!(answered.iter().all(|text| found.contains_key(text)), "something answered is lost");
    assert!(found.values().all(|times| *times == 1), "something is there twice");
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), dead + 1);
    quorum(set, &bus, &topic).await;
    bus.close().await;
}

/// Two of three brokers stand still: the one that leads must not seem to be enough, though it may be read.
async fn quorum(set: &Temporary, bus: &KafkaBus, topic: &str) {
    set.wait_in_sync(SOON).unwrap();
    bus.check_quorum(&lane(), ANSWER_MAX).await.unwrap();
    let leader = set.wait_leader(topic, 0, SOON).unwrap().name();
    let others: Vec<_> = set.kafka.iter().filter(|broker| broker.name() != leader).collect();
    others.iter().for_each(|broker| broker.pause().unwrap());
    let told = bus.check_quorum(&lane(), ANSWER_MAX).await;
    others.iter().for_each(|broker| broker.resume().unwrap());
    assert!(matches!(told, Err(BusError::TooFew { kept: 1, copies: 3, needed: 2, .. })), "{told:?}");
    set.wait_in_sync(SOON).unwrap();
    bus.check_quorum(&lane(), ANSWER_MAX).await.unwrap();
}
