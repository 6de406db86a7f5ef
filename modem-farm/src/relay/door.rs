//! The door where relays bring delivery reports and messages from handsets: who they are is checked before anything is read, what
//! comes is in the journal before it is answered, and what comes again is answered the same. Must not know links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use model::record::{Medium, Multimedia};
use model::reply::{Heard, Letter};
use runtime::Stop;
use runtime::http::HttpLimits;
use runtime::tls::{Certificates, TlsFiles, server_config};
use tokio::net::TcpListener;
use wire::mm7::{self, Attachment, Call, Delivered, Report};

use super::account::Relay;
use crate::config::Reports;
use crate::error::FarmError;
use crate::journal::{Arrived, News};
use crate::metrics::ReportEnd;
use crate::shared::Shared;

/// Octets of a request, with all that stands around a message.
const REQUEST_OCTETS_MAX: usize = 1_300_000;
/// Octets of a message: it has to fit into an entry of a lane, with what is added on the way.
const MESSAGE_OCTETS_MAX: usize = 900 * 1024;
/// Connections at a time.
const CONNECTIONS_MAX: u32 = 256;
/// How long a report may take to arrive.
const ARRIVE_SECONDS_MAX: u64 = 20;

/// How often changed certificates are looked for.
const CERTIFICATES_LOOK: Duration = Duration::from_secs(60);

/// What the door knows.
struct Door {
    relays: BTreeMap<String, Arc<Relay>>,
    shared: Arc<Shared>,
}

/// Listens for reports of these relays until `stop`; for none if none of them may report.
///
/// # Errors
/// It cannot listen, or its certificate cannot be used.
pub(crate) async fn serve(
    config: &Reports,
    relays: &[Arc<Relay>],
    shared: Arc<Shared>,
    stop: &Stop,
) -> Result<(), FarmError> {
    let relays = relays.iter().filter(|relay| relay.config.takes_reports());
    let relays: BTreeMap<_, _> = relays.map(|relay| (relay.config.name.to_string(), relay.clone())).collect();
    if relays.is_empty() {
        return Ok(());
    }
    let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
    let tls = match config.certificate_file.as_os_str().is_empty() {
        true => None,
        false => {
            let certificates = Certificates::load(&[files], "modem_farm.reports")?;
            certificates.follow(CERTIFICATES_LOOK, stop);
            Some(server_config(certificates)?)
        }
    };
    let failed = |source| FarmError::ListenForReports { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "delivery reports of relays are taken");
    let router = Router::new().route("/mm7/{relay}", post(take)).with_state(Arc::new(Door { relays, shared }));
    let limits = HttpLimits {
        connections_max: CONNECTIONS_MAX,
        header_seconds_max: ARRIVE_SECONDS_MAX,
        body_seconds_max: ARRIVE_SECONDS_MAX,
        ..HttpLimits::default()
    };
    drop(stop.spawn("delivery reports", runtime::http::serve(listener, router, limits, tls, stop.clone())));
    Ok(())
}

async fn take(
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let metrics = &door.shared.metrics;
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let Some(relay) = door.relays.get(&name).filter(|relay| relay.admits(peer.ip(), authorization)) else {
        // Whether there is such a relay is nobody's business.
        metrics.reports.with(ReportEnd::NotAdmitted).increment();
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"mm7\"")]).into_response();
    };
    // Only now: strangers' messages are not even read.
    let Ok(body) = axum::body::to_bytes(body, REQUEST_OCTETS_MAX).await else {
        metrics.reports.with(ReportEnd::TooLarge).increment();
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let received = mm7::receive(content_type, &body);
    let transaction = received.as_ref().ok().and_then(|received| received.transaction.clone());
    let (asked, end) = match received.map(|received| received.call) {
        Ok(Call::Report(report)) => (Asked::Report, keep(&door.shared, relay, &report).await),
        Ok(Call::Deliver(message)) => {
            let end = keep_message(&door.shared, relay, *message, transaction.as_deref(), &body).await;
            (Asked::Deliver, end)
        }
        Ok(Call::Submit(_) | Call::Other(_)) => (Asked::Other, ReportEnd::NotOffered),
        Err(mm7::Unreadable) => (Asked::Other, ReportEnd::Unreadable),
    };
    metrics.reports.with(end).increment();
    answer(relay, transaction.as_deref(), asked, end)
}

