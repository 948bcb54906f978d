//! Session tickets under a key that stays in the token.
//!
//! The token does not encrypt tickets: a resumption that needs an HSM would be no better
//! than a handshake, and whoever sends forged tickets could keep the HSM busy. It computes
//! one HMAC per period instead, of the period's number; from that the keys of the period's
//! tickets are derived, and tickets are sealed in software.
//!
//! An external pre-shared key (RFC 9258) could come from such a key likewise, once the protocol
//! has a place for one: HMAC over a label of its own and the PSK's identity, and HKDF-Expand of
//! that to the length of the suite's hash. Peers that hold the token's key have the same PSK
//! then; others would be given theirs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crypto_api::{
    CipherSuite, CryptoProvider, Error, Hkdf, Implementation, NONCE_LEN, Op, Payload, PendingOp,
    RecordAead, SealRecord, Secret, SecureRandom, TicketProtector, Trailer,
};
use cryptoki_sys as sys;
use rustls_pki_types::UnixTime;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::NAME;
use crate::builder::Builder;
use crate::error::{OpenError, Reason};
use crate::key::interned;
use crate::low::Mechanism;
use crate::meter::{KeyMeter, Stats};
use crate::module::lock;
use crate::object::{self, Look};
use crate::opening::Opening;
use crate::place::{Duty, Located, Place, Reached, Seat};
use crate::pool::{Handle, Pool};
use crate::process::Process;
use crate::uri::Uri;

/// The longest life that TLS lets a ticket have, in seconds: seven days (RFC 9846, 4.7.1).
const LONGEST: u32 = 7 * 24 * 60 * 60;
/// How far the clocks of servers that share a key may be apart, in seconds.
const SKEW: u64 = 60;

/// What is asked of the token, for messages.
const VERB: &str = "derive ticket keys";

/// Version, period and salt in front of a ticket.
const VERSION: u8 = 1;
const SALT_LEN: usize = 32;
const HEADER_LEN: usize = 1 + 8 + SALT_LEN;
/// The time at which a ticket was made, in front of the state.
const MADE_LEN: usize = 8;

/// Protects session tickets with an HMAC key in a token.
///
/// The key is a secret key object (CKK_GENERIC_SECRET or CKK_SHA256_HMAC, of 32 bytes or
/// more) that may sign with CKM_SHA256_HMAC; its URI ends in `type=secret-key`, or not.
///
/// The token works once per period, which is as long as a ticket lives: the first ticket of
/// a period waits for it, the others are ready at once. Every server whose token holds the
/// key opens every other's tickets, with nothing to distribute. Forged tickets cost the token
/// one HMAC for each period that a ticket may be of now, of which there are three at the most,
/// however many they are. What could be stolen from a server's memory is of no use after the
/// period and the lifetime of its tickets.
///
/// ```no_run
/// use backend_pkcs11::{Builder, Pin, Pkcs11Tickets};
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut provider = backend_soft::provider();
/// let key = Builder::new("pkcs11:token=keyway;object=tickets?module-name=softhsm2", &provider)
///     .pin(Pin::file("/etc/keyway/pin"));
/// provider.tickets = Some(Arc::new(Pkcs11Tickets::open(key, &provider, 24 * 60 * 60)?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pkcs11Tickets(Arc<Inner>);

struct Inner {
    handle: Arc<Handle>,
    lifetime: u32,
    aead: Arc<dyn RecordAead>,
    hkdf: Arc<dyn Hkdf>,
    random: Arc<dyn SecureRandom>,
    periods: Arc<Periods>,
    implementation: Implementation,
    process: Process,
}

/// What the token has computed: the secrets of the last periods. They are put here on the
/// signing thread, and pass through no queue.
#[derive(Default)]
struct Periods(Mutex<AtPeriods>);

#[derive(Default)]
struct AtPeriods {
    secrets: VecDeque<(u64, Secret)>,
    /// What the token is computing, each once for all who wait for it.
    under_way: Vec<(u64, Weak<Joint>)>,
}

/// What is known of a period.
enum Computing {
    Done(Secret),
    UnderWay(Joined),
}

impl AtPeriods {
    fn secret(&self, period: u64) -> Option<Secret> {
        let known = self.secrets.iter().find(|(each, _)| *each == period);
        known.map(|(_, secret)| secret.clone())
    }
}

