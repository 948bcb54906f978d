//! Key exchange.

mod ecdh;
mod hybrid;
mod x25519;

pub use ecdh::{Secp256r1, Secp384r1};
pub use hybrid::X25519MlKem768;
pub use x25519::X25519;
