//! What router and farm say to each other. Knows the words, not the transport (gRPC, or a pair of channels in one process).

use bytes::Bytes;
use model::{FarmName, LinkName, RouteId, RouterName};

use crate::record::{Attempt, Epoch, LaneId, Outcome, PartitionId};

/// A session: one stream between one router and one farm. The router numbers them, from 1, rising also across its restarts;
/// the newest counts. A stream keeps its order and repeats nothing while it lives; what an older one still brings is refused.
pub type Session = u64;

/// The identity of a farm's journal; a new or restored disk is a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(pub u128);

/// A numbered right to one lease on a link; at any time one router holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// What a farm's journal knows of an attempt.
#[derive(Clone, PartialEq, Debug)]
pub enum JournalState {
    /// The intent is written, the outcome not yet.
    Begun,
    /// It is over.
    Ended(Outcome),
}

/// From router to farm.
#[derive(Clone, PartialEq, Debug)]
pub enum RouterMessage {
    /// First word of a stream: who speaks, and the session's number.
    Welcome { router: RouterName, session: Session, peers: Vec<Peer> },
    /// The handshake of a partition (rule 5): drop what you have not begun, tell what you have. Epochs are compared within
    /// one lane: a lane created anew has another id, and its epochs begin again.
    Ask { partition: PartitionId, lane: LaneId, epoch: Epoch, session: Session },
    /// A lease (rules 4, 6, 7).
    Lease(Lease),
    /// The outcomes are durable; the journal may forget them (rule 12), and says so with [`FarmMessage::Forgotten`].
    Forget { partition: PartitionId, session: Session, attempts: Vec<Attempt> },
    /// A request to give back what has not been begun.
    Cancel { partition: PartitionId, session: Session, attempt: Attempt },
    /// Tokens given back unused.
    TokensReturned { link: LinkName, tokens: Vec<Token> },
    /// What waits for a route at this router, so that the farm can share out tokens (segments, and the sum of weights).
    Backlog { route: RouteId, segments: u64, weight: u64 },
    /// A data key needed to open what follows; only over an authenticated stream, never kept on disk by the farm.
    Key(SessionKey),
    /// Receipts and inbound messages that are durable (by the farm's own numbers).
    Taken { numbers: Vec<u64> },
    /// The router refuses the farm or a message of it; the text says why, for the farm's log.
    Refused { reason: String },
    /// The list that a welcome began with, as it is by now.
    Peers { peers: Vec<Peer> },
    /// The answer to a hello by a second stream: the named session lives, and goes on undisturbed. This stream ends.
    AlreadyAttached { router: RouterName, session: Session },
}

/// A data key in transit. Its secret stays out of `Debug`.
#[derive(Clone, PartialEq)]
pub struct SessionKey {
    /// The key's id.
    pub id: String,
    /// The key.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKey({})", self.id)
    }
}

/// A router replica a farm should keep a session to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Its stable name.
    pub router: RouterName,
    /// Where it listens, `host:port`.
    pub address: String,
}

/// The right and the duty to send a delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct Lease {
    /// Whose lanes it comes from.
    pub partition: PartitionId,
    /// The epoch that granted it.
    pub epoch: Epoch,
    /// The session it is sent in.
    pub session: Session,
    /// Which attempt.
    pub attempt: Attempt,
    /// The link it is for: advice, the farm may take another of the route.
    pub link: LinkName,
    /// The token it uses up.
    pub token: Token,
    /// Milliseconds from receipt after which it must not be begun (the farm's monotonic clock).
    pub begin_within_ms: u64,
    /// The encoded [`model::record::Record`].
    pub envelope: Bytes,
}

/// From farm to router.
#[derive(Clone, PartialEq, Debug)]
pub enum FarmMessage {
    /// First word of a stream: who speaks.
    Hello(Hello),
    /// The answer to [`RouterMessage::Ask`]: every journal entry of that partition.
    Answer { partition: PartitionId, epoch: Epoch, session: Session, journal: Vec<(Attempt, JournalState)> },
    /// The answer to a question with an epoch lower than one answered before (rule 7), which it names: another router owns
    /// the partition, or its lane went back.
    Outdated { partition: PartitionId, session: Session, epoch: Epoch },
    /// The journal holds these no more, whatever happens to the farm: the owner may forget them too.
    Forgotten { partition: PartitionId, session: Session, attempts: Vec<Attempt> },
    /// An outcome; repeated in each session until it is forgotten.
    Report { partition: PartitionId, session: Session, attempt: Attempt, outcome: Outcome },
    /// A lease given back, not begun (rule 9).
    Return { partition: PartitionId, session: Session, attempt: Attempt, reason: String },
    /// Tokens granted on a link.
    Credit { route: RouteId, link: LinkName, tokens: Vec<Token> },
    /// Tokens the farm wants back if they are unused.
    Recall { link: LinkName, tokens: Vec<Token> },
    /// Links that came, changed or went.
    Links(Vec<LinkState>),
    /// A delivery receipt.
    Receipt(Receipt),
    /// A message from a handset.
    Inbound(Inbound),
}

/// Who a farm is.
#[derive(Clone, PartialEq, Debug)]
pub struct Hello {
    /// Its name; must be what its certificate says.
    pub farm: FarmName,
    /// Its journal's identity.
    pub incarnation: Incarnation,
    /// Its build, for the record of the oldest version served.
    pub version: String,
    /// The routes it serves.
    pub routes: Vec<RouteId>,
    /// The newest session of each router it has heard of since its start: a router tells by it that it is reached a second
    /// time, and numbers its sessions above it.
    pub sessions: Vec<KnownSession>,
}

/// The newest session of a router that a farm has heard of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownSession {
    /// The router.
    pub router: RouterName,
    /// Its number.
    pub session: Session,
    /// Whether its stream lives, as far as the farm knows.
    pub open: bool,
}

/// How a link is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkState {
    /// The link.
    pub link: LinkName,
    /// The route it serves.
    pub route: RouteId,
    /// Whether it can send.
    pub up: bool,
    /// Why not, for people.
    pub reason: String,
}

/// A delivery receipt as a modem reported it.
#[derive(Clone, PartialEq)]
pub struct Receipt {
    /// The farm's number for it; acknowledged by [`RouterMessage::Taken`].
    pub number: u64,
    /// The SIM.
    pub imsi: String,
    /// The reference of the part it is about.
    pub reference: u32,
    /// The recipient as the network names it (E.164 with `+`, or as it came).
    pub recipient: String,
    /// TP-ST (3GPP TS 23.040, 9.2.3.15).
    pub status: u8,
    /// When the network says it happened (UTC ms); 0 if it does not.
    pub network_ms: i64,
    /// When the farm heard it (UTC ms).
    pub at_ms: i64,
}

/// Shows no number.
impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({}, reference {}, status {:#04x})", self.number, self.reference, self.status)
    }
}

/// A message a handset sent to one of our SIMs.
#[derive(Clone, PartialEq)]
pub struct Inbound {
    /// The farm's number for it; acknowledged by [`RouterMessage::Taken`].
    pub number: u64,
    /// The SIM that received it.
    pub imsi: String,
    /// The link that received it.
    pub link: LinkName,
    /// The whole SMS-DELIVER TPDU.
    pub tpdu: Bytes,
    /// When the farm heard it (UTC ms).
    pub at_ms: i64,
}

/// Shows no number and no text.
impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({}, {})", self.number, self.link)
    }
}