impl Periods {
    fn remember(&self, period: u64, secret: Secret) {
        let mut at = lock(&self.0);
        if at.secrets.iter().all(|(each, _)| *each != period) {
            at.secrets.push_back((period, secret));
        }
        // The current one, those beside it, and none else.
        while at.secrets.len() > 3 {
            at.secrets.pop_front();
        }
    }
}

/// One operation of the token that several wait for. It is cancelled when none does any more.
struct Joint(Mutex<AtJoint>);

struct AtJoint {
    op: Box<dyn PendingOp<Vec<u8>>>,
    outcome: Option<Result<(), Error>>,
    /// Of those who wait, by their number.
    wakers: Vec<(u64, Waker)>,
    last: u64,
}

impl Joint {
    fn new(op: impl PendingOp<Vec<u8>> + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(AtJoint {
            op: Box::new(op),
            outcome: None,
            wakers: Vec::new(),
            last: 0,
        })))
    }

    /// Who waits for it, too.
    fn join(self: &Arc<Self>) -> Joined {
        let mut at = lock(&self.0);
        at.last += 1;
        let number = at.last;
        drop(at);
        Joined {
            joint: self.clone(),
            number,
            process: Process::this(),
        }
    }
}

/// Wakes all who wait. It does not keep the operation alive, which holds it.
struct Bell(Weak<Joint>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if let Some(joint) = self.0.upgrade() {
            let wakers = std::mem::take(&mut lock(&joint.0).wakers);
            wakers.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}

/// What a forked child is told, which has neither the threads nor, for sure, the locks.
fn forked() -> Error {
    Error::Backend {
        backend: NAME,
        operation: VERB,
        detail: Reason::Forked.to_string(),
    }
}

struct Joined {
    joint: Arc<Joint>,
    number: u64,
    process: Process,
}

impl PendingOp<()> for Joined {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.process.forked() {
            return Poll::Ready(Err(forked()));
        }
        let mut at = lock(&self.joint.0);
        if at.outcome.is_none() {
            at.wakers.retain(|(number, _)| *number != self.number);
            at.wakers.push((self.number, cx.waker().clone()));
            let bell = Waker::from(Arc::new(Bell(Arc::downgrade(&self.joint))));
            let Poll::Ready(outcome) = at.op.poll(&mut Context::from_waker(&bell)) else {
                return Poll::Pending;
            };
            at.outcome = Some(outcome.map(drop));
        }
        let outcome = at.outcome.clone().unwrap_or(Ok(()));
        // Whoever else waits need not be woken by the token, which has done that once.
        let wakers = std::mem::take(&mut at.wakers);
        drop(at);
        let others = wakers.into_iter().filter(|(each, _)| *each != self.number);
        others.for_each(|(_, waker)| waker.wake());
        Poll::Ready(outcome)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if self.process.forked() {
            return;
        }
        let mut at = lock(&self.joint.0);
        at.wakers.retain(|(number, _)| *number != self.number);
    }
}

impl Pkcs11Tickets {
    /// Opens the key that `builder` names; of its other settings, those about signatures
    /// and certificates have no meaning here. Tickets are valid for `lifetime` seconds and
    /// sealed with the AEAD and the hash function of the provider's TLS_AES_256_GCM_SHA384
    /// (for one without that, its first suite).
    ///
    /// Waits until the key is open; the work is done on a thread of this crate.
    ///
    /// # Errors
    /// What is wrong, the first found.
    pub fn open(
        builder: Builder,
        provider: &CryptoProvider,
        lifetime: u32,
    ) -> Result<Self, OpenError> {
        Self::open_async(builder, provider, lifetime).wait()
    }

    /// As [`open`](Self::open), for executors.
    pub fn open_async(builder: Builder, provider: &CryptoProvider, lifetime: u32) -> Opening<Self> {
        let suite = provider
            .suite(CipherSuite::TLS_AES_256_GCM_SHA384)
            .or(provider.suites.first());
        let parts = suite.and_then(|suite| {
            let hash = provider.hash(suite.hash)?;
            Some((suite.aead.clone(), hash.hkdf.clone()))
        });
        let uri = builder.shown();
        let limit = builder.settings.open_timeout;
        Opening::start(uri.clone(), limit, move || {
            let wrong = |what| Err(OpenError::new(&uri, Reason::Setting(what)));
            let Some((aead, hkdf)) = parts else {
                return wrong("the provider has no suite to seal tickets with");
            };
            if lifetime == 0 || lifetime > LONGEST {
                return wrong("lifetime: a ticket lives from one second to seven days");
            }
            Self::open_here(builder, aead, hkdf, lifetime)
        })
    }

