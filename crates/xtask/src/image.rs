//! Builds the image from a commit, says what is in it, and tries it: `cargo xtask image`.
//!
//! Knows git, buildah and where things lie; must not know what the program inside does beyond its version.

mod base;
mod layout;
mod sbom;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use crate::{command, machine};

use self::layout::Layout;

/// What the build stage needs beside Rust; the Containerfile installs what its base lacks of them.
const BUILD_PACKAGES: [&str; 5] = ["ca-certificates", "g++", "libssl-dev", "make", "pkg-config"];
/// Where the software bill of materials lies in the build's context and in the image.
const SBOM: &str = "sbom.cdx.json";
const SBOM_INSIDE: &str = "usr/share/doc/carillon/sbom.cdx.json";
/// All there is in the image: what is not named here has no business there.
const FILES: [&str; 7] = [
    "carillon",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "loadtest",
    "usr/share/doc/carillon/LICENSE",
    SBOM_INSIDE,
];

/// Builds the image of all roles from a commit with buildah, as root or not, and runs it. It is left in buildah's store, and in
/// target/image/layout for `skopeo copy oci:target/image/layout docker://…`; what it was made of stands in
/// target/image/sbom.cdx.json (CycloneDX).
#[derive(Args)]
pub(crate) struct Image {
    /// The commit. What is not committed is not in the image.
    #[arg(long, default_value = "HEAD", value_name = "REVISION")]
    revision: String,
    /// What the build stage stands on.
    #[arg(long, value_enum, default_value_t = Base::Registry)]
    base: Base,
    /// Another image of Rust on Debian than the Containerfile's, best by digest: only the same base gives the same image.
    #[arg(long, value_name = "IMAGE", conflicts_with = "base")]
    rust_image: Option<String>,
    /// Builds everything twice, and fails unless both images have the same digest.
    #[arg(long)]
    twice: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Base {
    /// The image of Rust that the Containerfile names, from its registry.
    Registry,
    /// Debian's packages (mmdebstrap) and this machine's Rust, where no registry can be reached.
    Debian,
}

impl Image {
    /// Builds, looks at what came out, and runs `--version` inside.
    ///
    /// # Errors
    /// A program that is not there, with what to install; a build that fails; an image that is not what it should be; two
    /// builds that differ, with the files in which they do.
    pub(crate) fn run(&self, root: &Path) -> anyhow::Result<()> {
        machine::prepare_buildah()?;
        let bench = Bench::prepare(root, &self.revision)?;
        let rust = match (self.base, &self.rust_image) {
            (Base::Debian, _) => Some(base::debian(root, &bench.desk)?),
            (Base::Registry, given) => given.clone(),
        };
        let image = bench.build(rust.as_deref(), "layout")?;
        bench.look(&image)?;
        bench.try_version()?;
        if self.twice {
            image.must_equal(&bench.build(rust.as_deref(), "layout-again")?)?;
            println!("built twice, the same image: {}", image.digest);
        }
        println!("{} is {}\nin {}", bench.tag, image.digest, bench.desk.join("layout").display());
        Ok(())
    }
}

/// A commit, spread out for a build.
struct Bench {
    desk: PathBuf,
    version: String,
    tag: String,
    /// The commit's whole name.
    revision: String,
    /// Seconds since 1970 at which it was made: all that the image says about time.
    moment: String,
}

impl Bench {
    /// The commit's files, every crate it is made of, and the list of them. The network is needed here, and not after.
    fn prepare(root: &Path, revision: &str) -> anyhow::Result<Self> {
        let git = |arguments: &[&str]| command::output(root, "git", arguments).map(|said| said.trim().to_owned());
        let desk = machine::target(root).join("image");
        let context = desk.join("context");
        drop(std::fs::remove_dir_all(&context));
        std::fs::create_dir_all(&context).with_context(|| format!("cannot make `{}`", context.display()))?;
        let revision = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")])?;
        let moment = git(&["show", "--no-patch", "--format=%ct", &revision])?;
        let archive = desk.join("context.tar");
        command::run(root, "git", &["archive", "--output", text(&archive)?, &revision])?;
        command::run(&context, "tar", &["--extract", "--file", text(&archive)?])?;
        let version = version(&context)?;
        let tag = format!("localhost/carillon:{version}");
        let bench = Bench { desk, version, tag, revision, moment };
        bench.vendor(&context)?;
        let list = sbom::list(&context, &bench.version, &bench.revision)?;
        std::fs::write(context.join(SBOM), list).context("cannot write the bill of materials")?;
        Ok(bench)
    }

