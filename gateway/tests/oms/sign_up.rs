//! The sign-up page from outside. Knows what a visitor is promised, and reads codes as their phone would show them.

use model::party::OmsSignUp;
use serde_json::Value;

use crate::service::{Answer, Reply, Service, Setup, api_key};
use crate::{Message, NS, call, codes};

pub(crate) const PHONE: &str = "+447700900123";

pub(crate) fn open() -> Setup {
    let terms = OmsSignUp { price_list: "UK <b>0.05</b>".into(), balance: "1.00".parse().ok(), ..OmsSignUp::default() };
    Setup::new().oms(|oms| {
        (oms.sign_up, oms.sign_up_page) = (Some(terms), String::new());
    })
}

pub(crate) async fn post(service: &Service, fields: &[(&str, &str)]) -> Reply {
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    service.request("POST", "/signup", &headers, form.join("&")).await
}

/// The code that was sent to a phone last.
pub(crate) async fn code(service: &Service, phone: &str) -> String {
    let messages = service.messages().await;
    let (_, text) = messages.iter().rev().find(|(to, _)| to == phone).expect("a code was sent");
    text.rsplit(' ').next().unwrap().to_owned()
}

async fn sign_up(service: &Service, id: &str, password: &str) {
    let fields = [("action", "register"), ("userId", id), ("newPassword", password), ("phone", PHONE)];
    let reply = post(service, &fields).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let code = code(service, PHONE).await;
    let reply = post(service, &[("action", "confirm"), ("userId", id), ("phone", PHONE), ("code", &code)]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// What `GetUserInfo` answers to a user.
pub(crate) async fn login(service: &Service, id: &str, password: &str) -> Vec<String> {
    let document = format!("<xmsUser xmlns='{NS}'><userId>{id}</userId><password>{password}</password></xmsUser>");
    codes(&service.post(call("GetUserInfo", "xmsUser", &document)).await)
}

pub(crate) async fn record(service: &Service, id: &str) -> Value {
    let bearer = format!("Bearer {}", api_key("acme"));
    let reply = service.request("GET", &format!("/v1/oms/users/{id}"), &[("authorization", &bearer)], "").await;
    serde_json::from_str(&reply.body).unwrap()
}

#[tokio::test]
async fn who_proves_the_phone_can_send() {
    let service = Service::start(open()).await;
    let page = service.request("GET", "/signup", &[], "").await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("UK &lt;b&gt;0.05") && !page.body.contains("<script"), "{page:?}");
    let info = service.post(call("GetServiceInfo", "x", "")).await;
    let told = format!("<signUpPage>{}/signup</signUpPage>", service.base);
    assert!(Answer::of(&info).document.contains(&told), "{info:?}");
    let fields = [("action", "register"), ("userId", "ann"), ("newPassword", "a&b ü"), ("phone", "+44 7700 900123")];
    assert_eq!(post(&service, &fields).await.status, 200);
    assert_eq!(record(&service, "ann").await["state"], "unregistered");
    assert_eq!(post(&service, &fields).await.status, 409, "the id is taken");
    let confirm = |code: String| {
        let service = &service;
        async move {
            post(service, &[("action", "confirm"), ("userId", "ann"), ("phone", PHONE), ("code", &code)]).await.status
        }
    };
    assert_eq!(confirm("00000000".into()).await, 403);
    let code = code(&service, PHONE).await;
    assert_eq!(code.len(), 8);
    assert_eq!(confirm(code).await, 200);
    let user = record(&service, "ann").await;
    assert_eq!(
        (&user["state"], &user["phoneVerified"], &user["balance"]),
        (&"active".into(), &true.into(), &"1.00".into())
    );
    assert_eq!(login(&service, "ann", "a&amp;b ü").await, ["ok"]);
    let sent = Message::to(&["+447700900199"]).by("ann", "a&b ü");
    assert_eq!(codes(&service.post(sent.call()).await), ["ok"]);
}

#[tokio::test]
async fn a_code_proves_one_thing_for_one_user() {
    let service = Service::start(open()).await;
    let register = |id: &'static str| [("action", "register"), ("userId", id), ("newPassword", "x"), ("phone", PHONE)];
    post(&service, &register("ann")).await;
    let of_ann = code(&service, PHONE).await;
    post(&service, &register("bob")).await;
    let confirm = [("action", "confirm"), ("userId", "bob"), ("phone", PHONE), ("code", &of_ann)];
    assert_eq!(post(&service, &confirm).await.status, 403, "another user's");
    let confirm = [("action", "confirm"), ("userId", "ann"), ("phone", "+447700900124"), ("code", &of_ann)];
    assert_eq!(post(&service, &confirm).await.status, 403, "another phone's");
    let reset = [("action", "reset"), ("userId", "ann"), ("newPassword", "y"), ("code", &of_ann)];
    assert_eq!(post(&service, &reset).await.status, 403, "another purpose's");
    assert_eq!(login(&service, "ann", "x").await, ["unregisteredUser"]);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once() {
    let service = Service::start(open()).await;
    sign_up(&service, "ann", "old").await;
    let (known, unknown) = (
        post(&service, &[("action", "forgot"), ("userId", "ann")]).await,
        post(&service, &[("action", "forgot"), ("userId", "nob")]).await,
    );
    assert_eq!((known.status, known.body.replace("ann", "nob")), (unknown.status, unknown.body));
    let sent = async {
        while service.messages().await.len() < 2 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), sent).await.expect("a code is sent");
    let code = code(&service, PHONE).await;
    let reset = |password: &'static str| {
        let (service, code) = (&service, code.clone());
        async move {
            let fields = [("action", "reset"), ("userId", "ann"), ("newPassword", password), ("code", &code)];
            post(service, &fields).await.status
        }
    };
    assert_eq!(reset("new").await, 200);
    assert_eq!(reset("newer").await, 403, "a code is good once");
    assert_eq!(login(&service, "ann", "old").await, ["invalidUser"]);
    assert_eq!(login(&service, "ann", "new").await, ["ok"]);
}

