//! From lane `accepted` to the lanes of routes. Knows lanes, the store and the planner, no farm.
