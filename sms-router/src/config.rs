//! The configuration of the router role: what may be set, and the defaults. Reads no file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{RouterName, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::replies::orders::Orders;

/// Settings of the router role. `example.toml` says why one would change each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The replica's stable name.
    pub name: RouterName,
    /// The price deck (CSV), imported when it changes; empty: prices come by other ways.
    pub price_deck_file: PathBuf,
    /// How often the price deck is looked at.
    pub price_deck_poll_ms: u64,
    /// Bytes a price deck may have.
    pub price_deck_bytes_max: u64,
    /// How often the snapshot of tenants, routes, prices and keys is compared with the store.
    pub parties_refresh_ms: u64,
    /// Days after which a tenant's content is sealed with another data key.
    pub data_key_days: u32,
    /// Blocks of a thousand numbers whose country is remembered.
    pub country_blocks_max: u64,
    /// Entries of a lane taken in one step.
    pub batch_max: usize,
    /// Attempts a delivery may have, over all routes.
    pub attempts_max: u32,
    /// How long the first retry waits after every candidate failed; doubles with each round.
    pub retry_ms_first: u64,
    /// The longest a retry waits.
    pub retry_ms_max: u64,
    /// How long after the end of its validity a delivery's receipt is waited for.
    pub receipt_grace_seconds: u64,
    /// How often open references are written to the store; what opens and closes between costs nothing.
    pub references_flush_ms: u64,
    /// How long a receipt without an outcome is kept.
    pub receipt_parked_seconds_max: u64,
    /// Receipts without an outcome kept per partition; the oldest go first, and are counted.
    pub receipts_parked_max: usize,
    /// Segments that may wait for one route; above it, deliveries wait before the planner.
    pub route_segments_max: u64,
    /// How often the schedule is looked at.
    pub schedule_poll_ms: u64,
    /// How long a message that ended is kept, with its timeline and the claim on its key; at least a day.
    pub message_keep_hours: u32,
    /// How often the lanes are trimmed.
    pub trim_seconds: u64,
    /// The longest pause before a part that failed is started again.
    pub restart_ms_max: u64,
    /// How long after its arrival a message from a handset is looked at: what it may be a reply to is remembered by then.
    pub inbound_settle_ms: u64,
    /// How long the parts of a long message from a handset wait for each other.
    pub inbound_parts_seconds_max: u64,
    /// Tenants that SIMs and supplier accounts belong to: they get what comes there and is nobody's reply.
    pub inbound_owners: BTreeMap<String, TenantId>,
    /// Replies a user's own phone gets in an hour, at most; what is more stays in the list.
    pub replies_per_phone_hour_max: u32,
    /// How long changes of an account are gathered before its devices are told, at most 30,000.
    pub notify_window_ms: u64,
    /// How long a notification is worth anything.
    pub notify_valid_minutes: u32,
    /// Notifications in a row that fail for good before their device is disabled.
    pub notify_failures_max: u32,
    /// Where replies are mailed to.
    pub mail: Mail,
    /// How long a farm, or a journal of it, may stay away before what was granted to it ends as `uncertain`.
    pub farm_lost_seconds: u64,
    /// When lanes and state were put back from a copy; the epoch: never.
    pub restored_at: Timestamp,
    /// Where tenants get what comes to them and is no user's reply.
    pub webhooks: Webhooks,
    /// How those who handed us messages by the call of an HTTP SMS service are told how they ended.
    pub reports: Reports,
    /// Words by which phones give orders.
    pub orders: Orders,
    /// Where farms attach.
    pub control: Control,
}

/// The server that takes the mails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The host; empty: replies wait in lane `mail`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the way to it is kept private.
    pub tls: MailTls,
    /// The authority that signed its certificate, in PEM; empty: those the machine trusts.
    pub ca_file: PathBuf,
    /// The user it knows us by; empty: it asks for none.
    pub user: String,
    /// The file with the user's password.
    pub password_file: PathBuf,
    /// The variable with the user's password, if no file is named.
    pub password_env: String,
    /// The name we greet it with; empty: the machine's.
    pub hello_name: String,
    /// Connections at a time, of each partition of the lane.
    pub connections_max: u32,
    /// How long the server may take with one word.
    pub answer_seconds_max: u64,
    /// How long the first retry waits; doubles with each.
    pub retry_ms_first: u64,
    /// The longest a retry waits.
    pub retry_ms_max: u64,
    /// After so long a reply that the server did not take is given up.
    pub give_up_hours: u32,
    /// Replies taken out of the lane at a time.
    pub in_hand_max: usize,
    /// The charset of texts that are not plain ASCII.
    pub charset: String,
}

