//! Records: cutting bytes into them, protecting them, and putting messages together again
//! (RFC 9846, section 5).

mod ahead;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod deframe;
mod fragment;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod join;
mod protect;

pub(crate) use deframe::{Deframed, deframe};
pub use fragment::Sealed;
pub(crate) use fragment::{seal_records, sealed_len};
pub(crate) use join::{Joiner, Message};
pub(crate) use protect::{Opened, ReadProtection, WriteKeys, WriteProtection};

/// Length of a record's header.
pub(crate) const HEADER_LEN: usize = 5;

/// The most plaintext that a record carries (RFC 9846, section 5.1).
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;

/// The most that a protected record carries: plaintext, content type, padding and tag
/// (RFC 9846, section 5.2).
pub(crate) const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + 256;
