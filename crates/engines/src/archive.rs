//! The class-data archive of the brokers: their classes as a JVM maps them, so that a start costs about a third less.
//!
//! Knows how one is made, once for all sets, by a broker that only starts and ends; must not know the sets that use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::credentials::Credentials;
use crate::error::{AboutFile, Result};
use crate::kafka::{self, Ingredients};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::maven::Jars;
use crate::progress::Progress;
use crate::set::{Options, Parts};

const FILE: &str = "kafka.jsa";
const KEY: &str = "kafka.jsa.key";
const START_MAX: Duration = Duration::from_secs(120);
/// The archive is written after SIGTERM.
const END_MAX: Duration = Duration::from_secs(90);

/// What a broker does about the archive.
pub(crate) enum Archive {
    /// Starts with this one.
    Read(PathBuf),
    /// Leaves this one behind when it ends.
    Write(PathBuf),
    /// Does without.
    None,
}

impl Archive {
    /// The option of the JVM.
    pub(crate) fn option(&self) -> Option<String> {
        match self {
            Self::Read(path) => Some(format!("-XX:SharedArchiveFile={}", path.display())),
            Self::Write(path) => Some(format!("-XX:ArchiveClassesAtExit={}", path.display())),
            Self::None => None,
        }
    }

    /// The same for a program that only reads.
    pub(crate) fn to_read(&self) -> &Self {
        if matches!(self, Self::Write(_)) { &Self::None } else { self }
    }

    /// The archive for these jars and this JVM, made if there is none. Brokers start without one, too: if it cannot be made,
    /// that is said, and nothing else happens.
    pub(crate) fn ready(packages: &Path, layout: &Layout, jars: &Jars, progress: &dyn Progress) -> Self {
        // An archive holds for one build of the JVM and one class path.
        let key = format!("{}\n{}", layout.java.version, jars.class_path());
        match ensure(packages, layout, jars, &key, progress) {
            Ok(path) => Self::Read(path),
            Err(error) => {
                progress.says(&format!("brokers start slower, without an archive of their classes: {error}"));
                Self::None
            }
        }
    }
}

fn ensure(packages: &Path, layout: &Layout, jars: &Jars, key: &str, progress: &dyn Progress) -> Result<PathBuf> {
    let _one_at_a_time = Lock::take(packages)?;
    let (path, key_path) = (packages.join(FILE), packages.join(KEY));
    if path.exists() && fs::read_to_string(&key_path).is_ok_and(|kept| kept == key) {
        return Ok(path);
    }
    let what = "kafka: archive classes";
    progress.begins(what);
    let began = Instant::now();
    let made = make(&packages.join("training"), layout, jars)?;
    fs::rename(&made, &path).about("keep", &path)?;
    // Last: an archive without its key is none.
    fs::write(&key_path, key).about("write", &key_path)?;
    progress.ends(what, began.elapsed());
    Ok(path)
}

/// Lets a broker of its own start and end. Not one of a set: at its end it would still be writing when the others are gone,
/// and then wait for their votes.
fn make(folder: &Path, layout: &Layout, jars: &Jars) -> Result<PathBuf> {
    fs::create_dir_all(folder).about("make", folder)?;
    // What was left by one that was cut short has other ids and perhaps other ports.
    if let Some(left) = Layout::read(folder)? {
        kafka::node(folder, &left, 1).kill()?;
        fs::remove_dir_all(folder).about("empty", folder)?;
        fs::create_dir_all(folder).about("make", folder)?;
    }
    let options = Options { brokers: 1, parts: Parts::Kafka, ..Options::default() };
    let alone = Layout::make(folder, &options, layout.java.clone())?;
    alone.write(folder)?;
    let node = kafka::node(folder, &alone, 1);
    let path = folder.join(FILE);
    let credentials = Credentials::of(folder);
    credentials.ensure(&alone.password)?;
    let (archive, credentials) = (&Archive::Write(path.clone()), &credentials);
    kafka::prepare(&node, &alone, &Ingredients { jars, archive, credentials })?;
    node.start()?;
    let started = node.wait_ready(START_MAX);
    node.terminate()?;
    if !node.wait_end(END_MAX) {
        node.kill()?;
        return Err(node.not("through with its archive", END_MAX, "it was killed".to_owned()));
    }
    started.map(|_| path)
}