#[tokio::test]
async fn signed_in_one_changes_what_is_one_s_own() {
    let service = Service::start(open()).await;
    sign_up(&service, "ann", "old").await;
    let other = "+447700900777";
    let change = |password: &'static str, phone: &'static str| {
        let service = &service;
        async move {
            let fields = [
                ("action", "change"),
                ("userId", "ann"),
                ("password", password),
                ("newPassword", "new"),
                ("phone", phone),
                ("replyTo", "both"),
            ];
            post(service, &fields).await.status
        }
    };
    assert_eq!(change("wrong", "").await, 403);
    assert_eq!(change("old", "12").await, 422);
    assert_eq!(change("old", other).await, 200);
    let user = record(&service, "ann").await;
    assert_eq!((&user["replyTo"], &user["replyPhone"]), (&"both".into(), &PHONE.into()), "the phone is not proved yet");
    assert_eq!(login(&service, "ann", "new").await, ["ok"]);
    let code = code(&service, other).await;
    let confirm = [("action", "confirm"), ("userId", "ann"), ("phone", other), ("code", &code)];
    assert_eq!(post(&service, &confirm).await.status, 200);
    assert_eq!(record(&service, "ann").await["replyPhone"], other);
}

#[tokio::test]
async fn who_was_shut_out_does_not_come_back_by_the_page() {
    let service = Service::start(open()).await;
    sign_up(&service, "ann", "x").await;
    let bearer = format!("Bearer {}", api_key("acme"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for state in ["ceased", "unregistered"] {
        let patch = format!("{{\"state\": \"{state}\"}}");
        assert_eq!(service.request("PATCH", "/v1/oms/users/ann", &headers, patch).await.status, 200);
        let code = code(&service, PHONE).await;
        post(&service, &[("action", "confirm"), ("userId", "ann"), ("phone", PHONE), ("code", &code)]).await;
        assert_eq!(record(&service, "ann").await["state"], state);
    }
}

#[tokio::test]
async fn codes_are_bounded_and_the_page_is_only_where_it_is_open() {
    let service = Service::start(open()).await;
    let mut heard = Vec::new();
    for n in 0..6 {
        let id = format!("user{n}");
        let fields = [("action", "register"), ("userId", id.as_str()), ("newPassword", "x"), ("phone", PHONE)];
        heard.push(post(&service, &fields).await.status);
    }
    assert_eq!(heard, [200, 200, 200, 200, 200, 429]);
    assert_eq!(service.messages().await.len(), 5);
    for (fields, status) in [
        (vec![("action", "register"), ("userId", "x"), ("newPassword", ""), ("phone", "+447700900124")], 422),
        (vec![("action", "register"), ("userId", ""), ("newPassword", "x"), ("phone", "+447700900124")], 422),
        (vec![("action", "register"), ("userId", "x"), ("newPassword", "x"), ("phone", "+33612345678")], 422),
        (vec![("action", "dance")], 200),
    ] {
        assert_eq!(post(&service, &fields).await.status, status, "{fields:?}");
    }
    assert_eq!(service.request("GET", "/t/acme/signup", &[], "").await.status, 200);
    assert_eq!(service.request("GET", "/t/nobody/signup", &[], "").await.status, 404);
    let closed = Service::start(Setup::new()).await;
    assert_eq!(closed.request("GET", "/signup", &[], "").await.status, 404);
}
