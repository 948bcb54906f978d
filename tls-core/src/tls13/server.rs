//! The server's handshake, from top to bottom.
//!
//! ```text
//! ClientHello        -->
//!                        [HelloRetryRequest; ClientHello again]
//!                        select the certificate     (may take time)
//!                        exchange keys              (may take time)
//!                   <--  ServerHello, EncryptedExtensions, [CertificateRequest], Certificate
//!                        sign                       (may take time)
//!                   <--  CertificateVerify, Finished
//! [Certificate]      -->  verify                    (may take time)
//! [CertificateVerify]-->
//! Finished           -->
//! ```

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crypto_api::{
    CipherSuite, KeyExchangeGroup, KeyExchangeResponse, NamedGroup, SignatureScheme, Suite,
};
use rustls_pki_types::UnixTime;

use super::flight::{Change, Output, after};
use super::schedule::{EarlySecret, ExporterSecret, Log, TrafficSecret};
use super::signature::{self, Signer};
use super::transcript::Transcript;
use super::{Established, Negotiated, Next, Secrets, State as Wait, hash_of};
use crate::config::{CertifiedKey, ClientAuth, ClientHelloInfo, ServerConfig, choose_scheme};
use crate::record::Message;
use crate::verify::{CertificateChain, VerifiedPeer};
use crate::wire::hello::{self, ClientHello, FALLBACK_SCSV};
use crate::wire::messages::{self, EncryptedExtensions};
use crate::wire::{HandshakeType, TLS12, TLS13};
use crate::{CertificateError, CertificateProblem, Error, Misbehaviour, Parameter, limits};

/// What a server waits for.
pub(crate) enum State {
    ClientHello(AwaitClientHello),
    Certificate(AwaitCertificate),
    CertificateVerify(AwaitCertificateVerify),
    Finished(AwaitFinished),
}

impl State {
    /// The beginning.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self::ClientHello(AwaitClientHello {
            config,
            retry: None,
        })
    }

    /// Takes the message that the server waits for, and no other.
    pub(crate) fn receive(
        self,
        message: &Message,
        now: UnixTime,
        out: &mut Output,
    ) -> Result<Next, Error> {
        match (self, message.kind()) {
            (Self::ClientHello(state), HandshakeType::CLIENT_HELLO) => state.receive(message, out),
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
            Self::ClientHello(_) => "ClientHello",
            Self::Certificate(_) => "Certificate",
            Self::CertificateVerify(_) => "CertificateVerify",
            Self::Finished(_) => "Finished",
        }
    }

    /// Whether the client may send a dummy change_cipher_spec now: after its first
    /// ClientHello and before its Finished (RFC 9846, section 5).
    pub(crate) fn allows_change_cipher_spec(&self) -> bool {
        !matches!(
            self,
            Self::ClientHello(AwaitClientHello { retry: None, .. })
        )
    }
}

/// Waiting for a ClientHello: the first, or the one after a HelloRetryRequest.
pub(crate) struct AwaitClientHello {
    config: Arc<ServerConfig>,
    retry: Option<Box<Retry>>,
}

/// What a server remembers of the ClientHello that it had repeated.
struct Retry {
    transcript: Transcript,
    suite: Suite,
    group: NamedGroup,
    first: FirstHello,
}

/// What is compared of both ClientHellos: all that this server acts on and that must stay the
/// same (RFC 9846, section 4.2.2). What it does not act on may change unseen, and is in the
/// transcript as it came.
struct FirstHello {
    random: [u8; 32],
    session_id: Vec<u8>,
    cipher_suites: Vec<CipherSuite>,
    server_name: Option<String>,
    groups: Vec<NamedGroup>,
    schemes: Vec<SignatureScheme>,
    certificate_schemes: Option<Vec<SignatureScheme>>,
    alpn: Option<Vec<Vec<u8>>>,
}

