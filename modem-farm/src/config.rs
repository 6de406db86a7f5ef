//! What a farm node is told: its name, journal, routers and links. Knows keys and limits; must not open anything.

mod http;
pub mod mm7;
pub mod smpp;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{FarmName, LinkName, RouteId};
use serde::{Deserialize, Serialize};
use wire::at::Profile;

pub use http::{Http, HttpMethod};
pub use mm7::{Mm7, Reports};
pub use smpp::Smpp;

/// The configuration of a farm node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name: what its certificate says.
    pub name: FarmName,
    /// Where the journal lives. A new directory is a new incarnation.
    pub journal_dir: PathBuf,
    /// Where `/livez`, `/readyz` and `/metrics` are served when the node runs alone.
    pub ops_listen: SocketAddr,
    /// How long a stop may take.
    pub drain_seconds_max: u64,
    /// Ports opened in one second: modems that start all at once pull a hub's voltage down.
    pub port_opens_per_second_max: u32,
    /// How long a message waits for an older one's receipt before it may reuse that one's reference.
    pub reference_hold_ms_max: u64,
    /// The authority whose certificates routers must have.
    pub ca_file: PathBuf,
    /// The node's certificate.
    pub certificate_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
    /// The routers to attach to, `host:port`; they tell of others.
    pub routers: Vec<String>,
    /// How long a modem that failed is left alone, the first time, the second, …; the last for all that follow.
    pub quarantine_seconds: Vec<u64>,
    /// The modems.
    pub links: Vec<Link>,
    /// The suppliers who speak SMPP.
    pub smpp: Vec<Smpp>,
    /// Where relays bring delivery reports.
    pub reports: Reports,
    /// The relays that speak MM7.
    pub mm7: Vec<Mm7>,
    /// The HTTP SMS services.
    pub http: Vec<Http>,
}

/// One modem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Its name in logs, metrics and timelines.
    pub name: LinkName,
    /// The route it serves.
    pub route: RouteId,
    /// The device, by a path that stays: `/dev/serial/by-path/…`, never `ttyUSB3`.
    pub device: PathBuf,
    /// Segments in one minute; 0: no limit.
    pub segments_per_minute: u32,
    /// Segments in one second; 0: no limit.
    pub segments_per_second: u32,
    /// Segments in one minute of whatever SIM is in it; 0: no limit.
    pub sim_segments_per_minute: u32,
    /// Segments a day of whatever SIM is in it, by its IMSI; 0: no limit.
    pub sim_segments_per_day: u32,
    /// When the operator's day begins, as its distance from UTC.
    pub sim_utc_offset_minutes: i32,
    /// A file with the SIM's PIN, readable by this user only; empty: none is entered.
    pub pin_file: PathBuf,
    /// The service centre's address, for SIMs that have none; empty: the SIM's own.
    pub service_centre: String,
    /// Time between two commands.
    pub command_gap_ms: u64,
    /// How long the network may take with a message before it counts as uncertain.
    pub result_seconds_max: u64,
    /// The speed of a real serial line; USB and pseudo-terminals ignore it.
    pub baud: u32,
}

/// A configuration that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigRefused {
    /// Two links of one name.
    #[error("there are two links named `{link}`")]
    LinkTwice {
        /// The name.
        link: LinkName,
    },
    /// Two links on one device.
    #[error("links `{first}` and `{second}` have the same device")]
    DeviceTwice {
        /// The one.
        first: LinkName,
        /// The other.
        second: LinkName,
    },
    /// A link without a device.
    #[error("link `{link}` has no device")]
    NoDevice {
        /// The link.
        link: LinkName,
    },
    /// A supplier's or relay's key that cannot be used.
    #[error("{kind} `{name}`: `{key}` cannot be used: {mend}")]
    Key {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: LinkName,
        /// The key.
        key: &'static str,
        /// What to write instead.
        mend: &'static str,
    },
    /// A number that must not be 0.
    #[error("`{key}` must not be 0")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// A remote router needs certificates.
    #[error("`{key}` is needed to attach to routers")]
    NoCertificate {
        /// The key.
        key: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: FarmName::new("farm-1").expect("a literal name"),
            journal_dir: PathBuf::from("./data/farm"),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9103)),
            drain_seconds_max: 30,
            port_opens_per_second_max: 5,
            reference_hold_ms_max: 2000,
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            routers: Vec::new(),
            quarantine_seconds: vec![60, 300, 900, 3600],
            links: Vec::new(),
            smpp: Vec::new(),
            reports: Reports::default(),
            mm7: Vec::new(),
            http: Vec::new(),
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            name: LinkName::new("link-1").expect("a literal name"),
            route: RouteId::new("route-1").expect("a literal name"),
            device: PathBuf::from("/dev/serial/by-path/modem-1"),
            segments_per_minute: 10,
            segments_per_second: 0,
            sim_segments_per_minute: 10,
            sim_segments_per_day: 200,
            sim_utc_offset_minutes: 0,
            pin_file: PathBuf::new(),
            service_centre: String::new(),
            command_gap_ms: 20,
            result_seconds_max: 120,
            baud: 115_200,
        }
    }
}

