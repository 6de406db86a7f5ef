//! The OMS door from outside: a gateway on embedded engines, asked over loopback. Knows the protocol's promises; must not
//! know the door's inside.

mod limits;
mod mailbox;
mod multimedia;
mod service;
mod sign_up;
mod users;

use gateway::Config;
use gateway::config::RedirectStatus;
use model::party::UserState;
use model::record::Door;
use service::{Answer, Reply, Service, Setup, element, tenant, user};

const NS: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A SOAP 1.1 call.
fn call(method: &str, parameter: &str, document: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><{method} xmlns='{NS}'>\
         <{parameter}>{}</{parameter}></{method}></s:Body></s:Envelope>",
        escaped(document)
    )
}

/// One `xmsData`, to be changed by its methods.
#[derive(Clone)]
struct Message {
    user: (String, String),
    scheduled: String,
    recipients: Vec<String>,
    texts: Vec<String>,
}

impl Message {
    fn to(recipients: &[&str]) -> Self {
        Message {
            user: ("demo".into(), "s3cret demo ".into()),
            scheduled: String::new(),
            recipients: recipients.iter().map(|text| (*text).to_owned()).collect(),
            texts: vec!["Your parcel is at the front desk.".into()],
        }
    }

    fn texts(mut self, texts: &[&str]) -> Self {
        self.texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self
    }

    fn by(mut self, user_id: &str, password: &str) -> Self {
        self.user = (user_id.into(), password.into());
        self
    }

    fn scheduled(mut self, time: &str) -> Self {
        self.scheduled = format!("<scheduled>{time}</scheduled>");
        self
    }

    /// The element, with `attributes` on it.
    fn element(&self, attributes: &str) -> String {
        let (user_id, password) = (&self.user.0, escaped(&self.user.1));
        let recipients: String =
            self.recipients.iter().map(|text| format!("<recipient>{}</recipient>", escaped(text))).collect();
        let content = |text: &String| {
            format!(
                "<content contentType='text/plain' contentId='1' contentLocation='1.txt'>{}</content>",
                escaped(text)
            )
        };
        let contents: String = self.texts.iter().map(content).collect();
        format!(
            "<xmsData {attributes}><user><userId>{user_id}</userId><password>{password}</password></user><xmsHead>{}\
             <requiredService>SMS_SENDER</requiredService><to>{recipients}</to></xmsHead><xmsBody format='SMS'>{contents}\
             </xmsBody></xmsData>",
            self.scheduled
        )
    }

    fn call(&self) -> String {
        call("DeliverXms", "xmsData", &self.element(&format!("xmlns='{NS}'")))
    }
}

fn batch(items: &[Message]) -> String {
    let items: String = items.iter().enumerate().map(|(id, item)| item.element(&format!("id='{id}'"))).collect();
    call("DeliverXmsBatch", "packageXml", &format!("<xmsBatch xmlns='{NS}'>{items}</xmsBatch>"))
}

#[track_caller]
fn codes(reply: &Reply) -> Vec<String> {
    Answer::of(reply).item().codes.into_iter().map(|(code, _)| code).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(recipient, text)| ((*recipient).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn what_is_answered_ok_is_durable_and_whole() {
    let service = Service::start(Setup::new()).await;
    let message =
        Message::to(&["+44 7700 900123", "+4915112345678", "00447700900123"]).texts(&["(1/2) a & b", "(2/2) <c>"]);
    let reply = service.post(message.call()).await;
    assert_eq!(codes(&reply), ["ok"]);
    let expected = [
        ("+447700900123", "(1/2) a & b"),
        ("+447700900123", "(2/2) <c>"),
        ("+4915112345678", "(1/2) a & b"),
        ("+4915112345678", "(2/2) <c>"),
    ];
    assert_eq!(service.messages().await, pairs(&expected));
    let header = &service.sent().await[0].header;
    assert_eq!((header.door, header.deliveries, header.not_before_ms), (Door::Oms as i32, 4, 0));
    assert_eq!((header.account.tenant.as_str(), header.account.user.as_str(), header.keyed), ("acme", "demo", false));
}

#[tokio::test]
async fn each_call_is_a_message_of_its_own() {
    let service = Service::start(Setup::new()).await;
    let message = Message::to(&["+447700900123"]);
    service.post(message.call()).await;
    service.post(message.call()).await;
    let sent = service.sent().await;
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].header.message, sent[1].header.message);
}

