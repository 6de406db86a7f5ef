//! What a router says, to the contract and back. Knows every field of it.

use lease::LaneId;
use lease::message::{Lease, Peer, RouterMessage, SessionKey, Token};
use model::RouterName;

use super::{
    FieldError, Wire, attempt_of, attempt_to, attempts_of, fill, link_of, partition_of, partition_to, route_of, unknown,
};
use crate::proto::{self, router_message::Kind};

impl Wire for RouterMessage {
    type Frame = proto::RouterToFarm;

    fn frame(waiting: &mut Vec<Self>, bytes_max: usize) -> proto::RouterToFarm {
        let mut messages = fill(waiting, bytes_max, to_proto);
        if crate::next::is_asked() {
            messages.push(proto::RouterMessage { critical: false, kind: None });
        }
        proto::RouterToFarm { messages }
    }

    fn read(frame: proto::RouterToFarm, skipped: &mut u64) -> Result<Vec<Self>, FieldError> {
        frame.messages.into_iter().filter_map(|message| of_proto(message, skipped).transpose()).collect()
    }
}

fn to_proto(message: RouterMessage) -> proto::RouterMessage {
    // Backlog is told again and again, a cancel is a wish, a list of peers is news; and a stream that is not wanted ends anyway.
    let critical = !matches!(
        message,
        RouterMessage::Backlog { .. }
            | RouterMessage::Cancel { .. }
            | RouterMessage::Peers { .. }
            | RouterMessage::AlreadyAttached { .. }
    );
    proto::RouterMessage { critical, kind: Some(kind_to(message)) }
}

fn kind_to(message: RouterMessage) -> Kind {
    match message {
        RouterMessage::Welcome { router, session, peers } => {
            let peers = peers.into_iter().map(peer_to).collect();
            Kind::Welcome(proto::Welcome { router: router.to_string(), session, peers })
        }
        RouterMessage::Ask { partition, lane, epoch, session } => {
            let lane = lane.0.to_be_bytes().to_vec().into();
            Kind::Ask(proto::Ask { partition: partition_to(partition), epoch, session, lane })
        }
        RouterMessage::Lease(lease) => Kind::Lease(lease_to(lease)),
        RouterMessage::Forget { partition, session, attempts } => {
            let attempts = attempts.into_iter().map(attempt_to).collect();
            Kind::Forget(proto::Forget { partition: partition_to(partition), session, attempts })
        }
        RouterMessage::Cancel { partition, session, attempt } => Kind::Cancel(proto::Cancel {
            partition: partition_to(partition),
            session,
            attempt: Some(attempt_to(attempt)),
        }),
        RouterMessage::TokensReturned { link, tokens } => {
            let tokens = tokens.into_iter().map(|token| token.0).collect();
            Kind::TokensReturned(proto::TokensReturned { link: link.to_string(), tokens })
        }
        RouterMessage::Backlog { route, segments, weight } => {
            Kind::Backlog(proto::Backlog { route: route.to_string(), segments, weight })
        }
        RouterMessage::Key(key) => Kind::Key(proto::Key { id: key.id, secret: key.secret.to_vec().into() }),
        RouterMessage::Taken { numbers } => Kind::Taken(proto::Taken { numbers }),
        RouterMessage::Refused { reason } => Kind::Refused(proto::Refused { reason }),
        RouterMessage::Peers { peers } => Kind::Peers(proto::Peers { peers: peers.into_iter().map(peer_to).collect() }),
        RouterMessage::AlreadyAttached { router, session } => {
            Kind::AlreadyAttached(proto::AlreadyAttached { router: router.to_string(), session })
        }
    }
}

fn peer_to(peer: Peer) -> proto::Peer {
    proto::Peer { router: peer.router.to_string(), address: peer.address }
}

fn lease_to(lease: Lease) -> proto::Lease {
    proto::Lease {
        partition: partition_to(lease.partition),
        epoch: lease.epoch,
        session: lease.session,
        attempt: Some(attempt_to(lease.attempt)),
        link: lease.link.to_string(),
        token: lease.token.0,
        begin_within_ms: lease.begin_within_ms,
        envelope: lease.envelope,
    }
}

