//! The server under load, and how to reach it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
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

/// The addresses of `--connect`, which may be a name of several.
///
/// # Errors
/// One line that names the option.
pub(super) async fn addresses(connect: &str) -> Result<Vec<SocketAddr>> {
    ensure!(connect.contains(':'), "--connect {connect}: not HOST:PORT");
    let found = lookup_host(connect).await;
    let addresses: Vec<_> = found
        .with_context(|| format!("--connect {connect}: no such address"))?
        .collect();
    ensure!(
        !addresses.is_empty(),
        "--connect {connect}: host has no address"
    );
    Ok(addresses)
}

impl Target {
    /// Connects once, to the first address that answers, which is the target then; and says
    /// what was negotiated.
    ///
    /// # Errors
    /// One line that names the option.
    pub(super) async fn reach(
        args: &LoadArgs,
        config: Arc<ClientConfig>,
        addresses: &[SocketAddr],
    ) -> Result<(Self, String)> {
        let cannot = || format!("cannot connect to {}", args.connect);
        let (tcp, address) = first_to_answer(addresses).await.with_context(cannot)?;
        let target = Self::of(args, config, address)?;
        let negotiated = target.probe(tcp).await.with_context(cannot)?;
        Ok((target, negotiated))
    }

    /// The server at `address`.
    ///
    /// # Errors
    /// One line that names the option.
    pub(super) fn of(
        args: &LoadArgs,
        config: Arc<ClientConfig>,
        address: SocketAddr,
    ) -> Result<Self> {
        let connect = &args.connect;
        let host = connect.rsplit_once(':').map_or("", |(host, _port)| host);
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
        within(CONNECT, async {
            let tcp = TcpStream::connect(self.address).await?;
            self.handshake(tcp).await
        })
        .await
    }

    async fn handshake(&self, tcp: TcpStream) -> io::Result<Connected> {
        tcp.set_nodelay(true)?;
        let begun = Instant::now();
        let tls = self.connector.connect(self.name.clone(), tcp).await?;
        Ok(Connected {
            tls,
            handshake: begun.elapsed(),
        })
    }

    /// Says what is negotiated on a connection, and closes it.
    async fn probe(&self, tcp: TcpStream) -> io::Result<String> {
        use tokio::io::AsyncWriteExt as _;
        let mut tls = within(CONNECT, self.handshake(tcp)).await?.tls;
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

/// The first address that takes a connection. All have as long together as one has later.
async fn first_to_answer(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let each = CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = None;
    for address in addresses {
        match within(each, TcpStream::connect(*address)).await {
            Ok(tcp) => return Ok((tcp, *address)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, TimedOut("connecting"));
    tokio::time::timeout(time, work).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_does_not_answer_is_passed_over() {
        // Bound, so that nobody else listens there, and not listening.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        silent.bind(&any.into()).unwrap();
        let silent_at = silent.local_addr().unwrap().as_socket().unwrap();
        let listener = TcpListener::bind(any).await.unwrap();
        let answering = listener.local_addr().unwrap();

        let (tcp, address) = first_to_answer(&[silent_at, answering]).await.unwrap();
        assert_eq!(address, answering);
        assert_eq!(tcp.peer_addr().unwrap(), answering);
        let error = first_to_answer(&[silent_at]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
