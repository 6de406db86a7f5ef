//! What handsets send, and where it goes: the inbox finds out whose it is, the mailer brings replies into mailboxes.
//!
//! The order of claims: the words by which a phone gives us orders (`PUSH OFF`, `STOP`, …), the conversation it answers (the last message to that number through that SIM or account, within
//! [`store::CONVERSATION_MS`]), then the tenant the SIM or account belongs to, then the operator. Nothing goes nowhere: all of it
//! is listed with its owner; a reply goes to the user's proved mailbox or phone besides, and what is no reply to the tenant's webhook.

mod claims;
pub mod hooks;
pub mod inbox;
pub mod mailer;
mod onward;
pub mod orders;
mod parts;
mod pauses;
pub mod post;
mod stops;
mod turns;