#[tokio::test]
async fn where_the_tenant_wants_it_a_repeat_is_sent_to_nobody_twice() {
    let service = Service::start(Setup::new().oms(|oms| oms.drops_repeats = true)).await;
    let (ann, ben, cleo) = ("+447700900123", "+447700900124", "+447700900125");
    assert_eq!(codes(&service.post(Message::to(&[ann, ben]).call()).await), ["ok"]);
    assert_eq!(codes(&service.post(Message::to(&[ben, cleo]).call()).await), ["ok"], "as for what is sent");
    assert_eq!(codes(&service.post(Message::to(&[ann, ben]).call()).await), ["ok"]);
    assert_eq!(codes(&service.post(Message::to(&[ann]).texts(&["another"]).call()).await), ["ok"]);
    let both = batch(&[Message::to(&[ann]), Message::to(&[ann]).texts(&["third"])]);
    assert!(!service.post(both).await.body.contains("failure"));
    let mut sent: Vec<String> = service.sent().await.into_iter().map(|sent| sent.content.recipient).collect();
    sent.sort_unstable();
    assert_eq!(sent, [ann, ann, ann, ben, cleo], "the text once each, and two other texts");
    assert!(service.sent().await.iter().all(|sent| sent.header.keyed && sent.header.deliveries == 1));
}

#[tokio::test]
async fn bad_recipients_are_listed_and_the_good_ones_are_sent() {
    let service = Service::start(Setup::new()).await;
    let reply = service.post(Message::to(&["+447700900123", "1;2", "+33612345678"]).call()).await;
    let item = Answer::of(&reply).item();
    assert_eq!(
        item.codes.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(),
        ["invalidRecipient", "crossCarrier"]
    );
    assert_eq!(item.recipients.as_deref(), Some("12"));
    assert!(item.text.contains("<recipientList>+33612345678</recipientList>"), "{item:?}");
    assert_eq!(service.messages().await.len(), 1);
}

#[tokio::test]
async fn national_numbers_are_completed_with_the_tenants_country() {
    let mut setup = Setup::new();
    setup.tenants[0].default_country = "GB".into();
    let service = Service::start(setup).await;
    let reply = service.post(Message::to(&["07700 900123", "+447700900123"]).texts(&["x"]).call()).await;
    assert_eq!(codes(&reply), ["ok"]);
    assert_eq!(service.messages().await, pairs(&[("+447700900123", "x")]));
}

#[tokio::test]
async fn a_scheduled_message_is_not_due_before_its_time() {
    let service = Service::start(Setup::new()).await;
    assert_eq!(
        codes(&service.post(Message::to(&["+447700900123"]).scheduled("2099-01-01T00:00:00Z").call()).await),
        ["ok"]
    );
    let header = &service.sent().await[0].header;
    assert_eq!(header.not_before_ms, 4_070_908_800_000);
    assert!(header.expires_ms > header.not_before_ms);
}

#[tokio::test]
async fn without_scheduling_it_goes_at_once_and_the_client_is_told() {
    let service = Service::start(Setup::new().oms(|oms| oms.scheduling = false)).await;
    let late = Message::to(&["+447700900123"]).scheduled("2099-01-01T00:00:00Z");
    assert_eq!(codes(&service.post(late.call()).await), ["ok", "noScheduled"]);
    assert_eq!(service.sent().await[0].header.not_before_ms, 0);
    // What is not sent is not sent at once either.
    let nowhere = Message::to(&["nobody"]).scheduled("2099-01-01T00:00:00Z");
    assert_eq!(codes(&service.post(nowhere.call()).await), ["invalidRecipient"]);
}

