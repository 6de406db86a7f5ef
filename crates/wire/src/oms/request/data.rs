//! Reads `xmsUser` and `xmsData`. Knows their elements; must not know batches.

use super::document::{ReadError, children, end, required, root, set, text_into, trimmed, trimmed_str};
use super::{Content, Credentials, Format, InvalidFormat, Slides, XmsData, XmsUser, open, slides};
use crate::oms::date_time::ScheduledAt;
use crate::oms::xml::{Element, Limits, Pull};
use std::borrow::Cow;

pub(super) fn parse_user<'a>(argument: &'a str, limits: &Limits) -> Result<XmsUser<'a>, InvalidFormat> {
    let mut pull = open(argument, limits)?;
    let root = root(&mut pull, "xmsUser")?;
    let credentials = credentials(&mut pull)?;
    end(&mut pull)?;
    Ok(XmsUser { client: root.attribute("client"), credentials })
}

pub(super) fn parse<'a>(argument: &'a str, limits: &Limits) -> Result<XmsData<'a>, InvalidFormat> {
    let mut pull = open(argument, limits)?;
    let root = root(&mut pull, "xmsData")?;
    let data = data(&mut pull, &root)?;
    end(&mut pull)?;
    Ok(data)
}

/// Reads the `xmsData` just started.
pub(super) fn data<'a>(pull: &mut Pull<'a>, element: &Element<'a>) -> Result<XmsData<'a>, ReadError> {
    let (mut user, mut head, mut body) = (None, None, None);
    children(pull, |pull, child| match child.local {
        "user" => set(&mut user, credentials(pull)?),
        "xmsHead" => set(&mut head, Head::read(pull)?),
        "xmsBody" => set(&mut body, Body::read(pull, child)?),
        _ => Ok(false),
    })?;
    let (Some(head), Some(body)) = (head, body) else {
        return Err(ReadError::Wrong); // without a head there is no recipient
    };
    Ok(XmsData {
        client: element.attribute("client"),
        credentials: user.unwrap_or_default(),
        scheduled: head.scheduled,
        required_service: head.required_service.map(trimmed),
        source_type: head.source_type.map(trimmed),
        recipients: head.recipients,
        subject: head.subject,
        format: body.format,
        slides: body.slides,
        contents: body.contents,
    })
}

/// `user` and `xmsUser` share their children; `replyPhone` and `customData` are of no use here.
fn credentials<'a>(pull: &mut Pull<'a>) -> Result<Credentials<'a>, ReadError> {
    let (mut user_id, mut password) = (None, None);
    children(pull, |pull, child| match child.local {
        "userId" => text_into(pull, &mut user_id),
        "password" => text_into(pull, &mut password),
        _ => Ok(false),
    })?;
    Ok(Credentials { user_id: trimmed(user_id.unwrap_or_default()), password: password.unwrap_or_default() })
}

#[derive(Default)]
struct Head<'a> {
    scheduled: Option<ScheduledAt>,
    required_service: Option<Cow<'a, str>>,
    source_type: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    recipients: Vec<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    fn read(pull: &mut Pull<'a>) -> Result<Self, ReadError> {
        let mut head = Self::default();
        let (mut scheduled, mut to) = (None, None);
        children(pull, |pull, child| match child.local {
            "scheduled" => text_into(pull, &mut scheduled),
            "requiredService" => text_into(pull, &mut head.required_service),
            "sourceType" => text_into(pull, &mut head.source_type),
            "subject" => text_into(pull, &mut head.subject),
            "to" => set(&mut to, recipients(pull)?),
            _ => Ok(false),
        })?;
        head.recipients = to.filter(|recipients| !recipients.is_empty()).ok_or(ReadError::Wrong)?;
        head.scheduled = match scheduled {
            Some(text) => Some(ScheduledAt::parse(&text).ok_or(ReadError::Wrong)?),
            None => None,
        };
        Ok(head)
    }
}

fn recipients<'a>(pull: &mut Pull<'a>) -> Result<Vec<Cow<'a, str>>, ReadError> {
    let mut recipients = Vec::with_capacity(1);
    children(pull, |pull, child| {
        if child.local != "recipient" {
            return Ok(false);
        }
        recipients.push(pull.leaf_text()?.ok_or(ReadError::Wrong)?);
        Ok(true)
    })?;
    Ok(recipients)
}

struct Body<'a> {
    format: Format,
    slides: Option<Slides<'a>>,
    contents: Vec<Content<'a>>,
}

impl<'a> Body<'a> {
    fn read(pull: &mut Pull<'a>, element: &Element<'a>) -> Result<Self, ReadError> {
        let format = match trimmed_str(&required(element, "format")?) {
            sms if sms.eq_ignore_ascii_case("SMS") => Format::Sms,
            mms if mms.eq_ignore_ascii_case("MMS") => Format::Mms,
            _ => return Err(ReadError::Wrong),
        };
        let mut body = Self { format, slides: None, contents: Vec::with_capacity(1) };
        children(pull, |pull, child| match child.local {
            "content" => {
                body.contents.push(content(pull, child)?);
                Ok(true)
            }
            "mmsSlides" if format == Format::Mms => set(&mut body.slides, slides::read(pull)?),
            _ => Ok(false),
        })?;
        if body.contents.is_empty() { Err(ReadError::Wrong) } else { Ok(body) }
    }
}

fn content<'a>(pull: &mut Pull<'a>, element: &Element<'a>) -> Result<Content<'a>, ReadError> {
    Ok(Content {
        content_type: trimmed(required(element, "contentType")?),
        content_id: required(element, "contentId")?,
        content_location: required(element, "contentLocation")?,
        text: pull.leaf_text()?.ok_or(ReadError::Wrong)?,
    })
}
