//! The contract only grows: what routers and farms of an earlier version say means the same to this one.
//!
//! Knows what a message looks like on the wire; `kept/` has the contract of each version, never edited.

use std::collections::BTreeMap;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor};

/// What the wire knows of a contract: by place, what is there.
fn facts(name: &str, folder: &str) -> BTreeMap<String, String> {
    let files = protox::compile([name], [folder]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    let mut facts = BTreeMap::new();
    for message in pool.all_messages() {
        facts.insert(message.full_name().to_owned(), "message".to_owned());
        facts.extend(
            message.fields().map(|field| (format!("{}#{}", message.full_name(), field.number()), told(&field))),
        );
    }
    for kind in pool.all_enums() {
        let place = |number| format!("{}#{number}", kind.full_name());
        facts.extend(kind.values().map(|value| (place(value.number()), value.name().to_owned())));
    }
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let (input, output) = (method.input(), method.output());
        let streams = (method.is_client_streaming(), method.is_server_streaming());
        let told = format!("{} to {}, streams {streams:?}", input.full_name(), output.full_name());
        facts.insert(method.full_name().to_owned(), told);
    }
    facts
}

fn told(field: &FieldDescriptor) -> String {
    let choice = field.containing_oneof().map(|choice| format!(", one of `{}`", choice.name()));
    format!("{} {:?} {:?}{}", field.name(), field.cardinality(), field.kind(), choice.unwrap_or_default())
}

/// What of the earlier contract is another thing in the later one, or is gone.
fn broken(earlier: &BTreeMap<String, String>, later: &BTreeMap<String, String>) -> Vec<String> {
    let is_broken = |(place, told): &(&String, &String)| later.get(*place) != Some(*told);
    let say = |(place, told): (&String, &String)| format!("{place} was `{told}`, is {:?}", later.get(place));
    earlier.iter().filter(is_broken).map(say).collect()
}

#[test]
fn nothing_that_was_said_means_something_else() {
    let now = facts("control.proto", "proto");
    let kept = facts("control-0.1.0.proto", "tests/kept");
    assert!(kept.len() > 100, "the contract of 0.1.0 was read: {}", kept.len());
    assert_eq!(broken(&kept, &now), Vec::<String>::new());
}

#[test]
fn another_type_another_number_and_another_meaning_are_seen() {
    let kept = facts("control-0.1.0.proto", "tests/kept");
    let text = std::fs::read_to_string("tests/kept/control-0.1.0.proto").unwrap();
    for (from, to) in [
        ("string farm = 1; // as", "bytes farm = 1; // as"),
        ("bool open = 3;", "bool open = 4;"),
        ("Forget forget = 5;", "Cancel forget = 5;"),
        ("repeated uint64 numbers = 1;", "uint64 numbers = 1;"),
        ("SENT = 1;", "SENT = 4;"),
        ("uint64 weight = 3;", ""),
        ("returns (stream RouterToFarm)", "returns (RouterToFarm)"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("changed.proto"), changed).unwrap();
        let changed = facts("changed.proto", folder.path().to_str().unwrap());
        assert!(!broken(&kept, &changed).is_empty(), "`{from}` became `{to}`, and nobody noticed");
    }
}