#[tokio::test]
async fn marked_parts_are_joined_where_the_tenant_wants_it() {
    let service = Service::start(Setup::new().oms(|oms| oms.join_parts = true)).await;
    service.post(Message::to(&["+447700900123"]).texts(&["(1/2) ab ", "(2/2) cd"]).call()).await;
    assert_eq!(service.messages().await, pairs(&[("+447700900123", "ab cd")]));
}

#[tokio::test]
async fn a_full_lane_takes_nothing() {
    let mut setup = Setup::new();
    setup.lanes.lane_entries_max = 1;
    let service = Service::start(setup).await;
    let two = service.post(Message::to(&["+447700900123", "abc", "+447700900124"]).call()).await;
    let item = Answer::of(&two).item();
    assert_eq!(
        item.codes.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(),
        ["invalidRecipient", "serviceNetwork"]
    );
    assert!(item.text.contains("<recipientList>+447700900123;+447700900124</recipientList>"), "{item:?}");
    assert_eq!(service.messages().await.len(), 0, "both recipients or none");
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    let service = Service::start(Setup::new().oms(|oms| oms.batch_max = 4)).await;
    let good = |number: &str| Message::to(&[number]);
    let items = [
        good("+447700900120"),
        good("+447700900121").by("demo", "wrong"),
        good("abc"),
        good("+447700900123"),
        good("+447700900124"),
    ];
    let reply = service.post(batch(&items)).await;
    let answers: Vec<_> =
        Answer::of(&reply).items().into_iter().map(|item| (item.id, item.codes[0].0.clone())).collect();
    let expected = ["ok", "invalidUser", "invalidRecipient", "ok", "perBatchMsgLimit"];
    let expected: Vec<_> =
        expected.iter().enumerate().map(|(id, code)| (Some(id.to_string()), (*code).to_owned())).collect();
    assert_eq!(answers, expected);
    let mut numbers: Vec<_> = service.messages().await.into_iter().map(|(number, _)| number).collect();
    numbers.sort();
    assert_eq!(numbers, ["+447700900120", "+447700900123"]);
}

#[tokio::test]
async fn a_user_state_is_told_only_to_who_knows_the_password() {
    let mut setup = Setup::new();
    setup.users.push(user("acme", "late", "pw", UserState::Expired));
    let service = Service::start(setup).await;
    let ask = |user: &'static str, password: &'static str| {
        let message = Message::to(&["+447700900123"]).by(user, password);
        let service = &service;
        async move { codes(&service.post(message.call()).await) }
    };
    assert_eq!(ask("late", "pw").await, ["expiredUser"]);
    assert_eq!(ask("late", "pv").await, ["invalidUser"]);
    assert_eq!(ask("nobody", "pw").await, ["invalidUser"]);
    assert_eq!(service.messages().await.len(), 0);
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let service = Service::start(Setup::new()).await;
    let runs = || service.metric("carillon_gateway_password_checks_total");
    service.post(Message::to(&["+447700900123"]).by("demo", "wrong").call()).await;
    assert_eq!(runs(), "1");
    service.post(Message::to(&["+447700900123"]).by("nobody", "wrong").call()).await;
    assert_eq!(runs(), "2");
    for _ in 0..3 {
        assert_eq!(codes(&service.post(Message::to(&["+447700900123"]).call()).await), ["ok"]);
    }
    assert_eq!(runs(), "3", "a verified password is remembered");
}

#[tokio::test]
async fn connections_that_begin_at_once_cost_no_check_each() {
    let service = Service::start(Setup::new().config(|config| config.password_checks_max = 2)).await;
    let calls = (0..16).map(|_| service.post(Message::to(&["+447700900123"]).call()));
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(codes(&reply), ["ok"]);
    }
    let runs: u64 = service.metric("carillon_gateway_password_checks_total").parse().unwrap();
    assert!((1..=2).contains(&runs), "those who waited know what the first found: {runs}");
}

