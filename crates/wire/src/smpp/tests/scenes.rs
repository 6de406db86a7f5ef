//! A session and a service centre that says exactly what it is told to, on a clock of their own.

use super::*;

/// A session with its clock, and what it said.
struct Scene {
    session: Session,
    now: Instant,
    said: Vec<Pdu>,
}

impl Scene {
    fn with(change: impl FnOnce(&mut Profile)) -> Self {
        let mut profile = profile();
        change(&mut profile);
        let now = Instant::now();
        let mut session = Session::new(profile, 7, now);
        session.opened(now);
        Self { session, now, said: Vec::new() }
    }

    fn bound() -> Self {
        Self::bound_with(|_| {})
    }

    fn bound_with(change: impl FnOnce(&mut Profile)) -> Self {
        let mut scene = Self::with(change);
        let [bind] = scene.says().try_into().unwrap();
        let Body::Bind(mode, _) = bind.body else { panic!("{bind:?}") };
        scene.hears(answer(0, bind.sequence, Body::BindResp(mode, BindResp::default())));
        assert_eq!(scene.events(), [Event::Bound]);
        scene
    }

    /// What the session says.
    fn says(&mut self) -> Vec<Pdu> {
        let mut frames = Frames::default();
        frames.push(&self.session.poll_output().unwrap_or_default());
        let mut said = std::mem::take(&mut self.said);
        while let Some(octets) = frames.take().unwrap() {
            said.push(Pdu::decode(octets).unwrap());
        }
        said
    }

    fn hears(&mut self, pdu: Pdu) {
        self.session.handle_input(&pdu.encode(), self.now);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn submit(&mut self, ticket: u64) -> u32 {
        self.session.submit(Kind::Submit, message(), Ticket(ticket), self.now).unwrap();
        let said = self.says();
        assert!(matches!(said.last().unwrap().body, Body::Message(Kind::Submit, _)));
        said.last().unwrap().sequence
    }

    /// Lets time pass as a driver would, waking when it is asked to.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            match self.session.poll_timeout(self.now).filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.session.handle_timeout(self.now);
                }
                None => {
                    self.now = end;
                    return;
                }
            }
            if self.session.poll_timeout(self.now).is_none() {
                self.now = end;
                return;
            }
        }
        panic!("it wakes without end");
    }

    fn taken(&mut self, sequence: u32, id: &str) {
        self.hears(answer(0, sequence, Body::MessageResp(Kind::Submit, id.into())));
    }

    fn refused(&mut self, sequence: u32, status: u32) {
        self.hears(answer(status, sequence, Body::MessageResp(Kind::Submit, String::new())));
    }
}

fn submitted(ticket: u64, end: SubmitEnd) -> Event {
    Event::Submitted { ticket: Ticket(ticket), end }
}

fn taken(ticket: u64, id: &str) -> Event {
    submitted(ticket, SubmitEnd::Taken { id: id.into() })
}

#[test]
fn answers_find_their_messages_in_any_order() {
    let mut scene = Scene::bound();
    let sequences: Vec<u32> = (0..4).map(|ticket| scene.submit(ticket)).collect();
    assert_eq!(sequences, [2, 3, 4, 5]);
    assert_eq!(scene.session.room(scene.now), 0);
    assert_eq!(scene.session.submit(Kind::Submit, message(), Ticket(9), scene.now), Err(SubmitRefused));
    scene.taken(4, "c");
    scene.refused(2, 0x0b);
    scene.taken(4, "again");
    let refused = SubmitEnd::Refused { status: Status::INVALID_DESTINATION, class: Class::Permanent };
    assert_eq!(scene.events(), [taken(2, "c"), submitted(0, refused), Event::Odd(Odd::LateAnswer)]);
    assert_eq!(scene.session.room(scene.now), 2);
}

