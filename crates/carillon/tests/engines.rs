//! Engines that are away, half configured, or not this installation's: the process says so, with the setting and the
//! address, and ends in bounded time.

mod support;

use std::process::Command;

/// Runs the binary with these settings and arguments, and returns its exit code and what it said.
fn said(settings: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("settings.toml");
    std::fs::write(&config, settings).unwrap();
    let data = dir.path().join("data");
    let common =
        ["--ops-listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let command = Command::new(env!("CARGO_BIN_EXE_carillon")).args(arguments).args(common).output().unwrap();
    let text = [command.stdout, command.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (command.status.code(), text)
}

#[track_caller]
fn check_refused(settings: &str, arguments: &[&str], parts: &[&str]) {
    let (code, text) = said(settings, arguments);
    assert_eq!(code, Some(1), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not said:\n{text}");
    }
}

/// Servers nobody runs: port 1 refuses.
const AWAY: &str = "[lanes]\nurl = \"kafka://127.0.0.1:1/x\"\n[state]\nurl = \"cql://127.0.0.1:1/x\"\n";

#[test]
fn settings_that_cannot_be_used_name_their_key() {
    let one_inside = "[lanes]\nurl = \"kafka://127.0.0.1:1/x\"\n";
    check_refused(
        one_inside,
        &["gateway"],
        &["`[lanes] url` is `kafka://127.0.0.1:1/x`", "`[state] url` is `embedded:`"],
    );
    check_refused("[lanes]\nurl = \"redis://a/b\"\n", &["gateway"], &["line 2, column 7", "`redis://a/b` is neither"]);
    let more = format!("{AWAY}[sms_router]\nname = \"r\"\n").replace("/x\"\n[state]", "/x\"\nreplication = 1\n[state]");
    check_refused(&more, &["sms-router"], &["`lanes.min_insync_replicas` is `2`, more than `lanes.replication`"]);
    check_refused(&format!("{AWAY}tls = true\n"), &["gateway"], &["`state.tls` is set, so `state.ca_file` must be"]);
}

#[test]
fn a_demo_on_embedded_engines_says_what_to_type() {
    check_refused("", &["demo"], &["`carillon` alone makes the demo"]);
}

#[test]
fn a_process_without_the_master_key_says_where_it_looked() {
    check_refused(AWAY, &["gateway"], &["there is no master key at", "`master_key_file`", "carillon demo"]);
}

#[test]
fn a_router_without_a_certificate_says_how_to_make_one() {
    let settings = format!("{AWAY}[sms_router.control]\nenabled = true\n");
    check_refused(&settings, &["sms-router", "--name", "router-9"], &["carillon issue-router --name router-9"]);
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_build_without_the_engines_says_how_to_get_one() {
    check_refused(AWAY, &["demo"], &["`state.url`", "no engines of a cluster", "--features cluster"]);
    let (code, text) = said(AWAY, &["doctor", "--json"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--features cluster"), "{text}");
}

#[cfg(feature = "cluster")]
#[test]
fn engines_that_are_away_are_waited_for_with_words_and_not_for_ever() {
    let begun = std::time::Instant::now();
    let settings = format!("start_seconds_max = 3\n{AWAY}");
    let words =
        ["cql://127.0.0.1:1/x", "`state.url`", "`start_seconds_max`", "onnection refused", "no CQL node answers"];
    check_refused(&settings, &["demo"], &words);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2), "it waited");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_process_that_waits_lives_is_not_ready_and_stops_when_told() {
    use rustix::process::Signal;
    use support::part::{Part, Role};

    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("settings.toml");
    std::fs::write(&config, AWAY).unwrap();
    let (data, ops) = (dir.path().join("data"), support::cluster::free_port());
    let ops = format!("127.0.0.1:{ops}");
    let words = ["demo", "--ops-listen", &ops, "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let arguments = words.iter().map(|word| (*word).to_owned()).collect();
    let mut part = Part::new(Role::Network, 0, arguments, dir.path().join("log"));
    part.start();
    let client = support::client();
    let begun = std::time::Instant::now();
    let readiness = loop {
        if let Ok(answer) = client.get(format!("http://{ops}/readyz")).send().await {
            assert_eq!(answer.status(), 503);
            let text = answer.text().await.unwrap();
            if text.contains("state.url") {
                break text;
            }
        }
        assert!(begun.elapsed() < support::PATIENCE && !part.has_ended(), "{}", support::tail(&part.log));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(readiness.contains("127.0.0.1:1"), "{readiness}");
    assert_eq!(client.get(format!("http://{ops}/livez")).send().await.unwrap().status(), 200);
    part.signal(Signal::TERM);
    assert_eq!(part.ended().await, Some(1));
    assert!(support::tail(&part.log).contains("told to stop while waiting"), "{}", support::tail(&part.log));
}

/// What needs engines that are there.
#[cfg(feature = "cluster")]
mod cluster {
    use super::*;
    use support::Column;

    /// The JSON array that was said, before what was logged.
    fn array(text: &str) -> Vec<serde_json::Value> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<serde_json::Value>>();
        values.next().expect("something was said").unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[tokio::test]
    async fn an_installation_is_examined_and_keeps_strangers_out() {
        let place = Column::Cluster.place();
        let carillon = place.start().await;
        carillon.send(&carillon.number(0, 1), "to be seen in the lanes").await;
        carillon.settle_all(1).await;
        let settings = std::fs::read_to_string(place.dir().join("cluster.toml")).unwrap();

        let key = carillon.data.join("keys/master.key");
        let own = format!("master_key_file = \"{}\"\n{settings}", key.display());
        let (code, text) = said(&own, &["doctor", "--json"]);
        assert_eq!(code, Some(0), "{text}");
        let findings = array(&text);
        let parts: Vec<&str> = findings.iter().map(|finding| finding["part"].as_str().unwrap()).collect();
        for part in ["settings", "keys", "lanes", "state", "parties"] {
            assert!(parts.contains(&part), "nothing is said of {part}: {text}");
        }
        // One node keeps one copy, and that is not enough to lose it.
        assert!(findings.iter().any(|f| f["part"] == "state" && f["verdict"] == "warning"), "{text}");

        let (code, text) = said(&own, &["lanes", "list", "--json"]);
        assert_eq!(code, Some(0), "{text}");
        let rows = array(&text);
        let accepted: i64 = rows.iter().filter(|r| r["lane"] == "accepted").map(|r| r["next"].as_i64().unwrap()).sum();
        assert!(accepted >= 1, "{text}");
        let (code, text) = said(&own, &["lanes", "dead-letters", "list"]);
        assert_eq!((code, text.contains("0 open")), (Some(0), true), "{text}");
        let (code, text) = said(&own, &["lanes", "dead-letters", "replay", "7"]);
        assert_eq!((code, text.contains("no open dead letter at offset `7`")), (Some(1), true), "{text}");

        let mut away: toml::Table = toml::from_str(&own).unwrap();
        away.insert("start_seconds_max".into(), 8.into());
        away["lanes"]["url"] = "kafka://127.0.0.1:1/x".into();
        let words = ["`kafka://127.0.0.1:1/x`", "`lanes.url`", "`start_seconds_max`", "onnection refused"];
        check_refused(&away.to_string(), &["gateway"], &words);

        let other = place.dir().join("other.key");
        runtime::secret::write_private(&other, format!("{}\n", "ab".repeat(32)).as_bytes()).unwrap();
        let strange = format!("master_key_file = \"{}\"\n{settings}", other.display());
        check_refused(&strange, &["gateway"], &["not the one of this installation", "`master_key_file`"]);
        let (code, text) = said(&strange, &["doctor"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("not the one of this installation"), "{text}");
    }
}
