//! Certificates and a password for the engines' locked doors, made once a set by `openssl`.
//!
//! Knows the files of the folder `tls`; must not know which door wants which. All of it is for tests on one machine: nothing
//! outside the set trusts this authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{AboutFile, EnginesError, Result};
use crate::program;

const SETTINGS: &str = include_str!("../tls/openssl.cnf");
const OPENSSL_MAX: Duration = Duration::from_secs(60);
const DAYS: &str = "3650";

/// The user of the door with a password.
pub const USER: &str = "carillon";

/// The files of a set's folder `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    pub(crate) fn of(set: &Path) -> Self {
        Self { folder: set.join("tls") }
    }

    /// The folder with all of them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate that signed all others: `ca.crt`.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A client's certificate: `client.crt`.
    pub fn client_certificate(&self) -> PathBuf {
        self.folder.join("client.crt")
    }

    /// The key to the client's certificate, PKCS#8: `client.key`.
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    /// The password of [`USER`], without a line end: `password`.
    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// The engines' own key and certificates in one file.
    pub(crate) fn node(&self) -> PathBuf {
        self.folder.join("node.pem")
    }

    /// Makes what is not there.
    pub(crate) fn ensure(&self, password: &str) -> Result<()> {
        // Written last.
        if self.password_file().exists() {
            return Ok(());
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).about("empty", &self.folder)?;
        }
        fs::create_dir_all(&self.folder).about("make", &self.folder)?;
        self.write("openssl.cnf", SETTINGS)?;
        self.openssl("ca", &["-extensions", "authority", "-subj", "/CN=carillon engines"])?;
        for name in ["node", "client"] {
            let subject = format!("/CN={name}");
            self.openssl(name, &["-extensions", "leaf", "-subj", &subject, "-CA", "ca.crt", "-CAkey", "ca.key"])?;
        }
        let parts = ["node.key", "node.crt", "ca.crt"].map(|name| self.read(name));
        let whole: Result<String> = parts.into_iter().collect();
        self.write("node.pem", &whole?)?;
        self.write("user", USER)?;
        self.write("password", password)
    }

    fn openssl(&self, name: &str, rest: &[&str]) -> Result<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-config",
            "openssl.cnf",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        command.args(["-nodes", "-days", DAYS, "-keyout", &key, "-out", &certificate]).args(rest);
        let done = program::run(command.current_dir(&self.folder), &self.folder.join("openssl.log"), OPENSSL_MAX);
        done.map_err(|why| EnginesError::Certificate { name: name.to_owned(), why })
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).about("read", &path)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).about("write", &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_made_once_and_fit_together() {
        let set = tempfile::tempdir().unwrap();
        let credentials = Credentials::of(set.path());
        credentials.ensure("secret").unwrap();
        let key = fs::read_to_string(credentials.client_key()).unwrap();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8, or Kafka does not read it");
        for certificate in [credentials.client_certificate(), credentials.node()] {
            let mut verify = Command::new("openssl");
            verify.arg("verify").arg("-CAfile").arg(credentials.authority()).arg(certificate);
            assert!(verify.output().unwrap().status.success());
        }
        credentials.ensure("other").unwrap();
        assert_eq!(fs::read_to_string(credentials.client_key()).unwrap(), key);
        assert_eq!(fs::read_to_string(credentials.password_file()).unwrap(), "secret");
    }
}
