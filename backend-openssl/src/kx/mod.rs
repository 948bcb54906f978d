//! Key exchange.

mod ecdh;
mod hybrid;
mod x25519;

use std::sync::Arc;

use crypto_api::KeyExchangeGroup;

/// The groups that libcrypto has, the preferred one first. X25519MLKEM768 is among them
/// with libcrypto 3.5 and newer.
pub fn groups() -> Vec<Arc<dyn KeyExchangeGroup>> {
    let mut groups: Vec<Arc<dyn KeyExchangeGroup>> = Vec::new();
    if hybrid::available() {
        groups.push(Arc::new(hybrid::X25519MlKem768));
    }
    if x25519::available() {
        groups.push(Arc::new(x25519::X25519));
    }
    for curve in [&crate::curve::P256, &crate::curve::P384] {
        if curve.setup().is_ok() {
            groups.push(Arc::new(ecdh::Ecdh(curve)));
        }
    }
    groups
}
