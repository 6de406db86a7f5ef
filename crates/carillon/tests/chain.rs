//! HTTP SMS services: one installation is another's, circles end, a repeat is sent once; and what a service of somebody else's
//! answers, or does not answer, loses and doubles nothing.

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::farm::wait_until;
use support::{Carillon, free_address, texts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const TEMPLATE: &str = "number=%number%&data=%data%&udh=%udh%&binary=%binary%&pid=%pid%&dcs=%dcs%";

/// Settings of an installation whose routes lead to a service.
fn settings(url: &str, keys: &str) -> String {
    settings_of(&format!("{url}?{TEMPLATE}"), keys)
}

/// The same with a template.
fn settings_of(url: &str, keys: &str) -> String {
    let mut text = "[demo]\nmodems_per_route = 0\n\
                    [sms_router]\nretry_ms_first = 50\nretry_ms_max = 200\nattempts_max = 4\n\
                    [modem_farm]\nname = \"demo-farm\"\n"
        .to_owned();
    for name in ["blue", "green"] {
        text += &link_settings(name, url, keys);
    }
    text
}

fn link_settings(name: &str, url: &str, keys: &str) -> String {
    let rests = if keys.contains("rest_ms_max") { "" } else { "rest_ms_first = 20\nrest_ms_max = 100\n" };
    format!(
        "[[modem_farm.http]]\nname = \"{name}\"\nroute = \"{name}-modems\"\nurl = \"{url}\"\n\
         networks = [\"127.0.0.0/8\"]\nbinary = true\nanswer_seconds_max = 2\n{rests}{keys}"
    )
}

fn secret(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

async fn send_octets(carillon: &Carillon, to: &str) -> String {
    let octets = json!({ "udh": "0605040b8423f0", "data": "010603ceaf85", "dcs": 245 });
    let answer = carillon.post(&json!({ "to": to, "binary": octets })).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_installation_is_anothers_service() {
    let dir = tempfile::tempdir().unwrap();
    let second = Carillon::start_whole(&dir.path().join("second"), "").await;
    for method in ["get", "post"] {
        let token = secret(&dir.path().join("token"), &second.demo.api_key);
        let keys = format!("carillon = true\nmethod = \"{method}\"\ntoken_file = \"{token}\"\n");
        let url = format!("{}/sms", second.demo.rest);
        let first = Carillon::start_whole(&dir.path().join(method), &settings(&url, &keys)).await;
        let text = format!("Größer als 100 % & mehr, per {method}: ").repeat(5);
        let ids = [
            first.send(&first.number(0, 1), &text).await,
            first.send(&first.number(1, 2), &format!("short by {method}")).await,
            send_octets(&first, &first.number(0, 3)).await,
        ];
        for id in &ids {
            let message = first.wait_state(id, "sent").await;
            let modem = message["timeline"].as_array().unwrap().iter().find_map(|entry| entry["modem"].as_str());
            assert!(["blue", "green"].contains(&modem.unwrap()), "{message:#}");
        }
        second.settle_all(if method == "get" { 3 } else { 6 }).await;
        let received = second.received();
        let counts = texts(&received);
        assert_eq!((counts[&text], counts[&format!("short by {method}")]), (1, 1));
        let octets = received.iter().filter(|line| line.tpdu.to_lowercase().ends_with("0d0605040b8423f0010603ceaf85"));
        assert_eq!(octets.count(), if method == "get" { 1 } else { 2 });
    }
}

#[tokio::test]
async fn circles_end_and_a_repeat_is_sent_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    // The first call is read and never answered: it comes again, and names the same message.
    service.will(&[0]);
    let carillon = Carillon::start_whole(dir.path(), &settings(&service.url(), "carillon = true\n")).await;
    let to = carillon.number(0, 1).replace('+', "%2B");
    let call = async |path: &str, id: &str| {
        let url = format!("{}/sms?number={to}&data=hello&pass={}", carillon.demo.rest, carillon.demo.api_key);
        let request = carillon.client.get(url).header("x-push-path", path).header("x-push-message-id", id);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = call("there", "m-1").await;
    assert_eq!(status, 202, "{first:#}");
    let (status, again) = call("elsewhere", "m-1").await;
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    carillon.wait_state(first["id"].as_str().unwrap(), "sent").await;
    let calls = service.calls();
    let header = |call: &str, name: &str| {
        let line =
            call.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        line.unwrap_or_else(|| panic!("no `{name}`: {call}")).1.to_owned()
    };
    assert_eq!(calls.len(), 2, "once without an answer, and once more");
    let ids = [0, 1].map(|n| header(&calls[n], "x-push-message-id"));
    assert!(ids[0] == ids[1] && ids[0].starts_with(first["id"].as_str().unwrap()), "{ids:?}");
    let path = header(&calls[0], "x-push-path");
    let own = path.strip_prefix("there,").expect("it goes on with what came").to_owned();
    assert!(own.len() == 16 && !own.contains(','), "{path}");

    for path in [path.as_str(), &own, "a,b,c,d,e"] {
        let (status, problem) = call(path, "m-2").await;
        assert_eq!((status, problem["type"].as_str().unwrap().ends_with("loop")), (508, true), "{path}: {problem:#}");
    }
    assert_eq!(call("a,b,c,d", "m-2").await.0, 202);
    let refused = async |query: &str| {
        let answer = carillon.client.get(format!("{}/sms?{query}", carillon.demo.rest)).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(refused(&format!("number={to}&data=x")).await, 401);
    assert_eq!(refused(&format!("number={to}&data=x&user=other&pass={}", carillon.demo.api_key)).await, 401);
    assert_eq!(refused("data=x").await, 422);
    carillon.settle_all(2).await;
    assert_eq!(service.calls().len(), 3);
}

#[tokio::test]
async fn what_a_service_answers_decides() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    let keys = "ok_statuses = [200]\nok_body = \"^OK\"\nuser = \"acme\"\n";
    let carillon = Carillon::start_whole(dir.path(), &settings(&service.url(), keys)).await;
    let log = carillon.parts[0].log.clone();
    let mut asked = 0;
    let mut check = async |script: &[u16], state: &str| {
        service.will(script);
        let id = carillon.send(&carillon.number(0, asked), &format!("number {asked}")).await;
        carillon.wait_state(&id, state).await;
        asked += script.len();
        wait_until("the service is asked", &log, || service.calls().len() == asked).await;
    };
    check(&[200], "sent").await;
    check(&[0], "uncertain").await;
    check(&[500], "uncertain").await;
    check(&[503, 200], "sent").await;
    check(&[401, 429, 200], "sent").await;
    check(&[400], "failed").await;
    check(&[202, 202, 202, 202], "failed").await;
    // Basic: `acme` without a password.
    assert!(service.calls().iter().all(|call| call.to_lowercase().contains("authorization: basic ywntzto=")));
    carillon.settle_all(7).await;
}

/// An installation of a chain: where it is, and how it is started, again and again.
struct Link {
    data: PathBuf,
    address: String,
    settings: String,
}

impl Link {
    /// One whose routes lead to a service, which is asked to report, and that may report to this machine.
    fn new(dir: &Path, name: &str, url: &str, template: &str, keys: &str) -> Self {
        let address = free_address();
        let keys = format!("report_url = \"http://{address}/sms/reports\"\n{keys}");
        let reports = "[sms_router.control]\nlisten = \"127.0.0.1:0\"\n[sms_router.reports]\nnetworks = [\"127.0.0.0/8\"]\nretry_ms_first = 50\nretry_ms_max = 200\n";
        let settings =
            "ops_listen = \"127.0.0.1:0\"\n".to_owned() + reports + &settings_of(&format!("{url}?{template}"), &keys);
        Self { data: dir.join(name), address, settings }
    }

    /// One whose service reports where a variable of the template says.
    fn to_service(dir: &Path, name: &str, service: &Service) -> Self {
        Self::new(dir, name, &service.url(), &format!("{TEMPLATE}&report=%report%"), "")
    }

    /// One before another installation.
    fn before(dir: &Path, name: &str, next: &Carillon) -> Self {
        let token = secret(&dir.join(format!("{name}-token")), &next.demo.api_key);
        let keys = format!("carillon = true\ntoken_file = \"{token}\"\n");
        Self::new(dir, name, &format!("{}/sms", next.demo.rest), TEMPLATE, &keys)
    }

    async fn start(&self) -> Carillon {
        Carillon::start_at(&self.data, &self.address, &self.settings).await
    }
}

/// The value of a parameter of a call.
fn parameter(call: &str, name: &str) -> String {
    let target = call.split(' ').nth(1).expect("a request line");
    let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no `{name}`: {call}")).1.into_owned()
}

impl Service {
    /// Waits until it was asked to send a text, and returns where it is to report on it.
    async fn report_url(&self, carillon: &Carillon, text: &str) -> String {
        let call = || self.calls().into_iter().find(|call| parameter(call, "data") == text);
        wait_until("the service is asked", &carillon.parts[0].log, || call().is_some()).await;
        parameter(&call().expect("it was there"), "report")
    }

    /// Reports on a text, as `state` has it.
    async fn report(&self, carillon: &Carillon, text: &str, state: &str) {
        let url = self.report_url(carillon, text).await;
        let answer = carillon.client.get(format!("{url}?state={state}")).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{state}: {}", answer.text().await.unwrap());
    }
}

/// The final steps of a message.
fn ends(message: &Value) -> Vec<&str> {
    let steps = message["timeline"].as_array().unwrap().iter().map(|entry| entry["step"].as_str().unwrap());
    steps.filter(|step| !["accepted", "routed", "leased", "submitted", "retried", "scheduled"].contains(step)).collect()
}

#[tokio::test]
async fn reports_travel_back_through_two_and_three() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    let third = Link::to_service(dir.path(), "third", &service).start().await;
    let second = Link::before(dir.path(), "second", &third).start().await;
    let first = Link::before(dir.path(), "first", &second).start().await;
    let told = [
        ("DELIVRD", "delivered", false),
        ("failed", "failed", false),
        ("rejected", "failed", true),
        ("expired", "expired", false),
        ("uncertain", "uncertain", false),
    ];
    // Of the chain of three the first sends, of the chain of two the second.
    for (length, sender) in [(3, &first), (2, &second)] {
        for (n, (word, state, _)) in told.iter().enumerate() {
            let text = format!("{word} through {length}");
            let id = sender.send(&sender.number(n, n), &text).await;
            // That it was taken there is not told as more than that.
            service.report(&third, &text, "ACCEPTD").await;
            sender.wait_state(&id, "submitted").await;
            service.report(&third, &text, word).await;
            // Said again, it counts for nothing.
            service.report(&third, &text, word).await;
            let message = sender.wait_state(&id, state).await;
            assert_eq!(ends(&message), [*state], "{message:#}");
        }
    }
    let text = "a proof that comes late";
    let id = first.send(&first.number(0, 9), text).await;
    service.report(&third, text, "uncertain").await;
    first.wait_state(&id, "uncertain").await;
    service.report(&third, text, "delivered").await;
    assert_eq!(ends(&first.wait_state(&id, "delivered").await), ["uncertain", "delivered"]);
    for (installation, count) in [(&first, 6), (&second, 11), (&third, 11)] {
        let ledger = installation.settle_all(count).await;
        assert_eq!(ledger["accepted"], count, "{ledger:#}");
    }
    assert_eq!(service.calls().len(), 11);
}

#[tokio::test]
async fn a_kill_anywhere_loses_and_doubles_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    let behind = Link::to_service(dir.path(), "behind", &service);
    let mut second = behind.start().await;
    let before = Link::before(dir.path(), "before", &second);
    let mut first = before.start().await;
    let send = async |first: &Carillon, text: &str| first.send(&first.number(0, 1), text).await;

    // The second is killed as soon as it took the report, and before it can tell it: the first is away meanwhile.
    let id = send(&first, "one").await;
    first.wait_state(&id, "submitted").await;
    first.kill();
    service.report(&second, "one", "delivered").await;
    second.kill();
    second = behind.start().await;
    first = before.start().await;
    assert_eq!(ends(&first.wait_state(&id, "delivered").await), ["delivered"]);

    // The first is killed as soon as its call was taken, and hears of it as of one whose end is not known.
    let id = send(&first, "two").await;
    service.report_url(&second, "two").await;
    first.kill();
    service.report(&second, "two", "failed").await;
    second.kill();
    second = behind.start().await;
    first = before.start().await;
    let message = first.wait_state(&id, "failed").await;
    assert!([&["failed"][..], &["uncertain", "failed"]].contains(&ends(&message).as_slice()), "{message:#}");
    for installation in [&first, &second] {
        let ledger = installation.settle_all(2).await;
        let by_state = &ledger["by_state"];
        assert_eq!((&by_state["delivered"], &by_state["failed"]), (&json!(1), &json!(1)), "{ledger:#}");
    }
    assert_eq!(service.calls().len(), 2, "nothing is sent twice");
}

#[tokio::test]
async fn a_service_may_report_before_it_answers_and_nobody_else_may() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    let installation = Link::to_service(dir.path(), "installation", &service);
    let carillon = installation.start().await;
    service.will(&[REPORTS_FIRST]);
    let id = carillon.send(&carillon.number(0, 1), "early").await;
    assert_eq!(ends(&carillon.wait_state(&id, "delivered").await), ["delivered"]);
    service.will(&[REPORTS_ONLY]);
    let id = carillon.send(&carillon.number(0, 2), "without an answer").await;
    // The call's end was not known yet when its report came: by their times, the proof stands first.
    assert_eq!(ends(&carillon.wait_state(&id, "delivered").await), ["delivered", "uncertain"]);

    let id = carillon.send(&carillon.number(0, 3), "mine").await;
    let url = service.report_url(&carillon, "mine").await;
    let other = Link::to_service(dir.path(), "other", &service).start().await;
    other.send(&other.number(0, 3), "theirs").await;
    let theirs = service.report_url(&other, "theirs").await;
    let (door, ticket) = url.rsplit_once('/').unwrap();
    let ask = async |url: &str| {
        let answer = carillon.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["type"].as_str().unwrap().to_owned())
    };
    let flipped = if ticket.ends_with('A') { "Q" } else { "A" };
    let forged = format!("{}{flipped}", &ticket[..ticket.len() - 1]);
    for ticket in [forged.as_str(), &ticket[..40], "x", theirs.rsplit_once('/').unwrap().1] {
        let answer = ask(&format!("{door}/{ticket}?state=delivered")).await;
        assert_eq!(answer, (404, "urn:carillon:problem:not-found".to_owned()), "{ticket}");
    }
    for query in ["", "?state=", "?state=lost"] {
        assert_eq!(ask(&format!("{url}{query}")).await, (422, "urn:carillon:problem:invalid-field".to_owned()));
    }
    let posted = async |kind: &str, body: &str| {
        let request = carillon.client.post(&url).header("content-type", kind).body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(posted("application/json", "{").await, 400);
    assert_eq!(posted("application/json", "{\"status\":\"lost\"}").await, 422);
    assert_eq!(carillon.message(&id).await["state"], "submitted");
    assert_eq!(posted("application/x-www-form-urlencoded", "id=4711&status=DELIVRD").await, 204);
    assert_eq!(ends(&carillon.wait_state(&id, "delivered").await), ["delivered"]);
    // What is reported where it is told to is a ticket of nobody's here.
    let to = carillon.number(0, 4).replace('+', "%2B");
    let key = &carillon.demo.api_key;
    let call = format!("{}/sms?number={to}&data=x&pass={key}&report=ftp%3A%2F%2Fa.example", carillon.demo.rest);
    assert_eq!(ask(&call).await.0, 422);
}

