//! How the sign-up page looks. Knows HTML; must not know what is allowed.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::party::{OmsProfile, OmsSignUp};

/// What a visitor is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    None,
    Incomplete,
    NoPhone,
    NoMailbox,
    Taken,
    CodeSent,
    LinkSent,
    CodeAndLinkSent,
    WrongLink,
    MailboxProved,
    WrongCode,
    Proved,
    WrongLogin,
    Changed,
    ResetSent,
}

/// Which forms the page has.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    None,
    Start,
    Confirm { user_id: &'a str, phone: &'a str },
    Reset { user_id: &'a str },
    ResetByLink { user_id: &'a str, token: &'a str },
    Prove { user_id: &'a str, mailbox: &'a str, token: &'a str },
}

impl Notice {
    const fn text(self) -> &'static str {
        match self {
            Notice::None => "",
            Notice::Incomplete => "A user id and a password are needed; the password has at most 1024 bytes.",
            Notice::NoPhone => {
                "This is not a phone number that a code can be sent to. Write it as +, country code and number."
            }
            Notice::NoMailbox => "This is not a mail address that a mail can be sent to from here.",
            Notice::LinkSent => "A mail with a link was sent to the mailbox. Follow it within a day.",
            Notice::CodeAndLinkSent => {
                "A code was sent to the phone: enter it here within 15 minutes. A mail with a link was sent to the mailbox: \
                 follow it within a day."
            }
            Notice::WrongLink => "This link is wrong, or it was followed too late.",
            Notice::MailboxProved => "The mailbox is confirmed.",
            Notice::Taken => "This user id is taken. Choose another one.",
            Notice::CodeSent => "A code was sent to the phone. Enter it here within 15 minutes.",
            Notice::WrongCode => "This code is wrong, or it came too late.",
            Notice::Proved => "The phone is confirmed. You can use the service.",
            Notice::WrongLogin => "The user id or the password is wrong.",
            Notice::Changed => "It is changed.",
            Notice::ResetSent => {
                "If there is such a user with a confirmed phone or mailbox, a code was sent to that phone, or a link to that \
                 mailbox."
            }
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Notice::None | Notice::CodeSent | Notice::Proved | Notice::Changed | Notice::ResetSent => StatusCode::OK,
            Notice::LinkSent | Notice::CodeAndLinkSent | Notice::MailboxProved => StatusCode::OK,
            Notice::Taken => StatusCode::CONFLICT,
            Notice::WrongLogin | Notice::WrongCode | Notice::WrongLink => StatusCode::FORBIDDEN,
            Notice::Incomplete | Notice::NoPhone | Notice::NoMailbox => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

const START: &str = "<h2>Sign up</h2><form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"register\">\
    <p><label>User id <input name=\"userId\" required autocomplete=\"username\"></label></p>\
    <p><label>Password <input type=\"password\" name=\"newPassword\" required autocomplete=\"new-password\"></label></p>\
    <p><label>Mobile phone <input type=\"tel\" name=\"phone\" required autocomplete=\"tel\"></label></p>\
    <p><label>Mail address for replies <input type=\"email\" name=\"mailAddress\" autocomplete=\"email\"></label></p>\
    <p><button>Sign up</button></p></form>\
    <h2>Change what is yours</h2><form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"change\">\
    <p><label>User id <input name=\"userId\" required autocomplete=\"username\"></label></p>\
    <p><label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\"></label></p>\
    <p><label>New password <input type=\"password\" name=\"newPassword\" autocomplete=\"new-password\"></label></p>\
    <p><label>New mobile phone <input type=\"tel\" name=\"phone\" autocomplete=\"tel\"></label></p>\
    <p><label>New mail address <input type=\"email\" name=\"mailAddress\" autocomplete=\"email\"></label></p>\
    <p><label>Replies go to <select name=\"replyTo\"><option value=\"\">as before</option>\
    <option value=\"mailbox\">my mailbox</option><option value=\"phone\">my phone</option>\
    <option value=\"both\">both</option></select></label></p><p><button>Change</button></p></form>\
    <h2>Password forgotten</h2><form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"forgot\">\
    <p><label>User id <input name=\"userId\" required autocomplete=\"username\"></label></p>\
    <p><button>Send a code to my phone</button>\
    <button name=\"by\" value=\"mail\">Send a link to my mailbox</button></p></form>";

/// The page, which no other page may frame and nobody keeps.
pub(super) fn page(oms: &OmsProfile, notice: Notice, form: Form<'_>) -> Response {
    let (name, provider) = (escaped(&oms.english_name), escaped(&oms.service_provider));
    let notice_text = match notice {
        Notice::None => String::new(),
        notice => format!("<p role=\"status\"><strong>{}</strong></p>", notice.text()),
    };
    let body = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{name}</title></head><body><h1>{name}</h1><p>{provider}</p>{notice_text}{}\
         {}</body></html>\n",
        form.html(),
        oms.sign_up
            .as_ref()
            .map(|terms| format!("<h2>Prices</h2><pre>{}</pre>", escaped(&prices(terms))))
            .unwrap_or_default()
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (notice.status(), headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}

impl Form<'_> {
    fn html(self) -> String {
        match self {
            Form::None => String::new(),
            Form::Start => START.to_owned(),
            Form::Confirm { user_id, phone } => format!(
                "<form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"confirm\">\
                 <input type=\"hidden\" name=\"userId\" value=\"{}\"><input type=\"hidden\" name=\"phone\" value=\"{}\">\
                 <p><label>Code <input name=\"code\" required inputmode=\"numeric\" autocomplete=\"one-time-code\"></label></p>\
                 <p><button>Confirm</button></p></form>",
                escaped(user_id),
                escaped(phone)
            ),
            Form::ResetByLink { user_id, token } => format!(
                "<form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"reset\">\
                 <input type=\"hidden\" name=\"userId\" value=\"{}\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <p><label>New password <input type=\"password\" name=\"newPassword\" required \
                 autocomplete=\"new-password\"></label></p><p><button>Change</button></p></form>",
                escaped(user_id),
                escaped(token)
            ),
            // A button, since mail servers follow links to look at them.
            Form::Prove { user_id, mailbox, token } => format!(
                "<form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"prove\">\
                 <input type=\"hidden\" name=\"userId\" value=\"{}\"><input type=\"hidden\" name=\"mailAddress\" value=\"{}\">\
                 <input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <p><button>This mailbox is mine</button></p></form>",
                escaped(user_id),
                escaped(mailbox),
                escaped(token)
            ),
            Form::Reset { user_id } => format!(
                "<form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"reset\">\
                 <input type=\"hidden\" name=\"userId\" value=\"{}\">\
                 <p><label>Code <input name=\"code\" required inputmode=\"numeric\" autocomplete=\"one-time-code\"></label></p>\
                 <p><label>New password <input type=\"password\" name=\"newPassword\" required \
                 autocomplete=\"new-password\"></label></p><p><button>Change</button></p></form>",
                escaped(user_id)
            ),
        }
    }
}

/// The tenant's list, or what the terms say by themselves.
fn prices(terms: &OmsSignUp) -> String {
    match (terms.price_list.as_str(), terms.price) {
        ("", Some(price)) => format!("{price} a message"),
        ("", None) => "Messages are not charged here.".to_owned(),
        (list, _) => list.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let replaced = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    replaced.replace('"', "&quot;").replace('\'', "&#39;")
}
