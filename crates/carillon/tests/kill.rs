//! Faults as features: the process, the farm and their connection are killed at random moments under load, and then
//! everything is counted at the simulated network: nothing accepted is lost, nothing is sent twice.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::Rng;
use support::farm::{end, issue_farm, start_farm, wait_until};
use support::load::{Sent, chance, count, now_ms, start_senders};
use support::{Column, on_both_columns};

on_both_columns! {
    kills_of_the_whole_installation_lose_and_double_nothing,
    kills_of_the_farm_alone_lose_and_double_nothing,
}

const KILLS: usize = 50;

async fn kills_of_the_whole_installation_lose_and_double_nothing(column: Column) {
    let place = column.place();
    let mut chance = chance();
    let (counter, mut sent, mut kills) = (Arc::new(AtomicUsize::new(0)), Vec::new(), Vec::new());
    for round in 0..column.rounds(KILLS, 4) {
        let mut carillon = place.start().await;
        let (senders, _) = start_senders(&carillon, &counter, &format!("whole-{round}"));
        // By what was sent and not by the clock: a slow machine, too, is to be in the middle of something.
        let enough = carillon.received().len() + chance.random_range(0..20);
        let log = carillon.parts[0].log.clone();
        wait_until("the modems send", &log, || carillon.received().len() >= enough).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        carillon.kill();
        kills.push(now_ms());
        sent.extend(senders.join_all().await.into_iter().flatten());
    }
    let carillon = place.start().await;
    count(&carillon, &sent, &kills).await;
}

async fn kills_of_the_farm_alone_lose_and_double_nothing(column: Column) {
    let place = column.place();
    let mut chance = chance();
    let carillon = place.start_without_farms().await;
    let config = issue_farm(&carillon, &carillon.demo.control);
    let log = place.dir().join("farm.log");
    let counter = Arc::new(AtomicUsize::new(0));
    let (senders, done) = start_senders(&carillon, &counter, "farm");
    let mut kills = Vec::new();
    for _ in 0..column.rounds(KILLS, 10) {
        let farm = start_farm(&config, &log);
        let before = carillon.received().len();
        let enough = before + chance.random_range(0..20);
        wait_until("the farm sends", &log, || carillon.received().len() >= enough).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        end(farm);
        kills.push(now_ms());
    }
    done.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = senders.join_all().await.into_iter().flatten().collect();
    let farm = start_farm(&config, &log);
    count(&carillon, &sent, &kills).await;
    end(farm);
}

#[tokio::test]
async fn cuts_of_the_routers_connection_lose_and_double_nothing() {
    let place = Column::Embedded.place();
    let mut chance = chance();
    let carillon = place.start_without_farms().await;
    let wire = Wire::start(carillon.demo.control.parse().unwrap()).await;
    let config = issue_farm(&carillon, &wire.address.to_string());
    let log = place.dir().join("farm.log");
    let farm = start_farm(&config, &log);
    let counter = Arc::new(AtomicUsize::new(0));
    let (senders, done) = start_senders(&carillon, &counter, "cut");
    for _ in 0..KILLS {
        let enough = carillon.received().len() + chance.random_range(0..20);
        wait_until("the farm sends", &log, || carillon.received().len() >= enough).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        wire.cut();
    }
    done.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = senders.join_all().await.into_iter().flatten().collect();
    // Nobody died: a cut leaves nothing uncertain.
    count(&carillon, &sent, &[]).await;
    let ledger = carillon.get("/v1/ledger").await;
    assert_eq!(ledger["by_state"]["delivered"], sent.len(), "{ledger:#}");
    end(farm);
}

/// A TCP forwarder whose connections can be cut.
struct Wire {
    address: std::net::SocketAddr,
    cut: tokio::sync::watch::Sender<u64>,
}

impl Wire {
    async fn start(target: std::net::SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, watched) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watched = watched.clone();
                watched.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = watched.changed() => {}
                    }
                });
            }
        });
        Wire { address, cut }
    }

    fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}
