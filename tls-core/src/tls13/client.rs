//! The client's handshake, from top to bottom.
//!
//! ```text
//!      make key shares               (may take time)
//! -->  ClientHello
//! <--  [HelloRetryRequest: a new share; ClientHello again]
//! <--  ServerHello                   complete the exchange  (may take time)
//! <--  EncryptedExtensions
//! <--  [CertificateRequest]
//! <--  Certificate                   verify                 (may take time)
//! <--  CertificateVerify
//! <--  Finished                      [select a certificate  (may take time)
//!                                     sign                  (may take time)]
//! -->  [Certificate, CertificateVerify], Finished
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crypto_api::{ActiveKeyExchange, CipherSuite, Digest, NamedGroup, Suite};
use rustls_pki_types::{ServerName, UnixTime};

use super::flight::{Change, Output, after};
use super::schedule::{EarlySecret, HandshakeSecret, Log, TrafficSecret};
use super::signature::{self, Signer};
use super::transcript::Transcript;
use super::{Established, Negotiated, Next, Secrets, State as Wait, hash_of};
use crate::config::{CertificateRequestInfo, ClientConfig, choose_scheme};
use crate::record::Message;
use crate::verify::{CertificateChain, VerifiedPeer};
use crate::wire::codec::Reader;
use crate::wire::extensions::Extensions;
use crate::wire::hello::{ClientHelloOut, KeyShare, ServerHello, ServerHelloKind};
use crate::wire::messages::{self, CertificateRequest, EncryptedExtensions};
use crate::wire::{ExtensionType, HandshakeType};
use crate::{Error, Misbehaviour, Parameter, limits};

/// What a client waits for.
pub(crate) enum State {
    ServerHello(AwaitServerHello),
    EncryptedExtensions(AwaitEncryptedExtensions),
    /// Certificate, or a CertificateRequest before it.
    Certificate(AwaitCertificate),
    CertificateVerify(AwaitCertificateVerify),
    Finished(AwaitFinished),
}

impl State {
    /// Takes the message that the client waits for, and no other.
    pub(crate) fn receive(
        self,
        message: &Message,
        now: UnixTime,
        out: &mut Output,
    ) -> Result<Next, Error> {
        match (self, message.kind()) {
            (Self::ServerHello(state), HandshakeType::SERVER_HELLO) => state.receive(message, out),
            (Self::EncryptedExtensions(state), HandshakeType::ENCRYPTED_EXTENSIONS) => {
                state.receive(message)
            }
            (Self::Certificate(state), HandshakeType::CERTIFICATE_REQUEST)
                if state.rest.request.is_none() =>
            {
                state.receive_request(message)
            }
            (Self::Certificate(state), HandshakeType::CERTIFICATE) => {
                state.receive(message, now, out)
            }
            (Self::CertificateVerify(state), HandshakeType::CERTIFICATE_VERIFY) => {
                state.receive(message)
            }
            (Self::Finished(state), HandshakeType::FINISHED) => state.receive(message, out),
            (state, kind) => Err(Misbehaviour::UnexpectedMessage {
                expected: state.expected(),
                got: kind.0,
            }
            .into()),
        }
    }

    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::ServerHello(_) => "ServerHello",
            Self::EncryptedExtensions(_) => "EncryptedExtensions",
            Self::Certificate(_) => "Certificate",
            Self::CertificateVerify(_) => "CertificateVerify",
            Self::Finished(_) => "Finished",
        }
    }
}

/// What stays the same over both ClientHellos.
struct Hello {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    random: [u8; 32],
    session_id: Vec<u8>,
    /// Whether the dummy change_cipher_spec was sent.
    dummy_sent: bool,
}

type Shares = Vec<Box<dyn ActiveKeyExchange>>;

/// Begins: makes key shares and sends the ClientHello.
pub(crate) fn start(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    out: &mut Output,
) -> Result<Next, Error> {
    let settings = config.settings();
    let mut random = [0; 32];
    settings.provider.random.fill(&mut random)?;
    let mut session_id = Vec::new();
    if settings.middlebox_compatibility {
        session_id.resize(32, 0);
        settings.provider.random.fill(&mut session_id)?;
    }
    let hello = Box::new(Hello {
        config,
        name,
        random,
        session_id,
        dummy_sent: false,
    });
    make_shares(hello, Vec::new(), out)
}

