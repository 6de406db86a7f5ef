//! How a Cassandra node is set up and started.
//!
//! Knows its settings and its JVM's options; must not know processes that run.

use std::fs;
use std::path::Path;

use crate::credentials::Credentials;
use crate::error::{AboutFile, Result};
use crate::java::quoted;
use crate::layout::Layout;
use crate::maven::{Jars, Package};
use crate::node::{ARGUMENTS, Kind, Node, NodeParts};

pub(crate) const PACKAGE: Package = Package { name: "cassandra-5.0.9", pom: include_str!("../cassandra/pom.xml") };

const SETTINGS: &str = include_str!("../cassandra/cassandra.yaml");
const LOGGING: &str = include_str!("../cassandra/logback.xml");
const JVM: &str = include_str!("../cassandra/jvm.args");

/// The CQL node of a set.
pub(crate) fn node(folder: &Path, layout: &Layout) -> Node {
    let ports = layout.ports();
    Node::new(NodeParts {
        kind: Kind::Cassandra,
        name: "cassandra".to_owned(),
        directory: folder.join("cassandra"),
        ports: vec![ports.cql(), ports.storage(), ports.jmx()],
        java: layout.java.program.clone(),
        main: vec!["org.apache.cassandra.service.CassandraDaemon".to_owned()],
    })
}

/// Writes everything the node reads.
pub(crate) fn prepare(node: &Node, layout: &Layout, jars: &Jars, credentials: &Credentials) -> Result<()> {
    let directory = node.directory();
    fs::create_dir_all(directory).about("make", directory)?;
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).about("write", &path)
    };
    write("cassandra.yaml", &settings(layout, credentials))?;
    write("logback.xml", LOGGING)?;
    write(ARGUMENTS, &arguments(layout, directory, jars))
}

fn settings(layout: &Layout, credentials: &Credentials) -> String {
    let (cql, storage) = (layout.ports().cql(), layout.ports().storage());
    // One port for both: TLS is taken where it is offered. It asks no client for a certificate; it could only ask all.
    let own = format!(
        "listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\nnative_transport_port: {cql}\nstorage_port: {storage}\n\
         seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    parameters:\n      \
         - seeds: \"127.0.0.1:{storage}\"\n\
         client_encryption_options:\n  enabled: true\n  optional: true\n  require_client_auth: false\n  \
         ssl_context_factory:\n    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n  \
         keystore: {}\n  truststore: {}\n\n",
        credentials.node().display(),
        credentials.authority().display(),
    );
    own + SETTINGS
}

fn arguments(layout: &Layout, directory: &Path, jars: &Jars) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    let own = [
        "-Dcassandra-foreground=yes".to_owned(),
        format!("-Dcassandra.config=file://{}", file("cassandra.yaml")),
        format!("-Dlogback.configurationFile={}", file("logback.xml")),
        format!("-Dcassandra.storagedir={}", file("data")),
        format!("-Dcassandra.logdir={}", directory.display()),
        format!("-Dcassandra.jmx.local.port={}", layout.ports().jmx()),
        "-cp".to_owned(),
        jars.class_path(),
    ];
    let own: String = own.iter().map(|option| quoted(option)).collect();
    format!("{JVM}{own}")
}
