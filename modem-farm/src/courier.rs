//! Carries leases to one link, as many at once as it takes: opens each, waits for its turn, has the intent written, hands over
//! the parts, says what became of it. Knows when a message is surely not sent; must not know ports, sockets, sessions with
//! routers, or other links.
//!
//! A long message ends by its worst part. A part that may be out makes it `uncertain`. If a part was surely refused no whole text
//! can have reached the handset, so the message counts as failed, and the parts that went out are named in the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lease::record::OutcomeKind;
use lease::{Attempt, Outcome};
use model::LinkName;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::journal::{By, Entry};
use crate::letter::{Letter, LetterError};
use crate::link::{Pdu, PduEnd, Plan, Request, Standing};
use crate::metrics::{Ending, GiveBack};
use crate::pace::Pace;
use crate::shared::Shared;

/// How long a started long message waits for its link to come back before it is given up.
const SAME_ACCOUNT_WAIT: Duration = Duration::from_secs(60);
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
    /// What it takes out of the account's budget.
    pub(crate) spent: Option<Entry>,
    /// The references of the parts before it.
    pub(crate) references: Vec<u32>,
    /// Told when the intent is durable, or that it may not be sent.
    pub(crate) go: oneshot::Sender<bool>,
}

/// Carries leases to one link.
pub(crate) struct Courier {
    carrier: Carrier,
    leases: mpsc::Receiver<Leased>,
    standing: watch::Receiver<Standing>,
    told: Option<(bool, &'static str)>,
}

/// What carrying one lease needs; leases are carried side by side.
struct Carrier {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    words: mpsc::Sender<Word>,
    driver: mpsc::Sender<Request>,
    standing: watch::Receiver<Standing>,
}

/// A lease that may begin.
struct Ready {
    letter: Letter,
    account: Arc<Account>,
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
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        leases: mpsc::Receiver<Leased>,
        words: mpsc::Sender<Word>,
        driver: mpsc::Sender<Request>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        let carrier = Carrier { plan, shared, words, driver, standing: standing.clone() };
        Self { carrier, leases, standing, told: None }
    }

    /// Carries leases until `stop`; then finishes those in hand and gives the rest back.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { carrier, mut leases, mut standing, mut told } = self;
        let mut under_way = FuturesUnordered::new();
        let mut check = tokio::time::interval(BUDGET_CHECK);
        loop {
            carrier.say_standing(&mut standing, &mut told).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                lease = leases.recv(), if under_way.len() < carrier.at_once() => match lease {
                    Some(lease) => under_way.push(carrier.carry(lease, &stop)),
                    None => break,
                },
                changed = standing.changed() => if changed.is_err() { break },
                _ = check.tick() => {}
            }
        }
        leases.close();
        while let Some(lease) = leases.recv().await {
            carrier.give_back(lease.attempt, GiveBack::Stopping).await;
        }
        while under_way.next().await.is_some() {}
    }
}

