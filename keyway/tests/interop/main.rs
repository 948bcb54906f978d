//! Handshakes with programs that nobody here wrote, in both roles, over loopback; and of our
//! backends with each other.
//!
//! The programs are Debian's `openssl`, `gnutls-bin` and `curl`; `cargo xtask setup` installs
//! them. A missing program fails the tests: an interoperation that was not tried is not
//! known to work.

#![cfg(feature = "soft")]

mod as_client;
mod as_server;
#[cfg(feature = "openssl")]
mod between_backends;
mod identity;
mod programs;

use std::sync::Arc;

use keyway::{CryptoProvider, provider};

/// Every linked backend, by name. One that supplies records alone has the rest from the
/// fastest.
fn backends() -> Vec<(&'static str, Arc<CryptoProvider>)> {
    let provider = |name: &str| {
        provider::by_name(name).or_else(|_| provider::by_name(&format!("records={name}")))
    };
    provider::linked()
        .into_iter()
        .map(|name| (name, Arc::new(provider(name).unwrap())))
        .collect()
}
