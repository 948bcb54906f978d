//! A key in one token, and the way to it through session, login and lookup.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cryptoki_sys as sys;
use sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE};

use crate::builder::Builder;
use crate::error::Reason;
use crate::meter::PlaceMeter;
use crate::module::{Entered, Module, ModuleUse, lock};
use crate::object::Look;
use crate::pin::{Credentials, Pin};
use crate::shared::Shared;
use crate::token::{Login, Token, check_library};
use crate::uri::Uri;

/// A session that belongs to one thread. It is not closed by being dropped: its handle may
/// be somebody else's by then (see `module`).
pub(crate) struct Session {
    handle: CK_SESSION_HANDLE,
    generation: u64,
    login: Login,
    suspect: Suspect,
}

/// Set when something that a session made turned out to be wrong: its thread may be using
/// it for the next request already, and drops it then.
pub(crate) type Suspect = Arc<AtomicBool>;

impl Session {
    /// The mark for what it makes.
    pub(crate) fn suspect(&self) -> Suspect {
        self.suspect.clone()
    }

    fn is_suspect(&self) -> bool {
        self.suspect.load(Relaxed)
    }
}

/// What a token is used for: the handles it needs, and the operation.
pub(crate) trait Duty: Send + Sync {
    /// Looks for the key, and for the object that belongs to it if there is one.
    fn locate(&self, look: &Look<'_>) -> Result<Located, Reason>;

    /// Does what `job` means for this duty with `data`: all that needs the token. `scratch`
    /// has room for any output.
    fn perform(
        &self,
        seat: &Seat<'_>,
        job: usize,
        data: &[u8],
        scratch: &mut [u8],
    ) -> Result<Vec<u8>, Reason>;

    /// Whether [`Self::check`] has to see what `job` brought before anybody else does.
    fn is_checked(&self, _job: usize) -> bool {
        false
    }

    /// Whether `output` is right. It takes no session, which somebody else has meanwhile.
    fn check(&self, _job: usize, _data: &[u8], _output: &[u8]) -> Result<(), Reason> {
        Ok(())
    }

    /// Does something harmless, and checks the result: whether the token is in order.
    fn probe(&self, seat: &Seat<'_>, scratch: &mut [u8]) -> Result<(), Reason>;
}

/// Handles of one login.
#[derive(Clone, Copy)]
pub(crate) struct Located {
    pub(crate) key: CK_OBJECT_HANDLE,
    /// The public key, if the token has to verify.
    pub(crate) public: Option<CK_OBJECT_HANDLE>,
}

/// A place in front of the token: everything an operation needs.
pub(crate) struct Seat<'a> {
    pub(crate) entered: &'a Entered<'a>,
    pub(crate) session: CK_SESSION_HANDLE,
    pub(crate) located: Located,
    pub(crate) token: &'a Token,
    pub(crate) credentials: &'a Credentials,
    pub(crate) slot: sys::CK_SLOT_ID,
}

/// A token that a URI means, logged in.
pub(crate) struct Reached {
    pub(crate) module: ModuleUse,
    pub(crate) token: Arc<Token>,
    pub(crate) credentials: Credentials,
}

impl Reached {
    pub(crate) fn new(builder: &Builder, uri: &Uri) -> Result<Self, Reason> {
        let path = uri.module().or_else(|| builder.module.clone());
        let path = path.ok_or(Reason::NoModule)?;
        let pin = match &builder.pin {
            Some(pin) => Some(pin.clone()),
            None => Pin::from_uri(uri)?,
        };
        let profile = builder.profile.clone();
        let credentials = Credentials::new(pin, profile, builder.settings.hang_limit);
        let module = ModuleUse::of(&path, builder.module_arguments.as_deref())?;
        let entered = module.enter()?;
        check_library(&entered, uri)?;
        let token = Token::find(&module, &entered, uri)?;
        token.ready(&entered, &credentials)?;
        drop(entered);
        Ok(Self {
            module,
            token,
            credentials,
        })
    }
}

/// A key in one token.
pub(crate) struct Place {
    /// The URI without the PIN, for messages.
    pub(crate) uri: String,
    pub(crate) module: Arc<Module>,
    pub(crate) token: Arc<Token>,
    pub(crate) credentials: Credentials,
    pub(crate) duty: Box<dyn Duty>,
    pub(crate) meter: PlaceMeter,
    /// Of one login: tokens forget the handles of private objects when it ends.
    pub(crate) located: Shared<Option<(Login, Located)>>,
    /// When a fresh start was last tried though the token answers.
    pub(crate) fresh_start: Mutex<Option<Instant>>,
}

/// How often that is tried.
const FRESH_START: Duration = Duration::from_secs(10);

/// Why an operation failed, and in which generation of the module.
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) generation: u64,
}

