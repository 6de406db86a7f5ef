//! Words by which a phone gives us an order. Knows their spelling, not what is done about them.

use serde::{Deserialize, Serialize};

/// What a phone may want of us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Order {
    /// No more messages.
    Stop,
    /// Messages again.
    Start,
    /// No change notifications for now.
    PushOff,
    /// Change notifications again.
    PushOn,
}

/// The words, in any case. A text is an order if it is nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// The number wants no more messages of whoever wrote to it.
    pub stop: Vec<String>,
    /// It wants them again.
    pub start: Vec<String>,
    /// Followed by `OFF` or `ON`: its device wants no change notifications for now, or wants them again. Empty: there is no such
    /// word.
    pub push: String,
    /// What a device is told that said so, at most once a day; empty: nothing.
    pub push_off_answer: String,
    /// The same, for the other word.
    pub push_on_answer: String,
}

impl Default for Orders {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Orders {
            stop: words(&["STOP", "STOPALL", "UNSUBSCRIBE"]),
            start: words(&["START", "UNSTOP"]),
            push: "PUSH".to_owned(),
            push_off_answer: "Push is off. Send PUSH ON to switch it on.".to_owned(),
            push_on_answer: "Push is on. Send PUSH OFF to switch it off.".to_owned(),
        }
    }
}

impl Order {
    /// As lists show it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Order::Stop => "opt-out",
            Order::Start => "opt-in",
            Order::PushOff => "push-off",
            Order::PushOn => "push-on",
        }
    }
}

impl Orders {
    /// The order a text is; `None`: it is for somebody.
    pub(super) fn of(&self, text: &str) -> Option<Order> {
        let text = text.trim().trim_end_matches(['.', '!']).to_uppercase();
        let is_one_of = |words: &[String]| words.iter().any(|word| word.to_uppercase() == text);
        if is_one_of(&self.stop) {
            return Some(Order::Stop);
        }
        if is_one_of(&self.start) {
            return Some(Order::Start);
        }
        let mut words = text.split_whitespace();
        let is_push = words.next().is_some_and(|word| word == self.push.to_uppercase());
        match (is_push, words.next(), words.next()) {
            (true, Some("OFF"), None) => Some(Order::PushOff),
            (true, Some("ON"), None) => Some(Order::PushOn),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_all_of_the_text() {
        let orders = Orders::default();
        for (text, order) in [
            ("STOP", Some(Order::Stop)),
            (" stop. \n", Some(Order::Stop)),
            ("Unsubscribe", Some(Order::Stop)),
            ("start", Some(Order::Start)),
            ("push off", Some(Order::PushOff)),
            ("  Push   ON ", Some(Order::PushOn)),
            ("stop it", None),
            ("push", None),
            ("push off please", None),
            ("pushoff", None),
            ("", None),
        ] {
            assert_eq!(orders.of(text), order, "{text:?}");
        }
    }

    #[test]
    fn words_are_the_operator_s() {
        let orders =
            Orders { stop: vec!["arrêt".into()], start: Vec::new(), push: String::new(), ..Orders::default() };
        assert_eq!(orders.of("ARRÊT"), Some(Order::Stop));
        assert_eq!(
            (orders.of("STOP"), orders.of("START"), orders.of("PUSH OFF"), orders.of(" OFF")),
            (None, None, None, None)
        );
    }
}
