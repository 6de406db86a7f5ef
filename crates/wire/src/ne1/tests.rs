//! Datagrams as a mail server would write them, and as nobody should.

use proptest::{collection::vec, prelude::*};

use super::*;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn line(account: &str, resource: &str) -> Line {
    Line { account: account.into(), resource: resource.into(), ..Line::default() }
}

fn envelope() -> Envelope<'static> {
    Envelope { tenant: "acme", key_id: "mail-1", sent_ms: 1_700_000_000_000, nonce: "n-1", wants_answer: true }
}

#[test]
fn a_datagram_is_as_the_specification_writes_it() {
    let change = Line { op: Op::Add, count: 2, origin: "dev A".into(), ..line("ann@acme.example", "Käse %") };
    let octets = envelope().write(std::slice::from_ref(&change), KEY).unwrap();
    let text = std::str::from_utf8(&octets).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    assert_eq!(rest, "C ann@acme.example K%C3%A4se%20%25 add 2 dev%20A\n");
    let (head, mac) = head.rsplit_once(' ').unwrap();
    assert_eq!(head, "NE1 acme mail-1 1700000000000 n-1 A");
    // The seal is over the datagram with 32 zeros in its place.
    let zeros = text.replacen(mac, &"0".repeat(32), 1);
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), zeros.as_bytes());
    assert_eq!(from_hex(mac.as_bytes()).unwrap(), expected.as_ref()[..16]);

    let received = Received::parse(&octets).unwrap();
    assert!(received.is_sealed() && received.is_sealed_with(KEY) && received.wants_answer);
    assert_eq!((received.tenant.as_str(), received.key_id.as_str(), received.nonce), ("acme", "mail-1", "n-1"));
    assert_eq!(received.lines().collect::<Vec<_>>(), [Some(change)]);
    assert_eq!(received.answer(1, 0), "NE1-ACK n-1 1 0\n");
}

#[test]
fn a_forged_datagram_is_none() {
    let octets = envelope().write(&[line("ann@acme.example", "INBOX")], KEY).unwrap();
    assert!(!Received::parse(&octets).unwrap().is_sealed_with(b"another"));
    let text = String::from_utf8(octets).unwrap();
    for (from, to) in [("INBOX", "INBOY"), ("acme ", "blue "), ("n-1", "n-2"), ("17000", "17001"), (" A ", " - ")] {
        let forged = text.replacen(from, to, 1);
        assert!(!Received::parse(forged.as_bytes()).unwrap().is_sealed_with(KEY), "{from}");
    }
    let unsealed = "NE1 acme k 1 n - -\nC a@b c\n";
    let received = Received::parse(unsealed.as_bytes()).unwrap();
    assert!(!received.is_sealed() && !received.is_sealed_with(KEY) && !received.is_sealed_with(b""));
}

#[test]
fn a_bad_line_does_not_spoil_the_others() {
    let text = "NE1 acme k 1 n - -\nC a@b c\nC a@b\nX a@b c\n\nC a@b c add\nC a@b c put\nC a@b c add x\nC a@b c add 1 %zz\n\
                C a@b c add 1 d e\nC a@b c  1\nC a@b c - 4294967296\nC a@b c - 7 d\n";
    let received = Received::parse(text.as_bytes()).unwrap();
    let good: Vec<bool> = received.lines().map(|line| line.is_some()).collect();
    assert_eq!(good, [true, false, false, false, true, false, false, false, false, false, false, true]);
}

#[test]
fn what_is_no_datagram_is_named() {
    #[track_caller]
    fn check(text: &str, expected: Ne1Error) {
        assert_eq!(Received::parse(text.as_bytes()).unwrap_err(), expected, "{text}");
    }
    use Ne1Error::{Field, NotOurs, NotText, TooLong};
    check("", NotText);
    check("NE1 acme k 1 n - -", NotText);
    check("NE1 acme k 1 n - -\nC a@b c", NotText);
    check("NE1 acme k 1 n - -\nC a@b \u{e9}\n", NotText);
    check("NE2 acme k 1 n - -\n", NotOurs);
    check("NE1  k 1 n - -\n", Field("tenant"));
    check("NE1 acme %f k 1 n - -\n", Field("key-id"));
    check("NE1 acme k -1 n - -\n", Field("unix-ms"));
    check("NE1 acme k 1234567890123456 n - -\n", Field("unix-ms"));
    check("NE1 acme k 1 n.n - -\n", Field("nonce"));
    check(&format!("NE1 acme k 1 {} - -\n", "n".repeat(33)), Field("nonce"));
    check("NE1 acme k 1 n -A -\n", Field("flags"));
    check("NE1 acme k 1 n -\n", Field("mac"));
    check("NE1 acme k 1 n - - -\n", Field("mac"));
    check(&format!("NE1 acme k 1 n - {}\n", "0".repeat(31)), Field("mac"));
    check(&format!("NE1 acme k 1 n - {}\n", "A".repeat(32)), Field("mac"));
    check(&format!("NE1 acme k 1 n - -\n{}\n", "x".repeat(1_200)), TooLong);
    assert_eq!(envelope().write(&[line("a@b", &"x".repeat(1_200))], KEY).unwrap_err(), Ne1Error::Full(1_280));
}

#[test]
fn its_time_is_ours_within_five_minutes() {
    let octets = envelope().write(&[], KEY).unwrap();
    let received = Received::parse(&octets).unwrap();
    let sent = received.sent_ms;
    for (now, expected) in [(0, true), (WINDOW_MS, true), (-WINDOW_MS, true), (WINDOW_MS + 1, false), (i64::MIN, false)]
    {
        assert_eq!(received.is_of(sent.saturating_add(now)), expected, "{now}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z@.]{1,20}", "[^\u{0}]{1,12}"]
}

proptest! {
    #[test]
    fn datagrams_come_back(lines in vec((texts(), texts(), 0..4_usize, any::<u32>(), "[ -~]{0,12}"), 0..4), nonce in "[A-Za-z0-9_-]{1,32}", tenant in texts(), wants_answer: bool) {
        let ops = [Op::Unsaid, Op::Add, Op::Change, Op::Delete];
        let lines: Vec<Line> = lines.into_iter().map(|(account, resource, op, count, origin)| Line { account, resource, op: ops[op], count, origin }).collect();
        let envelope = Envelope { tenant: &tenant, key_id: "k", sent_ms: 7, nonce: &nonce, wants_answer };
        let octets = envelope.write(&lines, KEY).unwrap();
        let received = Received::parse(&octets).unwrap();
        prop_assert!(received.is_sealed_with(KEY));
        prop_assert_eq!((received.tenant.as_str(), received.nonce, received.wants_answer), (tenant.as_str(), nonce.as_str(), wants_answer));
        prop_assert_eq!(received.lines().collect::<Option<Vec<_>>>(), Some(lines));
    }
}
