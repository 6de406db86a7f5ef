//! A farm node in a process of its own. Knows the command line of the binary.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::{Carillon, PATIENCE, spawn, tail};

/// A Carillon whose modems are driven by a farm node of its own process.
pub(crate) async fn apart(dir: &Path, extra: &str) -> Carillon {
    let config = dir.join("apart.toml");
    std::fs::write(&config, format!("[demo]\ndrive_modems = false\n{extra}")).unwrap();
    Carillon::start_with(&dir.join("data"), Some(&config)).await
}

/// Issues a farm `outside` for the demo's modems and returns its settings file. `router` is where it attaches to.
pub(crate) fn issue_farm(carillon: &Carillon, router: &str) -> PathBuf {
    let data = carillon.data.to_str().unwrap();
    let mut issued = spawn(
        &["--data", data, "issue-farm", "--name", "demo-farm", "--demo-modems", "--router", router],
        &carillon.data.join("issue.log"),
    );
    assert!(issued.wait().unwrap().success(), "{}", tail(&carillon.data.join("issue.log")));
    carillon.data.join("farms/demo-farm/modem-farm.toml")
}

/// A farm's process. It does not outlive the test, failed or not.
pub(crate) struct Farm(Child);

pub(crate) fn start_farm(config: &Path, log: &Path) -> Farm {
    Farm(spawn(&["modem-farm", "--config", config.to_str().unwrap()], log))
}

/// `kill -9`, and waits until it is gone.
pub(crate) fn end(farm: Farm) {
    drop(farm);
}

impl Drop for Farm {
    fn drop(&mut self) {
        drop(self.0.kill()); // it may have ended already
        drop(self.0.wait());
    }
}

pub(crate) async fn wait_until(what: &str, log: &Path, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited until {what}:\n{}", tail(log));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
