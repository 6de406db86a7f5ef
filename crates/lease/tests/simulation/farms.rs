//! Farms and the network at work: journals synced, links going on, letters delivered. A part of the world.

use lease::record::OutcomeKind;
use lease::{Attempt, FarmMessage, Outcome};

use crate::farm::Work;
use crate::network::{Ends, Letter};
use crate::world::{World, names};

impl World {
    pub(crate) fn sync(&mut self, farm: usize, max: usize) -> bool {
        let node = &mut self.farms[farm];
        let mut busy = false;
        for _ in 0..max {
            if node.unsynced.is_empty() {
                break;
            }
            busy = true;
            if let Some(attempt) = node.sync_one() {
                self.truth.began(attempt);
            }
        }
        let node = &mut self.farms[farm];
        if self.random.chance(700) || self.peace {
            if let (Some(machine), Some(last)) = (&mut node.machine, node.untold.take()) {
                machine.synced(last);
                busy = true;
            }
            self.drain_farm(farm);
        }
        busy
    }

    /// A link takes the next step with one of its attempts.
    pub(crate) fn work(&mut self, farm: usize) -> bool {
        let now = self.now();
        let node = &mut self.farms[farm];
        let Some(machine) = &mut node.machine else { return false };
        let ready: Vec<(Attempt, Work)> = node
            .work
            .iter()
            .filter(|(_, work)| **work != Work::Asked)
            .map(|(attempt, work)| (*attempt, *work))
            .collect();
        let Some((attempt, work)) = self.random.pick(&ready).copied() else { return false };
        match work {
            Work::Queued if machine.begin(attempt, &names().link, now).is_ok() => {
                // Without rule 11 the machine has said already that it may begin.
                node.work.insert(attempt, Work::Asked);
            }
            Work::Queued => {
                node.work.remove(&attempt);
            }
            Work::Asked => {}
            Work::Clear if self.random.chance(800) => {
                node.work.insert(attempt, Work::Sent);
                self.truth.sent(attempt);
            }
            Work::Clear => {
                node.work.insert(attempt, Work::Refused);
            }
            Work::Sent | Work::Refused => {
                node.work.remove(&attempt);
                let kind = match work {
                    Work::Sent => OutcomeKind::Sent,
                    _ if self.random.chance(600) => OutcomeKind::FailedForNow,
                    _ => OutcomeKind::FailedForGood,
                };
                let outcome =
                    Outcome { kind: kind.into(), farm: names().farms[farm].to_string(), ..Outcome::default() };
                let _ = machine.end(attempt, outcome);
            }
        }
        self.say(|| format!("farm {farm} goes on with {attempt:?}, {work:?}"));
        self.drain_farm(farm);
        true
    }

    pub(crate) fn drain_farm(&mut self, farm: usize) {
        let node = &mut self.farms[farm];
        let Some(machine) = &mut node.machine else { return };
        let mut events = Vec::new();
        while let Some(event) = machine.poll_event() {
            events.push(event);
        }
        while let Some(write) = machine.poll_write() {
            node.unsynced.push_back(write);
        }
        while let Some((router, message)) = machine.poll_send() {
            let router = names().routers.iter().position(|name| *name == router).unwrap();
            if let Some(session) = node.streams.get(&router) {
                self.network.send(*session, Ends { router, farm }, Letter::ToRouter(message));
            }
        }
        for event in events {
            node.take_event(event);
        }
    }

    pub(crate) fn deliver(&mut self) -> bool {
        let Some((ends, letter)) = self.network.deliver(&mut self.random) else { return false };
        let now = self.now();
        self.say(|| format!("{ends:?}: {}", describe_letter(&letter)));
        match letter {
            Letter::ToFarm(message) => {
                if let Some(machine) = &mut self.farms[ends.farm].machine {
                    machine.handle_message(&names().routers[ends.router], message, now);
                    self.drain_farm(ends.farm);
                }
            }
            Letter::ToRouter(message) => {
                if let Some(owner) = &mut self.routers[ends.router].owner {
                    owner.handle_message(&names().farms[ends.farm], message, now);
                    self.drain_router(ends.router);
                }
            }
        }
        true
    }

    pub(crate) fn trim(&mut self) -> bool {
        self.lanes.trim()
    }
}

fn describe_letter(letter: &Letter) -> String {
    match letter {
        Letter::ToFarm(message) => format!("{message:?}"),
        Letter::ToRouter(FarmMessage::Answer { epoch, session, journal, .. }) => {
            let named: Vec<String> = journal.iter().map(|(a, state)| format!("{a:?} {state:?}")).collect();
            format!("answer to epoch {epoch} in session {session}: {}", named.join(", "))
        }
        Letter::ToRouter(message) => format!("{message:?}"),
    }
}