    fn open_here(
        builder: Builder,
        aead: Arc<dyn RecordAead>,
        hkdf: Arc<dyn Hkdf>,
        lifetime: u32,
    ) -> Result<Self, OpenError> {
        let mut places = Vec::new();
        let mut modules = Vec::new();
        let mut detail = None;
        let mut fingerprint = None;
        let name = builder.shown();
        let periods = Arc::<Periods>::default();
        for uri in builder.check()? {
            let failed = |reason| OpenError::new(&uri, reason);
            let reached = Reached::new(&builder, &uri).map_err(failed)?;
            let found = first_look(&reached, &uri).map_err(failed)?;
            // A further token must hold the same key.
            let known = fingerprint.get_or_insert(found);
            if !bool::from(known[..].ct_eq(&found[..])) {
                return Err(failed(Reason::OtherKey));
            }
            detail.get_or_insert_with(|| interned(reached.token.identity.model.clone()));
            let shown = uri.to_string();
            let duty = Mac {
                uri: uri.without_pin(),
                fingerprint: found,
                hkdf: hkdf.clone(),
                periods: periods.clone(),
            };
            places.push(Place::new(&name, shown, &reached, Box::new(duty)));
            modules.push(reached.module);
        }
        let meter = KeyMeter::new(&name);
        let (settings, profile) = (builder.settings, builder.profile);
        let handle = Pool::start(settings, profile, places, modules, meter, VERB)
            .map_err(|reason| OpenError::new(&name, reason))?;
        Ok(Self(Arc::new(Inner {
            handle,
            lifetime,
            aead,
            hkdf,
            random: builder.random,
            periods,
            implementation: Implementation {
                backend: NAME,
                detail: detail.unwrap_or_default(),
            },
            process: Process::this(),
        })))
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.0.handle.pool.stats()
    }

    /// Gives this handle up and, if it was the last, waits until its threads have ended and the
    /// module is finalised, as [`Pkcs11Key::close`](crate::Pkcs11Key::close) does: to be called
    /// before a program ends.
    pub fn close(self) {
        let pool = self.0.handle.pool.clone();
        let inner = Arc::into_inner(self.0);
        // A request that is under way keeps the threads.
        if inner.is_some_and(|inner| Arc::into_inner(inner.handle).is_some()) {
            pool.wait_for_end();
        }
    }

    /// Does `then` with the secret of a period: now if it is known, else when the token has
    /// computed it.
    fn with_secret<T: 'static>(
        &self,
        period: u64,
        then: impl FnOnce(&Inner, &Secret) -> Result<T, Error> + Send + 'static,
    ) -> Op<T> {
        let joined = match self.compute(period) {
            Ok(Computing::Done(secret)) => return Op::Ready(then(&self.0, &secret)),
            Ok(Computing::UnderWay(joined)) => joined,
            Err(error) => return Op::err(error),
        };
        let inner = self.0.clone();
        let op: Op<()> = Op::Pending(Box::new(joined));
        op.then(move |outcome| {
            outcome?;
            let secret = lock(&inner.periods.0).secret(period);
            // Only if the clock has jumped by periods meanwhile.
            let secret = secret.ok_or_else(|| Error::Unavailable {
                backend: NAME,
                detail: "the ticket's period is over".into(),
            })?;
            then(&inner, &secret)
        })
    }

    /// The secret of a period, else has the token compute it, unless it is at that already.
    ///
    /// # Errors
    /// Those of [`Pool::submit`].
    fn compute(&self, period: u64) -> Result<Computing, Error> {
        if self.0.process.forked() {
            return Err(forked());
        }
        let mut at = lock(&self.0.periods.0);
        if let Some(secret) = at.secret(period) {
            return Ok(Computing::Done(secret));
        }
        at.under_way.retain(|(_, joint)| joint.strong_count() > 0);
        let known = at.under_way.iter().find(|(each, _)| *each == period);
        if let Some(joint) = known.and_then(|(_, joint)| joint.upgrade()) {
            // One that has failed is not waited for again.
            let failed = matches!(lock(&joint.0).outcome, Some(Err(_)));
            if !failed {
                return Ok(Computing::UnderWay(joint.join()));
            }
        }
        at.under_way.retain(|(each, _)| *each != period);
        let handle = &self.0.handle;
        let joint = Joint::new(handle.pool.submit(handle, 0, &period.to_be_bytes())?);
        at.under_way.push((period, Arc::downgrade(&joint)));
        Ok(Computing::UnderWay(joint.join()))
    }
}

