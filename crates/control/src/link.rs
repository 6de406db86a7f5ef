//! One end of a stream: a sender and a receiver of batches, within the process or over gRPC. Knows order and bounds, not
//! what the messages mean.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use lease::{FarmMessage, RouterMessage};
use tokio::sync::mpsc;

use crate::convert::{FieldError, Wire};
use crate::{FRAME_BYTES_MAX, QUEUE_BATCHES_MAX};

/// The router's end of a stream.
pub type RouterEnd = End<RouterMessage, FarmMessage>;
/// The farm's end of a stream.
pub type FarmEnd = End<FarmMessage, RouterMessage>;

/// One end of a stream. Messages arrive in the order they were sent, none twice; what was sent before the stream broke
/// may be lost.
#[derive(Debug)]
pub struct End<Out, In> {
    /// To the other side. The stream closes when the last clone is dropped.
    pub sender: Sender<Out>,
    /// From the other side.
    pub receiver: Receiver<In>,
}

/// The sending half. Clones share one queue of [`QUEUE_BATCHES_MAX`] batches.
#[derive(Debug)]
pub struct Sender<T> {
    queue: mpsc::Sender<Vec<T>>,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver<T> {
    source: Source<T>,
    skipped: u64,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The other side is gone.
    #[error("the stream is closed")]
    Closed,
    /// The other side does not keep up; nothing of the batch was taken.
    #[error("the stream is full")]
    Full,
}

/// Why nothing more comes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Closed {
    /// The other side ended the stream.
    #[error("the other side ended the stream")]
    Ended,
    /// The connection broke, or the other side refused it.
    #[error("the stream broke: {reason}")]
    Broken {
        /// What the transport says, with its causes.
        reason: String,
    },
    /// The other side sent what it must not.
    #[error("the other side sent a message that can't be read")]
    Unreadable {
        /// Which field.
        #[from]
        source: FieldError,
    },
}

enum Source<T> {
    Local(mpsc::Receiver<Vec<T>>),
    Remote(Frames<T>),
    /// The reason was told; only silence follows.
    Over(Closed),
}

type Frames<T> = Pin<Box<dyn Stream<Item = Result<Unread<T>, tonic::Status>> + Send>>;
type Unread<T> = Box<dyn FnOnce(&mut u64) -> Result<Vec<T>, FieldError> + Send>;

/// Two joined ends in one process: nothing is encoded.
#[must_use]
pub fn pair() -> (RouterEnd, FarmEnd) {
    let (to_farm, from_router) = mpsc::channel(QUEUE_BATCHES_MAX);
    let (to_router, from_farm) = mpsc::channel(QUEUE_BATCHES_MAX);
    let router = End { sender: Sender { queue: to_farm }, receiver: Receiver::local(from_farm) };
    let farm = End { sender: Sender { queue: to_router }, receiver: Receiver::local(from_router) };
    (router, farm)
}

impl<T> Sender<T> {
    /// Sends a batch; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn send(&self, batch: Vec<T>) -> Result<(), SendError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.queue.send(batch).await.map_err(|_| SendError::Closed)
    }

    /// Sends a batch if there is room for it at once.
    ///
    /// # Errors
    /// [`SendError`]; nothing of the batch was sent then.
    pub fn try_send(&self, batch: Vec<T>) -> Result<(), SendError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.queue.try_send(batch).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Whether a batch would be taken at once: a sender that nobody else has a clone of can lean on it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Waits until the other side no longer listens.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { queue: self.queue.clone() }
    }
}

impl<T> Receiver<T> {
    fn local(queue: mpsc::Receiver<Vec<T>>) -> Self {
        Receiver { source: Source::Local(queue), skipped: 0 }
    }

    /// The next batch, never empty.
    ///
    /// Can be cancelled without losing anything.
    ///
    /// # Errors
    /// [`Closed`] says why nothing more comes; it stays so.
    pub async fn next(&mut self) -> Result<Vec<T>, Closed> {
        loop {
            let batch = match &mut self.source {
                Source::Local(queue) => queue.recv().await.ok_or(Closed::Ended),
                Source::Remote(frames) => match frames.next().await {
                    None => Err(Closed::Ended),
                    Some(Ok(unread)) => unread(&mut self.skipped).map_err(Closed::from),
                    Some(Err(status)) => Err(Closed::Broken { reason: describe(&status) }),
                },
                Source::Over(closed) => Err(closed.clone()),
            };
            match batch {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => return Ok(batch),
                Err(closed) => {
                    self.source = Source::Over(closed.clone());
                    return Err(closed);
                }
            }
        }
    }

