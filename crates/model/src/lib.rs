//! The nouns of the house: ids, numbers, money, records, the lifecycle. No I/O, no clock, no protocol.

pub mod allowance;
mod binary;
pub mod decimal;
pub mod event;
pub mod fetch;
pub mod hex;
pub mod id;
pub mod keyring;
pub mod lane;
pub mod lifecycle;
pub mod money;
pub mod msisdn;
mod octets;
pub mod opt_out;
pub mod party;
pub mod push;
pub mod record;
pub mod refusal;
pub mod reply;
pub mod report;
pub mod seal;
pub mod time;
pub mod webhook;

pub use allowance::{Allowance, AllowanceLimits, Shortage};
pub use decimal::Decimal;
pub use id::{
    DeliveryId, FarmName, IdMap, IdSet, LinkName, MessageId, ParseIdError, RouteId, RouterName, SupplierId, TenantId,
};
pub use lane::Lane;
pub use lifecycle::{State, Verdict};
pub use money::{Currency, Money};
pub use msisdn::Msisdn;
pub use octets::octets;
pub use refusal::Refusal;
pub use time::Timestamp;
