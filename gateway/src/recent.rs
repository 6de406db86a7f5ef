//! Messages this replica took a moment ago: it answers for them before the store knows them. In memory, bounded, no clock.

use std::sync::{Mutex, PoisonError};

use model::{IdMap, MessageId, TenantId, Timestamp};

use crate::accept::{Accepted, Digest};

/// Messages remembered at least, if they are not too old; twice as many at most.
const REMEMBERED: usize = 100_000;
/// How long one is remembered.
const REMEMBERED_MS: i64 = 120_000;
/// Parts with a lock of their own.
const PARTS: usize = 16;

/// The newest messages.
#[derive(Debug, Default)]
pub(crate) struct Recent([Mutex<Part>; PARTS]);

/// In two generations: forgetting is then one step for many.
#[derive(Debug, Default)]
struct Part {
    young: IdMap<MessageId, Taken>,
    old: IdMap<MessageId, Taken>,
}

impl Part {
    /// Forgets the older generation; its room is the next one's.
    fn forget(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
    }
}

#[derive(Debug)]
struct Taken {
    tenant: TenantId,
    accepted: Accepted,
    digest: Option<Digest>,
}

impl Recent {
    /// The tenant's message of this id, and the digest of its request if it has one, if it was taken within two minutes before
    /// `now`.
    pub(crate) fn find(&self, tenant: &TenantId, id: MessageId, now: Timestamp) -> Option<(Accepted, Option<Digest>)> {
        let part = self.part(id).lock().unwrap_or_else(PoisonError::into_inner);
        let taken = part.young.get(&id).or_else(|| part.old.get(&id))?;
        let holds = taken.tenant == *tenant && now.since_ms(taken.accepted.at) < REMEMBERED_MS;
        holds.then_some((taken.accepted, taken.digest))
    }

    /// Remembers a message.
    pub(crate) fn note(&self, tenant: TenantId, accepted: Accepted, digest: Option<Digest>) {
        let mut part = self.part(accepted.id).lock().unwrap_or_else(PoisonError::into_inner);
        if part.young.len() >= REMEMBERED / PARTS {
            part.forget();
        }
        part.young.insert(accepted.id, Taken { tenant, accepted, digest });
    }

    /// Ids end in chance, or in a hash.
    fn part(&self, id: MessageId) -> &Mutex<Part> {
        &self.0[id.0 as usize % PARTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn taken(number: usize, at: i64) -> Accepted {
        Accepted { id: MessageId(number as u128), at: Timestamp(at), deliveries: 1 }
    }

    #[test]
    fn a_message_is_its_tenants_for_two_minutes() {
        let recent = Recent::default();
        recent.note(tenant("acme"), taken(7, 1_000), Some([3; 16]));
        let find = |name, now| recent.find(&tenant(name), MessageId(7), Timestamp(now));
        assert_eq!(find("acme", 1_000), Some((taken(7, 1_000), Some([3; 16]))));
        assert_eq!(find("acme", 120_999), Some((taken(7, 1_000), Some([3; 16]))));
        assert_eq!((find("acme", 121_000), find("other", 1_000)), (None, None));
    }

    #[test]
    fn no_more_than_two_generations_are_remembered() {
        let recent = Recent::default();
        for number in 0..3 * REMEMBERED {
            recent.note(tenant("acme"), taken(number, 0), None);
        }
        let known = |number: usize| recent.find(&tenant("acme"), MessageId(number as u128), Timestamp(1)).is_some();
        assert!(!known(0) && known(2 * REMEMBERED) && known(3 * REMEMBERED - 1));
        let held = recent.0.iter().map(|part| {
            let part = part.lock().unwrap();
            part.young.len() + part.old.len()
        });
        assert!(held.sum::<usize>() <= 2 * REMEMBERED);
    }
}
