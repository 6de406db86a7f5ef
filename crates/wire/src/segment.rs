//! How a text becomes message parts: alphabet choice and concatenation. Knows nothing of TPDUs.
