//! Which route carries a delivery, and why not another. Pure: no I/O, no clock, no state.