impl AwaitClientHello {
    fn receive(self, message: &Message, out: &mut Output) -> Result<Next, Error> {
        let hello = ClientHello::parse(message.body())?;
        let settings = self.config.settings();
        let provider = &settings.provider;

        // Version first: what values mean in an older hello is not to be judged.
        if !hello
            .versions
            .as_ref()
            .is_some_and(|versions| versions.contains(&TLS13))
        {
            // It tried a better version before, and someone in between did not let that pass
            // (RFC 7507, section 3).
            if hello.cipher_suites.contains(&FALLBACK_SCSV) {
                return Err(Misbehaviour::InappropriateFallback.into());
            }
            return Err(Error::NoCommon(Parameter::Version));
        }
        // RFC 8446 had it ignored; RFC 9846, section 4.2.2, has it refused.
        if hello.legacy_version != TLS12 {
            return Err(Misbehaviour::LegacyVersion(hello.legacy_version).into());
        }
        if hello.compression_methods != [0] {
            return Err(Misbehaviour::IllegalParameter("compression methods").into());
        }
        if hello.offers_psk && !hello.psk_modes {
            return Err(Misbehaviour::MissingExtension("psk_key_exchange_modes").into());
        }
        // A handshake with certificates and key exchange needs all three (section 9.2).
        let missing = |name| Error::Misbehaved(Misbehaviour::MissingExtension(name));
        let groups = hello.groups.as_ref().ok_or(missing("supported_groups"))?;
        let shares = hello.key_shares.as_ref().ok_or(missing("key_share"))?;
        let schemes = hello
            .schemes
            .as_ref()
            .ok_or(missing("signature_algorithms"))?;
        if shares.iter().any(|(group, _)| !groups.contains(group)) {
            return Err(Misbehaviour::IllegalParameter("key_share: a group not offered").into());
        }

        let suite = match &self.retry {
            // The choice was announced (section 4.2.4).
            Some(retry) => Some(&retry.suite),
            None => super::suites(provider).find(|suite| hello.cipher_suites.contains(&suite.id)),
        };
        let suite = suite
            .ok_or(Error::NoCommon(Parameter::CipherSuite))?
            .clone();
        let first = FirstHello::of(&hello, groups, schemes);

        let mut transcript;
        let retried = self.retry.is_some();
        let share: Option<(&Arc<dyn KeyExchangeGroup>, &[u8])>;
        if let Some(retry) = self.retry {
            if let Some(field) = retry.first.change(&first) {
                return Err(Misbehaviour::ChangedRetry(field).into());
            }
            if hello.early_data {
                return Err(Misbehaviour::ChangedRetry("early_data").into());
            }
            transcript = retry.transcript;
            // Just the share that was asked for (section 4.2.2).
            share = match shares.as_slice() {
                [(group, share)] if *group == retry.group => {
                    provider.group(*group).map(|group| (group, *share))
                }
                _ => return Err(Misbehaviour::ChangedRetry("key_share").into()),
            };
        } else {
            transcript = Transcript::new(&hash_of(provider, &suite)?)?;
            // In the server's order, but a group with a share before any without: a round
            // trip costs more than a less preferred group.
            share = provider.groups.iter().find_map(|group| {
                let (_, share) = shares.iter().find(|(id, _)| *id == group.id())?;
                Some((group, *share))
            });
        }
        transcript.add(message.bytes());

        if retried {
            // Early data ends at the second ClientHello (section 4.3.10).
            out.change(Change::SkipEarlyData(0));
        } else if hello.early_data && hello.offers_psk {
            out.change(Change::SkipEarlyData(limits::SKIPPED_EARLY_DATA));
        }
        let Some((group, share)) = share else {
            let common = provider
                .groups
                .iter()
                .map(|group| group.id())
                .find(|group| groups.contains(group))
                .ok_or(Error::NoCommon(Parameter::Group))?;
            return request_retry(self.config, transcript, suite, common, first, out);
        };

        let alpn = match &hello.alpn {
            Some(offered) if !settings.alpn.is_empty() => {
                let chosen = settings.alpn.iter().find(|name| offered.contains(name));
                Some(
                    chosen
                        .ok_or(Error::NoCommon(Parameter::ApplicationProtocol))?
                        .clone(),
                )
            }
            _ => None,
        };
        let offer = Offer {
            share: share.to_vec(),
            alpn,
            retried,
            transcript,
            suite,
            first,
        };
        let group = group.clone();
        let certificate = settings.certificates.select(&ClientHelloInfo {
            server_name: offer.first.server_name.as_deref(),
            signature_schemes: schemes,
            certificate_schemes: hello.certificate_schemes.as_deref(),
            alpn: hello.alpn.as_deref().unwrap_or_default(),
            cipher_suites: &hello.cipher_suites,
            groups,
        });
        let config = self.config;
        after(certificate, out, move |certified, out| {
            let scheme = choose_scheme(&certified, &offer.first.schemes)?;
            let random = &config.settings().provider.random;
            let mut server_random = [0; 32];
            random.fill(&mut server_random)?;
            let exchange = group.respond(&offer.share, random.as_ref());
            let group = group.id();
            after(exchange, out, move |exchange, out| {
                answer(
                    config,
                    offer,
                    &server_random,
                    (&certified, scheme),
                    (group, exchange),
                    out,
                )
            })
        })
    }
}

