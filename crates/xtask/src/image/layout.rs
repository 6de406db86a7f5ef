//! An image as a folder of blobs.
//!
//! Knows the OCI image layout (image-spec 1.0); must not know what should be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::command;

/// An image of one or more layers.
pub(super) struct Layout {
    /// The manifest's digest, which is the image's name.
    pub(super) digest: String,
    /// Whom it runs as.
    pub(super) user: String,
    labels: BTreeMap<String, String>,
    layers: Vec<PathBuf>,
    /// Every file, in order.
    files: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Blob,
    layers: Vec<Blob>,
}

#[derive(Deserialize)]
struct Settings {
    config: Runtime,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Runtime {
    #[serde(default)]
    user: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Layout {
    /// Reads what the layout says about its one image.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let index: Index = parse(&folder.join("index.json"))?;
        let [image] = &index.manifests[..] else { bail!("`{}` has not one image", folder.display()) };
        let manifest: Manifest = parse(&blob(folder, image)?)?;
        let settings: Settings = parse(&blob(folder, &manifest.config)?)?;
        let layers = manifest.layers.iter().map(|layer| blob(folder, layer)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut files = Vec::new();
        for layer in &layers {
            let listed = command::output(folder, "tar", &["--list", "--gzip", "--file", super::text(layer)?])?;
            files.extend(listed.lines().filter(|name| !name.ends_with('/')).map(str::to_owned));
        }
        files.sort();
        let Runtime { user, labels } = settings.config;
        Ok(Layout { digest: image.digest.clone(), user, labels, layers, files })
    }

    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    pub(super) fn label(&self, name: &str) -> Option<&String> {
        self.labels.get(name)
    }

    /// A file's text.
    pub(super) fn content(&self, file: &str) -> anyhow::Result<String> {
        for layer in &self.layers {
            let arguments = ["--extract", "--to-stdout", "--gzip", "--file", super::text(layer)?, file];
            if let Ok(content) = command::output(Path::new("/"), "tar", &arguments) {
                return Ok(content);
            }
        }
        bail!("there is no `{file}` in the image")
    }

    /// Refuses another image, and says in what they differ.
    pub(super) fn must_equal(&self, other: &Self) -> anyhow::Result<()> {
        if self.digest == other.digest {
            return Ok(());
        }
        let (ours, theirs) = (self.sums()?, other.sums()?);
        let differing: BTreeSet<&String> =
            ours.keys().chain(theirs.keys()).filter(|file| ours.get(*file) != theirs.get(*file)).collect();
        let what = if differing.is_empty() { "what is told of them only".to_owned() } else { format!("{differing:?}") };
        bail!("built twice, two images: {} and {}; they differ in {what}", self.digest, other.digest)
    }

    /// Each file's sum.
    fn sums(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut sums = BTreeMap::new();
        for layer in &self.layers {
            let filter = "--to-command=printf '%s %s\\n' \"$(sha256sum | cut -c -64)\" \"$TAR_FILENAME\"";
            let arguments = ["--extract", "--gzip", filter, "--file", super::text(layer)?];
            let listed = command::output(Path::new("/"), "tar", &arguments)?;
            sums.extend(
                listed.lines().filter_map(|line| line.split_once(' ')).map(|(sum, name)| (name.into(), sum.into())),
            );
        }
        Ok(sums)
    }
}

fn blob(folder: &Path, blob: &Blob) -> anyhow::Result<PathBuf> {
    let (kind, sum) = blob.digest.split_once(':').context("a digest has a kind")?;
    ensure!(sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "`{}` is no digest", blob.digest);
    Ok(folder.join("blobs").join(kind).join(sum))
}

fn parse<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot parse `{}`", path.display()))
}
