//! The conversation on one connection (SMPP 3.4, 2.2): binds, submits within a window, hears what comes, keeps the link
//! alive, and ends it. It knows timers and sequence numbers; what a message is about it must not know.

mod pending;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::flow::Flow;
use super::frame::Frames;
use super::pdu::{Bind, Body, Kind, Message, Mode, Pdu, Unreadable, is_request};
use super::status::{Class, Status};
use pending::Pending;

/// How to speak to a supplier.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Which way messages go.
    pub mode: Mode,
    /// Who binds.
    pub bind: Bind,
    /// Messages under way at once.
    pub window: usize,
    /// How long the answer to a bind may take.
    pub bind_wait: Duration,
    /// How long the answer to a message may take; after that it may have been taken.
    pub answer_wait: Duration,
    /// After so much silence the other side is asked whether it is there.
    pub enquire_after: Duration,
    /// How long it may take to say anything then.
    pub enquire_wait: Duration,
    /// How long an orderly end may take.
    pub unbind_wait: Duration,
    /// Messages that came and are not written down yet; what exceeds it is asked to come again.
    pub arrivals_max: usize,
    /// The first pause after "too much", and the longest.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_longest: Duration,
    /// What this supplier means by statuses, where he means something else.
    pub statuses: BTreeMap<u32, Class>,
}

/// The caller's name for a message it submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The session's name for a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrival(u64);

/// What the caller did with a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Kept,
    /// It could not be kept now; it is to come again.
    NotNow,
    /// It cannot be read; it is not to come again.
    Unreadable,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It may submit, as far as its mode lets it.
    Bound,
    /// What became of a message.
    Submitted {
        /// Which.
        ticket: Ticket,
        /// What became of it.
        end: SubmitEnd,
    },
    /// A message came; [`Session::conclude`] answers it.
    Arrived {
        /// Its name.
        arrival: Arrival,
        /// What it says.
        message: Box<Message>,
    },
    /// Something odd, to be counted.
    Odd(Odd),
    /// The conversation is over: close the connection and call [`Session::closed`].
    Down(Down),
}

/// What became of a submitted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitEnd {
    /// It was taken, under this id; some suppliers give none.
    Taken {
        /// The id.
        id: String,
    },
    /// It was refused.
    Refused {
        /// In the standard's words.
        status: Status,
        /// In this supplier's meaning.
        class: Class,
    },
    /// Its octets never left.
    NotSent,
    /// Nobody said. It may have been taken.
    Unknown,
}

/// Odd things a supplier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Odd {
    /// An answer to nothing that is under way: mostly one that came too late.
    LateAnswer,
    /// A PDU whose body cannot be read.
    Unreadable,
    /// A command that is none, or not for this side.
    UnknownCommand,
    /// More messages came than can be written down; this one was asked to come again.
    TooMuch,
}

/// Why a conversation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// The bind was refused.
    BindRefused(Status),
    /// Nobody answered the bind.
    NoBindAnswer,
    /// The other side says nothing any more.
    Silent,
    /// The bytes are no PDUs any more.
    Garbled,
    /// The other side ended it.
    UnboundByPeer,
    /// A message was refused because of the bind.
    BindLost(Status),
    /// This side ended it.
    Unbound,
}

/// A message cannot be submitted: there is no bind for it, or the window is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be submitted now")]
pub struct SubmitRefused;

/// One conversation after another, each on a connection of its own.
#[derive(Debug)]
pub struct Session {
    profile: Profile,
    state: State,
    sequence: u32,
    frames: Frames,
    output: Vec<u8>,
    events: VecDeque<Event>,
    pending: Pending,
    flow: Flow,
    /// Messages that came and are not answered: what to answer.
    arrivals: BTreeMap<Arrival, (u32, Kind)>,
    arrived: u64,
    heard: Instant,
    /// When it was asked whether the other side is there.
    enquired: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Binding {
        sequence: u32,
        until: Instant,
    },
    Bound,
    /// Nothing new is submitted; answers are waited for.
    Leaving {
        until: Instant,
        why: Down,
    },
    /// `unbind` is said.
    Unbinding {
        until: Instant,
        why: Down,
    },
    /// [`Event::Down`] is said.
    Over,
}

/// Sequence numbers go from 1 to this (3.2).
const SEQUENCE_MAX: u32 = 0x7fff_ffff;

