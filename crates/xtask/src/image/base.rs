//! A base for the build stage out of Debian's packages and this machine's Rust, where no registry can be reached.
//!
//! Knows mmdebstrap and what a toolchain consists of; must not know what is built on it.

use std::path::Path;

use anyhow::Context as _;

use crate::{command, machine};

use super::{BUILD_PACKAGES, isolation, text};

/// The release that the Containerfile's own base is of.
const RELEASE: &str = "bookworm";
const SOURCES: [&str; 3] = [
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
];
const RECIPE: &str = "\
FROM scratch
ADD debian.tar /
COPY rust /usr/local/rust
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
";

/// Makes it, and says its name. It is kept: a build tomorrow stands on the same packages, unless the image is removed.
pub(super) fn debian(root: &Path, desk: &Path) -> anyhow::Result<String> {
    let compiler = command::output(root, "rustc", &["--version"])?;
    let number = compiler.split_whitespace().nth(1).context("rustc does not say its version")?;
    let name = format!("localhost/carillon-build:{RELEASE}-rust-{number}");
    if command::succeeds("buildah", &["inspect", "--type", "image", &name]) {
        println!("the build stands on {name}, which is there");
        return Ok(name);
    }
    machine::prepare_mmdebstrap()?;
    let folder = desk.join("base");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    packages(&folder)?;
    toolchain(root, &folder.join("rust"))?;
    let recipe = folder.join("Containerfile");
    std::fs::write(&recipe, RECIPE).with_context(|| format!("cannot write `{}`", recipe.display()))?;
    let build = ["build", "--layers=false", "--isolation", isolation(), "--tag", &name, "."];
    command::run(&folder, "buildah", &build)?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    Ok(name)
}

/// Without devices: a container has its own, and only root may make them.
fn packages(folder: &Path) -> anyhow::Result<()> {
    let include = format!("--include={}", BUILD_PACKAGES.join(","));
    let mut arguments = vec!["--variant=minbase", "--skip=output/dev", "--quiet", &include, RELEASE, "debian.tar"];
    arguments.extend(SOURCES);
    command::run(folder, "mmdebstrap", &arguments)
}

/// What compiles, of the toolchain that runs this: neither documents nor other machines' libraries.
fn toolchain(root: &Path, to: &Path) -> anyhow::Result<()> {
    let from = command::output(root, "rustc", &["--print", "sysroot"])?;
    let from = Path::new(from.trim());
    let host = command::output(root, "rustc", &["--print", "host-tuple"])?;
    let libraries = format!("lib/rustlib/{}", host.trim());
    for part in ["bin/cargo", "bin/rustc", &libraries] {
        copy(&from.join(part), &to.join(part))?;
    }
    // The compiler's own shared objects.
    let lib = from.join("lib");
    for entry in std::fs::read_dir(&lib).with_context(|| format!("cannot read `{}`", lib.display()))? {
        let path = entry.with_context(|| format!("cannot read `{}`", lib.display()))?.path();
        if path.is_file() {
            copy(&path, &to.join("lib").join(path.file_name().context("a file has a name")?))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    command::output(folder, "cp", &["--archive", "--", text(from)?, text(to)?]).map(drop)
}
