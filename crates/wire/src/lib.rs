//! The protocols Carillon speaks, as bytes and values: no I/O, no clock, no knowledge of lanes, stores or roles.

pub mod at;
pub mod gsm7;
pub mod oms;
pub mod segment;
pub mod smpp;
pub mod tpdu;
pub mod udh;
