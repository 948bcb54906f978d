//! The TLS 1.3 protocol (RFC 9846) without cryptography and without I/O.
//!
//! This crate knows no algorithm: it asks a [`CryptoProvider`](crypto_api::CryptoProvider)
//! for everything. It knows no socket and no clock either: bytes and time are arguments. An
//! application wants the `keyway` crate, which adds both.
//!
//! # The way of the bytes
//!
//! ```text
//! socket -> record::deframe    find the records
//!        -> record::protect    open them, in the caller's buffer
//!        -> record::join       put handshake messages together
//!        -> wire               parse them
//!        -> tls13::{client, server}
//!                              a state takes a message and returns what is to be sent,
//!                              and where keys change
//!        -> conn               apply that in order
//!        -> record::fragment   cut bytes into records
//!        -> record::protect    seal them into the output
//!        -> socket
//! ```
//!
//! To understand a handshake, read `tls13/server.rs` or `tls13/client.rs` from top to bottom.
//!
//! # Operations that take time
//!
//! A signature may come from an HSM, a certificate may have to be looked up. Whatever is not
//! protocol returns an [`Op`](crypto_api::Op), ready or pending. While one is pending the
//! connection reports [`Event::Suspended`], takes no input, and holds no thread: its owner
//! calls [`Connection::poll`] when the operation wakes it.
//!
//! # Example
//!
//! A client and a server in memory. The client trusts one public key that it knows.
//!
//! ```
//! use std::sync::Arc;
//!
//! use crypto_api::{Op, Payload};
//! use rustls_pki_types::{
//!     CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
//! };
//! use tls_core::config::{
//!     CertifiedKey, ClientConfig, ClientSettings, ServerConfig, ServerSettings,
//! };
//! use tls_core::verify::{CertificateChain, ServerVerifier, VerifiedPeer};
//! use tls_core::{Connection, Error, Event};
//!
//! /// Trusts one key. What stands for its certificate is the bare key.
//! #[derive(Debug)]
//! struct Pinned(SubjectPublicKeyInfoDer<'static>);
//!
//! impl ServerVerifier for Pinned {
//!     fn verify_server(
//!         &self,
//!         chain: &CertificateChain,
//!         _: &ServerName<'static>,
//!         _: UnixTime,
//!     ) -> Op<VerifiedPeer, Error> {
//!         assert_eq!(chain[0].as_ref(), self.0.as_ref());
//!         Op::ok(VerifiedPeer { public_key: self.0.clone() })
//!     }
//! }
//!
//! /// Carries what waits in `from` over to `to`.
//! fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
//!     let mut bytes = from.output().to_vec();
//!     from.output_sent(bytes.len());
//!     let received = to.receive(&mut bytes, UnixTime::now())?;
//!     assert_eq!(received.consumed, bytes.len());
//!     Ok(())
//! }
//!
//! # // The example key of RFC 8410, section 10.3.
//! # let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
//! # pkcs8.extend([0x5a; 32]);
//! # let private_key = PrivateKeyDer::try_from(pkcs8).unwrap();
//! let provider = Arc::new(backend_soft::provider());
//! let key = provider.load_key(&private_key)?;
//! let public_key = key.public_key().unwrap().into_owned();
//! let chain = Arc::from([CertificateDer::from(public_key.to_vec())]);
//! let certified = Arc::new(CertifiedKey::new(chain, key)?);
//!
//! let settings = ServerSettings::new(provider.clone(), Arc::new(certified));
//! let mut server = Connection::server(Arc::new(ServerConfig::new(settings)?));
//!
//! let settings = ClientSettings::new(provider, Arc::new(Pinned(public_key)));
//! let config = Arc::new(ClientConfig::new(settings)?);
//! let mut client = Connection::client(config, ServerName::try_from("server.example")?)?;
//!
//! carry(&mut client, &mut server)?; // ClientHello
//! carry(&mut server, &mut client)?; // ServerHello to Finished
//! carry(&mut client, &mut server)?; // Finished
//! assert!(!client.is_handshaking() && !server.is_handshaking());
//!
//! let mut record = [0; 100];
//! let sealed = client.seal(Payload::from(&b"hello"[..]), &mut record)?;
//! let received = server.receive(&mut record[..sealed.written], UnixTime::now())?;
//! let Event::Data(range) = received.event else { panic!("no data") };
//! assert_eq!(&record[range], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
// A peer's bytes never cause a panic. `wire` and what finds records and messages also do no
// arithmetic that could overflow.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
mod conn;
mod error;
mod limits;
mod record;
#[cfg(test)]
mod tests;
mod tls13;
pub mod verify;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod wire;

pub use conn::{Connection, Event, Received};
pub use error::{
    CertificateError, CertificateProblem, ConfigError, Error, Misbehaviour, Parameter,
};
pub use record::Sealed;
pub use wire::AlertDescription;