#[tokio::test]
async fn too_many_failed_logins_are_throttled_and_nothing_is_processed() {
    let service = Service::start(Setup::new().config(|config| config.failed_logins_max = 2)).await;
    let wrong = Message::to(&["+447700900123"]).by("demo", "wrong");
    // Many items of one batch with one wrong password are one failure.
    let reply = service.post(batch(&[wrong.clone(), wrong.clone(), wrong.clone()])).await;
    assert!(Answer::of(&reply).items().iter().all(|item| item.codes[0].0 == "invalidUser"));
    assert_eq!(codes(&service.post(wrong.call()).await), ["invalidUser"]);
    assert_eq!(service.post(wrong.call()).await.status, 429);
    let mut setup = vec![Message::to(&["+447700900123"]).by("other", "x")];
    setup.push(wrong);
    assert_eq!(service.post(batch(&setup)).await.status, 429);
    assert_eq!(service.messages().await.len(), 0);
}

#[tokio::test]
async fn probes_create_nothing_and_aliases_lead_to_the_service() {
    let service = Service::start(Setup::new()).await;
    let probes = [
        String::new(),
        " \r\n".to_owned(),
        call("GetUserInfo", "xmsUser", ""),
        call("DeliverXms", "xmsData", ""),
        call("SendXms", "xmsData", ""),
        call("DeliverXmsBatch", "packageXml", ""),
    ];
    for probe in probes {
        for (path, location) in [
            ("/oms/service.asmx", None),
            ("/oms", Some("/oms/service.asmx")),
            ("/t/acme/oms/service.asmx", None),
            ("/t/acme/oms?x=y", Some("/t/acme/oms/service.asmx")),
        ] {
            let reply = service.request("POST", path, &[("content-type", "text/xml")], probe.clone()).await;
            let location = location.map(|location| format!("{}{location}", service.base));
            assert_eq!(reply.status, if location.is_some() { 307 } else { 200 }, "{path} {probe}");
            assert_eq!(reply.location, location, "{path}");
        }
    }
    let config = |config: &mut Config| config.oms_redirect_status = RedirectStatus::PermanentRedirect;
    let permanent = Service::start(Setup::new().config(config)).await;
    assert_eq!(permanent.request("POST", "/oms", &[], "").await.status, 308);
    // A message at an alias is handled in place.
    let message = Message::to(&["+447700900123"]).call();
    let reply = service.request("POST", "/oms", &[("content-type", "text/xml")], message).await;
    assert_eq!(codes(&reply), ["ok"]);
    assert_eq!(service.messages().await.len(), 1);
    assert_eq!(service.metric("carillon_gateway_password_checks_total"), "1");
}

#[tokio::test]
async fn tenants_know_only_their_own_users() {
    let mut setup = Setup::new().config(|config| config.default_tenant = "acme".into());
    setup.tenants.push(tenant("other"));
    let service = Service::start(setup).await;
    let message = Message::to(&["+447700900123"]).call();
    for (path, status) in [("/t/other/oms/service.asmx", 200), ("/t/nobody/oms/service.asmx", 404), ("/t/%2e/oms", 404)]
    {
        let reply = service.request("POST", path, &[("content-type", "text/xml")], message.clone()).await;
        assert_eq!(reply.status, status, "{path}");
        if status == 200 {
            assert_eq!(codes(&reply), ["invalidUser"], "{path}");
        }
    }
    assert_eq!(codes(&service.post(message).await), ["ok"]);
}

#[tokio::test]
async fn without_a_default_tenant_only_tenants_have_a_service() {
    let mut setup = Setup::new();
    setup.tenants.push(tenant("other"));
    let service = Service::start(setup).await;
    assert_eq!(service.post("").await.status, 404);
    assert_eq!(service.request("POST", "/t/other/oms/service.asmx", &[], "").await.status, 200);
}

