//! Everything that may take time, pending for a number of polls.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use crypto_api::{
    ActiveKeyExchange, CryptoProvider, Implementation, KeyExchangeGroup, KeyExchangeResponse,
    NamedGroup, Op, PendingOp, SecureRandom, SharedSecret, SignatureScheme, SigningKey,
};
use rustls_pki_types::{Der, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use crate::Error;
use crate::config::{
    CertificateRequestInfo, CertificateSelector, CertifiedKey, ClientAuth,
    ClientCertificateSelector, ClientHelloInfo, ClientSettings, ServerSettings,
};
use crate::verify::{CertificateChain, ClientVerifier, ServerVerifier, VerifiedPeer};

pub(crate) const IMPLEMENTATION: Implementation = Implementation {
    backend: "test",
    detail: "slow",
};

/// An operation that is ready after a number of polls.
struct After<T, E> {
    polls: usize,
    outcome: Option<Result<T, E>>,
}

impl<T: Send, E: Send> PendingOp<T, E> for After<T, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        if self.polls > 0 {
            self.polls -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.outcome.take().expect("polled after it was ready"))
    }
}

/// `op`, but pending for `polls` polls; as it is for none.
pub(crate) fn delayed<T: Send + 'static, E: Send + 'static>(
    op: Op<T, E>,
    polls: usize,
) -> Op<T, E> {
    match op {
        Op::Ready(outcome) if polls > 0 => Op::Pending(Box::new(After {
            polls,
            outcome: Some(outcome),
        })),
        as_is => as_is,
    }
}

/// Something whose operations are pending for a number of polls.
#[derive(Debug)]
struct Slow<T> {
    polls: usize,
    inner: T,
}

/// The same client, whose every operation takes so many polls.
pub(crate) fn slow_client(mut settings: ClientSettings, polls: usize) -> ClientSettings {
    settings.provider = slow_provider(&settings.provider, polls);
    let inner = settings.verifier;
    settings.verifier = Arc::new(Slow { polls, inner });
    settings.certificates = settings
        .certificates
        .map(|inner| Arc::new(Slow { polls, inner }) as Arc<dyn ClientCertificateSelector>);
    settings
}

/// The same server, whose every operation takes so many polls.
pub(crate) fn slow_server(mut settings: ServerSettings, polls: usize) -> ServerSettings {
    settings.provider = slow_provider(&settings.provider, polls);
    let inner = settings.certificates;
    settings.certificates = Arc::new(Slow { polls, inner });
    let slow = |inner: Arc<dyn ClientVerifier>| Arc::new(Slow { polls, inner });
    settings.client_auth = match settings.client_auth {
        ClientAuth::None => ClientAuth::None,
        ClientAuth::Optional(verifier) => ClientAuth::Optional(slow(verifier)),
        ClientAuth::Required(verifier) => ClientAuth::Required(slow(verifier)),
    };
    settings
}

fn slow_provider(provider: &CryptoProvider, polls: usize) -> Arc<CryptoProvider> {
    let mut provider = provider.clone();
    for group in &mut provider.groups {
        let inner = group.clone();
        *group = Arc::new(Slow { polls, inner });
    }
    Arc::new(provider)
}

fn slow_key(certified: &CertifiedKey, polls: usize) -> Arc<CertifiedKey> {
    let inner = certified.key().clone();
    let key = Arc::new(Slow { polls, inner });
    Arc::new(CertifiedKey::new(certified.chain().clone(), key).unwrap())
}

impl KeyExchangeGroup for Slow<Arc<dyn KeyExchangeGroup>> {
    fn id(&self) -> NamedGroup {
        self.inner.id()
    }

    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>> {
        let polls = self.polls;
        let started = self.inner.start(random).then(move |inner| {
            inner.map(|inner| Box::new(Slow { polls, inner }) as Box<dyn ActiveKeyExchange>)
        });
        delayed(started, self.polls)
    }

    fn respond(&self, share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse> {
        delayed(self.inner.respond(share, random), self.polls)
    }

    fn implementation(&self) -> Implementation {
        IMPLEMENTATION
    }
}

impl ActiveKeyExchange for Slow<Box<dyn ActiveKeyExchange>> {
    fn group(&self) -> NamedGroup {
        self.inner.group()
    }

    fn share(&self) -> &[u8] {
        self.inner.share()
    }

    fn complete(self: Box<Self>, share: &[u8]) -> Op<SharedSecret> {
        delayed(self.inner.complete(share), self.polls)
    }
}

impl SigningKey for Slow<Arc<dyn SigningKey>> {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.inner.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.inner.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        delayed(self.inner.sign(scheme, message, random), self.polls)
    }

    fn implementation(&self) -> Implementation {
        IMPLEMENTATION
    }
}

impl ServerVerifier for Slow<Arc<dyn ServerVerifier>> {
    fn verify_server(
        &self,
        chain: &CertificateChain,
        name: &ServerName<'static>,
        now: UnixTime,
    ) -> Op<VerifiedPeer, Error> {
        delayed(self.inner.verify_server(chain, name, now), self.polls)
    }
}

impl ClientVerifier for Slow<Arc<dyn ClientVerifier>> {
    fn verify_client(&self, chain: &CertificateChain, now: UnixTime) -> Op<VerifiedPeer, Error> {
        delayed(self.inner.verify_client(chain, now), self.polls)
    }

    fn authorities(&self) -> &[Der<'static>] {
        self.inner.authorities()
    }
}

impl CertificateSelector for Slow<Arc<dyn CertificateSelector>> {
    fn select(&self, hello: &ClientHelloInfo<'_>) -> Op<Arc<CertifiedKey>, Error> {
        let polls = self.polls;
        let selected = self.inner.select(hello);
        let selected = selected.then(move |chosen| chosen.map(|chosen| slow_key(&chosen, polls)));
        delayed(selected, polls)
    }
}

impl ClientCertificateSelector for Slow<Arc<dyn ClientCertificateSelector>> {
    fn select(&self, request: &CertificateRequestInfo<'_>) -> Op<Option<Arc<CertifiedKey>>, Error> {
        let polls = self.polls;
        let selected = self
            .inner
            .select(request)
            .then(move |chosen| chosen.map(|chosen| chosen.map(|chosen| slow_key(&chosen, polls))));
        delayed(selected, polls)
    }
}
