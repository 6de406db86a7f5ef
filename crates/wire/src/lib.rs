//! Protocols without I/O.
