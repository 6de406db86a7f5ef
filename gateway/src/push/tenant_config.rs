//! `/v1/push/config`: all that a tenant has set for notifications, a line of JSON for each, out and in again. Knows the order of
//! lines and how what became of each is told; what a line may say is its door's.
//!
//! A page of it is bounded in lines and octets and is itself a body that can be put. A line changes whole or not at all. Nothing that
//! is missing is removed, and what is secret neither goes out nor is lost by what comes in.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use model::push::{AccessRule, Account, ClientModel};
use serde::{Deserialize, Serialize};
use store::DocumentKind;

use super::accounts::{self, Form};
use super::desk::{Desk, LISTED_MAX, Page, cursor, invalid};
use super::{access, account_document, changes, models};
use crate::problem::Problem;
use crate::rest::conditions;

/// The parts, in the order in which each can be put after the ones before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Models,
    Rules,
    Accounts,
}

impl Part {
    const ALL: [Part; 3] = [Part::Models, Part::Rules, Part::Accounts];

    /// As cursors have it.
    const fn digit(self) -> char {
        match self {
            Part::Models => '0',
            Part::Rules => '1',
            Part::Accounts => '2',
        }
    }
}

/// A line as it goes out.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown<'a> {
    Model(&'a ClientModel),
    Access(access::View),
    Account(account_document::View),
}

/// A line as it comes in.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Model(models::Wanted),
    Access(access::Wanted),
    Account(Box<account_document::Wanted>),
}

/// Which document a line is about.
type Key = (Part, String);

/// Part of the whole, as it is.
#[derive(Default)]
struct Sheet {
    text: String,
    /// What tells each line's state from others, by what it is about.
    tags: BTreeMap<Key, String>,
    next: Option<String>,
}

/// What became of the lines.
#[derive(Serialize)]
struct Report {
    done: usize,
    failed: usize,
    lines: Vec<Done>,
}