    /// Puts the crates' sources beside ours, and says so to cargo: the build then needs no network and can't get others.
    fn vendor(&self, context: &Path) -> anyhow::Result<()> {
        println!("$ cargo vendor --locked --versioned-dirs vendor");
        let told = command::output(context, "cargo", &["vendor", "--locked", "--versioned-dirs", "vendor"])?;
        let settings = context.join(".cargo/config.toml");
        let ours = std::fs::read_to_string(&settings).unwrap_or_default();
        std::fs::write(&settings, format!("{ours}\n{told}\n[net]\noffline = true\n"))
            .with_context(|| format!("cannot write `{}`", settings.display()))
    }

    fn build(&self, rust: Option<&str>, name: &str) -> anyhow::Result<Layout> {
        let (revision, version) = (format!("REVISION={}", self.revision), format!("VERSION={}", self.version));
        let day = format!("SOURCE_DATE_EPOCH={}", self.moment);
        let rust = rust.map(|rust| format!("RUST_IMAGE={rust}"));
        // No layers are kept: each build does everything. The builder's own version is none of the image's.
        let mut arguments = vec!["build", "--layers=false", "--identity-label=false", "--timestamp", &self.moment];
        arguments.extend(["--isolation", isolation(), "--build-arg", &revision, "--build-arg", &version]);
        arguments.extend(["--build-arg", &day]);
        if let Some(rust) = &rust {
            arguments.extend(["--build-arg", rust]);
        }
        arguments.extend(["--tag", &self.tag, "."]);
        command::run(&self.desk.join("context"), "buildah", &arguments)?;
        let folder = self.desk.join(name);
        drop(std::fs::remove_dir_all(&folder));
        let place = format!("oci:{}:{}", text(&folder)?, self.version);
        command::run(&self.desk, "buildah", &["push", "--quiet", &self.tag, &place])?;
        Layout::read(&folder)
    }

    /// Whether it is what the chart relies on.
    fn look(&self, image: &Layout) -> anyhow::Result<()> {
        ensure!(image.files() == FILES, "the image should have the files {FILES:?}, and has {:?}", image.files());
        ensure!(image.user == "65532:65532", "the image's user is `{}`", image.user);
        for (label, value) in [("revision", &self.revision), ("version", &self.version)] {
            let found = image.label(&format!("org.opencontainers.image.{label}"));
            ensure!(found == Some(value), "the image's label `{label}` is {found:?}, not `{value}`");
        }
        let list = image.content(SBOM_INSIDE)?;
        ensure!(sbom::is_complete(&list), "the bill of materials has versions that the build did not fill in");
        let place = self.desk.join(SBOM);
        std::fs::write(&place, list).with_context(|| format!("cannot write `{}`", place.display()))
    }

    /// From nothing, as the image's user: a program that is not static would not start.
    fn try_version(&self) -> anyhow::Result<()> {
        let container = command::output(&self.desk, "buildah", &["from", "--pull-never", &self.tag])?;
        let container = container.trim();
        let mut line = vec!["run", "--isolation", isolation(), container, "--"];
        line.extend(["/carillon", "--version"]);
        println!("$ buildah {}", line.join(" "));
        let said = command::output(&self.desk, "buildah", &line);
        command::run(&self.desk, "buildah", &["rm", container])?;
        let said = said?;
        println!("{}", said.trim());
        ensure!(said.contains(&self.version), "`carillon --version` said `{}`, not `{}`", said.trim(), self.version);
        Ok(())
    }
}

/// Without a word from the user, the way that needs neither a daemon nor rights, also inside another container.
fn isolation() -> &'static str {
    match std::env::var("BUILDAH_ISOLATION").as_deref() {
        Ok("oci") => "oci",
        Ok("rootless") => "rootless",
        _ => "chroot",
    }
}

fn version(context: &Path) -> anyhow::Result<String> {
    let path = context.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let manifest: toml::Table =
        toml::from_str(&manifest).with_context(|| format!("cannot parse `{}`", path.display()))?;
    let version = manifest.get("workspace").and_then(|table| table.get("package")?.get("version")?.as_str());
    version.map(str::to_owned).context("the workspace has no version")
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is no text")
}
