//! HTTP SMS services: one installation is another's, circles end, a repeat is sent once; and what a service of somebody else's
//! answers, or does not answer, loses and doubles nothing.

mod support;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::farm::wait_until;
use support::{Carillon, texts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TEMPLATE: &str = "number=%number%&data=%data%&udh=%udh%&binary=%binary%&pid=%pid%&dcs=%dcs%";

/// Settings of an installation whose routes lead to a service.
fn settings(url: &str, keys: &str) -> String {
    let mut text = "[demo]\nmodems_per_route = 0\n\
                    [sms_router]\nretry_ms_first = 50\nretry_ms_max = 200\nattempts_max = 4\n\
                    [modem_farm]\nname = \"demo-farm\"\n"
        .to_owned();
    for name in ["blue", "green"] {
        text += &format!(
            "[[modem_farm.http]]\nname = \"{name}\"\nroute = \"{name}-modems\"\nurl = \"{url}?{TEMPLATE}\"\n\
             networks = [\"127.0.0.0/8\"]\nbinary = true\nanswer_seconds_max = 2\nrest_ms_first = 20\nrest_ms_max = 100\n{keys}"
        );
    }
    text
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

/// Somebody else's service: keeps what it was asked, and answers by a script; 0 is no answer, what is beyond the script `200 OK`.
#[derive(Clone)]
struct Service {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<u16>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self { address: listener.local_addr().unwrap(), calls: Arc::default(), script: Arc::default() };
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        service
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
                self.calls.lock().unwrap().push(call);
                let status = self.script.lock().unwrap().pop_front().unwrap_or(200);
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
