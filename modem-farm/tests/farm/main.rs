//! The farm from outside: a stream to a router above, real pseudo-terminals with simulated modems and a simulated service
//! centre below.

mod bench;
mod binds;
mod leases;
mod remote;
mod replicas;
mod soak;
