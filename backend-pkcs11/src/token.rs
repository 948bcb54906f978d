//! Which token a URI means, and the login.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cryptoki_sys as sys;
use sys::{CK_SESSION_HANDLE, CK_SLOT_ID};

use crate::code::Profile;
use crate::error::Reason;
use crate::low::User;
use crate::module::{Entered, Module, lock};
use crate::pin::{Credentials, Latch, PinBytes, PinError};
use crate::uri::Uri;

/// What makes a token the same one in another slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) label: String,
    manufacturer: String,
    pub(crate) model: String,
    serial: String,
}

impl Identity {
    fn of(info: &sys::CK_TOKEN_INFO) -> Self {
        Self {
            label: padded(&info.label),
            manufacturer: padded(&info.manufacturerID),
            model: padded(&info.model),
            serial: padded(&info.serialNumber),
        }
    }

    /// The URI that means this token and no other.
    pub(crate) fn uri(&self) -> Uri {
        Uri {
            token: Some(self.label.clone()),
            manufacturer: Some(self.manufacturer.clone()),
            model: Some(self.model.clone()),
            serial: Some(self.serial.clone()),
            ..Uri::default()
        }
    }
}

/// Text of a fixed length, padded with blanks (or, against the standard, zeros).
pub(crate) fn padded(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches([' ', '\0']).into()
}

/// Whether an attribute of a URI, if it is there, is what was found.
fn fits(wanted: Option<&String>, found: &[u8]) -> bool {
    // A label that was cut off in the middle of a character is compared as it is.
    wanted.is_none_or(|wanted| wanted.trim_end_matches(' ') == padded(found))
}

/// A token, wherever it is plugged in.
pub(crate) struct Token {
    pub(crate) identity: Identity,
    state: Mutex<State>,
}

struct State {
    /// What holds in this generation of the module, if anything.
    present: Option<Present>,
    /// Locked over a login: with a wrong PIN, only one thread may learn it.
    latch: Arc<Mutex<Latch>>,
    /// For keys that want the PIN with every signature.
    pin: Option<PinBytes>,
}

struct Present {
    generation: u64,
    slot: CK_SLOT_ID,
    /// Kept open and never used: closing the last session would log out.
    anchor: CK_SESSION_HANDLE,
    /// Whether the token wants a login at all.
    login: bool,
}

/// The latches of all tokens, by module and token. They stay when a module is released, so
/// that a program that opens a key again and again does not lock its token.
static LATCHES: Mutex<Vec<KnownLatch>> = Mutex::new(Vec::new());

struct KnownLatch {
    module: PathBuf,
    token: Identity,
    latch: Arc<Mutex<Latch>>,
}

fn latch(module: &Path, token: &Identity) -> Arc<Mutex<Latch>> {
    let mut latches = lock(&LATCHES);
    let known = latches
        .iter()
        .find(|known| known.module == module && known.token == *token);
    if let Some(known) = known {
        return known.latch.clone();
    }
    let latch = Arc::<Mutex<Latch>>::default();
    latches.push(KnownLatch {
        module: module.into(),
        token: token.clone(),
        latch: latch.clone(),
    });
    latch
}

/// Forgets every latch, for the next test.
#[cfg(test)]
pub(crate) fn forget_latches() {
    lock(&LATCHES).clear();
}

/// Checks the URI's `library-...` attributes.
pub(crate) fn check_library(entered: &Entered<'_>, uri: &Uri) -> Result<(), Reason> {
    let wanted = (
        &uri.library_manufacturer,
        &uri.library_description,
        uri.library_version,
    );
    if let (None, None, None) = wanted {
        return Ok(());
    }
    let info = entered.library().info()?;
    let version = (info.libraryVersion.major, info.libraryVersion.minor);
    if fits(uri.library_manufacturer.as_ref(), &info.manufacturerID)
        && fits(uri.library_description.as_ref(), &info.libraryDescription)
        && uri.library_version.is_none_or(|wanted| wanted == version)
    {
        return Ok(());
    }
    let found = Uri {
        library_manufacturer: Some(padded(&info.manufacturerID)),
        library_description: Some(padded(&info.libraryDescription)),
        library_version: Some(version),
        ..Uri::default()
    };
    Err(Reason::OtherLibrary {
        found: found.to_string(),
    })
}