impl Inner {
    fn period(&self, seconds: u64) -> u64 {
        seconds / u64::from(self.lifetime)
    }

    /// The key and IV of one ticket: each has its own, so that no nonce repeats.
    fn ticket_key(
        &self,
        secret: &Secret,
        salt: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, [u8; NONCE_LEN]), Error> {
        let mut key = Zeroizing::new(vec![0; self.aead.key_len()]);
        self.hkdf.expand(secret, &[b"key", salt], &mut key)?;
        let mut iv = [0; NONCE_LEN];
        self.hkdf.expand(secret, &[b"iv", salt], &mut iv)?;
        Ok((key, iv))
    }

    fn seal(
        &self,
        secret: &Secret,
        header: &[u8],
        state: &[u8],
        now: u64,
    ) -> Result<Vec<u8>, Error> {
        let salt = header.get(HEADER_LEN - SALT_LEN..).unwrap_or_default();
        let (key, iv) = self.ticket_key(secret, salt)?;
        let mut sealer = self.aead.sealer(&key, &iv)?;
        let plaintext = Zeroizing::new([&now.to_be_bytes()[..], state].concat());
        let mut sealed = vec![0; plaintext.len() + 1 + self.aead.tag_len()];
        sealer.seal(&mut SealRecord {
            sequence: 0,
            aad: header,
            payload: Payload::from(&plaintext[..]),
            trailer: Trailer::content_type(VERSION),
            out: &mut sealed,
        })?;
        Ok([header, &sealed].concat())
    }

    fn open(
        &self,
        secret: &Secret,
        header: &[u8],
        sealed: &[u8],
        now: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let salt = header.get(HEADER_LEN - SALT_LEN..).unwrap_or_default();
        let (key, iv) = self.ticket_key(secret, salt)?;
        let mut opener = self.aead.opener(&key, &iv)?;
        let mut plaintext = Zeroizing::new(sealed.to_vec());
        let len = match opener.open(0, header, &mut plaintext) {
            Ok(len) => len,
            Err(Error::BadTag) => return Ok(None),
            Err(error) => return Err(error),
        };
        plaintext.truncate(len);
        // The trailer, and the time.
        plaintext.pop();
        let Some((made, _)) = plaintext.split_first_chunk::<MADE_LEN>() else {
            return Ok(None);
        };
        let made = u64::from_be_bytes(*made);
        let late = now > made.saturating_add(u64::from(self.lifetime));
        if late || made > now.saturating_add(SKEW) {
            return Ok(None);
        }
        plaintext.drain(..MADE_LEN);
        Ok(Some(plaintext))
    }
}

impl TicketProtector for Pkcs11Tickets {
    fn lifetime(&self) -> u32 {
        self.0.lifetime
    }

    fn protect(&self, state: &[u8], now: UnixTime) -> Op<Vec<u8>> {
        let now = now.as_secs();
        let period = self.0.period(now);
        let mut salt = [0; SALT_LEN];
        if let Err(error) = self.0.random.fill(&mut salt) {
            return Op::err(error);
        }
        let header = [&[VERSION][..], &period.to_be_bytes(), &salt].concat();
        let state = Zeroizing::new(state.to_vec());
        self.with_secret(period, move |inner, secret| {
            inner.seal(secret, &header, &state, now)
        })
    }

