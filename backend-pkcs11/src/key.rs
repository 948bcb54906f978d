//! What a program holds: a private key in one token or several.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crypto_api::{Error, Implementation, Op, PendingOp, SecureRandom, SignatureScheme, SigningKey};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use crate::NAME;
use crate::builder::{Builder, Sessions, shown};
use crate::code::Class;
use crate::error::{OpenError, Reason};
use crate::meter::{KeyMeter, Stats};
use crate::module::lock;
use crate::opening::Opening;
use crate::place::Place;
use crate::pool::{Handle, Pending, Pool};
use crate::process::PerProcess;
use crate::signing::{self, Opened, Signing};
use crate::uri::Uri;

/// A private key that stays in its token. Cheap to clone: clones share the signing threads,
/// which end after the last clone and the last request are gone.
#[derive(Clone)]
pub struct Pkcs11Key(Arc<Inner>);

struct Inner {
    handle: Arc<Handle>,
    uri: String,
    schemes: Vec<SignatureScheme>,
    public: SubjectPublicKeyInfoDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    fallback: Option<Fallback>,
    implementation: Implementation,
}

/// Who signs when no token does.
#[derive(Clone)]
struct Fallback {
    key: Arc<dyn SigningKey>,
    /// For requests whose caller has long gone on.
    random: Arc<dyn SecureRandom>,
}

/// How busy a key is: for whoever decides what to accept.
///
/// A server under more load than its token can bear may refuse new connections while this is
/// not [`Load::Normal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Load {
    /// Requests are being done, so many wait.
    Normal {
        /// How many requests wait.
        queued: usize,
    },
    /// The queue is full: requests are refused.
    Full,
    /// No token answers, or its PIN is refused: requests wait for one, or are refused.
    Down,
}

impl Pkcs11Key {
    /// The key at `uri`, to be opened. What it signs is verified with the algorithms of
    /// `provider`.
    pub fn builder(uri: impl Into<String>, provider: &crypto_api::CryptoProvider) -> Builder {
        Builder::new(uri, provider)
    }

    /// The certificate chain from the token (or the builder), the end entity's first. It
    /// was read once, when the key was opened. Empty if the token holds none for the key.
    pub fn certificate_chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// The URI of the key, without its PIN.
    pub fn uri(&self) -> &str {
        &self.0.uri
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.0.handle.pool.stats()
    }

    /// How busy it is now.
    pub fn load(&self) -> Load {
        let busy = self.0.handle.pool.busy();
        match busy {
            _ if !busy.up => Load::Down,
            _ if !busy.room => Load::Full,
            _ => Load::Normal {
                queued: busy.queued,
            },
        }
    }

    /// The same key for callers that want to wait: its operations are always ready.
    pub fn blocking(&self) -> BlockingKey {
        BlockingKey(self.clone())
    }

    /// Gives this handle up and, if it was the last, waits until the signing threads have
    /// ended and the module is finalised. To be called before a program ends: a module's
    /// own clean-up at exit must not meet a thread that is still inside.
    ///
    /// If calls hang it waits for two [hang limits](Builder::hang_limit), and half a second,
    /// and leaves them behind.
    pub fn close(self) {
        let pool = self.0.handle.pool.clone();
        let last = Arc::into_inner(self.0);
        let Some(inner) = last else {
            return;
        };
        // A request that is under way keeps the threads.
        if Arc::into_inner(inner.handle).is_some() {
            pool.wait_for_end();
        }
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Key")
            .field("uri", &format_args!("{}", self.0.uri))
            .field("schemes", &self.0.schemes)
            .finish_non_exhaustive()
    }
}

impl SigningKey for Pkcs11Key {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.0.public.clone())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &self.0.schemes
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        let Some(job) = self.0.schemes.iter().position(|each| *each == scheme) else {
            return Op::err(Error::Unsupported("signature scheme of a key in a token"));
        };
        let handle = &self.0.handle;
        match (handle.pool.submit(handle, job, message), &self.0.fallback) {
            (Ok(pending), None) => Op::Pending(Box::new(pending)),
            (Ok(pending), Some(fallback)) => Op::Pending(Box::new(OrFallback {
                stage: Stage::Token(pending),
                pool: handle.pool.clone(),
                scheme,
                fallback: fallback.clone(),
            })),
            (Err(Error::Unavailable { .. }), Some(fallback)) => {
                handle.pool.meter.fallback.add();
                fallback.key.sign(scheme, message, random)
            }
            (Err(error), _) => Op::err(error),
        }
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation
    }
}

/// A request that the fallback key gets if the tokens turn out to be of no use.
struct OrFallback {
    stage: Stage,
    pool: Arc<Pool>,
    scheme: SignatureScheme,
    fallback: Fallback,
}

enum Stage {
    Token(Pending),
    Fallback(Box<dyn PendingOp<Vec<u8>>>),
}

impl PendingOp<Vec<u8>> for OrFallback {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let pending = match &mut self.stage {
            Stage::Fallback(op) => return op.poll(cx),
            Stage::Token(pending) => pending,
        };
        match pending.poll(cx) {
            Poll::Ready(Err(Error::Unavailable { .. })) => {}
            outcome => return outcome,
        }
        self.pool.meter.fallback.add();
        let Fallback { key, random } = &self.fallback;
        match key.sign(self.scheme, pending.data(), &**random) {
            Op::Ready(outcome) => Poll::Ready(outcome),
            Op::Pending(mut op) => {
                let outcome = op.poll(cx);
                self.stage = Stage::Fallback(op);
                outcome
            }
        }
    }
}