/// Where tenants get what comes to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Each tenant's address.
    pub urls: BTreeMap<TenantId, String>,
    /// Networks (`address/bits`) that may be posted to besides the public ones.
    pub networks: Vec<String>,
    /// An authority besides those the machine trusts, in PEM.
    pub ca_file: PathBuf,
    /// Posts at a time, of each partition of the lane.
    pub connections_max: u32,
    /// How long an answer may take.
    pub answer_seconds_max: u64,
    /// How long the first retry waits; doubles with each.
    pub retry_ms_first: u64,
    /// The longest a retry waits.
    pub retry_ms_max: u64,
    /// After so long a message that was not taken is given up.
    pub give_up_hours: u32,
    /// Messages taken out of the lane at a time.
    pub in_hand_max: usize,
}

/// How reports go out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Networks (`address/bits`) that may be posted to besides the public ones.
    pub networks: Vec<String>,
    /// An authority besides those the machine trusts, in PEM.
    pub ca_file: PathBuf,
    /// Posts at a time.
    pub connections_max: u32,
    /// How long an answer may take.
    pub answer_seconds_max: u64,
    /// How long the first retry waits; doubles with each.
    pub retry_ms_first: u64,
    /// The longest a retry waits.
    pub retry_ms_max: u64,
    /// After so long a report that was not taken is given up.
    pub give_up_hours: u32,
    /// Reports taken out of the lane at a time; one tenant's get half.
    pub in_hand_max: usize,
}

/// How the way to the mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// By STARTTLS, or not at all.
    Starttls,
    /// From the first byte on.
    Implicit,
    /// It is not.
    Off,
}

/// Where farms attach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Whether farms may attach over the network; farms of this process always can.
    pub enabled: bool,
    /// The address listened on.
    pub listen: SocketAddr,
    /// The address farms reach this replica by (`host:port`); empty: the one listened on.
    pub advertise: String,
    /// Certificate chain in PEM.
    pub certificate_file: PathBuf,
    /// Key of the certificate in PEM.
    pub key_file: PathBuf,
    /// The authority that signs farms' certificates, in PEM.
    pub farm_ca_file: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: RouterName::new("router-1").expect("a name"),
            price_deck_file: PathBuf::new(),
            price_deck_poll_ms: 1_000,
            price_deck_bytes_max: 256 << 20,
            parties_refresh_ms: 1_000,
            data_key_days: 1,
            country_blocks_max: 100_000,
            batch_max: 4_096,
            attempts_max: 10,
            retry_ms_first: 15_000,
            retry_ms_max: 900_000,
            receipt_grace_seconds: 86_400,
            references_flush_ms: 500,
            receipt_parked_seconds_max: 3_600,
            receipts_parked_max: 100_000,
            route_segments_max: 3_000_000,
            schedule_poll_ms: 500,
            message_keep_hours: 168,
            trim_seconds: 5,
            restart_ms_max: 10_000,
            inbound_settle_ms: 1_000,
            inbound_parts_seconds_max: 86_400,
            inbound_owners: BTreeMap::new(),
            replies_per_phone_hour_max: 60,
            notify_window_ms: 5_000,
            notify_valid_minutes: 1_440,
            notify_failures_max: 5,
            mail: Mail::default(),
            farm_lost_seconds: 600,
            restored_at: Timestamp(0),
            webhooks: Webhooks::default(),
            reports: Reports::default(),
            orders: Orders::default(),
            control: Control::default(),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Mail {
            host: String::new(),
            port: 587,
            tls: MailTls::Starttls,
            ca_file: PathBuf::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            password_env: String::new(),
            hello_name: String::new(),
            connections_max: 4,
            answer_seconds_max: 60,
            retry_ms_first: 5_000,
            retry_ms_max: 1_800_000,
            give_up_hours: 48,
            in_hand_max: 10_000,
            charset: "utf-8".into(),
        }
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks {
            urls: BTreeMap::new(),
            networks: Vec::new(),
            ca_file: PathBuf::new(),
            connections_max: 8,
            answer_seconds_max: 20,
            retry_ms_first: 5_000,
            retry_ms_max: 1_800_000,
            give_up_hours: 48,
            in_hand_max: 10_000,
        }
    }
}

impl Default for Reports {
    fn default() -> Self {
        Reports {
            networks: Vec::new(),
            ca_file: PathBuf::new(),
            connections_max: 16,
            answer_seconds_max: 20,
            retry_ms_first: 1_000,
            retry_ms_max: 600_000,
            give_up_hours: 72,
            in_hand_max: 50_000,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Control {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            advertise: String::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            farm_ca_file: PathBuf::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_is_true() {
        runtime::config::check_example(include_str!("../example.toml"), &super::Config::default());
    }
}
