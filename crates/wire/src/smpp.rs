//! SMPP 3.4 as bytes, values and a protocol core: PDUs, the session of one connection, how texts become `submit_sm` and
//! receipts become statuses. It must not do I/O, read a clock, draw lots by itself, or know of leases, journals and routers.
//!
//! What differs between suppliers is data: [`Style`] says how they want messages, [`Receipts`] how they name them,
//! [`Profile`] how they want to be spoken to.
//!
//! The codec is lenient where suppliers are careless, since a receipt that cannot be read is lost: responses without a body,
//! strings without their zero, optional parameters of odd lengths or cut at the end are read as far as they go.

mod address;
mod backoff;
mod coding;
mod compose;
mod field;
mod flow;
mod frame;
mod inbound;
mod message_id;
mod pdu;
mod receipt;
mod session;
mod status;
#[cfg(test)]
mod tests;
mod time;
mod tlv;

pub use address::{Address, AddressTooLong, NumberForm};
pub use backoff::Backoff;
pub use coding::{Coding, DefaultCoding};
pub use compose::{ComposeError, Concatenation, Outgoing, Style, SubmitWith, compose, compose_binary};
pub use field::PduError;
pub use frame::{FrameError, Frames, PDU_OCTETS_MAX};
pub use inbound::{InboundError, tpdu_of};
pub use message_id::{IdForm, reference};
pub use pdu::{Bind, BindResp, Body, Kind, Message, Mode, Pdu, Unreadable};
pub use receipt::{Receipt, ReceiptError, Receipts, Side, is_receipt};
pub use session::{Arrival, Down, Event, Odd, Profile, Session, SubmitEnd, SubmitRefused, Ticket, Verdict};
pub use status::{Class, Status};
pub use time::ValidityForm;
pub use tlv::{Tag, Tlvs};
