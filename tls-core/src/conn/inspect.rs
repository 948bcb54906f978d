//! What can be seen of a connection.

use core::fmt;

use crypto_api::{CipherSuite, NamedGroup, SignatureScheme};

use super::Connection;
use crate::Error;
use crate::tls13::State;
use crate::verify::CertificateChain;

impl Connection {
    /// Whether an operation is pending.
    pub fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended(_))
    }

    /// Whether the handshake is still to be done.
    pub fn is_handshaking(&self) -> bool {
        matches!(
            self.state,
            State::Server(_) | State::Client(_) | State::Suspended(_)
        )
    }

    /// The cipher suite, once established.
    pub fn suite(&self) -> Option<CipherSuite> {
        self.negotiated().map(|negotiated| negotiated.suite.id)
    }

    /// The group of the key exchange, once established.
    pub fn group(&self) -> Option<NamedGroup> {
        self.negotiated().map(|negotiated| negotiated.group)
    }

    /// The scheme that the server signed with, once established.
    pub fn signature_scheme(&self) -> Option<SignatureScheme> {
        self.negotiated().and_then(|negotiated| negotiated.scheme)
    }

    /// The application protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.negotiated()?.alpn.as_deref()
    }

    /// On a server: the host name that the client asked for, in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.negotiated()?.server_name.as_deref()
    }

    /// The peer's verified certificates, the end entity's first.
    pub fn peer_certificates(&self) -> Option<&CertificateChain> {
        self.negotiated()?.peer_certificates.as_ref()
    }

    /// Derives keying material that both sides share (RFC 9846, section 7.5).
    ///
    /// # Errors
    /// [`Error::Usage`] before the handshake is done, for a label of over 249 bytes, and for
    /// more output than 255 times the suite's hash. After a failure the one that ended the
    /// connection: its secrets are gone.
    pub fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        self.established
            .as_ref()
            .and_then(|done| done.secrets.as_ref())
            .ok_or(Error::Usage("keying material before the handshake is done"))?
            .exporter
            .export(label, context, out)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Server(state) => state.expected(),
            State::Client(state) => state.expected(),
            State::Suspended(_) => "an operation",
            State::Traffic => "application data",
            State::Failed(_) => "nothing: failed",
        };
        f.debug_struct("Connection")
            .field("side", &self.side)
            .field("waits_for", &state)
            .field("read", &self.read)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}
