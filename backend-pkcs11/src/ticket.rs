//! Session tickets under a key that stays in the token.
//!
//! The token does not encrypt tickets: a resumption that needs an HSM would be no better
//! than a handshake, and whoever sends forged tickets could keep the HSM busy. It computes
//! one HMAC per period instead, of the period's number; from that the keys of the period's
//! tickets are derived, and tickets are sealed in software.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use crypto_api::{
    CipherSuite, CryptoProvider, Error, Hkdf, Implementation, NONCE_LEN, Op, Payload, RecordAead,
    SealRecord, Secret, SecureRandom, TicketProtector, Trailer,
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
use crate::uri::Uri;

/// The longest life that TLS lets a ticket have, in seconds: seven days (RFC 9846, 4.7.1).
const LONGEST: u32 = 7 * 24 * 60 * 60;
/// How far the clocks of servers that share a key may be apart, in seconds.
const SKEW: u64 = 60;

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
/// key opens every other's tickets, with nothing to distribute. A forged ticket does not
/// reach the token. What could be stolen from a server's memory is of no use after the
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
    /// What the token has computed: the secrets of the last periods.
    secrets: Mutex<VecDeque<(u64, Secret)>>,
    implementation: Implementation,
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
                uri,
                fingerprint: found,
            };
            places.push(Place::new(&name, shown, &reached, Box::new(duty)));
            modules.push(reached.module);
        }
        let meter = KeyMeter::new(&name);
        let verb = "derive ticket keys";
        let (settings, profile) = (builder.settings, builder.profile);
        let handle = Pool::start(settings, profile, places, modules, meter, verb)
            .map_err(|reason| OpenError::new(&name, reason))?;
        Ok(Self(Arc::new(Inner {
            handle,
            lifetime,
            aead,
            hkdf,
            random: builder.random,
            secrets: Mutex::default(),
            implementation: Implementation {
                backend: NAME,
                detail: detail.unwrap_or_default(),
            },
        })))
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.0.handle.pool.stats()
    }

    /// Does `then` with the secret of a period: now if it is known, else when the token has
    /// computed it.
    fn with_secret<T: 'static>(
        &self,
        period: u64,
        then: impl FnOnce(&Inner, &Secret) -> Result<T, Error> + Send + 'static,
    ) -> Op<T> {
        let known = {
            let secrets = lock(&self.0.secrets);
            let known = secrets.iter().find(|(each, _)| *each == period);
            known.map(|(_, secret)| secret.clone())
        };
        if let Some(secret) = known {
            return Op::Ready(then(&self.0, &secret));
        }
        let handle = &self.0.handle;
        let label = [PERIOD, &period.to_be_bytes()[..]].concat();
        match handle.pool.submit(handle, 0, &label) {
            Err(error) => Op::err(error),
            Ok(pending) => {
                let inner = self.0.clone();
                let op: Op<Vec<u8>> = Op::Pending(Box::new(pending));
                op.then(move |mac| {
                    let mac = Zeroizing::new(mac?);
                    let secret = inner.hkdf.extract(b"keyway tickets", &mac)?;
                    inner.remember(period, &secret);
                    then(&inner, &secret)
                })
            }
        }
    }
}

impl Inner {
    fn remember(&self, period: u64, secret: &Secret) {
        let mut secrets = lock(&self.secrets);
        if secrets.iter().all(|(each, _)| *each != period) {
            secrets.push_back((period, secret.clone()));
        }
        // The current one, those beside it, and none else.
        while secrets.len() > 3 {
            secrets.pop_front();
        }
    }

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
}

/// Finds the key for the first time, and tries it.
fn first_look(reached: &Reached, uri: &Uri) -> Result<Fingerprint, Reason> {
    let entered = reached.module.enter()?;
    let slot = reached.token.ready(&entered, &reached.credentials)?;
    let library = entered.library();
    let look = Look {
        entered: &entered,
        session: library.open_session(slot)?,
    };
    let outcome = object::secret_key(&look, uri).and_then(|key| fingerprint(&look, key));
    let _ = library.close_session(look.session);
    outcome
}

fn mac(look: &Look<'_>, key: sys::CK_OBJECT_HANDLE, data: &[u8]) -> Result<[u8; 32], Reason> {
    let library = look.entered.library();
    let mechanism = Mechanism::Plain(sys::CKM_SHA256_HMAC);
    library.sign_init(look.session, &mechanism, key)?;
    let mut out = [0; 32];
    let len = library.sign(look.session, data, &mut out)?;
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
        mac(&look, seat.located.key, data).map(|mac| mac.to_vec())
    }

    fn probe(&self, seat: &Seat<'_>, _: &mut [u8]) -> Result<(), Reason> {
        let look = Look {
            entered: seat.entered,
            session: seat.session,
        };
        self.check(&look, seat.located.key)
    }
}