/// What a relay wants.
#[derive(Clone, Copy)]
enum Asked {
    Report,
    Deliver,
    Other,
}

/// Writes a message from a handset down. The same octets under the same transaction are a repeat.
async fn keep_message(
    shared: &Shared,
    relay: &Relay,
    message: Delivered,
    transaction: Option<&str>,
    body: &[u8],
) -> ReportEnd {
    shared.metrics.inbound.increment();
    let medium = |part: Attachment| {
        let Attachment { content_type, id, name, data } = part;
        Medium { content_type, id, location: name, data }
    };
    let media = message.parts.into_iter().map(medium).collect();
    let multimedia = Multimedia { subject: message.subject, media, ..Multimedia::default() };
    let heard = Heard::Multimedia(Letter { from: message.sender, multimedia });
    let heard = heard.to_bytes();
    if heard.len() > MESSAGE_OCTETS_MAX {
        return ReportEnd::TooLarge;
    }
    let name = relay.config.name.clone();
    let news = News::Inbound { imsi: name.to_string(), link: name, tpdu: heard };
    let tell_by = [transaction.unwrap_or_default().as_bytes(), b"\0", blake3::hash(body).as_bytes()].concat();
    write_down(shared, relay, news, &tell_by).await
}

/// Writes a report down. One that is known already was written down before.
async fn keep(shared: &Shared, relay: &Relay, report: &Report) -> ReportEnd {
    shared.metrics.receipts.increment();
    let news = News::Receipt {
        imsi: relay.config.name.to_string(),
        reference: mm7::reference_of(&report.message_id),
        recipient: report.recipient.clone(),
        status: report.status.as_receipt().0,
        network_ms: report.at_ms.unwrap_or(0),
    };
    // What makes two reports one.
    let tell_by = [&report.message_id, "\0", &report.recipient, "\0", &report.word].map(str::as_bytes).concat();
    write_down(shared, relay, news, &tell_by).await
}

async fn write_down(shared: &Shared, relay: &Relay, news: News, tell_by: &[u8]) -> ReportEnd {
    let written = match shared.journal.arrive(news, Some(tell_by), shared.now()) {
        Ok(write) => write.await,
        Err(error) => Err(error),
    };
    match written {
        Ok(Arrived::New(arrival)) => {
            shared.arrived(vec![arrival]);
            ReportEnd::Kept
        }
        Ok(Arrived::Known) => ReportEnd::Repeated,
        Err(error) => {
            tracing::error!(link.name = %relay.config.name, %error, "what a relay brought could not be written down and is to come again");
            ReportEnd::NotKept
        }
    }
}

fn answer(relay: &Relay, transaction: Option<&str>, asked: Asked, end: ReportEnd) -> Response {
    let (namespace, version) = (relay.config.namespace(), relay.config.version.as_str());
    let refused = |code| (StatusCode::INTERNAL_SERVER_ERROR, mm7::fault(&namespace, version, transaction, code));
    let (status, body) = match end {
        ReportEnd::Kept | ReportEnd::Repeated => {
            let taken = match asked {
                Asked::Deliver => mm7::answer_to_deliver(&namespace, version, transaction),
                Asked::Report | Asked::Other => mm7::answer_to_report(&namespace, version, transaction),
            };
            (StatusCode::OK, taken)
        }
        ReportEnd::NotKept | ReportEnd::NotAdmitted => refused(mm7::SERVER_ERROR),
        ReportEnd::NotOffered => refused(mm7::UNSUPPORTED),
        ReportEnd::TooLarge => refused(mm7::CONTENT_REFUSED),
        ReportEnd::Unreadable => refused(mm7::FORMAT_CORRUPT),
    };
    (status, [(header::CONTENT_TYPE, "text/xml; charset=utf-8")], body).into_response()
}
