//! The protocol's rules by name, so that the simulation can leave one out and see what breaks. In any other build all are kept.

/// A rule that can be left out (only with the feature `mutations`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum Rule {
    /// 1: an owner stops when it reads a newer marker.
    MarkerStops,
    /// 2: the grant is in the lane before the lease leaves.
    DurableGrant,
    /// 3: a grant counts only under the newest marker before it.
    CountsUnderMarker,
    /// 3: the lease leaves only after its grant was read back.
    ReadBack,
    /// 4: a lease is sent once, and only by the epoch that granted it.
    SendOnce,
    /// 5: no lease before the answer was taken in.
    Handshake,
    /// 5: asked, the farm drops what it has not begun.
    DropOnAsk,
    /// 6: the farm refuses leases of an older session.
    Sessions,
    /// 7: the farm refuses an older epoch.
    EpochCheck,
    /// 8: the farm keeps the epoch before it answers.
    EpochKept,
    /// 9: after appending a release the owner never sends that attempt.
    ReleaseStops,
    /// 9: what a farm gave back, it does not begin.
    ReturnStops,
    /// 10: the next attempt is granted only after the release was read back.
    ReleaseReadBack,
    /// 11: the intent is synced before the first byte of the PDU.
    IntentSynced,
    /// 11: begun without outcome is uncertain after a restart.
    BegunIsUncertain,
    /// 12: the farm is told after the append.
    ForgetAfterAppend,
    /// 12: "begun" in an answer means wait.
    BegunMeansWait,
    /// 12: the first outcome of an attempt counts.
    FirstCounts,
    /// Lost farms: open grants end as uncertain, and are not simply given to another.
    LostIsUncertain,
    /// Lanes, 3: reading starts at what the checkpoint covers, not where it stands.
    CheckpointCovers,
    /// Lanes, 3: a place that was granted is not offered again.
    SettledOnce,
    /// Lanes, 2: an attempt's number is never used again.
    NumbersRise,
    /// Beyond the rules: a lease leaves only in the session it was granted in. With it, rule 8 guards twice.
    GrantInSession,
}

/// The rules in force.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    #[cfg(feature = "mutations")]
    without: u32,
}

impl Rules {
    /// Every rule.
    pub const ALL: Rules = Rules {
        #[cfg(feature = "mutations")]
        without: 0,
    };

    /// All but these.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn without(rules: &[Rule]) -> Self {
        Rules { without: rules.iter().fold(0, |without, rule| without | 1 << *rule as u32) }
    }

    /// Whether the rule is in force.
    #[must_use]
    #[cfg_attr(
        not(feature = "mutations"),
        expect(clippy::unused_self, reason = "without the feature nothing is left out")
    )]
    pub(crate) fn keep(self, rule: Rule) -> bool {
        #[cfg(feature = "mutations")]
        {
            self.without & 1 << rule as u32 == 0
        }
        #[cfg(not(feature = "mutations"))]
        {
            let _ = rule;
            true
        }
    }
}