#[derive(Serialize)]
struct Done {
    /// Counted from 1.
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// As the line's own door would answer.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

pub(super) async fn export(desk: Desk, page: Result<Query<Page>, QueryRejection>) -> Response {
    desk.answer(desk.export_config(page).await)
}

pub(super) async fn import(
    desk: Desk,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    desk.answer(desk.import_config(page, &headers, body).await)
}

impl Desk {
    async fn export_config(&self, page: Result<Query<Page>, QueryRejection>) -> Result<Response, Problem> {
        let page = read_page(page)?;
        let sheet = self.sheet(&page).await?;
        let mut response = ([(ETAG, sheet.tag())], sheet.text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if let Some(next) = sheet.next {
            let limit = page.limit.map_or(String::new(), |limit| format!("&limit={limit}"));
            let link = format!("</v1/push/config?cursor={next}{limit}>; rel=\"next\"");
            headers.insert(LINK, HeaderValue::try_from(link).expect("a cursor is visible ASCII"));
        }
        Ok(response)
    }

    /// The lines of a page: as many as are asked for, and no more octets than a body may have.
    async fn sheet(&self, page: &Page) -> Result<Sheet, Problem> {
        let (limit, octets_max) = (page.limit()?, self.gateway.config.rest_body_bytes_max);
        let (first, mut after) = place(&page.after()?)?;
        let mut sheet = Sheet::default();
        for part in Part::ALL.into_iter().filter(|part| *part >= first) {
            // One more, to know whether there are more.
            let lines = self.lines(part, &after, limit + 1 - sheet.tags.len()).await?;
            for (id, tag, line) in lines {
                let is_full = sheet.tags.len() == limit || sheet.text.len() + line.len() > octets_max;
                if is_full && !sheet.tags.is_empty() {
                    sheet.next = Some(cursor(&format!("{}{after}", part.digit())));
                    return Ok(sheet);
                }
                sheet.text.push_str(&line);
                after.clone_from(&id);
                sheet.tags.insert((part, id), tag);
            }
            after.clear();
        }
        Ok(sheet)
    }

    /// Lines of one part, with what each is about and its tag.
    async fn lines(&self, part: Part, after: &str, max: usize) -> Result<Vec<(String, String, String)>, Problem> {
        Ok(match part {
            Part::Models => {
                let found = self.files().list::<ClientModel>(DocumentKind::ClientModel, after, max).await?;
                let line = |(id, _, model)| (id, models::tag(&model), text(&Shown::Model(&model)));
                found.into_iter().map(line).collect()
            }
            Part::Rules => {
                let found = self.files().list::<AccessRule>(DocumentKind::AccessRule, after, max).await?;
                let line = |(domain, _, rule): (String, _, AccessRule)| {
                    let tag = access::tag(&rule);
                    (domain.clone(), tag, text(&Shown::Access(access::View { domain, rule })))
                };
                found.into_iter().map(line).collect()
            }
            Part::Accounts => {
                let found = self.files().list::<Account>(DocumentKind::Account, after, max).await?;
                let line = |(id, _, account)| {
                    let shown = Shown::Account(self.account_view(&account, Form::Whole)?);
                    Ok((id, accounts::account_tag(&account), text(&shown)))
                };
                found.into_iter().map(line).collect::<Result<_, Problem>>()?
            }
        })
    }

    async fn import_config(
        &self,
        page: Result<Query<Page>, QueryRejection>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        let page = read_page(page)?;
        changes::check_media_type(headers)?;
        let body = self.whole(body).await?;
        let lines = read(&body)?;
        let known = match headers.contains_key(IF_MATCH) {
            true => {
                let sheet = self.sheet(&page).await?;
                conditions::meets(headers, Some(&sheet.tag()), "page")?;
                Some(sheet.tags)
            }
            false => None,
        };
        let mut report = Report { done: 0, failed: 0, lines: Vec::with_capacity(lines.len()) };
        let mut away = None;
        for (at, line) in lines {
            let done = match &away {
                // What failed the one before would fail the others, each after a while.
                Some(problem) => Done::of(at, None, Err(Problem::clone(problem))),
                None => self.put_line(at, line, known.as_ref(), &mut away).await,
            };
            *if done.status < 300 { &mut report.done } else { &mut report.failed } += 1;
            report.lines.push(done);
        }
        Ok(Json(report).into_response())
    }

    async fn put_line(
        &self,
        at: usize,
        line: &[u8],
        known: Option<&BTreeMap<Key, String>>,
        away: &mut Option<Problem>,
    ) -> Done {
        let wanted = match serde_json::from_slice::<Wanted>(line) {
            Ok(wanted) => wanted,
            Err(error) => return Done::of(at, None, Err(unreadable(&error))),
        };
        let Some(key) = wanted.key() else {
            let detail = "each line names what it is about: `name`, `domain` or `id`";
            return Done::of(at, None, Err(invalid(detail)));
        };
        let headers = known.map(|known| condition(known.get(&key))).unwrap_or_default();
        let put = match wanted {
            Wanted::Model(wanted) => self.put_model(&key.1, &headers, wanted).await,
            Wanted::Access(wanted) => self.put_rule(&key.1, &headers, wanted).await,
            Wanted::Account(wanted) => self.put_account(&key.1, Form::Whole, &headers, *wanted).await,
        };
        if let Err(problem) = &put
            && problem.refusal.http_status() >= 500
        {
            *away = Some(problem.clone());
        }
        Done::of(at, Some(key), put)
    }
}

impl Sheet {
    fn tag(&self) -> String {
        let lines = self.tags.iter().map(|((part, id), tag)| format!("{}{id}\0{tag}\0", part.digit()));
        conditions::tag(&lines.chain(self.next.clone()).collect::<String>())
    }
}

impl Wanted {
    fn key(&self) -> Option<Key> {
        match self {
            Wanted::Model(model) => Some((Part::Models, model.name.clone()?)),
            Wanted::Access(rule) => Some((Part::Rules, rule.domain.as_ref()?.to_ascii_lowercase())),
            Wanted::Account(account) => {
                let id = account.id.as_ref()?;
                // What is no address is named by its own door.
                Some((Part::Accounts, Account::id_of(id).unwrap_or_else(|| id.clone())))
            }
        }
    }
}

impl Done {
    fn of(line: usize, key: Option<Key>, put: Result<Response, Problem>) -> Self {
        let mut done = match put {
            Ok(response) => Done::plain(line, response.status().as_u16()),
            Err(problem) => Done {
                r#type: Some(format!("urn:carillon:problem:{}", problem.refusal.code())),
                detail: problem.detail,
                ..Done::plain(line, problem.refusal.http_status())
            },
        };
        match key {
            Some((Part::Models, id)) => done.model = Some(id),
            Some((Part::Rules, id)) => done.access = Some(id),
            Some((Part::Accounts, id)) => done.account = Some(id),
            None => {}
        }
        done
    }

