//! Links and modems.
