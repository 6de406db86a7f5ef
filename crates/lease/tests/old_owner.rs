//! The run behind lease rule 8, step by step, since seeds find it too rarely: an old owner that has not read the newer marker,
//! and a farm that restarts between the two.

use std::time::Instant;

use bytes::Bytes;
use lease::farm::{FarmEvent, FarmLimits, JournalWrite, Recovered};
use lease::message::{Incarnation, Session, Token};
use lease::owner::{Offer, OwnerLimits, OwnerStart};
use lease::record::{Kind, Place, Queue};
use lease::rule::Rule;
use lease::{Farm, FarmMessage, LaneId, Now, Owner, PartitionId, RouterMessage};
use model::record::OnUncertain;
use model::{DeliveryId, FarmName, MessageId, RouterName, Timestamp};

const JOURNAL: Incarnation = Incarnation(1);

struct Scene {
    without: &'static [Rule],
    now: Now,
    lane: Vec<Kind>,
    farm: Farm,
    disk: Recovered,
}

impl Scene {
    fn new(without: &'static [Rule]) -> Self {
        let now = Now { instant: Instant::now(), utc: Timestamp(1_000) };
        let disk = Recovered::default();
        let farm = Farm::mutated(farm_name(), FarmLimits::default(), disk.clone(), now, without);
        Scene { without, now, lane: Vec::new(), farm, disk }
    }

    /// An owner that has read the lane up to its own marker.
    fn owner(&mut self, router: &str) -> Owner {
        let partition = PartitionId { route: "blue".parse().unwrap(), index: 0 };
        let start =
            OwnerStart { partition, lane: LaneId(7), router: router.parse().unwrap(), read_from: 0, derived_to: 0 };
        let mut owner = Owner::mutated(start, OwnerLimits::default(), self.without);
        owner.take_over(router.as_bytes());
        self.append(&mut owner);
        for (offset, kind) in (0..).zip(self.lane.clone()) {
            owner.handle_record(offset, kind, self.now);
        }
        owner
    }

    fn append(&mut self, owner: &mut Owner) {
        while let Some(kind) = owner.poll_append() {
            self.lane.push(kind);
        }
    }

    /// A new stream, and the handshake in it.
    fn attach(&mut self, owner: &mut Owner, router: &str, session: Session) {
        let name: RouterName = router.parse().unwrap();
        let welcome = RouterMessage::Welcome { router: name.clone(), session, peers: Vec::new() };
        self.farm.handle_message(&name, welcome, self.now);
        owner.session_opened(&farm_name(), JOURNAL, session, self.now);
        self.deliver(owner, &name);
        while let Some((_, message)) = self.farm.poll_send() {
            owner.handle_message(&farm_name(), message, self.now);
        }
        self.append(owner);
    }

    /// Delivers what the owner says, and syncs what the farm writes.
    fn deliver(&mut self, owner: &mut Owner, router: &RouterName) {
        while let Some((_, message)) = owner.poll_send() {
            self.farm.handle_message(router, message, self.now);
        }
        while let Some((id, write)) = self.farm.poll_write() {
            if let JournalWrite::Epoch(kept) = write {
                self.disk.epochs = vec![kept];
            }
            self.farm.synced(id);
        }
    }

    fn restart_farm(&mut self) {
        self.farm = Farm::mutated(farm_name(), FarmLimits::default(), self.disk.clone(), self.now, self.without);
    }
}

fn farm_name() -> FarmName {
    "cellar".parse().unwrap()
}

fn offer() -> Offer {
    Offer {
        place: Place { queue: Queue::Front, offset: 0 },
        delivery: DeliveryId { message: MessageId(1), index: 0 },
        attempt: 0,
        expires: Timestamp(100_000),
        on_uncertain: OnUncertain::Keep,
        envelope: Bytes::new(),
        farm: farm_name(),
        link: "modem-1".parse().unwrap(),
        token: Token(1),
    }
}

/// Whether the farm takes a lease of the old owner that the newer one has released.
fn takes_a_released_lease(without: &'static [Rule]) -> bool {
    let mut scene = Scene::new(without);
    let mut old = scene.owner("north");
    scene.attach(&mut old, "north", 1);
    old.offer(offer(), scene.now).unwrap();
    scene.append(&mut old);
    let grant = scene.lane.last().cloned().unwrap();

    let mut newer = scene.owner("south");
    scene.attach(&mut newer, "south", 2);
    assert!(matches!(scene.lane.last(), Some(Kind::Released(_))), "the farm has not begun it");

    scene.restart_farm();
    scene.attach(&mut old, "north", 3);
    old.handle_record(1, grant, scene.now);
    scene.deliver(&mut old, &"north".parse().unwrap());
    let taken = std::iter::from_fn(|| scene.farm.poll_event()).any(|event| matches!(event, FarmEvent::Deliver(_)));
    let told = std::iter::from_fn(|| scene.farm.poll_send()).any(|(_, m)| matches!(m, FarmMessage::Answer { .. }));
    assert!(!told, "every answer was heard");
    taken
}

#[test]
fn an_old_owner_is_not_believed_after_the_farms_restart() {
    assert!(!takes_a_released_lease(&[]));
}

#[test]
fn without_rule_8_its_lease_is_taken_unless_it_is_bound_to_its_session() {
    assert!(!takes_a_released_lease(&[Rule::EpochKept]));
    assert!(!takes_a_released_lease(&[Rule::GrantInSession]));
    assert!(takes_a_released_lease(&[Rule::EpochKept, Rule::GrantInSession]));
}