/// Makes the next of the configured shares; with all of them, sends the ClientHello.
fn make_shares(hello: Box<Hello>, mut shares: Shares, out: &mut Output) -> Result<Next, Error> {
    let settings = hello.config.settings();
    let Some(group) = settings.key_shares.get(shares.len()) else {
        return send_hello(hello, shares, out);
    };
    let exchange = start_exchange(&hello.config, *group)?;
    after(exchange, out, move |exchange, out| {
        shares.push(exchange);
        make_shares(hello, shares, out)
    })
}

fn start_exchange(
    config: &ClientConfig,
    group: NamedGroup,
) -> Result<crypto_api::Op<Box<dyn ActiveKeyExchange>>, Error> {
    let provider = &config.settings().provider;
    let group = provider
        .group(group)
        .ok_or(Error::Usage("provider changed after it was checked"))?;
    Ok(group.start(provider.random.as_ref()))
}

fn send_hello(hello: Box<Hello>, shares: Shares, out: &mut Output) -> Result<Next, Error> {
    let sent = out
        .raw_message(|bytes| hello.encode(bytes, &shares, None))
        .to_vec();
    let asked = extensions_of(&sent)?;
    Ok(Next::Wait(Wait::Client(State::ServerHello(
        AwaitServerHello {
            hello,
            shares,
            asked,
            progress: Progress::First { sent },
        },
    ))))
}

impl Hello {
    fn encode(&self, bytes: &mut Vec<u8>, shares: &Shares, cookie: Option<&[u8]>) {
        let settings = self.config.settings();
        let provider = &settings.provider;
        let suites: Vec<CipherSuite> = super::suites(provider).map(|suite| suite.id).collect();
        let groups: Vec<NamedGroup> = provider.groups.iter().map(|group| group.id()).collect();
        let key_shares: Vec<KeyShare<'_>> = shares
            .iter()
            .map(|share| (share.group(), share.share()))
            .collect();
        let all = provider.verification_schemes();
        let server_name = match &self.name {
            ServerName::DnsName(name) if settings.send_server_name => {
                // Without the dot of the root (RFC 6066, section 3).
                let name = name.as_ref();
                Some(name.strip_suffix('.').unwrap_or(name))
            }
            // Addresses are not names (RFC 6066, section 3).
            _ => None,
        };
        ClientHelloOut {
            random: &self.random,
            session_id: &self.session_id,
            cipher_suites: &suites,
            server_name,
            groups: &groups,
            key_shares: &key_shares,
            schemes: &settings.signature_schemes,
            certificate_schemes: (all != settings.signature_schemes).then_some(&all),
            alpn: &settings.alpn,
            cookie,
        }
        .encode(bytes);
    }

    /// The one dummy that goes before the client's second flight (RFC 9846, appendix E.4).
    fn change_cipher_spec(&mut self, out: &mut Output) {
        if !self.session_id.is_empty() && !self.dummy_sent {
            self.dummy_sent = true;
            out.change(Change::DummySpec);
        }
    }
}

/// The types of the extensions that a ClientHello of ours carries.
fn extensions_of(client_hello: &[u8]) -> Result<Vec<ExtensionType>, Error> {
    let mut reader = Reader::new(client_hello, "own ClientHello");
    // Header, legacy_version and random; session id; suites; compression methods.
    reader.take(4 + 2 + 32)?;
    reader.vec8()?;
    reader.vec16()?;
    reader.vec8()?;
    let list = Extensions::read(&mut reader, "own ClientHello")?;
    Ok(list.iter().map(|(kind, _)| kind).collect())
}

/// Waiting for a ServerHello, or the HelloRetryRequest before it.
pub(crate) struct AwaitServerHello {
    hello: Box<Hello>,
    shares: Shares,
    /// The extensions that the server may answer.
    asked: Vec<ExtensionType>,
    progress: Progress,
}

