//! The data keys of all tenants as this process holds them. Knows the store and the master key, no lane.
