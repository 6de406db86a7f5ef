//! The role as a whole: opens its parts, says when it is ready, stops them in order.
