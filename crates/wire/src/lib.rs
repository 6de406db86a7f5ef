//! The protocols Carillon speaks, as bytes and values: no I/O, no clock, no knowledge of lanes, stores or roles.

pub mod alert;
pub mod at;
pub mod binary;
pub mod datagram;
pub mod gsm7;
pub mod http_template;
pub mod mail;
pub mod mm7;
pub mod mms;
pub mod ne1;
pub mod oms;
pub mod ota_settings;
pub mod provisioning;
pub mod reassembly;
pub mod san;
pub mod segment;
pub mod service;
pub mod smpp;
pub mod syncml;
pub mod tpdu;
pub mod udh;
mod uintvar;
pub mod wbxml;
pub mod wsp;
