//! The presentation of a multimedia message: SMIL from slides. Knows what phones show; must not know how parts travel.

use model::record::{Medium, Multimedia, Screen};

use crate::oms::escape::{Place, push_escaped};

/// How long a part is shown that has no slide of its own.
const ALONE_MS: u32 = 5000;

/// Media as the presentation names them: the medium, and the `Content-ID` it travels under.
pub(crate) type Named<'a> = [(&'a Medium, String)];

/// The presentation of the slides there are; of one slide a medium if there are none.
pub(crate) fn write(multimedia: &Multimedia, media: &Named<'_>) -> String {
    let mut out = String::from("<smil><head>");
    let regions = multimedia.screen.as_ref().map(|screen| layout(&mut out, screen)).unwrap_or_default();
    out.push_str("</head><body>");
    for slide in &multimedia.slides {
        begin(&mut out, slide.duration_ms);
        for (tag, id, region) in
            [("img", &slide.image, "Image"), ("text", &slide.text, "Text"), ("audio", &slide.audio, "")]
        {
            let Some((_, name)) = media.iter().find(|(medium, _)| !id.is_empty() && medium.id == *id) else { continue };
            reference(&mut out, tag, name, Some(region).filter(|region| regions.contains(&(*region).to_owned())));
        }
        out.push_str("</par>");
    }
    if multimedia.slides.is_empty() {
        for (medium, name) in media {
            begin(&mut out, ALONE_MS);
            reference(&mut out, tag_of(&medium.content_type), name, None);
            out.push_str("</par>");
        }
    }
    out.push_str("</body></smil>");
    out
}

/// Writes the layout, and says which regions it has. Phones know `Image` and `Text` (OMA MMS conformance).
fn layout(out: &mut String, screen: &Screen) -> Vec<String> {
    out.push_str("<layout><root-layout");
    let (width, height) = (screen.width.to_string(), screen.height.to_string());
    for (name, value) in [("width", &width), ("height", &height), ("background-color", &screen.background)] {
        attribute(out, name, value);
    }
    out.push_str("/>");
    let mut names = Vec::new();
    for region in &screen.regions {
        let name = match region.id.to_ascii_lowercase().as_str() {
            "image" => "Image".to_owned(),
            "text" => "Text".to_owned(),
            _ => region.id.clone(),
        };
        out.push_str("<region");
        let measures =
            [("left", &region.left), ("top", &region.top), ("width", &region.width), ("height", &region.height)];
        for (key, value) in [("id", &name)].into_iter().chain(measures).chain([("fit", &region.fit)]) {
            attribute(out, key, value);
        }
        out.push_str("/>");
        names.push(name);
    }
    out.push_str("</layout>");
    names
}

fn begin(out: &mut String, duration_ms: u32) {
    out.push_str("<par");
    attribute(out, "dur", &format!("{duration_ms}ms"));
    out.push('>');
}

fn reference(out: &mut String, tag: &str, name: &str, region: Option<&str>) {
    out.push('<');
    out.push_str(tag);
    attribute(out, "src", &format!("cid:{name}"));
    attribute(out, "region", region.unwrap_or(""));
    out.push_str("/>");
}

/// An empty one is left out.
fn attribute(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value, Place::Attribute);
    out.push('"');
}

fn tag_of(content_type: &str) -> &'static str {
    match content_type.split('/').next().unwrap_or("").to_ascii_lowercase().as_str() {
        "image" => "img",
        "audio" => "audio",
        "video" => "video",
        _ => "text",
    }
}
