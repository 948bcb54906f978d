//! What a program decides about a key before it is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crypto_api::{CryptoProvider, SecureRandom, SigningKey, Verification};
use rustls_pki_types::CertificateDer;

use crate::code::Profile;
use crate::error::{OpenError, Reason};
use crate::key::Pkcs11Key;
use crate::opening::Opening;
use crate::pin::Pin;
use crate::uri::Uri;

/// How many sessions sign at the same time in one token, each with a thread of its own.
///
/// Sizing: in flight = rate x latency. 1,000 signatures a second from a token that takes
/// 3 ms need 3 sessions; 10,000 need 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sessions {
    /// As many as bring throughput, found by measuring while requests wait.
    Adaptive {
        /// At least so many.
        min: usize,
        /// At most so many. A token that opens fewer sets a lower bound itself.
        max: usize,
    },
    /// Always so many, while there is work for them.
    Fixed(usize),
}

impl Default for Sessions {
    /// Adaptive, from 1 to 64.
    fn default() -> Self {
        Self::Adaptive { min: 1, max: 64 }
    }
}

/// A key to be opened: where it is, and how to use it. What is not said has a default that
/// suits a server.
///
/// `Debug` writes the URIs without a PIN.
#[derive(Clone)]
pub struct Builder {
    pub(crate) places: Vec<String>,
    pub(crate) module: Option<PathBuf>,
    pub(crate) module_arguments: Option<String>,
    pub(crate) pin: Option<Pin>,
    pub(crate) verification: Vec<Verification>,
    pub(crate) random: Arc<dyn SecureRandom>,
    pub(crate) settings: Settings,
    pub(crate) certificates: Option<Vec<CertificateDer<'static>>>,
    pub(crate) fallback: Option<Arc<dyn SigningKey>>,
    pub(crate) profile: Profile,
}

/// The numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) sessions: Sessions,
    pub(crate) verify: bool,
    pub(crate) queue: usize,
    pub(crate) deadline: Duration,
    pub(crate) hang_limit: Duration,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) retry_interval: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) reinitialize: bool,
    pub(crate) reject_when_down: bool,
    pub(crate) short_slices: bool,
}

/// The longest time that is waited for anything: as good as for ever, and still a time that
/// can be added to the clock's.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Every duration of a builder is at most a year, which stands for any longer one.
impl Builder {
    /// The key at `uri` (RFC 7512). What it signs is verified with the algorithms of
    /// `provider`.
    pub fn new(uri: impl Into<String>, provider: &CryptoProvider) -> Self {
        Self {
            places: vec![uri.into()],
            module: None,
            module_arguments: None,
            pin: None,
            verification: provider.verification.clone(),
            random: provider.random.clone(),
            certificates: None,
            fallback: None,
            profile: Profile::standard(),
            settings: Settings {
                sessions: Sessions::default(),
                verify: true,
                queue: 16_384,
                deadline: Duration::from_secs(10),
                hang_limit: Duration::from_secs(5),
                hedge_after: None,
                retry_interval: Duration::from_millis(50),
                open_timeout: Duration::from_secs(30),
                reinitialize: true,
                reject_when_down: false,
                short_slices: false,
            },
        }
    }

    /// A further token that holds the same key (a replica, another HSM of a cluster), in
    /// another slot or module. Requests go to whichever has a session free; one that fails
    /// is left alone until it answers again.
    #[must_use]
    pub fn also_at(mut self, uri: impl Into<String>) -> Self {
        self.places.push(uri.into());
        self
    }

    /// The module, for URIs that have no `module-path`.
    #[must_use]
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// Text that `C_Initialize` gets in `pReserved`, where NSS and a few others expect their
    /// configuration. The standard wants nothing there, which is the default.
    #[must_use]
    pub fn module_arguments(mut self, arguments: impl Into<String>) -> Self {
        self.module_arguments = Some(arguments.into());
        self
    }

