//! Users as the provider manages them, and what the OMS door makes of that at once. Knows REST and what a user is promised.

use model::Timestamp;
use serde_json::{Value, json};
use store::{Cancelled, Store as _};

use crate::service::{Reply, Service, Setup, api_key, tenant};
use crate::{Message, NS, call, codes};

/// The users of a tenant, by REST.
struct Desk<'s> {
    service: &'s Service,
    tenant: &'static str,
}

impl Desk<'_> {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl ToString) -> Reply {
        let bearer = format!("Bearer {}", api_key(self.tenant));
        let json = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let own = if headers.iter().any(|(name, _)| *name == "content-type") { &json[..1] } else { &json };
        let headers = [own, headers].concat();
        self.service.request(method, &format!("/v1/oms/users{path}"), &headers, body.to_string()).await
    }

    /// Asks for what must be given.
    #[track_caller]
    fn json(reply: &Reply) -> Value {
        assert!((200..300).contains(&reply.status), "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }

    async fn put(&self, id: &str, user: Value) -> Value {
        Self::json(&self.ask("PUT", &format!("/{id}"), &[], user).await)
    }

    async fn show(&self, id: &str) -> Value {
        Self::json(&self.ask("GET", &format!("/{id}"), &[], "").await)
    }
}

fn acme(service: &Service) -> Desk<'_> {
    Desk { service, tenant: "acme" }
}

/// What `GetUserInfo` says: the codes, and the answer.
async fn user_info(service: &Service, user_id: &str, password: &str) -> (Vec<String>, String) {
    let document = format!("<xmsUser xmlns='{NS}'><userId>{user_id}</userId><password>{password}</password></xmsUser>");
    let reply = service.post(call("GetUserInfo", "xmsUser", &document)).await;
    (codes(&reply), reply.body)
}

#[tokio::test]
async fn a_user_that_is_put_can_log_in_at_once() {
    let mut setup = Setup::new().config(|config| config.replies_domain = "mail.example.org".into());
    // No refresh but the one that a change asks for.
    setup.config.parties_refresh_ms = 3_600_000;
    let service = Service::start(setup).await;
    let desk = acme(&service);
    let user = json!({ "password": " pass word ", "replyPhone": "+44 7700 900001", "mailAddress": "ann@example.com" });
    let reply = desk.ask("PUT", "/ann", &[], &user).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let made = Desk::json(&reply);
    let address = made["smtpAddress"].as_str().unwrap();
    assert!(address.starts_with("r-") && address.ends_with("@mail.example.org") && address.len() > 34, "{address}");
    assert_eq!((&made["state"], &made["services"]), (&json!("active"), &json!(["SMS_SENDER"])));
    assert_eq!((&made["replyPhone"], &made["replyTo"]), (&json!("+447700900001"), &json!("phone")));
    assert!(!reply.body.contains("pass word") && !reply.body.contains("argon2"), "{reply:?}");
    assert_eq!(desk.show("ann").await, made);
    let (codes, info) = user_info(&service, "ann", " pass word ").await;
    assert_eq!(codes, ["ok"]);
    assert!(info.contains(address) && info.contains("+447700900001"), "{info}");
    assert_eq!(user_info(&service, "ann", "pass word").await.0, ["invalidUser"], "nothing is trimmed");
}

#[tokio::test]
async fn a_change_holds_at_once_and_a_patch_leaves_the_rest() {
    let service = Service::start(Setup::new()).await;
    let desk = acme(&service);
    let made =
        desk.put("ann", json!({ "password": "one", "perDay": { "limit": 2 }, "balance": "0.50", "price": "0.20" }));
    let made = made.await;
    let message = Message::to(&["+447700900123"]).by("ann", "one");
    assert_eq!(codes(&service.post(message.call()).await), ["ok"]);
    let shown = desk.show("ann").await;
    assert_eq!((&shown["perDay"], &shown["balance"]), (&json!({ "limit": 2, "used": 1 }), &json!("0.30")));
    let merge_patch = [("content-type", "application/merge-patch+json")];
    for (patch, code) in [
        (json!({ "state": "ceased" }), "ceasedService"),
        (json!({ "state": "unregistered" }), "unregisteredUser"),
        (json!({ "state": "active", "until": "2020-01-01T00:00:00Z" }), "expiredUser"),
        (json!({ "until": null, "services": ["MMS_SENDER"] }), "unregisteredService"),
        (json!({ "services": ["SMS_SENDER"], "perDay": { "limit": 1 } }), "perDayMsgLimit"),
        (json!({ "perDay": null, "balance": "0.10" }), "lowBalance"),
        (json!({ "balance": null }), "ok"),
        (json!({ "password": "two" }), "invalidUser"),
    ] {
        let patched = desk.ask("PATCH", "/ann", &merge_patch, &patch).await;
        assert_eq!(Desk::json(&patched)["smtpAddress"], made["smtpAddress"], "{patch}");
        assert_eq!(codes(&service.post(message.call()).await), [code], "{patch}");
    }
    assert_eq!(user_info(&service, "ann", "two").await.0, ["ok"]);
}

