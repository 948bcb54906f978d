//! The process's use of a module.
//!
//! `C_Initialize` and `C_Finalize` are for the whole process, so there is one [`Module`] per
//! file, shared by every key. It lets calls in through a gate that counts them: a lost
//! module is finalised only when none is inside, because modules crash otherwise. Each
//! initialisation begins a generation; a session or object handle of an earlier one is
//! never used again, not even to close it, because handles begin anew.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki_sys as sys;

use crate::code::{Code, Failure};
use crate::error::Reason;
use crate::low::{Library, LoadError, Loaded};
use crate::process::PerProcess;
use crate::token::Token;

/// A lock whose holder cannot leave things half done: a panic elsewhere does not spread.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An initialised module.
pub(crate) struct Module {
    path: PathBuf,
    arguments: Option<CString>,
    library: Library,
    /// The process that initialised it.
    process: u32,
    /// False if somebody else in the process had initialised it before: then it is theirs to
    /// finalise.
    ours: bool,
    /// Whether one call at a time goes in.
    serial: bool,
    gate: Mutex<Gate>,
    changed: Condvar,
    recovery: Mutex<Recovery>,
    tokens: Mutex<Vec<Arc<Token>>>,
}

struct Gate {
    generation: u64,
    /// Calls under way, or sequences of calls that must see one generation: since when.
    inside: Vec<(u64, Instant)>,
    last: u64,
    /// Closed while the module is being initialised again.
    closed: bool,
    initialized: bool,
    /// Finalised for good: whoever opens the file again has another [`Module`].
    retired: bool,
}

/// When the module may be initialised again.
#[derive(Default)]
struct Recovery {
    not_before: Option<Instant>,
}

/// Permission to call the module, until it is dropped.
pub(crate) struct Entered<'a> {
    module: &'a Module,
    generation: u64,
    number: u64,
}

impl Entered<'_> {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn library(&self) -> &Library {
        &self.module.library
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut gate = lock(&self.module.gate);
        gate.inside.retain(|(number, _)| *number != self.number);
        if gate.inside.is_empty() && (gate.closed || self.module.serial) {
            self.module.changed.notify_all();
        }
    }
}

impl Gate {
    /// How many have been inside for `limit` or longer.
    fn hanging(&self, limit: Duration) -> usize {
        let now = Instant::now();
        let hangs = |since: Instant| now.saturating_duration_since(since) >= limit;
        self.inside
            .iter()
            .filter(|(_, since)| hangs(*since))
            .count()
    }
}

