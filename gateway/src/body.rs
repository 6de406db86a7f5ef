//! Bodies of requests: read whole, up to a bound, and what is more is read away. Knows HTTP, no protocol inside.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use model::Refusal;

/// What is read away of a body that is too large, so that its sender gets to read the refusal instead of a reset.
const DISCARDED_BYTES_MAX: usize = 16 << 20;

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// [`Refusal::BodyTooLarge`]; [`Refusal::Malformed`] if it did not arrive whole.
pub async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let (mut body, mut taken, mut seen) = (body, Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Malformed)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= bytes_max {
            taken.extend_from_slice(&data);
        } else if seen > bytes_max.saturating_add(DISCARDED_BYTES_MAX) {
            break;
        }
    }
    if seen > bytes_max { Err(Refusal::BodyTooLarge) } else { Ok(taken.into()) }
}
