//! The slides of a multimedia message, a small part of SMIL. Knows their structure; must not know the media.

use super::document::{ReadError, children, required, required_number, set};
use crate::oms::xml::{Element, Pull};
use std::borrow::Cow;

/// The phone's screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout<'a> {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// A colour as SMIL writes it.
    pub background: Cow<'a, str>,
    /// Where the picture and the text go; one or two.
    pub regions: Vec<Region<'a>>,
}

/// A part of the screen, measured as SMIL does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<'a> {
    /// `image` or `text`.
    pub id: Cow<'a, str>,
    pub left: Cow<'a, str>,
    pub top: Cow<'a, str>,
    pub width: Cow<'a, str>,
    pub height: Cow<'a, str>,
    pub fit: Option<Cow<'a, str>>,
}

/// One slide: what is shown and played at the same time. The links are as written, `cid:` included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slide<'a> {
    /// The vendor's schema note says seconds, every example milliseconds; taken as milliseconds.
    pub duration_ms: u32,
    pub image: Option<Cow<'a, str>>,
    pub text: Option<Cow<'a, str>>,
    pub audio: Option<Cow<'a, str>>,
}

/// A message in slides; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slides<'a> {
    pub layout: Option<Layout<'a>>,
    pub slides: Vec<Slide<'a>>,
}

/// Reads the `mmsSlides` just started.
pub(super) fn read<'a>(pull: &mut Pull<'a>) -> Result<Slides<'a>, ReadError> {
    let (mut head, mut body) = (None, None);
    children(pull, |pull, child| match child.local {
        "head" => set(&mut head, read_head(pull)?),
        "body" => set(&mut body, read_body(pull)?),
        _ => Ok(false),
    })?;
    let slides = body.filter(|slides: &Vec<_>| !slides.is_empty()).ok_or(ReadError::Wrong)?;
    Ok(Slides { layout: head, slides })
}

fn read_head<'a>(pull: &mut Pull<'a>) -> Result<Layout<'a>, ReadError> {
    let mut layout = None;
    children(pull, |pull, child| match child.local {
        "meta" => {
            required(child, "name")?;
            required(child, "content")?;
            Ok(false)
        }
        "layout" => set(&mut layout, read_layout(pull)?),
        _ => Ok(false),
    })?;
    layout.ok_or(ReadError::Wrong)
}

fn read_layout<'a>(pull: &mut Pull<'a>) -> Result<Layout<'a>, ReadError> {
    let (mut screen, mut regions) = (None, Vec::new());
    children(pull, |_, child| match child.local {
        "root-layout" => {
            let (width, height) = (required_number(child, "width")?, required_number(child, "height")?);
            set(&mut screen, (width, height, required(child, "background-color")?))?;
            Ok(false) // whatever is inside is passed over
        }
        "region" => {
            regions.push(region(child)?);
            Ok(false)
        }
        _ => Ok(false),
    })?;
    let (width, height, background) = screen.ok_or(ReadError::Wrong)?;
    let layout = Layout { width, height, background, regions };
    if (1..=2).contains(&layout.regions.len()) { Ok(layout) } else { Err(ReadError::Wrong) }
}

fn region<'a>(element: &Element<'a>) -> Result<Region<'a>, ReadError> {
    let id = required(element, "id")?;
    if !matches!(id.as_ref(), "image" | "text") {
        return Err(ReadError::Wrong);
    }
    Ok(Region {
        id,
        left: required(element, "left")?,
        top: required(element, "top")?,
        width: required(element, "width")?,
        height: required(element, "height")?,
        fit: element.attribute("fit"),
    })
}

fn read_body<'a>(pull: &mut Pull<'a>) -> Result<Vec<Slide<'a>>, ReadError> {
    let mut slides = Vec::new();
    children(pull, |pull, child| {
        if child.local != "par" {
            return Ok(false);
        }
        slides.push(read_slide(pull, required_number(child, "dur")?)?);
        Ok(true)
    })?;
    Ok(slides)
}

fn read_slide<'a>(pull: &mut Pull<'a>, duration_ms: u32) -> Result<Slide<'a>, ReadError> {
    let mut slide = Slide { duration_ms, ..Slide::default() };
    children(pull, |_, child| {
        let slot = match child.local {
            "img" => &mut slide.image,
            "text" => &mut slide.text,
            "audio" => &mut slide.audio,
            _ => return Ok(false),
        };
        if child.local != "audio" {
            required(child, "region")?;
        }
        set(slot, required(child, "src")?)?;
        Ok(false)
    })?;
    Ok(slide)
}
