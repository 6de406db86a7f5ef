//! A request's body that knows whether its last octets were handed over: before that the relay cannot have the request whole,
//! after that it may. Must not know what is in it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Octets handed over at once.
const CHUNK_OCTETS: usize = 16 * 1024;

const OPEN: u8 = 0;
const HANDED_OVER: u8 = 1;
const WITHDRAWN: u8 = 2;

/// The body, read by the connection.
pub(crate) struct Handover {
    rest: Bytes,
    state: Arc<AtomicU8>,
}

/// The sender's hold on it.
pub(super) struct Hold(Arc<AtomicU8>);

impl Handover {
    pub(super) fn of(octets: Bytes) -> (Self, Hold) {
        // Of a request without a body nobody can tell when it was handed over: it counts from the start.
        let begin = if octets.is_empty() { HANDED_OVER } else { OPEN };
        let state = Arc::new(AtomicU8::new(begin));
        (Self { rest: octets, state: state.clone() }, Hold(state))
    }
}

impl Hold {
    /// Takes the request back. True: the last octets were not handed over and never will be.
    pub(super) fn withdraw(&self) -> bool {
        let withdrawn = self.0.compare_exchange(OPEN, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire);
        withdrawn.is_ok() || withdrawn == Err(WITHDRAWN)
    }
}

/// Tears the connection down in the middle of a request that was taken back.
#[derive(Debug, thiserror::Error)]
#[error("the request was taken back")]
pub(crate) struct TakenBack;

impl From<Infallible> for TakenBack {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Handover {
    type Data = Bytes;
    type Error = TakenBack;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TakenBack>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.rest.len() > CHUNK_OCTETS {
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(CHUNK_OCTETS)))));
        }
        let last = self.state.compare_exchange(OPEN, HANDED_OVER, Ordering::AcqRel, Ordering::Acquire);
        Poll::Ready(Some(match last {
            Ok(_) => Ok(Frame::data(std::mem::take(&mut self.rest))),
            Err(_) => Err(TakenBack),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_handed_over_cannot_be_taken_back_and_the_other_way_round() {
        let octets = Bytes::from(vec![7; 3 * CHUNK_OCTETS + 1]);
        let (body, hold) = Handover::of(octets.clone());
        assert_eq!(body.collect().await.unwrap().to_bytes(), octets);
        assert!(!hold.withdraw());

        let (mut body, hold) = Handover::of(octets);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(hold.withdraw() && hold.withdraw());
        assert!(body.collect().await.is_err(), "the end never comes");

        assert!(!Handover::of(Bytes::new()).1.withdraw(), "a head may be written at any time");
    }
}
