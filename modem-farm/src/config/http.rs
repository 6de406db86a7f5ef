//! What a farm node is told of an HTTP SMS service: its template, who we are to it, what its answers mean. Knows keys and limits;
//! must not open anything.

use std::path::PathBuf;

use hyper::Uri;
use model::{LinkName, RouteId};
use regex::bytes::Regex;
use runtime::networks::Networks;
use serde::{Deserialize, Serialize};
use wire::http_template::Template;

use super::ConfigRefused;

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The account, and the name of its link.
    pub name: LinkName,
    /// The route it serves.
    pub route: RouteId,
    /// Its address with the template of a request behind it.
    pub url: String,
    /// A file with more of the template, readable by this user only: where the query has a password.
    pub query_file: PathBuf,
    /// How requests are made.
    pub method: HttpMethod,
    /// Networks it may be in though they are not public.
    pub networks: Vec<String>,
    /// The authorities its certificate may be of.
    pub ca_file: PathBuf,
    /// Our certificate, where it wants one.
    pub certificate_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
    /// Who we are to it (Basic); empty: nobody, or the holder of the token.
    pub user: String,
    /// A file with the password, readable by this user only.
    pub password_file: PathBuf,
    /// The environment variable with the password, where there is no file.
    pub password_env: String,
    /// A file with a token (Bearer), readable by this user only.
    pub token_file: PathBuf,
    /// The environment variable with the token, where there is no file.
    pub token_env: String,
    /// `%sender%`.
    pub sender: String,
    /// Whether binary messages go there.
    pub binary: bool,
    /// Whether it is another installation of Carillon.
    pub carillon: bool,
    /// Where it says what became of messages: our gateway's `/sms/reports`, as the service reaches it; empty: it does not say.
    pub report_url: String,
    /// Whether it knows a call it has taken before and does nothing then.
    pub knows_repeats: bool,
    /// Statuses that say that a message was taken; empty: 200 to 299.
    pub ok_statuses: Vec<u16>,
    /// What the body must have in it besides, as a regular expression; empty: anything.
    pub ok_body: String,
    /// Calls under way at once.
    pub window: u32,
    /// Messages in one second; 0: no limit.
    pub messages_per_second: u32,
    /// Messages a day through this node; 0: no limit.
    pub messages_per_day: u32,
    /// When the service's day begins, as its distance from UTC.
    pub utc_offset_minutes: i32,
    /// How long a connection may take.
    pub connect_seconds_max: u64,
    /// How long an answer may take; after it the message counts as uncertain.
    pub answer_seconds_max: u64,
    /// The first pause after the service could not be reached or had too much; each that follows is twice as long.
    pub rest_ms_first: u64,
    /// The longest.
    pub rest_ms_max: u64,
    /// Calls in a row whose end nobody knows, after which the service is left alone.
    pub failures_max: u32,
}

/// How requests are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpMethod {
    /// All of it in the address.
    #[default]
    Get,
    /// What stands behind the question mark is the body, as a form.
    Post,
}

/// Calls under way with one service.
const WINDOW_MAX: u32 = 256;
/// Octets of an address for reports, before the ticket.
const REPORT_URL_OCTETS_MAX: usize = 400;
/// Networks one service may be in.
const NETWORKS_MAX: usize = 64;

impl Default for Http {
    fn default() -> Self {
        Self {
            name: LinkName::new("service-1").expect("a literal name"),
            route: RouteId::new("route-1").expect("a literal name"),
            url: "http://sms.example.com/sms?number=%number%&data=%data%&udh=%udh%&binary=%binary%&pid=%pid%&dcs=%dcs%"
                .to_owned(),
            query_file: PathBuf::new(),
            method: HttpMethod::default(),
            networks: Vec::new(),
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            password_env: String::new(),
            token_file: PathBuf::new(),
            token_env: String::new(),
            sender: String::new(),
            binary: false,
            carillon: false,
            report_url: String::new(),
            knows_repeats: false,
            ok_statuses: Vec::new(),
            ok_body: String::new(),
            window: 4,
            messages_per_second: 0,
            messages_per_day: 0,
            utc_offset_minutes: 0,
            connect_seconds_max: 10,
            answer_seconds_max: 30,
            rest_ms_first: 1_000,
            rest_ms_max: 60_000,
            failures_max: 5,
        }
    }
}

