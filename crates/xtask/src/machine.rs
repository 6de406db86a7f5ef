//! Sets up what the test command needs beyond Rust and gcc.
//!
//! Knows apt, rustup, Python's venv and pip; must not know what is tested. It installs system packages only as root, and
//! otherwise says the line to type.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::command;

const CLIENTS: &str = include_str!("../python-clients.txt");

/// A Debian package, and how to see that it is there.
struct Package {
    name: &'static str,
    probe: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "gcc", probe: || command::succeeds("cc", &["--version"]) },
    Package { name: "libc6-dev", probe: || command::succeeds("sh", &["-c", "echo '#include <stdio.h>' | cc -E - "]) },
    Package { name: "python3", probe: || command::succeeds("python3", &["--version"]) },
    // Debian's python3 comes without the means to make a venv.
    Package { name: "python3-venv", probe: || command::succeeds("python3", &["-c", "import venv, ensurepip"]) },
    // From here on, what the Kafka client's C library is built with.
    Package { name: "g++", probe: || command::succeeds("c++", &["--version"]) },
    Package { name: "make", probe: || command::succeeds("make", &["--version"]) },
    Package { name: "pkg-config", probe: || command::succeeds("pkg-config", &["--version"]) },
    Package { name: "libssl-dev", probe: || command::succeeds("pkg-config", &["--exists", "openssl"]) },
];

/// What real engines run on.
const JAVA_PACKAGES: &[Package] = &[
    Package { name: "openjdk-17-jdk-headless", probe: || engines::Java::find().is_ok() },
    Package { name: "openssl", probe: || command::succeeds("openssl", &["version"]) },
    Package { name: "maven", probe: || command::succeeds("mvn", &["--version"]) },
];

/// Programs nobody here wrote that read what our codecs write. What else Debian would bring with them is not used.
const ORACLE_PACKAGES: &[Package] = &[
    Package { name: "tshark", probe: || command::succeeds("tshark", &["--version"]) },
    Package { name: "libwbxml2-utils", probe: || command::succeeds("wbxml2xml", &["-h"]) },
    Package { name: "openssl", probe: || command::succeeds("openssl", &["version"]) },
];

/// A mail server that runs the example hook. Debian's package may start a daemon of its own, which nothing here touches.
const DOVECOT_PACKAGES: &[Package] = &[
    Package { name: "dovecot-core", probe: || command::succeeds("/usr/sbin/dovecot", &["--version"]) },
    Package { name: "dovecot-lmtpd", probe: || Path::new("/usr/lib/dovecot/lmtp").exists() },
    Package { name: "dovecot-sieve", probe: || Path::new("/usr/lib/dovecot/modules/lib90_sieve_plugin.so").exists() },
    Package { name: "curl", probe: || command::succeeds("curl", &["--version"]) },
];

/// What the product is compared with. Its daemons live in sbin, which is not in everybody's path.
const KANNEL_PACKAGES: &[Package] =
    &[Package { name: "kannel", probe: || command::succeeds("/usr/sbin/bearerbox", &["--version"]) }];

/// Counts instructions.
const VALGRIND_PACKAGES: &[Package] =
    &[Package { name: "valgrind", probe: || command::succeeds("valgrind", &["--version"]) }];

/// Builds images without a daemon.
const IMAGE_PACKAGES: &[Package] =
    &[Package { name: "buildah", probe: || command::succeeds("buildah", &["--version"]) }];

/// Makes a Debian in a folder.
const DEBIAN_PACKAGES: &[Package] =
    &[Package { name: "mmdebstrap", probe: || command::succeeds("mmdebstrap", &["--version"]) }];

/// Whether Debian may add what it recommends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recommended {
    Too,
    Not,
}

const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// The Python of the test command's own environment.
pub(crate) fn python(root: &Path) -> PathBuf {
    venv(root).join("bin/python")
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |directory| root.join(directory))
}

/// Installs what is missing.
///
/// # Errors
/// Something is missing and we are not root; the error is the line to type. Or a download failed.
pub(crate) fn prepare(root: &Path) -> anyhow::Result<()> {
    prepare_toolchain(root)?;
    let wanted: Vec<&Package> = PACKAGES.iter().chain(JAVA_PACKAGES).collect();
    system_packages(&wanted, Recommended::Too)?;
    let oracles: Vec<&Package> = ORACLE_PACKAGES.iter().chain(DOVECOT_PACKAGES).collect();
    system_packages(&oracles, Recommended::Not)?;
    python_clients(root)
}

