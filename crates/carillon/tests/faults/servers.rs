//! Faults of the servers beneath: brokers and the CQL node.

use std::time::{Duration, Instant};

use engines::{Engines, EnginesError, Node};
use model::{Lane, RouteId};
use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::report::say;
use crate::siege::Siege;
use crate::support::{PATIENCE, Role};
use crate::traffic::{Fate, Sent, Traffic};

/// How long a server stays away.
const AWAY: Duration = Duration::from_secs(5);
/// What a gateway promises (`accept_ms_max`), and what a machine with too few cores adds to it.
const ANSWER_MAX: Duration = Duration::from_millis(5_000 + 3_000);
/// Partitions of the brokers' own topics, as their settings have it.
const OWN_PARTITIONS: i32 = 3;
/// How long somebody else may hold a port of a node that starts.
const PORT_MAX: Duration = Duration::from_secs(30);
/// How long a partition may be without a leader before one is killed.
const LED_MAX: Duration = Duration::from_secs(30);
const PORT_REST: Duration = Duration::from_millis(500);
/// Messages that are accepted while state is away: nothing of it is asked for on that path.
const ACCEPTED_MEANWHILE: usize = 20;

/// `kill -9` of a broker that others need now, and its restart.
pub(crate) async fn kill_broker(siege: &mut Siege<'_>, traffic: &Traffic) {
    let (topic, partition, what) = a_busy_partition(siege);
    let leader = tokio::task::block_in_place(|| siege.engines.wait_leader(&topic, partition, LED_MAX).unwrap());
    say(&format!("{} is killed: it {what}", leader.name()));
    tokio::task::block_in_place(|| leader.kill().unwrap());
    siege.goes_on(traffic).await;
    tokio::time::sleep(AWAY).await;
    bring_back(siege, &[leader]);
    siege.goes_on(traffic).await;
}

/// A partition whose leader is at work, and what it does: keep a lane, or look after transactions or groups. Each of the
/// brokers' own partitions looks after some.
fn a_busy_partition(siege: &mut Siege<'_>) -> (String, i32, String) {
    let chance = &mut siege.chance;
    let own = |topic: &str, what: &str, partition: i32| (topic.to_owned(), partition, what.to_owned());
    match chance.random_range(0..4) {
        0 => own("__transaction_state", "coordinates transactions", chance.random_range(0..OWN_PARTITIONS)),
        1 => own("__consumer_offsets", "coordinates groups", chance.random_range(0..OWN_PARTITIONS)),
        _ => {
            let route = RouteId::new(["blue-modems", "green-modems"][chance.random_range(0..2)]).unwrap();
            let lanes = [Lane::Accepted, Lane::Events, Lane::Outcomes, Lane::Front(route.clone()), Lane::Leases(route)];
            let lane = &lanes[chance.random_range(0..lanes.len())];
            let partition = chance.random_range(0..lane.partitions()) as i32;
            (siege.plan.topic(lane), partition, format!("leads partition {partition} of lane `{lane}`"))
        }
    }
}

/// The CQL node ends, in order or not, and comes back. Messages are accepted meanwhile.
pub(crate) async fn restart_cql(siege: &mut Siege<'_>, traffic: &Traffic) {
    let node = &siege.engines.cql;
    let in_order = siege.chance.random_bool(0.5);
    say(if in_order { "the CQL node is stopped in order" } else { "the CQL node is killed" });
    tokio::task::block_in_place(|| if in_order { node.stop().unwrap() } else { node.kill().unwrap() });
    let enough = traffic.answered() + ACCEPTED_MEANWHILE;
    siege.until("messages are accepted without state", || traffic.answered() >= enough).await;
    say("it comes back");
    tokio::task::block_in_place(|| {
        let ready = start(node).and_then(|()| node.wait_ready(PATIENCE));
        ready.unwrap_or_else(|error| panic!("the CQL node did not come back: {error}"));
    });
    siege.goes_on(traffic).await;
    siege.all_ready().await;
}

/// Two of three brokers are away, stunned or dead. Gateways say so in time, live, and are not ready; then all goes on by
/// itself.
pub(crate) async fn no_quorum(siege: &mut Siege<'_>, traffic: &Traffic) {
    let mut brokers: Vec<&Node> = siege.engines.kafka.iter().collect();
    brokers.shuffle(&mut siege.chance);
    let away = &brokers[..2];
    let stunned = siege.chance.random_bool(0.5);
    say(&format!("{} and {} are {}", away[0].name(), away[1].name(), if stunned { "stunned" } else { "killed" }));
    tokio::task::block_in_place(|| {
        away.iter().for_each(|node| if stunned { node.pause().unwrap() } else { node.kill().unwrap() });
    });
    for door in siege.carillon.doors().to_vec() {
        refuses(siege, traffic, &door).await;
    }
    let answered = traffic.answered();
    gateways_live_unready(siege).await;
    tokio::time::sleep(AWAY).await;
    assert_eq!(traffic.answered(), answered, "messages were accepted that nobody can keep");
    if stunned {
        tokio::task::block_in_place(|| away.iter().for_each(|node| node.resume().unwrap()));
    }
    bring_back(siege, away);
    siege.all_ready().await;
    siege.goes_on(traffic).await;
}

