//! Who gets a message from a handset: those who may claim it, asked one after the other. Knows the order, no mail and no lane.

use bus::{Bus, Entry};
use model::party::OmsUser;
use model::seal::NumberKey;
use model::{Lane, MessageId, Msisdn, TenantId, Timestamp};
use store::{CONVERSATION_MS, Conversation, InboundOwner, Store};

use super::orders::Order;
use super::pauses::{self, Obeyed};
use super::stops;
use crate::RouterError;
use crate::desk::Desk;
use crate::routing::Loads;
use crate::world::Snapshot;

/// What is known of a message before anybody has it.
pub(super) struct Said<'a> {
    /// The SIM, or the supplier account, that received it.
    pub(super) account: &'a str,
    /// The sender, as the network told it.
    pub(super) from: &'a str,
    /// The text, if it is one.
    pub(super) text: &'a str,
    /// When lane `inbox` took it.
    pub(super) received: Timestamp,
    /// The message an answer to it becomes.
    pub(super) answer: MessageId,
}

/// Who gets it.
pub(super) struct Claim {
    pub(super) owner: InboundOwner,
    /// The user it is a reply to.
    pub(super) user: Option<OmsUser>,
    /// What it ordered, if it was an order and was obeyed: then it goes nowhere but into the list.
    pub(super) order: Option<Order>,
    /// What is to be appended for the order.
    pub(super) appended: Vec<(Lane, Entry)>,
}

impl Claim {
    fn of_tenant(tenant: TenantId) -> Self {
        Claim { owner: InboundOwner::Tenant(tenant), user: None, order: None, appended: Vec::new() }
    }
}

/// Those who may claim a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Claimant {
    /// The device that has the number: a word of its own pauses it.
    Device,
    /// The list of numbers that want nothing more: its words are orders of the phone's.
    OptOuts,
    /// Who wrote to the phone last through that account, within the window.
    Conversation,
    /// The tenant the account belongs to, for its webhook and its list.
    Owner,
    /// The operator: whatever nobody else wants.
    Operator,
}

/// In the order in which they are asked; the first that wants it has it (spec OMS, 11.8).
const CLAIMANTS: [Claimant; 5] =
    [Claimant::Device, Claimant::OptOuts, Claimant::Conversation, Claimant::Owner, Claimant::Operator];

/// A message that nobody has yet, and what its claimants are asked with.
pub(super) struct Hearing<'a, B, S, L> {
    pub(super) desk: &'a Desk<B, S, L>,
    pub(super) numbers: &'a NumberKey,
    pub(super) snapshot: &'a Snapshot,
    pub(super) said: Said<'a>,
}

impl<B: Bus, S: Store, L: Loads> Hearing<'_, B, S, L> {
    /// Whom the message is for: always somebody. An order is obeyed before it is answered for; obeyed again, nothing changes.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn claim(&self) -> Result<Claim, RouterError> {
        for claimant in CLAIMANTS {
            let claim = match claimant {
                Claimant::Device => self.device().await?,
                Claimant::OptOuts => self.opt_outs().await?,
                Claimant::Conversation => self.conversation().await?,
                Claimant::Owner => self.owner().map(Claim::of_tenant),
                Claimant::Operator => break,
            };
            if let Some(claim) = claim {
                return Ok(claim);
            }
        }
        Ok(Claim { owner: InboundOwner::Operator, user: None, order: None, appended: Vec::new() })
    }

    /// The number, if the sender is one.
    pub(super) fn number(&self) -> Option<Msisdn> {
        Msisdn::parse(self.said.from).ok()
    }

    /// The tenant who wrote to the phone last through that account, or else the one the account belongs to.
    pub(super) async fn correspondent(&self) -> Result<Option<TenantId>, RouterError> {
        Ok(self.last().await?.map(|last| last.tenant).or_else(|| self.owner()))
    }

    async fn device(&self) -> Result<Option<Claim>, RouterError> {
        let order = self.desk.config.orders.of(self.said.text);
        let Some(order @ (Order::PushOff | Order::PushOn)) = order else { return Ok(None) };
        let obeyed = pauses::obey(self, order).await?;
        let claim = |Obeyed { tenant, appended }| Claim { order: Some(order), appended, ..Claim::of_tenant(tenant) };
        Ok(obeyed.map(claim))
    }

    async fn opt_outs(&self) -> Result<Option<Claim>, RouterError> {
        let order = self.desk.config.orders.of(self.said.text);
        let Some(order @ (Order::Stop | Order::Start)) = order else { return Ok(None) };
        let tenant = stops::obey(self, order).await?;
        Ok(tenant.map(|tenant| Claim { order: Some(order), ..Claim::of_tenant(tenant) }))
    }

    async fn conversation(&self) -> Result<Option<Claim>, RouterError> {
        let Some(last) = self.last().await? else { return Ok(None) };
        let user = match last.is_oms {
            true => self.desk.store.oms_user(&last.tenant, &last.user).await.map_err(RouterError::Inbound)?,
            false => None,
        };
        Ok(Some(Claim { user: user.map(|(_, user)| user), ..Claim::of_tenant(last.tenant) }))
    }

    /// The last that was written to the phone through that account, if it is not too long ago.
    async fn last(&self) -> Result<Option<Conversation>, RouterError> {
        let Some(number) = self.number() else { return Ok(None) };
        let found = self.desk.store.conversation(self.said.account, self.numbers.hash(&number)).await;
        let since = self.said.received.plus_ms(-CONVERSATION_MS);
        let is_known = |last: &Conversation| last.at >= since && self.snapshot.tenants.contains_key(&last.tenant);
        Ok(found.map_err(RouterError::Inbound)?.filter(is_known))
    }

    fn owner(&self) -> Option<TenantId> {
        let tenant = self.desk.config.inbound_owners.get(self.said.account)?;
        self.snapshot.tenants.contains_key(tenant).then(|| tenant.clone())
    }
}