/// A key whose operations sleep until they are ready: for programs with a thread per
/// connection. PKCS#11 functions run on the same threads as for [`Pkcs11Key`].
#[derive(Clone, Debug)]
pub struct BlockingKey(Pkcs11Key);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl SigningKey for BlockingKey {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        self.0.schemes()
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        match self.0.sign(scheme, message, random) {
            ready @ Op::Ready(_) => ready,
            Op::Pending(mut pending) => {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                let mut cx = Context::from_waker(&waker);
                loop {
                    if let Poll::Ready(outcome) = pending.poll(&mut cx) {
                        return Op::Ready(outcome);
                    }
                    std::thread::park();
                }
            }
        }
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation()
    }
}

impl Builder {
    /// Starts opening.
    pub(crate) fn start(self) -> Opening {
        let uri = self.shown();
        Opening::start(uri, self.settings.open_timeout, move || self.open_here())
    }

    /// The first URI without its PIN, as far as it can be read.
    pub(crate) fn shown(&self) -> String {
        shown(self.places.first().map_or("", String::as_str))
    }

    /// Opens the key on this thread, which is one of this crate.
    pub(crate) fn open_here(mut self) -> Result<Pkcs11Key, OpenError> {
        let uris = self.check()?;
        let until = Instant::now() + self.settings.open_timeout;
        let mut opened: Vec<(Uri, Opened)> = Vec::new();
        for uri in uris {
            let known = opened.first().map(|(_, first)| first.found.public.clone());
            let place = loop {
                match signing::open(&self, &uri, known.as_ref()) {
                    Ok(place) => break place,
                    // A cluster may throttle what is read.
                    Err(reason)
                        if reason.class(&self.profile) == Class::Busy && Instant::now() < until =>
                    {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    Err(reason) => return Err(OpenError::new(&uri, reason)),
                }
            };
            opened.push((uri, place));
        }
        let Some((uri, first)) = opened.first() else {
            return Err(OpenError::new("pkcs11:", Reason::Setting("no URI")));
        };
        let (uri, public) = (uri.to_string(), first.found.public.clone());
        let name = uri.clone();
        let chain = first.chain.clone();
        if let Some(fallback) = &self.fallback {
            // One that does not tell is taken at its word, as certificates are.
            if fallback.public_key().is_some_and(|key| key != public.spki) {
                return Err(OpenError::new("the fallback key", Reason::OtherKey));
            }
            self.settings.reject_when_down = true;
        }
        // What all places can do, as any may get a request.
        let schemes: Vec<SignatureScheme> = first
            .ways
            .iter()
            .map(|way| way.scheme)
            .filter(|scheme| {
                let mut places = opened.iter();
                places.all(|(_, place)| place.ways.iter().any(|way| way.scheme == *scheme))
            })
            .collect();
        if schemes.is_empty() {
            return Err(OpenError::new(&uri, Reason::NoScheme(Vec::new())));
        }
        let most = opened
            .iter()
            .filter_map(|(_, place)| place.most_sessions)
            .min();
        if let (Sessions::Adaptive { min, max }, Some(most)) = (self.settings.sessions, most) {
            // One is the login's, which must not end.
            let max = max.min(most.saturating_sub(1)).max(1);
            self.settings.sessions = Sessions::Adaptive {
                min: min.min(max),
                max,
            };
        }
        let model = first.reached.token.identity.model.clone();
        let implementation = Implementation {
            backend: NAME,
            detail: interned(model),
        };
        let mut modules = Vec::new();
        let mut places = Vec::new();
        for (uri, place) in opened {
            let shown = uri.to_string();
            let by_job = schemes.iter().filter_map(|scheme| {
                let mut ways = place.ways.iter();
                ways.find(|way| way.scheme == *scheme).copied()
            });
            let duty = Signing {
                ways: by_job.collect(),
                id: place.found.id,
                public: public.clone(),
                always_authenticate: place.found.always_authenticate,
                verify: self.settings.verify,
                random: self.random.clone(),
                uri: uri.without_pin(),
            };
            places.push(Place::new(&name, shown, &place.reached, Box::new(duty)));
            modules.push(place.reached.module);
        }
        let meter = KeyMeter::new(&uri);
        let (settings, profile) = (self.settings, self.profile);
        let handle = Pool::start(settings, profile, places, modules, meter, "sign")
            .map_err(|reason| OpenError::new(&uri, reason))?;
        Ok(Pkcs11Key(Arc::new(Inner {
            handle,
            uri,
            schemes,
            public: public.spki,
            chain,
            fallback: self.fallback.map(|key| Fallback {
                key,
                random: self.random,
            }),
            implementation,
        })))
    }
}

/// A text that lives as long as the program; each once in a process.
pub(crate) fn interned(text: String) -> &'static str {
    static KNOWN: PerProcess<Mutex<Vec<&'static str>>> = PerProcess::new();
    let mut known = lock(KNOWN.get());
    if let Some(found) = known.iter().find(|each| **each == text) {
        return found;
    }
    let leaked: &'static str = text.leak();
    known.push(leaked);
    leaked
}
