//! The consumer of the route lanes.
