//! Carries one lease at a time to one modem: opens it, waits for its turn, has the intent written, hands over the parts, says
//! what became of it. Knows when a message is surely not sent; must not know ports, sessions with routers, or other links.
//!
//! A long message ends by its worst part. A part that may be out makes it `uncertain`. If a part was surely refused no whole text
//! can have reached the handset, so the message counts as failed, and the parts that went out are named in the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lease::record::OutcomeKind;
use lease::{Attempt, Outcome};
use model::LinkName;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wire::at::{self, Class};

use crate::config;
use crate::journal::{By, Entry};
use crate::letter::{Letter, LetterError};
use crate::metrics::{Ending, GiveBack};
use crate::modem::{PduEnd, Request, Standing};
use crate::pace::{Limiter, Pace, per_minute, per_second};
use crate::shared::Shared;
use crate::sim_card::SimCard;

/// How long a started long message waits for its modem to come back before it is given up.
const SAME_SIM_WAIT: Duration = Duration::from_secs(60);
/// How often a spent budget is looked at: a new day begins.
const BUDGET_CHECK: Duration = Duration::from_secs(30);
/// How often an open reference is looked at while a message waits for it.
const REFERENCE_CHECK: Duration = Duration::from_millis(50);

/// A lease for this link.
pub(crate) struct Leased {
    pub(crate) attempt: Attempt,
    pub(crate) envelope: Bytes,
    pub(crate) begin_by: Instant,
}

/// What a link says to the hub.
pub(crate) enum Word {
    /// May it begin? The answer comes when the intent is durable.
    Begin(Intent),
    Ended {
        attempt: Attempt,
        outcome: Outcome,
    },
    GaveBack {
        attempt: Attempt,
        why: GiveBack,
    },
    Standing {
        link: LinkName,
        up: bool,
        reason: &'static str,
    },
    /// A link's task began; leases for it go here.
    Seated {
        link: LinkName,
        leases: mpsc::Sender<Leased>,
    },
    /// A link's task panicked: what it had begun may have been sent.
    Died {
        link: LinkName,
    },
}

/// The wish to send a part.
pub(crate) struct Intent {
    pub(crate) attempt: Attempt,
    /// 0 begins the attempt.
    pub(crate) part: u32,
    pub(crate) by: By,
    /// What it takes out of the SIM's budget.
    pub(crate) spent: Option<Entry>,
    /// The references of the parts before it.
    pub(crate) references: Vec<u32>,
    /// Told when the intent is durable, or that it may not be sent.
    pub(crate) go: oneshot::Sender<bool>,
}

/// Carries leases to one modem.
pub(crate) struct Courier {
    link: config::Link,
    shared: Arc<Shared>,
    leases: mpsc::Receiver<Leased>,
    words: mpsc::Sender<Word>,
    modem: mpsc::Sender<Request>,
    standing: watch::Receiver<Standing>,
    limiters: Vec<Limiter>,
    pace: Option<(Arc<SimCard>, Pace)>,
    told: Option<(bool, &'static str)>,
}

/// A lease that may begin.
struct Ready {
    letter: Letter,
    card: Arc<SimCard>,
    spent: Entry,
}

/// Why a lease does not begin.
enum NotReady {
    GiveBack(GiveBack),
    /// It can never be sent: an outcome, not a return.
    Broken(LetterError),
}

impl Courier {
    pub(crate) fn new(
        link: config::Link,
        shared: Arc<Shared>,
        leases: mpsc::Receiver<Leased>,
        words: mpsc::Sender<Word>,
        modem: mpsc::Sender<Request>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        let limiters = per_minute(link.segments_per_minute).into_iter().chain(per_second(link.segments_per_second));
        let limiters = limiters.collect();
        Self { link, shared, leases, words, modem, standing, limiters, pace: None, told: None }
    }

