//! One connection to a service centre, from its side: binds, messages, receipts. Knows sockets and PDUs; keeps nothing that must
//! survive it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::smpp::{BindResp, Body, Frames, Kind, Message, Mode, Pdu, Status};

use super::centre::{Answer, Centre, Then};
use super::owed::Owed;
use crate::SimError;
use crate::driver::now;

/// Bytes read at once.
const READ_OCTETS_MAX: usize = 64 * 1024;
/// Bytes that wait to be written above which nothing more is read.
const UNWRITTEN_OCTETS_MAX: usize = 1024 * 1024;
/// The longest sleep when nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// After which something that was not taken is delivered again.
const AGAIN_MS: i64 = 500;

/// One conversation.
pub(super) struct Conversation {
    centre: Arc<Centre>,
    bound: Option<Bound>,
    frames: Frames,
    output: BytesMut,
    /// One PDU, on its way into the output.
    scratch: Vec<u8>,
    /// Answers that come later.
    late: BTreeMap<(Instant, u64), Pdu>,
    lates: u64,
    sequence: u32,
    /// Delivered and not answered.
    delivered: HashMap<u32, Owed>,
    over: bool,
}

struct Bound {
    account: String,
    mode: Mode,
    bell: Arc<Notify>,
}

impl Conversation {
    pub(super) fn new(centre: Arc<Centre>) -> Self {
        Self {
            centre,
            bound: None,
            frames: Frames::default(),
            output: BytesMut::new(),
            scratch: Vec::new(),
            late: BTreeMap::new(),
            lates: 0,
            sequence: 0,
            delivered: HashMap::new(),
            over: false,
        }
    }

    /// Leads it until one side ends it.
    ///
    /// # Errors
    /// What was taken cannot be written down; it was not answered.
    pub(super) async fn lead(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        stop: CancellationToken,
    ) -> Result<(), SimError> {
        let led = self.converse(stream, stop).await;
        if self.bound.take().is_some() {
            self.centre.left();
        }
        let unanswered: Vec<Owed> = self.delivered.drain().map(|(_, owed)| owed).collect();
        for owed in unanswered {
            let bell = self.centre.bell(&owed.account);
            self.centre.give_back(owed, 0);
            bell.notify_waiters();
        }
        led
    }

