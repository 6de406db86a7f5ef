//! Deliveries that are not due yet. Knows the store and the lanes, no price.