impl FirstHello {
    fn of(hello: &ClientHello<'_>, groups: &[NamedGroup], schemes: &[SignatureScheme]) -> Self {
        Self {
            random: hello.random,
            session_id: hello.session_id.to_vec(),
            cipher_suites: hello.cipher_suites.clone(),
            server_name: hello.server_name.map(|name| {
                let name = name.strip_suffix('.').unwrap_or(name);
                name.to_string().to_ascii_lowercase()
            }),
            groups: groups.to_vec(),
            schemes: schemes.to_vec(),
            certificate_schemes: hello.certificate_schemes.clone(),
            alpn: hello.alpn.clone(),
        }
    }

    /// Names the first field in which `second` differs.
    fn change(&self, second: &Self) -> Option<&'static str> {
        [
            ("random", self.random == second.random),
            ("session id", self.session_id == second.session_id),
            ("cipher suites", self.cipher_suites == second.cipher_suites),
            ("server_name", self.server_name == second.server_name),
            ("supported_groups", self.groups == second.groups),
            ("signature_algorithms", self.schemes == second.schemes),
            (
                "signature_algorithms_cert",
                self.certificate_schemes == second.certificate_schemes,
            ),
            ("ALPN", self.alpn == second.alpn),
        ]
        .iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| *field)
    }
}

/// Asks for a ClientHello with a share in `group`, once (RFC 9846, section 4.2.4).
fn request_retry(
    config: Arc<ServerConfig>,
    transcript: Transcript,
    suite: Suite,
    group: NamedGroup,
    first: FirstHello,
    out: &mut Output,
) -> Result<Next, Error> {
    let mut transcript = transcript.into_retry()?;
    out.message(&mut transcript, |bytes| {
        hello::encode_retry_request(bytes, &first.session_id, suite.id, group);
    });
    if !first.session_id.is_empty() {
        out.change(Change::DummySpec);
    }
    Ok(Next::Wait(Wait::Server(State::ClientHello(
        AwaitClientHello {
            config,
            retry: Some(Box::new(Retry {
                transcript,
                suite,
                group,
                first,
            })),
        },
    ))))
}

/// What was taken from the ClientHello.
struct Offer {
    share: Vec<u8>,
    alpn: Option<Vec<u8>>,
    retried: bool,
    transcript: Transcript,
    suite: Suite,
    first: FirstHello,
}

/// Sends ServerHello to Certificate, and has the handshake signed.
fn answer(
    config: Arc<ServerConfig>,
    offer: Offer,
    server_random: &[u8; 32],
    (certified, scheme): (&CertifiedKey, SignatureScheme),
    (group, exchange): (NamedGroup, KeyExchangeResponse),
    out: &mut Output,
) -> Result<Next, Error> {
    let settings = config.settings();
    let Offer {
        alpn,
        retried,
        mut transcript,
        suite,
        first,
        ..
    } = offer;
    let hash = hash_of(&settings.provider, &suite)?;

    out.message(&mut transcript, |bytes| {
        let share = (group, exchange.share.as_slice());
        hello::encode_server_hello(bytes, server_random, &first.session_id, suite.id, share);
    });
    // One dummy per handshake: the HelloRetryRequest had it already.
    if !first.session_id.is_empty() && !retried {
        out.change(Change::DummySpec);
    }
    let handshake = EarlySecret::new(hash)?.into_handshake(&exchange.secret)?;
    let log = Log {
        to: settings.key_log.as_deref(),
        client_random: &first.random,
    };
    let (client_secret, server_secret) = handshake.traffic(&transcript.digest()?, &log)?;
    out.change(Change::Write(server_secret.write_keys(&suite)?));
    out.change(Change::Read(client_secret.opener(&suite)?));

    let extensions = EncryptedExtensions { alpn: alpn.clone() };
    out.message(&mut transcript, |bytes| {
        extensions.encode(bytes, first.server_name.is_some());
    });
    if let Some(verifier) = settings.client_auth.verifier() {
        let all = settings.provider.verification_schemes();
        let certificate_schemes = (all != settings.signature_schemes).then_some(all.as_slice());
        out.message(&mut transcript, |bytes| {
            messages::encode_certificate_request(
                bytes,
                &settings.signature_schemes,
                certificate_schemes,
                verifier.authorities(),
            );
        });
    }
    out.message(&mut transcript, |bytes| {
        messages::encode_certificate(bytes, certified.chain());
    });

    let content = signature::content(Signer::Server, &transcript.digest()?);
    let signature = certified
        .key()
        .sign(scheme, &content, settings.provider.random.as_ref());
    let negotiated = Negotiated {
        suite,
        group,
        alpn,
        server_name: first.server_name,
        peer_certificates: None,
        scheme: Some(scheme),
    };
    after(signature, out, move |signature, out| {
        out.message(&mut transcript, |bytes| {
            messages::encode_certificate_verify(bytes, scheme, &signature);
        });
        let finished = server_secret.finished(&transcript.digest()?)?;
        out.message(&mut transcript, |bytes| {
            messages::encode_finished(bytes, finished.as_bytes());
        });

        let settings = config.settings();
        let log = Log {
            to: settings.key_log.as_deref(),
            client_random: &first.random,
        };
        let (client_traffic, server_traffic, exporter) = handshake
            .into_master()?
            .into_traffic(&transcript.digest()?, &log)?;
        out.change(Change::Write(server_traffic.write_keys(&negotiated.suite)?));

        let asks = settings.client_auth.verifier().is_some();
        let rest = Box::new(Rest {
            transcript,
            client_secret,
            client_traffic,
            server_traffic,
            exporter,
            negotiated,
        });
        Ok(Next::Wait(Wait::Server(if asks {
            State::Certificate(AwaitCertificate { config, rest })
        } else {
            State::Finished(AwaitFinished { rest })
        })))
    })
}

