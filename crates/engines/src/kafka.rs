//! How a Kafka broker is set up and started.
//!
//! Knows its settings, its storage tool and its class-data archive; must not know processes that run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::archive::Archive;
use crate::credentials::{Credentials, USER};
use crate::error::{AboutFile, EnginesError, Result};
use crate::java::quoted;
use crate::layout::Layout;
use crate::maven::{Jars, Package};
use crate::node::{ARGUMENTS, Kind, Node, NodeParts};
use crate::program;

pub(crate) const PACKAGE: Package = Package { name: "kafka-4.3.1", pom: include_str!("../kafka/pom.xml") };

const SETTINGS: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");

const FORMAT_MAX: Duration = Duration::from_secs(90);
/// As [`ARGUMENTS`], for the storage tool.
const FORMAT_ARGUMENTS: &str = "format.args";

const HEAP_ONE_MIB: u32 = 128;
/// Replication takes more.
const HEAP_OF_MANY_MIB: u32 = 192;

/// The broker as a node of a set.
pub(crate) fn node(folder: &Path, layout: &Layout, id: u8) -> Node {
    let (name, ports) = (format!("kafka-{id}"), layout.ports());
    Node::new(NodeParts {
        kind: Kind::Kafka { id },
        directory: folder.join(&name),
        name,
        ports: vec![ports.broker(id), ports.controller(id), ports.broker_tls(id), ports.broker_sasl(id)],
        java: layout.java.program.clone(),
        main: vec!["kafka.Kafka".to_owned(), "server.properties".to_owned()],
    })
}

/// What a broker is made of, besides its layout.
pub(crate) struct Ingredients<'a> {
    pub(crate) jars: &'a Jars,
    pub(crate) archive: &'a Archive,
    pub(crate) credentials: &'a Credentials,
}

/// Writes everything a broker reads, and formats its storage unless that was done before.
pub(crate) fn prepare(node: &Node, layout: &Layout, with: &Ingredients) -> Result<()> {
    let Ingredients { jars, archive, credentials } = with;
    let Kind::Kafka { id } = node.kind() else { return Ok(()) };
    let directory = node.directory();
    fs::create_dir_all(directory).about("make", directory)?;
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).about("write", &path)
    };
    write("server.properties", &settings(layout, id, directory, credentials))?;
    write("log4j2.properties", LOGGING)?;
    write(FORMAT_ARGUMENTS, &arguments(directory, jars, HEAP_ONE_MIB, archive.to_read()))?;
    let heap_mib = if layout.brokers == 1 { HEAP_ONE_MIB } else { HEAP_OF_MANY_MIB };
    write(ARGUMENTS, &arguments(directory, jars, heap_mib, archive))?;
    // Our own mark and not a file of Kafka's: what was cut short is done again, from nothing.
    let formatted = directory.join("formatted");
    if !formatted.exists() {
        format(node, layout)?;
        fs::write(&formatted, "").about("write", &formatted)?;
    }
    Ok(())
}

/// Copies of a record: three if there are as many brokers.
pub(crate) fn replication(brokers: u8) -> u8 {
    brokers.min(3)
}

fn settings(layout: &Layout, id: u8, directory: &Path, credentials: &Credentials) -> String {
    let ports = layout.ports();
    let controllers: Vec<String> =
        (1..=layout.brokers).map(|id| format!("127.0.0.1:{}", ports.controller(id))).collect();
    let replication = replication(layout.brokers);
    // One copy may be away without a stop, if there are three.
    let in_sync_min = if replication > 2 { 2 } else { 1 };
    let door = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let doors = [
        door("PLAINTEXT", ports.broker(id)),
        door("SSL", ports.broker_tls(id)),
        door("SASL_SSL", ports.broker_sasl(id)),
        door("CONTROLLER", ports.controller(id)),
    ];
    let doors = doors.join(",");
    let (own, authority) = (credentials.node(), credentials.authority());
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={id}\n\
         controller.quorum.bootstrap.servers={}\n\
         listeners={doors}\nadvertised.listeners={doors}\n\
         ssl.keystore.location={}\nssl.truststore.location={}\nlog.dirs={}\n",
        controllers.join(","),
        own.display(),
        authority.display(),
        directory.join("data").display(),
    );
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        let _ = writeln!(text, "{topic}.replication.factor={replication}");
    }
    for prefix in ["", "transaction.state.log.", "share.coordinator.state.topic."] {
        let key = if prefix.is_empty() { "min.insync.replicas" } else { "min.isr" };
        let _ = writeln!(text, "{prefix}{key}={in_sync_min}");
    }
    let _ = writeln!(text, "default.replication.factor={replication}\n");
    text + SETTINGS
}

fn arguments(directory: &Path, jars: &Jars, heap_mib: u32, archive: &Archive) -> String {
    let heap = format!("-Xmx{heap_mib}m");
    let logging = format!("-Dlog4j2.configurationFile={}", directory.join("log4j2.properties").display());
    let fixed = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-Xms64m"];
    let mut options: Vec<String> = fixed.map(str::to_owned).into();
    options.extend([heap, logging]);
    options.extend(archive.option());
    options.extend(["-cp".to_owned(), jars.class_path()]);
    options.iter().map(|option| quoted(option)).collect()
}

fn format(node: &Node, layout: &Layout) -> Result<()> {
    let directory = node.directory();
    let data = directory.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).about("empty", &data)?;
    }
    let mut tool = Command::new(&layout.java.program);
    tool.arg(format!("@{FORMAT_ARGUMENTS}"));
    tool.args(["kafka.tools.StorageTool", "format", "--config", "server.properties"]);
    tool.args(["--cluster-id", &layout.cluster_id]).args(voters(layout));
    tool.args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={}]", layout.password)])
        .current_dir(directory);
    let done = program::run(&mut tool, &directory.join("format.log"), FORMAT_MAX);
    done.map_err(|why| EnginesError::Format { node: node.name().to_owned(), why })
}

/// Who votes for the controller, from the first moment on.
fn voters(layout: &Layout) -> Vec<String> {
    if layout.brokers == 1 {
        return vec!["--standalone".to_owned()];
    }
    let voters: Vec<String> = (1..=layout.brokers)
        .zip(&layout.directory_ids)
        .map(|(id, directory)| format!("{id}@127.0.0.1:{}:{directory}", layout.ports().controller(id)))
        .collect();
    vec!["--initial-controllers".to_owned(), voters.join(",")]
}
