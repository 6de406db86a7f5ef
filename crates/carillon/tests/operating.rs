//! Operators' commands beside an installation that runs: who takes part, what is wrong, and backups, which are made while messages
//! pass, put back in another place, and counted at the network that saw both lives.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::farm::wait_until;
use support::load::{Sent, start_senders};
use support::{Carillon, Column, PATIENCE, check_ledger, texts};

/// Modems slower than the load, so that something waits; and nobody waits long for a journal that is gone.
const SETTINGS: &str = "
[demo]
answer_ms_min = 60
answer_ms_max = 120
[sms_router]
farm_lost_seconds = 3
";

/// Runs the binary to its end.
async fn carillon(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

async fn well(arguments: &[&str]) -> String {
    let output = carillon(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`carillon {}` ended with {}: {said}", arguments.join(" "), output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it to an end that must be a bad one, and returns what it said.
async fn refused(arguments: &[&str]) -> String {
    let output = carillon(arguments).await;
    assert!(!output.status.success(), "`carillon {}` must be refused", arguments.join(" "));
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Messages that were answered, by two waves: the first before, the second while something is done.
struct Waves {
    first: Vec<Sent>,
    second: Vec<Sent>,
}

#[tokio::test]
async fn what_was_accepted_before_a_backup_is_there_after_it_and_nothing_is_sent_twice() {
    let place = Column::Embedded.place();
    let (data, copy, other) = (place.data(), place.dir().join("copy"), place.dir().join("other"));
    let mut running = place.start_with(SETTINGS).await;
    let later = scheduled(&running).await;
    let counter = Arc::new(AtomicUsize::new(0));
    let (first, done) = start_senders(&running, &counter, "first");
    sees_more(&running, 40).await;
    done.store(true, Ordering::Relaxed);
    let first: Vec<Sent> = first.join_all().await.into_iter().flatten().collect();

    let (second, _) = start_senders(&running, &counter, "second");
    sees_more(&running, 10).await;
    let told = well(&["backup", "--to", text(&copy), "--json", "--data", text(&data)]).await;
    let manifest: Value = serde_json::from_str(&told).unwrap();
    assert!(manifest["files"].as_array().unwrap().iter().any(|file| file["path"] == "farm/journal.db"), "{manifest:#}");
    // What is sent from here on the copy cannot know.
    sees_more(&running, 60).await;
    let lanes: Value = serde_json::from_str(&well(&["lanes", "list", "--json", "--data", text(&data)]).await).unwrap();
    assert!(lanes.as_array().unwrap().iter().any(|row| row["lane"] == "accepted"), "{lanes:#}");
    running.kill();
    let waves = Waves { first, second: second.join_all().await.into_iter().flatten().collect() };

    well(&["backup", "--verify", text(&copy)]).await;
    well(&["restore", "--from", text(&copy), "--data", text(&other)]).await;
    let said = refused(&["restore", "--from", text(&copy), "--data", text(&other)]).await;
    assert!(said.contains("is not empty"), "{said}");
    the_network_goes_on(&data, &other);
    let restored = Carillon::start_whole(&other, SETTINGS).await;
    let scheduled = restored.message(&later).await;
    assert_eq!(scheduled["state"], "scheduled", "what was not due can't have been sent: {scheduled:#}");
    assert_eq!(restored.cancel(&later).await, 202);
    count(&restored, &waves).await;
    let fresh = restored.send(&restored.number(0, 9_999), "after the restore").await;
    restored.wait_state(&fresh, "delivered").await;
    spoilt_copies_are_refused(&copy, place.dir()).await;
}

#[tokio::test]
async fn an_installation_that_was_stopped_moves_without_a_loss_or_a_doubt() {
    let place = Column::Embedded.place();
    let (data, copy, other) = (place.data(), place.dir().join("copy"), place.dir().join("other"));
    let mut running = place.start_with(SETTINGS).await;
    let counter = Arc::new(AtomicUsize::new(0));
    let (senders, done) = start_senders(&running, &counter, "moved");
    sees_more(&running, 20).await;
    done.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = senders.join_all().await.into_iter().flatten().collect();
    running.parts[0].signal(Signal::TERM);
    assert_eq!(running.ended().await, Some(0));

    well(&["backup", "--to", text(&copy), "--data", text(&data)]).await;
    well(&["restore", "--from", text(&copy), "--waiting", "send", "--data", text(&other)]).await;
    the_network_goes_on(&data, &other);
    let restored = Carillon::start_whole(&other, SETTINGS).await;
    let ledger = restored.settle_all(sent.len() as u64).await;
    assert_eq!(ledger["by_state"]["delivered"], sent.len(), "{ledger:#}");
    let received = texts(&restored.received());
    assert!(sent.iter().all(|(_, text)| received[text] == 1), "{received:?}");
}

/// The simulated network is no part of the installation: what it still has to report it goes on to report.
fn the_network_goes_on(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("sim/sims")).unwrap();
    for entry in std::fs::read_dir(from.join("sim/sims")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join("sim/sims").join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_file_says_who_takes_part_and_the_doctor_looks_while_it_runs() {
    let place = Column::Embedded.place();
    let running = place.start().await;
    let (data, file) = (place.data(), place.dir().join("world.toml"));
    std::fs::write(&file, well(&["apply", "--example"]).await).unwrap();
    let apply = ["apply", "--json", "--file", text(&file), "--data", text(&data)];
    let changes = async || -> Vec<String> {
        let rows: Value = serde_json::from_str(&well(&apply).await).unwrap();
        let change = |row: &Value| format!("{} {}", row["kind"].as_str().unwrap(), row["change"].as_str().unwrap());
        rows.as_array().unwrap().iter().map(change).collect()
    };
    let dry = well(&["apply", "--dry-run", "--file", text(&file), "--data", text(&data)]).await;
    assert!(dry.contains("would be made") && !place.dir().join("acme-server-1.key").exists(), "{dry}");
    // The demo has such a supplier and such a route.
    let first = ["supplier changed", "route unchanged", "farm made", "api key made", "tenant made"];
    assert_eq!(changes().await, first);
    let unchanged = first.map(|row| row.rsplit_once(' ').unwrap().0.to_owned() + " unchanged");
    assert_eq!(changes().await, unchanged, "said again, it changes nothing");

    let key = std::fs::read_to_string(place.dir().join("acme-server-1.key")).unwrap();
    let (log, body) = (running.parts[0].log.clone(), json!({ "to": running.number(0, 7), "text": "from acme" }));
    let begun = std::time::Instant::now();
    loop {
        let request = running.client.post(format!("{}/v1/messages", running.door())).bearer_auth(key.trim());
        let status = request.json(&body).send().await.unwrap().status();
        if status == 202 {
            break;
        }
        assert!(status == 401 && begun.elapsed() < PATIENCE, "{status}\n{}", support::tail(&log));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    wait_until("acme's message arrives", &log, || texts(&running.received()).contains_key("from acme")).await;

    std::fs::write(&file, "[[route]]\nid = \"red\"\nsupplier = \"nobody\"\n").unwrap();
    let said = refused(&apply).await;
    assert!(said.contains("route `red`: there is no supplier `nobody`"), "{said}");
    let examined = carillon(&["doctor", "--json", "--data", text(&data)]).await;
    let found: Vec<Value> = serde_json::from_slice(&examined.stdout).unwrap();
    for part in ["settings", "engines", "keys", "certificates", "disk", "clock", "parties"] {
        assert!(found.iter().any(|finding| finding["part"] == part), "{part}: {found:#?}");
    }
    // How full the disk is that this runs on says nothing about the installation.
    let bad: Vec<&Value> = found.iter().filter(|finding| finding["verdict"] == "bad").collect();
    assert_eq!(examined.status.code(), Some(i32::from(!bad.is_empty())));
    assert!(bad.iter().all(|finding| finding["part"] == "disk"), "{bad:#?}");
}

/// A message for tomorrow.
async fn scheduled(carillon: &Carillon) -> String {
    let tomorrow = time::OffsetDateTime::now_utc() + time::Duration::days(1);
    let send_at = tomorrow.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "to": carillon.number(0, 8_888), "text": "tomorrow", "send_at": send_at });
    let answer = carillon.post(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Waits until the network has received so many more.
async fn sees_more(carillon: &Carillon, more: usize) {
    let (log, enough) = (carillon.parts[0].log.clone(), carillon.received().len() + more);
    wait_until("the modems send", &log, || carillon.received().len() >= enough).await;
}

/// Waits until nothing can be sent any more: what was handed over may wait for a receipt that the life before got.
async fn handed_out(restored: &Carillon, accepted: u64) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let ledger = restored.get("/v1/ledger").await;
        check_ledger(&ledger);
        let waiting = |stage: &str| ledger["by_stage"][stage].as_u64().unwrap_or_default();
        let pending = ledger["pending"].as_u64().unwrap();
        if ledger["accepted"].as_u64().unwrap() >= accepted && pending == waiting("scheduled") + waiting("submitted") {
            return ledger;
        }
        assert!(begun.elapsed() < PATIENCE, "still to be sent: {ledger:#}\n{}", restored.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// All of the first wave is there; what was waiting in the copy is uncertain, and nothing was sent twice.
async fn count(restored: &Carillon, waves: &Waves) {
    let ledger = handed_out(restored, waves.first.len() as u64).await;
    let received = texts(&restored.received());
    let doubled: Vec<_> = received.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "sent twice: {doubled:?}");
    let (mut certain, mut uncertain) = (0, 0);
    for (id, text) in &waves.first {
        let message = restored.message(id).await;
        match message["state"].as_str().unwrap() {
            "delivered" | "sent" | "submitted" => {
                certain += 1;
                assert_eq!(received.get(text), Some(&1), "{message:#}");
            }
            "uncertain" => uncertain += 1,
            other => panic!("`{other}` must not happen here: {message:#}"),
        }
    }
    let known = ledger["accepted"].as_u64().unwrap() as usize;
    let total = waves.first.len() + waves.second.len();
    println!("{total} answered, {known} in the copy; of the first wave {certain} certain, {uncertain} not; {ledger}");
    let all_uncertain = ledger["by_state"]["uncertain"].as_u64().unwrap();
    assert!(all_uncertain > 0, "nothing waited: the test shows nothing");
    assert!(known < total, "nothing was accepted after the copy: the test shows nothing");
}

async fn spoilt_copies_are_refused(copy: &Path, dir: &Path) {
    let log = lane_file(copy);
    let mut octets = std::fs::read(&log).unwrap();
    octets[100] ^= 1;
    std::fs::write(&log, &octets).unwrap();
    let said = refused(&["backup", "--verify", text(copy)]).await;
    assert!(said.contains("is not what was copied"), "{said}");
    let said = refused(&["restore", "--from", text(copy), "--data", text(&dir.join("third"))]).await;
    assert!(said.contains("is not what was copied"), "{said}");
    std::fs::remove_file(copy.join("manifest.json")).unwrap();
    let said = refused(&["backup", "--verify", text(copy)]).await;
    assert!(said.contains("no manifest"), "{said}");
}

fn lane_file(copy: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(copy.join("carillon.lanes")).unwrap();
    entries.next().expect("there is a file of lanes").unwrap().path()
}
