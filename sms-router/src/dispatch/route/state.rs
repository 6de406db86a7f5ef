//! What outlives a life of a route's partition: who is attached, the tokens, the step that may still land.

use std::collections::BTreeMap;

use bus::BusError;
use lease::FarmMessage;
use lease::message::{RouterMessage, Token};
use model::{FarmName, LinkName, RouteId};
use runtime::stop::Panicked;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::dispatch::credit::Credits;
use crate::dispatch::desk::Step;
use crate::dispatch::session::{Attachment, Command};

/// What outlives a life of the partition.
pub(super) struct State {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) attachments: BTreeMap<FarmName, Attachment>,
    pub(super) credits: Credits,
    pub(super) tokens_shown: i64,
    /// The step being written. If a life fails it may still land, so the next life waits for it before it reads.
    pub(super) writing: Option<Writing>,
}

pub(super) type Writing = JoinHandle<Result<Result<Step, BusError>, Panicked>>;
impl State {
    /// Keeps attachments and credit up to date. Returns what concerns the lease protocol.
    pub(super) fn apply(&mut self, command: Command) -> Vec<Event> {
        match command {
            Command::Opened { farm, attachment } => {
                // Overtaken by a newer one (lease rule 6).
                if self.attachments.get(&farm).is_some_and(|known| known.session > attachment.session) {
                    return Vec::new();
                }
                self.credits.drop_farm(&farm);
                self.credits.block(&farm);
                self.attachments.insert(farm.clone(), attachment.clone());
                vec![Event::Opened(farm, attachment)]
            }
            Command::Closed { farm, session } => {
                if self.attachments.get(&farm).is_none_or(|attachment| attachment.session != session) {
                    return Vec::new();
                }
                self.credits.drop_farm(&farm);
                self.attachments.remove(&farm);
                vec![Event::Closed(farm)]
            }
            Command::Heard { farm, session, messages } => {
                if self.attachments.get(&farm).is_none_or(|attachment| attachment.session != session) {
                    return Vec::new();
                }
                messages.into_iter().filter_map(|message| self.hear(&farm, message)).collect()
            }
        }
    }

    fn hear(&mut self, farm: &FarmName, message: FarmMessage) -> Option<Event> {
        match message {
            FarmMessage::Credit { link, tokens, .. } => {
                let refused = self.credits.grant(farm, &link, tokens);
                self.give_back(farm, link, refused);
                None
            }
            FarmMessage::Recall { link, tokens } => {
                let given = self.credits.recall(farm, &link, &tokens);
                self.give_back(farm, link, given);
                None
            }
            FarmMessage::Links(states) => {
                states.iter().for_each(|state| self.credits.set_state(farm, state));
                None
            }
            word => Some(Event::Word(farm.clone(), word)),
        }
    }

    fn give_back(&self, farm: &FarmName, link: LinkName, tokens: Vec<Token>) {
        if let Some(attachment) = self.attachments.get(farm).filter(|_| !tokens.is_empty()) {
            attachment.send(vec![RouterMessage::TokensReturned { link, tokens }]);
        }
    }

    /// Nothing is handed out here until the share comes: farms are told that nothing waits, and get their tokens back.
    pub(super) fn rest(&mut self, route: &RouteId) {
        self.credits.begin_anew(self.attachments.keys());
        self.give_up_tokens();
        let nothing = RouterMessage::Backlog { route: route.clone(), segments: 0, weight: 0 };
        self.attachments.values().for_each(|attachment| attachment.send(vec![nothing.clone()]));
    }

    pub(super) fn give_up_tokens(&mut self) {
        for ((farm, link), tokens) in self.credits.give_up() {
            self.give_back(&farm, link, tokens);
        }
    }
}

/// What the lease protocol must hear of.
pub(super) enum Event {
    Opened(FarmName, Attachment),
    Closed(FarmName),
    Word(FarmName, FarmMessage),
}
