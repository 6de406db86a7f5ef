//! What a farm says, to the contract and back. Knows every field of it.

use lease::message::{FarmMessage, Hello, Inbound, Incarnation, JournalState, KnownSession, LinkState, Receipt, Token};
use model::FarmName;

use super::{
    FieldError, Wire, attempt_of, attempt_to, attempts_of, fill, link_of, outcome_of, outcome_to, partition_of,
    partition_to, route_of, router::router_of, unknown,
};
use crate::proto::{self, farm_message::Kind};

impl Wire for FarmMessage {
    type Frame = proto::FarmToRouter;

    fn frame(waiting: &mut Vec<Self>, bytes_max: usize) -> proto::FarmToRouter {
        let mut messages = fill(waiting, bytes_max, to_proto);
        if crate::next::is_asked() {
            messages.push(proto::FarmMessage { critical: false, kind: None });
        }
        proto::FarmToRouter { messages }
    }

    fn read(frame: proto::FarmToRouter, skipped: &mut u64) -> Result<Vec<Self>, FieldError> {
        frame.messages.into_iter().filter_map(|message| of_proto(message, skipped).transpose()).collect()
    }
}

fn to_proto(message: FarmMessage) -> proto::FarmMessage {
    // What carries a fact or a right must not be skipped; credit and states of links come again.
    let critical = !matches!(message, FarmMessage::Credit { .. } | FarmMessage::Links(_));
    proto::FarmMessage { critical, kind: Some(kind_to(message)) }
}

fn kind_to(message: FarmMessage) -> Kind {
    match message {
        FarmMessage::Hello(hello) => Kind::Hello(hello_to(hello)),
        FarmMessage::Answer { partition, epoch, session, journal } => {
            let journal = journal.into_iter().map(|(attempt, state)| entry_to(attempt, state)).collect();
            Kind::Answer(proto::Answer { partition: partition_to(partition), epoch, session, journal })
        }
        FarmMessage::Outdated { partition, session, epoch } => {
            Kind::Outdated(proto::Outdated { partition: partition_to(partition), session, epoch })
        }
        FarmMessage::Forgotten { partition, session, attempts } => {
            let attempts = attempts.into_iter().map(attempt_to).collect();
            Kind::Forgotten(proto::Forgotten { partition: partition_to(partition), session, attempts })
        }
        FarmMessage::Report { partition, session, attempt, outcome } => Kind::Report(proto::Report {
            partition: partition_to(partition),
            session,
            attempt: Some(attempt_to(attempt)),
            outcome: Some(outcome_to(outcome)),
        }),
        FarmMessage::Return { partition, session, attempt, reason } => Kind::Return(proto::Return {
            partition: partition_to(partition),
            session,
            attempt: Some(attempt_to(attempt)),
            reason,
        }),
        FarmMessage::Credit { route, link, tokens } => {
            let tokens = tokens.into_iter().map(|token| token.0).collect();
            Kind::Credit(proto::Credit { route: route.to_string(), link: link.to_string(), tokens })
        }
        FarmMessage::Recall { link, tokens } => {
            let tokens = tokens.into_iter().map(|token| token.0).collect();
            Kind::Recall(proto::Recall { link: link.to_string(), tokens })
        }
        FarmMessage::Links(links) => {
            Kind::Links(proto::Links { links: links.into_iter().map(link_state_to).collect() })
        }
        FarmMessage::Receipt(receipt) => Kind::Receipt(receipt_to(receipt)),
        FarmMessage::Inbound(inbound) => Kind::Inbound(inbound_to(inbound)),
    }
}

fn hello_to(hello: Hello) -> proto::Hello {
    proto::Hello {
        farm: hello.farm.to_string(),
        incarnation: hello.incarnation.0.to_be_bytes().to_vec().into(),
        version: hello.version,
        routes: hello.routes.iter().map(ToString::to_string).collect(),
        sessions: hello.sessions.into_iter().map(session_to).collect(),
    }
}

