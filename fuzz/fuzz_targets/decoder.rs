//! One target for each decoder, by the name it is built under. What a decoder is held to is in `decoders`, which the robustness
//! test of `wire` uses too.

#![no_main]

#[path = "../../crates/wire/tests/decoders/mod.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let this = decoders::DECODERS.iter().find(|(name, _)| *name == env!("CARGO_BIN_NAME"));
    let (_, decode) = this.expect("every target is called like its decoder");
    decode(octets);
});