    const fn plain(line: usize, status: u16) -> Self {
        Done { line, model: None, access: None, account: None, status, r#type: None, detail: String::new() }
    }
}

/// What a line's document must be where the page is: what it was there, or nothing.
fn condition(tag: Option<&String>) -> HeaderMap {
    let condition = match tag {
        Some(tag) => (IF_MATCH, HeaderValue::try_from(tag).expect("a tag is visible ASCII")),
        None => (IF_NONE_MATCH, HeaderValue::from_static("*")),
    };
    HeaderMap::from_iter([condition])
}

fn read_page(page: Result<Query<Page>, QueryRejection>) -> Result<Page, Problem> {
    let Query(page) = page.map_err(|error| invalid(error.body_text()))?;
    Ok(Page { limit: Some(page.limit.unwrap_or(LISTED_MAX)), ..page })
}

/// Where a page begins that an earlier one gave as `next`.
fn place(after: &str) -> Result<(Part, String), Problem> {
    let Some(digit) = after.chars().next() else { return Ok((Part::Models, String::new())) };
    let part = Part::ALL.into_iter().find(|part| part.digit() == digit);
    let part = part.ok_or_else(|| invalid("`cursor` is not one that a page gave as `next`"))?;
    Ok((part, after[1..].to_owned()))
}

/// The lines, and where each stands in the body. Empty ones are passed over.
fn read(body: &[u8]) -> Result<Vec<(usize, &[u8])>, Problem> {
    let lines = body.split(|octet| *octet == b'\n').enumerate();
    let lines: Vec<(usize, &[u8])> =
        lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(at, line)| (at + 1, line)).collect();
    if lines.len() > LISTED_MAX {
        let detail = format!("a body has at most {LISTED_MAX} lines; send the rest in another");
        return Err(Problem::new(Refusal::BodyTooLarge, detail));
    }
    Ok(lines)
}

/// The line's own place is told beside it, so what is said of a line within it means nothing.
fn unreadable(error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => invalid(error.to_string()),
        _ => Problem::new(Refusal::Malformed, format!("the line is not JSON: {error}")),
    }
}

fn text(shown: &Shown<'_>) -> String {
    let mut line = serde_json::to_string(shown).expect("documents have keys that are text");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_back_and_others_are_refused() {
        for part in Part::ALL {
            assert_eq!(place(&format!("{}ann", part.digit())), Ok((part, "ann".to_owned())));
        }
        assert_eq!(place(""), Ok((Part::Models, String::new())));
        assert!(place("9x").is_err() && place("\u{e9}").is_err());
    }

    #[test]
    fn lines_are_bounded_and_keep_their_places() {
        let places = |body: &[u8]| read(body).map(|lines| lines.iter().map(|(at, _)| *at).collect::<Vec<_>>());
        assert_eq!(places(b"\n{}\n\n{}"), Ok(vec![2, 4]));
        assert_eq!(places(&b"{}\n".repeat(LISTED_MAX + 1)).unwrap_err().refusal, Refusal::BodyTooLarge);
    }
}