fn of_proto(message: proto::RouterMessage, skipped: &mut u64) -> Result<Option<RouterMessage>, FieldError> {
    match message.kind {
        Some(kind) => kind_of(kind).map(Some),
        None => unknown(message.critical, skipped),
    }
}

fn kind_of(kind: Kind) -> Result<RouterMessage, FieldError> {
    Ok(match kind {
        Kind::Welcome(welcome) => RouterMessage::Welcome {
            router: router_of(&welcome.router)?,
            session: welcome.session,
            peers: welcome.peers.into_iter().map(peer_of).collect::<Result<_, _>>()?,
        },
        Kind::Ask(ask) => RouterMessage::Ask {
            lane: lane_of(&ask.lane)?,
            partition: partition_of(ask.partition)?,
            epoch: ask.epoch,
            session: ask.session,
        },
        Kind::Lease(lease) => RouterMessage::Lease(lease_of(lease)?),
        Kind::Forget(forget) => RouterMessage::Forget {
            partition: partition_of(forget.partition)?,
            session: forget.session,
            attempts: attempts_of(forget.attempts)?,
        },
        Kind::Cancel(cancel) => RouterMessage::Cancel {
            partition: partition_of(cancel.partition)?,
            session: cancel.session,
            attempt: attempt_of(cancel.attempt)?,
        },
        Kind::TokensReturned(returned) => RouterMessage::TokensReturned {
            link: link_of(&returned.link)?,
            tokens: returned.tokens.into_iter().map(Token).collect(),
        },
        Kind::Backlog(backlog) => RouterMessage::Backlog {
            route: route_of(&backlog.route)?,
            segments: backlog.segments,
            weight: backlog.weight,
        },
        Kind::Key(key) => RouterMessage::Key(key_of(key)?),
        Kind::Taken(taken) => RouterMessage::Taken { numbers: taken.numbers },
        Kind::Refused(refused) => RouterMessage::Refused { reason: refused.reason },
        Kind::Peers(peers) => {
            RouterMessage::Peers { peers: peers.peers.into_iter().map(peer_of).collect::<Result<_, _>>()? }
        }
        Kind::AlreadyAttached(attached) => {
            RouterMessage::AlreadyAttached { router: router_of(&attached.router)?, session: attached.session }
        }
    })
}

fn lane_of(bytes: &[u8]) -> Result<LaneId, FieldError> {
    let bytes = bytes.try_into().map_err(|_| FieldError::Field("lane"))?;
    Ok(LaneId(u128::from_be_bytes(bytes)))
}

fn peer_of(peer: proto::Peer) -> Result<Peer, FieldError> {
    Ok(Peer { router: router_of(&peer.router)?, address: peer.address })
}

pub(super) fn router_of(name: &str) -> Result<RouterName, FieldError> {
    RouterName::new(name).map_err(|_| FieldError::Field("router"))
}

fn lease_of(lease: proto::Lease) -> Result<Lease, FieldError> {
    Ok(Lease {
        partition: partition_of(lease.partition)?,
        epoch: lease.epoch,
        session: lease.session,
        attempt: attempt_of(lease.attempt)?,
        link: link_of(&lease.link)?,
        token: Token(lease.token),
        begin_within_ms: lease.begin_within_ms,
        envelope: lease.envelope,
    })
}

