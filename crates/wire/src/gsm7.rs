//! The GSM 7-bit alphabet (3GPP TS 23.038, 6.2): characters to septets and septets to octets. Knows nothing of messages.