    /// Carries leases until `stop`; then finishes the one in hand and gives the rest back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.say_standing().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                lease = self.leases.recv() => match lease {
                    Some(lease) => self.carry(lease, &stop).await,
                    None => break,
                },
                changed = self.standing.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(BUDGET_CHECK) => {}
            }
        }
        self.leases.close();
        while let Some(lease) = self.leases.recv().await {
            self.give_back(lease.attempt, GiveBack::Stopping).await;
        }
    }

    /// Tells the hub when it changes whether this link can send, or why not.
    async fn say_standing(&mut self) {
        let (up, reason) = match &*self.standing.borrow_and_update() {
            Standing::Up(card) if card.is_spent(self.shared.now()) => (false, "budget spent"),
            Standing::Up(_) => (true, ""),
            Standing::Down(reason) => (false, *reason),
        };
        if self.told != Some((up, reason)) {
            self.told = Some((up, reason));
            self.say(Word::Standing { link: self.link.name.clone(), up, reason }).await;
        }
    }

    async fn carry(&mut self, lease: Leased, stop: &CancellationToken) {
        let attempt = lease.attempt;
        let ready = tokio::select! {
            biased;
            () = stop.cancelled() => Err(NotReady::GiveBack(GiveBack::Stopping)),
            ready = self.prepare(&lease) => ready,
        };
        match ready {
            Ok(ready) => self.begin(attempt, ready).await,
            Err(NotReady::GiveBack(why)) => self.give_back(attempt, why).await,
            Err(NotReady::Broken(error)) => {
                tracing::error!(message.id = %attempt.delivery, %error, "a leased message cannot be made");
                if self.may_send(attempt, 0, "", None, &[]).await {
                    self.end(attempt, OutcomeKind::FailedForGood, "", Vec::new(), error.to_string()).await;
                }
            }
        }
    }

    /// Opens the lease and waits for its turn; nothing is begun by it.
    async fn prepare(&mut self, lease: &Leased) -> Result<Ready, NotReady> {
        let card = self.card().ok_or(NotReady::GiveBack(GiveBack::ModemGone))?;
        let letter = match Letter::open(lease.envelope.clone(), lease.attempt, &self.shared.keys, self.shared.now()) {
            Ok(letter) => letter,
            Err(LetterError::NoKey(_)) => return Err(NotReady::GiveBack(GiveBack::NoKey)),
            Err(error) => return Err(NotReady::Broken(error)),
        };
        let in_time = tokio::time::timeout_at(lease.begin_by.into(), async {
            self.pace(&card).pass().await;
            self.wait_for_reference(&card, &letter).await;
        });
        in_time.await.map_err(|_| NotReady::GiveBack(GiveBack::DeadlinePast))?;
        if Instant::now() >= lease.begin_by {
            return Err(NotReady::GiveBack(GiveBack::DeadlinePast));
        }
        if self.card().is_none_or(|now| now.imsi != card.imsi) {
            return Err(NotReady::GiveBack(GiveBack::ModemGone));
        }
        let segments = u32::try_from(letter.parts.len()).unwrap_or(u32::MAX);
        let spent = card.spend(segments, self.shared.now());
        let spent = spent.map_err(|_| NotReady::GiveBack(GiveBack::BudgetSpent))?;
        Ok(Ready { letter, card, spent })
    }

    /// Before a reference could come back for a recipient whose older message has it open, its report is waited for; then the older
    /// one counts as without report.
    async fn wait_for_reference(&self, card: &SimCard, letter: &Letter) {
        let until = Instant::now() + Duration::from_millis(self.shared.config.reference_hold_ms_max);
        while card.would_reuse(&letter.recipient, Instant::now()) {
            if Instant::now() >= until {
                return self.shared.metrics.references_reused.increment();
            }
            tokio::time::sleep(REFERENCE_CHECK).await;
        }
    }

    /// Has the intent written and synced, then sends.
    async fn begin(&mut self, attempt: Attempt, ready: Ready) {
        let Ready { letter, card, spent } = ready;
        if !self.may_send(attempt, 0, &card.imsi, Some(spent), &[]).await {
            return;
        }
        let mut references = Vec::with_capacity(letter.parts.len());
        let (kind, reason) = self.send(attempt, &letter, &card, &mut references).await;
        self.end(attempt, kind, &card.imsi, references, reason).await;
    }

    /// Has the intent of a part written and synced; false: it is not ours to send.
    async fn may_send(
        &self,
        attempt: Attempt,
        part: u32,
        imsi: &str,
        spent: Option<Entry>,
        references: &[u32],
    ) -> bool {
        let asked = Instant::now();
        let (go, gone) = oneshot::channel();
        let by = By { link: self.link.name.clone(), imsi: imsi.to_owned() };
        self.say(Word::Begin(Intent { attempt, part, by, spent, references: references.to_vec(), go })).await;
        let may = gone.await == Ok(true);
        self.shared.metrics.intent_seconds.observe_duration(asked.elapsed());
        may
    }

    /// Sends the parts in order, through this link, with one SIM. Stops at the first that is not accepted.
    async fn send(
        &mut self,
        attempt: Attempt,
        letter: &Letter,
        card: &Arc<SimCard>,
        references: &mut Vec<u32>,
    ) -> (OutcomeKind, String) {
        let total = letter.parts.len();
        for (index, part) in letter.parts.iter().enumerate() {
            let ended = match self.send_part(attempt, index, part, card, references).await {
                PduEnd::Accepted { reference } => {
                    if let Some(reference) = reference {
                        card.opened(reference, &letter.recipient, Instant::now());
                        references.push(reference.into());
                    }
                    continue;
                }
                PduEnd::Refused { fault, class, .. } => (kind_of(class), fault.to_string()),
                PduEnd::NotSent => (OutcomeKind::FailedForNow, "the modem did not take it".to_owned()),
                PduEnd::Unknown => (OutcomeKind::Uncertain, "the modem did not say what became of it".to_owned()),
            };
            let of = if total > 1 { format!("part {} of {total}: ", index + 1) } else { String::new() };
            return (ended.0, of + &ended.1);
        }
        (OutcomeKind::Sent, String::new())
    }

    /// Sends one part. The intent of the first is the attempt's; each later one has its own, with the references so far.
    async fn send_part(
        &mut self,
        attempt: Attempt,
        index: usize,
        part: &at::Submit,
        card: &Arc<SimCard>,
        references: &[u32],
    ) -> PduEnd {
        if index == 0 {
            return self.submit(part.clone()).await;
        }
        self.pace(card).pass().await;
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        if !self.may_send(attempt, number, &card.imsi, None, references).await {
            return PduEnd::NotSent;
        }
        match self.submit(part.clone()).await {
            PduEnd::NotSent if self.comes_back(card).await => self.submit(part.clone()).await,
            sent => sent,
        }
    }

    async fn submit(&self, submit: at::Submit) -> PduEnd {
        let asked = Instant::now();
        let (answer, answered) = oneshot::channel();
        if self.modem.send(Request { submit, answer }).await.is_err() {
            return PduEnd::NotSent;
        }
        // A driver that went away without a word may have written the PDU.
        let sent = answered.await.unwrap_or(PduEnd::Unknown);
        self.shared.metrics.dialogue_seconds.observe_duration(asked.elapsed());
        sent
    }

    /// Waits for the same SIM to be up again: the parts of a message belong together.
    async fn comes_back(&mut self, card: &SimCard) -> bool {
        let same = |standing: &Standing| matches!(standing, Standing::Up(now) if now.imsi == card.imsi);
        matches!(tokio::time::timeout(SAME_SIM_WAIT, self.standing.wait_for(same)).await, Ok(Ok(_)))
    }

    fn card(&self) -> Option<Arc<SimCard>> {
        match &*self.standing.borrow() {
            Standing::Up(card) => Some(card.clone()),
            Standing::Down(_) => None,
        }
    }

    /// The limits of this link with this SIM in it.
    fn pace(&mut self, card: &Arc<SimCard>) -> &mut Pace {
        if self.pace.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, card)) {
            let limiters = self.limiters.iter().cloned().chain(card.limiter.clone());
            self.pace = Some((card.clone(), Pace::new(limiters)));
        }
        &mut self.pace.as_mut().expect("it was set above").1
    }

    async fn give_back(&self, attempt: Attempt, why: GiveBack) {
        self.shared.metrics.returned.with(why).increment();
        self.say(Word::GaveBack { attempt, why }).await;
    }

    async fn end(&self, attempt: Attempt, kind: OutcomeKind, imsi: &str, references: Vec<u32>, reason: String) {
        self.shared.metrics.outcomes.with(Ending(kind)).increment();
        let outcome = Outcome {
            kind: kind.into(),
            farm: self.shared.config.name.to_string(),
            link: self.link.name.to_string(),
            imsi: imsi.to_owned(),
            references,
            reason,
            at_ms: self.shared.now().0,
        };
        self.say(Word::Ended { attempt, outcome }).await;
    }

    /// A hub that no longer listens is at the end of the process; the journal knows the rest.
    async fn say(&self, word: Word) {
        let _ = self.words.send(word).await;
    }
}

/// Whether another attempt may succeed. It is surely not sent in any case.
fn kind_of(class: Class) -> OutcomeKind {
    match class {
        Class::Message | Class::Bug => OutcomeKind::FailedForGood,
        Class::Retry | Class::Sim | Class::Network | Class::Device => OutcomeKind::FailedForNow,
        Class::AlreadyAccepted => OutcomeKind::Sent,
        Class::Unknown => OutcomeKind::Uncertain,
    }
}