/// Writes a deck in which both routes have one price for Britain, and each is free in another country.
fn deck(path: &Path) {
    let line =
        |supplier: &str, prefix: &str, price: &str| format!("{supplier},{prefix},,{price},EUR,2020-01-01T00:00:00Z,\n");
    let prices = [("blue", "44", "0.03"), ("green", "44", "0.03"), ("blue", "49", "0"), ("green", "49", "0.02")];
    let more = [("green", "420", "0"), ("blue", "420", "0.02")];
    let lines: String =
        prices.iter().chain(&more).map(|(supplier, prefix, price)| line(supplier, prefix, price)).collect();
    std::fs::write(path, format!("supplier,prefix,country,price,currency,from,to\n{lines}")).unwrap();
}

#[tokio::test]
async fn services_of_one_price_share_by_weight_and_one_that_dies_leaves_all_to_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let services = [Service::start().await, Service::start().await];
    let path = dir.path().join("deck.csv");
    deck(&path);
    let mut settings = "[demo]\nmodems_per_route = 0\n[modem_farm]\nname = \"demo-farm\"\n".to_owned();
    settings += "[sms_router]\nretry_ms_first = 50\nretry_ms_max = 200\n";
    settings += &format!("price_deck_file = \"{}\"\n", path.display());
    for (name, service) in ["blue", "green"].iter().zip(&services) {
        settings += &link_settings(name, &format!("{}?{TEMPLATE}", service.url()), "");
    }
    let data = dir.path().join("data");
    let mut carillon = Carillon::start_whole(&data, &settings).await;
    let world = dir.path().join("world.toml");
    std::fs::write(&world, "[[route]]\nid = \"blue-modems\"\nsupplier = \"blue\"\nweight = 3\n").unwrap();
    let words = ["apply", "--file", world.to_str().unwrap(), "--data", data.to_str().unwrap()];
    support::part::run(&words, &dir.path().join("apply.log"));
    carillon.kill();
    carillon = Carillon::start_whole(&data, &settings).await;

    let taken = || services.each_ref().map(|service| service.calls().len());
    let send = async |count: usize, number: fn(usize) -> String, what: &str| {
        for n in 0..count {
            carillon.send(&number(n), &format!("{what} {n}")).await;
        }
    };
    send(400, |n| format!("+44740012{n:04}"), "shared").await;
    carillon.settle_all(400).await;
    let [blue, green] = taken();
    // 300 of 400, and four standard deviations of 8.7.
    assert_eq!(blue + green, 400);
    assert!((265..=335).contains(&blue), "{blue} of 400");

    send(100, |n| format!("+49151123{n:05}"), "german").await;
    send(100, |n| format!("+420601234{n:03}"), "czech").await;
    carillon.settle_all(600).await;
    assert_eq!(taken(), [blue + 100, green + 100], "each where it is free");

    services[0].die();
    send(100, |n| format!("+44740013{n:04}"), "after").await;
    let ledger = carillon.settle_all(700).await;
    assert_eq!(ledger["by_state"]["sent"], 700, "{ledger:#}");
    assert_eq!(taken(), [blue + 100, green + 200]);
    let calls = services.iter().flat_map(Service::calls);
    let texts: BTreeSet<String> = calls.map(|call| parameter(&call, "data")).collect();
    assert_eq!(texts.len(), 700, "each once");
}

