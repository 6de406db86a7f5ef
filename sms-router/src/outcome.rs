//! The records of lane `outcomes`. Knows their bytes, not what follows from them.