    /// Messages of kinds this build does not know that were skipped so far.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl<T> std::fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Local(_) => "Local",
            Source::Remote(_) => "Remote",
            Source::Over(_) => "Over",
        })
    }
}

/// A sender whose frames come out of the stream returned with it.
pub(crate) fn outgoing<T: Wire>() -> (Sender<T>, Outgoing<T>) {
    let (sender, receiver) = mpsc::channel(QUEUE_BATCHES_MAX);
    (Sender { queue: sender }, Outgoing { queue: receiver, waiting: Vec::new() })
}

/// A receiver of what a gRPC stream brings.
pub(crate) fn incoming<T: Wire>(frames: tonic::Streaming<T::Frame>) -> Receiver<T> {
    let unread = |frame| -> Unread<T> { Box::new(|skipped: &mut u64| T::read(frame, skipped)) };
    let frames: Frames<T> = Box::pin(frames.map(move |frame| frame.map(unread)));
    Receiver { source: Source::Remote(frames), skipped: 0 }
}

/// A transport's error with its causes: the outermost alone says only "transport error".
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Turns queued batches into frames: small ones are joined, large ones cut at [`FRAME_BYTES_MAX`].
pub(crate) struct Outgoing<T> {
    queue: mpsc::Receiver<Vec<T>>,
    /// Messages taken from the queue and not yet framed, the next one last.
    waiting: Vec<T>,
}

impl<T: Wire + Unpin> Stream for Outgoing<T> {
    type Item = T::Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T::Frame>> {
        let this = &mut *self;
        if this.waiting.is_empty() {
            let mut batches = Vec::new();
            match this.queue.poll_recv_many(context, &mut batches, QUEUE_BATCHES_MAX) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(None),
                Poll::Ready(_) => {
                    this.waiting.extend(batches.into_iter().rev().flat_map(|batch| batch.into_iter().rev()))
                }
            }
        }
        Poll::Ready(Some(T::frame(&mut this.waiting, FRAME_BYTES_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(number: u64) -> RouterMessage {
        RouterMessage::Taken { numbers: vec![number] }
    }

    #[tokio::test]
    async fn a_pair_carries_batches_in_order_and_says_when_it_ends() {
        let (router, mut farm) = pair();
        router.sender.send(vec![taken(1), taken(2)]).await.unwrap();
        router.sender.send(vec![]).await.unwrap();
        router.sender.try_send(vec![taken(3)]).unwrap();
        assert_eq!(farm.receiver.next().await.unwrap(), [taken(1), taken(2)]);
        assert_eq!(farm.receiver.next().await.unwrap(), [taken(3)]);
        drop(router);
        assert!(matches!(farm.receiver.next().await, Err(Closed::Ended)));
        assert!(matches!(farm.receiver.next().await, Err(Closed::Ended)), "it stays so");
        let recall = FarmMessage::Recall { link: model::LinkName::new("a").unwrap(), tokens: vec![] };
        assert_eq!(farm.sender.send(vec![recall]).await, Err(SendError::Closed));
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer() {
        let (router, _farm) = pair();
        for number in 0..QUEUE_BATCHES_MAX as u64 {
            router.sender.try_send(vec![taken(number)]).unwrap();
        }
        assert!(!router.sender.has_room());
        assert_eq!(router.sender.try_send(vec![taken(0)]), Err(SendError::Full));
    }

    #[tokio::test]
    async fn small_batches_share_a_frame_and_large_ones_are_cut() {
        let (sender, mut frames) = outgoing::<RouterMessage>();
        sender.send(vec![taken(1)]).await.unwrap();
        sender.send(vec![taken(2), taken(3)]).await.unwrap();
        let mut skipped = 0;
        let first = RouterMessage::read(frames.next().await.unwrap(), &mut skipped).unwrap();
        assert_eq!(first, [taken(1), taken(2), taken(3)]);
        let large = || RouterMessage::Taken { numbers: vec![u64::MAX; FRAME_BYTES_MAX / 20] };
        sender.send(vec![large(), large(), large()]).await.unwrap();
        let lengths = [frames.next().await.unwrap().messages.len(), frames.next().await.unwrap().messages.len()];
        assert_eq!(lengths, [2, 1]);
        drop(sender);
        assert!(frames.next().await.is_none());
    }
}
