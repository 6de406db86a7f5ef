//! A farm node in a process of its own. Knows the command line of the binary.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::part::run;
use super::{Carillon, PATIENCE, spawn, tail};

/// The settings of a farm for the demo's modems, issued if it is not yet. `router` is where it attaches to.
pub(crate) fn issue_farm(carillon: &Carillon, router: &str) -> PathBuf {
    let settings = carillon.data.join("farms/demo-farm/modem-farm.toml");
    if !settings.exists() {
        let data = carillon.data.to_str().unwrap();
        let asked = ["--data", data, "issue-farm", "--name", "demo-farm", "--demo-modems", "--router", router];
        run(&asked, &carillon.data.join("issue.log"));
    }
    settings
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