/// The one initialised token that fits the URI.
fn select(entered: &Entered<'_>, uri: &Uri) -> Result<(CK_SLOT_ID, sys::CK_TOKEN_INFO), Reason> {
    let library = entered.library();
    let mut fitting = Vec::new();
    let mut present = Vec::new();
    for slot in library.slots()? {
        let info = match library.token_info(slot) {
            Ok(info) => info,
            // Pulled out since, or none of ours; a token beside must not hide this one.
            Err(_) => continue,
        };
        if info.flags & sys::CKF_TOKEN_INITIALIZED == 0 {
            continue;
        }
        present.push(Identity::of(&info).uri().to_string());
        // A slot's number has 32 bits on some platforms.
        #[allow(clippy::useless_conversion)]
        let number = u64::from(slot);
        let token_fits = fits(uri.token.as_ref(), &info.label)
            && fits(uri.manufacturer.as_ref(), &info.manufacturerID)
            && fits(uri.model.as_ref(), &info.model)
            && fits(uri.serial.as_ref(), &info.serialNumber)
            && uri.slot_id.is_none_or(|wanted| wanted == number);
        if !token_fits {
            continue;
        }
        if uri.slot_description.is_some() || uri.slot_manufacturer.is_some() {
            let slot = library.slot_info(slot)?;
            if !fits(uri.slot_description.as_ref(), &slot.slotDescription)
                || !fits(uri.slot_manufacturer.as_ref(), &slot.manufacturerID)
            {
                continue;
            }
        }
        fitting.push((slot, info));
    }
    match fitting.as_slice() {
        [one] => Ok(*one),
        [] => Err(Reason::NoToken { present }),
        several => Err(Reason::ManyTokens(
            several
                .iter()
                .map(|(slot, info)| {
                    #[allow(clippy::useless_conversion)]
                    let slot_id = Some(u64::from(*slot));
                    let uri = Identity::of(info).uri();
                    Uri { slot_id, ..uri }.to_string()
                })
                .collect(),
        )),
    }
}

impl Token {
    /// The token that `uri` means.
    pub(crate) fn find(
        module: &Module,
        entered: &Entered<'_>,
        uri: &Uri,
    ) -> Result<Arc<Self>, Reason> {
        let (_, info) = select(entered, uri)?;
        let identity = Identity::of(&info);
        let state = State {
            present: None,
            latch: latch(module.path(), &identity),
            pin: None,
        };
        Ok(module.token(Self {
            identity,
            state: Mutex::new(state),
        }))
    }

    /// The token's slot, with the user logged in: at once if that has been done in this
    /// generation of the module.
    pub(crate) fn ready(
        &self,
        entered: &Entered<'_>,
        credentials: &Credentials,
    ) -> Result<CK_SLOT_ID, Reason> {
        let mut state = lock(&self.state);
        if let Some(present) = &state.present
            && present.generation == entered.generation()
        {
            return Ok(present.slot);
        }
        state.present = None;
        let (slot, info) = select(entered, &self.identity.uri())?;
        let anchor = entered.library().open_session(slot)?;
        if let Err(error) = state.login(entered, anchor, &info, credentials, &self.identity.label) {
            // Of this generation, as the gate is open around us.
            let _ = entered.library().close_session(anchor);
            return Err(error);
        }
        state.present = Some(Present {
            generation: entered.generation(),
            slot,
            anchor,
            login: info.flags & sys::CKF_LOGIN_REQUIRED != 0,
        });
        Ok(slot)
    }