#[tokio::test]
async fn conditions_are_kept() {
    let service = Service::start(Setup::new()).await;
    let (desk, user) = (acme(&service), json!({ "password": "one" }));
    let first = desk.ask("PUT", "/ann", &[("if-none-match", "*")], &user).await;
    assert_eq!(first.status, 201);
    assert_eq!(desk.ask("PUT", "/ann", &[("if-none-match", "*")], &user).await.status, 412);
    let tag = first.etag.expect("it has a tag");
    let patch = |tag: String, patch: Value| {
        let desk = &desk;
        async move { desk.ask("PATCH", "/ann", &[("if-match", &tag)], patch).await }
    };
    let second = patch(tag.clone(), json!({ "replyTo": "both" })).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(second.etag.as_ref(), Some(&tag));
    assert_eq!(patch(tag.clone(), json!({ "replyTo": "phone" })).await.status, 412);
    assert_eq!(desk.ask("DELETE", "/ann", &[("if-match", &tag)], "").await.status, 412);
    assert_eq!(desk.ask("GET", "/ann", &[], "").await.etag, second.etag);
    assert_eq!(desk.ask("PUT", "/bob", &[("if-match", "*")], &user).await.status, 412, "there is none to match");
    let listed = format!("\"x\", {}", second.etag.unwrap());
    assert_eq!(patch(listed, json!({ "replyTo": null })).await.status, 200);
    // Of many at once none is lost.
    let patches = [json!({"price": "0.1"}), json!({"perDay": {"limit": 7}}), json!({"replyPhone": "+447700900009"})];
    let all = patches.iter().map(|patch| desk.ask("PATCH", "/ann", &[], patch));
    for reply in futures_util::future::join_all(all).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let user = desk.show("ann").await;
    assert_eq!((&user["price"], &user["perDay"]["limit"]), (&json!("0.1"), &json!(7)));
    assert_eq!(user["replyPhone"], "+447700900009");
}

#[tokio::test]
async fn what_can_t_be_is_refused_by_name() {
    let service = Service::start(Setup::new()).await;
    let desk = acme(&service);
    for (path, user, named) in [
        ("/ann", json!({}), "password"),
        ("/ann", json!({ "password": "" }), "mayHaveNoPassword"),
        ("/ann", json!({ "password": "x", "state": "gone" }), "gone"),
        ("/ann", json!({ "password": "x", "userId": "bob" }), "userId"),
        ("/ann", json!({ "password": "x", "replyPhone": "12" }), "replyPhone"),
        ("/ann", json!({ "password": "x", "mailAddress": "a@b.c\r\nBcc: d@e.f" }), "mailAddress"),
        ("/ann", json!({ "password": "x", "balance": "-1" }), "balance"),
        ("/ann", json!({ "password": "x", "colour": "red" }), "colour"),
        ("/ann", json!({ "password": "x".repeat(1_025) }), "password"),
        ("/%20ann", json!({ "password": "x" }), "id"),
    ] {
        let reply = desk.ask("PUT", path, &[], &user).await;
        assert_eq!((reply.status, reply.body.contains(named)), (422, true), "{user}: {reply:?}");
    }
    assert_eq!(desk.ask("GET", "/ann", &[], "").await.status, 404);
    assert_eq!(desk.ask("PATCH", "/ann", &[], "{}").await.status, 404);
    assert_eq!(desk.ask("DELETE", "/ann", &[], "").await.status, 404);
    assert_eq!(desk.ask("POST", "/ann:rotate", &[], "").await.status, 404);
    assert_eq!(desk.ask("POST", "/demo:dance", &[], "").await.status, 404);
    assert_eq!(desk.ask("PUT", "/ann", &[], "{").await.status, 400);
}

#[tokio::test]
async fn an_empty_password_needs_the_tenants_leave() {
    let service = Service::start(Setup::new()).await;
    let desk = acme(&service);
    desk.put("sharepoint", json!({ "password": "", "mayHaveNoPassword": true })).await;
    assert_eq!(user_info(&service, "sharepoint", "").await.0, ["ok"]);
    assert_eq!(user_info(&service, "sharepoint", "x").await.0, ["invalidUser"]);
    let taken = desk.ask("PATCH", "/sharepoint", &[], json!({ "mayHaveNoPassword": false })).await;
    assert_eq!(taken.status, 422, "{taken:?}");
    desk.put("sharepoint", json!({ "password": "x" })).await;
    assert_eq!(user_info(&service, "sharepoint", "").await.0, ["invalidUser"]);
}

