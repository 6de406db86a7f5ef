//! The journey of multimedia messages: what comes by the OMS door reaches a relay by MM7 part by part, its reports come back, and
//! faults of either side lose and double nothing. The relay runs in the test, so that it outlives what is killed.
//!
//! `CARILLON_MM7_EXCHANGES` names a folder that gets every exchange of the first test, for readers of other makers.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;
use sim::fault::FaultRule;
use sim::{Mmsc, MmscConfig, MmscFault, MmscNumberRule};
use support::Carillon;
use support::farm::wait_until;
use tokio_util::sync::CancellationToken;
use wire::mms::Notification;
use wire::tpdu::{Submit, from_hex};
use wire::udh::Element;
use wire::wsp::Push;

/// `acme:gate` and `relay:s3cret`.
const OURS: &str = "Basic YWNtZTpnYXRl";
const RELAYS: &str = "Basic cmVsYXk6czNjcmV0";

const SLIDES: &str = "<mmsSlides><head><layout><root-layout width='120' height='300' background-color='#FFFFFF'/>\
    <region id='image' left='0' top='0' width='120' height='90'/>\
    <region id='text' left='0' top='90' width='120' height='30'/></layout></head>\
    <body><par dur='3000'><img src='cid:pic' region='image'/><text src='cid:words' region='text'/></par></body></mmsSlides>";

/// A relay, and an installation with a link to it.
struct Place {
    dir: tempfile::TempDir,
    relay: Mmsc,
    reports: String,
    stop: CancellationToken,
}