    /// Whether the login is gone, as a new session sees it. A token that closes its sessions
    /// by itself ends the login with the last of them (PKCS#11 3.1, section 5.6.2), and does
    /// not say so: it only shows no private object any more.
    pub(crate) fn has_logged_out(&self, entered: &Entered<'_>, session: CK_SESSION_HANDLE) -> bool {
        let login = lock(&self.state).present.as_ref().is_some_and(|p| p.login);
        // One that can't tell is taken to be in order; what follows will show.
        login && entered.library().is_logged_in(session) == Ok(false)
    }

    /// Forgets the login, because the token has: the next to come logs in again.
    pub(crate) fn logged_out(&self, entered: &Entered<'_>) {
        let mut state = lock(&self.state);
        if let Some(present) = state
            .present
            .take_if(|p| p.generation == entered.generation())
        {
            let _ = entered.library().close_session(present.anchor);
        }
    }

    /// Logs in for the one operation that `session` has begun (CKA_ALWAYS_AUTHENTICATE).
    pub(crate) fn login_for_operation(
        &self,
        entered: &Entered<'_>,
        slot: CK_SLOT_ID,
        session: CK_SESSION_HANDLE,
        credentials: &Credentials,
    ) -> Result<(), Reason> {
        let mut state = lock(&self.state);
        // One that was right the last time is presented without asking the token how many
        // wrong ones it has seen, which would be one call more for each signature.
        let pin = match state.pin.take() {
            Some(pin) => Some(pin),
            None => {
                let info = entered.library().token_info(slot)?;
                credentials.pin_for(&info, &self.identity.label)?
            }
        };
        let profile = &credentials.profile;
        state.present_pin(entered, session, User::ContextSpecific, &pin, profile)?;
        state.pin = pin;
        Ok(())
    }
}

impl State {
    fn login(
        &mut self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        info: &sys::CK_TOKEN_INFO,
        credentials: &Credentials,
        label: &str,
    ) -> Result<(), Reason> {
        if info.flags & sys::CKF_LOGIN_REQUIRED == 0 {
            return Ok(());
        }
        let pin = credentials.pin_for(info, label)?;
        self.present_pin(entered, session, User::Normal, &pin, &credentials.profile)?;
        self.pin = None;
        Ok(())
    }

