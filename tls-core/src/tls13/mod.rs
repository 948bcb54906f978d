//! The TLS 1.3 handshake (RFC 9846, section 4).
//!
//! `server` and `client` read from top to bottom like the RFC's flights. A state is a place
//! where the handshake waits for the peer; what happens between two waits is one function.
//! Where an operation may take time, [`flight::after`] parks the rest of the function.

pub(crate) mod client;
pub(crate) mod flight;
pub(crate) mod schedule;
pub(crate) mod server;
mod signature;
mod transcript;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crypto_api::{HashFunctions, NamedGroup, SignatureScheme, Suite};

use crate::Error;
use crate::verify::CertificateChain;
use flight::Suspension;
use schedule::{ExporterSecret, TrafficSecret};

/// Where a handshake stands.
pub(crate) enum State {
    /// Waiting for the client.
    Server(server::State),
    /// Waiting for the server.
    Client(client::State),
    /// Waiting for an operation.
    Suspended(Box<dyn Suspension>),
    /// Done: application data flows.
    Traffic,
    /// Over, for this reason.
    Failed(Error),
}

/// What a step of the handshake leads to.
pub(crate) enum Next {
    /// Waiting for the peer again.
    Wait(State),
    /// Waiting for an operation.
    Suspend(Box<dyn Suspension>),
    /// Done.
    Established(Box<Established>),
}

/// What a handshake leaves behind.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) negotiated: Negotiated,
    /// `None` once the connection has failed.
    pub(crate) secrets: Option<Secrets>,
}

/// The secrets of an established connection.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) exporter: ExporterSecret,
    /// Those of the two directions, for KeyUpdate.
    pub(crate) read: TrafficSecret,
    pub(crate) write: TrafficSecret,
}

/// What was agreed on.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) suite: Suite,
    pub(crate) group: NamedGroup,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) server_name: Option<String>,
    pub(crate) peer_certificates: Option<CertificateChain>,
    /// The scheme of the server's CertificateVerify.
    pub(crate) scheme: Option<SignatureScheme>,
}

/// The provider's cipher suites of TLS 1.3, in its order; it may hold older ones too.
pub(crate) fn suites(provider: &crypto_api::CryptoProvider) -> impl Iterator<Item = &Suite> {
    provider
        .suites
        .iter()
        .filter(|suite| suite.id.0 >> 8 == 0x13)
}

/// The hash functions of a suite. A checked configuration has them.
fn hash_of(provider: &crypto_api::CryptoProvider, suite: &Suite) -> Result<HashFunctions, Error> {
    provider
        .hash(suite.hash)
        .cloned()
        .ok_or(Error::Usage("provider changed after it was checked"))
}
