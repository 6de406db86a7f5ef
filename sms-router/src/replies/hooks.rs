//! The way to tenants' webhooks, and to the addresses that want to hear how messages ended: signed posts. Knows HTTP, and which networks are nobody's
//! business; knows no lane.
//!
//! A post is signed as Standard Webhooks 1.0 has it: `webhook-id`, `webhook-timestamp`, `webhook-signature`, by HMAC-SHA256.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::keyring::MasterKey;
use model::party::Tenant;
use model::reply::{Happening, Words};
use model::report::Ending;
use model::{DeliveryId, MessageId, State, TenantId, Timestamp};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, StatusCode, Url};
use runtime::networks::{self, Networks};
use serde::Serialize;

use super::post::{Answer, Excuse};
use crate::RouterError;
use crate::config::{Reports, Webhooks};

/// How long a tenant may keep us waiting for what changed.
const PULL_MAX: Duration = Duration::from_secs(100);
/// Octets of an answer that tells what changed.
const PULLED_BYTES_MAX: usize = 1024 * 1024;
/// What posts are known by, where nothing is posted.
const PULL: &str = "pull";
/// How long a connection that nobody needs is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The webhooks of all tenants that have one. Clones share connections.
#[derive(Clone)]
pub struct Hooks {
    client: Client,
    urls: Arc<BTreeMap<TenantId, Url>>,
    networks: Arc<Networks>,
    master: MasterKey,
}

/// What is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Message<'a>,
}

/// A message from a handset, as the tenant's list has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: String,
    account: &'a str,
    from: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    multimedia: Option<Multimedia<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Multimedia<'a> {
    subject: &'a str,
    media: Vec<Medium<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Medium<'a> {
    content_type: &'a str,
    name: &'a str,
    data: String,
}

/// What is posted of something that happened.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: serde_json::Value,
}

/// What is posted of the end of a delivery.
#[derive(Serialize)]
struct Ended<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: EndedDelivery<'a>,
}

#[derive(Serialize)]
struct EndedDelivery<'a> {
    id: String,
    delivery: u32,
    state: &'a str,
    permanent: bool,
}

/// The end of a delivery, and where it is told.
pub(super) struct Report<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) delivery: DeliveryId,
    pub(super) ending: &'a Ending,
    pub(super) url: &'a str,
}

/// What is posted of a message.
pub(super) struct Posted<'a> {
    pub(super) id: MessageId,
    pub(super) account: &'a str,
    pub(super) user: &'a str,
    pub(super) words: &'a Words,
}

impl Hooks {
    /// The webhooks that are set.
    ///
    /// # Errors
    /// [`RouterError::WebhookSetting`].
    pub fn of(config: &Webhooks, master: &MasterKey) -> Result<Self, RouterError> {
        Self::opened(config, master).map_err(|(key, source)| RouterError::WebhookSetting { key, source })
    }

    /// The way for reports, which lead where messages said.
    ///
    /// # Errors
    /// [`RouterError::ReportSetting`].
    pub fn for_reports(config: &Reports, master: &MasterKey) -> Result<Self, RouterError> {
        let settings = Webhooks {
            urls: BTreeMap::new(),
            networks: config.networks.clone(),
            ca_file: config.ca_file.clone(),
            connections_max: config.connections_max,
            answer_seconds_max: config.answer_seconds_max,
            ..Webhooks::default()
        };
        Self::opened(&settings, master).map_err(|(key, source)| RouterError::ReportSetting { key, source })
    }

    fn opened(config: &Webhooks, master: &MasterKey) -> Result<Self, Wrong> {
        let networks = Networks::parse(&config.networks).map_err(|error| wrong("networks", error))?;
        let mut urls = BTreeMap::new();
        for (tenant, text) in &config.urls {
            let url = address(text, &networks).map_err(|error| wrong("urls", error))?;
            urls.insert(tenant.clone(), url);
        }
        let networks = Arc::new(networks);
        let mut builder = Client::builder()
            // Where a post goes is the operator's decision, not the answerer's, and no proxy's of this machine.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Guard(Arc::clone(&networks)))
            .timeout(Duration::from_secs(config.answer_seconds_max))
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(usize::try_from(config.connections_max).unwrap_or(1));
        if !config.ca_file.as_os_str().is_empty() {
            let pem = std::fs::read(&config.ca_file).map_err(|error| wrong("ca_file", error.to_string()))?;
            let authority = Certificate::from_pem(&pem).map_err(|error| wrong("ca_file", error.to_string()))?;
            builder = builder.tls_certs_merge([authority]);
        }
        let client = builder.build().map_err(|error| wrong("ca_file", runtime::in_full(&error)))?;
        Ok(Hooks { client, urls: Arc::new(urls), networks, master: master.clone() })
    }

    /// Whether the tenant has one that may be posted to.
    #[must_use]
    pub fn has(&self, tenant: &Tenant) -> bool {
        self.url(tenant).is_some()
    }

