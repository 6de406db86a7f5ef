//! The slides of a multimedia message, a small part of SMIL. Knows their structure; must not know the media.

use super::document::{ReadError, children, required, required_number, set};
use crate::oms::xml::{Element, Pull};
use std::borrow::Cow;

/// The phone's screen in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub width: u32,
    pub height: u32,
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
    pub layout: Option<Layout>,
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

fn read_head(pull: &mut Pull<'_>) -> Result<Layout, ReadError> {
    let mut layout = None;
    children(pull, |pull, child| match child.local {
        "layout" => set(&mut layout, read_layout(pull)?),
        _ => Ok(false),
    })?;
    layout.ok_or(ReadError::Wrong)
}

fn read_layout(pull: &mut Pull<'_>) -> Result<Layout, ReadError> {
    let (mut layout, mut regions) = (None, 0);
    children(pull, |_, child| match child.local {
        "root-layout" => {
            let (width, height) = (required_number(child, "width")?, required_number(child, "height")?);
            required(child, "background-color")?;
            set(&mut layout, Layout { width, height })?;
            Ok(false) // whatever is inside is passed over
        }
        "region" => {
            regions += 1;
            check_region(child)?;
            Ok(false)
        }
        _ => Ok(false),
    })?;
    layout.filter(|_| (1..=2).contains(&regions)).ok_or(ReadError::Wrong)
}

fn check_region(region: &Element<'_>) -> Result<(), ReadError> {
    for name in ["left", "top", "width", "height"] {
        required(region, name)?;
    }
    match required(region, "id")?.as_ref() {
        "image" | "text" => Ok(()),
        _ => Err(ReadError::Wrong),
    }
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
