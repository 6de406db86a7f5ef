//! Carries lanes `accepted` and `events` into the store. Knows no rule of routing.
