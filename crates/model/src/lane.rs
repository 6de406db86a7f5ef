//! The names of lanes. Knows which there are, not how they are kept.

use std::fmt;

use crate::RouteId;

/// A lane: a durable, partitioned, ordered queue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// What the gateway took, keyed by message.
    Accepted,
    /// What stands before a route, of tenants within their share.
    Front(RouteId),
    /// What stands before a route, of tenants above their share.
    Bulk(RouteId),
    /// Markers, grants, releases, outcomes and checkpoints of a route: one partition per partition of its lanes.
    Leases(RouteId),
    /// Outcomes that owners derived, receipts and inbound messages, keyed by (IMSI or account, recipient).
    Outcomes,
    /// What the projection follows: steps of deliveries, keyed by message.
    Events,
    /// Messages from handsets, kept until somebody takes them.
    Inbox,
    /// Replies on their way into mailboxes, keyed by tenant.
    Mail,
    /// Messages from handsets on their way to tenants' webhooks, keyed by tenant.
    Hooks,
    /// How deliveries ended whose senders want to hear of it, keyed by tenant.
    Reports,
    /// What changed, and what became of notifications of it: keyed by (tenant, account).
    Changes,
    /// Records that could not be read, with their headers.
    DeadLetter,
    /// What owners tell planners elsewhere of their routes' loads. Old in seconds; nothing is lost with it.
    Loads,
}

impl Lane {
    /// Partitions this kind of lane is created with. A lane's count never changes: more is a new lane.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        match self {
            Lane::Accepted | Lane::Outcomes | Lane::Events | Lane::Changes => 4,
            Lane::Front(_)
            | Lane::Bulk(_)
            | Lane::Leases(_)
            | Lane::Inbox
            | Lane::Mail
            | Lane::Hooks
            | Lane::Reports
            | Lane::DeadLetter
            | Lane::Loads => 1,
        }
    }

    /// The lane with this name; `None` if it is none of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let route = |text: &str| RouteId::new(text).ok();
        match name {
            "accepted" => Some(Lane::Accepted),
            "outcomes" => Some(Lane::Outcomes),
            "events" => Some(Lane::Events),
            "inbox" => Some(Lane::Inbox),
            "mail" => Some(Lane::Mail),
            "hooks" => Some(Lane::Hooks),
            "reports" => Some(Lane::Reports),
            "changes" => Some(Lane::Changes),
            "dead-letter" => Some(Lane::DeadLetter),
            "loads" => Some(Lane::Loads),
            _ => match name.split_once('.')? {
                ("leases", name) => route(name).map(Lane::Leases),
                ("routed", rest) => match rest.rsplit_once('.')? {
                    (name, "front") => route(name).map(Lane::Front),
                    (name, "bulk") => route(name).map(Lane::Bulk),
                    _ => None,
                },
                _ => None,
            },
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lane::Accepted => f.write_str("accepted"),
            Lane::Front(route) => write!(f, "routed.{route}.front"),
            Lane::Bulk(route) => write!(f, "routed.{route}.bulk"),
            Lane::Leases(route) => write!(f, "leases.{route}"),
            Lane::Outcomes => f.write_str("outcomes"),
            Lane::Events => f.write_str("events"),
            Lane::Inbox => f.write_str("inbox"),
            Lane::Mail => f.write_str("mail"),
            Lane::Hooks => f.write_str("hooks"),
            Lane::Reports => f.write_str("reports"),
            Lane::Changes => f.write_str("changes"),
            Lane::DeadLetter => f.write_str("dead-letter"),
            Lane::Loads => f.write_str("loads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_lanes() {
        let route = RouteId::new("blue-gb").unwrap();
        let all = [
            Lane::Accepted,
            Lane::Front(route.clone()),
            Lane::Bulk(route.clone()),
            Lane::Leases(route),
            Lane::Outcomes,
            Lane::Events,
            Lane::Inbox,
            Lane::Mail,
            Lane::Hooks,
            Lane::Reports,
            Lane::Changes,
            Lane::DeadLetter,
            Lane::Loads,
        ];
        for lane in all {
            assert_eq!(Lane::from_name(&lane.to_string()), Some(lane));
        }
        assert_eq!(Lane::from_name("routed.x"), None);
    }
}
