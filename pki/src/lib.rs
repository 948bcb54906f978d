//! X.509 for [`tls_core`]: whom to trust, and the files that certificates and keys come in.
//!
//! | what | where |
//! |---|---|
//! | whom to trust | [`TrustAnchors`]: a file, bytes, or what the system trusts |
//! | whether a peer's certificate is good | [`PathValidator`], for servers and clients |
//! | whether it was revoked | [`PathValidator::with_revocation`] |
//! | one's own certificate and key | [`load_certified_key`], [`certified_key`] |
//! | a verifier of one's own, or none | [`dangerous`] |
//!
//! Paths are built and checked by `rustls-webpki`; every signature in them is verified by the
//! [`CryptoProvider`](crypto_api::CryptoProvider), so a backend's is used here as in the
//! handshake. Time is an argument.
//!
//! A refused certificate is a [`tls_core::CertificateError`] whose text says which
//! certificate of the chain it is, what is wrong with it, and what to do. A file that cannot
//! be used is an [`Error`], one line that begins with the file.
//!
//! # Example
//!
//! A client that trusts one authority verifies a server's certificate, for the right name and
//! for a wrong one.
//!
//! ```
//! use pki::{PathValidator, TrustAnchors};
//! use rustls_pki_types::{ServerName, UnixTime};
//! use tls_core::verify::ServerVerifier;
//! # use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
//! # let mut ca = CertificateParams::default();
//! # ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
//! # let ca_key = KeyPair::generate()?;
//! # let ca_pem = ca.self_signed(&ca_key)?.pem();
//! # let leaf = CertificateParams::new(vec!["www.example".into()])?
//! #     .signed_by(&KeyPair::generate()?, &Issuer::new(ca, ca_key))?;
//! # let chain = vec![leaf.der().clone()].into();
//!
//! let anchors = TrustAnchors::from_pem(ca_pem.as_bytes())?;
//! let validator = PathValidator::new(anchors, &backend_soft::provider())?;
//!
//! // `chain` is what the server sent.
//! let name = ServerName::try_from("www.example")?;
//! let peer = validator.verify_server(&chain, &name, UnixTime::now()).spin()?;
//! println!("the server's key has {} bytes", peer.public_key.len());
//!
//! let name = ServerName::try_from("mail.example")?;
//! let error = validator.verify_server(&chain, &name, UnixTime::now()).spin().unwrap_err();
//! assert!(error.to_string().ends_with("is not for mail.example, but for www.example"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod anchors;
mod certified;
pub mod dangerous;
mod describe;
mod error;
mod frugal;
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