enum Progress {
    /// One ClientHello was sent. Which hash its transcript is of, the server will say.
    First { sent: Vec<u8> },
    /// A second one was sent, after a HelloRetryRequest that chose this suite.
    Second {
        transcript: Transcript,
        suite: CipherSuite,
    },
}

impl AwaitServerHello {
    fn receive(self, message: &Message, out: &mut Output) -> Result<Next, Error> {
        let answer = ServerHello::parse(message.body(), |kind| self.asked.contains(&kind));
        let answer = answer.map_err(|error| match (&self.progress, error) {
            // The HelloRetryRequest has settled the version (section 4.2.4).
            (Progress::Second { .. }, Error::NoCommon(Parameter::Version)) => {
                Misbehaviour::IllegalParameter(
                    "version of ServerHello, not that of HelloRetryRequest",
                )
                .into()
            }
            (_, error) => error,
        })?;
        if answer.session_id != self.hello.session_id {
            return Err(Misbehaviour::IllegalParameter("session id of ServerHello").into());
        }
        let provider = &self.hello.config.settings().provider;
        let suite = super::suites(provider)
            .find(|suite| suite.id == answer.cipher_suite)
            .ok_or(Misbehaviour::IllegalParameter(
                "cipher suite of ServerHello",
            ))?
            .clone();
        match answer.kind {
            ServerHelloKind::Retry { group, cookie } => {
                self.retry(message, &suite, group, cookie, out)
            }
            ServerHelloKind::Hello { key_share } => self.accept(message, suite, key_share, out),
        }
    }

    /// Sends a second ClientHello (RFC 9846, section 4.2.4).
    fn retry(
        self,
        message: &Message,
        suite: &Suite,
        group: Option<NamedGroup>,
        cookie: Option<&[u8]>,
        out: &mut Output,
    ) -> Result<Next, Error> {
        let Progress::First { sent } = self.progress else {
            return Err(Misbehaviour::UnexpectedMessage {
                expected: "ServerHello (a second HelloRetryRequest came)",
                got: message.kind().0,
            }
            .into());
        };
        let Self { hello, shares, .. } = self;
        let provider = &hello.config.settings().provider;
        let mut transcript = Transcript::new(&hash_of(provider, suite)?)?;
        transcript.add(&sent);
        let mut transcript = transcript.into_retry()?;
        transcript.add(message.bytes());
        if cookie.is_some_and(|cookie| cookie.len() > limits::COOKIE_LEN) {
            return Err(Misbehaviour::IllegalParameter("cookie").into());
        }
        let has_cookie = cookie.is_some();
        let chosen = suite.id;
        let cookie = cookie.map(<[u8]>::to_vec);
        let again = move |mut hello: Box<Hello>, shares: Shares, out: &mut Output| {
            hello.change_cipher_spec(out);
            let sent = out.raw_message(|bytes| hello.encode(bytes, &shares, cookie.as_deref()));
            transcript.add(sent);
            let asked = extensions_of(sent)?;
            Ok(Next::Wait(Wait::Client(State::ServerHello(Self {
                hello,
                shares,
                asked,
                progress: Progress::Second {
                    transcript,
                    suite: chosen,
                },
            }))))
        };
        match group {
            Some(group) => {
                let offered = provider.group(group).is_some();
                let sent_already = shares.iter().any(|share| share.group() == group);
                if !offered || sent_already {
                    return Err(Misbehaviour::PointlessRetry.into());
                }
                let exchange = start_exchange(&hello.config, group)?;
                after(exchange, out, move |exchange, out| {
                    again(hello, alloc::vec![exchange], out)
                })
            }
            // A cookie alone: the same shares again.
            None if has_cookie => again(hello, shares, out),
            None => Err(Misbehaviour::PointlessRetry.into()),
        }
    }