/// Starts what is dead, and waits until the brokers are a whole again.
fn bring_back(siege: &Siege<'_>, away: &[&Node]) {
    say("they come back");
    tokio::task::block_in_place(|| {
        let started = away.iter().try_for_each(|node| start(node));
        let whole = started.and_then(|()| wait_whole(siege.engines));
        whole.unwrap_or_else(|error| panic!("the brokers did not come back: {error}"));
    });
}

/// Starts a node. Its port may be somebody else's for a moment: connections that begin on this machine take any.
fn start(node: &Node) -> engines::Result<()> {
    let begun = Instant::now();
    loop {
        match node.start() {
            Err(EnginesError::PortTaken { .. }) if begun.elapsed() < PORT_MAX => std::thread::sleep(PORT_REST),
            told => return told,
        }
    }
}

fn wait_whole(set: &Engines) -> engines::Result<()> {
    set.wait_ready(PATIENCE)?;
    set.wait_in_sync(PATIENCE)
}

/// Whatever a fault left behind: all engines run again. What can't be mended is said, and the next fault is tried all the
/// same: it says so, too, if it needs what is missing.
pub(crate) fn heal(set: &Engines) {
    say("the engines are put right for the next one");
    for node in set.nodes() {
        drop(node.resume()); // those that run take no notice, and the dead can't
        if let Err(error) = start(node) {
            println!("    {} could not be started: {error}", node.name());
        }
    }
    if let Err(error) = wait_whole(set) {
        println!("    the engines are not whole: {error}");
    }
}

/// Both doors of a gateway say that they can't take anything, within the gateway's deadline.
async fn refuses(siege: &Siege<'_>, traffic: &Traffic, door: &str) {
    let (carillon, demo) = (&siege.carillon, &siege.carillon.demo);
    let to = carillon.number(0, 9_999);
    let (begun, text) = (Instant::now(), format!("{}-rest-{door}", traffic.word()));
    let rest = carillon.client.post(format!("{door}/v1/messages")).bearer_auth(&demo.api_key);
    let rest = rest.json(&json!({ "to": to, "text": text })).send().await.unwrap();
    traffic.note(refused(text, begun.elapsed()));
    assert_eq!(rest.status(), 503, "{}", rest.text().await.unwrap());
    assert!(rest.headers().contains_key("retry-after"), "503 without `Retry-After`");
    assert!(begun.elapsed() < ANSWER_MAX, "REST answered after {:?}", begun.elapsed());
    let (begun, text) = (Instant::now(), format!("{}-oms-{door}", traffic.word()));
    let oms = carillon.client.post(format!("{door}/oms/service.asmx"));
    let oms = oms.header("content-type", "text/xml; charset=utf-8").body(deliver_xms(siege, &to, &text));
    let answer = oms.send().await.unwrap().text().await.unwrap();
    traffic.note(refused(text, begun.elapsed()));
    assert!(answer.contains("serviceNetwork"), "{answer}");
    assert!(begun.elapsed() < ANSWER_MAX, "OMS answered after {:?}", begun.elapsed());
}

/// What was refused and may still be carried, once.
fn refused(text: String, took: Duration) -> Sent {
    Sent { text, fate: Fate::Refused, took, wrong: None }
}

fn deliver_xms(siege: &Siege<'_>, to: &str, text: &str) -> String {
    let (user, password) = (&siege.carillon.demo.user_id, &siege.carillon.demo.password);
    let namespace = "http://schemas.microsoft.com/office/Outlook/2006/OMS";
    let inner = format!(
        r#"<xmsData client="test" xmlns="{namespace}"><user><userId>{user}</userId><password>{password}</password></user><xmsHead><requiredService>SMS_SENDER</requiredService><to><recipient>{to}</recipient></to></xmsHead><xmsBody format="SMS"><content contentType="text/plain" contentId="a" contentLocation="1.txt">{text}</content></xmsBody></xmsData>"#
    );
    format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><DeliverXms xmlns="{namespace}"><xmsData><![CDATA[{inner}]]></xmsData></DeliverXms></s:Body></s:Envelope>"#
    )
}

/// Both gateways say that they keep nothing they are given now, and that they live.
async fn gateways_live_unready(siege: &mut Siege<'_>) {
    let client = siege.carillon.client.clone();
    for index in 0..2 {
        let gateway = siege.part(Role::Gateway, index);
        let ops = gateway.ops.clone().expect("its address is known");
        let begun = Instant::now();
        loop {
            let answer = client.get(format!("{ops}/readyz")).send().await.unwrap();
            let (status, said) = (answer.status(), answer.json::<Value>().await.unwrap());
            if status == 503 && said["not_ready"]["acceptance"].is_string() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{gateway:?} does not say that it keeps nothing: {status} {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let alive = client.get(format!("{ops}/livez")).send().await.unwrap();
        assert_eq!(alive.status(), 200, "{gateway:?} does not live");
    }
}
