//! The TLS protocol without cryptography and without I/O.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
mod error;
mod record;
pub mod verify;
mod wire;

pub use error::{
    CertificateError, CertificateProblem, ConfigError, Error, Misbehaviour, Parameter,
};
pub use wire::AlertDescription;