#[tokio::test]
async fn the_service_says_where_it_is() {
    let info = call("GetServiceInfo", "x", "");
    let uri = |reply: &Reply| element(&Answer::of(reply).document, "serviceUri").unwrap();
    let service = Service::start(Setup::new()).await;
    assert_eq!(uri(&service.post(info.clone()).await), format!("{}/oms/service.asmx", service.base));
    let alias = service.request("POST", "/t/acme/oms", &[("content-type", "text/xml")], info.clone()).await;
    assert_eq!(uri(&alias), format!("{}/t/acme/oms/service.asmx", service.base));
    let wsdl = service.request("GET", "/t/acme/oms/service.asmx?wSdL", &[], "").await;
    assert_eq!((wsdl.status, wsdl.content_type.as_str()), (200, "text/xml; charset=utf-8"));
    assert_eq!(wsdl.body.matches(&format!("location=\"{}/t/acme/oms/service.asmx\"", service.base)).count(), 2);
    let page = service.request("GET", "/oms", &[], "").await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));

    let public =
        Service::start(Setup::new().config(|config| config.public_url = "https://sms.example.com/".into())).await;
    assert_eq!(uri(&public.post(info.clone()).await), "https://sms.example.com/oms/service.asmx");
    // Plain to plain: the public address is not where a local probe is sent.
    let probe = public.request("POST", "/oms", &[], "").await;
    assert_eq!(probe.location, Some(format!("{}/oms/service.asmx", public.base)));

    let own =
        Service::start(Setup::new().oms(|oms| oms.service_uri = "https://acme.example.com/sms.asmx".into())).await;
    assert_eq!(uri(&own.post(info).await), "https://acme.example.com/sms.asmx");
}

#[tokio::test]
async fn http_has_its_own_refusals() {
    let service = Service::start(Setup::new().config(|config| config.oms_body_bytes_max = 2000)).await;
    let xml = [("content-type", "text/xml")];
    let status = |reply: Reply| (reply.status, reply.content_type);
    let text = "text/plain; charset=utf-8".to_owned();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(
            status(service.request(method, "/oms/service.asmx", &xml, "").await),
            (405, text.clone()),
            "{method}"
        );
    }
    assert_eq!(service.request("HEAD", "/oms/service.asmx", &[], "").await.status, 200);
    let long = "x".repeat(2001);
    assert_eq!(status(service.request("POST", "/oms/service.asmx", &xml, long).await), (413, text.clone()));
    for headers in [vec![], vec![("content-type", "application/json")], vec![xml[0], ("content-encoding", "gzip")]] {
        let reply = service.request("POST", "/oms/service.asmx", &headers, "{}").await;
        assert_eq!(status(reply), (415, text.clone()), "{headers:?}");
    }
    let fault = service.post("{}").await;
    assert_eq!((fault.status, fault.content_type.as_str()), (500, "text/xml; charset=utf-8"));
    assert!(fault.body.contains("<faultcode>s:Client</faultcode>"), "{fault:?}");
}

