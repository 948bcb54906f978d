//! The TLS protocol without cryptography and without I/O.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
mod conn;
mod error;
mod record;
#[cfg(test)]
mod tests;
mod tls13;
pub mod verify;
mod wire;

pub use conn::{Connection, Event, Received};
pub use error::{
    CertificateError, CertificateProblem, ConfigError, Error, Misbehaviour, Parameter,
};
pub use record::Sealed;
pub use wire::AlertDescription;
