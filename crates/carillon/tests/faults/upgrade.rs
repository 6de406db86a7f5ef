//! Every process is replaced in order, one after the other, by one of a neighbouring build, and back: what an upgrade and its
//! rollback do. The neighbour is an earlier build, if there is its program, or this one writing as the next will. Knows the order,
//! and what callers behind a balancer may never see.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::balancer::Balancer;
use crate::report::say;
use crate::siege::Siege;
use crate::support::Role;
use crate::traffic::{Fate, Sent, Traffic, judge};

/// The variable that makes a process write as the next build will. Only debug builds know it.
const NEXT_BUILD: &str = "CARILLON_NEXT_BUILD";
/// The order of an upgrade: what writes first is read by the others already.
const ORDER: [(Role, usize); 6] =
    [(Role::Router, 0), (Role::Router, 1), (Role::Gateway, 0), (Role::Gateway, 1), (Role::Farm, 0), (Role::Farm, 1)];
/// Between the word that a gateway goes and its signal: the chart's `stop.unreadySeconds`, shorter.
const UNREADY: Duration = Duration::from_secs(1);
/// Between two messages of the caller behind the balancer.
const PACE: Duration = Duration::from_millis(100);

/// What a process is replaced by.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Build {
    /// The one that is tested.
    This,
    /// This one, writing as the next will.
    Next,
    /// An earlier one, by its program.
    Previous(PathBuf),
}

/// An upgrade and its rollback.
pub(crate) async fn upgrade(siege: &mut Siege<'_>, traffic: &Traffic) {
    let balancer = Arc::new(before(siege).await);
    let caller = Caller::start(siege, traffic, &balancer);
    let neighbour = siege.previous.clone().map_or(Build::Next, Build::Previous);
    for build in [neighbour, Build::This] {
        for (role, index) in ORDER {
            say(&format!("{role:?} {index} is replaced by {build:?}"));
            replace(siege, &balancer, role, index, &build).await;
        }
        siege.goes_on(traffic).await;
    }
    let sent = caller.stop().await;
    assert!(sent.len() > 100, "the caller behind the balancer sent {} messages only", sent.len());
    sent.into_iter().for_each(|sent| traffic.note(sent));
}

async fn before(siege: &mut Siege<'_>) -> Balancer {
    let doors = siege.carillon.doors().to_vec();
    let back = |(index, door)| {
        let ops = siege.part(Role::Gateway, index).ops.clone().expect("its health is known");
        (door, ops)
    };
    Balancer::before(doors.into_iter().enumerate().map(back).collect()).await
}

async fn replace(siege: &mut Siege<'_>, balancer: &Balancer, role: Role, index: usize, build: &Build) {
    if role == Role::Gateway {
        balancer.set_leaving(index, true);
        tokio::time::sleep(UNREADY).await;
    }
    let part = siege.part(role, index);
    part.signal(Signal::TERM);
    assert_eq!(part.ended().await, Some(0), "{role:?} {index} did not stop in order");
    part.environment.remove(NEXT_BUILD);
    part.program = None;
    match build {
        Build::This => {}
        Build::Next => drop(part.environment.insert(NEXT_BUILD, "1".to_owned())),
        Build::Previous(program) => part.program = Some(program.clone()),
    }
    part.start();
    siege.ready(role, index).await;
    if role == Role::Gateway {
        balancer.set_leaving(index, false);
        balancer.serves(index).await;
    }
}

/// Somebody who knows one address, and whom no upgrade concerns.
struct Caller {
    task: JoinHandle<Vec<Sent>>,
    done: Arc<AtomicBool>,
}

impl Caller {
    fn start(siege: &Siege<'_>, traffic: &Traffic, balancer: &Arc<Balancer>) -> Self {
        // A connection for each request: the balancer chooses for each.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        let client = client.timeout(Duration::from_secs(30)).build().unwrap();
        let (url, key) = (format!("{}/v1/messages", balancer.url), siege.carillon.demo.api_key.clone());
        let numbers: Vec<String> = (0..50).map(|n| siege.carillon.number(n, 5_000 + n)).collect();
        // Not the load's word: what arrives of it makes room for more of the load.
        let (word, done) = (format!("balanced-{}", traffic.word()), Arc::new(AtomicBool::new(false)));
        // It lives as long as it is asked.
        let (until, kept) = (Arc::clone(&done), Arc::clone(balancer));
        let task = tokio::spawn(async move {
            let _kept = kept;
            let mut all = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let text = format!("{word}-{}", all.len());
                let body = json!({ "to": numbers[all.len() % numbers.len()], "text": text });
                let began = Instant::now();
                let (fate, mut wrong) = judge(client.post(&url).bearer_auth(&key).json(&body).send().await).await;
                if !matches!(fate, Fate::Answered(_)) {
                    wrong = Some(format!("behind the balancer everything is answered 202, not {fate:?}"));
                }
                all.push(Sent { text, fate, took: began.elapsed(), wrong });
                tokio::time::sleep(PACE).await;
            }
            all
        });
        Caller { task, done }
    }

    async fn stop(self) -> Vec<Sent> {
        self.done.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}
