//! Private keys that sign.

mod ecdsa;
mod ed25519;
mod load;
mod rsa;

pub use load::key_loader;

use std::fmt;

use crypto_api::{Error, SignatureScheme};
use openssl::pkey::{HasPublic, PKeyRef};
use rustls_pki_types::SubjectPublicKeyInfoDer;

/// The public half of a key that is being loaded.
fn public_half<T: HasPublic>(key: &PKeyRef<T>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    key.public_key_to_der()
        .map(SubjectPublicKeyInfoDer::from)
        .map_err(crate::error::failed("encode a public key"))
}

/// Shows a key by what it can do, and nothing of the key.
fn debug(f: &mut fmt::Formatter<'_>, schemes: &[SignatureScheme]) -> fmt::Result {
    f.debug_struct("SigningKey")
        .field("schemes", &schemes)
        .finish_non_exhaustive()
}
