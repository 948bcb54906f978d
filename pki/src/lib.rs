//! X.509 for [`tls_core`]: whom to trust, and the files that certificates and keys come in.

#![forbid(unsafe_code)]

mod anchors;
mod certified;
pub mod dangerous;
mod describe;
mod error;
mod pem;
mod refusal;
mod validator;

pub use anchors::{SystemAnchors, TrustAnchors};
pub use certified::{certified_key, load_certified_key};
pub use error::{Error, Origin};
pub use pem::{
    load_certificates, load_crls, load_private_key, parse_certificates, parse_crls,
    parse_private_key,
};
pub use validator::{PathValidator, RevocationPolicy};
pub use webpki::{ExpirationPolicy, RevocationCheckDepth, UnknownStatusPolicy};
