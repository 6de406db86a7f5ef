//! The configuration of the router role: what may be set, and the defaults. Reads no file.
