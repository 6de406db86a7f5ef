//! Keeps to one address: dials while a router is wanted there, leads the stream, rests, dials again. Knows certificates' files; must
//! not know which router is where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{Backoff, DialError, Dialer, FarmEnd, KeepAlive};
use runtime::tls::{TlsError, TlsFiles, client_config};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Speaker;
use crate::config::Config;

/// A stream that lived so long was a good one: the next rest is short again. Shorter lives rest longer and longer, so that two who
/// take each other's place do it ever more slowly.
const GOOD_LIFE: Duration = Duration::from_secs(5);
/// Before another way to a router that was lost is tried: the first way comes first.
const OTHER_WAY_REST: Duration = Duration::from_secs(1);

/// Where the farm's certificates are. They are read at each dial, so that new ones are shown without a restart.
pub(crate) struct Credentials {
    ca_file: std::path::PathBuf,
    files: TlsFiles,
}

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
enum NotReached {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the certificates cannot be used: {0}")]
    Certificates(#[from] TlsError),
}

impl Credentials {
    /// Those of the configuration, if it names any. They are checked once.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, TlsError> {
        if config.certificate_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
        let credentials = Credentials { ca_file: config.ca_file.clone(), files };
        credentials.read().map(|_| Some(credentials))
    }

    fn read(&self) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        client_config(&self.ca_file, Some(&self.files), "modem-farm")
    }
}

/// Keeps to one address.
pub(super) struct Keeper {
    address: Arc<str>,
    credentials: Arc<Credentials>,
    speaker: Speaker,
    wanted: watch::Receiver<bool>,
    backoff: Backoff,
}

impl Keeper {
    pub(super) fn new(
        address: &str,
        credentials: Arc<Credentials>,
        speaker: Speaker,
        wanted: watch::Receiver<bool>,
    ) -> Self {
        Keeper { address: address.into(), credentials, speaker, wanted, backoff: Backoff::default() }
    }

    /// Keeps on until the address is forgotten. A stream that lives goes on even then.
    pub(super) async fn run(mut self, forgotten: CancellationToken) {
        while let Some(true) = forgotten.run_until_cancelled(self.until_wanted()).await {
            let Some(dialed) = forgotten.run_until_cancelled(self.dial()).await else { return };
            match dialed {
                Ok(end) => {
                    tracing::info!(router.address = &*self.address, "router reached");
                    let began = Instant::now();
                    self.speaker.speak(end, Some(self.address.clone())).await;
                    if began.elapsed() >= GOOD_LIFE {
                        self.backoff.reset();
                    }
                }
                Err(NotReached::Dial(error @ DialError::Address { .. })) => {
                    return tracing::error!(%error, "a router cannot be dialed");
                }
                Err(error) => tracing::warn!(%error, "the router is not reached"),
            }
            let rest = tokio::time::sleep(self.backoff.wait());
            if forgotten.run_until_cancelled(rest).await.is_none() {
                return;
            }
        }
    }

    /// Waits while the router there is attached by another way; false: nobody leads this task any more.
    async fn until_wanted(&mut self) -> bool {
        while !*self.wanted.borrow_and_update() {
            if self.wanted.wait_for(|wanted| *wanted).await.is_err() {
                return false;
            }
            self.backoff.reset();
            tokio::time::sleep(OTHER_WAY_REST + self.backoff.wait()).await;
        }
        true
    }

    async fn dial(&self) -> Result<FarmEnd, NotReached> {
        Ok(Dialer::new(&self.address, &*self.credentials.read()?, KeepAlive::default())?.dial().await?)
    }
}
