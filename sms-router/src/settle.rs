//! From lane `outcomes` to final states, retries and failovers. Knows lanes and the store, no farm.
