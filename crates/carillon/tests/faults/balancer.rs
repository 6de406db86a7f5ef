//! A load balancer before the gateways: sends to those that are ready, as long as nobody says that they are about to go. Knows TCP
//! and `/readyz`; nothing of what is said.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How often readiness is asked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long a connection waits for one that is ready.
const QUEUED_MAX: Duration = Duration::from_secs(15);
/// How long one that says it is ready waits to be found so.
const SERVES_MAX: Duration = Duration::from_secs(60);

/// A balancer; it ends with its runtime.
pub(crate) struct Balancer {
    /// Base URL of what is behind it.
    pub(crate) url: String,
    backs: Arc<Vec<Back>>,
}

struct Back {
    /// `host:port` of its door.
    door: String,
    /// Base URL of its health.
    ops: String,
    standing: Mutex<Standing>,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    ready: bool,
    /// It was told to go: Kubernetes takes such a pod out of its services before the process hears of it.
    leaving: bool,
}

impl Balancer {
    /// A balancer before these: doors and health, base URLs.
    pub(crate) async fn before(backs: Vec<(String, String)>) -> Self {
        let back = |(door, ops): (String, String)| {
            let door = door.strip_prefix("http://").expect("a door is spoken to by http").to_owned();
            Back { door, ops, standing: Mutex::default() }
        };
        let backs: Arc<Vec<Back>> = Arc::new(backs.into_iter().map(back).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        look(&backs).await;
        tokio::spawn(watch(Arc::clone(&backs)));
        tokio::spawn(serve(listener, Arc::clone(&backs)));
        Balancer { url, backs }
    }

    /// Nothing is sent to this one any more, or again when it is ready.
    pub(crate) fn set_leaving(&self, index: usize, leaving: bool) {
        lock(&self.backs[index].standing).leaving = leaving;
    }

    /// Waits until this one is sent to: before the next one goes, as a rollout does.
    pub(crate) async fn serves(&self, index: usize) {
        let serves = async {
            while !lock(&self.backs[index].standing).is_chosen() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(SERVES_MAX, serves).await.expect("a gateway that is ready is sent to");
    }
}

impl Standing {
    const fn is_chosen(self) -> bool {
        self.ready && !self.leaving
    }
}

async fn watch(backs: Arc<Vec<Back>>) {
    // Whoever holds the balancer holds them, too.
    while Arc::strong_count(&backs) > 1 {
        look(&backs).await;
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(backs: &[Back]) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
    for back in backs {
        let answer = client.get(format!("{}/readyz", back.ops)).send().await;
        lock(&back.standing).ready = answer.is_ok_and(|answer| answer.status() == 200);
    }
}

async fn serve(listener: TcpListener, backs: Arc<Vec<Back>>) {
    let turn = AtomicUsize::new(0);
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(join(near, Arc::clone(&backs), turn.fetch_add(1, Ordering::Relaxed)));
    }
}

/// To the first that is ready and takes the connection, beginning with another each time. While none is, the connection waits, as in
/// the queue of any balancer.
async fn join(mut near: TcpStream, backs: Arc<Vec<Back>>, turn: usize) {
    let until = tokio::time::Instant::now() + QUEUED_MAX;
    while tokio::time::Instant::now() < until {
        for step in 0..backs.len() {
            let back = &backs[(turn + step) % backs.len()];
            let is_chosen = lock(&back.standing).is_chosen();
            if !is_chosen {
                continue;
            }
            if let Ok(mut far) = TcpStream::connect(&back.door).await {
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn lock(standing: &Mutex<Standing>) -> std::sync::MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}
