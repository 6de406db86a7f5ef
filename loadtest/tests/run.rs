//! The loader against a small server that can lose, double, refuse and miscount: does it notice?
//!
//! Knows the public protocols as the loader does; must not know the real server.
#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use loadtest::{Options, Report};
use serde_json::{Value, json};

/// What the server does wrong, at its tenth message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Accepts it and forgets it.
    Lose,
    /// Counts it as final, and the network never sees it.
    Pretend,
    /// Hands it over twice.
    Double,
    /// Hands it to somebody else.
    Misroute,
    /// Forgets to count it as final or pending.
    Miscount,
    /// Says 503 once.
    Busy,
    /// Refuses it for good.
    Refuse,
    /// Says honestly that it failed.
    Fail,
}

#[derive(Default)]
struct Book {
    fault: Fault,
    calls: u64,
    accepted: u64,
    settled: u64,
    states: BTreeMap<String, &'static str>,
    /// Deliveries of the second tenant, and which messages are its.
    of_second: u64,
    ids_of_second: Vec<String>,
    keys_seen: Vec<String>,
    log: PathBuf,
}

type Shared = Arc<Mutex<Book>>;

impl Book {
    /// Takes one message; `None` when it is refused for now, an error status when for good.
    fn take(&mut self, numbers: &[String], text: &str) -> Result<String, StatusCode> {
        self.calls += 1;
        let fault = if self.calls == 10 { self.fault } else { Fault::None };
        match fault {
            Fault::Busy => return Err(StatusCode::SERVICE_UNAVAILABLE),
            Fault::Refuse => return Err(StatusCode::UNPROCESSABLE_ENTITY),
            _ => {}
        }
        let id = format!("msg_{}", self.calls);
        self.accepted += numbers.len() as u64;
        if fault != Fault::Lose && fault != Fault::Miscount {
            self.settled += numbers.len() as u64;
        }
        let state = if fault == Fault::Fail { "failed" } else { "delivered" };
        if fault != Fault::Lose {
            self.states.insert(id.clone(), state);
        }
        let times = match fault {
            Fault::Lose | Fault::Pretend | Fault::Fail => 0,
            Fault::Double => 2,
            _ => 1,
        };
        for number in numbers {
            let to = if fault == Fault::Misroute { "+10000000" } else { number };
            (0..times).for_each(|_| self.write(to, text));
        }
        Ok(id)
    }

    fn write(&self, to: &str, text: &str) {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
        writeln!(log, "{}", json!({ "at": "x", "link": "x", "to": to, "tpdu": "00", "text": text })).unwrap();
    }
}

async fn post_message(State(book): State<Shared>, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let numbers: Vec<String> = match &message["to"] {
        Value::String(one) => vec![one.clone()],
        many => serde_json::from_value(many.clone()).unwrap(),
    };
    let mut book = book.lock().unwrap();
    if let Some(key) = headers.get("idempotency-key") {
        book.keys_seen.push(key.to_str().unwrap().to_owned());
    }
    match book.take(&numbers, message["text"].as_str().unwrap()) {
        Ok(id) if is_second(&headers) => {
            book.of_second += numbers.len() as u64;
            book.ids_of_second.push(id.clone());
            (StatusCode::ACCEPTED, Json(json!({ "id": id }))).into_response()
        }
        Ok(id) => (StatusCode::ACCEPTED, Json(json!({ "id": id }))).into_response(),
        Err(status) => (status, [("retry-after", "0")]).into_response(),
    }
}

/// Whether the second tenant asks; nobody else but the first may.
fn is_second(headers: &HeaderMap) -> bool {
    let key = headers["authorization"].to_str().unwrap();
    assert!(["Bearer key", "Bearer second"].contains(&key), "{key}");
    key == "Bearer second"
}