impl Config {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first thing that cannot be run.
    pub fn validate(&self) -> Result<(), ConfigRefused> {
        if self.port_opens_per_second_max == 0 {
            return Err(ConfigRefused::Zero { key: "port_opens_per_second_max" });
        }
        if self.quarantine_seconds.is_empty() {
            return Err(ConfigRefused::Zero { key: "quarantine_seconds" });
        }
        if !self.routers.is_empty() {
            let files = [
                ("ca_file", &self.ca_file),
                ("certificate_file", &self.certificate_file),
                ("key_file", &self.key_file),
            ];
            if let Some((key, _)) = files.into_iter().find(|(_, path)| path.as_os_str().is_empty()) {
                return Err(ConfigRefused::NoCertificate { key });
            }
        }
        self.validate_links()
    }

    fn validate_links(&self) -> Result<(), ConfigRefused> {
        let mut names = BTreeSet::new();
        for (index, link) in self.links.iter().enumerate() {
            if !names.insert(&link.name) {
                return Err(ConfigRefused::LinkTwice { link: link.name.clone() });
            }
            if link.device.as_os_str().is_empty() {
                return Err(ConfigRefused::NoDevice { link: link.name.clone() });
            }
            if let Some(other) = self.links[..index].iter().find(|other| other.device == link.device) {
                return Err(ConfigRefused::DeviceTwice { first: other.name.clone(), second: link.name.clone() });
            }
        }
        for supplier in &self.smpp {
            supplier.validate()?;
        }
        for relay in &self.mm7 {
            relay.validate()?;
        }
        for service in &self.http {
            service.validate()?;
        }
        let (certificate, key) = (&self.reports.certificate_file, &self.reports.key_file);
        if certificate.as_os_str().is_empty() != key.as_os_str().is_empty() {
            return Err(ConfigRefused::NoCertificate { key: "reports.key_file" });
        }
        let relays = self.mm7.iter().map(|relay| relay.name.clone());
        let services = self.http.iter().map(|service| service.name.clone());
        let others: Vec<LinkName> = self.smpp.iter().flat_map(Smpp::link_names).chain(relays).chain(services).collect();
        match others.iter().find(|name| !names.insert(name)) {
            Some(twice) => Err(ConfigRefused::LinkTwice { link: twice.clone() }),
            None => Ok(()),
        }
    }

    /// How many links this node drives: modems, binds, relays and services.
    pub fn links_count(&self) -> usize {
        let binds = self.smpp.iter().map(|supplier| supplier.binds as usize);
        self.links.len() + binds.sum::<usize>() + self.mm7.len() + self.http.len()
    }

    /// Whether it drives any.
    pub fn has_links(&self) -> bool {
        self.links_count() > 0
    }

    /// The routes this node serves, each once.
    pub fn routes(&self) -> Vec<RouteId> {
        let modems = self.links.iter().map(|link| &link.route);
        let others = self.smpp.iter().map(|supplier| &supplier.route).chain(self.mm7.iter().map(|relay| &relay.route));
        let others = others.chain(self.http.iter().map(|service| &service.route));
        let routes: BTreeSet<&RouteId> = modems.chain(others).collect();
        routes.into_iter().cloned().collect()
    }
}