impl Carrier {
    /// Tells the hub when it changes whether this link can send, or why not.
    async fn say_standing(&self, standing: &mut watch::Receiver<Standing>, told: &mut Option<(bool, &'static str)>) {
        let (up, reason) = match &*standing.borrow_and_update() {
            Standing::Up { account, .. } if account.is_spent(self.shared.now()) => (false, "budget spent"),
            Standing::Up { .. } => (true, ""),
            Standing::Down(reason) => (false, *reason),
        };
        if *told != Some((up, reason)) {
            *told = Some((up, reason));
            self.say(Word::Standing { link: self.plan.name.clone(), up, reason }).await;
        }
    }

    /// Leases carried at once. Of a link that is down they go back, so there is no limit then.
    fn at_once(&self) -> usize {
        match &*self.standing.borrow() {
            Standing::Up { at_once, .. } => *at_once,
            Standing::Down(_) => usize::MAX,
        }
    }

    async fn carry(&self, lease: Leased, stop: &CancellationToken) {
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
                    // What this link does not carry, another may.
                    let kind = match error {
                        LetterError::NoBinary => OutcomeKind::FailedForNow,
                        _ => OutcomeKind::FailedForGood,
                    };
                    self.end(attempt, kind, "", Vec::new(), error.to_string()).await;
                }
            }
        }
    }

    /// Opens the lease and waits for its turn; nothing is begun by it.
    async fn prepare(&self, lease: &Leased) -> Result<Ready, NotReady> {
        let account = self.account().ok_or(NotReady::GiveBack(GiveBack::LinkDown))?;
        let (envelope, craft, now) = (lease.envelope.clone(), &self.plan.craft, self.shared.now());
        let letter = match Letter::open(envelope, lease.attempt, craft, &self.shared.keys, now) {
            Ok(letter) => letter,
            Err(LetterError::NoKey(_)) => return Err(NotReady::GiveBack(GiveBack::NoKey)),
            Err(error) => return Err(NotReady::Broken(error)),
        };
        let in_time = tokio::time::timeout_at(lease.begin_by.into(), async {
            self.pace(&account).pass().await;
            self.wait_for_reference(&account, &letter).await;
        });
        in_time.await.map_err(|_| NotReady::GiveBack(GiveBack::DeadlinePast))?;
        if Instant::now() >= lease.begin_by {
            return Err(NotReady::GiveBack(GiveBack::DeadlinePast));
        }
        if self.account().is_none_or(|now| now.name != account.name) {
            return Err(NotReady::GiveBack(GiveBack::LinkDown));
        }
        let segments = u32::try_from(letter.parts.len()).unwrap_or(u32::MAX);
        let spent = account.spend(segments, self.shared.now());
        let spent = spent.map_err(|_| NotReady::GiveBack(GiveBack::BudgetSpent))?;
        Ok(Ready { letter, account, spent })
    }

    /// Before a reference could come back for a recipient whose older message has it open, its report is waited for; then the older
    /// one counts as without report.
    async fn wait_for_reference(&self, account: &Account, letter: &Letter) {
        if !self.plan.craft.counts_references() {
            return;
        }
        let until = Instant::now() + Duration::from_millis(self.shared.config.reference_hold_ms_max);
        while account.would_reuse(&letter.recipient, Instant::now()) {
            if Instant::now() >= until {
                return self.shared.metrics.references_reused.increment();
            }
            tokio::time::sleep(REFERENCE_CHECK).await;
        }
    }

    /// Has the intent written and synced, then sends.
    async fn begin(&self, attempt: Attempt, ready: Ready) {
        let Ready { letter, account, spent } = ready;
        let known: Vec<u32> = letter.parts.first().and_then(Pdu::reference).into_iter().collect();
        if !self.may_send(attempt, 0, &account.name, Some(spent), &known).await {
            return;
        }
        let mut references = Vec::with_capacity(letter.parts.len());
        let (kind, reason) = self.send(attempt, &letter, &account, &mut references).await;
        self.end(attempt, kind, &account.name, references, reason).await;
    }

    /// Has the intent of a part written and synced; false: it is not ours to send.
    async fn may_send(
        &self,
        attempt: Attempt,
        part: u32,
        account: &str,
        spent: Option<Entry>,
        references: &[u32],
    ) -> bool {
        let asked = Instant::now();
        let (go, gone) = oneshot::channel();
        let by = By { link: self.plan.name.clone(), imsi: account.to_owned() };
        self.say(Word::Begin(Intent { attempt, part, by, spent, references: references.to_vec(), go })).await;
        let may = gone.await == Ok(true);
        self.shared.metrics.intent_seconds.observe_duration(asked.elapsed());
        may
    }

    /// Sends the parts in order, through this link, for one account. Stops at the first that is not accepted.
    async fn send(
        &self,
        attempt: Attempt,
        letter: &Letter,
        account: &Arc<Account>,
        references: &mut Vec<u32>,
    ) -> (OutcomeKind, String) {
        let total = letter.parts.len();
        for (index, part) in letter.parts.iter().enumerate() {
            let ended = match self.send_part(attempt, index, part, account, references).await {
                PduEnd::Accepted { reference } => {
                    if let Some(reference) = reference {
                        self.opened(reference, account, letter);
                        references.push(reference);
                    }
                    continue;
                }
                PduEnd::Refused { kind, reason } => (kind, reason),
                PduEnd::NotSent => (OutcomeKind::FailedForNow, "the link did not take it".to_owned()),
                PduEnd::Unknown => (OutcomeKind::Uncertain, "the link did not say what became of it".to_owned()),
            };
            // What it would be reported under is known, so a report may still prove it.
            references.extend(part.reference().filter(|_| ended.0 == OutcomeKind::Uncertain));
            let of = if total > 1 { format!("part {} of {total}: ", index + 1) } else { String::new() };
            return (ended.0, of + &ended.1);
        }
        (OutcomeKind::Sent, String::new())
    }

    /// A network that counts its references may come back to this one.
    fn opened(&self, reference: u32, account: &Account, letter: &Letter) {
        if let (true, Ok(reference)) = (self.plan.craft.counts_references(), u8::try_from(reference)) {
            account.opened(reference, &letter.recipient, Instant::now());
        }
    }

    /// Sends one part. The intent of the first is the attempt's; each later one has its own, with the references so far.
    async fn send_part(
        &self,
        attempt: Attempt,
        index: usize,
        part: &Pdu,
        account: &Arc<Account>,
        references: &[u32],
    ) -> PduEnd {
        if index == 0 {
            return self.submit(part.clone()).await;
        }
        self.pace(account).pass().await;
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let known: Vec<u32> = references.iter().copied().chain(part.reference()).collect();
        if !self.may_send(attempt, number, &account.name, None, &known).await {
            return PduEnd::NotSent;
        }
        match self.submit(part.clone()).await {
            PduEnd::NotSent if self.comes_back(account).await => self.submit(part.clone()).await,
            sent => sent,
        }
    }

    async fn submit(&self, pdu: Pdu) -> PduEnd {
        let asked = Instant::now();
        let (answer, answered) = oneshot::channel();
        if self.driver.send(Request { pdu, answer }).await.is_err() {
            return PduEnd::NotSent;
        }
        // A driver that went away without a word may have written the PDU.
        let sent = answered.await.unwrap_or(PduEnd::Unknown);
        self.shared.metrics.dialogue_seconds.observe_duration(asked.elapsed());
        sent
    }

    /// Waits for the same account to be up again: the parts of a message belong together.
    async fn comes_back(&self, account: &Account) -> bool {
        let same =
            |standing: &Standing| matches!(standing, Standing::Up { account: now, .. } if now.name == account.name);
        let mut standing = self.standing.clone();
        matches!(tokio::time::timeout(SAME_ACCOUNT_WAIT, standing.wait_for(same)).await, Ok(Ok(_)))
    }

    fn account(&self) -> Option<Arc<Account>> {
        match &*self.standing.borrow() {
            Standing::Up { account, .. } => Some(account.clone()),
            Standing::Down(_) => None,
        }
    }

    /// The limits of this link with this account.
    fn pace(&self, account: &Account) -> Pace {
        Pace::new(self.plan.limiters.iter().cloned().chain(account.limiter.clone()))
    }

    async fn give_back(&self, attempt: Attempt, why: GiveBack) {
        self.shared.metrics.returned.with(why).increment();
        self.say(Word::GaveBack { attempt, why }).await;
    }

    async fn end(&self, attempt: Attempt, kind: OutcomeKind, account: &str, references: Vec<u32>, reason: String) {
        self.shared.metrics.outcomes.with(Ending(kind)).increment();
        let outcome = Outcome {
            kind: kind.into(),
            farm: self.shared.config.name.to_string(),
            link: self.plan.name.to_string(),
            imsi: account.to_owned(),
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
