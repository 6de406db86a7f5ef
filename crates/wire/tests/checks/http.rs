//! Templates of HTTP SMS services.

use wire::http_template::{Message, Payload, Template};

use super::{Fields, Vector};

pub(crate) fn template(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["template", "message"]);
    let expected = vector.expected(&["path_and_query"]);
    let message = Fields::of(
        inputs.get("message").expect("a message"),
        &["number", "binary", "pid", "dcs", "udh_hex", "data_hex", "text", "sender", "sender_phonealias", "parts"],
    );
    let data = message.maybe_octets("data_hex").unwrap_or_default();
    let header = message.maybe_octets("udh_hex").unwrap_or_default();
    let payload = if message.flag("binary") {
        Payload::Octets(&data)
    } else {
        Payload::Text(message.maybe_text("text").unwrap_or_default())
    };
    let rendered = Template::parse(inputs.text("template")).unwrap().render(&Message {
        number: message.text("number"),
        payload,
        header: &header,
        pid: message.maybe_number("pid").unwrap_or(0),
        dcs: message.maybe_number("dcs").unwrap_or(0),
        sender: message.maybe_text("sender").unwrap_or_default(),
        sender_phone_alias: message.maybe_text("sender_phonealias").unwrap_or_default(),
        parts: message.maybe_number("parts").unwrap_or(1),
        report: "",
    });
    assert_eq!(rendered.as_deref(), Ok(expected.text("path_and_query")));
}
