//! SMS transfer layer messages (3GPP TS 23.040, 9.2.2) as bytes and values. Knows nothing of modems.