fn session_to(known: KnownSession) -> proto::KnownSession {
    proto::KnownSession { router: known.router.to_string(), session: known.session, open: known.open }
}

fn entry_to(attempt: lease::Attempt, state: JournalState) -> proto::JournalEntry {
    let ended = match state {
        JournalState::Begun => None,
        JournalState::Ended(outcome) => Some(outcome_to(outcome)),
    };
    proto::JournalEntry { attempt: Some(attempt_to(attempt)), ended }
}

fn link_state_to(state: LinkState) -> proto::LinkState {
    let LinkState { link, route, up, reason } = state;
    proto::LinkState { link: link.to_string(), route: route.to_string(), up, reason }
}

fn receipt_to(receipt: Receipt) -> proto::Receipt {
    let Receipt { number, imsi, reference, recipient, status, network_ms, at_ms } = receipt;
    proto::Receipt { number, imsi, reference, recipient, status: status.into(), network_ms, at_ms }
}

fn inbound_to(inbound: Inbound) -> proto::Inbound {
    let Inbound { number, imsi, link, tpdu, at_ms } = inbound;
    proto::Inbound { number, imsi, link: link.to_string(), tpdu, at_ms }
}

fn of_proto(message: proto::FarmMessage, skipped: &mut u64) -> Result<Option<FarmMessage>, FieldError> {
    match message.kind {
        Some(kind) => kind_of(kind).map(Some),
        None => unknown(message.critical, skipped),
    }
}

fn kind_of(kind: Kind) -> Result<FarmMessage, FieldError> {
    Ok(match kind {
        Kind::Hello(hello) => FarmMessage::Hello(hello_of(&hello)?),
        Kind::Answer(answer) => FarmMessage::Answer {
            partition: partition_of(answer.partition)?,
            epoch: answer.epoch,
            session: answer.session,
            journal: answer.journal.into_iter().map(entry_of).collect::<Result<_, _>>()?,
        },
        Kind::Outdated(outdated) => FarmMessage::Outdated {
            partition: partition_of(outdated.partition)?,
            session: outdated.session,
            epoch: outdated.epoch,
        },
        Kind::Forgotten(forgotten) => FarmMessage::Forgotten {
            partition: partition_of(forgotten.partition)?,
            session: forgotten.session,
            attempts: attempts_of(forgotten.attempts)?,
        },
        Kind::Report(report) => FarmMessage::Report {
            partition: partition_of(report.partition)?,
            session: report.session,
            attempt: attempt_of(report.attempt)?,
            outcome: outcome_of(report.outcome.ok_or(FieldError::Field("outcome"))?)?,
        },
        Kind::Return(given) => FarmMessage::Return {
            partition: partition_of(given.partition)?,
            session: given.session,
            attempt: attempt_of(given.attempt)?,
            reason: given.reason,
        },
        Kind::Credit(credit) => FarmMessage::Credit {
            route: route_of(&credit.route)?,
            link: link_of(&credit.link)?,
            tokens: credit.tokens.into_iter().map(Token).collect(),
        },
        Kind::Recall(recall) => {
            FarmMessage::Recall { link: link_of(&recall.link)?, tokens: recall.tokens.into_iter().map(Token).collect() }
        }
        Kind::Links(links) => FarmMessage::Links(links.links.into_iter().map(link_state_of).collect::<Result<_, _>>()?),
        Kind::Receipt(receipt) => FarmMessage::Receipt(receipt_of(receipt)?),
        Kind::Inbound(inbound) => FarmMessage::Inbound(inbound_of(inbound)?),
    })
}

fn hello_of(hello: &proto::Hello) -> Result<Hello, FieldError> {
    let incarnation = hello.incarnation.as_ref().try_into().map_err(|_| FieldError::Field("hello.incarnation"))?;
    Ok(Hello {
        farm: FarmName::new(&hello.farm).map_err(|_| FieldError::Field("hello.farm"))?,
        incarnation: Incarnation(u128::from_be_bytes(incarnation)),
        version: hello.version.clone(),
        routes: hello.routes.iter().map(|route| route_of(route)).collect::<Result<_, _>>()?,
        sessions: hello.sessions.iter().map(session_of).collect::<Result<_, _>>()?,
    })
}

