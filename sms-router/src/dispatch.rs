//! The consumer of the route lanes: whose turn it is, which link takes it, what the farms say. Knows lanes, leases and streams;
//! must not know prices or what a text says.

mod backlog;
mod credit;
mod fair;
mod load;
mod progress;
mod runs;
mod slip;

pub use load::{Health, RouteLoad, RouteLoads};