    fn unprotect(&self, ticket: &[u8], now: UnixTime) -> Op<Option<Zeroizing<Vec<u8>>>> {
        let now = now.as_secs();
        let Some((header, sealed)) = ticket.split_at_checked(HEADER_LEN) else {
            return Op::ok(None);
        };
        let Some((&[VERSION, ref period @ ..], _)) = header.split_first_chunk::<9>() else {
            return Op::ok(None);
        };
        let period = u64::from_be_bytes(*period);
        // One of another period is too old or from elsewhere: not worth the token's time.
        let soon = self.0.period(now.saturating_add(SKEW));
        let before = self.0.period(now).saturating_sub(1);
        if !(before..=soon).contains(&period) {
            return Op::ok(None);
        }
        // Nor is one that is shorter than any.
        if sealed.len() < MADE_LEN + 1 + self.0.aead.tag_len() {
            return Op::ok(None);
        }
        let (header, sealed) = (header.to_vec(), sealed.to_vec());
        self.with_secret(period, move |inner, secret| {
            inner.open(secret, &header, &sealed, now)
        })
    }

    fn implementation(&self) -> Implementation {
        self.0.implementation
    }
}

impl fmt::Debug for Pkcs11Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Tickets")
            .field("lifetime", &self.0.lifetime)
            .finish_non_exhaustive()
    }
}

/// What the HMAC is over, so that it cannot be one that somebody else uses.
const PERIOD: &[u8] = b"keyway ticket period\0";
/// And what it is over to recognise the key.
const CHECK: &[u8] = b"keyway ticket key check\0";

/// Half of the HMAC over [`CHECK`].
type Fingerprint = [u8; 16];

/// HMAC with a key in one token.
struct Mac {
    uri: Uri,
    fingerprint: Fingerprint,
    hkdf: Arc<dyn Hkdf>,
    periods: Arc<Periods>,
}

/// Finds the key for the first time, and tries it.
fn first_look(reached: &Reached, uri: &Uri) -> Result<Fingerprint, Reason> {
    let entered = reached.module.enter()?;
    let slot = reached.token.ready(&entered, &reached.credentials)?.slot;
    let library = entered.library();
    let look = Look {
        entered: &entered,
        session: library.open_session(slot)?,
    };
    let outcome = object::secret_key(&look, uri).and_then(|key| fingerprint(&look, key));
    let _ = library.close_session(look.session);
    outcome
}

fn mac(
    look: &Look<'_>,
    key: sys::CK_OBJECT_HANDLE,
    data: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Reason> {
    let library = look.entered.library();
    let mechanism = Mechanism::Plain(sys::CKM_SHA256_HMAC);
    library.sign_init(look.session, &mechanism, key)?;
    let mut out = Zeroizing::new([0; 32]);
    let len = library.sign(look.session, data, &mut out[..])?;
    if len == out.len() {
        Ok(out)
    } else {
        Err(Reason::WrongSignature)
    }
}

fn fingerprint(look: &Look<'_>, key: sys::CK_OBJECT_HANDLE) -> Result<Fingerprint, Reason> {
    let mac = mac(look, key, CHECK)?;
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&mac[..16]);
    Ok(fingerprint)
}

impl Mac {
    fn check(&self, look: &Look<'_>, key: sys::CK_OBJECT_HANDLE) -> Result<(), Reason> {
        let found = fingerprint(look, key)?;
        if bool::from(found[..].ct_eq(&self.fingerprint[..])) {
            Ok(())
        } else {
            Err(Reason::OtherKey)
        }
    }
}

impl Duty for Mac {
    fn locate(&self, look: &Look<'_>) -> Result<Located, Reason> {
        let key = object::secret_key(look, &self.uri)?;
        self.check(look, key)?;
        Ok(Located { key, public: None })
    }

    fn perform(
        &self,
        seat: &Seat<'_>,
        _: usize,
        data: &[u8],
        _: &mut [u8],
    ) -> Result<Vec<u8>, Reason> {
        let look = Look {
            entered: seat.entered,
            session: seat.session,
        };
        let Ok(period) = data.try_into().map(u64::from_be_bytes) else {
            return Err(Reason::Setting("a period is a number of eight bytes"));
        };
        let mac = mac(&look, seat.located.key, &[PERIOD, data].concat())?;
        let secret = self.hkdf.extract(b"keyway tickets", &mac[..]);
        let secret = secret.map_err(|_| Reason::Setting("the provider's HKDF failed"))?;
        self.periods.remember(period, secret);
        Ok(Vec::new())
    }

    fn probe(&self, seat: &Seat<'_>, _: &mut [u8]) -> Result<(), Reason> {
        let look = Look {
            entered: seat.entered,
            session: seat.session,
        };
        self.check(&look, seat.located.key)
    }
}