#[tokio::test]
async fn a_password_in_clear_from_outside_is_refused() {
    let mut setup = Setup::new().config(|config| config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]);
    setup.listen = "0.0.0.0:0"; // asked over loopback all the same
    let service = Service::start(setup).await;
    let message = Message::to(&["+447700900123"]).call();
    let post = |headers: Vec<(&'static str, &'static str)>| {
        let (service, message) = (&service, message.clone());
        let mut headers = headers;
        headers.push(("content-type", "text/xml"));
        async move { service.request("POST", "/oms/service.asmx", &headers, message).await }
    };
    assert_eq!(post(vec![]).await.status, 403);
    assert_eq!(post(vec![("x-forwarded-proto", "http")]).await.status, 403);
    assert_eq!(service.request("GET", "/oms/service.asmx?wsdl", &[], "").await.status, 403);
    assert_eq!(service.messages().await.len(), 0);
    assert_eq!(codes(&post(vec![("x-forwarded-proto", "https")]).await), ["ok"]);
    assert_eq!(codes(&post(vec![("forwarded", "for=192.0.2.1;proto=https")]).await), ["ok"]);
    let probe =
        service.request("POST", "/oms", &[("x-forwarded-proto", "https"), ("host", "sms.example.com")], "").await;
    assert_eq!(probe.location.as_deref(), Some("https://sms.example.com/oms/service.asmx"));
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_the_service_is() {
    let asked = [("x-forwarded-proto", "https"), ("x-forwarded-host", "sms.example.com"), ("x-forwarded-port", "8443")];
    let location = |reply: &Reply| {
        reply.body.split("location=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let trusting =
        Service::start(Setup::new().config(|config| config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()])).await;
    let wsdl = trusting.request("GET", "/t/acme/oms/service.asmx?WSDL", &asked, "").await;
    assert_eq!(location(&wsdl).as_deref(), Some("https://sms.example.com:8443/t/acme/oms/service.asmx"));
    let forwarded = [("forwarded", "for=192.0.2.7;host=b.example.com;proto=https")];
    let wsdl = trusting.request("GET", "/oms?wsdl", &forwarded, "").await;
    assert_eq!(location(&wsdl).as_deref(), Some("https://b.example.com/oms/service.asmx"));
    let plain = Service::start(Setup::new()).await;
    let wsdl = plain.request("GET", "/oms/service.asmx?wsdl", &asked, "").await;
    assert_eq!(location(&wsdl), Some(format!("{}/oms/service.asmx", plain.base)));
}

#[tokio::test]
async fn failures_of_others_do_not_lock_out_who_knows_the_password() {
    let service = Service::start(Setup::new().config(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        (config.failed_logins_max, config.failed_logins_user_max, config.failed_logins_address_max) = (2, 3, 4);
    }))
    .await;
    let ask = async |from: &str, user: &str, password: &str| {
        let headers = [("content-type", "text/xml"), ("x-forwarded-for", from)];
        let message = Message::to(&["+447700900123"]).by(user, password);
        let reply = service.request("POST", "/oms/service.asmx", &headers, message.call()).await;
        if reply.status == 200 { codes(&reply).remove(0) } else { reply.status.to_string() }
    };
    for from in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        assert_eq!(ask(from, "demo", "wrong").await, "invalidUser");
    }
    assert_eq!(ask("192.0.2.1", "demo", "wrong").await, "429", "this user from this address");
    assert_eq!(ask("192.0.2.2", "demo", "s3cret demo ").await, "429", "this user failed too often, also from here");
    assert_eq!(ask("192.0.2.9", "demo", "s3cret demo ").await, "ok", "nobody failed from here");
    assert_eq!(ask("192.0.2.2", "demo", "s3cret demo ").await, "ok", "the password is known to be right by now");
    for user in ["a", "b", "c", "d"] {
        assert_eq!(ask("192.0.2.3", user, "x").await, "invalidUser");
    }
    assert_eq!(ask("192.0.2.3", "e", "x").await, "429", "anybody from this address");
    assert_eq!(ask("192.0.2.3", "demo", "s3cret demo ").await, "ok");
}

#[tokio::test]
async fn words_of_the_tenants_list_are_refused() {
    let service = Service::start(Setup::new().oms(|oms| oms.words_refused = vec!["lottery".into()])).await;
    let message = Message::to(&["+447700900123"]).texts(&["You won the LOTTERY"]);
    assert_eq!(codes(&service.post(message.call()).await), ["invalidChar"]);
}

#[tokio::test]
async fn a_tenant_may_want_results_to_declare_an_encoding() {
    let service = Service::start(Setup::new().oms(|oms| oms.declares_utf16 = true)).await;
    for call in [Message::to(&["+447700900123"]).call(), call("GetServiceInfo", "x", ""), batch(&[])] {
        let document = Answer::of(&service.post(call).await).document;
        assert!(document.starts_with("<?xml version=\"1.0\" encoding=\"utf-16\"?><"), "{document}");
    }
}
