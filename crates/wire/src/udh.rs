//! User data headers (3GPP TS 23.040, 9.2.3.24) as bytes and values. Knows nothing of alphabets.