impl Session {
    /// A session that has no connection. `seed` is where its chance comes from: give each another.
    pub fn new(profile: Profile, seed: u64, now: Instant) -> Self {
        let flow = Flow::new(profile.window, profile.pause_first, profile.pause_longest, seed);
        Self {
            profile,
            state: State::Closed,
            sequence: 0,
            frames: Frames::default(),
            output: Vec::new(),
            events: VecDeque::new(),
            pending: Pending::default(),
            flow,
            arrivals: BTreeMap::new(),
            arrived: 0,
            heard: now,
            enquired: None,
        }
    }

    /// There is a connection: binds.
    pub fn opened(&mut self, now: Instant) {
        debug_assert_eq!(self.state, State::Closed, "a session has one connection at a time");
        self.sequence = 0;
        self.heard = now;
        let bind = self.profile.bind.clone();
        let sequence = self.request(Body::Bind(self.profile.mode, bind));
        self.state = State::Binding { sequence, until: now + self.profile.bind_wait };
    }

    /// The connection is gone. What was under way ends as unknown, or as not sent if its octets were never taken.
    pub fn closed(&mut self) {
        self.state = State::Closed;
        for (ticket, handed) in self.pending.take_all() {
            let end = if handed { SubmitEnd::Unknown } else { SubmitEnd::NotSent };
            self.events.push_back(Event::Submitted { ticket, end });
        }
        self.frames = Frames::default();
        self.output.clear();
        self.arrivals.clear();
        self.enquired = None;
    }

