//! The server under load, and how to reach it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use keyway::pki::dangerous::AcceptAny;
use keyway::tokio::{Connector, TlsStream};
use keyway::{ClientBuilder, ClientConfig, Credentials, CryptoProvider, ServerName, Trust};
use tokio::net::{TcpStream, lookup_host};

use super::LoadArgs;
use crate::failure::TimedOut;

/// How long TCP and TLS have together to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// The client's configuration.
///
/// # Errors
/// One line that names the option or the file.
pub(super) fn config(args: &LoadArgs, provider: CryptoProvider) -> Result<Arc<ClientConfig>> {
    let mut builder = ClientBuilder::new()
        .provider(provider)
        .alpn(args.alpn.iter().map(String::as_str));
    if !args.suite.is_empty() {
        builder = builder.suites(args.suite.iter().map(String::as_str));
    }
    if !args.group.is_empty() {
        builder = builder.groups(args.group.iter().map(String::as_str));
    }
    builder = match &args.ca {
        Some(file) => builder.trust(Trust::file(file)),
        None if args.insecure => {
            builder.dangerous_verifier(Arc::new(AcceptAny::dangerous_without_authentication()))
        }
        None => builder.trust(Trust::system()),
    };
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        builder = builder.certificate(Credentials::files(cert, key));
    }
    Ok(builder.build()?)
}

/// The server under load.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    connector: Connector,
    name: ServerName<'static>,
    /// As in `--connect`, for HTTP's Host.
    pub(super) host: String,
}

/// A connection that was made.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) tls: TlsStream<TcpStream>,
    /// How long the TLS handshake took.
    pub(super) handshake: Duration,
}

impl Target {
    /// Finds the address and the name.
    ///
    /// # Errors
    /// One line that names the option.
    pub(super) async fn resolve(args: &LoadArgs, config: Arc<ClientConfig>) -> Result<Self> {
        let connect = &args.connect;
        let (host, _port) = connect
            .rsplit_once(':')
            .with_context(|| format!("--connect {connect}: not HOST:PORT"))?;
        let address = lookup_host(connect)
            .await
            .with_context(|| format!("--connect {connect}: no such address"))?
            .next()
            .with_context(|| format!("--connect {connect}: host has no address"))?;
        let name = args
            .server_name
            .as_deref()
            .unwrap_or_else(|| host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| anyhow!("--server-name {name}: neither a host name nor an address"))?;
        Ok(Self {
            address,
            connector: Connector::new(config),
            name,
            host: connect.clone(),
        })
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Connected> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, TimedOut("connecting"));
        tokio::time::timeout(CONNECT, async {
            let tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            let begun = Instant::now();
            let tls = self.connector.connect(self.name.clone(), tcp).await?;
            Ok(Connected {
                tls,
                handshake: begun.elapsed(),
            })
        })
        .await
        .map_err(late)?
    }

    /// Connects once and says what was negotiated.
    pub(super) async fn probe(&self) -> io::Result<String> {
        use tokio::io::AsyncWriteExt as _;
        let mut tls = self.connect().await?.tls;
        let connection = tls.connection();
        let mut terms: Vec<String> = Vec::new();
        terms.extend(connection.suite().map(|id| id.to_string()));
        terms.extend(connection.group().map(|id| id.to_string()));
        terms.extend(connection.signature_scheme().map(|id| id.to_string()));
        terms.extend(
            connection
                .alpn()
                .map(|name| format!("ALPN {}", name.escape_ascii())),
        );
        // The server may have closed first, which is its right.
        let _ = tls.shutdown().await;
        Ok(terms.join(", "))
    }
}