async fn get_message(State(book): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let book = book.lock().unwrap();
    let is_mine = book.ids_of_second.contains(&id) == is_second(&headers);
    match book.states.get(&id).filter(|_| is_mine) {
        Some(state) => Json(json!({ "id": id, "state": state })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn get_ledger(State(book): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let book = book.lock().unwrap();
    if is_second(&headers) {
        return Json(json!({ "accepted": book.of_second, "final": book.of_second, "pending": 0 }));
    }
    let pending = if book.fault == Fault::Lose { book.accepted - book.settled } else { 0 };
    let (accepted, settled) = (book.accepted - book.of_second, book.settled - book.of_second);
    Json(json!({ "accepted": accepted, "final": settled, "pending": pending }))
}

/// Reads what the loader writes, and nothing more: each `xmsData` has its recipients and its content.
async fn post_oms(State(book): State<Shared>, headers: HeaderMap, body: String) -> Response {
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/xml"));
    let inner = body.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    assert!(inner.contains("<userId>user</userId><password>a&amp;b</password>"), "{inner}");
    let mut book = book.lock().unwrap();
    let items = inner.split("<xmsData ").skip(1).map(|item| {
        let between =
            |item: &str, from: &str, to: &str| item.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
        let numbers: Vec<String> =
            item.split("<recipient>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
        let text = between(&between(item, "<content ", "</content>"), ">", "</content>");
        match book.take(&numbers, &text) {
            Ok(_) => "<xmsResponse id=\"0\"><error code=\"ok\" severity=\"neutral\"/></xmsResponse>",
            Err(StatusCode::SERVICE_UNAVAILABLE) => {
                "<xmsResponse id=\"0\"><error code=\"serviceNetwork\" severity=\"failure\"/></xmsResponse>"
            }
            Err(_) => "<xmsResponse id=\"0\"><error code=\"other\" severity=\"failure\"/></xmsResponse>",
        }
    });
    let answers: String = items.collect();
    let escaped = format!("<xmsResponses>{answers}</xmsResponses>").replace('<', "&lt;").replace('>', "&gt;");
    format!("<s:Envelope><s:Body><DeliverXmsResult>{escaped}</DeliverXmsResult></s:Body></s:Envelope>").into_response()
}

struct Run {
    report: Report,
    book: Shared,
}

/// Serves the doors until it is aborted, and writes the demo file that leads to them.
async fn serve(book: Shared, directory: &std::path::Path) {
    let log = book.lock().unwrap().log.clone();
    let router = Router::new()
        .route("/v1/messages", post(post_message))
        .route("/v1/messages/{id}", get(get_message))
        .route("/v1/ledger", get(get_ledger))
        .route("/oms/service.asmx", post(post_oms))
        .route("/readyz", get(async || "ready"))
        .with_state(book);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rest = format!("http://{}", listener.local_addr().unwrap());
    let content = json!({ "rest": rest, "oms": format!("{rest}/oms/service.asmx"), "ops": rest, "api_key": "key",
        "user_id": "user", "password": "a&b", "numbers": ["+4915112345678", "+447700900123"], "sim_log": log,
        "tenants": [{ "name": "second", "api_key": "second" }] });
    let part = directory.join("demo.part");
    std::fs::write(&part, content.to_string()).unwrap();
    std::fs::rename(part, directory.join("demo.json")).unwrap();
    axum::serve(listener, router).await.unwrap();
}

fn book(fault: Fault, directory: &std::path::Path) -> Shared {
    let log = directory.join("sim.jsonl");
    std::fs::write(&log, "{\"to\":\"+1\",\"text\":\"from before\"}\n").unwrap();
    Arc::new(Mutex::new(Book { fault, log, ..Book::default() }))
}

fn options(demo: &std::path::Path, arguments: &[&str]) -> Options {
    let fixed = ["loadtest", "--demo", demo.to_str().unwrap(), "-n", "40", "-c", "4", "--settle-seconds-max", "0"];
    Options::try_parse_from(fixed.iter().chain(arguments)).unwrap()
}

async fn run(fault: Fault, arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let (path, demo) = (directory.path().to_owned(), directory.path().join("demo.json"));
    let book = book(fault, &path);
    let server = tokio::spawn({
        let book = book.clone();
        async move { serve(book, &path).await }
    });
    while !demo.exists() {
        tokio::task::yield_now().await;
    }
    let report = loadtest::run(options(&demo, arguments)).await.unwrap();
    server.abort();
    Run { report, book }
}

#[track_caller]
fn check_good(run: &Run) {
    assert!(run.report.is_good(), "{}", run.report);
}

#[track_caller]
fn check_bad(run: &Run, expected: &[&str]) {
    for part in expected {
        assert!(run.report.complaints().iter().any(|found| found == part), "no `{part}` in\n{}", run.report);
    }
    assert_eq!(run.report.complaints().len(), expected.len(), "{}", run.report);
}

#[tokio::test]
async fn an_honest_server_passes_through_every_door() {
    for door in ["rest", "oms", "oms-batch"] {
        for recipients in ["1", "3"] {
            let arguments = ["--door", door, "--recipients-per-message", recipients, "--batch-messages", "7"];
            let run = run(Fault::None, &arguments).await;
            check_good(&run);
            assert_eq!(run.book.lock().unwrap().accepted, 40 * recipients.parse::<u64>().unwrap());
        }
    }
}

#[tokio::test]
async fn tenants_send_in_turn_and_each_has_its_own_ledger() {
    let run = run(Fault::None, &["--tenants", "2"]).await;
    check_good(&run);
    let book = run.book.lock().unwrap();
    assert_eq!((book.accepted, book.of_second), (40, 20));
}

#[tokio::test]
async fn a_lost_message_is_noticed() {
    // Waiting for a message to show up takes the loader ten seconds, so the look-up is left out here.
    let found = run(Fault::Lose, &["--verify", "none"]).await;
    check_bad(
        &found,
        &[
            "1 deliveries were accepted and never reached the network",
            "1 more deliveries were accepted here than became final in the ledger",
            "1 deliveries are still pending",
        ],
    );
}

#[tokio::test]
async fn a_message_that_was_never_handed_over_is_noticed() {
    for arguments in [&["--verify", "none"][..], &["--verify", "all"], &["--door", "oms"]] {
        check_bad(&run(Fault::Pretend, arguments).await, &["1 deliveries were accepted and never reached the network"]);
    }
}

#[tokio::test]
async fn a_doubled_message_is_noticed() {
    for door in ["rest", "oms-batch"] {
        check_bad(&run(Fault::Double, &["--door", door]).await, &["1 texts reached the network once too often"]);
    }
}

#[tokio::test]
async fn a_message_to_somebody_else_is_noticed() {
    let expected = [
        "1 deliveries were accepted and never reached the network",
        "1 texts reached a number they were not meant for",
    ];
    check_bad(&run(Fault::Misroute, &[]).await, &expected);
}

#[tokio::test]
async fn a_ledger_that_does_not_add_up_is_noticed() {
    let expected = [
        "1 more deliveries were accepted here than became final in the ledger",
        "1 is the ledger's difference (accepted - final - pending)",
    ];
    check_bad(&run(Fault::Miscount, &[]).await, &expected);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_with_a_key() {
    let found = run(Fault::Busy, &[]).await;
    check_good(&found);
    assert_eq!(found.book.lock().unwrap().keys_seen.len(), 1, "only what is sent again needs a key");
    let found = run(Fault::Busy, &["--idempotency"]).await;
    check_good(&found);
    let keys = found.book.lock().unwrap().keys_seen.clone();
    assert_eq!((keys.len(), keys.iter().collect::<std::collections::BTreeSet<_>>().len()), (41, 40));
}

#[tokio::test]
async fn a_busy_oms_door_is_asked_again() {
    check_good(&run(Fault::Busy, &["--door", "oms-batch"]).await);
}

#[tokio::test]
async fn a_refused_message_is_noticed() {
    for door in ["rest", "oms", "oms-batch"] {
        check_bad(&run(Fault::Refuse, &["--door", door]).await, &["1 messages could not be sent"]);
    }
}

#[tokio::test]
async fn an_honest_failure_is_neither_lost_nor_doubled() {
    let found = run(Fault::Fail, &[]).await;
    check_good(&found);
    assert!(found.report.to_string().contains("40 looked up: 39 delivered, 1 failed"), "{}", found.report);
}

#[tokio::test]
async fn the_report_reads_as_json_too() {
    let found = run(Fault::None, &[]).await;
    let shown: Value = serde_json::from_str(&found.report.json()).unwrap();
    assert_eq!((&shown["accepted"], &shown["network"]["seen"]), (&json!(40), &json!(40)));
    assert_eq!(shown["ledger"]["difference"], json!(0));
}

const ROLE: &str = "LOADTEST_CHILD";

/// Runs only as the child of the test below: a server that ends well on SIGTERM, or badly.
#[tokio::test]
async fn child() {
    let (Ok(directory), Ok(end)) = (std::env::var(ROLE), std::env::var("LOADTEST_CHILD_ENDS")) else { return };
    let directory = PathBuf::from(directory);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let book = book(Fault::None, &directory);
    tokio::select! {
        () = serve(book, &directory) => {}
        _ = terminate.recv() => std::process::exit(if end == "well" { 0 } else { 3 }),
    }
}

async fn run_with_child(end: &str) -> Result<Report, String> {
    let directory = tempfile::tempdir().unwrap();
    let demo = directory.path().join("demo.json");
    std::fs::write(&demo, "an older file speaks of another server").unwrap();
    let program = std::env::current_exe().unwrap();
    let environment = format!("{ROLE}={} LOADTEST_CHILD_ENDS={end}", directory.path().display());
    let command = format!("env {environment} {} --exact child --nocapture", program.display());
    let options = options(&demo, &["--spawn", &command]);
    loadtest::run(options).await.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn a_server_can_be_started_for_the_test() {
    let report = run_with_child("well").await.unwrap();
    assert!(report.is_good(), "{report}");
    let shown: Value = serde_json::from_str(&report.json()).unwrap();
    assert!(shown["server_cpu_seconds"].is_number(), "its cpu time is measured");
}

#[tokio::test]
async fn a_server_that_ends_badly_is_an_error() {
    let error = run_with_child("badly").await.expect_err("it ends with 3");
    assert_eq!(error, "the server ended with `exit status: 3`");
}

#[tokio::test]
async fn a_server_that_never_starts_is_an_error() {
    let error =
        loadtest::run(options(std::path::Path::new("/nonexistent"), &["--spawn", "sh -c 'exit 7'"])).await.err();
    assert_eq!(error.unwrap().to_string(), "the server ended with `exit status: 7` before it was ready");
}

/// A Kannel that takes every message, and reports each but one.
async fn run_with_kannel(missing: Option<&'static str>) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("sim.jsonl");
    std::fs::write(&log, "").unwrap();
    let seen = log.clone();
    let door = get(async move |Query(query): Query<BTreeMap<String, String>>| {
        assert_eq!((query["username"].as_str(), query["password"].as_str()), ("user", "a&b"));
        let line = json!({ "at": "2026-11-21T10:34:56.045Z", "to": query["to"], "text": query["text"] });
        let mut log = std::fs::OpenOptions::new().append(true).open(&seen).unwrap();
        writeln!(log, "{line}").unwrap();
        assert_eq!(query["dlr-mask"], "3");
        let url = query["dlr-url"].replace("%d", "1");
        if !missing.is_some_and(|missing| url.ends_with(missing)) {
            tokio::spawn(report(url));
        }
        (StatusCode::ACCEPTED, "0: Accepted for delivery")
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/cgi-bin/sendsms", door);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let password = directory.path().join("password");
    std::fs::write(&password, "a&b\n").unwrap();
    let (log, password) = (log.to_str().unwrap(), password.to_str().unwrap());
    let fixed = ["loadtest", "--door", "kannel", "--kannel", &url, "--user-id", "user", "--password-file", password];
    let run = ["--numbers", "+4915112345678", "--sim-log", log, "-n", "40", "-c", "4", "--settle-seconds-max", "1"];
    let options = Options::try_parse_from(fixed.iter().chain(&run)).unwrap();
    let report = loadtest::run(options).await.unwrap();
    server.abort();
    report
}

/// Fetches what reports are wanted by.
async fn report(url: String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(authority).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn kannel_is_followed_by_its_reports() {
    let report = run_with_kannel(None).await;
    assert!(report.is_good(), "{report}");
    let shown: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&shown["receipts"]["reported"], &shown["network"]["seen"]), (&json!(40), &json!(40)));
    assert!(shown["delivered_per_second"].is_number() && shown["network"]["seen_per_second"].is_number(), "{shown}");
    let report = run_with_kannel(Some("/7/1")).await;
    assert_eq!(report.complaints(), ["1 reports never came"]);
}