    /// Presents the PIN, unless it has been refused before.
    fn present_pin(
        &self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        user: User,
        pin: &Option<PinBytes>,
        profile: &Profile,
    ) -> Result<(), Reason> {
        let bytes = pin.as_ref().map(|bytes| &bytes[..]);
        let mut latch = lock(&self.latch);
        latch.check(bytes)?;
        match entered.library().login(session, user, bytes) {
            Ok(()) => {
                latch.clear();
                Ok(())
            }
            // By another key of this process; the login is for all sessions. It says nothing
            // of the PIN, so what was refused stays so.
            Err(failure) if failure.is(sys::CKR_USER_ALREADY_LOGGED_IN) => Ok(()),
            Err(failure) if failure.is(sys::CKR_USER_PIN_NOT_INITIALIZED) => {
                Err(PinError::NotInitialized.into())
            }
            Err(failure) if profile.refuses_pin(failure.code) => {
                latch.refuse(pin.clone(), failure.code);
                Err(if failure.is(sys::CKR_PIN_LOCKED) {
                    PinError::Locked.into()
                } else {
                    PinError::Refused(failure.code).into()
                })
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{Class, Code};
    use crate::low::mock::{library, mock, state};
    use crate::pin::Pin;
    use std::sync::MutexGuard;

    fn module() -> (MutexGuard<'static, ()>, Module) {
        let (turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        (turn, module)
    }

    fn log_in(module: &Module, pin: Option<&Pin>) -> Result<CK_SLOT_ID, Reason> {
        let entered = module.enter().unwrap();
        let token = Token::find(module, &entered, &Uri::default()).unwrap();
        token.ready(&entered, &with(pin))
    }

    fn with(pin: Option<&Pin>) -> Credentials {
        let (pin, profile) = (pin.cloned(), Profile::standard());
        Credentials { pin, profile }
    }

    fn pin(text: &str) -> Pin {
        Pin::value(text.to_owned())
    }

    #[test]
    fn one_login_serves_all() {
        let (_turn, module) = module();
        for _ in 0..3 {
            assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
        }
        assert_eq!(state().calls, ["C_Initialize", "C_Login"]);
    }

    #[test]
    fn a_refused_pin_is_not_tried_again() {
        let (_turn, module) = module();
        let incorrect = Code::new(sys::CKR_PIN_INCORRECT);
        let wrong = pin("4321");
        let refused = Err(PinError::Refused(incorrect).into());
        assert_eq!(log_in(&module, Some(&wrong)), refused);
        for _ in 0..5 {
            let latched = Err(PinError::Latched(incorrect).into());
            assert_eq!(log_in(&module, Some(&wrong)), latched);
        }
        assert_eq!(state().pins.len(), 1);
        // Another one is tried; it is right, and after that nothing is held against the first.
        assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
        assert_eq!(state().pins.len(), 2);
    }

    #[test]
    fn wrong_pins_that_take_turns_are_presented_once_each() {
        let (_turn, module) = module();
        for _ in 0..5 {
            assert!(log_in(&module, Some(&pin("4321"))).is_err());
            assert!(log_in(&module, Some(&pin("8765"))).is_err());
        }
        assert_eq!(state().pins.len(), 2);
    }

    #[test]
    fn after_many_wrong_pins_none_is_presented() {
        let (_turn, module) = module();
        for wrong in 0..20 {
            assert!(log_in(&module, Some(&pin(&format!("wrong {wrong}")))).is_err());
        }
        let none = Err(PinError::ManyRefused.into());
        assert_eq!(log_in(&module, Some(&pin("1234"))), none);
        assert_eq!(state().pins.len(), 8);
    }

    #[test]
    fn a_pin_stays_refused_when_the_module_is_initialised_again() {
        let (_turn, module) = module();
        let wrong = pin("4321");
        assert!(log_in(&module, Some(&wrong)).is_err());
        let none = std::time::Duration::ZERO;
        assert_eq!(module.recover(1, none, none), Ok(true));
        assert!(log_in(&module, Some(&wrong)).is_err());
        assert_eq!(state().pins.len(), 1);
    }

    #[test]
    fn a_pin_stays_refused_when_the_module_is_opened_again() {
        let (_turn, module) = module();
        let wrong = pin("4321");
        assert!(log_in(&module, Some(&wrong)).is_err());
        let open = |path: &str| Module::with_library(library(), path.as_ref(), None).unwrap();
        assert!(log_in(&open("mock"), Some(&wrong)).is_err());
        assert_eq!(state().pins.len(), 1);
        // A token of another module is another token.
        assert!(log_in(&open("other"), Some(&wrong)).is_err());
        assert_eq!(state().pins.len(), 2);
    }

    #[test]
    fn the_last_try_is_not_taken() {
        let (_turn, module) = module();
        for (flag, error) in [
            (sys::CKF_USER_PIN_FINAL_TRY, PinError::FinalTry),
            (sys::CKF_USER_PIN_LOCKED, PinError::Locked),
        ] {
            let before = state().flags;
            state().flags |= flag;
            let right = pin("1234");
            assert_eq!(log_in(&module, Some(&right)), Err(error.into()));
            state().flags = before;
        }
        assert!(state().pins.is_empty());
        state().flags &= !sys::CKF_USER_PIN_INITIALIZED;
        let error = Err(PinError::NotInitialized.into());
        assert_eq!(log_in(&module, Some(&pin("1234"))), error);
        assert!(state().pins.is_empty());
    }

    #[test]
    fn a_token_that_locks_says_so() {
        let (_turn, module) = module();
        state().login_answer = Some(sys::CKR_PIN_LOCKED);
        let wrong = pin("4321");
        assert_eq!(log_in(&module, Some(&wrong)), Err(PinError::Locked.into()));
        assert!(log_in(&module, Some(&wrong)).is_err());
        assert_eq!(state().pins.len(), 1);
    }

    #[test]
    fn without_a_pin_only_where_the_token_asks_for_it() {
        let (_turn, module) = module();
        assert_eq!(log_in(&module, None), Err(PinError::Missing.into()));
        assert!(log_in(&module, Some(&Pin::protected_path())).is_err());
        assert!(state().pins.is_empty());
        state().flags |= sys::CKF_PROTECTED_AUTHENTICATION_PATH;
        assert_eq!(log_in(&module, Some(&Pin::protected_path())), Ok(7));
        assert_eq!(state().pins, [None]);
    }

    #[test]
    fn somebody_elses_login_will_do_and_says_nothing_of_a_pin() {
        let (_turn, module) = module();
        assert!(log_in(&module, Some(&pin("4321"))).is_err());
        state().login_answer = Some(sys::CKR_USER_ALREADY_LOGGED_IN);
        assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
        let none = std::time::Duration::ZERO;
        assert_eq!(module.recover(1, none, none), Ok(true));
        assert!(log_in(&module, Some(&pin("4321"))).is_err());
        assert_eq!(state().pins.len(), 2);
    }

    #[test]
    fn a_token_that_wants_no_login_gets_none() {
        let (_turn, module) = module();
        state().flags = sys::CKF_TOKEN_INITIALIZED;
        assert_eq!(log_in(&module, None), Ok(7));
        assert_eq!(state().calls, ["C_Initialize"]);
    }

    #[test]
    fn an_operation_that_wants_its_own_login_gets_it_once_wrong() {
        let (_turn, module) = module();
        let entered = module.enter().unwrap();
        let token = Token::find(&module, &entered, &Uri::default()).unwrap();
        let log_in = |pin: Option<&Pin>| token.login_for_operation(&entered, 7, 1, &with(pin));
        assert!(log_in(Some(&pin("4321"))).is_err());
        assert!(log_in(Some(&pin("4321"))).is_err());
        assert_eq!(state().pins.len(), 1);
        // The token's warnings count here too.
        assert_eq!(log_in(None), Err(PinError::Missing.into()));
        state().flags |= sys::CKF_USER_PIN_FINAL_TRY;
        let last = Err(PinError::FinalTry.into());
        assert_eq!(log_in(Some(&pin("1234"))), last);
        state().flags &= !sys::CKF_USER_PIN_FINAL_TRY;
        assert_eq!(state().pins.len(), 1);
        assert_eq!(log_in(Some(&pin("1234"))), Ok(()));
    }

    #[test]
    fn an_answer_that_says_nothing_certain_is_taken_for_a_refusal() {
        let (_turn, module) = module();
        let vendor = Code::new(sys::CKR_VENDOR_DEFINED);
        state().login_answer = Some(sys::CKR_VENDOR_DEFINED);
        for error in [PinError::Refused(vendor), PinError::Latched(vendor)] {
            assert_eq!(log_in(&module, Some(&pin("1234"))), Err(error.into()));
        }
        assert_eq!(state().pins.len(), 1);
        // Unless the vendor is known to mean something else by it, or it passes by.
        let entered = module.enter().unwrap();
        let token = Token::find(&module, &entered, &Uri::default()).unwrap();
        let profile = Profile::standard().treat(vendor, Class::Busy);
        let pin = Some(pin("5678"));
        let credentials = Credentials { pin, profile };
        for answer in [sys::CKR_VENDOR_DEFINED, sys::CKR_DEVICE_ERROR] {
            state().login_answer = Some(answer);
            for _ in 0..2 {
                let failed = token.ready(&entered, &credentials);
                assert!(matches!(failed, Err(Reason::Call(_))), "{failed:?}");
            }
        }
        assert_eq!(state().pins.len(), 5);
    }
}
