//! Who gets a message from a handset: those who may claim it, asked one after the other. Knows the order, no mail and no lane.

use bus::Bus;
use model::party::OmsUser;
use model::seal::NumberKey;
use model::{Msisdn, Timestamp};
use store::{CONVERSATION_MS, InboundOwner, Store};

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
    /// When lane `inbox` took it.
    pub(super) received: Timestamp,
}

/// Who gets it.
pub(super) struct Claim {
    pub(super) owner: InboundOwner,
    /// The user it is a reply to.
    pub(super) user: Option<OmsUser>,
}

/// Those who may claim a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Claimant {
    /// Who wrote to the phone last through that account, within the window.
    Conversation,
    /// The tenant the account belongs to, for its webhook and its list.
    Owner,
    /// The operator: whatever nobody else wants.
    Operator,
}

/// In the order in which they are asked; the first that wants it has it. Words that are orders to us (`PUSH`, `STOP`) would come
/// before all of these.
const CLAIMANTS: [Claimant; 3] = [Claimant::Conversation, Claimant::Owner, Claimant::Operator];

/// Whom a message is for: always somebody.
///
/// # Errors
/// The store is away.
pub(super) async fn of<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    numbers: &NumberKey,
    snapshot: &Snapshot,
    said: &Said<'_>,
) -> Result<Claim, RouterError> {
    for claimant in CLAIMANTS {
        let claim = match claimant {
            Claimant::Conversation => conversation(desk, numbers, snapshot, said).await?,
            Claimant::Owner => owner(desk, snapshot, said),
            Claimant::Operator => break,
        };
        if let Some(claim) = claim {
            return Ok(claim);
        }
    }
    Ok(Claim { owner: InboundOwner::Operator, user: None })
}

async fn conversation<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    numbers: &NumberKey,
    snapshot: &Snapshot,
    said: &Said<'_>,
) -> Result<Option<Claim>, RouterError> {
    let Ok(number) = Msisdn::parse(said.from) else { return Ok(None) };
    let found = desk.store.conversation(said.account, numbers.hash(&number)).await.map_err(RouterError::Inbound)?;
    let since = said.received.plus_ms(-CONVERSATION_MS);
    let known = found.filter(|last| last.at >= since && snapshot.tenants.contains_key(&last.tenant));
    let Some(last) = known else { return Ok(None) };
    let user = match last.is_oms {
        true => desk.store.oms_user(&last.tenant, &last.user).await.map_err(RouterError::Inbound)?,
        false => None,
    };
    Ok(Some(Claim { owner: InboundOwner::Tenant(last.tenant), user: user.map(|(_, user)| user) }))
}

fn owner<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, snapshot: &Snapshot, said: &Said<'_>) -> Option<Claim> {
    let tenant = desk.config.inbound_owners.get(said.account)?;
    let is_there = snapshot.tenants.contains_key(tenant);
    is_there.then(|| Claim { owner: InboundOwner::Tenant(tenant.clone()), user: None })
}