#[test]
fn a_refused_bind_is_over() {
    let mut scene = Scene::with(|_| {});
    scene.hears(answer(0x0e, 1, Body::BindResp(Mode::Transceiver, BindResp::default())));
    assert_eq!(scene.events(), [Event::Down(Down::BindRefused(Status::INVALID_PASSWORD))]);
    assert_eq!(scene.session.poll_timeout(scene.now), None);

    let mut scene = Scene::with(|_| {});
    scene.hears(answer(0x03, 1, Body::GenericNack));
    assert_eq!(scene.events(), [Event::Down(Down::BindRefused(Status::INVALID_COMMAND))]);

    let mut scene = Scene::with(|_| {});
    scene.passes(11 * SECOND);
    assert_eq!(scene.events(), [Event::Down(Down::NoBindAnswer)]);
}

#[test]
fn a_receiver_submits_nothing() {
    let scene = Scene::bound_with(|profile| profile.mode = Mode::Receiver);
    assert_eq!(scene.session.room(scene.now), 0);
}

#[test]
fn a_broken_connection_leaves_what_was_written_unknown() {
    let mut scene = Scene::bound();
    scene.submit(1);
    scene.submit(2);
    scene.session.submit(Kind::Submit, message(), Ticket(3), scene.now).unwrap();
    scene.session.closed();
    let ends = [submitted(1, SubmitEnd::Unknown), submitted(2, SubmitEnd::Unknown), submitted(3, SubmitEnd::NotSent)];
    assert_eq!(scene.events(), ends);
    // The next connection begins anew: an old number means nothing in it.
    scene.session.opened(scene.now);
    assert_eq!(scene.says()[0].sequence, 1);
    scene.hears(answer(0, 1, Body::BindResp(Mode::Transceiver, BindResp::default())));
    scene.taken(2, "late");
    assert_eq!(scene.events(), [Event::Bound, Event::Odd(Odd::LateAnswer)]);
}

#[test]
fn an_answer_that_does_not_come_is_unknown_and_the_other_side_is_asked() {
    let mut scene = Scene::bound_with(|profile| profile.enquire_after = 1000 * SECOND);
    let sequence = scene.submit(1);
    scene.passes(59 * SECOND);
    assert_eq!(scene.events(), []);
    scene.passes(SECOND);
    assert_eq!(scene.events(), [submitted(1, SubmitEnd::Unknown)]);
    assert_eq!(scene.says()[0].body, Body::EnquireLink);
    scene.taken(sequence, "late");
    assert_eq!(scene.events(), [Event::Odd(Odd::LateAnswer)]);
    scene.passes(100 * SECOND);
    assert_eq!(scene.events(), [], "it answered, so it is there");
}

#[test]
fn silence_is_asked_about_and_then_is_the_end() {
    let mut scene = Scene::bound();
    scene.passes(29 * SECOND);
    assert!(scene.says().is_empty());
    scene.passes(SECOND);
    let [enquiry] = scene.says().try_into().unwrap();
    assert_eq!(enquiry.body, Body::EnquireLink);
    scene.passes(5 * SECOND);
    scene.hears(answer(0, enquiry.sequence, Body::EnquireLinkResp));
    scene.passes(29 * SECOND);
    assert!(scene.says().is_empty());
    scene.passes(SECOND);
    assert_eq!(scene.says().len(), 1);
    scene.submit(1);
    scene.passes(10 * SECOND);
    assert_eq!(scene.events(), [Event::Down(Down::Silent)]);
    scene.session.closed();
    assert_eq!(scene.events(), [submitted(1, SubmitEnd::Unknown)]);
}

#[test]
fn questions_are_answered() {
    let mut scene = Scene::bound();
    scene.hears(Pdu::request(77, Body::EnquireLink));
    scene.hears(Pdu::request(78, Body::Other(0x0200)));
    scene.hears(Pdu::request(79, Body::Outbind));
    scene.hears(Pdu::request(80, Body::AlertNotification));
    scene.session.handle_input(&[0, 0, 0, 18, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 81, 0, 1], scene.now);
    let expected = [
        answer(0, 77, Body::EnquireLinkResp),
        answer(0x03, 78, Body::GenericNack),
        answer(0x65, 81, Body::MessageResp(Kind::Deliver, String::new())),
    ];
    assert_eq!(scene.says(), expected);
    assert_eq!(scene.events(), [Event::Odd(Odd::UnknownCommand), Event::Odd(Odd::Unreadable)]);
}