impl Module {
    /// Initialises the module of this library; `path` is its name.
    pub(crate) fn with_library(
        library: Library,
        path: &Path,
        arguments: Option<CString>,
    ) -> Result<Self, Reason> {
        let ours = match library.initialize(arguments.as_deref()) {
            Ok(()) => true,
            Err(failure) if failure.is(sys::CKR_CRYPTOKI_ALREADY_INITIALIZED) => false,
            Err(failure) => return Err(failure.into()),
        };
        Ok(Self {
            path: path.into(),
            arguments,
            library,
            process: std::process::id(),
            ours,
            serial: is_serial(path),
            gate: Mutex::new(Gate {
                generation: 1,
                inside: Vec::new(),
                last: 0,
                closed: false,
                initialized: true,
                retired: false,
            }),
            changed: Condvar::new(),
            recovery: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// Enters, after waiting for an initialisation that is under way, and in a serial module
    /// for whoever is inside.
    pub(crate) fn enter(&self) -> Result<Entered<'_>, Failure> {
        let mut gate = lock(&self.gate);
        while gate.closed || self.serial && !gate.inside.is_empty() {
            gate = self
                .changed
                .wait(gate)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !gate.initialized {
            return Err(Failure {
                function: "C_Initialize",
                code: Code::new(sys::CKR_CRYPTOKI_NOT_INITIALIZED),
            });
        }
        gate.last += 1;
        let (generation, number) = (gate.generation, gate.last);
        gate.inside.push((number, Instant::now()));
        drop(gate);
        Ok(Entered {
            module: self,
            generation,
            number,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn generation(&self) -> u64 {
        lock(&self.gate).generation
    }

    /// The token of this identity: one object for all keys in it, so that one login and one
    /// latch serve all.
    pub(crate) fn token(&self, token: Token) -> Arc<Token> {
        let mut tokens = lock(&self.tokens);
        if let Some(known) = tokens.iter().find(|known| known.identity == token.identity) {
            return known.clone();
        }
        let token = Arc::new(token);
        tokens.push(token.clone());
        token
    }

    /// Closes the gate and waits until nobody is inside. Not if somebody hangs there: other
    /// tokens of the module would stand still meanwhile, and for nothing.
    fn quiesce(&self, limit: Duration) -> Result<(), Reason> {
        // Twice the time that is waited for calls that are in order.
        let hangs = limit.saturating_mul(2);
        let until = Instant::now() + limit;
        let mut gate = lock(&self.gate);
        let hanging = gate.hanging(hangs);
        if hanging > 0 {
            return Err(Reason::Hanging(hanging));
        }
        gate.closed = true;
        while !gate.inside.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || gate.hanging(hangs) > 0 {
                let inside = gate.inside.len();
                gate.closed = false;
                drop(gate);
                self.changed.notify_all();
                return Err(Reason::Hanging(inside));
            }
            let waited = self.changed.wait_timeout(gate, left);
            (gate, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Finalises and initialises the module again, unless somebody has since generation
    /// `seen`. Whoever calls is not inside; those that are have `quiesce` to come out, and a
    /// call that takes twice as long hangs.
    ///
    /// Returns whether this call did it. It is not done more often than every `interval`,
    /// nor more than half of the time.
    ///
    /// # Errors
    /// Why it was not done, or how it failed.
    pub(crate) fn recover(
        &self,
        seen: u64,
        interval: Duration,
        quiesce: Duration,
    ) -> Result<bool, Reason> {
        // One at a time; the others wait for the outcome and see another generation.
        let mut recovery = lock(&self.recovery);
        let gate = lock(&self.gate);
        let (generation, retired) = (gate.generation, gate.retired);
        drop(gate);
        if generation != seen && !retired {
            return Ok(false);
        }
        if retired {
            return Err(Reason::Call(Failure {
                function: "C_Initialize",
                code: Code::new(sys::CKR_CRYPTOKI_NOT_INITIALIZED),
            }));
        }
        if !self.ours {
            return Err(Reason::NotOurs);
        }
        let start = Instant::now();
        if recovery.not_before.is_some_and(|time| start < time) {
            return Err(Reason::TooSoon);
        }
        let outcome = self.quiesce(quiesce).and_then(|()| {
            // A module that has lost its token may fail here too, and is finalised anyway.
            let _ = self.library.finalize();
            let outcome = self.library.initialize(self.arguments.as_deref());
            let mut gate = lock(&self.gate);
            gate.generation += 1;
            gate.initialized = outcome.is_ok();
            gate.closed = false;
            drop(gate);
            self.changed.notify_all();
            outcome.map(|()| true).map_err(Reason::Call)
        });
        recovery.not_before = Some(Instant::now() + interval.max(start.elapsed()));
        outcome
    }

    /// Finalises the module for good. Not if calls are inside after `limit`, or while it is
    /// being initialised again: a thread that was given up may do that, and hang in it.
    fn retire(&self, limit: Duration) -> bool {
        let Ok(_recovery) = self.recovery.try_lock() else {
            return false;
        };
        if self.quiesce(limit).is_err() {
            return false;
        }
        let _ = self.library.finalize();
        let mut gate = lock(&self.gate);
        gate.generation += 1;
        gate.initialized = false;
        gate.retired = true;
        gate.closed = false;
        drop(gate);
        self.changed.notify_all();
        true
    }

    /// Gives back what is open in somebody else's module, which goes on without us. Not if calls
    /// hang there: one more might.
    fn leave(&self) {
        if !lock(&self.gate).inside.is_empty() {
            return;
        }
        if let Ok(entered) = self.enter() {
            let tokens = std::mem::take(&mut *lock(&self.tokens));
            tokens.iter().for_each(|token| token.leave(&entered));
        }
    }
}

/// Whether calls go into the module at `path` one at a time.
///
/// p11-kit's client sends all of them through one connection, where they are answered one
/// after the other. Its threads read the answers for each other, and when the connection
/// breaks meanwhile (seen in 0.24), those whose answer another one was reading wait for ever:
/// inside, so that the module could never be initialised again. One call at a time costs
/// nothing there and cannot hang like that.
fn is_serial(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|name| name.to_string_lossy().starts_with("p11-kit-client"))
}

/// A library that was loaded in this process. It stays known, under the name that it was
/// first loaded by.
struct Known {
    path: PathBuf,
    loaded: Loaded,
    /// Locked while the module is being initialised or finalised: who wants it meanwhile
    /// waits, and nobody else does.
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    module: Option<Arc<Module>>,
    count: usize,
}

/// After a fork the parent's modules are of no use: the standard wants the child to initialise
/// for itself. They are forgotten, not finalised: they may hold the parent's connections.
static KNOWN: PerProcess<Mutex<Vec<Arc<Known>>>> = PerProcess::new();

impl Known {
    /// The library at `path`, loaded.
    fn at(path: &Path) -> Result<Arc<Self>, Reason> {
        // Two names of one file are one module; a bare name is for the loader to find.
        let path = if path.components().count() > 1 {
            path.canonicalize().unwrap_or_else(|_| path.into())
        } else {
            path.into()
        };
        let known = lock(KNOWN.get());
        if let Some(each) = known.iter().find(|each| each.path == path) {
            return Ok(each.clone());
        }
        drop(known);
        let wrong = |error: LoadError| load_error(&path, &error);
        let loaded = Loaded::at(&path).map_err(wrong)?;
        let mut known = lock(KNOWN.get());
        // It may have been found by the loader under a bare name, or be linked twice.
        if let Some(each) = known.iter().find(|each| each.loaded.is(&loaded)) {
            return Ok(each.clone());
        }
        let new = Arc::new(Self {
            path,
            loaded,
            uses: Mutex::default(),
        });
        known.push(new.clone());
        Ok(new)
    }
}

fn load_error(path: &Path, error: &LoadError) -> Reason {
    Reason::Load {
        module: path.into(),
        detail: error.to_string(),
    }
}

/// A module in use, which is finalised when the last use is dropped. That happens on a
/// thread of this crate: see `pool::supervisor`.
pub(crate) struct ModuleUse {
    module: Arc<Module>,
    known: Arc<Known>,
}

impl std::ops::Deref for ModuleUse {
    type Target = Arc<Module>;

    fn deref(&self) -> &Arc<Module> {
        &self.module
    }
}

impl ModuleUse {
    /// The module at `path`, loaded and initialised.
    pub(crate) fn of(path: &Path, arguments: Option<&str>) -> Result<Self, Reason> {
        let arguments = arguments.map(CString::new).transpose();
        let arguments =
            arguments.map_err(|_| Reason::Setting("module_arguments: they hold a zero byte"))?;
        let known = Known::at(path)?;
        let mut uses = lock(&known.uses);
        let module = match &uses.module {
            Some(module) => module.clone(),
            None => {
                let library = known.loaded.library();
                let library = library.map_err(|error| load_error(&known.path, &error))?;
                Arc::new(Module::with_library(library, &known.path, arguments)?)
            }
        };
        uses.module = Some(module.clone());
        uses.count += 1;
        drop(uses);
        Ok(Self { module, known })
    }
}

impl Drop for ModuleUse {
    fn drop(&mut self) {
        if self.module.process != std::process::id() {
            return;
        }
        let mut uses = lock(&self.known.uses);
        uses.count -= 1;
        if uses.count > 0 {
            return;
        }
        if !self.module.ours {
            self.module.leave();
            uses.module = None;
        } else if self.module.retire(RETIREMENT) {
            // With a call that hangs inside, it is left as it is, and used again.
            uses.module = None;
        }
    }
}

/// How long calls that are still inside are waited for before a module is finalised.
pub(crate) const RETIREMENT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Profile;
    use crate::low::mock::{mock, state};
    use crate::pin::{Credentials, Pin};
    use crate::uri::Uri;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn finalised_only_when_nobody_is_inside() {
        let (_turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        let entered = module.enter().unwrap();
        let soon = Duration::from_millis(20);
        let outcome = module.recover(1, Duration::ZERO, soon);
        assert_eq!(outcome, Err(Reason::Hanging(1)));
        // The gate is open again for others.
        drop(module.enter().unwrap());
        assert_eq!(state().calls, ["C_Initialize"]);
        std::thread::scope(|scope| {
            // The attempt before took its time, and as long it is left in peace.
            let again = || module.recover(1, Duration::ZERO, LONG);
            let recovering = scope.spawn(move || {
                let attempts = std::iter::repeat_with(again);
                attempts.map_while(Result::err).for_each(drop);
            });
            // It waits for the one inside, and keeps others out meanwhile.
            while !lock(&module.gate).closed {
                std::thread::yield_now();
            }
            let waiting = scope.spawn(|| module.enter().unwrap().generation());
            assert_eq!(state().calls, ["C_Initialize"]);
            drop(entered);
            recovering.join().unwrap();
            assert_eq!(waiting.join().unwrap(), 2);
        });
        let calls = ["C_Initialize", "C_Finalize", "C_Initialize"];
        assert_eq!(state().calls, calls);
    }

    /// Who hangs is not waited for, as nobody else could enter meanwhile.
    #[test]
    fn a_call_that_hangs_closes_no_gate() {
        let (_turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        let hanging = module.enter().unwrap();
        lock(&module.gate).inside[0].1 -= 2 * LONG;
        let start = Instant::now();
        assert_eq!(
            module.recover(1, Duration::ZERO, LONG),
            Err(Reason::Hanging(1))
        );
        assert!(start.elapsed() < LONG / 2);
        drop(hanging);
        // The attempt took no time, so that the next one need not wait.
        assert_eq!(module.recover(1, Duration::ZERO, LONG), Ok(true));
    }

    #[test]
    fn initialised_again_once_for_all_and_not_too_often() {
        let (_turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        assert_eq!(module.recover(1, LONG, LONG), Ok(true));
        // Who saw the old generation fail comes too late.
        assert_eq!(module.recover(1, LONG, LONG), Ok(false));
        // Who saw the new one fail comes too early.
        assert!(module.recover(2, LONG, LONG).is_err());
        assert_eq!(module.generation(), 2);
    }

    #[test]
    fn retired_for_good_but_not_in_the_middle_of_a_recovery() {
        let (_turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        let recovering = lock(&module.recovery);
        assert!(!module.retire(LONG));
        drop(recovering);
        assert_eq!(state().calls, ["C_Initialize"]);
        assert!(module.retire(LONG));
        assert!(module.enter().is_err());
        // A thread that was given up, and comes late.
        for seen in [1, 2] {
            assert!(module.recover(seen, Duration::ZERO, LONG).is_err());
        }
        assert_eq!(state().calls, ["C_Initialize", "C_Finalize"]);
    }

    #[test]
    fn a_serial_module_is_entered_by_one_at_a_time() {
        assert!(is_serial("/usr/lib/pkcs11/p11-kit-client.so".as_ref()));
        assert!(!is_serial("/usr/lib/softhsm/libsofthsm2.so".as_ref()));
        let (_turn, library) = mock();
        let mut module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        module.serial = true;
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let entered = module.enter().unwrap();
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(entered);
                    }
                });
            }
        });
    }

    #[test]
    fn somebody_elses_module_is_theirs() {
        let (_turn, library) = mock();
        let mut module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        module.ours = false;
        let outcome = module.recover(1, Duration::ZERO, LONG);
        assert_eq!(outcome, Err(Reason::NotOurs));
        assert_eq!(state().calls, ["C_Initialize"]);
        // What was opened in it is closed, and it is left as it is.
        let entered = module.enter().unwrap();
        let token = Token::find(&module, &entered, &Uri::default()).unwrap();
        let pin = Some(Pin::value("1234".to_owned()));
        let credentials = Credentials::new(pin, Profile::standard(), LONG);
        token.ready(&entered, &credentials).unwrap();
        drop(entered);
        module.leave();
        assert_eq!(state().closed, [1]);
        assert_eq!(state().calls, ["C_Initialize", "C_Login"]);
    }
}
