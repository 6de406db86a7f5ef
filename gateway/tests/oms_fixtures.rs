//! Requests of the OMS interface with what must be answered, posted to a real gateway over HTTP. Takes the folder with
//! `fixtures.json` and its requests from `CARILLON_OMS_FIXTURES`, else the copy in the repository; loads the profile found
//! there, with each fixture's patch. Where `CARILLON_OMS_RESULTS` names a folder, the result documents are left there for a
//! validator. Must not know the door's inside.

#[path = "oms_fixtures/expect.rs"]
mod expect;
#[path = "oms_fixtures/profile.rs"]
mod profile;
#[path = "oms_fixtures/server.rs"]
mod server;
#[path = "oms_fixtures/tree.rs"]
mod tree;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use server::Server;

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_is_answered_as_it_says() {
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/tests/oms");
    let (folder, results) = (folder("CARILLON_OMS_FIXTURES").unwrap_or(kept), folder("CARILLON_OMS_RESULTS"));
    let manifest = std::fs::read(folder.join("fixtures.json")).expect("a folder with `fixtures.json`");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let fixtures = manifest["fixtures"].as_array().expect("a list of fixtures");
    assert!(!fixtures.is_empty(), "there is something to check");
    let (mut plain, mut failures) = (None, Vec::new());
    for fixture in fixtures {
        let name = fixture["file"].as_str().expect("a file name");
        let patched;
        let server = match fixture.get("profile_patch") {
            Some(patch) => {
                plain = None; // the next one without a patch finds it loaded anew
                patched = Server::start(&profile::merged(&manifest["profile"], patch)).await;
                &patched
            }
            None => {
                if plain.is_none() {
                    plain = Some(Server::start(&manifest["profile"]).await);
                }
                plain.as_ref().expect("it was loaded above")
            }
        };
        match run(server, fixture, &folder).await {
            Ok(Some(document)) => keep(results.as_deref(), name, &document),
            Ok(None) => {}
            Err(reason) => failures.push(format!("{name}: {reason}")),
        }
    }
    // Not by `println`: that is shown only when the test fails.
    writeln!(std::io::stdout(), "{} fixtures checked", fixtures.len()).expect("somebody listens");
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), fixtures.len(), failures.join("\n"));
}

async fn run(server: &Server, fixture: &Value, folder: &Path) -> Result<Option<String>, String> {
    let path = folder.join(fixture["file"].as_str().expect("a file name"));
    let body = std::fs::read(&path).map_err(|error| format!("cannot read the request: {error}"))?;
    let before = server.counts().await;
    let reply = server.post(&fixture["headers"], body).await;
    let document = expect::check(fixture, &reply)?;
    if fixture["expect"]["probe"] == true || fixture["expect"]["kind"] != "result" {
        let after = server.counts().await;
        if before != after {
            return Err(format!("something was queued or counted as a login: {before:?}, then {after:?}"));
        }
    }
    Ok(document)
}

/// Leaves a result document for a validator.
fn keep(results: Option<&Path>, name: &str, document: &str) {
    let Some(results) = results else { return };
    std::fs::create_dir_all(results).expect("a folder for results");
    std::fs::write(results.join(name.replace('/', "-")), document).expect("room for a result");
}