    /// The PIN. Goes before what the URIs say.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// How many sessions sign at the same time. By default adaptive, from 1 to 64.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.settings.sessions = sessions;
        self
    }

    /// Whether every signature is verified before it leaves. By default it is: against
    /// faults in the token (one faulty RSA or ECDSA signature can give the key away), a
    /// wrong parameter, and a swapped key. It costs a verification in software: while
    /// requests wait, on a thread without a session, of which there is one per processor at
    /// most; otherwise on the signing thread.
    #[must_use]
    pub fn verify_signatures(mut self, verify: bool) -> Self {
        self.settings.verify = verify;
        self
    }

    /// Whether signing threads ask the scheduler for short slices of processor time, so that
    /// they get a processor sooner after each call and the token's sessions wait less on a
    /// busy machine: 2 % more signatures with a token of 3 ms. By default they do not: that is
    /// `sched_setattr(2)` (Linux 6.12 or newer; elsewhere without effect), for which a sandbox
    /// that forbids it may kill the process, as systemd's `SystemCallFilter=~@resources` does.
    #[must_use]
    pub fn short_slices(mut self, short: bool) -> Self {
        self.settings.short_slices = short;
        self
    }

    /// The most requests that wait; one more is refused at once. By default 16,384.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.settings.queue = requests;
        self
    }

    /// How long a request may take, waiting included; then it fails and its result, if one
    /// comes, is thrown away. By default 10 s.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.settings.deadline = limit.min(LONGEST);
        self
    }

    /// How long one call may stay inside the module before its thread is given up and
    /// replaced. PKCS#11 has no way to cancel a call. By default 5 s.
    #[must_use]
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.settings.hang_limit = limit.min(LONGEST);
        self
    }

    /// With several tokens: how long a request may be inside one before another one that is
    /// idle gets it too; the first answer counts. By default never. A good value is the 99th
    /// percentile of the token's latency.
    #[must_use]
    pub fn hedge_after(mut self, delay: Duration) -> Self {
        self.settings.hedge_after = Some(delay.min(LONGEST));
        self
    }

    /// How long to wait between attempts to reach a token that is lost; never less than the
    /// last attempt took. By default 50 ms.
    #[must_use]
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.settings.retry_interval = interval.min(LONGEST);
        self
    }

    /// How long [`open`](Self::open) may take. By default 30 s.
    #[must_use]
    pub fn open_timeout(mut self, limit: Duration) -> Self {
        self.settings.open_timeout = limit.min(LONGEST);
        self
    }

    /// Whether a lost module is finalised and initialised again. By default it is. All
    /// sessions of the process in that module end with it, those of other libraries too;
    /// where that is not welcome, switch it off: then only new sessions are tried.
    #[must_use]
    pub fn reinitialize(mut self, allowed: bool) -> Self {
        self.settings.reinitialize = allowed;
        self
    }

    /// Whether requests are refused at once while no token answers, and those that wait are
    /// ended, instead of waiting for it until their deadline. By default they wait.
    #[must_use]
    pub fn reject_when_down(mut self, reject: bool) -> Self {
        self.settings.reject_when_down = reject;
        self
    }

    /// A certificate chain for the key, the end entity's first, instead of one from the
    /// token. It must belong to the key.
    #[must_use]
    pub fn certificates(mut self, chain: Vec<CertificateDer<'static>>) -> Self {
        self.certificates = Some(chain);
        self
    }

    /// A key that signs when the queue is full, when no token answers, and what no token has
    /// done by the deadline: the same key somewhere else, as the certificate has been chosen
    /// by then. With it, nothing waits for a token that was tried and did not answer, and
    /// what waited when that was found goes to this key too.
    #[must_use]
    pub fn fallback(mut self, key: Arc<dyn SigningKey>) -> Self {
        self.fallback = Some(key);
        self
    }

    /// How the module's return codes are to be understood.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Opens the key, and waits for it. The work is done on threads of this crate: the
    /// caller's only sleeps.
    ///
    /// # Errors
    /// What is wrong, the first found.
    pub fn open(self) -> Result<Pkcs11Key, OpenError> {
        self.start().wait()
    }

    /// Opens the key without blocking: a future that any executor can wait for.
    pub fn open_async(self) -> Opening {
        self.start()
    }

    /// The places, checked, and the settings.
    pub(crate) fn check(&self) -> Result<Vec<Uri>, OpenError> {
        let wrong = |what| Err(OpenError::new("pkcs11:", Reason::Setting(what)));
        let settings = &self.settings;
        match settings.sessions {
            Sessions::Fixed(0) => return wrong("sessions: at least one is needed to sign"),
            Sessions::Adaptive { min, max } if min == 0 || max < min => {
                return wrong("sessions: at least one, and the maximum not below the minimum");
            }
            _ => {}
        }
        if settings.queue == 0 {
            return wrong("queue: with room for no request nothing can be signed");
        }
        if settings.deadline.is_zero() || settings.hang_limit.is_zero() {
            return wrong("deadline and hang_limit: no token signs in no time");
        }
        let parse = |text: &String| {
            text.parse::<Uri>()
                // Without the URI: it could not be read, so neither can its PIN be left out.
                .map_err(|error| OpenError::new("pkcs11:", Reason::Uri(error)))
        };
        self.places.iter().map(parse).collect()
    }
}

/// A URI without its PIN, as far as it can be read.
pub(crate) fn shown(uri: &str) -> String {
    let parsed = uri.parse::<Uri>();
    parsed.map_or_else(|_| "pkcs11:".into(), |uri| uri.to_string())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.places.iter().map(|uri| shown(uri)).collect();
        // Not the module's arguments either: what a vendor wants there may be secret.
        f.debug_struct("Builder")
            .field("places", &places)
            .field("module", &self.module)
            .field("pin", &self.pin)
            .field("settings", &self.settings)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pin_is_shown() {
        let provider = backend_soft::provider();
        let builder = Builder::new("pkcs11:token=shop?pin-value=98431", &provider)
            .also_at("pkcs11:token=depot?pin-value=98431&pin-value=98431")
            .pin(Pin::value("98431".to_owned()));
        let shown = format!("{builder:?}");
        assert!(!shown.contains("98431"), "{shown}");
        assert!(shown.contains("token=shop"), "{shown}");
    }
}
