//! The packages of an engine, fetched once by Maven.
//!
//! Knows poms and folders of jars; must not know what the jars do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{AboutFile, EnginesError, Result};
use crate::lock::Lock;
use crate::program;
use crate::progress::Progress;

const FETCH_MAX: Duration = Duration::from_secs(600);

/// What to fetch: a name with a version, and the pom that says it to Maven.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) pom: &'static str,
}

/// The jars of a package, in a fixed order.
#[derive(Clone, Debug)]
pub(crate) struct Jars(Vec<PathBuf>);

impl Jars {
    /// The jars joined as a JVM wants them. Never a wildcard: its order is the file system's, and a class-data archive
    /// holds for one order.
    pub(crate) fn class_path(&self) -> String {
        let texts: Vec<String> = self.0.iter().map(|jar| jar.display().to_string()).collect();
        texts.join(":")
    }
}

impl Package {
    /// The jars below `home`; fetched if they are not there yet, or were fetched by another pom.
    pub(crate) fn fetch(&self, home: &Path, progress: &dyn Progress) -> Result<Jars> {
        let _one_at_a_time = Lock::take(home)?;
        let folder = home.join(self.name);
        let complete = folder.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|pom| pom == self.pom) {
            return jars(&folder.join("libs"));
        }
        let what = format!("{}: fetch packages", self.name);
        progress.begins(&what);
        let began = Instant::now();
        if folder.exists() {
            fs::remove_dir_all(&folder).about("empty", &folder)?;
        }
        fs::create_dir_all(&folder).about("make", &folder)?;
        fs::write(folder.join("pom.xml"), self.pom).about("write", &folder)?;
        self.run_maven(&folder)?;
        let jars = jars(&folder.join("libs"))?;
        // Last: what was cut short is fetched again.
        fs::write(&complete, self.pom).about("write", &complete)?;
        progress.ends(&what, began.elapsed());
        Ok(jars)
    }

    fn run_maven(&self, folder: &Path) -> Result<()> {
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "--no-transfer-progress", "dependency:copy-dependencies"]);
        maven.current_dir(folder);
        let done = program::run(&mut maven, &folder.join("maven.log"), FETCH_MAX);
        done.map_err(|why| EnginesError::Packages { what: self.name.to_owned(), why })
    }
}

fn jars(folder: &Path) -> Result<Jars> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).about("read", folder)? {
        let path = entry.about("read", folder)?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            found.push(path);
        }
    }
    found.sort();
    Ok(Jars(found))
}