    async fn converse(
        &mut self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        stop: CancellationToken,
    ) -> Result<(), SimError> {
        let mut input = BytesMut::with_capacity(READ_OCTETS_MAX);
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        loop {
            let bell = self.bound.as_ref().map(|bound| bound.bell.clone()).unwrap_or_default();
            let rung = bell.notified();
            tokio::pin!(rung);
            // From here on it is heard; what was owed before is seen by the look that follows.
            rung.as_mut().enable();
            self.deliver();
            self.centre.sync()?;
            if self.over && self.output.is_empty() {
                let _ = writer.shutdown().await;
                return Ok(());
            }
            let wake = self.wake();
            input.reserve(READ_OCTETS_MAX);
            tokio::select! {
                read = reader.read_buf(&mut input), if self.output.len() < UNWRITTEN_OCTETS_MAX && !self.over => {
                    if read.unwrap_or(0) == 0 {
                        return Ok(());
                    }
                    self.hear(&input.split());
                }
                written = write_on(&mut writer, &mut self.output), if !self.output.is_empty() => {
                    if written.is_err() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
                () = &mut rung => {}
                () = stop.cancelled() => return Ok(()),
            }
            self.say_late();
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        self.frames.push(octets);
        loop {
            let pdu = match self.frames.take() {
                Ok(None) => return,
                Ok(Some(octets)) => Pdu::decode(octets),
                Err(_) => {
                    self.respond(Status::INVALID_LENGTH, 0, Body::GenericNack);
                    self.over = true;
                    return;
                }
            };
            match pdu {
                Ok(pdu) => self.answer(pdu),
                Err(unreadable) => self.respond(Status::INVALID_LENGTH, unreadable.sequence, Body::GenericNack),
            }
            if self.over {
                return;
            }
        }
    }

    fn answer(&mut self, pdu: Pdu) {
        let Pdu { status, sequence, body } = pdu;
        match body {
            Body::Bind(mode, bind) => {
                let status = if self.bound.is_some() { Status::ALREADY_BOUND } else { self.centre.admits(&bind) };
                let resp = BindResp { system_id: "simulator".to_owned(), ..BindResp::default() };
                self.respond(status, sequence, Body::BindResp(mode, resp));
                match status {
                    Status::OK => {
                        let bell = self.centre.bell(&bind.system_id);
                        self.bound = Some(Bound { account: bind.system_id, mode, bell });
                        self.centre.joined();
                    }
                    _ => self.over = true,
                }
            }
            Body::Message(kind @ (Kind::Submit | Kind::Data), message) => self.take(kind, sequence, &message),
            Body::MessageResp(Kind::Deliver | Kind::Data, _) => self.conclude(sequence, status),
            Body::EnquireLink => self.respond(Status::OK, sequence, Body::EnquireLinkResp),
            Body::Unbind => {
                self.respond(Status::OK, sequence, Body::UnbindResp);
                self.over = true;
            }
            Body::UnbindResp => self.over = true,
            Body::EnquireLinkResp | Body::GenericNack => {}
            other if other.is_request() => self.respond(Status::INVALID_COMMAND, sequence, Body::GenericNack),
            _ => {}
        }
    }

    fn take(&mut self, kind: Kind, sequence: u32, message: &Message) {
        let resp = |id: String| Body::MessageResp(kind, id);
        let Some(bound) = self.bound.as_ref().filter(|bound| bound.mode.sends()) else {
            return self.respond(Status::INVALID_BIND_STATUS, sequence, resp(String::new()));
        };
        let taking = self.centre.take(&bound.account, message, self.late.len());
        // Receipts go to whoever is bound for them, and that may be another connection.
        bound.bell.notify_waiters();
        let answer = match taking.answer {
            Answer::Id(id) => Some(Pdu { status: Status::OK, sequence, body: resp(id) }),
            Answer::Refused(status) => Some(Pdu { status, sequence, body: resp(String::new()) }),
            Answer::None => None,
        };
        if let Some(pdu) = answer {
            if taking.answer_ms == 0 {
                self.say(&pdu);
            } else {
                self.lates += 1;
                self.late.insert((Instant::now() + Duration::from_millis(taking.answer_ms), self.lates), pdu);
            }
        }
        match taking.then {
            Then::Nothing => {}
            Then::Disconnect => {
                // What was answered before stands; this one is not.
                self.over = true;
            }
            Then::Unbind => self.request(Body::Unbind),
            Then::Nonsense => {
                self.request(Body::Other(0x0777));
                self.request(Body::Outbind);
            }
        }
    }

    /// A receipt or message was answered.
    fn conclude(&mut self, sequence: u32, status: Status) {
        let Some(owed) = self.delivered.remove(&sequence) else { return };
        match status {
            Status::NOT_NOW | Status::QUEUE_FULL | Status::THROTTLED => self.centre.give_back(owed, AGAIN_MS),
            _ => self.centre.done(&owed),
        }
    }

    /// Delivers what is due, as far as the window lets it.
    fn deliver(&mut self) {
        let Some(bound) = self.bound.as_ref().filter(|bound| bound.mode.receives() && !self.over) else { return };
        let room = self.centre.config.deliver_window.saturating_sub(self.delivered.len());
        if room == 0 || self.output.len() >= UNWRITTEN_OCTETS_MAX {
            return;
        }
        for owed in self.centre.due(&bound.account, room) {
            let message = owed.message(self.centre.config.receipt_id, self.centre.config.receipts);
            self.request(Body::Message(Kind::Deliver, Box::new(message)));
            self.delivered.insert(self.sequence, owed);
        }
    }

    fn say_late(&mut self) {
        let now = Instant::now();
        while self.late.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            if let Some((_, pdu)) = self.late.pop_first() {
                self.say(&pdu);
            }
        }
    }

    /// When something is due without anybody speaking.
    fn wake(&self) -> Instant {
        let far = Instant::now() + IDLE_MAX;
        let late = self.late.first_key_value().map_or(far, |((at, _), _)| *at);
        let receiver = self
            .bound
            .as_ref()
            .filter(|bound| bound.mode.receives() && self.delivered.len() < self.centre.config.deliver_window);
        let due = receiver.and_then(|bound| self.centre.next_due(&bound.account));
        let due = due.map_or(far, |due| {
            let wait = due.since_ms(now()).clamp(1, IDLE_MAX.as_millis() as i64);
            Instant::now() + Duration::from_millis(wait.cast_unsigned())
        });
        late.min(due)
    }

    fn request(&mut self, body: Body) {
        self.sequence = self.sequence % 0x7fff_ffff + 1;
        let pdu = Pdu::request(self.sequence, body);
        self.say(&pdu);
    }

    fn respond(&mut self, status: Status, sequence: u32, body: Body) {
        self.say(&Pdu { status, sequence, body });
    }

    fn say(&mut self, pdu: &Pdu) {
        self.scratch.clear();
        pdu.encode_into(&mut self.scratch);
        self.output.extend_from_slice(&self.scratch);
    }
}

/// Writes some, and flushes when all is written.
async fn write_on(writer: &mut (impl AsyncWrite + Unpin), output: &mut BytesMut) -> std::io::Result<()> {
    writer.write_buf(output).await?;
    if output.is_empty() { writer.flush().await } else { Ok(()) }
}
