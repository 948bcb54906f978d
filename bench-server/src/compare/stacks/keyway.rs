//! Keyway over every linked backend, and over mixes of them.

use std::sync::Arc;
use std::task::{Context, Waker};

use anyhow::{Context as _, Result};
use keyway::crypto::{CipherSuite, CryptoProvider, Payload};
use keyway::pki;
use keyway::tls::config::{
    CertifiedKey, ClientAuth, ClientConfig, ClientSettings, ServerConfig, ServerSettings,
};
use keyway::tls::{Connection, Event};
use rustls_pki_types::{ServerName, UnixTime};

use super::{Endpoint, Endpoints, Identities, SERVER_NAME, Setup, Stack};
use crate::certs::Identity;
use crate::compare::wire::Wire;

/// Keyway over one provider.
pub(crate) struct KeywayStack {
    name: String,
    /// The backend to be shown beside its record protection alone: each in one stack.
    backend: Option<&'static str>,
    provider: CryptoProvider,
}

impl KeywayStack {
    /// Every linked backend, and with two of them the mixes that say what each part costs.
    pub(crate) fn linked() -> Result<Vec<Self>> {
        let mut stacks = Vec::new();
        for backend in backends() {
            stacks.push(Self::new(backend, Some(backend))?);
        }
        for (at, backend) in backends().iter().enumerate() {
            if cfg!(feature = "aesni") {
                let shown = (at == 0).then_some("aesni");
                let stack = Self::new(&format!("{backend}+records=aesni"), shown)?;
                // A CPU without the instructions would show the same backend twice.
                let suites = &stack.provider.suites;
                if suites
                    .iter()
                    .any(|suite| suite.aead.implementation().backend == "aesni")
                {
                    stacks.push(stack);
                }
            }
        }
        if backends().len() > 1 {
            stacks.push(Self::new("openssl+records=soft", None)?);
            if !cfg!(feature = "aesni") {
                stacks.push(Self::new("soft+records=openssl", None)?);
            }
        }
        Ok(stacks)
    }

    fn new(spec: &str, backend: Option<&'static str>) -> Result<Self> {
        Ok(Self {
            name: format!("keyway {spec}"),
            backend,
            provider: keyway::provider::by_name(spec)?,
        })
    }

    /// The backend whose record protection is measured alone beside this stack.
    pub(crate) fn backend(&self) -> Option<&'static str> {
        self.backend
    }

    /// The cryptography.
    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }
}

/// The backends that are linked, the fastest first.
fn backends() -> &'static [&'static str] {
    &[
        #[cfg(feature = "openssl")]
        "openssl",
        #[cfg(feature = "soft")]
        "soft",
    ]
}

impl Stack for KeywayStack {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, setup: &Setup) -> bool {
        self.provider.suite(setup.suite).is_some() && self.provider.group(setup.group).is_some()
    }

    fn configure(&self, setup: &Setup, identities: &Identities) -> Result<Arc<dyn Endpoints>> {
        let provider = self
            .provider
            .clone()
            .only_suites(&[setup.suite])?
            .only_groups(&[setup.group])?;
        let provider = Arc::new(provider);
        let server_identity = identities.server(setup.key)?;
        let client_identity = identities.client(setup.key)?;

        let certified = certified(&provider, server_identity)?;
        let mut server = ServerSettings::new(provider.clone(), Arc::new(certified));
        if setup.client_auth {
            let verifier = validator(&provider, client_identity)?;
            server.client_auth = ClientAuth::Required(Arc::new(verifier));
        }

        let verifier = validator(&provider, server_identity)?;
        let mut client = ClientSettings::new(provider.clone(), Arc::new(verifier));
        if setup.client_auth {
            client.certificates = Some(Arc::new(self::certified(&provider, client_identity)?));
        }

        Ok(Arc::new(Configs {
            server: Arc::new(ServerConfig::new(server)?),
            client: Arc::new(ClientConfig::new(client)?),
            name: ServerName::try_from(SERVER_NAME)?,
        }))
    }
}

fn certified(provider: &CryptoProvider, identity: &Identity) -> Result<Arc<CertifiedKey>> {
    let key = provider.load_key(&identity.key)?;
    let certified = pki::certified_key(identity.chain.clone(), key)?;
    Ok(Arc::new(certified))
}

fn validator(provider: &CryptoProvider, identity: &Identity) -> Result<pki::PathValidator> {
    let anchors = pki::TrustAnchors::from_certificates(std::slice::from_ref(&identity.ca_der))?;
    Ok(pki::PathValidator::new(anchors, provider)?)
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Endpoints for Configs {
    fn server(&self) -> Result<Box<dyn Endpoint>> {
        Ok(Side::boxed(Connection::server(self.server.clone())))
    }

    fn client(&self) -> Result<Box<dyn Endpoint>> {
        let connection = Connection::client(self.client.clone(), self.name.clone())?;
        Ok(Side::boxed(connection))
    }
}

struct Side {
    connection: Connection,
    /// What came right behind the peer's Finished, before it was asked for.
    early: Vec<u8>,
}

impl Side {
    fn boxed(connection: Connection) -> Box<dyn Endpoint> {
        Box::new(Self {
            connection,
            early: Vec::new(),
        })
    }

    /// Opens what is complete; the linked backends are never pending for long.
    fn take(&mut self, input: &mut Wire, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        let now = UnixTime::now();
        loop {
            let received = self.connection.receive(input.filled(), now)?;
            match received.event {
                Event::Data(range) => {
                    sink(input.filled().get(range).unwrap_or_default());
                    input.consume(received.consumed);
                }
                Event::Suspended => {
                    input.consume(received.consumed);
                    let mut context = Context::from_waker(Waker::noop());
                    while self.connection.poll(&mut context)?.is_pending() {}
                }
                Event::NeedInput { .. } | Event::Closed => {
                    input.consume(received.consumed);
                    return Ok(());
                }
            }
        }
    }

    fn flush(&mut self, output: &mut Wire) {
        let waiting = self.connection.output();
        let n = waiting.len();
        output.spare(n)[..n].copy_from_slice(waiting);
        output.commit(n);
        self.connection.output_sent(n);
    }
}

impl Endpoint for Side {
    fn handshake(&mut self, input: &mut Wire, output: &mut Wire) -> Result<()> {
        let mut early = std::mem::take(&mut self.early);
        let outcome = self.take(input, &mut |data| early.extend_from_slice(data));
        self.early = early;
        self.flush(output);
        outcome.context("Keyway's handshake failed")
    }

    fn established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    fn suite(&self) -> Option<CipherSuite> {
        self.connection.suite()
    }

    fn send(&mut self, data: &[u8], output: &mut Wire) -> Result<()> {
        let mut rest = data;
        // Once, unless a KeyUpdate goes in front and takes the room.
        while !rest.is_empty() {
            let room = self.connection.output().len() + self.connection.sealed_len(rest.len());
            let sealed = self
                .connection
                .seal(Payload::from(rest), output.spare(room))?;
            output.commit(sealed.written);
            rest = rest.get(sealed.consumed..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&mut self, input: &mut Wire, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        if !self.early.is_empty() {
            sink(&std::mem::take(&mut self.early));
        }
        self.take(input, sink).context("Keyway cannot open")
    }
}