#[test]
fn bytes_that_are_no_pdus_end_it() {
    let mut scene = Scene::bound();
    scene.session.handle_input(b"HTTP/1.1 400 Bad Request", scene.now);
    assert_eq!(scene.says(), [answer(0x02, 0, Body::GenericNack)]);
    assert_eq!(scene.events(), [Event::Down(Down::Garbled)]);
    scene.hears(Pdu::request(1, Body::EnquireLink));
    assert!(scene.says().is_empty(), "nothing is heard after the end");
}

#[test]
fn messages_that_come_are_answered_when_they_are_durable() {
    let mut scene = Scene::bound();
    for sequence in 0..4 {
        scene.hears(Pdu::request(sequence + 100, Body::Message(Kind::Deliver, Box::new(message()))));
    }
    assert_eq!(scene.says(), [answer(0x64, 103, Body::MessageResp(Kind::Deliver, String::new()))]);
    let events = scene.events();
    assert_eq!(events[3], Event::Odd(Odd::TooMuch));
    let arrival = |at: usize| match &events[at] {
        Event::Arrived { arrival, .. } => *arrival,
        other => panic!("{other:?}"),
    };
    let (first, second, third): (Arrival, Arrival, Arrival) = (arrival(0), arrival(1), arrival(2));
    scene.session.conclude(second, Verdict::NotNow);
    scene.session.conclude(first, Verdict::Kept);
    scene.session.conclude(third, Verdict::Unreadable);
    scene.session.conclude(first, Verdict::Kept);
    let resp = |status, sequence| answer(status, sequence, Body::MessageResp(Kind::Deliver, String::new()));
    assert_eq!(scene.says(), [resp(0x64, 101), resp(0, 100), resp(0x65, 102)]);
    // One of an earlier connection is not answered on the next.
    scene.hears(Pdu::request(200, Body::Message(Kind::Data, Box::new(message()))));
    let Some(Event::Arrived { arrival, .. }) = scene.session.poll_event() else { panic!("it came") };
    scene.session.closed();
    scene.session.opened(scene.now);
    scene.says();
    scene.session.conclude(arrival, Verdict::Kept);
    assert!(scene.says().is_empty());
}

#[test]
fn too_much_makes_it_slower_and_success_faster_again() {
    let mut scene = Scene::bound();
    let sequences: Vec<u32> = (0..4).map(|ticket| scene.submit(ticket)).collect();
    sequences.iter().for_each(|sequence| scene.refused(*sequence, 0x58));
    let throttled = SubmitEnd::Refused { status: Status::THROTTLED, class: Class::Throttled };
    assert_eq!(scene.events(), (0..4).map(|ticket| submitted(ticket, throttled.clone())).collect::<Vec<_>>());
    assert_eq!(scene.session.room(scene.now), 0);
    let until = scene.session.paused_until(scene.now).unwrap();
    assert_eq!(scene.session.poll_timeout(scene.now), Some(until));
    scene.passes(SECOND);
    assert_eq!((scene.session.room(scene.now), scene.session.paused_until(scene.now)), (2, None));
    for ticket in 10..20 {
        let sequence = scene.submit(ticket);
        scene.taken(sequence, "x");
    }
    assert_eq!(scene.session.room(scene.now), 4);
}

