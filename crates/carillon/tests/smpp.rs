//! The journey over SMPP: a request at the door becomes a `submit_sm`, its receipt comes back, and faults of either side lose and
//! double nothing. The service centre runs in the test, so that it outlives what is killed.

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use sim::fault::FaultRule;
use sim::smsc::IdWriting;
use sim::{Smsc, SmscConfig, SmscFault};
use support::farm::wait_until;
use support::load::{chance, count_binds, now_ms, start_senders};
use support::{Carillon, texts};
use tokio_util::sync::CancellationToken;

/// Messages under way on each link.
const WINDOW: usize = 8;

/// A service centre, and an installation that has a link to it for each of the demo's routes.
struct Place {
    dir: tempfile::TempDir,
    smsc: Smsc,
    log: PathBuf,
    stop: CancellationToken,
}

impl Place {
    async fn set(change: impl FnOnce(&mut SmscConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("smsc.log");
        let mut config = SmscConfig {
            dir: dir.path().join("smsc"),
            sim_log: log.clone(),
            receipt_delay_ms: (20, 200),
            response_id: IdWriting::Decimal,
            receipt_id: IdWriting::HexUpperPadded,
            ..SmscConfig::default()
        };
        change(&mut config);
        let stop = CancellationToken::new();
        let smsc = Smsc::start(config, None, stop.clone()).await.unwrap();
        Self { dir, smsc, log, stop }
    }

    fn settings(&self) -> String {
        let mut text = "[demo]\nmodems_per_route = 0\n\
                        [sms_router]\nretry_ms_first = 200\nretry_ms_max = 1000\nattempts_max = 1000\n\
                        [modem_farm]\nname = \"demo-farm\"\n"
            .to_owned();
        for supplier in ["blue", "green"] {
            let address = self.smsc.address();
            text += &format!(
                "[[modem_farm.smpp]]\nname = \"{supplier}\"\nroute = \"{supplier}-modems\"\naddress = \"{address}\"\n\
                 system_id = \"{supplier}\"\nwindow = {WINDOW}\nresponse_id = \"decimal\"\nreceipt_id = \"hex\"\n\
                 answer_seconds_max = 3\nrebind_ms_first = 20\nrebind_ms_max = 200\n\
                 throttle_ms_first = 50\nthrottle_ms_max = 400\n"
            );
        }
        text
    }

    async fn start(&self) -> Carillon {
        let mut carillon = Carillon::start_whole(&self.dir.path().join("data"), &self.settings()).await;
        carillon.demo.sim_log.clone_from(&self.log);
        carillon
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_message_is_submitted_and_its_receipt_comes_back() {
    let place = Place::set(|_| {}).await;
    let carillon = place.start().await;
    let id = carillon.send(&carillon.number(0, 7), "hello from rest").await;
    let message = carillon.wait_state(&id, "delivered").await;
    let timeline = message["timeline"].as_array().unwrap();
    let steps: Vec<&str> = timeline.iter().map(|entry| entry["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["accepted", "routed", "leased", "submitted", "delivered"], "{message:#}");
    assert_eq!(timeline[3]["modem"], "blue-1");
    let received = carillon.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].to.as_str(), received[0].imsi.as_str()), (carillon.number(0, 7).as_str(), "blue"));
    // Decimal ids that fit are their own reference: people can ask the supplier for them.
    assert_eq!(timeline[3]["reference"], received[0].reference, "{message:#}");
    let long = "Ein längerer Text, der in drei Teilen reist. ".repeat(9);
    let id = carillon.send(&carillon.number(1, 8), &long).await;
    carillon.wait_state(&id, "delivered").await;
    assert_eq!(texts(&carillon.received())[&long], 1);
    let binary =
        json!({ "to": carillon.number(0, 9), "binary": { "udh": "050003070201", "data": "00ff1b", "dcs": 245 } });
    let answer = carillon.post(&binary).send().await.unwrap();
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    carillon.wait_state(&id, "delivered").await;
    let octets: Vec<String> = carillon.received().iter().map(|line| line.tpdu.to_lowercase()).collect();
    assert_eq!(octets.iter().filter(|octets| *octets == "05000307020100ff1b").count(), 1, "{octets:?}");
    let ledger = carillon.settle_all(3).await;
    assert_eq!(ledger["by_state"]["delivered"], 3, "{ledger:#}");
}

#[tokio::test]
async fn receipts_that_come_before_the_answer_find_their_message() {
    let place = Place::set(|config| config.faults = vec![FaultRule::always(SmscFault::ReceiptFirst)]).await;
    let carillon = place.start().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(carillon.send(&carillon.number(n, n), &format!("early {n}")).await);
    }
    for id in &ids {
        carillon.wait_state(id, "delivered").await;
    }
    let metrics = carillon.client.get(format!("{}/metrics", carillon.demo.ops)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let parked =
        metrics.lines().find(|line| line.starts_with("carillon_router_receipts_total") && line.contains("parked"));
    let parked = parked.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
    assert!(parked.is_some_and(|parked| parked >= 10.0), "{parked:?}");
}

#[tokio::test]
async fn throttling_and_broken_binds_delay_and_double_nothing() {
    let faults = vec![
        FaultRule { every: 7, ..FaultRule::always(SmscFault::Refused { status: 0x58 }) },
        FaultRule { every: 41, ..FaultRule::always(SmscFault::Disconnect { taken: false }) },
        FaultRule { every: 53, ..FaultRule::always(SmscFault::Unbind) },
        FaultRule { every: 11, ..FaultRule::always(SmscFault::Nonsense) },
    ];
    let place = Place::set(|config| config.faults = faults).await;
    let carillon = place.start().await;
    let mut ids = Vec::new();
    for n in 0..150 {
        ids.push(carillon.send(&carillon.number(n, n), &format!("number {n}")).await);
    }
    let ledger = carillon.settle_all(150).await;
    let received = texts(&carillon.received());
    let mut uncertain = 0;
    for (n, id) in ids.iter().enumerate() {
        let count = received.get(&format!("number {n}")).copied().unwrap_or(0);
        let message = carillon.message(id).await;
        match message["state"].as_str().unwrap() {
            "delivered" => assert_eq!(count, 1, "{message:#}"),
            "uncertain" => {
                assert!(count <= 1, "{message:#}");
                uncertain += 1;
            }
            other => panic!("`{other}` must not happen here: {message:#}"),
        }
    }
    // Each break leaves what was under way on that bind, and there were a few.
    assert!(uncertain > 0 && uncertain <= 10 * WINDOW, "{uncertain}: {ledger:#}");
}

#[tokio::test]
async fn kills_with_unanswered_messages_lose_and_double_nothing() {
    let place = Place::set(|config| config.answer_ms = (0, 60)).await;
    let mut chance = chance();
    let (counter, mut sent, mut kills) = (Arc::new(AtomicUsize::new(0)), Vec::new(), Vec::new());
    for round in 0..8 {
        let mut carillon = place.start().await;
        let (senders, _) = start_senders(&carillon, &counter, &format!("bind-{round}"));
        let enough = carillon.received().len() + chance.random_range(1..40);
        let log = carillon.parts[0].log.clone();
        wait_until("the link sends", &log, || carillon.received().len() >= enough).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        carillon.kill();
        kills.push(now_ms());
        sent.extend(senders.join_all().await.into_iter().flatten());
    }
    let carillon = place.start().await;
    count_binds(&carillon, &sent, &kills, WINDOW).await;
}
