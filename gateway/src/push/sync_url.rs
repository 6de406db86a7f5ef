//! The address devices synchronise at, corrected where that is safe. Knows how addresses are written; asks nobody whether there is
//! such a host.

use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;

/// Octets of an address.
const ADDRESS_BYTES_MAX: usize = 1_024;
/// Octets of a host's name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// What an address without a scheme gets.
const SCHEME: &str = "https";

/// An address as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SyncUrl {
    /// The address.
    pub(super) address: String,
    /// Whether passwords would travel in clear.
    pub(super) is_plain: bool,
}

/// What can't be read, and how to mend it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadSyncUrl {
    #[error("it is empty or longer than {ADDRESS_BYTES_MAX} bytes")]
    Length,
    #[error("it holds blanks, controls, or characters that an address writes as `%` and two digits")]
    Characters,
    #[error("its scheme is neither `http` nor `https`")]
    Scheme,
    #[error("it names a user; the name belongs into `user_name`, and the user types the password")]
    User,
    #[error("its host is none")]
    Host,
    #[error("its port is not 1 to 65535")]
    Port,
    #[error("it has a fragment, `#`, which no server gets to see")]
    Fragment,
}

/// The parts of an address, as they were written.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
    query: &'a str,
}

/// Corrects an address: blanks around it, a missing scheme, the host's letters, a default port, a missing path, double slashes
/// (push-channels.md, 4). What is given otherwise stays as it is.
///
/// # Errors
/// [`BadSyncUrl`].
pub(super) fn correct(written: &str, sync_path: &str) -> Result<SyncUrl, BadSyncUrl> {
    let trimmed = written.trim();
    if trimmed.is_empty() || written.len() > ADDRESS_BYTES_MAX {
        return Err(BadSyncUrl::Length);
    }
    let parts = split(trimmed)?;
    let is_plain = parts.scheme.eq_ignore_ascii_case("http");
    let host = host(parts.host)?;
    let port = port(parts.port, if is_plain { 80 } else { 443 })?;
    let path = path(parts.path, sync_path)?;
    check_path(parts.query)?;
    let address = format!("{}://{host}{port}{path}{}", parts.scheme, parts.query);
    Ok(SyncUrl { address, is_plain })
}

fn split(address: &str) -> Result<Parts<'_>, BadSyncUrl> {
    if address.contains('#') {
        return Err(BadSyncUrl::Fragment);
    }
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => (scheme, rest),
        _ => (SCHEME, address),
    };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(BadSyncUrl::Scheme);
    }
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(BadSyncUrl::User);
    }
    // The colons of an IPv6 address stand in brackets (RFC 3986, 3.2.2).
    let bracket = authority.find(']').map_or(0, |at| at + 1);
    let colon = authority[bracket..].find(':').map_or(authority.len(), |at| bracket + at);
    let (host, port) = authority.split_at(colon);
    Ok(Parts { scheme, host, port, path, query })
}

fn host(written: &str) -> Result<String, BadSyncUrl> {
    if let Some(inner) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| BadSyncUrl::Host)?;
        return Ok(format!("[{address}]"));
    }
    let name = idna::domain_to_ascii_cow(written.as_bytes(), AsciiDenyList::URL).map_err(|_| BadSyncUrl::Host)?;
    let fits = (1..=HOST_BYTES_MAX).contains(&name.len());
    let bare = name.strip_suffix('.').unwrap_or(&name);
    let labels = || bare.split('.');
    // A name that ends in a number is read as an IPv4 address everywhere.
    let is_number = labels().next_back().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    let is_host = fits && labels().all(|label| (1..=63).contains(&label.len()));
    let is_host = is_host && (!is_number || bare.parse::<Ipv4Addr>().is_ok());
    is_host.then(|| name.into_owned()).ok_or(BadSyncUrl::Host)
}

/// The port with its colon; nothing where it is the scheme's own.
fn port(written: &str, default: u16) -> Result<String, BadSyncUrl> {
    match written.strip_prefix(':') {
        None | Some("") => Ok(String::new()),
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => Err(BadSyncUrl::Port),
            Ok(number) if number == default => Ok(String::new()),
            Ok(number) => Ok(format!(":{number}")),
        },
        Some(_) => Err(BadSyncUrl::Port),
    }
}