impl Place {
    async fn set(change: impl FnOnce(&mut MmscConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (file, password) in [("ours", "gate"), ("relays", "s3cret")] {
            let path = dir.path().join(file);
            std::fs::write(&path, password).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let reports = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut config = MmscConfig {
            authorization: OURS.to_owned(),
            report_url: format!("http://{reports}/mm7/relay"),
            report_authorization: RELAYS.to_owned(),
            ..MmscConfig::default()
        };
        change(&mut config);
        let stop = CancellationToken::new();
        let relay = Mmsc::start(config, stop.clone()).await.unwrap();
        Self { dir, relay, reports, stop }
    }

    async fn start(&self) -> Carillon {
        self.start_with("").await
    }

    /// The same with more of the relay's keys (TOML).
    async fn start_with(&self, keys: &str) -> Carillon {
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        let settings = format!(
            "[demo]\nmodems_per_route = 0\nmultimedia = true\n\
             [sms_router]\nretry_ms_first = 200\nretry_ms_max = 1000\n\
             [modem_farm]\nname = \"demo-farm\"\n[modem_farm.reports]\nlisten = \"{}\"\n\
             [[modem_farm.mm7]]\nname = \"relay\"\nroute = \"blue-multimedia\"\nurl = \"http://{}/mm7?from=us\"\n\
             user = \"acme\"\npassword_file = \"{}\"\nsender = \"11122\"\nreport_user = \"relay\"\nreport_password_file = \"{}\"\n\
             answer_seconds_max = 2\nrest_ms_first = 20\nrest_ms_max = 200\n{keys}",
            self.reports,
            self.relay.address(),
            file("ours"),
            file("relays"),
        );
        Carillon::start_whole(&self.dir.path().join("data"), &settings).await
    }

    /// The id of the n-th message the relay took, as its transaction names it.
    fn id(&self, n: usize) -> String {
        self.relay.taken()[n].transaction.split('.').next().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends a picture and a text as Outlook does, and returns the words of the answer.
async fn send(carillon: &Carillon, to: &str, slides: &str) {
    let picture = "AAECAwQF".repeat(3000);
    let document = format!(
        "<xmsData client='test' xmlns='http://schemas.microsoft.com/office/Outlook/2006/OMS'><user><userId>{}</userId>\
         <password>{}</password></user><xmsHead><requiredService>MMS_SENDER</requiredService><to><recipient>{to}</recipient></to>\
         <subject>Zug &amp; Zeit</subject></xmsHead><xmsBody format='MMS'>{slides}\
         <content contentType='image/JPEG' contentId='pic' contentLocation='pic.jpg'>{picture}</content>\
         <content contentType='text/plain' contentId='words' contentLocation='words.txt'>Grüße &lt;3</content>\
         </xmsBody></xmsData>",
        carillon.demo.user_id, carillon.demo.password
    );
    let call = format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><DeliverXms \
         xmlns='http://schemas.microsoft.com/office/Outlook/2006/OMS'><xmsData><![CDATA[{document}]]></xmsData></DeliverXms>\
         </s:Body></s:Envelope>"
    );
    let request = carillon.client.post(&carillon.demo.oms).header("content-type", "text/xml; charset=utf-8").body(call);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(
        answer.contains("code=&quot;ok&quot;") || answer.contains("code=\"ok\""),
        "{answer}\n{}",
        carillon.log_tail()
    );
}

fn steps(message: &Value) -> Vec<&str> {
    message["timeline"].as_array().unwrap().iter().map(|entry| entry["step"].as_str().unwrap()).collect()
}

async fn metric(carillon: &Carillon, line: &str) -> f64 {
    let metrics = carillon.client.get(format!("{}/metrics", carillon.demo.ops)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let found = metrics.lines().find(|text| text.starts_with(line)).and_then(|text| text.rsplit(' ').next());
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no `{line}`:\n{metrics}"))
}

#[tokio::test]
async fn a_message_arrives_part_by_part_and_its_report_comes_back() {
    let rule = |fault, at| FaultRule::at(fault, &[at]);
    let faults = vec![
        rule(MmscFault::ReportTwice, 1),
        rule(MmscFault::ReportFirst, 2),
        rule(MmscFault::Refused { code: 2002 }, 4),
        rule(MmscFault::Fault { code: 4006 }, 5),
        rule(MmscFault::WithoutId, 7),
    ];
    let place = Place::set(|config| {
        config.faults = faults;
        config.dir = std::env::var_os("CARILLON_MM7_EXCHANGES").map(PathBuf::from).unwrap_or_default();
        let states = vec!["Forwarded".to_owned(), "Expired".to_owned()];
        config.numbers = vec![MmscNumberRule { suffix: "0003".into(), states }];
    })
    .await;
    let carillon = place.start().await;
    let log = carillon.parts[0].log.clone();
    let taken =
        async |count: usize| wait_until("the relay takes it", &log, || place.relay.taken().len() == count).await;

    send(&carillon, &carillon.number(0, 1), SLIDES).await;
    taken(1).await;
    let message = carillon.wait_state(&place.id(0), "delivered").await;
    assert_eq!(steps(&message), ["accepted", "routed", "leased", "submitted", "delivered"], "{message:#}");
    assert_eq!(
        (&message["timeline"][1]["route"], &message["timeline"][3]["modem"]),
        (&"blue-multimedia".into(), &"relay".into())
    );
    let sent = place.relay.taken().remove(0).message;
    assert_eq!((sent.vasp_id.as_str(), sent.sender.as_str(), sent.report), ("carillon", "11122", true));
    assert_eq!((sent.recipients, sent.subject.as_str()), (vec![carillon.number(0, 1)], "Zug & Zeit"));
    let parts: Vec<_> = sent.parts.iter().map(|p| (p.content_type.as_str(), p.id.as_str(), p.name.as_str())).collect();
    let media = [("image/jpeg", "pic", "pic.jpg"), ("text/plain", "words", "words.txt")];
    assert_eq!(parts[0], ("application/smil", "presentation@carillon", ""));
    assert_eq!(parts[1..], media);
    assert!(String::from_utf8_lossy(&sent.parts[0].data).contains(
        "<par dur=\"3000ms\"><img src=\"cid:pic\" region=\"Image\"/><text src=\"cid:words\" region=\"Text\"/></par>"
    ));
    assert_eq!(sent.parts[1].data, [0, 1, 2, 3, 4, 5].repeat(3000));
    assert_eq!(sent.parts[2].data, "Grüße <3".as_bytes());
    wait_until("the report comes again", &log, || place.relay.reports() == (2, 0)).await;
    assert_eq!(metric(&carillon, "carillon_farm_relay_reports_total{end=\"repeated\"}").await, 1.0);

    send(&carillon, &carillon.number(1, 2), "").await;
    taken(2).await;
    carillon.wait_state(&place.id(1), "delivered").await;
    let mixed = place.relay.taken().remove(1).message;
    assert_eq!((mixed.attachment_type.as_str(), mixed.parts.len()), ("multipart/mixed", 2));

    send(&carillon, &carillon.number(0, 3), "").await;
    taken(3).await;
    carillon.wait_state(&place.id(2), "expired").await;

    // One that is refused for good ends, one that is refused for now is sent again.
    send(&carillon, &carillon.number(0, 4), "").await;
    wait_until("the relay refuses it", &log, || place.relay.posted() == 4).await;
    send(&carillon, &carillon.number(0, 5), "").await;
    taken(4).await;
    assert!(place.relay.taken()[3].transaction.ends_with(".0-2"), "the second attempt");
    let message = carillon.wait_state(&place.id(3), "delivered").await;
    assert!(steps(&message).contains(&"retried"), "{message:#}");
    // Without an id nothing can be reported.
    send(&carillon, &carillon.number(0, 6), "").await;
    taken(5).await;
    carillon.wait_state(&place.id(4), "sent").await;
    let ledger = carillon.settle_all(6).await;
    let states = [("delivered", 3), ("expired", 1), ("failed", 1), ("sent", 1)];
    states.iter().for_each(|(state, count)| assert_eq!(ledger["by_state"][state], *count, "{ledger:#}"));
}

#[tokio::test]
async fn the_door_for_reports_admits_nobody_else() {
    let place = Place::set(|_| {}).await;
    let carillon = place.start().await;
    let ask = async |name: &str, authorization: &str, body: Vec<u8>| {
        let request = carillon.client.post(format!("http://{}/mm7/{name}", place.reports)).body(body);
        let request = request.header("content-type", "text/xml").header("authorization", authorization);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let envelope = |call: &str| {
        format!("<Envelope><Header><TransactionID>t&amp;1</TransactionID></Header><Body>{call}</Body></Envelope>")
    };
    let report = envelope("<DeliveryReportReq/>").into_bytes();
    for (name, authorization) in [("relay", ""), ("relay", OURS), ("other", RELAYS)] {
        assert_eq!(ask(name, authorization, report.clone()).await, (401, String::new()), "{name}");
    }
    let (status, body) = ask("relay", RELAYS, report).await;
    assert!(status == 500 && body.contains("<StatusCode>2007</StatusCode>"), "{status} {body}");
    let (status, body) = ask("relay", RELAYS, envelope("<ReadReplyReq/>").into_bytes()).await;
    assert!(
        status == 500 && body.contains("<StatusCode>4003</StatusCode>") && body.contains(">t&amp;1<"),
        "{status} {body}"
    );
    assert_eq!(ask("relay", RELAYS, vec![b' '; 1_300_001]).await.0, 413);
    assert_eq!(metric(&carillon, "carillon_farm_relay_reports_total{end=\"not-admitted\"}").await, 3.0);
}

#[tokio::test]
async fn what_is_not_answered_is_uncertain_and_never_sent_again() {
    let rule = |fault, at| FaultRule::at(fault, &[at]);
    let faults = vec![
        rule(MmscFault::AnswerMissing { taken: true }, 1),
        rule(MmscFault::Disconnect { taken: true }, 2),
        rule(MmscFault::Nonsense, 3),
        rule(MmscFault::Disconnect { taken: false }, 4),
        rule(MmscFault::ReportMissing, 5),
    ];
    let place = Place::set(|config| config.faults = faults).await;
    let mut carillon = place.start().await;
    let log = carillon.parts[0].log.clone();
    for n in 1..=4 {
        send(&carillon, &carillon.number(0, n), "").await;
        wait_until("the relay is asked", &log, || place.relay.posted() == n as u64).await;
    }
    let ledger = carillon.settle_all(4).await;
    assert_eq!(ledger["by_state"]["uncertain"], 4, "{ledger:#}");
    assert_eq!((place.relay.posted(), place.relay.taken().len()), (4, 3));

    // The farm dies while an answer is outstanding.
    place.relay.set_faults(vec![FaultRule::always(MmscFault::AnswerMissing { taken: true })]);
    send(&carillon, &carillon.number(0, 5), "").await;
    wait_until("the relay takes it", &log, || place.relay.posted() == 5).await;
    carillon.kill();
    place.relay.set_faults(Vec::new());
    let carillon = place.start().await;
    send(&carillon, &carillon.number(0, 6), "").await;
    wait_until("the relay takes another", &log, || place.relay.taken().len() == 5).await;
    let ledger = carillon.settle_all(6).await;
    assert_eq!(
        (&ledger["by_state"]["uncertain"], &ledger["by_state"]["delivered"]),
        (&5.into(), &1.into()),
        "{ledger:#}"
    );
    assert_eq!(place.relay.posted(), 6, "nothing was sent twice");
}

#[tokio::test]
async fn a_relay_that_knows_repeats_is_asked_again() {
    let faults = vec![FaultRule::at(MmscFault::Disconnect { taken: false }, &[1])];
    let place = Place::set(|config| config.faults = faults).await;
    let carillon = place.start_with("knows_repeats = true\n").await;
    let log = carillon.parts[0].log.clone();
    send(&carillon, &carillon.number(0, 1), "").await;
    wait_until("the relay takes it", &log, || place.relay.taken().len() == 1).await;
    assert!(place.relay.taken()[0].transaction.ends_with(".0-1"), "the same attempt");
    carillon.wait_state(&place.id(0), "delivered").await;
    assert_eq!(place.relay.posted(), 2);
}

/// What the simulated phones got, put together: pushes with a notice, by recipient.
fn notices(carillon: &Carillon) -> BTreeMap<String, Notification> {
    let mut octets: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in carillon.received() {
        let submit = Submit::decode(&from_hex(line.tpdu.as_bytes()).unwrap()).unwrap();
        assert_eq!((submit.pid, submit.dcs, submit.status_report_request), (0, 0xf5, false), "{line:?}");
        let header = submit.user_data.header().expect("a header says to which program");
        assert!(header.elements.contains(&Element::Ports { destination: 2948, source: 9200 }), "a push");
        octets.entry(line.to).or_default().extend(submit.user_data.body_octets());
    }
    let whole = octets.into_iter().filter_map(|(to, octets)| {
        let push = Push::decode(&octets).ok()?;
        let notice = Notification::decode(&push.body).ok()?;
        assert_eq!(push.media_type.name(), Some(wire::mms::MEDIA_TYPE));
        Some((to, notice))
    });
    whole.collect()
}

#[tokio::test]
async fn without_a_relay_phones_get_a_notice_and_fetch_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[demo]\nmultimedia_by_notice = true\n[gateway.content]\nurl = \"http://mms.test/\"\n";
    let carillon = Carillon::start_whole(&dir.path().join("data"), settings).await;
    let log = carillon.parts[0].log.clone();
    let (ann, bob) = (carillon.number(0, 1), carillon.number(0, 2));
    send(&carillon, &ann, SLIDES).await;
    send(&carillon, &bob, "").await;
    wait_until("both phones get a notice", &log, || notices(&carillon).len() == 2).await;
    let notices = notices(&carillon);
    let base = carillon.demo.oms.split("/oms/").next().unwrap().to_owned();
    let address = |notice: &Notification| {
        let token = notice.location.strip_prefix("http://mms.test/m/").expect("the address of the settings");
        assert_eq!(token.len(), 22, "128 bits");
        format!("{base}/m/{token}")
    };
    let notice = &notices[&ann];
    assert_eq!((notice.octets, notice.expires_seconds), (18_000 + "Grüße <3".len() as u32, 72 * 3600));
    assert!(notice.from.is_some(), "who sends is who is answered");

    let fetched = carillon.client.get(address(notice)).send().await.unwrap();
    let kind = fetched.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!((fetched.status().as_u16(), kind.as_str()), (200, wire::mms::MEDIA_TYPE));
    let message = fetched.bytes().await.unwrap();
    assert_eq!(message[..3], [0x8c, 0x84, 0x98]);
    let has = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
    assert!(has(&[0, 1, 2, 3, 4, 5].repeat(3000)) && has("Grüße <3".as_bytes()), "the media as they are");
    assert!(has(b"<par dur=\"3000ms\"><img src=\"cid:pic\" region=\"Image\"/>"), "the slides");
    let refuses =
        [&[0x8c, 0x83, 0x98][..], notices[&bob].transaction.as_bytes(), &[0, 0x8d, 0x92, 0x95, 0x82]].concat();
    let told = carillon.client.post(address(&notices[&bob])).body(refuses).send().await.unwrap();
    assert_eq!(told.status(), 204);
    for wrong in [format!("{base}/m/AAAAAAAAAAAAAAAAAAAAAA"), format!("{base}/m/x"), address(notice) + "A"] {
        assert_eq!(carillon.client.get(wrong).send().await.unwrap().status(), 404);
    }
    let ledger = carillon.settle_all(2).await;
    assert_eq!((&ledger["by_state"]["delivered"], &ledger["by_state"]["failed"]), (&1.into(), &1.into()), "{ledger:#}");
    assert_eq!(metric(&carillon, "carillon_gateway_content_fetched_total").await, 1.0);
}
