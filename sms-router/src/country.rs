//! Which country a number belongs to. Knows numbering plans, not prices; keeps a bounded cache.
