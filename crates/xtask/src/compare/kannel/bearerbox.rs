//! Kannel as its operator sets it up: one bearerbox, one smsbox, transceiver binds, reports by HTTP.
//!
//! Knows Kannel's settings and its status page; must not know what is measured.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::compare::centre::{ACCOUNTS, Centre};
use crate::compare::installation::{address, free_ports, shown};
use crate::compare::part::Part;
use crate::process;

const BEARERBOX: &str = "/usr/sbin/bearerbox";
const SMSBOX: &str = "/usr/sbin/smsbox";
const USER: &str = "compare";
/// It is for this installation only, which listens on 127.0.0.1 and ends with the measurement.
const PASSWORD: &str = "compare";
/// Only errors: writing down each message costs a third.
const LOG_LEVEL: u8 = 3;
/// Numbers as the demo's, whose last digits may be any.
const NUMBERS: &str = "+4915112345678,+447700900123";

/// Where messages that are on their way are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file for each, not synced.
    Spool,
    /// In memory.
    None,
}

/// A running Kannel that is bound.
pub(crate) struct Bearerbox {
    folder: PathBuf,
    centre: Centre,
    ports: Ports,
    bearerbox: Part,
    smsbox: Part,
}

#[derive(Clone, Copy)]
struct Ports {
    admin: u16,
    boxes: u16,
    door: u16,
}

impl Bearerbox {
    /// Starts one in an empty folder.
    pub(crate) fn start(folder: PathBuf, centre: Centre, store: Store) -> anyhow::Result<Self> {
        let [admin, boxes, door] = free_ports()?;
        let ports = Ports { admin, boxes, door };
        fs::create_dir(folder.join("spool")).context("the spool's folder")?;
        let (settings, password) = (folder.join("kannel.conf"), folder.join("password"));
        write_private(&settings, &conf(&folder, &centre, ports, store))?;
        write_private(&password, PASSWORD)?;
        let arguments = ["-v".to_owned(), LOG_LEVEL.to_string(), shown(&settings)];
        let mut bearerbox = Part::start("bearerbox", Path::new(BEARERBOX), &arguments, &folder)?;
        let binds = usize::try_from(centre.binds)? * ACCOUNTS.len();
        bearerbox.wait(|| status(ports).is_some_and(|status| status.matches("(online ").count() == binds))?;
        let mut smsbox = Part::start("smsbox", Path::new(SMSBOX), &arguments, &folder)?;
        smsbox.wait(|| status(ports).is_some_and(|status| status.contains("smsbox:")))?;
        smsbox.wait(|| std::net::TcpStream::connect(address(ports.door)).is_ok())?;
        Ok(Self { folder, centre, ports, bearerbox, smsbox })
    }

    /// Its processes and the service centre's, by what the report calls them.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        [&self.bearerbox, &self.smsbox].map(|part| (part.name, part.pid())).into_iter().chain([self.centre.process()])
    }

    /// Where the loader finds everything.
    pub(crate) fn loader_arguments(&self) -> Vec<String> {
        let words = [
            "--door",
            "kannel",
            "--kannel",
            &format!("http://{}", address(self.ports.door)),
            "--user-id",
            USER,
            "--password-file",
            &shown(&self.folder.join("password")),
            "--numbers",
            NUMBERS,
            "--sim-log",
            &shown(&self.centre.record()),
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Stops it in the order it likes.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.smsbox.stop()?;
        self.bearerbox.stop()
    }
}

fn status(ports: Ports) -> Option<String> {
    process::get(&address(ports.admin), &format!("/status.txt?password={PASSWORD}"), "").ok()
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let file = fs::File::options().create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("cannot write `{}`", shown(path)))
}

fn conf(folder: &Path, centre: &Centre, ports: Ports, store: Store) -> String {
    let Ports { admin, boxes, door } = ports;
    let mut text = format!(
        "group = core\nadmin-port = {admin}\nadmin-interface = 127.0.0.1\nadmin-password = {PASSWORD}\n\
         admin-allow-ip = 127.0.0.1\nadmin-deny-ip = \"*.*.*.*\"\nsmsbox-port = {boxes}\nsmsbox-interface = 127.0.0.1\n\
         box-allow-ip = 127.0.0.1\nbox-deny-ip = \"*.*.*.*\"\nlog-level = {LOG_LEVEL}\ndlr-storage = internal\n"
    );
    if store == Store::Spool {
        let _ = write!(text, "store-type = spool\nstore-location = \"{}\"\n", folder.join("spool").display());
    }
    for account in ACCOUNTS.iter().flat_map(|account| (0..centre.binds).map(move |_| account)) {
        let _ = write!(
            text,
            "\ngroup = smsc\nsmsc = smpp\nsmsc-id = {account}\nhost = 127.0.0.1\nport = {}\ntransceiver-mode = true\n\
             smsc-username = {account}\nsmsc-password = \"\"\nsystem-type = \"\"\ninterface-version = 34\n\
             max-pending-submits = {}\n",
            centre.port(),
            centre.window
        );
    }
    let _ = write!(
        text,
        "\ngroup = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {door}\nsendsms-interface = 127.0.0.1\n\
         log-level = {LOG_LEVEL}\n\
         \ngroup = sendsms-user\nusername = {USER}\npassword = {PASSWORD}\ndefault-sender = 1234\nconcatenation = true\n\
         max-messages = 10\n"
    );
    text
}
