//! The bytes of the protocol: parsing and encoding, and nothing else.
//!
//! Parsing borrows from the message and checks form only: lengths, ranges, duplicates. What
//! a value means, and whether it is allowed, the handshake decides.

pub(crate) mod codec;
mod enums;
pub(crate) mod extensions;
pub(crate) mod hello;
pub(crate) mod messages;

pub use enums::AlertDescription;
pub(crate) use enums::{ContentType, ExtensionType, HandshakeType, TLS10, TLS12, TLS13};