fn key_of(key: proto::Key) -> Result<SessionKey, FieldError> {
    let secret = key.secret.as_ref().try_into().map_err(|_| FieldError::Field("key.secret"))?;
    Ok(SessionKey { id: key.id, secret })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lease::{Attempt, PartitionId};
    use model::{DeliveryId, LinkName, MessageId, RouteId};
    use prost::Message as _;

    fn everything() -> Vec<RouterMessage> {
        let route = RouteId::new("blue-gb").unwrap();
        let link = LinkName::new("modem-1").unwrap();
        let partition = PartitionId { route: route.clone(), index: 3 };
        let attempt = Attempt { delivery: DeliveryId { message: MessageId(5), index: 2 }, number: 4 };
        let router = RouterName::new("router-0").unwrap();
        let peers = vec![Peer { router: router.clone(), address: "127.0.0.1:1".into() }];
        let session = 9;
        vec![
            RouterMessage::Welcome { router: router.clone(), session, peers: peers.clone() },
            RouterMessage::Ask { partition: partition.clone(), lane: LaneId(u128::MAX - 2), epoch: 11, session },
            RouterMessage::Lease(Lease {
                partition: partition.clone(),
                epoch: 11,
                session,
                attempt,
                link: link.clone(),
                token: Token(12),
                begin_within_ms: 13,
                envelope: vec![1, 2, 3].into(),
            }),
            RouterMessage::Forget { partition: partition.clone(), session, attempts: vec![attempt] },
            RouterMessage::Cancel { partition, session, attempt },
            RouterMessage::TokensReturned { link, tokens: vec![Token(1)] },
            RouterMessage::Backlog { route, segments: 5, weight: 6 },
            RouterMessage::Key(SessionKey { id: "acme.1".into(), secret: [7; 32] }),
            RouterMessage::Taken { numbers: vec![1, 2] },
            RouterMessage::Refused { reason: "no".into() },
            RouterMessage::Peers { peers },
            RouterMessage::AlreadyAttached { router, session },
        ]
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let frame = RouterMessage::frame(&mut everything().into_iter().rev().collect(), usize::MAX);
        let frame = proto::RouterToFarm::decode(frame.encode_to_vec().as_slice()).unwrap();
        assert_eq!(RouterMessage::read(frame, &mut 0), Ok(everything()));
    }

    #[track_caller]
    fn check(at: usize, change: impl FnOnce(&mut Kind), expected: &'static str) {
        let mut frame = RouterMessage::frame(&mut everything().into_iter().rev().collect(), usize::MAX);
        change(frame.messages[at].kind.as_mut().unwrap());
        assert_eq!(RouterMessage::read(frame, &mut 0), Err(FieldError::Field(expected)));
    }

    #[test]
    fn bad_fields_are_named() {
        check(0, |kind| *kind = Kind::Welcome(proto::Welcome::default()), "router");
        check(1, |kind| *kind = Kind::Ask(proto::Ask::default()), "lane");
        check(
            1,
            |kind| {
                if let Kind::Ask(ask) = kind {
                    ask.partition = None
                }
            },
            "partition",
        );
        check(
            2,
            |kind| {
                if let Kind::Lease(lease) = kind {
                    lease.link = String::new()
                }
            },
            "link",
        );
        check(11, |kind| *kind = Kind::AlreadyAttached(proto::AlreadyAttached::default()), "router");
        check(7, |kind| *kind = Kind::Key(proto::Key { id: "a".into(), secret: vec![1].into() }), "key.secret");
    }

    #[test]
    fn unknown_kinds_are_skipped_unless_critical() {
        let unknown = |critical| proto::RouterToFarm { messages: vec![proto::RouterMessage { critical, kind: None }] };
        let mut skipped = 0;
        assert_eq!(RouterMessage::read(unknown(false), &mut skipped), Ok(vec![]));
        assert_eq!(RouterMessage::read(unknown(true), &mut skipped), Err(FieldError::CriticalKind));
        assert_eq!(skipped, 1);
    }

    /// A build that knows neither of them skips what this one says of other replicas, and goes on.
    #[test]
    fn what_older_builds_do_not_know_is_not_critical() {
        let router = RouterName::new("router-0").unwrap();
        let said = [
            RouterMessage::Peers { peers: Vec::new() },
            RouterMessage::AlreadyAttached { router, session: 1 },
            RouterMessage::Backlog { route: RouteId::new("a").unwrap(), segments: 1, weight: 1 },
        ];
        assert!(said.into_iter().all(|message| !to_proto(message).critical));
        assert!(to_proto(RouterMessage::Taken { numbers: Vec::new() }).critical);
    }

    #[test]
    fn secrets_stay_out_of_debug() {
        let frame = RouterMessage::frame(&mut everything(), usize::MAX);
        let shown = format!("{:?}", frame.messages.iter().filter(|m| matches!(m.kind, Some(Kind::Key(_)))).count());
        assert_eq!(shown, "1");
        assert!(!format!("{frame:?}").contains("\\u{7}\\u{7}") && !format!("{frame:?}").contains("7, 7, 7"));
    }
}
