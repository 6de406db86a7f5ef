//! The OMS door: the SOAP service that Outlook and SharePoint speak. Knows HTTP and the order in which a call is judged;
//! what a call says is `wire::oms`'s, what becomes of it `accept`'s.
//!
//! Every SOAP form the protocol has is served at `/oms/service.asmx`, for the default tenant, and at
//! `/t/{tenant}/oms/service.asmx`; `/oms` and `/t/{tenant}/oms` lead there.

mod address;
mod hand_over;
mod peer;
mod profile;
mod refusal;
mod repeats;
mod reply;
mod session;
mod sign_up;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method as HttpMethod};
use axum::response::Response;
use axum::routing::any;
use model::party::Tenant;
use model::record::Door;
use model::{Refusal, TenantId};
use wire::oms::soap::{self, Argument, Call, MediaType, Method};
use wire::oms::{Limits, NAMESPACE};

use self::address::{PathKind, Place};
pub(crate) use self::peer::Peer;
use self::session::Session;
pub(crate) use self::sign_up::{CodeBudget, Writer};
use crate::metrics::{DoorLabel, RefusalLabel};
use crate::run::Gateway;
use crate::snapshot::Snapshot;
use crate::{clock, trace};

/// The routes of the OMS door.
pub fn router(_gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    let pages = Router::new().route("/signup", any(sign_up::serve)).route("/t/{tenant}/signup", any(sign_up::serve));
    let paths =
        ["/oms/service.asmx", "/oms", "/oms/", "/t/{tenant}/oms/service.asmx", "/t/{tenant}/oms", "/t/{tenant}/oms/"];
    paths.into_iter().fold(pages, |router, path| router.route(path, any(serve)))
}

async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&gateway, &parts, body).await {
        Ok(response) => response,
        Err(refusal) => {
            gateway.metrics.refused.with((DoorLabel(Door::Oms), RefusalLabel(refusal))).increment();
            reply::refused(refusal)
        }
    }
}

/// Judges a request by HTTP alone, in the protocol's order: transport, method, size, empty body, media type.
async fn answer(gateway: &Gateway, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    let place = Place::of(parts.uri.path()).ok_or(Refusal::NotFound)?;
    let peer = Peer::of(gateway, parts).ok_or(Refusal::Forbidden)?;
    let snapshot = gateway.snapshot();
    let tenant = tenant(gateway, &snapshot, place.tenant).ok_or(Refusal::NotFound)?;
    let door = OpenDoor { gateway, parts, place, peer, snapshot, tenant };
    match parts.method {
        HttpMethod::POST => door.post(body).await,
        HttpMethod::GET | HttpMethod::HEAD if wants_description(parts) => Ok(reply::description(&door.service_uri())),
        HttpMethod::GET | HttpMethod::HEAD => Ok(reply::page()),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// A request that may be served, at a tenant's service.
struct OpenDoor<'a> {
    gateway: &'a Gateway,
    parts: &'a Parts,
    place: Place<'a>,
    peer: Peer,
    snapshot: Arc<Snapshot>,
    tenant: Arc<Tenant>,
}

impl OpenDoor<'_> {
    async fn post(self, body: Body) -> Result<Response, Refusal> {
        let received = clock::now();
        let headers = &self.parts.headers;
        let body = crate::body::whole(body, self.body_bytes_max()).await?;
        if body.trim_ascii().is_empty() {
            return Ok(self.probed().unwrap_or_else(reply::alive));
        }
        let media = media_type(headers).ok_or(Refusal::UnsupportedMediaType)?;
        let text = match soap::decode(&body, &media) {
            Ok(text) => text,
            Err(fault) => return Ok(reply::soap(fault.answer())),
        };
        let call = match soap::parse(&text, &media, &Limits::default()) {
            Ok(call) => call,
            Err(fault) => return Ok(reply::soap(fault.answer())),
        };
        note_oddities(&call, headers);
        if is_probe(&call)
            && let Some(redirect) = self.probed()
        {
            return Ok(redirect);
        }
        let profile = profile::profile(&self.tenant.oms, &self.snapshot, self.gateway);
        let session = Session {
            gateway: self.gateway,
            limits: profile::limits(&profile),
            profile,
            service_uri: self.service_uri(),
            client: self.peer.address,
            received,
            traceparent: trace::parent(headers),
            snapshot: self.snapshot,
            tenant: self.tenant,
        };
        let result = session.result(&call).await?;
        Ok(reply::soap(call.answer(&result)))
    }

    /// The tenant's bound, where it has one.
    fn body_bytes_max(&self) -> usize {
        match usize::try_from(self.tenant.oms.request_bytes_max).unwrap_or(usize::MAX) {
            0 => self.gateway.config.oms_body_bytes_max,
            bytes => bytes,
        }
    }

    /// Where a probe is sent, if it came by an alias.
    fn probed(&self) -> Option<Response> {
        match self.place.kind {
            PathKind::Canonical => None,
            PathKind::Alias => {
                let location = self.place.redirect(self.gateway, self.parts, &self.peer);
                Some(reply::redirect(self.gateway.config.oms_redirect_status, &location))
            }
        }
    }

    fn service_uri(&self) -> String {
        self.place.service_uri(self.gateway, &self.tenant, self.parts, &self.peer)
    }
}

fn tenant(gateway: &Gateway, snapshot: &Snapshot, named: Option<&str>) -> Option<Arc<Tenant>> {
    match named {
        Some(name) => snapshot.tenant(&TenantId::new(name).ok()?).cloned(),
        None => snapshot.default_tenant(&gateway.config.default_tenant).cloned(),
    }
}

/// `?WSDL`, in any case.
fn wants_description(parts: &Parts) -> bool {
    let mut names = parts.uri.query().unwrap_or("").split('&').map(|pair| pair.split('=').next().unwrap_or(""));
    names.any(|name| name.eq_ignore_ascii_case("wsdl"))
}

fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    let is_packed = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    MediaType::of(content_type).filter(|_| !is_packed)
}

/// A call that clients make to find the service: an argument is due, and the empty one was given.
fn is_probe(call: &Call<'_>) -> bool {
    call.argument == Argument::Empty && call.method != Method::GetServiceInfo
}

/// What is understood all the same, and worth knowing when somebody asks why a client behaves oddly.
fn note_oddities(call: &Call<'_>, headers: &HeaderMap) {
    if call.is_namespace_misspelt {
        tracing::debug!(method = call.method.name(), "the call's namespace is written with https");
    }
    let Some(action) = headers.get("soapaction").and_then(|action| action.to_str().ok()) else {
        return;
    };
    let named = action.trim().trim_matches('"').strip_prefix(NAMESPACE).and_then(|rest| rest.strip_prefix('/'));
    if named != Some(call.method.name()) {
        tracing::debug!(method = call.method.name(), "the SOAPAction header names another call; the body decides");
    }
}
