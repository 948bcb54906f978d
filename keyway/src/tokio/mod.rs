//! TLS over an asynchronous transport of tokio.
//!
//! ```
//! use std::sync::Arc;
//!
//! use keyway::tokio::{Acceptor, Connector};
//! use keyway::{ClientBuilder, Credentials, ServerBuilder, ServerName, Trust};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[cfg(feature = "soft")] {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // A certificate for this example; it stands for itself.
//! let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
//! let server = ServerBuilder::new()
//!     .certificate(Credentials::pem(made.cert.pem(), made.signing_key.serialize_pem()))
//!     .build()?;
//! let client = ClientBuilder::new().trust(Trust::pem(made.cert.pem())).build()?;
//!
//! let (near, far) = tokio::io::duplex(4096);
//! let serve = async {
//!     let mut stream = Acceptor::new(server).accept(far).await?;
//!     let mut asked = String::new();
//!     stream.read_to_string(&mut asked).await?;
//!     stream.write_all(asked.to_uppercase().as_bytes()).await?;
//!     stream.shutdown().await
//! };
//! let ask = async {
//!     let name = ServerName::try_from("localhost").expect("a name");
//!     let mut stream = Connector::new(client).connect(name, near).await?;
//!     stream.write_all(b"hello").await?;
//!     stream.shutdown().await?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).await?;
//!     std::io::Result::Ok(answer)
//! };
//! let (served, answer) = tokio::join!(serve, ask);
//! served?;
//! assert_eq!(answer?, "HELLO");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod stream;
mod tasks;

pub use stream::TlsStream;

use std::io;
use std::sync::Arc;

use ::tokio::io::{AsyncRead, AsyncWrite};
use rustls_pki_types::ServerName;
use tls_core::Connection;
use tls_core::config::{ClientConfig, ServerConfig};

use crate::error::io_error;

/// Makes TLS streams of transports that were connected to a server.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// With this configuration for all connections.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }

    /// Runs the handshake with the server `name`. Dropping the future drops the transport.
    ///
    /// # Errors
    /// See [`TlsStream`].
    pub async fn connect<T>(
        &self,
        name: ServerName<'static>,
        transport: T,
    ) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connection = Connection::client(self.config.clone(), name).map_err(io_error)?;
        TlsStream::handshake(connection, transport).await
    }
}

impl From<Arc<ClientConfig>> for Connector {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::new(config)
    }
}

/// Makes TLS streams of transports that clients have connected to.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// With this configuration for all connections.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }

    /// Runs the handshake with a client. Dropping the future drops the transport. It has no
    /// timeout of its own: a client may never say a word.
    ///
    /// # Errors
    /// See [`TlsStream`].
    pub async fn accept<T>(&self, transport: T) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        TlsStream::handshake(Connection::server(self.config.clone()), transport).await
    }
}

impl From<Arc<ServerConfig>> for Acceptor {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::new(config)
    }
}
