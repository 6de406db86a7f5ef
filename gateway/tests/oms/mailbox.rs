//! Mailboxes at the sign-up page: what a visitor is promised. Reads letters as their mailbox would show them.

use model::party::OmsSignUp;

use crate::service::{Reply, Service, Setup, api_key};
use crate::sign_up::{PHONE, code, login, open, post, record};

const MAILBOX: &str = "ann@example.com";

/// The link in the letter that was written last, without the address it begins with.
async fn link(service: &Service, count: usize) -> String {
    let written = async {
        while service.letters().await.len() < count {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), written).await.expect("a letter is written");
    let (mailbox, _, text) = service.letters().await.pop().unwrap();
    assert_eq!(mailbox, MAILBOX);
    let line = text.lines().find(|line| line.starts_with("http")).expect("a line is the link");
    line.strip_prefix(&service.base).unwrap_or_else(|| panic!("it leads here: {line}")).to_owned()
}

/// What the link's own page would send.
async fn follow(service: &Service, link: &str, more: &[(&str, &str)]) -> Reply {
    let shown = service.request("GET", link, &[], "").await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let hidden = |name: &str| -> Option<String> {
        let (_, rest) = shown.body.split_once(&format!("name=\"{name}\" value=\""))?;
        Some(rest.split_once('"')?.0.replace("&amp;", "&"))
    };
    let names = ["action", "userId", "mailAddress", "token"];
    let found: Vec<(&str, String)> = names.iter().filter_map(|name| Some((*name, hidden(name)?))).collect();
    let fields = found.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied());
    post(service, &fields.collect::<Vec<_>>()).await
}

async fn register(service: &Service) {
    let fields = [
        ("action", "register"),
        ("userId", "ann & co"),
        ("newPassword", "old"),
        ("phone", PHONE),
        ("mailAddress", MAILBOX),
    ];
    assert_eq!(post(service, &fields).await.status, 200);
}

async fn confirm(service: &Service) {
    let code = code(service, PHONE).await;
    let confirm = [("action", "confirm"), ("userId", "ann & co"), ("phone", PHONE), ("code", &code)];
    assert_eq!(post(service, &confirm).await.status, 200);
}

const ANN: &str = "ann%20&%20co";

#[tokio::test]
async fn who_names_a_mailbox_is_active_once_phone_and_mailbox_are_proved() {
    let service = Service::start(open()).await;
    register(&service).await;
    let link = link(&service, 1).await;
    confirm(&service).await;
    let user = record(&service, ANN).await;
    assert_eq!((&user["state"], &user["phoneVerified"]), (&"unregistered".into(), &true.into()), "{user}");
    for wrong in [link.replace("ann%40", "bob%40"), link.replace("token=", "token=1"), format!("{link}0")] {
        assert_eq!(follow(&service, &wrong, &[]).await.status, 403, "{wrong}");
    }
    let looked = service.request("GET", &link, &[], "").await;
    assert!(!looked.body.contains("<script"), "{looked:?}");
    assert_eq!(record(&service, ANN).await["mailVerified"], false, "looking at the link proves nothing");
    assert_eq!(follow(&service, &link, &[]).await.status, 200);
    let user = record(&service, ANN).await;
    assert_eq!((&user["state"], &user["mailVerified"]), (&"active".into(), &true.into()));
    assert_eq!((&user["mailAddress"], &user["replyTo"]), (&MAILBOX.into(), &"mailbox".into()));
    assert_eq!(login(&service, "ann &amp; co", "old").await, ["ok"]);
}

#[tokio::test]
async fn a_password_is_reset_once_by_a_link_to_the_proved_mailbox() {
    let service = Service::start(open()).await;
    register(&service).await;
    let forgot = |id: &'static str| [("action", "forgot"), ("userId", id), ("by", "mail")];
    assert_eq!(post(&service, &forgot("ann & co")).await.status, 200);
    let proof = link(&service, 1).await;
    assert_eq!(follow(&service, &proof, &[]).await.status, 200);
    assert_eq!(service.letters().await.len(), 1, "nothing goes to a mailbox that was not proved");
    confirm(&service).await;
    let (known, unknown) = (post(&service, &forgot("ann & co")).await, post(&service, &forgot("nobody")).await);
    assert_eq!((known.status, known.body), (unknown.status, unknown.body));
    let reset = link(&service, 2).await;
    let as_proof = reset.replace("action=reset", &format!("action=prove&mailAddress={MAILBOX}"));
    assert_eq!(follow(&service, &as_proof, &[]).await.status, 403, "a link is for one thing");
    assert_eq!(follow(&service, &reset, &[("newPassword", "new")]).await.status, 200);
    assert_eq!(follow(&service, &reset, &[("newPassword", "newer")]).await.status, 403, "a link is good once");
    assert_eq!(login(&service, "ann &amp; co", "new").await, ["ok"]);
}

#[tokio::test]
async fn a_mailbox_changes_when_the_new_one_is_proved() {
    let service = Service::start(open()).await;
    register(&service).await;
    let first = link(&service, 1).await;
    follow(&service, &first, &[]).await;
    let change = |mailbox: &'static str| {
        [("action", "change"), ("userId", "ann & co"), ("password", "old"), ("mailAddress", mailbox)]
    };
    assert_eq!(post(&service, &change("not a mailbox")).await.status, 422);
    assert_eq!(post(&service, &change("new@example.com")).await.status, 200);
    assert_eq!(record(&service, ANN).await["mailAddress"], MAILBOX, "the old one stays until then");
    assert_eq!(service.letters().await[1].0, "new@example.com");
}

#[tokio::test]
async fn the_provider_has_a_mailbox_proved_where_nobody_signs_up() {
    let service = Service::start(Setup::new()).await;
    let bearer = format!("Bearer {}", api_key("acme"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let act = |id: &'static str| {
        let (service, headers) = (&service, &headers);
        async move { service.request("POST", &format!("/v1/oms/users/{id}:prove-mail"), headers, "").await.status }
    };
    assert_eq!(act("demo").await, 422, "it has none");
    assert_eq!(act("nobody").await, 404);
    let patch = format!("{{\"mailAddress\": \"{MAILBOX}\"}}");
    assert_eq!(service.request("PATCH", "/v1/oms/users/demo", &headers, patch).await.status, 200);
    assert_eq!(act("demo").await, 202);
    let link = link(&service, 1).await;
    assert!(link.starts_with("/t/acme/signup?"), "{link}");
    assert_eq!(service.request("GET", "/t/acme/signup", &[], "").await.status, 404, "the page itself is closed");
    assert_eq!(follow(&service, &link, &[]).await.status, 200);
    assert_eq!(record(&service, "demo").await["mailVerified"], true);
}

#[tokio::test]
async fn an_id_is_free_again_only_if_its_user_was_signing_up() {
    let terms = OmsSignUp::default();
    let mut setup = open().oms(|oms| oms.sign_up = Some(terms));
    // Long ago, and shut out by the provider: neither phone nor mailbox were ever proved.
    setup.users[0].state = model::party::UserState::Unregistered;
    setup.users[0].since = Some(model::Timestamp(0));
    let service = Service::start(setup).await;
    let fields = [("action", "register"), ("userId", "demo"), ("newPassword", "mine"), ("phone", PHONE)];
    assert_eq!(post(&service, &fields).await.status, 409);
}