/// Installs what engines run on, if it is missing.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_java() -> anyhow::Result<()> {
    let wanted: Vec<&Package> = JAVA_PACKAGES.iter().collect();
    system_packages(&wanted, Recommended::Too)
}

/// Installs Kannel, if it is missing. Debian's package may start a daemon of its own, which nothing here touches.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_kannel() -> anyhow::Result<()> {
    let wanted: Vec<&Package> = KANNEL_PACKAGES.iter().collect();
    system_packages(&wanted, Recommended::Not)
}

/// Installs what counts instructions, if it is missing.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_valgrind() -> anyhow::Result<()> {
    let wanted: Vec<&Package> = VALGRIND_PACKAGES.iter().collect();
    system_packages(&wanted, Recommended::Not)
}

/// Installs what builds images, if it is missing.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_buildah() -> anyhow::Result<()> {
    let wanted: Vec<&Package> = IMAGE_PACKAGES.iter().collect();
    system_packages(&wanted, Recommended::Not)
}

/// Installs what makes a Debian in a folder, if it is missing.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_mmdebstrap() -> anyhow::Result<()> {
    let wanted: Vec<&Package> = DEBIAN_PACKAGES.iter().collect();
    system_packages(&wanted, Recommended::Not)
}

/// Adds what the Rust toolchain lacks.
///
/// # Errors
/// `rustup` could not.
pub(crate) fn prepare_toolchain(root: &Path) -> anyhow::Result<()> {
    for (subcommand, component) in COMPONENTS {
        if command::succeeds("cargo", &[subcommand, "--version"]) {
            continue;
        }
        println!("{component} is missing");
        command::run(root, "rustup", &["component", "add", component])
            .with_context(|| format!("install {component} with the Rust toolchain"))?;
    }
    Ok(())
}

fn system_packages(wanted: &[&Package], recommended: Recommended) -> anyhow::Result<()> {
    let missing: Vec<&str> = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("missing: {}", missing.join(", "));
    let only = if recommended == Recommended::Not { "--no-install-recommends " } else { "" };
    let line = format!("apt-get install --yes {only}{}", missing.join(" "));
    if !rustix::process::geteuid().is_root() || !command::succeeds("apt-get", &["--version"]) {
        bail!("please type: sudo {line}");
    }
    let anywhere = Path::new("/");
    command::run_aside(anywhere, "apt-get", &["update"])?;
    command::run_aside(anywhere, "sh", &["-c", &format!("DEBIAN_FRONTEND=noninteractive {line}")])?;
    let still = self::missing(wanted);
    ensure!(still.is_empty(), "still missing after the installation: {}", still.join(", "));
    Ok(())
}

fn missing(packages: &[&Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !(package.probe)()).map(|package| package.name).collect()
}

/// Makes the environment once, and again when the list of clients has changed.
fn python_clients(root: &Path) -> anyhow::Result<()> {
    let venv = venv(root);
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == CLIENTS) && runs(root) {
        println!("python clients are in {}", venv.display());
        return Ok(());
    }
    let path = venv.to_str().context("the target directory's name is no text")?;
    command::run(root, "python3", &["-m", "venv", "--clear", path])?;
    let list = root.join("crates/xtask/python-clients.txt");
    let list = list.to_str().context("the repository's name is no text")?;
    let python = python(root);
    let python = python.to_str().context("the target directory's name is no text")?;
    let install =
        ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:", "-r", list];
    // One is published as source only; it is pure Python.
    let install = [&install[..], &["--no-binary", "smpp.twisted3"]].concat();
    command::run(root, python, &install)?;
    // Last: an installation that was cut short is made again.
    std::fs::write(&stamp, CLIENTS).with_context(|| format!("cannot write `{}`", stamp.display()))
}

fn runs(root: &Path) -> bool {
    python(root).to_str().is_some_and(|python| {
        command::succeeds(python, &["-c", "import aiosmtpd, suds, zeep, smpp34, smpp.twisted.server"])
    })
}

fn venv(root: &Path) -> PathBuf {
    target(root).join("venv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_missing() {
        let packages = [
            Package { name: "there", probe: || command::succeeds("true", &[]) },
            Package { name: "broken", probe: || command::succeeds("false", &[]) },
            Package { name: "absent", probe: || command::succeeds("no-such-program", &[]) },
        ];
        let packages: Vec<&Package> = packages.iter().collect();
        assert_eq!(missing(&packages), ["broken", "absent"]);
    }

    #[test]
    fn every_client_is_pinned() {
        let lines = CLIENTS.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.clone().count() > 0);
        assert!(lines.clone().all(|line| line.split("==").count() == 2), "{CLIENTS}");
    }
}
