//! The AT dialogue with one modem: bytes and `now` in, bytes and events out. Opens no port.