impl HttpMethod {
    /// What is asked for, and what is sent along.
    pub(crate) fn split(self, request: &str) -> (&str, &str) {
        match (self, request.split_once('?')) {
            (Self::Post, Some((target, body))) => (target, body),
            _ => (request, ""),
        }
    }
}

impl Http {
    /// Whether a call without an answer is made again. Another installation drops the repeat by its id.
    pub(crate) fn repeats(&self) -> bool {
        self.knows_repeats || self.carillon
    }

    /// Where it is, and the template of path and query.
    pub(crate) fn parts(&self) -> Option<(Uri, String)> {
        let begin = self.url.find("://")? + 3;
        let end = self.url[begin..].find(['/', '?']).map_or(self.url.len(), |at| begin + at);
        let (server, rest) = self.url.split_at(end);
        let uri = crate::http::uri(&format!("{server}/"))?;
        Some((uri, if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }))
    }

    /// Checks what types cannot.
    pub(super) fn validate(&self) -> Result<(), ConfigRefused> {
        let refused = |key, mend| Err(ConfigRefused::Key { kind: "service", name: self.name.clone(), key, mend });
        if self.name.as_str().bytes().all(|octet| octet.is_ascii_digit()) {
            // Else it could be taken for a SIM's, whose receipts are found in the same place.
            return refused("name", "give it a name with a letter in it");
        }
        let Some((uri, rest)) = self.parts() else {
            return refused("url", "write `http://HOST:PORT/PATH?…` or `https://…`, without a user in it");
        };
        let Ok(template) = Template::parse(&rest) else {
            return refused(
                "url",
                "it has a variable or modifier that is not known, or a character that must be escaped",
            );
        };
        if self.binary && !(template.carries_header() && template.carries_coding()) {
            return refused(
                "url",
                "template_lacks_udh: for binary messages it needs `%udh%`, and `%binary%` or `%dcs%`",
            );
        }
        let Ok(networks) = Networks::parse(&self.networks) else {
            return refused("networks", "each is a network such as `10.0.0.0/8`");
        };
        let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']').parse();
        if host.is_ok_and(|address| !networks.admit(address)) {
            return refused("url", "it is in no public network, and in none of `networks`");
        }
        if uri.scheme_str() == Some("https") && self.ca_file.as_os_str().is_empty() {
            return refused("ca_file", "name the authorities its certificate may be of (PEM), since the url is https");
        }
        self.validate_report(&template)?;
        self.validate_rest()
    }

    /// Either side of asking for reports without the other would ask for none.
    fn validate_report(&self, template: &Template) -> Result<(), ConfigRefused> {
        let refused = |key, mend| Err(ConfigRefused::Key { kind: "service", name: self.name.clone(), key, mend });
        if self.report_url.is_empty() {
            return match template.carries_report() {
                true => {
                    refused("report_url", "the template has `%report%`: write our gateway's `https://HOST/sms/reports`")
                }
                false => Ok(()),
            };
        }
        if crate::http::uri(&self.report_url).is_none() || self.report_url.contains(['?', '#']) {
            return refused("report_url", "write `https://HOST:PORT/sms/reports`, without a query and a user in it");
        }
        if self.report_url.len() > REPORT_URL_OCTETS_MAX {
            return refused("report_url", "write 400 characters or less");
        }
        if !(self.carillon || template.carries_report()) {
            return refused("report_url", "tell the service: put `%report%` into the template, or set `carillon`");
        }
        Ok(())
    }

    fn validate_rest(&self) -> Result<(), ConfigRefused> {
        let refused = |key, mend| Err(ConfigRefused::Key { kind: "service", name: self.name.clone(), key, mend });
        let has_token = !self.token_file.as_os_str().is_empty() || !self.token_env.is_empty();
        let plain = |text: &str| !text.contains(['\r', '\n']);
        let has_pair = self.certificate_file.as_os_str().is_empty() == self.key_file.as_os_str().is_empty();
        let in_range = [
            ("key_file", has_pair, "give certificate_file and key_file both, or neither"),
            ("user", plain(&self.user) && !self.user.contains(':'), "no colon and no line break"),
            ("token_file", self.user.is_empty() || !has_token, "give a user or a token, not both"),
            ("networks", self.networks.len() <= NETWORKS_MAX, "write 64 or less"),
            ("ok_statuses", self.ok_statuses.iter().all(|status| (100..600).contains(status)), "each is 100 to 599"),
            ("ok_body", Regex::new(&self.ok_body).is_ok(), "it is no regular expression"),
            ("window", (1..=WINDOW_MAX).contains(&self.window), "write 1 to 256"),
            ("connect_seconds_max", self.connect_seconds_max > 0, "write 1 or more"),
            ("answer_seconds_max", self.answer_seconds_max > 0, "write 1 or more"),
            ("rest_ms_first", self.rest_ms_first > 0, "write 1 or more"),
            ("failures_max", self.failures_max > 0, "write 1 or more"),
        ];
        in_range.into_iter().find(|(_, fits, _)| !fits).map_or(Ok(()), |(key, _, mend)| refused(key, mend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Http), expected: &str) {
        let mut service = Http { networks: vec!["127.0.0.0/8".to_owned()], binary: true, ..Http::default() };
        assert_eq!(service.validate(), Ok(()));
        change(&mut service);
        let refused = service.validate().expect_err("this is refused").to_string();
        assert!(refused.contains(expected), "{refused}");
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        let url = |url: &'static str| move |service: &mut Http| service.url = url.to_owned();
        check(url("ftp://127.0.0.1/"), "`url`");
        check(url("http://me:secret@127.0.0.1/?%udh%%dcs%"), "`url`");
        check(url("http://127.0.0.1/?%udh%%dcs%%text%"), "not known");
        check(url("http://127.0.0.1/?n=%number%&d=%data%&dcs=%dcs%"), "template_lacks_udh");
        check(url("http://127.0.0.1/?n=%number%&d=%data%&udh=%udh%"), "template_lacks_udh");
        check(url("http://10.0.0.1/?%udh%%dcs%"), "in no public network");
        check(url("http://169.254.169.254/?%udh%%dcs%"), "in no public network");
        check(url("https://127.0.0.1/?%udh%%dcs%"), "`ca_file`");
        check(|service| service.report_url = "https://a.example/sms/reports".to_owned(), "tell the service");
        check(url("http://127.0.0.1/?udh=%udh%&dcs=%dcs%&r=%report%"), "`report_url`");
        let reports = |report_url: &'static str| {
            move |service: &mut Http| (service.carillon, service.report_url) = (true, report_url.to_owned())
        };
        check(reports("a.example/sms/reports"), "`report_url`");
        check(reports("https://me:secret@a.example/sms/reports"), "`report_url`");
        check(reports("https://a.example/sms/reports?x=1"), "`report_url`");
        check(|service| service.failures_max = 0, "`failures_max`");
        check(|service| service.networks = vec!["10.0.0.0".to_owned()], "`networks`");
        check(|service| service.ok_body = "(".to_owned(), "`ok_body`");
        check(|service| service.window = 257, "`window`");
        check(|service| service.name = LinkName::new("26201").unwrap(), "`name`");
        check(|service| (service.user, service.token_env) = ("me".to_owned(), "TOKEN".to_owned()), "a user or a token");
    }

    #[test]
    fn a_post_has_its_query_in_the_body() {
        let service = Http { url: "http://127.0.0.1:1?a=%data%".to_owned(), ..Http::default() };
        let (uri, rest) = service.parts().unwrap();
        assert_eq!((uri.to_string().as_str(), rest.as_str()), ("http://127.0.0.1:1/", "/?a=%data%"));
        assert_eq!(HttpMethod::Post.split("/x?a=1?"), ("/x", "a=1?"));
        assert_eq!(HttpMethod::Get.split("/x?a=1"), ("/x?a=1", ""));
    }
}