fn session_of(known: &proto::KnownSession) -> Result<KnownSession, FieldError> {
    Ok(KnownSession { router: router_of(&known.router)?, session: known.session, open: known.open })
}

fn entry_of(entry: proto::JournalEntry) -> Result<(lease::Attempt, JournalState), FieldError> {
    let state = match entry.ended {
        None => JournalState::Begun,
        Some(outcome) => JournalState::Ended(outcome_of(outcome)?),
    };
    Ok((attempt_of(entry.attempt)?, state))
}

fn link_state_of(state: proto::LinkState) -> Result<LinkState, FieldError> {
    let (link, route) = (link_of(&state.link)?, route_of(&state.route)?);
    Ok(LinkState { link, route, up: state.up, reason: state.reason })
}

fn receipt_of(receipt: proto::Receipt) -> Result<Receipt, FieldError> {
    let proto::Receipt { number, imsi, reference, recipient, status, network_ms, at_ms } = receipt;
    let status = u8::try_from(status).map_err(|_| FieldError::Field("receipt.status"))?;
    Ok(Receipt { number, imsi, reference, recipient, status, network_ms, at_ms })
}

fn inbound_of(inbound: proto::Inbound) -> Result<Inbound, FieldError> {
    let proto::Inbound { number, imsi, link, tpdu, at_ms } = inbound;
    Ok(Inbound { number, imsi, link: link_of(&link)?, tpdu, at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lease::{Attempt, Outcome, PartitionId, record::OutcomeKind};
    use model::{DeliveryId, LinkName, MessageId, RouteId};
    use prost::Message as _;

    fn everything() -> Vec<FarmMessage> {
        let route = RouteId::new("blue-gb").unwrap();
        let link = LinkName::new("modem-1").unwrap();
        let partition = PartitionId { route: route.clone(), index: 3 };
        let attempt = Attempt { delivery: DeliveryId { message: MessageId(5), index: 2 }, number: 4 };
        let outcome = Outcome {
            kind: OutcomeKind::Sent as i32,
            farm: "cellar".into(),
            link: "modem-1".into(),
            imsi: "23415".into(),
            references: vec![7, 8],
            reason: "x".into(),
            at_ms: 12,
        };
        let journal = vec![(attempt, JournalState::Begun), (attempt, JournalState::Ended(outcome.clone()))];
        let session = 9;
        vec![
            FarmMessage::Hello(Hello {
                farm: FarmName::new("cellar").unwrap(),
                incarnation: Incarnation(u128::MAX - 1),
                version: "0.1.0".into(),
                routes: vec![route.clone()],
                sessions: vec![KnownSession {
                    router: model::RouterName::new("router-0").unwrap(),
                    session: 8,
                    open: true,
                }],
            }),
            FarmMessage::Answer { partition: partition.clone(), epoch: 11, session, journal },
            FarmMessage::Report { partition: partition.clone(), session, attempt, outcome },
            FarmMessage::Outdated { partition: partition.clone(), session, epoch: 12 },
            FarmMessage::Forgotten { partition: partition.clone(), session, attempts: vec![attempt] },
            FarmMessage::Return { partition, session, attempt, reason: "modem gone".into() },
            FarmMessage::Credit { route: route.clone(), link: link.clone(), tokens: vec![Token(1), Token(2)] },
            FarmMessage::Recall { link: link.clone(), tokens: vec![Token(3)] },
            FarmMessage::Links(vec![LinkState { link: link.clone(), route, up: true, reason: "fine".into() }]),
            FarmMessage::Receipt(Receipt {
                number: 1,
                imsi: "23415".into(),
                reference: 255,
                recipient: "+447700900123".into(),
                status: 0x30,
                network_ms: -1,
                at_ms: 5,
            }),
            FarmMessage::Inbound(Inbound { number: 2, imsi: "23415".into(), link, tpdu: vec![1, 2].into(), at_ms: 6 }),
        ]
    }

    /// Through bytes, as a peer would see it.
    fn through_bytes(frame: &proto::FarmToRouter) -> proto::FarmToRouter {
        proto::FarmToRouter::decode(frame.encode_to_vec().as_slice()).unwrap()
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let mut waiting: Vec<_> = everything().into_iter().rev().collect();
        let frame = FarmMessage::frame(&mut waiting, usize::MAX);
        let mut skipped = 0;
        assert_eq!(FarmMessage::read(through_bytes(&frame), &mut skipped), Ok(everything()));
        assert_eq!((waiting.len(), skipped), (0, 0));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<proto::FarmMessage>), expected: &'static str) {
        let mut frame = FarmMessage::frame(&mut everything().into_iter().rev().collect(), usize::MAX);
        change(&mut frame.messages);
        assert_eq!(FarmMessage::read(frame, &mut 0), Err(FieldError::Field(expected)));
    }

    #[test]
    fn bad_fields_are_named() {
        let hello = |change: fn(&mut proto::Hello)| {
            move |messages: &mut Vec<proto::FarmMessage>| {
                let Some(Kind::Hello(hello)) = &mut messages[0].kind else { panic!("the first is a hello") };
                change(hello);
            }
        };
        check(hello(|hello| hello.farm = "No Name".into()), "hello.farm");
        check(hello(|hello| hello.incarnation = vec![1; 15].into()), "hello.incarnation");
        check(hello(|hello| hello.routes.push("../x".into())), "route");
        check(hello(|hello| hello.sessions[0].router.clear()), "router");
        let report = |change: fn(&mut proto::Report)| {
            move |messages: &mut Vec<proto::FarmMessage>| {
                let Some(Kind::Report(report)) = &mut messages[2].kind else { panic!("the third is a report") };
                change(report);
            }
        };
        check(report(|report| report.partition = None), "partition");
        check(report(|report| report.outcome = None), "outcome");
        check(report(|report| report.outcome.as_mut().unwrap().kind = 77), "outcome.kind");
        check(report(|report| report.attempt.as_mut().unwrap().number = 0), "attempt.number");
        check(report(|report| report.attempt.as_mut().unwrap().delivery = vec![1; 19].into()), "attempt.delivery");
        check(
            |messages| {
                let Some(Kind::Receipt(receipt)) = &mut messages[9].kind else { panic!("the tenth is a receipt") };
                receipt.status = 256;
            },
            "receipt.status",
        );
    }

    #[test]
    fn unknown_kinds_are_skipped_unless_critical() {
        let unknown = |critical| proto::FarmToRouter { messages: vec![proto::FarmMessage { critical, kind: None }] };
        let mut skipped = 0;
        assert_eq!(FarmMessage::read(unknown(false), &mut skipped), Ok(vec![]));
        assert_eq!(skipped, 1);
        assert_eq!(FarmMessage::read(unknown(true), &mut skipped), Err(FieldError::CriticalKind));
    }

    /// A newer build's fields are skipped, an older build's missing ones are empty.
    #[test]
    fn other_builds_hellos_are_read() {
        let FarmMessage::Hello(ours) = everything().remove(0) else { panic!("the first is a hello") };
        let read = |bytes: &[u8]| hello_of(&proto::Hello::decode(bytes).unwrap()).unwrap();
        let bytes = hello_to(ours.clone()).encode_to_vec();
        // Field 99, a string, as nobody here knows it.
        let newer = [bytes.as_slice(), &[0x9a, 0x06, 0x03, b'n', b'e', b'w']].concat();
        assert_eq!(read(&newer), ours);
        let older = hello_to(Hello { sessions: Vec::new(), ..ours.clone() }).encode_to_vec();
        assert_eq!(read(&older), Hello { sessions: Vec::new(), ..ours });
    }

    #[test]
    fn numbers_stay_out_of_debug() {
        let frame = FarmMessage::frame(&mut everything(), usize::MAX);
        assert!(!format!("{frame:?}").contains("7700900123"));
    }
}