#[tokio::test]
async fn a_service_that_fails_is_left_alone_until_it_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start().await;
    // The dearer route has no link.
    let keys = "failures_max = 3\nwindow = 1\nrest_ms_first = 2000\nrest_ms_max = 2000\n";
    let both = settings(&service.url(), keys);
    let (text, _) = both.split_once("[[modem_farm.http]]\nname = \"green\"").expect("two links");
    let carillon = Carillon::start_whole(dir.path(), text).await;
    service.will(&[500, 500, 500]);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(carillon.send(&carillon.number(0, n), &format!("number {n}")).await);
    }
    let ledger = carillon.settle_all(20).await;
    let by_state = &ledger["by_state"];
    assert_eq!(
        (&by_state["uncertain"], &by_state["sent"]),
        (&json!(3), &json!(17)),
        "no more than were found out by: {ledger:#}"
    );
    let ops = carillon.client.get(format!("{}/metrics", carillon.demo.ops)).send().await.unwrap();
    let metrics = ops.text().await.unwrap();
    assert!(metrics.contains("carillon_farm_relay_rests_total{reason=\"failing\"} 1"), "it rested");
}

/// In a script: it reports that the message was delivered, and answers `200 OK` then; and the same without an answer.
const REPORTS_FIRST: u16 = 1;
const REPORTS_ONLY: u16 = 2;