#[test]
fn a_supplier_may_mean_something_else_by_a_status() {
    let mut scene = Scene::bound_with(|profile| {
        profile.statuses =
            BTreeMap::from([(0x400, Class::Permanent), (0x08, Class::Uncertain), (0x45, Class::Throttled)]);
    });
    let sequences: Vec<u32> = (0..3).map(|ticket| scene.submit(ticket)).collect();
    [0x400, 0x08, 0x45].into_iter().zip(sequences).for_each(|(status, sequence)| scene.refused(sequence, status));
    let refused = |status, class| SubmitEnd::Refused { status: Status(status), class };
    let ends = [refused(0x400, Class::Permanent), SubmitEnd::Unknown, refused(0x45, Class::Throttled)];
    assert_eq!(scene.events(), (0..).zip(ends).map(|(ticket, end)| submitted(ticket, end)).collect::<Vec<_>>());
    assert!(scene.session.paused_until(scene.now).is_some());
}

#[test]
fn a_nack_refuses_the_message_it_names() {
    let mut scene = Scene::bound();
    let sequence = scene.submit(1);
    scene.hears(answer(0x03, 0, Body::GenericNack));
    scene.hears(answer(0x02, sequence, Body::GenericNack));
    let refused = SubmitEnd::Refused { status: Status::INVALID_LENGTH, class: Class::Permanent };
    assert_eq!(scene.events(), [Event::Odd(Odd::LateAnswer), submitted(1, refused)]);
}

#[test]
fn it_leaves_in_order() {
    let mut scene = Scene::bound();
    let sequence = scene.submit(1);
    scene.session.unbind(scene.now);
    assert_eq!(scene.session.room(scene.now), 0);
    assert!(scene.says().is_empty(), "an answer is still to come");
    scene.taken(sequence, "a");
    let [unbind] = scene.says().try_into().unwrap();
    assert_eq!(unbind.body, Body::Unbind);
    scene.hears(answer(0, unbind.sequence, Body::UnbindResp));
    assert_eq!(scene.events(), [taken(1, "a"), Event::Down(Down::Unbound)]);
}

#[test]
fn nobody_has_to_let_it_go() {
    let mut scene = Scene::bound();
    scene.session.unbind(scene.now);
    assert_eq!(scene.says()[0].body, Body::Unbind);
    scene.passes(5 * SECOND);
    assert_eq!(scene.events(), [Event::Down(Down::Unbound)]);
}

#[test]
fn a_peer_that_leaves_may_answer_first() {
    let mut scene = Scene::bound();
    let sequence = scene.submit(1);
    scene.hears(Pdu::request(50, Body::Unbind));
    assert_eq!(scene.says(), [answer(0, 50, Body::UnbindResp)]);
    assert_eq!(scene.events(), []);
    scene.taken(sequence, "a");
    assert_eq!(scene.events(), [taken(1, "a"), Event::Down(Down::UnboundByPeer)]);

    let mut scene = Scene::bound();
    scene.submit(1);
    scene.hears(Pdu::request(50, Body::Unbind));
    scene.passes(5 * SECOND);
    assert_eq!(scene.events(), [Event::Down(Down::UnboundByPeer)]);
}

#[test]
fn a_bind_that_is_none_any_more_is_left() {
    let mut scene = Scene::bound();
    let sequence = scene.submit(1);
    scene.refused(sequence, 0x04);
    let refused = SubmitEnd::Refused { status: Status::INVALID_BIND_STATUS, class: Class::Bind };
    assert_eq!(scene.events(), [submitted(1, refused)]);
    assert_eq!(scene.says()[0].body, Body::Unbind);
    scene.passes(5 * SECOND);
    assert_eq!(scene.events(), [Event::Down(Down::BindLost(Status::INVALID_BIND_STATUS))]);
}

#[test]
fn sequence_numbers_begin_anew_at_their_end() {
    let mut scene = Scene::bound();
    for ticket in 0..5000 {
        let sequence = scene.submit(ticket);
        scene.taken(sequence, "x");
        assert!(matches!(scene.events().as_slice(), [Event::Submitted { .. }]));
    }
    assert_eq!(scene.session.under_way(), 0);
}
