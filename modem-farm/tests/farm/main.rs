//! The farm from outside: a stream to a router above, real pseudo-terminals with simulated modems below.

mod bench;
mod leases;
mod remote;
mod replicas;
mod soak;