    /// Completes the key exchange.
    fn accept(
        self,
        message: &Message,
        suite: Suite,
        (group, share): KeyShare<'_>,
        out: &mut Output,
    ) -> Result<Next, Error> {
        let Self {
            hello,
            mut shares,
            asked,
            progress,
        } = self;
        let provider = &hello.config.settings().provider;
        let hash = hash_of(provider, &suite)?;
        let mut transcript = match progress {
            Progress::First { sent } => {
                let mut transcript = Transcript::new(&hash)?;
                transcript.add(&sent);
                transcript
            }
            Progress::Second {
                transcript,
                suite: chosen,
            } => {
                if chosen != suite.id {
                    return Err(Misbehaviour::IllegalParameter(
                        "cipher suite of ServerHello, not that of HelloRetryRequest",
                    )
                    .into());
                }
                transcript
            }
        };
        transcript.add(message.bytes());
        let at = shares
            .iter()
            .position(|share| share.group() == group)
            .ok_or(Misbehaviour::IllegalParameter("group of ServerHello"))?;
        let exchange = shares.swap_remove(at).complete(share);
        after(exchange, out, move |secret, out| {
            let handshake = EarlySecret::new(hash)?.into_handshake(&secret)?;
            let settings = hello.config.settings();
            let log = Log {
                to: settings.key_log.as_deref(),
                client_random: &hello.random,
            };
            let (client_secret, server_secret) = handshake.traffic(&transcript.digest()?, &log)?;
            out.change(Change::Read(server_secret.opener(&suite)?));
            out.change(Change::Write(client_secret.write_keys(&suite)?));
            Ok(Next::Wait(Wait::Client(State::EncryptedExtensions(
                AwaitEncryptedExtensions {
                    rest: Box::new(Rest {
                        hello,
                        asked,
                        transcript,
                        handshake,
                        client_secret,
                        server_secret,
                        request: None,
                        negotiated: Negotiated {
                            suite,
                            group,
                            alpn: None,
                            server_name: None,
                            peer_certificates: None,
                            scheme: None,
                        },
                    }),
                },
            ))))
        })
    }
}

/// What is needed until the handshake is over.
struct Rest {
    hello: Box<Hello>,
    /// The extensions that the server may answer.
    asked: Vec<ExtensionType>,
    transcript: Transcript,
    handshake: HandshakeSecret,
    client_secret: TrafficSecret,
    server_secret: TrafficSecret,
    /// The server's wish for a certificate.
    request: Option<CertificateRequest>,
    negotiated: Negotiated,
}

/// Waiting for EncryptedExtensions.
pub(crate) struct AwaitEncryptedExtensions {
    rest: Box<Rest>,
}

impl AwaitEncryptedExtensions {
    fn receive(self, message: &Message) -> Result<Next, Error> {
        let Self { mut rest } = self;
        let asked = |kind| rest.asked.contains(&kind);
        let extensions = EncryptedExtensions::parse(message.body(), asked)?;
        if let Some(chosen) = &extensions.alpn
            && !rest.hello.config.settings().alpn.contains(chosen)
        {
            return Err(Misbehaviour::IllegalParameter("ALPN").into());
        }
        rest.negotiated.alpn = extensions.alpn;
        rest.transcript.add(message.bytes());
        Ok(Next::Wait(Wait::Client(State::Certificate(
            AwaitCertificate { rest },
        ))))
    }
}

/// Waiting for the server's Certificate.
pub(crate) struct AwaitCertificate {
    rest: Box<Rest>,
}

impl AwaitCertificate {
    fn receive_request(self, message: &Message) -> Result<Next, Error> {
        let Self { mut rest } = self;
        rest.request = Some(CertificateRequest::parse(message.body())?);
        rest.transcript.add(message.bytes());
        Ok(Next::Wait(Wait::Client(State::Certificate(Self { rest }))))
    }

    fn receive(self, message: &Message, now: UnixTime, out: &mut Output) -> Result<Next, Error> {
        let Self { mut rest } = self;
        let chain = messages::parse_certificate(message.body(), |kind| rest.asked.contains(&kind))?;
        if chain.is_empty() {
            // RFC 9846, section 4.5.1: a server always has one.
            return Err(Error::Decode("Certificate of the server, which is empty"));
        }
        rest.transcript.add(message.bytes());
        let hello = &rest.hello;
        let verifier = &hello.config.settings().verifier;
        let verified = verifier.verify_server(&chain, &hello.name, now);
        after(verified, out, move |peer, _| {
            Ok(Next::Wait(Wait::Client(State::CertificateVerify(
                AwaitCertificateVerify { rest, chain, peer },
            ))))
        })
    }
}

