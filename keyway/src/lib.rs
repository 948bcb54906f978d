//! TLS whose cryptography is a plug: what an application depends on.
//!
//! A client and a server, each in a few lines:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//!
//! use keyway::{ClientBuilder, Credentials, ServerBuilder, ServerName, Stream, Trust};
//!
//! # #[cfg(feature = "soft")] {
//! // A certificate for this example; it stands for itself. Usually there are files:
//! // Credentials::files("chain.pem", "key.pem"), and Trust::system().
//! let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
//! let credentials = Credentials::pem(made.cert.pem(), made.signing_key.serialize_pem());
//!
//! let server = ServerBuilder::new().certificate(credentials).build()?;
//! let client = ClientBuilder::new().trust(Trust::pem(made.cert.pem())).build()?;
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let served = std::thread::spawn(move || {
//!     let (transport, _) = listener.accept()?;
//!     let mut stream = Stream::server(server, transport);
//!     let mut asked = String::new();
//!     stream.read_to_string(&mut asked)?;
//!     stream.write_all(asked.to_uppercase().as_bytes())?;
//!     stream.close()
//! });
//!
//! let name = ServerName::try_from("localhost")?;
//! let mut stream = Stream::client(client, name, TcpStream::connect(address)?)?;
//! stream.write_all(b"hello")?;
//! stream.close()?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert_eq!(answer, "HELLO");
//! println!("{:?}", stream.connection().suite());
//! # served.join().unwrap()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | what | where |
//! |---|---|
//! | which backend computes what | [`provider`] |
//! | configurations | [`ServerBuilder`], [`ClientBuilder`], [`Credentials`], [`Trust`] |
//! | TLS over anything that blocks | [`Stream`] |
//! | TLS over tokio | the module `tokio`, with the feature of that name |
//! | TLS without any I/O | [`Connection`] |
//! | what went wrong | [`SetupError`] before a connection, [`Error`] in one |
//! | keys in an HSM | `Credentials::pkcs11` and the module `pkcs11`, with the feature of that name |
//! | the crates below | [`crypto`], [`tls`], [`pki`], [`pki_types`] |
//!
//! # Cargo features
//!
//! | feature | what it links |
//! |---|---|
//! | `soft` (default) | the portable backend |
//! | `aesni` (default) | records in CPU instructions, where the CPU has them |
//! | `openssl` | the system's libcrypto as a backend |
//! | `openssl-vendored` | the same, built from source and linked statically |
//! | `pkcs11` | private keys in an HSM; its PKCS#11 module is loaded while the program runs |
//! | `tokio` | asynchronous streams |
//!
//! Without any backend everything still compiles: an application may bring a
//! [`CryptoProvider`] of its own.

#![forbid(unsafe_code)]

mod builder;
mod engine;
mod error;
mod gather;
mod key_log;
pub mod provider;
mod stream;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use ::pki;
#[cfg(feature = "pkcs11")]
pub use backend_pkcs11 as pkcs11;
pub use crypto_api as crypto;
pub use rustls_pki_types as pki_types;
pub use tls_core as tls;

#[cfg(feature = "pkcs11")]
pub use builder::RotatingCertificate;
pub use builder::{
    Algorithm, Builder, ClientBuilder, ClientRole, Credentials, ServerBuilder, ServerRole, Trust,
};
pub use crypto_api::{CipherSuite, CryptoProvider, NamedGroup, SignatureScheme};
pub use error::SetupError;
pub use key_log::KeyLogFile;
pub use rustls_pki_types::ServerName;
pub use stream::Stream;
pub use tls_core::config::{CertifiedKey, ClientConfig, KeyLog, Limits, ServerConfig};
pub use tls_core::{Connection, Error};
