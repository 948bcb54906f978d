//! The work that is measured. Every kind of it checks itself: what is not verified has no
//! figure.

pub(crate) mod bulk;
pub(crate) mod handshake;
pub(crate) mod memory;
#[cfg(any(feature = "soft", feature = "openssl"))]
pub(crate) mod raw;
pub(crate) mod tcp;
pub(crate) mod threads;