/// What is needed until the client has finished.
struct Rest {
    transcript: Transcript,
    client_secret: TrafficSecret,
    client_traffic: TrafficSecret,
    server_traffic: TrafficSecret,
    exporter: ExporterSecret,
    negotiated: Negotiated,
}

/// Waiting for the client's Certificate.
pub(crate) struct AwaitCertificate {
    config: Arc<ServerConfig>,
    rest: Box<Rest>,
}

impl AwaitCertificate {
    fn receive(self, message: &Message, now: UnixTime, out: &mut Output) -> Result<Next, Error> {
        let Self { config, mut rest } = self;
        let chain = messages::parse_certificate(message.body(), messages::is_requested)?;
        rest.transcript.add(message.bytes());
        let (required, verifier) = match &config.settings().client_auth {
            ClientAuth::Required(verifier) => (true, verifier),
            ClientAuth::Optional(verifier) => (false, verifier),
            ClientAuth::None => return Err(Error::Usage("client certificate not asked for")),
        };
        if chain.is_empty() {
            if required {
                return Err(Error::Certificate(CertificateError {
                    problem: CertificateProblem::Missing,
                    detail: "the client sent no certificate and one is required".to_string(),
                }));
            }
            return Ok(Next::Wait(Wait::Server(State::Finished(AwaitFinished {
                rest,
            }))));
        }
        let verified = verifier.verify_client(&chain, now);
        after(verified, out, move |peer, _| {
            Ok(Next::Wait(Wait::Server(State::CertificateVerify(
                AwaitCertificateVerify {
                    config,
                    rest,
                    chain,
                    peer,
                },
            ))))
        })
    }
}

/// Waiting for the client's CertificateVerify.
pub(crate) struct AwaitCertificateVerify {
    config: Arc<ServerConfig>,
    rest: Box<Rest>,
    chain: CertificateChain,
    peer: VerifiedPeer,
}

impl AwaitCertificateVerify {
    fn receive(self, message: &Message) -> Result<Next, Error> {
        let Self {
            config,
            mut rest,
            chain,
            peer,
        } = self;
        let settings = config.settings();
        signature::check(
            &settings.provider,
            &settings.signature_schemes,
            &peer,
            Signer::Client,
            &rest.transcript.digest()?,
            message.body(),
        )?;
        rest.transcript.add(message.bytes());
        rest.negotiated.peer_certificates = Some(chain);
        Ok(Next::Wait(Wait::Server(State::Finished(AwaitFinished {
            rest,
        }))))
    }
}

/// Waiting for the client's Finished.
pub(crate) struct AwaitFinished {
    rest: Box<Rest>,
}

impl AwaitFinished {
    fn receive(self, message: &Message, out: &mut Output) -> Result<Next, Error> {
        let Rest {
            transcript,
            client_secret,
            client_traffic,
            server_traffic,
            exporter,
            negotiated,
        } = *self.rest;
        let expected = client_secret.finished(&transcript.digest()?)?;
        if expected.as_bytes().len() != message.body().len() {
            return Err(Error::Decode("Finished"));
        }
        if expected != *message.body() {
            return Err(Misbehaviour::WrongFinished.into());
        }
        out.change(Change::Read(client_traffic.opener(&negotiated.suite)?));
        Ok(Next::Established(Box::new(Established {
            negotiated,
            secrets: Some(Secrets {
                exporter,
                read: client_traffic,
                write: server_traffic,
            }),
        })))
    }
}