impl Link {
    /// How the dialogue with this modem is led; `offset` sets its polls apart from its neighbours'.
    pub fn profile(&self, offset: Duration) -> Profile {
        Profile {
            command_gap: Duration::from_millis(self.command_gap_ms),
            result_wait: Duration::from_secs(self.result_seconds_max),
            poll_offset: offset,
            service_centre: (!self.service_centre.is_empty()).then(|| self.service_centre.clone()),
            ..Profile::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../example.toml");

    #[test]
    fn the_example_tells_the_truth() {
        runtime::config::check_example(EXAMPLE, &Config::default());
    }

    /// The sections of lists stand in the example behind `#: `, as a list's default is empty.
    #[test]
    fn the_example_shows_a_link_with_its_defaults() {
        let text: Vec<&str> = EXAMPLE.lines().filter_map(|line| line.strip_prefix("#: ")).collect();
        let config: Config = toml::from_str(&text.join("\n")).unwrap();
        let shown = Config {
            links: vec![Link::default()],
            smpp: vec![Smpp::default()],
            mm7: vec![Mm7::default()],
            http: vec![Http::default()],
            ..Config::default()
        };
        assert_eq!(config, shown);
        let table: toml::Table = toml::from_str(&text.join("\n")).unwrap();
        let link = toml::Table::try_from(Link::default()).unwrap();
        for key in link.keys() {
            assert!(table["links"][0].get(key).is_some(), "`{key}` is missing from the example's link");
        }
        let supplier = toml::Table::try_from(Smpp::default()).unwrap();
        for key in supplier.keys() {
            assert!(table["smpp"][0].get(key).is_some(), "`{key}` is missing from the example's supplier");
        }
        let relay = toml::Table::try_from(Mm7::default()).unwrap();
        for key in relay.keys() {
            assert!(table["mm7"][0].get(key).is_some(), "`{key}` is missing from the example's relay");
        }
        let service = toml::Table::try_from(Http::default()).unwrap();
        for key in service.keys() {
            assert!(table["http"][0].get(key).is_some(), "`{key}` is missing from the example's service");
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Config), expected: &str) {
        let second = LinkName::new("link-2").unwrap();
        let links = vec![Link::default(), Link { name: second, device: "/dev/other".into(), ..Link::default() }];
        let mut config = Config { links, ..Config::default() };
        assert_eq!(config.validate(), Ok(()));
        change(&mut config);
        assert_eq!(config.validate().expect_err("this is refused").to_string(), expected);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        check(|config| config.links[1].name = config.links[0].name.clone(), "there are two links named `link-1`");
        let same = "links `link-1` and `link-2` have the same device";
        check(|config| config.links[1].device = config.links[0].device.clone(), same);
        check(|config| config.links[0].device = PathBuf::new(), "link `link-1` has no device");
        let supplier = |change: fn(&mut Smpp)| {
            let mut supplier = Smpp::default();
            change(&mut supplier);
            move |config: &mut Config| config.smpp = vec![supplier]
        };
        let refused = |key: &str, mend: &str| format!("supplier `supplier-1`: `{key}` cannot be used: {mend}");
        check(supplier(|smpp| smpp.window = 0), &refused("window", "write 1 to 4096"));
        check(supplier(|smpp| smpp.binds = 65), &refused("binds", "write 1 to 64"));
        check(supplier(|smpp| smpp.address = "nowhere".into()), &refused("address", "write `HOST:PORT`"));
        check(
            supplier(|smpp| smpp.tls = true),
            &refused("ca_file", "name the authority of its certificate (PEM), since tls is on"),
        );
        check(
            supplier(|smpp| smpp.statuses = [("x".into(), smpp::Meaning::Taken)].into()),
            &refused("statuses", "each key is a status, `0x0400` or `1024`"),
        );
        let number = "supplier `26201`: `name` cannot be used: give it a shorter name, with a letter in it";
        check(supplier(|smpp| smpp.name = LinkName::new("26201").unwrap()), number);
        let twice = "there are two links named `link-1`";
        check(supplier(|smpp| smpp.name = LinkName::new("link").unwrap()), twice);
        let relay = |change: fn(&mut Mm7)| {
            let mut relay = Mm7::default();
            change(&mut relay);
            move |config: &mut Config| config.mm7 = vec![relay]
        };
        let refused = |key: &str, mend: &str| format!("relay `relay-1`: `{key}` cannot be used: {mend}");
        check(relay(|mm7| mm7.window = 0), &refused("window", "write 1 to 256"));
        check(
            relay(|mm7| mm7.url = "ftp://relay".into()),
            &refused("url", "write `http://HOST:PORT/PATH` or `https://…`, without a user in it"),
        );
        check(
            relay(|mm7| mm7.url = "http://me:secret@relay/".into()),
            &refused("url", "write `http://HOST:PORT/PATH` or `https://…`, without a user in it"),
        );
        check(
            relay(|mm7| mm7.url = "https://relay/mm7".into()),
            &refused("ca_file", "name the authority of its certificate (PEM), since the url is https"),
        );
        check(
            relay(|mm7| mm7.report_user = "relay".into()),
            &refused("report_password_file", "report_user needs report_password_file or report_password_env"),
        );
        check(
            relay(|mm7| mm7.statuses = [("x".into(), mm7::Meaning::Taken)].into()),
            &refused("statuses", "each key is a status code in decimal digits"),
        );
        check(relay(|mm7| mm7.name = LinkName::new("link-1").unwrap()), "there are two links named `link-1`");
        check(|config| config.port_opens_per_second_max = 0, "`port_opens_per_second_max` must not be 0");
        check(|config| config.routers = vec!["127.0.0.1:1".into()], "`ca_file` is needed to attach to routers");
    }
}
