//! A key behind the fault module, a load on it, and a judge of its signatures.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use backend_pkcs11::{BlockingKey, Builder, Pkcs11Key};
use crypto_api::{CryptoProvider, Error, SignatureScheme, SigningKey};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Public},
    rsa::Padding,
    sign::{RsaPssSaltlen, Verifier},
};
use pkcs11_fault::{Control, Script, Stats};
use test_tokens::{Key, Kind, Token, fault_module, isolated_within};

/// A token behind the fault module.
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) token: Token,
    pub(crate) module: PathBuf,
    pub(crate) provider: CryptoProvider,
}

/// Runs a test in a process of its own, with a token of SoftHSM and this script.
pub(crate) fn bench(test: &str, keys: &[Key], script: &str, body: impl FnOnce(Bench)) {
    bench_within(Duration::from_secs(120), test, keys, script, body);
}

/// The same, with a limit on its time.
pub(crate) fn bench_within(
    limit: Duration,
    test: &str,
    keys: &[Key],
    script: &str,
    body: impl FnOnce(Bench),
) {
    isolated_within(limit, test, Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, keys) else {
            return;
        };
        let mut bench = Bench {
            dir: dir.to_owned(),
            module: fault_module(),
            token,
            provider: backend_soft::provider(),
        };
        bench.module = bench.copy("fault", script);
        body(bench);
    });
}

impl Bench {
    /// A copy of the fault module with a script of its own. So that two of them are two
    /// modules, each wraps a copy of the real one.
    pub(crate) fn copy(&self, name: &str, script: &str) -> PathBuf {
        let place = |end: &str| self.dir.join(format!("{name}{end}"));
        let mut script = Script::parse(script).unwrap();
        fs::copy(&self.token.module, place("-token.so")).unwrap();
        script.module = Some(place("-token.so"));
        script.socket = Some(place(".sock"));
        fs::write(place(".toml"), script.to_toml()).unwrap();
        fs::copy(fault_module(), place(".so")).unwrap();
        place(".so")
    }

    pub(crate) fn uri(&self, key: Key) -> String {
        self.token.uri_through(key, &self.module)
    }

    pub(crate) fn builder(&self, key: Key) -> Builder {
        Pkcs11Key::builder(self.uri(key), &self.provider)
    }

    /// The fault module's other end; it listens once a key was opened, or was tried to be.
    pub(crate) fn control(&self) -> Faults {
        Faults::of(&self.module)
    }

    /// Signs with the key and judges the signature.
    pub(crate) fn sign(&self, key: &Pkcs11Key, scheme: SignatureScheme) -> Result<(), Error> {
        let judge = Judge::of(key);
        judge.sign(&key.blocking(), scheme, b"message", &self.provider)
    }

    /// Signs on so many threads until told to stop.
    pub(crate) fn load(
        &self,
        key: &Pkcs11Key,
        scheme: SignatureScheme,
        threads: usize,
        meanwhile: impl FnOnce(),
    ) -> Tally {
        let stop = AtomicBool::new(false);
        let judge = Judge::of(key);
        thread::scope(|scope| {
            let work = |_| {
                scope.spawn(|| {
                    let (mut tally, blocking) = (Tally::default(), key.blocking());
                    while !stop.load(Relaxed) {
                        let number = tally.all().to_be_bytes();
                        tally.add(judge.sign(&blocking, scheme, &number, &self.provider));
                    }
                    tally
                })
            };
            let workers: Vec<_> = (0..threads).map(work).collect();
            // A test that fails meanwhile stops the load too.
            let stopped = Stopped(&stop);
            meanwhile();
            drop(stopped);
            let tallies = workers.into_iter().map(|worker| worker.join().unwrap());
            tallies.fold(Tally::default(), Tally::and)
        })
    }
}

/// Tells the load to stop when it is dropped.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The fault module's control socket.
pub(crate) struct Faults(Control);

impl Faults {
    pub(crate) fn of(module: &Path) -> Self {
        Self(Control::connect(&module.with_extension("sock")).unwrap())
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.0
            .say(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.0.stats().unwrap()
    }

    pub(crate) fn count(&mut self, name: &str) -> u64 {
        self.stats().get(name)
    }

    /// Waits until a counter is at least `least`.
    pub(crate) fn reaches(&mut self, name: &str, least: u64) {
        eventually(name, || self.count(name) >= least);
    }
}

/// What became of the signatures that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) good: u64,
    /// Errors by their words.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.good += 1,
            Err(error) => *self.errors.entry(error.to_string()).or_default() += 1,
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.good += other.good;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self
    }

    fn all(&self) -> u64 {
        self.good + self.errors.values().sum::<u64>()
    }
}

/// Verifies signatures with OpenSSL, which has no part in making them.
pub(crate) struct Judge(PKey<Public>);

impl Judge {
    pub(crate) fn of(key: &Pkcs11Key) -> Self {
        let spki = key.public_key().unwrap();
        Self(PKey::public_key_from_der(&spki).unwrap())
    }

    /// Signs, and holds the signature against the message.
    ///
    /// # Panics
    /// If a signature is given out that does not verify.
    pub(crate) fn sign(
        &self,
        key: &BlockingKey,
        scheme: SignatureScheme,
        message: &[u8],
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let signature = key.sign(scheme, message, &*provider.random).spin()?;
        assert!(
            self.accepts(scheme, message, &signature),
            "a wrong signature was given out"
        );
        Ok(())
    }

    pub(crate) fn accepts(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        use SignatureScheme as S;
        let hash = match scheme {
            S::ED25519 | S::ED448 => None,
            S::RSA_PSS_RSAE_SHA256 | S::RSA_PKCS1_SHA256 | S::ECDSA_SECP256R1_SHA256 => {
                Some(MessageDigest::sha256())
            }
            S::RSA_PSS_RSAE_SHA384 | S::RSA_PKCS1_SHA384 | S::ECDSA_SECP384R1_SHA384 => {
                Some(MessageDigest::sha384())
            }
            S::RSA_PSS_RSAE_SHA512 | S::RSA_PKCS1_SHA512 | S::ECDSA_SECP521R1_SHA512 => {
                Some(MessageDigest::sha512())
            }
            other => panic!("no rule for {other}"),
        };
        let Some(hash) = hash else {
            let mut verifier = Verifier::new_without_digest(&self.0).unwrap();
            return verifier.verify_oneshot(signature, message).unwrap_or(false);
        };
        let mut verifier = Verifier::new(hash, &self.0).unwrap();
        let pss = [
            S::RSA_PSS_RSAE_SHA256,
            S::RSA_PSS_RSAE_SHA384,
            S::RSA_PSS_RSAE_SHA512,
        ];
        if pss.contains(&scheme) {
            verifier.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            let salt = RsaPssSaltlen::DIGEST_LENGTH;
            verifier.set_rsa_pss_saltlen(salt).unwrap();
            verifier.set_rsa_mgf1_md(hash).unwrap();
        }
        verifier.update(message).unwrap();
        // Bytes that are no signature at all are an error to OpenSSL.
        verifier.verify(signature).unwrap_or(false)
    }
}

/// Waits until something holds.
///
/// # Panics
/// If it does not within twenty seconds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The most threads that sign with so many sessions, and that check what they make: of these
/// there are as many as processors.
pub(crate) fn most_threads(sessions: usize) -> usize {
    sessions + thread::available_parallelism().unwrap().get()
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
