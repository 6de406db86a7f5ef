//! Takes delivery reports over HTTP, as a gateway without a ledger makes them, and counts them by message.
//!
//! Knows the path it asked reports to be sent to; must not know who sends them. It works in a thread of its own, so that
//! reports do not wait for the loader's other work.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::plan::Plan;

const POLL: Duration = Duration::from_millis(20);

/// The kind of report that says "delivered".
const DELIVERED: &str = "1";

/// Listens for reports until it is dropped.
#[derive(Debug)]
pub(crate) struct Receipts {
    address: SocketAddr,
    book: Arc<Book>,
    _stop: oneshot::Sender<()>,
}

/// What came.
#[derive(Debug)]
struct Book {
    run: String,
    /// By index of the message.
    times: Vec<AtomicU8>,
    /// Messages with a report.
    reported: AtomicU64,
    undelivered: AtomicU64,
    strays: AtomicU64,
    last_at: Mutex<Option<Instant>>,
}

/// How many reports came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReceiptCount {
    /// Messages that were accepted, each of which wants a report.
    pub(crate) expected: u64,
    /// Messages with a report.
    pub(crate) reported: u64,
    /// Reports that say something else than "delivered".
    pub(crate) undelivered: u64,
    /// Reports that came once too often.
    pub(crate) repeated: u64,
    /// Reports of no message of this run.
    pub(crate) strays: u64,
    /// When the last report came; `None` when some never did.
    #[serde(skip)]
    pub(crate) reached_at: Option<Instant>,
}

impl Receipts {
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("cannot listen for reports")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let messages = usize::try_from(plan.messages())?;
        let book = Arc::new(Book {
            run: plan.run().to_owned(),
            times: (0..messages).map(|_| AtomicU8::new(0)).collect(),
            reported: AtomicU64::new(0),
            undelivered: AtomicU64::new(0),
            strays: AtomicU64::new(0),
            last_at: Mutex::new(None),
        });
        let (stop, stopped) = oneshot::channel();
        let served = book.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("receipts".to_owned())
            .spawn(move || runtime.block_on(serve(listener, served, stopped)))?;
        Ok(Self { address, book, _stop: stop })
    }

    /// What the path of a message's reports begins with.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/{}", self.address, self.book.run)
    }

    /// Messages with a report until now.
    pub(crate) fn reported(&self) -> u64 {
        self.book.reported.load(Ordering::Relaxed)
    }

    /// Waits until so many messages have a report, or until nothing has come for `patience`.
    pub(crate) async fn wait(&self, expected: u64, patience: Duration, on_progress: impl Fn(u64)) -> ReceiptCount {
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let reported = self.reported();
            on_progress(reported);
            if reported != last {
                moved_at = Instant::now();
            }
            if reported >= expected || moved_at.elapsed() > patience {
                return self.book.count(expected);
            }
            last = reported;
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Book {
    fn take(&self, path: &str) {
        let mut parts = path.trim_start_matches('/').split('/');
        let (run, index, kind) = (parts.next(), parts.next(), parts.next());
        let times = index
            .filter(|_| run == Some(&self.run))
            .and_then(|index| index.parse::<usize>().ok())
            .and_then(|index| self.times.get(index));
        let Some(times) = times else {
            self.strays.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if kind != Some(DELIVERED) {
            self.undelivered.fetch_add(1, Ordering::Relaxed);
        }
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            *self.last_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.reported.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, expected: u64) -> ReceiptCount {
        let reported = self.reported.load(Ordering::Relaxed);
        let all: u64 = self.times.iter().map(|times| u64::from(times.load(Ordering::Relaxed))).sum();
        let last_at = *self.last_at.lock().unwrap_or_else(PoisonError::into_inner);
        ReceiptCount {
            expected,
            reported,
            undelivered: self.undelivered.load(Ordering::Relaxed),
            repeated: all.saturating_sub(reported),
            strays: self.strays.load(Ordering::Relaxed),
            reached_at: last_at.filter(|_| reported >= expected),
        }
    }
}

async fn serve(listener: std::net::TcpListener, book: Arc<Book>, mut stop: oneshot::Receiver<()>) {
    let listener = TcpListener::from_std(listener).expect("it is a listener that does not block");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let book = book.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            book.take(request.uri().path());
            async { Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())) }
        });
        // Ends with its connection.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(messages: usize) -> Book {
        let times = (0..messages).map(|_| AtomicU8::new(0)).collect();
        let zero = || AtomicU64::new(0);
        Book {
            run: "r".to_owned(),
            times,
            reported: zero(),
            undelivered: zero(),
            strays: zero(),
            last_at: Mutex::default(),
        }
    }

    #[test]
    fn reports_are_counted_by_message() {
        let book = book(3);
        ["/r/0/1", "/r/1/2", "/r/1/1", "/other/2/1", "/r/3/1", "/r", "/"].iter().for_each(|path| book.take(path));
        let count = book.count(3);
        assert_eq!(
            (count.reported, count.undelivered, count.repeated, count.strays, count.reached_at),
            (2, 1, 1, 4, None)
        );
        book.take("/r/2/1");
        assert!(book.count(3).reached_at.is_some());
    }
}
