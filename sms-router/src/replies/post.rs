//! The way to the mail server: connections that are used again, TLS, a login. Knows SMTP's answers, no lane.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use runtime::secret::Secret;
use wire::mail::{Charset, MailAddress};

use crate::RouterError;
use crate::config::{Mail, MailTls};

/// How long a connection that nobody needs is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Answers that refuse this mail for good (RFC 5321, 4.2.3; RFC 6522). Others in 5xx, such as those to a login, are about us, and
/// mending the settings lets the mail go.
const REFUSALS: [u16; 8] = [550, 551, 552, 553, 554, 555, 556, 501];
/// Characters of an answer that are kept.
const REASON_MAX: usize = 200;

/// The mail server. Clones share its connections.
#[derive(Clone)]
pub struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    charset: Charset,
}

/// What the server said to a mail.
pub(super) enum Answer {
    /// It is its own to deliver.
    Taken,
    /// It will never take it.
    Refused(String),
    /// It did not take it, or nobody knows.
    NotNow(Excuse),
}

/// Why a mail was not taken.
pub(super) struct Excuse {
    /// The whole answer; it may name the mailbox.
    pub(super) reason: String,
    /// What of it may stand in a log.
    pub(super) word: String,
}

impl Post {
    /// The way to the server that is set; `None` if none is.
    ///
    /// # Errors
    /// [`RouterError::MailSetting`].
    pub fn of(config: &Mail) -> Result<Option<Self>, RouterError> {
        if config.host.is_empty() {
            return Ok(None);
        }
        let charset = Charset::named(&config.charset).ok_or_else(|| wrong("charset", "no charset for mails"))?;
        let answer_max = Duration::from_secs(config.answer_seconds_max);
        let pool = PoolConfig::new().max_size(config.connections_max.max(1)).idle_timeout(IDLE_MAX);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls(config)?)
            .timeout(Some(answer_max))
            .pool_config(pool);
        if !config.hello_name.is_empty() {
            builder = builder.hello_name(ClientId::Domain(config.hello_name.clone()));
        }
        if !config.user.is_empty() {
            let password = password(config)?;
            builder = builder.credentials(Credentials::new(config.user.clone(), password.expose().to_owned()));
        }
        Ok(Some(Post { transport: builder.build(), charset }))
    }

    /// The charset of texts that are not plain ASCII.
    pub(super) const fn charset(&self) -> Charset {
        self.charset
    }

    /// Hands a mail over.
    pub(super) async fn send(&self, from: &MailAddress, to: &MailAddress, mail: &[u8]) -> Answer {
        let address = |address: &MailAddress| address.as_str().parse::<Address>();
        let (Ok(from), Ok(to)) = (address(from), address(to)) else {
            return Answer::Refused("no address that mail can be sent to".to_owned());
        };
        let Ok(envelope) = Envelope::new(Some(from), vec![to]) else {
            return Answer::Refused("no envelope".to_owned());
        };
        // The client ends the last line itself.
        let mail = mail.strip_suffix(b"\r\n").unwrap_or(mail);
        match self.transport.send_raw(&envelope, mail).await {
            Ok(_) => Answer::Taken,
            Err(error) => {
                let reason: String = runtime::in_full(&error).chars().take(REASON_MAX).collect();
                let code = error.status().map(u16::from);
                if code.is_some_and(|code| REFUSALS.contains(&code)) {
                    Answer::Refused(reason)
                } else {
                    let word = code.map_or_else(|| reason.clone(), |code| format!("the mail server said `{code}`"));
                    Answer::NotNow(Excuse { reason, word })
                }
            }
        }
    }
}

fn tls(config: &Mail) -> Result<Tls, RouterError> {
    let failed = |source| RouterError::MailSetting { key: "ca_file", source };
    let mut parameters = TlsParameters::builder(config.host.clone());
    if !config.ca_file.as_os_str().is_empty() {
        let pem = std::fs::read(&config.ca_file).map_err(|error| failed(error.into()))?;
        parameters =
            parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| failed(error.into()))?);
    }
    let parameters = || parameters.build_rustls().map_err(|error| failed(error.into()));
    Ok(match config.tls {
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Implicit => Tls::Wrapper(parameters()?),
        MailTls::Off => Tls::None,
    })
}

fn password(config: &Mail) -> Result<Secret, RouterError> {
    if !config.password_file.as_os_str().is_empty() {
        let read = Secret::read(&config.password_file);
        return read.map_err(|error| RouterError::MailSetting { key: "password_file", source: error.into() });
    }
    let found = std::env::var(&config.password_env).map(Secret::new);
    found.map_err(|error| RouterError::MailSetting { key: "password_env", source: error.into() })
}

fn wrong(key: &'static str, why: &str) -> RouterError {
    RouterError::MailSetting { key, source: why.into() }
}
