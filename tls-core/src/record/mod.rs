//! Records: cutting bytes into them, protecting them, and putting messages together again.

/// The most plaintext that a record carries (RFC 9846, section 5.1).
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;