/// Waiting for the server's CertificateVerify.
pub(crate) struct AwaitCertificateVerify {
    rest: Box<Rest>,
    chain: CertificateChain,
    peer: VerifiedPeer,
}

impl AwaitCertificateVerify {
    fn receive(self, message: &Message) -> Result<Next, Error> {
        let Self {
            mut rest,
            chain,
            peer,
        } = self;
        let settings = rest.hello.config.settings();
        let scheme = signature::check(
            &settings.provider,
            &settings.signature_schemes,
            &peer,
            Signer::Server,
            &rest.transcript.digest()?,
            message.body(),
        )?;
        rest.transcript.add(message.bytes());
        rest.negotiated.peer_certificates = Some(chain);
        rest.negotiated.scheme = Some(scheme);
        Ok(Next::Wait(Wait::Client(State::Finished(AwaitFinished {
            rest,
        }))))
    }
}

/// Waiting for the server's Finished.
pub(crate) struct AwaitFinished {
    rest: Box<Rest>,
}

impl AwaitFinished {
    fn receive(self, message: &Message, out: &mut Output) -> Result<Next, Error> {
        let Self { mut rest } = self;
        let expected = rest.server_secret.finished(&rest.transcript.digest()?)?;
        if expected.as_bytes().len() != message.body().len() {
            return Err(Error::Decode("Finished"));
        }
        if expected != *message.body() {
            return Err(Misbehaviour::WrongFinished.into());
        }
        rest.transcript.add(message.bytes());
        // The application keys cover the transcript up to here (section 7.1).
        let until_server_finished = rest.transcript.digest()?;
        rest.hello.change_cipher_spec(out);

        let Some(request) = rest.request.take() else {
            return finish(rest, &until_server_finished, out);
        };
        let selected = match &rest.hello.config.settings().certificates {
            Some(selector) => selector.select(&CertificateRequestInfo {
                signature_schemes: &request.schemes,
                certificate_schemes: request.certificate_schemes.as_deref(),
                authorities: &request.authorities,
            }),
            None => crypto_api::Op::ok(None),
        };
        after(selected, out, move |certified, out| {
            let Some(certified) = certified else {
                out.message(&mut rest.transcript, |bytes| {
                    messages::encode_certificate(bytes, &[]);
                });
                return finish(rest, &until_server_finished, out);
            };
            out.message(&mut rest.transcript, |bytes| {
                messages::encode_certificate(bytes, certified.chain());
            });
            let scheme = choose_scheme(&certified, &request.schemes)?;
            let content = signature::content(Signer::Client, &rest.transcript.digest()?);
            let random = &rest.hello.config.settings().provider.random;
            let signature = certified.key().sign(scheme, &content, random.as_ref());
            after(signature, out, move |signature, out| {
                out.message(&mut rest.transcript, |bytes| {
                    messages::encode_certificate_verify(bytes, scheme, &signature);
                });
                finish(rest, &until_server_finished, out)
            })
        })
    }
}

/// Sends Finished and goes over to application keys.
fn finish(
    mut rest: Box<Rest>,
    until_server_finished: &Digest,
    out: &mut Output,
) -> Result<Next, Error> {
    let verify_data = rest.client_secret.finished(&rest.transcript.digest()?)?;
    out.message(&mut rest.transcript, |bytes| {
        messages::encode_finished(bytes, verify_data.as_bytes());
    });
    let settings = rest.hello.config.settings();
    let log = Log {
        to: settings.key_log.as_deref(),
        client_random: &rest.hello.random,
    };
    let (client_traffic, server_traffic, exporter) = rest
        .handshake
        .into_master()?
        .into_traffic(until_server_finished, &log)?;
    let suite = &rest.negotiated.suite;
    out.change(Change::Write(client_traffic.write_keys(suite)?));
    out.change(Change::Read(server_traffic.opener(suite)?));
    Ok(Next::Established(Box::new(Established {
        negotiated: rest.negotiated,
        secrets: Some(Secrets {
            exporter,
            read: server_traffic,
            write: client_traffic,
        }),
    })))
}
