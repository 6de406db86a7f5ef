//! Plan, time, dispatch.
