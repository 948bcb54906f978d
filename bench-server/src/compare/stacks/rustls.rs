//! rustls through its buffered interface, the one that applications use.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use keyway::crypto::CipherSuite;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::{Endpoint, Endpoints, Identities, SERVER_NAME, Setup, Stack};
use crate::certs::Identity;
use crate::compare::wire::Wire;

pub(super) struct Rustls {
    name: String,
    provider: CryptoProvider,
}

impl Rustls {
    pub(super) fn aws_lc_rs() -> Self {
        Self {
            name: "rustls aws-lc-rs".into(),
            provider: rustls::crypto::aws_lc_rs::default_provider(),
        }
    }

    pub(super) fn ring() -> Self {
        Self {
            name: "rustls ring".into(),
            provider: rustls::crypto::ring::default_provider(),
        }
    }

    /// The provider with nothing but the suite and group of `setup`.
    fn narrowed(&self, setup: &Setup) -> Arc<CryptoProvider> {
        let mut provider = self.provider.clone();
        provider
            .cipher_suites
            .retain(|suite| u16::from(suite.suite()) == setup.suite.0);
        provider
            .kx_groups
            .retain(|group| u16::from(group.name()) == setup.group.0);
        Arc::new(provider)
    }
}

impl Stack for Rustls {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, setup: &Setup) -> bool {
        let provider = self.narrowed(setup);
        !provider.cipher_suites.is_empty() && !provider.kx_groups.is_empty()
    }

    fn configure(&self, setup: &Setup, identities: &Identities) -> Result<Arc<dyn Endpoints>> {
        let provider = self.narrowed(setup);
        let server_identity = identities.server(setup.key)?;
        let client_identity = identities.client(setup.key)?;
        let versions = &[&rustls::version::TLS13];

        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let server = if setup.client_auth {
            let roots = Arc::new(roots(client_identity)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?;
            server.with_client_cert_verifier(verifier)
        } else {
            server.with_no_client_auth()
        };
        let mut server = server.with_single_cert(
            server_identity.chain.clone(),
            server_identity.key.clone_key(),
        )?;
        // Full handshakes are compared, without the work for later ones.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});

        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots(server_identity)?);
        let mut client = if setup.client_auth {
            client.with_client_auth_cert(
                client_identity.chain.clone(),
                client_identity.key.clone_key(),
            )?
        } else {
            client.with_no_client_auth()
        };
        client.resumption = Resumption::disabled();

        Ok(Arc::new(Configs {
            server: Arc::new(server),
            client: Arc::new(client),
            name: ServerName::try_from(SERVER_NAME)?,
        }))
    }
}

fn roots(identity: &Identity) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca_der.clone())?;
    Ok(roots)
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Endpoints for Configs {
    fn server(&self) -> Result<Box<dyn Endpoint>> {
        let connection = ServerConnection::new(self.server.clone())?;
        Ok(Box::new(Connection(connection.into())))
    }

    fn client(&self) -> Result<Box<dyn Endpoint>> {
        let connection = ClientConnection::new(self.client.clone(), self.name.clone())?;
        Ok(Box::new(Connection(connection.into())))
    }
}

struct Connection(rustls::Connection);

impl Connection {
    fn flush(&mut self, output: &mut Wire) -> Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(output)?;
        }
        Ok(())
    }

    fn drain(&mut self, sink: &mut dyn FnMut(&[u8])) {
        let mut reader = self.0.reader();
        while let Ok(data) = reader.fill_buf() {
            if data.is_empty() {
                break;
            }
            sink(data);
            let n = data.len();
            reader.consume(n);
        }
    }
}

impl Endpoint for Connection {
    fn handshake(&mut self, input: &mut Wire, output: &mut Wire) -> Result<()> {
        while !input.is_empty() {
            self.0.read_tls(input)?;
            let outcome = self.0.process_new_packets();
            // An alert, if there is one, goes out all the same.
            if let Err(error) = outcome {
                self.flush(output)?;
                return Err(error).context("rustls' handshake failed");
            }
        }
        self.flush(output)
    }

    fn established(&self) -> bool {
        !self.0.is_handshaking()
    }

    fn suite(&self) -> Option<CipherSuite> {
        let suite = self.0.negotiated_cipher_suite()?;
        Some(CipherSuite(suite.suite().into()))
    }

    fn send(&mut self, data: &[u8], output: &mut Wire) -> Result<()> {
        self.0.writer().write_all(data)?;
        self.flush(output)
    }

    fn receive(&mut self, input: &mut Wire, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        // What came right behind the peer's Finished was taken with it.
        self.drain(sink);
        while !input.is_empty() {
            self.0.read_tls(input)?;
            self.0.process_new_packets().context("rustls cannot open")?;
            self.drain(sink);
        }
        Ok(())
    }
}
