//! What can go wrong in the router role. Knows the operations that can fail, not who is told.

/// An operation of the router role that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {}
