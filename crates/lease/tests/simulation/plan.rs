//! What a seed makes of a world: how large it is, what it is slow at, what breaks.

use lease::owner::OwnerLimits;

use crate::random::Random;

/// What a seed makes of a world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) deliveries: usize,
    pub(crate) farms: usize,
    pub(crate) steps: usize,
    pub(crate) open_max: usize,
    /// Steps in a thousand that break something.
    pub(crate) faults: u32,
    pub(crate) crashes: u32,
    pub(crate) disks: u32,
    pub(crate) wild: bool,
    /// How often each kind of step comes: a world may be slow at any one thing.
    pub(crate) weights: [usize; 9],
    /// How often each kind of fault comes.
    pub(crate) ills: [usize; 7],
    pub(crate) limits: OwnerLimits,
}

impl Plan {
    pub(crate) fn new(random: &mut Random, duels_only: bool) -> Self {
        let limits = OwnerLimits {
            farm_lost_seconds: random.between(5, 60) as u64,
            lease_seconds_max: random.between(2, 20) as u64,
            checkpoint_records: random.between(4, 60) as u64,
            checkpoint_seconds: random.between(1, 30) as u64,
            piece_bytes_max: random.between(50, 2_000),
            // Time leaps here, and a lane is read late: that alone says nothing of the lane.
            marker_wait_seconds: 1_000_000,
            ..OwnerLimits::default()
        };
        let steps = random.between(200, 2_400);
        // Half of the worlds are duels: one farm, and two routers that take over from each other all the time.
        let duel = duels_only || random.chance(500);
        let usual_ills = if duel { [4, 5, 1, 2, 1, 4, 5] } else { [3, 5, 2, 3, 2, 3, 3] };
        Plan {
            deliveries: random.between(1, 4 + steps / 20),
            farms: if duel { 1 } else { random.between(1, 3) },
            steps,
            open_max: random.between(1, 6),
            faults: if duel { random.between(30, 200) } else { random.between(3, 150) } as u32,
            crashes: random.between(0, 1_000) as u32,
            disks: if random.chance(300) { 300 } else { 0 },
            wild: random.chance(300),
            weights: [1, 5, 6, 4, 6, 9, 4, 8, 2].map(|usual| random.between(1, 2 * usual)),
            ills: usual_ills.map(|usual| random.between(1, 2 * usual)),
            limits,
        }
    }
}

pub(crate) fn pick(weights: &[usize], random: &mut Random) -> usize {
    let mut left = random.below(weights.iter().sum());
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    0
}
