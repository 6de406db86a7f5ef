//! What stands between a courier and whoever drives its line: a request for each PDU, its end, whether the line can send, and
//! what is planned for it. Must not know how a line is driven.

use std::sync::Arc;

use lease::record::OutcomeKind;
use model::{LinkName, RouteId};
use tokio::sync::{mpsc, oneshot, watch};
use wire::http_template::Template;
use wire::{at, mm7, smpp};

use crate::account::Account;
use crate::config::Config;
use crate::pace::{Limiter, per_minute, per_second};
use crate::service::Service;

/// One PDU to send, and where the answer goes.
pub(crate) struct Request {
    pub(crate) pdu: Pdu,
    pub(crate) answer: oneshot::Sender<PduEnd>,
}

/// The courier's end of a link.
pub(crate) struct Line {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) standing: watch::Sender<Standing>,
}

/// A PDU as the line takes it.
#[derive(Clone, Debug)]
pub(crate) enum Pdu {
    Modem(at::Submit),
    Bind(smpp::Kind, Box<smpp::Message>),
    Multimedia(Arc<mm7::Submission>),
    Call(Arc<Call>),
}

/// A call of an HTTP service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Path and query, filled in.
    pub(crate) request: String,
    /// The same for every attempt at this part of the message.
    pub(crate) id: String,
    /// The installations it came through, this one included.
    pub(crate) path: String,
    /// Where the service is to say what became of it, if it is to.
    pub(crate) report: Option<Report>,
}

/// A report that is asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The address, with the ticket.
    pub(crate) url: String,
    /// What the report is found by.
    pub(crate) reference: u32,
}

/// Shows no number and no text.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({}, {} octets)", self.id, self.request.len())
    }
}

/// What became of a PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PduEnd {
    /// It was taken; what its receipt will name, if one can be told.
    Accepted { reference: Option<u32> },
    /// The other side's answer, and what it means for the attempt.
    Refused { kind: OutcomeKind, reason: String },
    /// Surely not sent.
    NotSent,
    /// It may have been sent.
    Unknown,
}

/// Whether a line can send, for which account, and how many PDUs at once.
#[derive(Clone)]
pub(crate) enum Standing {
    Up { account: Arc<Account>, at_once: usize },
    Down(&'static str),
}

/// One link of this node, as far as hub and courier know it.
pub(crate) struct Plan {
    pub(crate) name: LinkName,
    pub(crate) route: RouteId,
    /// Leases it may hold.
    pub(crate) window: usize,
    /// The limits of the link itself.
    pub(crate) limiters: Vec<Limiter>,
    pub(crate) craft: Craft,
}

/// What PDUs a link takes.
pub(crate) enum Craft {
    /// TPDUs. References are the network's, 8 bits, and count.
    Modem,
    /// SMPP messages in the supplier's style. References are made of his ids.
    Bind(Arc<smpp::Style>),
    /// Multimedia messages as the relay wants them, and whether it may report. References are made of its ids.
    Relay { style: Box<mm7::Style>, reports: bool },
    /// Calls made of the service's template.
    Service(Box<Manner>),
}

/// How an HTTP service wants its calls.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) template: Arc<Template>,
    pub(crate) sender: String,
    /// Whether it takes binary messages.
    pub(crate) binary: bool,
    /// What it is found by where reports come to.
    pub(crate) account: String,
    /// Where it reports, before the ticket; empty: nowhere.
    pub(crate) report_url: String,
}

impl Pdu {
    /// What its receipt will name, where that is known before it is sent.
    pub(crate) fn reference(&self) -> Option<u32> {
        match self {
            Self::Call(call) => call.report.as_ref().map(|report| report.reference),
            Self::Modem(_) | Self::Bind(..) | Self::Multimedia(_) => None,
        }
    }
}

impl Craft {
    /// Whether references come from a small counter, so that one may come back while it is open.
    pub(crate) const fn counts_references(&self) -> bool {
        matches!(self, Self::Modem)
    }
}

/// A modem has one lease on the wire and one waiting.
pub(crate) const MODEM_WINDOW: usize = 2;

/// All links of a node. Their order is that of the configuration: modems, binds, relays, services.
pub(crate) fn plans(config: &Config, services: &[Arc<Service>]) -> Vec<Arc<Plan>> {
    let modems = config.links.iter().map(|link| Plan {
        name: link.name.clone(),
        route: link.route.clone(),
        window: MODEM_WINDOW,
        limiters: limiters(link.segments_per_minute, link.segments_per_second),
        craft: Craft::Modem,
    });
    let binds = config.smpp.iter().flat_map(|supplier| {
        let style = Arc::new(supplier.style());
        supplier.link_names().map(move |name| Plan {
            name,
            route: supplier.route.clone(),
            window: supplier.window as usize,
            limiters: limiters(0, supplier.segments_per_second),
            craft: Craft::Bind(style.clone()),
        })
    });
    let relays = config.mm7.iter().map(|relay| Plan {
        name: relay.name.clone(),
        route: relay.route.clone(),
        window: relay.window as usize,
        limiters: Vec::new(),
        craft: Craft::Relay { style: Box::new(relay.style()), reports: relay.takes_reports() },
    });
    let services = services.iter().map(|service| Plan {
        name: service.config.name.clone(),
        route: service.config.route.clone(),
        window: service.config.window as usize,
        limiters: Vec::new(),
        craft: Craft::Service(Box::new(Manner {
            template: service.template.clone(),
            sender: service.config.sender.clone(),
            binary: service.config.binary,
            account: service.config.name.to_string(),
            report_url: service.config.report_url.clone(),
        })),
    });
    modems.chain(binds).chain(relays).chain(services).map(Arc::new).collect()
}

fn limiters(segments_per_minute: u32, segments_per_second: u32) -> Vec<Limiter> {
    per_minute(segments_per_minute).into_iter().chain(per_second(segments_per_second)).collect()
}

/// A courier that no longer listens has been told by the end of its task; the journal knows the rest.
pub(crate) fn tell(answer: oneshot::Sender<PduEnd>, end: PduEnd) {
    let _ = answer.send(end);
}