fn path(written: &str, sync_path: &str) -> Result<String, BadSyncUrl> {
    if written.is_empty() {
        return Ok(sync_path.to_owned());
    }
    check_path(written)?;
    let mut joined = String::with_capacity(written.len());
    for c in written.chars() {
        if c != '/' || !joined.ends_with('/') {
            joined.push(c);
        }
    }
    Ok(joined)
}

/// Characters of a path or a query (RFC 3986, 3.3 and 3.4), and some that servers take for want of better.
pub(super) fn check_path(text: &str) -> Result<(), BadSyncUrl> {
    let odd = |c: char| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c);
    let mut rest = text.split('%').skip(1);
    let is_escape = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|octet| octet.is_ascii_hexdigit());
    if text.contains(odd) || !rest.all(is_escape) { Err(BadSyncUrl::Characters) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: &str) {
        let corrected = correct(written, "/syncml/").unwrap();
        assert_eq!(corrected.address, expected);
        assert_eq!(correct(expected, "/other/").unwrap(), corrected, "what is corrected stays");
    }

    #[test]
    fn blanks_are_trimmed() {
        check("  https://sync.example.com/syncml/\t\n", "https://sync.example.com/syncml/");
    }

    #[test]
    fn a_missing_scheme_is_https() {
        check("sync.example.com/syncml/", "https://sync.example.com/syncml/");
        check("sync.example.com:8443/x?u=http://a", "https://sync.example.com:8443/x?u=http://a");
        check("[2001:DB8::1]/x", "https://[2001:db8::1]/x");
        check("192.0.2.7/x", "https://192.0.2.7/x");
    }

    #[test]
    fn the_host_is_lower_case_and_idna() {
        check("https://Sync.EXAMPLE.com/SyncML/", "https://sync.example.com/SyncML/");
        check("https://Käse.example/x", "https://xn--kse-qla.example/x");
    }

    #[test]
    fn a_default_port_is_dropped() {
        check("https://sync.example.com:443/x", "https://sync.example.com/x");
        check("http://sync.example.com:80/x", "http://sync.example.com/x");
        check("http://sync.example.com:443/x", "http://sync.example.com:443/x");
        check("https://[::1]:443/x", "https://[::1]/x");
        check("https://sync.example.com:/x", "https://sync.example.com/x");
    }

    #[test]
    fn a_missing_path_is_the_tenants() {
        check("https://sync.example.com", "https://sync.example.com/syncml/");
        check("sync.example.com?a=b", "https://sync.example.com/syncml/?a=b");
        assert_eq!(correct("sync.example.com", "/s").unwrap().address, "https://sync.example.com/s");
        check("https://sync.example.com/", "https://sync.example.com/");
    }

    #[test]
    fn double_slashes_are_joined_in_the_path_alone() {
        check("https://sync.example.com//a///b//?x=//y", "https://sync.example.com/a/b/?x=//y");
    }

    #[test]
    fn what_is_given_stays() {
        check("HTTP://sync.example.com/SyncML/../a;b=%2F%2f", "HTTP://sync.example.com/SyncML/../a;b=%2F%2f");
        assert!(correct("HTTP://sync.example.com/x", "/").unwrap().is_plain);
        assert!(!correct("https://sync.example.com/x", "/").unwrap().is_plain);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        use BadSyncUrl::{Characters, Fragment, Host, Length, Port, Scheme, User};
        let long = format!("https://a.example/{}", "x".repeat(ADDRESS_BYTES_MAX));
        for (written, expected) in [
            ("", Length),
            ("   ", Length),
            (&long, Length),
            ("ftp://a.example/", Scheme),
            ("://a.example/", Scheme),
            ("https://", Host),
            ("https:///x", Host),
            ("https://a b.example/", Host),
            ("https://a..example/", Host),
            ("https://1.2.3/", Host),
            ("https://[::g]/", Host),
            ("https://[::1/", Host),
            ("https://a.example:0/", Port),
            ("https://a.example:65536/", Port),
            ("https://a.example:x/", Port),
            ("https://a.example:+80/", Port),
            ("mailto:x", Port),
            ("https://ann:secret@a.example/", User),
            ("https://a.example/a b", Characters),
            ("https://a.example/%zz", Characters),
            ("https://a.example/%4", Characters),
            ("https://a.example/é", Characters),
            ("https://a.example/\u{0}", Characters),
            ("https://a.example/x#y", Fragment),
        ] {
            assert_eq!(correct(written, "/syncml/"), Err(expected), "{written}");
        }
    }
}
