//! OpenSSL's own TLS, over the same libcrypto as the `openssl` backend.

use std::io::{Read, Write};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use keyway::crypto::{CipherSuite, NamedGroup};
use openssl::pkey::{Id, PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::{Endpoint, Endpoints, Identities, SERVER_NAME, Setup, Stack};
use crate::certs::Identity;
use crate::compare::wire::Wire;

pub(super) struct Libssl {
    name: String,
}

impl Libssl {
    pub(super) fn new() -> Self {
        Self {
            name: "libssl".into(),
        }
    }
}

impl Stack for Libssl {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, setup: &Setup) -> bool {
        common(setup).is_ok()
    }

    fn configure(&self, setup: &Setup, identities: &Identities) -> Result<Arc<dyn Endpoints>> {
        let server_identity = identities.server(setup.key)?;
        let client_identity = identities.client(setup.key)?;

        let mut server = common(setup)?;
        own(&mut server, server_identity)?;
        // Nobody else's server sends tickets here either: the work must be the same.
        server.set_num_tickets(0)?;
        if setup.client_auth {
            trust(&mut server, client_identity)?;
            server.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }

        let mut client = common(setup)?;
        trust(&mut client, server_identity)?;
        client.set_verify(SslVerifyMode::PEER);
        if setup.client_auth {
            own(&mut client, client_identity)?;
        }
        Ok(Arc::new(Contexts {
            server: server.build(),
            client: client.build(),
        }))
    }
}

fn common(setup: &Setup) -> Result<SslContextBuilder> {
    let mut context = SslContextBuilder::new(SslMethod::tls())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_ciphersuites(&setup.suite.to_string())?;
    context.set_groups_list(match setup.group {
        NamedGroup::X25519 => "X25519",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        group => bail!("no name for group {group}"),
    })?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    // One read of the transport for many records.
    context.set_read_ahead(true);
    if setup.release_buffers {
        context.set_mode(SslMode::RELEASE_BUFFERS);
    }
    Ok(context)
}

fn own(context: &mut SslContextBuilder, identity: &Identity) -> Result<()> {
    let leaf = identity.chain.first().context("empty chain")?;
    let certificate = X509::from_der(leaf)?;
    context.set_certificate(&certificate)?;
    context.set_private_key(&*private_key(identity)?)?;
    context.check_private_key()?;
    Ok(())
}

fn private_key(identity: &Identity) -> Result<PKey<Private>> {
    let der = identity.key.secret_der();
    // With its public half (RFC 5958), as Ed25519 keys are generated, libcrypto 3.0 does
    // not read a key: the seed is taken from its place.
    const ED25519_V2: &[u8] = &[
        0x30, 0x51, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    Ok(
        match der.strip_prefix(ED25519_V2).and_then(|rest| rest.get(..32)) {
            Some(seed) => PKey::private_key_from_raw_bytes(seed, Id::ED25519)?,
            None => PKey::private_key_from_der(der)?,
        },
    )
}

fn trust(context: &mut SslContextBuilder, identity: &Identity) -> Result<()> {
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(X509::from_der(&identity.ca_der)?)?;
    context.set_cert_store(store.build());
    Ok(())
}

struct Contexts {
    server: SslContext,
    client: SslContext,
}

impl Endpoints for Contexts {
    fn server(&self) -> Result<Box<dyn Endpoint>> {
        let mut ssl = Ssl::new(&self.server)?;
        ssl.set_accept_state();
        Connection::boxed(ssl)
    }

    fn client(&self) -> Result<Box<dyn Endpoint>> {
        let mut ssl = Ssl::new(&self.client)?;
        ssl.set_connect_state();
        ssl.set_hostname(SERVER_NAME)?;
        ssl.param_mut().set_host(SERVER_NAME)?;
        Connection::boxed(ssl)
    }
}

struct Connection {
    stream: SslStream<Pipe>,
    established: bool,
}

/// What libssl reads from and writes to: the caller's buffers are swapped in for a call.
#[derive(Debug, Default)]
struct Pipe {
    input: Wire,
    output: Wire,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(out)
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.output.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Connection {
    fn boxed(ssl: Ssl) -> Result<Box<dyn Endpoint>> {
        Ok(Box::new(Self {
            stream: SslStream::new(ssl, Pipe::default())?,
            established: false,
        }))
    }

    fn swap_input(&mut self, input: &mut Wire) {
        std::mem::swap(&mut self.stream.get_mut().input, input);
    }

    fn swap_output(&mut self, output: &mut Wire) {
        std::mem::swap(&mut self.stream.get_mut().output, output);
    }
}

impl Endpoint for Connection {
    fn handshake(&mut self, input: &mut Wire, output: &mut Wire) -> Result<()> {
        if self.established {
            return Ok(());
        }
        self.swap_input(input);
        self.swap_output(output);
        let outcome = self.stream.do_handshake();
        self.swap_input(input);
        self.swap_output(output);
        match outcome {
            Ok(()) => {
                self.established = true;
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(()),
            Err(error) => Err(error).context("libssl's handshake failed"),
        }
    }

    fn established(&self) -> bool {
        self.established
    }

    fn suite(&self) -> Option<CipherSuite> {
        let cipher = self.stream.ssl().current_cipher()?;
        CipherSuite::from_name(cipher.standard_name()?)
    }

    fn send(&mut self, data: &[u8], output: &mut Wire) -> Result<()> {
        self.swap_output(output);
        let outcome = self.stream.ssl_write(data);
        self.swap_output(output);
        let written = outcome.context("libssl cannot seal")?;
        ensure!(written == data.len(), "libssl wrote a part of the data");
        Ok(())
    }

    fn receive(&mut self, input: &mut Wire, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut plaintext = [0; 16_384];
        self.swap_input(input);
        let outcome = loop {
            match self.stream.ssl_read(&mut plaintext) {
                Ok(n) => sink(plaintext.get(..n).unwrap_or_default()),
                Err(error) if error.code() == ErrorCode::WANT_READ => break Ok(()),
                Err(error) => break Err(error).context("libssl cannot open"),
            }
        };
        self.swap_input(input);
        outcome
    }
}
