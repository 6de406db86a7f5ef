//! Compiles the contract without protoc.

fn main() {
    println!("cargo:rerun-if-changed=proto/control.proto");
    let files = protox::compile(["control.proto"], ["proto"]).expect("the contract compiles");
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(["Key", "Receipt", "Inbound"].map(|name| format!(".carillon.control.v1.{name}")))
        .compile_fds(files)
        .expect("the contract becomes code");
}