    /// The tenant's own address, or the one the settings give it.
    fn url(&self, tenant: &Tenant) -> Option<Url> {
        if tenant.webhook.is_empty() {
            return self.urls.get(&tenant.id).cloned();
        }
        let url = address(&tenant.webhook, &self.networks);
        url.inspect_err(|reason| tracing::warn!(tenant = %tenant.id, %reason, "the tenant's webhook is not used")).ok()
    }

    /// Asks the tenant's address for events behind a cursor, for so long as it likes to wait; `None`: there is nothing. Signed as a post
    /// is, with the cursor in place of a body. The error says why nothing was heard.
    pub(crate) async fn pull(&self, tenant: &Tenant, cursor: &str, now: Timestamp) -> Result<Option<Vec<u8>>, String> {
        let mut url = address(&tenant.events_url, &self.networks)?;
        url.query_pairs_mut().append_pair("cursor", cursor);
        let at = now.0.div_euclid(1_000).to_string();
        let signature = self.master.webhook_key(&tenant.id).sign(PULL, &at, cursor);
        let request = self
            .client
            .get(url)
            .timeout(PULL_MAX)
            .header("accept", "application/json")
            .header("webhook-id", PULL)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature);
        let said = |error: reqwest::Error| runtime::in_full(&error.without_url());
        let mut answer = request.send().await.map_err(said)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => return Ok(None),
            status => return Err(format!("it answered {}", status.as_u16())),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > PULLED_BYTES_MAX {
                return Err(format!("its answer has more than {PULLED_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// Posts a message. The error says why it cannot be.
    pub(super) async fn post(
        &self,
        tenant: &Tenant,
        posted: &Posted<'_>,
        now: Timestamp,
    ) -> Result<Answer, &'static str> {
        let url = self.url(tenant).ok_or("the tenant has no webhook any more")?;
        Ok(self.send(url, &tenant.id, &posted.id.to_string(), body(posted), now).await)
    }

    /// Posts what happened. The error says why it cannot be.
    pub(super) async fn tell(
        &self,
        tenant: &Tenant,
        id: MessageId,
        happening: &Happening,
        now: Timestamp,
    ) -> Result<Answer, &'static str> {
        let url = self.url(tenant).ok_or("the tenant has no webhook any more")?;
        let data = serde_json::from_str(&happening.data).map_err(|_| "what happened can't be read")?;
        let told = Told { kind: &happening.kind, timestamp: Timestamp(happening.at_ms), data };
        let body = serde_json::to_string(&told).expect("texts and times can be written");
        Ok(self.send(url, &tenant.id, &id.to_string(), body, now).await)
    }

    /// Tells how a delivery ended. The error says why it cannot be told.
    pub(super) async fn report(&self, report: &Report<'_>, now: Timestamp) -> Result<Answer, &'static str> {
        let Report { tenant, delivery, ending, url } = *report;
        let url = address(url, &self.networks);
        let url =
            url.map_err(|_| "its address is in no public network and in none of `reports.networks`, or is no `https`")?;
        let state = u8::try_from(ending.state).ok().and_then(State::from_rank).ok_or("its state is not known")?;
        let (id, state, permanent) = (delivery.message.to_string(), state.as_str(), ending.permanent);
        let data = EndedDelivery { id, delivery: delivery.index, state, permanent };
        let ended = Ended { kind: "message.ended", timestamp: Timestamp(ending.at_ms), data };
        let body = serde_json::to_string(&ended).expect("texts and numbers can be written");
        Ok(self.send(url, tenant, &format!("{delivery}-{state}"), body, now).await)
    }

    async fn send(&self, url: Url, tenant: &TenantId, id: &str, body: String, now: Timestamp) -> Answer {
        let at = now.0.div_euclid(1_000).to_string();
        let signature = self.master.webhook_key(tenant).sign(id, &at, &body);
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(answer) => judged(answer.status()),
            Err(error) => {
                let reason = runtime::in_full(&error.without_url());
                Answer::NotNow(Excuse { word: reason.clone(), reason })
            }
        }
    }
}

fn judged(status: StatusCode) -> Answer {
    let reason = format!("the webhook answered {}", status.as_u16());
    match status {
        status if status.is_success() => Answer::Taken,
        // The word for it: nothing is wanted here any more.
        StatusCode::GONE => Answer::Refused(reason),
        _ => Answer::NotNow(Excuse { word: reason.clone(), reason }),
    }
}

fn body(posted: &Posted<'_>) -> String {
    let words = posted.words;
    let multimedia = words.multimedia.as_ref().map(|multimedia| Multimedia {
        subject: &multimedia.subject,
        media: multimedia
            .media
            .iter()
            .map(|medium| Medium {
                content_type: &medium.content_type,
                name: &medium.location,
                data: BASE64_STANDARD.encode(&medium.data),
            })
            .collect(),
    });
    let data = Message {
        id: posted.id.to_string(),
        account: posted.account,
        from: &words.from,
        text: &words.text,
        data: BASE64_STANDARD.encode(&words.data),
        user_id: posted.user,
        multimedia,
    };
    let event = Event { kind: "message.received", timestamp: Timestamp(words.heard_ms), data };
    serde_json::to_string(&event).expect("texts and numbers can be written")
}

/// Whether a tenant's webhook may be posted to, or its events be asked for, under these settings.
///
/// # Errors
/// Why not, for people.
pub fn check(webhook: &str, config: &Webhooks) -> Result<(), String> {
    let networks = Networks::parse(&config.networks).map_err(|error| format!("`networks`: {error}"))?;
    address(webhook, &networks).map(drop)
}

/// An address may be posted to by `https`, or by `http` where it is a literal one of the networks that are named.
fn address(text: &str, networks: &Networks) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| format!("`{text}` is no URL"))?;
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    let literal = host.parse().ok();
    if literal.is_some_and(|address| !networks.admit(address)) {
        return Err(format!("`{text}` is in no public network, and in none of `networks`"));
    }
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && literal.is_some_and(|ip| networks.name(ip)));
    if !is_private || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{text}` is no `https` address without a password"));
    }
    Ok(url)
}

/// Resolves names to addresses that may be posted to.
struct Guard(Arc<Networks>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.0);
        Box::pin(async move {
            let admitted = networks::resolve(&networks, name.as_str(), 0).await?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// A key that can't be used, and why.
type Wrong = (&'static str, Box<dyn std::error::Error + Send + Sync>);

fn wrong(key: &'static str, why: impl Into<String>) -> Wrong {
    (key, why.into().into())
}

#[cfg(test)]
mod tests {
    use model::record;

    use super::*;

    #[test]
    fn only_public_addresses_and_named_networks_may_be_posted_to() {
        let networks = Networks::parse(&["10.1.0.0/16".to_owned()]).unwrap();
        for good in
            ["https://hooks.example.com/in", "https://93.184.216.34/", "https://10.1.2.3/x", "http://10.1.2.3:80/x"]
        {
            assert!(address(good, &networks).is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example.com/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://10.2.0.1/",
            "https://me:secret@hooks.example.com/",
            "ftp://hooks.example.com/",
            "hooks",
        ] {
            assert!(address(bad, &networks).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tenant_s_own_address_comes_first_and_is_held_to_the_same_rules() {
        let urls = [(TenantId::new("acme").unwrap(), "https://hooks.example.com/settings".to_owned())].into();
        let config = Webhooks { urls, ..Webhooks::default() };
        let hooks = Hooks::of(&config, &MasterKey::new([1; 32])).unwrap();
        let of = |id: &str, webhook: &str| {
            let mut tenant = crate::replies::onward::tests::tenant();
            (tenant.id, tenant.webhook) = (TenantId::new(id).unwrap(), webhook.to_owned());
            hooks.url(&tenant).map(|url| url.to_string())
        };
        assert_eq!(of("acme", "").as_deref(), Some("https://hooks.example.com/settings"));
        assert_eq!(of("acme", "https://acme.example/own").as_deref(), Some("https://acme.example/own"));
        assert_eq!(of("acme", "http://127.0.0.1/"), None, "no way into our own networks");
        assert_eq!(of("other", ""), None);
        let refused = |webhook: &str| check(webhook, &Webhooks::default()).unwrap_err();
        assert_eq!(refused("not a url"), "`not a url` is no URL");
        assert!(refused("http://127.0.0.1/").ends_with("in none of `networks`"));
        assert_eq!(check("https://acme.example/own", &Webhooks::default()), Ok(()));
    }

    #[test]
    fn a_body_says_what_the_list_says() {
        let medium = record::Medium {
            content_type: "image/gif".into(),
            location: "a.gif".into(),
            data: vec![1],
            ..Default::default()
        };
        let multimedia = record::Multimedia { subject: "s".into(), media: vec![medium], ..Default::default() };
        let words = Words { from: "+447700900123".into(), multimedia: Some(multimedia), ..Words::default() };
        let body = body(&Posted { id: MessageId(7), account: "blue", user: "", words: &words });
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["type"], "message.received");
        assert_eq!(body["data"]["from"], "+447700900123");
        assert_eq!(body["data"]["multimedia"]["media"][0]["data"], "AQ==");
        assert_eq!(body["data"].get("userId"), None);
    }

    #[test]
    fn only_gone_is_for_good() {
        assert!(matches!(judged(StatusCode::NO_CONTENT), Answer::Taken));
        assert!(matches!(judged(StatusCode::GONE), Answer::Refused(_)));
        for status in [StatusCode::NOT_FOUND, StatusCode::FOUND, StatusCode::BAD_GATEWAY] {
            assert!(matches!(judged(status), Answer::NotNow(_)));
        }
    }
}