/// Somebody else's service: keeps what it was asked, and answers by a script; 0 is no answer, what is beyond the script `200 OK`.
#[derive(Clone)]
struct Service {
    dead: CancellationToken,
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<u16>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            script: Arc::default(),
            dead: CancellationToken::new(),
        };
        let serving = service.clone();
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = serving.dead.run_until_cancelled(listener.accept()).await {
                let (one, dead) = (serving.clone(), serving.dead.clone());
                tokio::spawn(async move { dead.run_until_cancelled(one.serve(stream)).await });
            }
        });
        service
    }

    /// Hangs up on everybody, and listens no more.
    fn die(&self) {
        self.dead.cancel();
    }

    fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    fn will(&self, script: &[u16]) {
        self.script.lock().unwrap().extend(script);
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Answers what comes on one connection. A `GET` has no body.
    async fn serve(self, mut stream: TcpStream) {
        let (mut heard, mut buffer) = (String::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            heard += &String::from_utf8_lossy(&buffer[..length]);
            while let Some(end) = heard.find("\r\n\r\n") {
                let call: String = heard.drain(..end + 4).collect();
                self.calls.lock().unwrap().push(call.clone());
                let mut status = self.script.lock().unwrap().pop_front().unwrap_or(200);
                if [REPORTS_FIRST, REPORTS_ONLY].contains(&status) {
                    let url = format!("{}?state=delivered", parameter(&call, "report"));
                    assert_eq!(support::client().get(url).send().await.unwrap().status(), 204);
                    status = if status == REPORTS_FIRST { 200 } else { 0 };
                }
                if status == 0 {
                    return;
                }
                let body = if status == 200 { "OK" } else { "NO" };
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}