#[tokio::test]
async fn addresses_rotate_and_passwords_are_reset() {
    let service = Service::start(Setup::new()).await;
    let desk = acme(&service);
    let before = desk.show("demo").await["smtpAddress"].clone();
    let rotated = Desk::json(&desk.ask("POST", "/demo:rotate", &[], "").await);
    assert_ne!(rotated["smtpAddress"], before);
    let (_, info) = user_info(&service, "demo", "s3cret demo ").await;
    assert!(info.contains(rotated["smtpAddress"].as_str().unwrap()), "{info}");
    let made = Desk::json(&desk.ask("POST", "/demo:reset-password", &[], "").await);
    let password = made["password"].as_str().unwrap();
    assert!(password.len() >= 20);
    assert_eq!(user_info(&service, "demo", "s3cret demo ").await.0, ["invalidUser"]);
    assert_eq!(user_info(&service, "demo", password).await.0, ["ok"]);
    let given = desk.ask("POST", "/demo:reset-password", &[], json!({ "password": "given" })).await;
    assert_eq!((given.status, given.body.as_str()), (204, ""));
    assert_eq!(user_info(&service, "demo", "given").await.0, ["ok"]);
    assert_eq!(desk.ask("POST", "/demo:reset-password", &[], json!({ "password": "" })).await.status, 422);
}

#[tokio::test]
async fn who_is_removed_is_unknown_and_what_was_scheduled_is_taken_back() {
    let service = Service::start(Setup::new()).await;
    let desk = acme(&service);
    desk.put("ann", json!({ "password": "one", "perDay": { "limit": 1 } })).await;
    let message = Message::to(&["+447700900123"]).by("ann", "one").scheduled("2099-01-01T00:00:00Z");
    assert_eq!(codes(&service.post(message.call()).await), ["ok"]);
    let accepted = service.sent().await[0].header.accepted_ms;
    assert_eq!(desk.ask("DELETE", "/ann", &[], "").await.status, 204);
    assert_eq!(desk.ask("GET", "/ann", &[], "").await.status, 404);
    assert_eq!(user_info(&service, "ann", "one").await.0, ["invalidUser"]);
    let subject = Cancelled::User { tenant: tenant("acme").id, user_id: "ann".into() };
    let covered = service.store.cancelled(&[subject]).await.unwrap()[0].expect("the user's messages are taken back");
    assert!(covered >= Timestamp(accepted));
    // Who gets the name begins anew.
    desk.put("ann", json!({ "password": "two", "perDay": { "limit": 1 } })).await;
    assert_eq!(desk.show("ann").await["perDay"]["used"], 0);
}

#[tokio::test]
async fn users_are_listed_page_by_page_and_to_their_tenant_only() {
    let mut setup = Setup::new();
    setup.tenants.push(tenant("globex"));
    let service = Service::start(setup).await;
    let (desk, other) = (acme(&service), Desk { service: &service, tenant: "globex" });
    for id in ["ann", "o'neil%2F1", "zo%C3%AB"] {
        desk.put(id, json!({ "password": "x" })).await;
    }
    other.put("ann", json!({ "password": "other" })).await;
    let ids = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users.map(|user| user["userId"].as_str().unwrap().to_owned()).collect()
    };
    let first = Desk::json(&desk.ask("GET", "?limit=3", &[], "").await);
    assert_eq!(ids(&first), ["ann", "demo", "o'neil/1"]);
    let cursor = first["next"].as_str().expect("there is more");
    let last = Desk::json(&desk.ask("GET", &format!("?limit=3&cursor={cursor}"), &[], "").await);
    assert_eq!((ids(&last), &last["next"]), (vec!["zoë".to_owned()], &Value::Null));
    assert_eq!(ids(&Desk::json(&other.ask("GET", "", &[], "").await)), ["ann"]);
    assert_ne!(other.show("ann").await["smtpAddress"], desk.show("ann").await["smtpAddress"]);
    for bad in ["?limit=0", "?limit=201", "?cursor=%21", "?page=2"] {
        assert_eq!(desk.ask("GET", bad, &[], "").await.status, 422, "{bad}");
    }
    let nobody = service.request("GET", "/v1/oms/users", &[], "").await;
    assert_eq!(nobody.status, 401);
}
