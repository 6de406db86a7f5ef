//! HTTP answers of the OMS door. Knows statuses and headers; must not know why.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use wire::oms::soap::Answer;
use wire::oms::wsdl;

use crate::config::RedirectStatus;
use crate::problem::RETRY_AFTER_SECONDS;

const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// For people who opened the address in a browser.
const PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>OMS web service</title></head>\
    <body><h1>OMS web service</h1><p>This is a text messaging service for Outlook, SharePoint and other clients of the \
    Office Mobile Service. Enter this page's address as the address of the service.</p>\
    <p><a href=\"?WSDL\">Description of the service (WSDL)</a></p></body></html>";

/// The answer to a call, a fault included.
pub(super) fn soap(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).expect("the protocol's statuses are valid");
    (status, [(CONTENT_TYPE, HeaderValue::from_static(answer.content_type))], answer.body).into_response()
}

/// A call refused before SOAP: the status says it, the body says it to people.
pub(super) fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.http_status()).expect("every refusal has a valid status");
    let mut response = (status, [(CONTENT_TYPE, TEXT)], format!("{}\n", refusal.title())).into_response();
    let headers = response.headers_mut();
    match refusal {
        Refusal::Busy | Refusal::Unavailable | Refusal::RateLimited => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        Refusal::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        _ => {}
    }
    response
}

/// The answer to an empty body: alive, and nothing more.
pub(super) fn alive() -> Response {
    ([(CONTENT_TYPE, XML)], Body::empty()).into_response()
}

/// Sends a probe to the canonical address.
pub(super) fn redirect(status: RedirectStatus, location: &str) -> Response {
    let status = StatusCode::from_u16(status.into()).expect("the redirects are valid statuses");
    let location = HeaderValue::try_from(location).expect("an address is visible ASCII");
    (status, [(LOCATION, location)]).into_response()
}

/// The page for people.
pub(super) fn page() -> Response {
    ([(CONTENT_TYPE, HTML)], PAGE).into_response()
}

/// The service's description.
pub(super) fn description(service_uri: &str) -> Response {
    ([(CONTENT_TYPE, XML)], wsdl::document(service_uri)).into_response()
}
