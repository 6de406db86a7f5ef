//! Between the contract's messages and the lease protocol's words. Knows both, and which messages must not be skipped.

mod farm;
mod router;

use bytes::Bytes;
use lease::record::OutcomeKind;
use lease::{Attempt, Outcome, PartitionId};
use model::{DeliveryId, LinkName, RouteId};

use crate::proto;

/// A field of a peer's message that is not what it must be. Its value is not shown: it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Absent, too short, out of range or not a name.
    #[error("field `{0}` is not valid")]
    Field(&'static str),
    /// A kind this build does not know and must not skip.
    #[error("a kind of message this build does not know must not be skipped")]
    CriticalKind,
}

/// A message that can travel in frames.
pub(crate) trait Wire: Sized + Send + 'static {
    /// What carries a batch of them.
    type Frame: prost::Message + Default + 'static;

    /// Takes messages from the end of `waiting` (the next one is last) until the frame has `bytes_max`; at least one.
    fn frame(waiting: &mut Vec<Self>, bytes_max: usize) -> Self::Frame;

    /// Reads a frame whole. Messages of unknown kinds that may be skipped are counted.
    fn read(frame: Self::Frame, skipped: &mut u64) -> Result<Vec<Self>, FieldError>;
}

/// Fills a frame's messages; see [`Wire::frame`].
fn fill<T, P: prost::Message>(waiting: &mut Vec<T>, bytes_max: usize, convert: impl Fn(T) -> P) -> Vec<P> {
    let mut messages = Vec::with_capacity(waiting.len());
    let mut bytes = 0;
    while bytes < bytes_max
        && let Some(message) = waiting.pop()
    {
        let message = convert(message);
        bytes += message.encoded_len();
        messages.push(message);
    }
    messages
}

/// What to do with a kind this build does not know.
fn unknown<T>(critical: bool, skipped: &mut u64) -> Result<Option<T>, FieldError> {
    if critical {
        return Err(FieldError::CriticalKind);
    }
    *skipped += 1;
    Ok(None)
}

fn partition_to(partition: PartitionId) -> Option<proto::Partition> {
    Some(proto::Partition { route: partition.route.to_string(), index: partition.index })
}

fn partition_of(partition: Option<proto::Partition>) -> Result<PartitionId, FieldError> {
    let partition = partition.ok_or(FieldError::Field("partition"))?;
    Ok(PartitionId { route: route_of(&partition.route)?, index: partition.index })
}

fn attempt_to(attempt: Attempt) -> proto::Attempt {
    proto::Attempt { delivery: Bytes::copy_from_slice(&attempt.delivery.to_bytes()), number: attempt.number }
}

fn attempt_of(attempt: Option<proto::Attempt>) -> Result<Attempt, FieldError> {
    let attempt = attempt.ok_or(FieldError::Field("attempt"))?;
    let delivery = DeliveryId::from_bytes(&attempt.delivery).ok_or(FieldError::Field("attempt.delivery"))?;
    if attempt.number == 0 {
        return Err(FieldError::Field("attempt.number"));
    }
    Ok(Attempt { delivery, number: attempt.number })
}

fn attempts_of(attempts: Vec<proto::Attempt>) -> Result<Vec<Attempt>, FieldError> {
    attempts.into_iter().map(|attempt| attempt_of(Some(attempt))).collect()
}

fn outcome_to(outcome: Outcome) -> proto::Outcome {
    let Outcome { kind, farm, link, imsi, references, reason, at_ms } = outcome;
    proto::Outcome { kind, farm, link, imsi, references, reason, at_ms }
}

fn outcome_of(outcome: proto::Outcome) -> Result<Outcome, FieldError> {
    let proto::Outcome { kind, farm, link, imsi, references, reason, at_ms } = outcome;
    OutcomeKind::try_from(kind).map_err(|_| FieldError::Field("outcome.kind"))?;
    Ok(Outcome { kind, farm, link, imsi, references, reason, at_ms })
}

fn route_of(name: &str) -> Result<RouteId, FieldError> {
    RouteId::new(name).map_err(|_| FieldError::Field("route"))
}

fn link_of(name: &str) -> Result<LinkName, FieldError> {
    LinkName::new(name).map_err(|_| FieldError::Field("link"))
}

/// Shows no secret.
impl std::fmt::Debug for proto::Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Shows no number.
impl std::fmt::Debug for proto::Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({})", self.number)
    }
}

/// Shows no number and no text.
impl std::fmt::Debug for proto::Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({})", self.number)
    }
}
