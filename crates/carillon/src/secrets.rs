//! The installation's master key: made at the first start, read at every other. Knows one file.

use std::path::Path;

use anyhow::Context;
use model::keyring::MasterKey;
use runtime::Secret;

/// Reads `DIR/keys/master.key`, or makes it if there is none. Whoever has it opens everything: it is readable by its
/// owner only, and losing it loses the content of every message that is kept.
pub(crate) fn master_key(data: &Path) -> anyhow::Result<MasterKey> {
    let directory = data.join("keys");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make directory `{}`", directory.display()))?;
    let path = directory.join("master.key");
    if !path.exists() {
        let secret: [u8; 32] = rand::random();
        let text = format!("{}\n", hex(&secret));
        runtime::secret::write_private(&path, text.as_bytes()).context("cannot write the master key")?;
    }
    let text = Secret::read(&path).context("cannot read the master key")?;
    MasterKey::from_hex(text.expose()).with_context(|| format!("file `{}` is broken", path.display()))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
