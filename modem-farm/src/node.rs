//! Puts a farm node together and takes it apart in order. Knows every part by name and none from within.

use std::sync::Arc;
use std::time::Duration;

use control::FarmEnd;
use lease::farm::FarmLimits;
use lease::message::Hello;
use lease::{Farm, Now};
use runtime::{Health, Registry, Stop};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::courier::{Courier, Word};
use crate::error::FarmError;
use crate::hub::{Ears, Hub};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::modem::{Modem, Standing};
use crate::peer::{Credentials, Peers};
use crate::shared::{Shared, utc_now};

/// Leases that may wait in a link's channel: the window, and those dropped meanwhile that it has not noticed.
const LEASES_MAX: usize = 64;
/// Words of links that may wait for the hub.
const WORDS_MAX: usize = 8192;
/// Batches of routers that may wait for the hub.
const BATCHES_MAX: usize = 256;
/// Before a link's task that panicked is started anew.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// Modems that poll in step are set apart by this much.
const POLL_STEP: Duration = Duration::from_millis(137);
/// Over which their polls are spread.
const POLL_SPREAD: Duration = Duration::from_secs(30);

/// What a farm node needs of the process it runs in.
pub struct Deps {
    /// Where its metrics go.
    pub registry: Registry,
    /// Where it says whether it is attached (condition `routers`).
    pub health: Health,
    /// Streams to routers in this process, as they are made ([`control::pair`]). Drop the sender if there are none.
    pub local: mpsc::Receiver<FarmEnd>,
}

/// Runs a farm node until `stop` begins; then finishes what is in hand, gives back the rest, and closes the journal.
///
/// # Errors
/// [`FarmError`]: it could not start, or the journal failed. A modem's trouble is none.
pub async fn run(config: Config, deps: Deps, stop: Stop) -> Result<(), FarmError> {
    config.validate()?;
    let credentials = Credentials::of(&config)?;
    let started = utc_now();
    let (journal, memory) = Journal::open(&config.journal_dir, config.name.as_str(), started).await?;
    let now = Now { instant: std::time::Instant::now(), utc: started };
    let machine = Farm::recover(config.name.clone(), FarmLimits::default(), memory.recovered, now);
    let hello = Hello {
        farm: config.name.clone(),
        incarnation: memory.incarnation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        routes: config.routes(),
        sessions: Vec::new(),
    };
    let shared = Arc::new(Shared::new(config, journal, deps.health, Metrics::new(&deps.registry)));
    shared.outbox.add(memory.arrivals);
    shared.health.not_ready("routers", "attached to none");

    let hang_up = CancellationToken::new();
    let (to_hub, routers) = mpsc::channel(BATCHES_MAX);
    let mut peers = Peers::new(hello, to_hub, credentials, stop.clone(), hang_up.clone());
    peers.take_local(deps.local);
    peers.dial(shared.config.routers.clone());
    let words = seat_links(&shared, &stop);
    let hub = Hub::new(shared.clone(), machine, peers);
    let result = hub.run(Ears { words, routers }, hang_up.clone()).await;
    hang_up.cancel();
    shared.journal.close().await;
    result
}

/// Starts a task for each link. The channel ends when all have.
fn seat_links(shared: &Arc<Shared>, stop: &Stop) -> mpsc::Receiver<Word> {
    let (words, heard) = mpsc::channel(WORDS_MAX);
    for (index, link) in shared.config.links.iter().enumerate() {
        let offset = POLL_STEP * u32::try_from(index).unwrap_or(0);
        let offset = Duration::from_millis((offset.as_millis() % POLL_SPREAD.as_millis()) as u64);
        stop.spawn("link", supervise(link.clone(), offset, shared.clone(), words.clone(), stop.clone()));
    }
    heard
}

/// Keeps one link's task running: a panic in it costs what it had in hand, and nothing else.
async fn supervise(link: config::Link, offset: Duration, shared: Arc<Shared>, words: mpsc::Sender<Word>, stop: Stop) {
    loop {
        let life = live(link.clone(), offset, shared.clone(), words.clone(), stop.token().clone());
        match stop.spawn("modem", life).await {
            Ok(Ok(())) => return,
            _ => {
                let _ = words.send(Word::Died { link: link.name.clone() }).await;
            }
        }
        if stop.token().run_until_cancelled(tokio::time::sleep(AFTER_PANIC)).await.is_none() {
            return;
        }
    }
}

/// One life of a link: its modem, and the courier that brings it leases. The modem stays until the courier is done.
async fn live(
    link: config::Link,
    offset: Duration,
    shared: Arc<Shared>,
    words: mpsc::Sender<Word>,
    stop: CancellationToken,
) {
    let (leases_in, leases) = mpsc::channel(LEASES_MAX);
    let (requests_in, requests) = mpsc::channel(1);
    let (standing_in, standing) = watch::channel(Standing::Down("starting"));
    let _ = words.send(Word::Seated { link: link.name.clone(), leases: leases_in }).await;
    let modem_stop = CancellationToken::new();
    let modem = Modem::new(link.clone(), shared.clone(), requests, standing_in, offset).run(modem_stop.clone());
    let courier = Courier::new(link, shared, leases, words, requests_in, standing);
    let carrying = async {
        courier.run(stop).await;
        modem_stop.cancel();
    };
    tokio::join!(carrying, modem);
}