    /// Bytes that came.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if !self.listens() {
            return;
        }
        self.frames.push(bytes);
        while self.listens() {
            let pdu = match self.frames.take() {
                Ok(None) => return,
                Ok(Some(octets)) => Pdu::decode(octets),
                Err(_) => {
                    self.respond(Status::INVALID_LENGTH, 0, Body::GenericNack);
                    return self.end(Down::Garbled);
                }
            };
            // Whatever it says, the other side is there.
            self.heard = now;
            self.enquired = None;
            match pdu {
                Ok(pdu) => self.hear(pdu, now),
                Err(unreadable) => self.hear_unreadable(unreadable, now),
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Closed | State::Over => return,
            State::Binding { until, .. } if now >= until => return self.end(Down::NoBindAnswer),
            State::Unbinding { until, why } if now >= until => return self.end(why),
            State::Leaving { until, why } if now >= until => self.say_unbind(why, now),
            State::Binding { .. } | State::Bound | State::Leaving { .. } | State::Unbinding { .. } => {}
        }
        let before = self.pending.len();
        while let Some(ticket) = self.pending.take_expired(now) {
            self.events.push_back(Event::Submitted { ticket, end: SubmitEnd::Unknown });
        }
        self.go_on_leaving(now);
        self.look_for_life(now, self.pending.len() < before);
    }

    /// Submits a message. Its end comes as [`Event::Submitted`], exactly once.
    ///
    /// # Errors
    /// [`SubmitRefused`]: it is surely not sent, and no event will come.
    pub fn submit(&mut self, kind: Kind, message: Message, ticket: Ticket, now: Instant) -> Result<(), SubmitRefused> {
        if !self.can_submit() || self.pending.len() >= self.profile.window {
            return Err(SubmitRefused);
        }
        let sequence = self.request(Body::Message(kind, Box::new(message)));
        self.pending.add(sequence, ticket, now, now + self.profile.answer_wait);
        Ok(())
    }

    /// How many messages may be submitted now: 0 without a bind, during a pause, and when the window is full.
    pub fn room(&self, now: Instant) -> usize {
        if self.can_submit() { self.flow.room(self.pending.len(), now) } else { 0 }
    }

    /// When a pause the supplier asked for ends; `None` if there is none.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.flow.resumes(now)
    }

    /// How many messages may be under way at once now, whether or not they are.
    pub fn width(&self, now: Instant) -> usize {
        if self.can_submit() { self.flow.room(0, now) } else { 0 }
    }

    /// Messages whose answer has not come.
    pub fn under_way(&self) -> usize {
        self.pending.len()
    }

    /// Answers a message that came. One of an earlier connection is nobody's any more.
    pub fn conclude(&mut self, arrival: Arrival, verdict: Verdict) {
        let Some((sequence, kind)) = self.arrivals.remove(&arrival) else { return };
        let status = match verdict {
            Verdict::Kept => Status::OK,
            Verdict::NotNow => Status::NOT_NOW,
            Verdict::Unreadable => Status::NEVER,
        };
        self.respond(status, sequence, Body::MessageResp(kind, String::new()));
    }

    /// Ends the conversation in order: nothing new is submitted, answers are waited for, then it says so.
    pub fn unbind(&mut self, now: Instant) {
        match self.state {
            State::Bound => self.leave(Down::Unbound, now),
            State::Binding { .. } => self.end(Down::Unbound),
            State::Closed | State::Over | State::Leaving { .. } | State::Unbinding { .. } => {}
        }
    }

    /// What to write, all of it.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        if self.output.is_empty() {
            return None;
        }
        self.pending.handed();
        Some(std::mem::take(&mut self.output))
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let until = match self.state {
            State::Closed | State::Over => return None,
            State::Binding { until, .. } | State::Unbinding { until, .. } | State::Leaving { until, .. } => Some(until),
            State::Bound => None,
        };
        let life = match self.enquired {
            Some(asked) => asked + self.profile.enquire_wait,
            None => self.heard + self.profile.enquire_after,
        };
        [until, Some(life), self.pending.next_expiry(), self.flow.resumes(now)].into_iter().flatten().min()
    }

    fn listens(&self) -> bool {
        !matches!(self.state, State::Closed | State::Over)
    }

    fn can_submit(&self) -> bool {
        self.state == State::Bound && self.profile.mode.sends()
    }

    fn hear(&mut self, pdu: Pdu, now: Instant) {
        let Pdu { status, sequence, body } = pdu;
        match body {
            Body::BindResp(..) => self.hear_bind_answer(status, sequence),
            Body::MessageResp(Kind::Submit | Kind::Data, id) => self.answered(sequence, status, id, now),
            Body::GenericNack => self.hear_nack(sequence, status, now),
            Body::Message(kind @ (Kind::Deliver | Kind::Data), message) => self.arrive(sequence, kind, message),
            Body::EnquireLink => self.respond(Status::OK, sequence, Body::EnquireLinkResp),
            Body::Unbind => {
                self.respond(Status::OK, sequence, Body::UnbindResp);
                self.peer_leaves(now);
            }
            Body::UnbindResp => {
                if let State::Unbinding { why, .. } = self.state {
                    self.end(why);
                }
            }
            // The answer is that it was heard; an invitation to bind is not for one who is bound.
            Body::EnquireLinkResp | Body::AlertNotification | Body::Outbind => {}
            Body::Message(Kind::Submit, _) | Body::Bind(..) | Body::Other(_) | Body::MessageResp(Kind::Deliver, _) => {
                self.events.push_back(Event::Odd(Odd::UnknownCommand));
                if body.is_request() {
                    self.respond(Status::INVALID_COMMAND, sequence, Body::GenericNack);
                }
            }
        }
    }

    fn hear_bind_answer(&mut self, status: Status, sequence: u32) {
        match self.state {
            State::Binding { sequence: asked, .. } if asked == sequence => match status {
                Status::OK => {
                    self.state = State::Bound;
                    self.events.push_back(Event::Bound);
                }
                refused => self.end(Down::BindRefused(refused)),
            },
            _ => self.events.push_back(Event::Odd(Odd::LateAnswer)),
        }
    }

    /// A nack names the PDU it is about, or none if its header could not be read.
    fn hear_nack(&mut self, sequence: u32, status: Status, now: Instant) {
        let status = if status == Status::OK { Status::SYSTEM_ERROR } else { status };
        match self.state {
            State::Binding { sequence: asked, .. } if asked == sequence => self.end(Down::BindRefused(status)),
            _ => self.answered(sequence, status, String::new(), now),
        }
    }

    /// A message's answer. The first counts.
    fn answered(&mut self, sequence: u32, status: Status, id: String, now: Instant) {
        let Some((ticket, sent)) = self.pending.take(sequence) else {
            return self.events.push_back(Event::Odd(Odd::LateAnswer));
        };
        let class = self.profile.statuses.get(&status.0).copied().unwrap_or(status.class());
        let end = match class {
            Class::Taken => {
                self.flow.taken(sent);
                SubmitEnd::Taken { id }
            }
            Class::Uncertain => SubmitEnd::Unknown,
            Class::Throttled => {
                self.flow.throttled(sent, now);
                SubmitEnd::Refused { status, class }
            }
            Class::Temporary | Class::Permanent | Class::Bind => SubmitEnd::Refused { status, class },
        };
        self.events.push_back(Event::Submitted { ticket, end });
        if class == Class::Bind && self.state == State::Bound {
            self.leave(Down::BindLost(status), now);
        }
        self.go_on_leaving(now);
    }

    fn arrive(&mut self, sequence: u32, kind: Kind, message: Box<Message>) {
        if matches!(self.state, State::Binding { .. }) {
            let nothing = Body::MessageResp(kind, String::new());
            return self.respond(Status::INVALID_BIND_STATUS, sequence, nothing);
        }
        if self.arrivals.len() >= self.profile.arrivals_max {
            self.events.push_back(Event::Odd(Odd::TooMuch));
            return self.respond(Status::NOT_NOW, sequence, Body::MessageResp(kind, String::new()));
        }
        self.arrived += 1;
        let arrival = Arrival(self.arrived);
        self.arrivals.insert(arrival, (sequence, kind));
        self.events.push_back(Event::Arrived { arrival, message });
    }

    /// A body that cannot be read. The header tells whom to answer; an answer tells by its status what was done.
    fn hear_unreadable(&mut self, pdu: Unreadable, now: Instant) {
        self.events.push_back(Event::Odd(Odd::Unreadable));
        let Unreadable { command, status, sequence, .. } = pdu;
        let delivering = [Kind::Deliver, Kind::Data].into_iter().find(|kind| kind.command() == command);
        match (delivering, self.state) {
            (Some(kind), _) => self.respond(Status::NEVER, sequence, Body::MessageResp(kind, String::new())),
            _ if is_request(command) => self.respond(Status::INVALID_LENGTH, sequence, Body::GenericNack),
            (None, State::Binding { .. }) => self.hear_bind_answer(status, sequence),
            (None, _) => self.answered(sequence, status, String::new(), now),
        }
    }

    fn peer_leaves(&mut self, now: Instant) {
        match self.state {
            State::Unbinding { why, .. } => self.end(why),
            // Its answers to what is under way may still come.
            State::Bound | State::Leaving { .. } if self.pending.len() > 0 => {
                self.state = State::Unbinding { until: now + self.profile.unbind_wait, why: Down::UnboundByPeer };
            }
            _ => self.end(Down::UnboundByPeer),
        }
    }

    fn leave(&mut self, why: Down, now: Instant) {
        self.state = State::Leaving { until: now + self.profile.answer_wait, why };
        self.go_on_leaving(now);
    }

    /// When all answers are there, goes.
    fn go_on_leaving(&mut self, now: Instant) {
        match self.state {
            State::Leaving { why, .. } if self.pending.len() == 0 => self.say_unbind(why, now),
            State::Unbinding { why: Down::UnboundByPeer, .. } if self.pending.len() == 0 => {
                self.end(Down::UnboundByPeer);
            }
            _ => {}
        }
    }

    fn say_unbind(&mut self, why: Down, now: Instant) {
        self.request(Body::Unbind);
        self.state = State::Unbinding { until: now + self.profile.unbind_wait, why };
    }

    /// Asks whether the other side is there, when it was silent or left a message without an answer.
    fn look_for_life(&mut self, now: Instant, doubt: bool) {
        match (self.state, self.enquired) {
            (State::Closed | State::Over | State::Binding { .. }, _) => {}
            (_, Some(asked)) if now >= asked + self.profile.enquire_wait => self.end(Down::Silent),
            (_, Some(_)) => {}
            (_, None) if doubt || now >= self.heard + self.profile.enquire_after => {
                self.request(Body::EnquireLink);
                self.enquired = Some(now);
            }
            (_, None) => {}
        }
    }

    fn end(&mut self, why: Down) {
        self.state = State::Over;
        self.events.push_back(Event::Down(why));
    }

    fn request(&mut self, body: Body) -> u32 {
        self.sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
        Pdu::request(self.sequence, body).encode_into(&mut self.output);
        self.sequence
    }

    fn respond(&mut self, status: Status, sequence: u32, body: Body) {
        Pdu { status, sequence, body }.encode_into(&mut self.output);
    }
}
