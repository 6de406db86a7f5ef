//! Every metric of the router role.