impl Place {
    /// A place of the key that is called `key` in the counters.
    pub(crate) fn new(key: &str, uri: String, reached: &Reached, duty: Box<dyn Duty>) -> Self {
        let token = reached.token.clone();
        Self {
            meter: PlaceMeter::new(key, &token.identity.uri().to_string()),
            uri,
            module: Arc::clone(&reached.module),
            token,
            credentials: reached.credentials.clone(),
            duty,
            located: Shared::default(),
            fresh_start: Mutex::new(None),
        }
    }

    /// Does `work` with a session, logged in, with the key's handles. After an error the
    /// session is closed: modules leave operations active.
    pub(crate) fn seated<T>(
        &self,
        session: &mut Option<Session>,
        work: impl FnOnce(&Seat<'_>) -> Result<T, Reason>,
    ) -> Result<T, Trouble> {
        let entered = match self.module.enter() {
            Ok(entered) => entered,
            Err(failure) => {
                self.forget(session);
                return Err(Trouble {
                    reason: failure.into(),
                    generation: self.module.generation(),
                });
            }
        };
        let generation = entered.generation();
        let outcome = self.seated_inside(&entered, session, work);
        outcome.map_err(|reason| {
            let login = session.as_ref().map(|session| session.login);
            self.close(&entered, session);
            let stale = match &reason {
                Reason::Call(failure) => {
                    self.meter.code(failure.code);
                    if let Some(login) = login
                        && failure.is(sys::CKR_USER_NOT_LOGGED_IN)
                    {
                        self.token.logged_out(&entered, login);
                    }
                    [
                        sys::CKR_KEY_HANDLE_INVALID,
                        sys::CKR_OBJECT_HANDLE_INVALID,
                        sys::CKR_USER_NOT_LOGGED_IN,
                    ]
                    .iter()
                    .any(|code| failure.is(*code))
                }
                // The handle may be another key's by now, or another secret's.
                Reason::WrongSignature | Reason::OtherKey => true,
                _ => false,
            };
            if stale {
                self.forget_handles();
            }
            Trouble { reason, generation }
        })
    }

    /// Has the key looked for anew.
    fn forget_handles(&self) {
        self.located.with(Option::take);
    }

    /// What a session made is wrong: it is not used again, nor are the handles.
    pub(crate) fn distrust(&self, session: &Suspect) {
        session.store(true, Relaxed);
        self.forget_handles();
    }

    fn seated_inside<T>(
        &self,
        entered: &Entered<'_>,
        session: &mut Option<Session>,
        work: impl FnOnce(&Seat<'_>) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        let generation = entered.generation();
        let mut login = self.token.ready(entered, &self.credentials)?;
        if session.as_ref().is_some_and(Session::is_suspect) {
            self.close(entered, session);
        }
        let handle = match session {
            Some(session) if session.generation == generation => session.handle,
            _ => {
                self.forget(session);
                let handle = entered.library().open_session(login.slot)?;
                let new = session.insert(Session {
                    handle,
                    generation,
                    login,
                    suspect: Suspect::default(),
                });
                self.meter.opened.add();
                self.meter.sessions_now.fetch_add(1, Relaxed);
                if self.token.has_logged_out(entered, handle, login) {
                    self.token.logged_out(entered, login);
                    login = self.token.ready(entered, &self.credentials)?;
                    new.login = login;
                }
                handle
            }
        };
        let look = Look {
            entered,
            session: handle,
        };
        let located = self.locate(&look, login)?;
        work(&Seat {
            entered,
            session: handle,
            located,
            token: &self.token,
            credentials: &self.credentials,
            slot: login.slot,
        })
    }

    /// The key's handles: looked up once per login, as that is slow.
    fn locate(&self, look: &Look<'_>, now: Login) -> Result<Located, Reason> {
        let known = |known: &Option<(Login, Located)>| {
            let known = known.filter(|(login, _)| *login == now);
            known.map(|(_, located)| located)
        };
        match self.located.get(1, self.credentials.patience, known) {
            Ok(located) => Ok(located),
            Err(_turn) => {
                let located = self.duty.locate(look)?;
                self.located.with(|known| *known = Some((now, located)));
                Ok(located)
            }
        }
    }

    /// Whether it is time for a fresh start though the token answers.
    pub(crate) fn once_in_a_while(&self) -> bool {
        let mut last = lock(&self.fresh_start);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= FRESH_START);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Drops a session of an earlier generation: it ended with that.
    fn forget(&self, session: &mut Option<Session>) {
        if session.take().is_some() {
            self.meter.sessions_now.fetch_sub(1, Relaxed);
        }
    }

    /// Closes a session, if it is of this generation.
    fn close(&self, entered: &Entered<'_>, session: &mut Option<Session>) {
        if let Some(open) = session
            && open.generation == entered.generation()
        {
            // What went wrong before is what counts.
            let _ = entered.library().close_session(open.handle);
        }
        self.forget(session);
    }

    /// Closes a session that its thread does not need any more.
    pub(crate) fn leave(&self, session: &mut Option<Session>) {
        if session.is_some() {
            match self.module.enter() {
                Ok(entered) => self.close(&entered, session),
                Err(_) => self.forget(session),
            }
        }
    }
}
