//! Faults of the servers beneath: brokers and the CQL node.

use std::time::{Duration, Instant};

use engines::Node;
use model::{Lane, RouteId};
use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::json;

use crate::siege::Siege;
use crate::support::{PATIENCE, Role};
use crate::traffic::Traffic;

/// How long a server stays away.
const AWAY: Duration = Duration::from_secs(5);
/// What a gateway promises (`accept_ms_max`), and what a machine with too few cores adds to it.
const ANSWER_MAX: Duration = Duration::from_millis(5_000 + 3_000);
/// Messages that are accepted while state is away: nothing of it is asked for on that path.
const ACCEPTED_MEANWHILE: usize = 20;

/// `kill -9` of the broker that leads a busy partition, and its restart.
pub(crate) async fn kill_broker(siege: &mut Siege<'_>, traffic: &Traffic) {
    let route = ["blue-modems", "green-modems"][siege.chance.random_range(0..2)];
    let route = RouteId::new(route).unwrap();
    let lanes = [Lane::Accepted, Lane::Events, Lane::Outcomes, Lane::Front(route.clone()), Lane::Leases(route)];
    let lane = &lanes[siege.chance.random_range(0..lanes.len())];
    let partition = siege.chance.random_range(0..lane.partitions());
    let topic = siege.plan.topic(lane);
    let leader = siege.engines.leader(&topic, partition as i32).unwrap();
    let leader = leader.unwrap_or_else(|| panic!("`{topic}` has no leader"));
    println!("    {} leads partition {partition} of lane `{lane}`", leader.name());
    tokio::task::block_in_place(|| leader.kill().unwrap());
    siege.goes_on(traffic).await;
    tokio::time::sleep(AWAY).await;
    bring_back(siege, &[leader]);
    siege.goes_on(traffic).await;
}

/// The CQL node ends, in order or not, and comes back. Messages are accepted meanwhile.
pub(crate) async fn restart_cql(siege: &mut Siege<'_>, traffic: &Traffic) {
    let node = &siege.engines.cql;
    let in_order = siege.chance.random_bool(0.5);
    println!("    {}", if in_order { "stopped in order" } else { "killed" });
    tokio::task::block_in_place(|| if in_order { node.stop().unwrap() } else { node.kill().unwrap() });
    let enough = traffic.answered() + ACCEPTED_MEANWHILE;
    siege.until("messages are accepted without state", || traffic.answered() >= enough).await;
    tokio::task::block_in_place(|| {
        node.start().unwrap();
        node.wait_ready(PATIENCE).unwrap();
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
    println!("    {} and {} {}", away[0].name(), away[1].name(), if stunned { "stunned" } else { "killed" });
    tokio::task::block_in_place(|| {
        away.iter().for_each(|node| if stunned { node.pause().unwrap() } else { node.kill().unwrap() });
    });
    for door in siege.carillon.doors().to_vec() {
        refuses(siege, &door).await;
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
    tokio::task::block_in_place(|| {
        away.iter().for_each(|node| node.start().unwrap());
        siege.engines.wait_ready(PATIENCE).unwrap();
        siege.engines.wait_in_sync(PATIENCE).unwrap();
    });
}

/// Both doors of a gateway say that they can't take anything, within the gateway's deadline.
async fn refuses(siege: &Siege<'_>, door: &str) {
    let (carillon, demo) = (&siege.carillon, &siege.carillon.demo);
    let to = carillon.number(0, 9_999);
    let began = Instant::now();
    let rest = carillon.client.post(format!("{door}/v1/messages")).bearer_auth(&demo.api_key);
    let rest = rest.json(&json!({ "to": to, "text": "refused" })).send().await.unwrap();
    assert_eq!(rest.status(), 503, "{}", rest.text().await.unwrap());
    assert!(rest.headers().contains_key("retry-after"), "503 without `Retry-After`");
    assert!(began.elapsed() < ANSWER_MAX, "REST answered after {:?}", began.elapsed());
    let began = Instant::now();
    let oms = carillon.client.post(format!("{door}/oms/service.asmx"));
    let oms = oms.header("content-type", "text/xml; charset=utf-8").body(deliver_xms(siege, &to)).send().await.unwrap();
    let text = oms.text().await.unwrap();
    assert!(text.contains("serviceNetwork"), "{text}");
    assert!(began.elapsed() < ANSWER_MAX, "OMS answered after {:?}", began.elapsed());
}

fn deliver_xms(siege: &Siege<'_>, to: &str) -> String {
    let (user, password) = (&siege.carillon.demo.user_id, &siege.carillon.demo.password);
    let namespace = "http://schemas.microsoft.com/office/Outlook/2006/OMS";
    let inner = format!(
        r#"<xmsData client="test" xmlns="{namespace}"><user><userId>{user}</userId><password>{password}</password></user><xmsHead><requiredService>SMS_SENDER</requiredService><to><recipient>{to}</recipient></to></xmsHead><xmsBody format="SMS"><content contentType="text/plain" contentId="a" contentLocation="1.txt">refused</content></xmsBody></xmsData>"#
    );
    format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><DeliverXms xmlns="{namespace}"><xmsData><![CDATA[{inner}]]></xmsData></DeliverXms></s:Body></s:Envelope>"#
    )
}

async fn gateways_live_unready(siege: &mut Siege<'_>) {
    let client = siege.carillon.client.clone();
    for index in 0..2 {
        let gateway = siege.part(Role::Gateway, index);
        let begun = Instant::now();
        while gateway.is_ready(&client).await {
            assert!(begun.elapsed() < PATIENCE, "{gateway:?} says it is ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let ops = gateway.ops.clone().expect("its address is known");
        let alive = client.get(format!("{ops}/livez")).send().await.unwrap();
        assert_eq!(alive.status(), 200, "{gateway:?} does not live");
    }
}
