//! What handsets send, and where it goes: the inbox finds out whose it is, the mailer brings replies into mailboxes.
//!
//! The order of claims: the conversation it answers (the last message to that number through that SIM or account, within
//! [`store::CONVERSATION_MS`]), then the tenant the SIM or account belongs to, then the operator. Nothing goes nowhere: all of it
//! is listed with its owner, and a reply to a user with a proved mailbox is mailed besides.

pub mod inbox;
pub mod mailer;
mod parts;
pub mod post;
mod turns;
