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
use crate::process::PerProcess;
use crate::shared::Shared;
use crate::uri::Uri;

/// What makes a token the same one in another slot; or in the same slot, where a URI says so
/// because several tokens are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) label: String,
    manufacturer: String,
    pub(crate) model: String,
    serial: String,
    slot_id: Option<u64>,
    slot_description: Option<String>,
    slot_manufacturer: Option<String>,
}

impl Identity {
    fn of(info: &sys::CK_TOKEN_INFO) -> Self {
        Self {
            label: padded(&info.label),
            manufacturer: padded(&info.manufacturerID),
            model: padded(&info.model),
            serial: padded(&info.serialNumber),
            slot_id: None,
            slot_description: None,
            slot_manufacturer: None,
        }
    }

    /// The same in the slot that `uri` wants it in, if it wants any.
    fn in_slot(&self, uri: &Uri) -> Self {
        Self {
            slot_id: uri.slot_id,
            slot_description: uri.slot_description.clone(),
            slot_manufacturer: uri.slot_manufacturer.clone(),
            ..self.clone()
        }
    }

    /// The URI that means this token and no other.
    pub(crate) fn uri(&self) -> Uri {
        Uri {
            token: Some(self.label.clone()),
            manufacturer: Some(self.manufacturer.clone()),
            model: Some(self.model.clone()),
            serial: Some(self.serial.clone()),
            slot_id: self.slot_id,
            slot_description: self.slot_description.clone(),
            slot_manufacturer: self.slot_manufacturer.clone(),
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
///
/// No lock is held over a call: one that hangs costs its own thread, and the others go on
/// without it after a while.
pub(crate) struct Token {
    pub(crate) identity: Identity,
    /// What holds in this generation of the module, if anything.
    present: Shared<Option<Present>>,
    /// One login at a time: with a wrong PIN, only one thread may learn it.
    latch: Arc<Shared<Latch>>,
    /// For keys that want the PIN with every signature: one that was right the last time.
    proven: Shared<Option<Arc<PinBytes>>>,
}

/// How many threads present a PIN at once that was right the last time. When it was changed
/// in the token meanwhile, as many tries are lost as there are threads at it, and tokens lock
/// after three.
const AT_ONCE: usize = 2;
/// How many logins may hang with a PIN of which nothing is known. They too may count as tries.
const MOST_UNKNOWN: usize = 2;

struct Present {
    generation: u64,
    login: Login,
    /// Kept open and never used: closing the last session would log out.
    anchor: CK_SESSION_HANDLE,
    /// Whether the token wants a login at all.
    wanted: bool,
}

/// A login, and the slot that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) slot: CK_SLOT_ID,
    /// Which one it is of this token's, in all generations.
    number: u64,
}

/// The latches of all tokens, by module and token. They stay when a module is released, so
/// that a program that opens a key again and again does not lock its token.
static LATCHES: PerProcess<Mutex<Vec<KnownLatch>>> = PerProcess::new();

struct KnownLatch {
    module: PathBuf,
    token: Identity,
    latch: Arc<Shared<Latch>>,
}

fn latch(module: &Path, token: &Identity) -> Arc<Shared<Latch>> {
    let mut latches = lock(LATCHES.get());
    let known = latches
        .iter()
        .find(|known| known.module == module && known.token == *token);
    if let Some(known) = known {
        return known.latch.clone();
    }
    let latch = Arc::<Shared<Latch>>::default();
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
    lock(LATCHES.get()).clear();
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
        Ok(module.token(Self {
            // By the token alone: a PIN is wrong under whatever URI it was presented.
            latch: latch(module.path(), &identity),
            identity: identity.in_slot(uri),
            present: Shared::default(),
            proven: Shared::default(),
        }))
    }

    /// The user's login in the token's slot: at once if that has been done in this generation
    /// of the module.
    pub(crate) fn ready(
        &self,
        entered: &Entered<'_>,
        credentials: &Credentials,
    ) -> Result<Login, Reason> {
        let generation = entered.generation();
        let login = |present: &Option<Present>| {
            let present = present.as_ref();
            present
                .filter(|present| present.generation == generation)
                .map(|present| present.login)
        };
        let turn = match self.present.get(1, credentials.patience, login) {
            Ok(login) => return Ok(login),
            Err(turn) => turn,
        };
        let (slot, info) = select(entered, &self.identity.uri())?;
        let anchor = entered.library().open_session(slot)?;
        if let Err(error) = self.login(entered, anchor, &info, credentials) {
            // Of this generation, as the gate is open around us.
            let _ = entered.library().close_session(anchor);
            return Err(error);
        }
        let (login, needless) = self.present.with(|present| match present {
            // Somebody was faster, because this took long.
            Some(other) if other.generation == generation => (other.login, true),
            _ => {
                let number = turn.number;
                let login = Login { slot, number };
                *present = Some(Present {
                    generation,
                    login,
                    anchor,
                    wanted: info.flags & sys::CKF_LOGIN_REQUIRED != 0,
                });
                (login, false)
            }
        });
        drop(turn);
        if needless {
            let _ = entered.library().close_session(anchor);
        }
        Ok(login)
    }

    /// Whether `login` is gone, as a session sees it that was opened since. A token that closes its sessions
    /// by itself ends the login with the last of them (PKCS#11 3.1, section 5.6.2), and does
    /// not say so: it only shows no private object any more.
    pub(crate) fn has_logged_out(
        &self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        login: Login,
    ) -> bool {
        let wanted = self.present.with(|present| {
            let present = present.as_ref();
            present
                .filter(|present| present.login == login)
                .map(|present| present.wanted)
        });
        match wanted {
            // One that can't tell is taken to be in order; what follows will show.
            Some(wanted) => wanted && entered.library().is_logged_in(session) == Ok(false),
            // Others have seen it, and are about to log in again or have done so.
            None => true,
        }
    }

    /// Forgets `login`, because the token has: the next to come logs in again. Not a later one,
    /// which others have made since.
    pub(crate) fn logged_out(&self, entered: &Entered<'_>, login: Login) {
        self.forget(entered, |present| present.login == login);
    }

    /// Gives the session back that keeps the login.
    pub(crate) fn leave(&self, entered: &Entered<'_>) {
        self.forget(entered, |_| true);
    }

    fn forget(&self, entered: &Entered<'_>, which: impl Fn(&Present) -> bool) {
        let generation = entered.generation();
        let present = self
            .present
            .with(|present| present.take_if(|p| p.generation == generation && which(p)));
        if let Some(present) = present {
            let _ = entered.library().close_session(present.anchor);
        }
    }

    fn login(
        &self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        info: &sys::CK_TOKEN_INFO,
        credentials: &Credentials,
    ) -> Result<(), Reason> {
        if info.flags & sys::CKF_LOGIN_REQUIRED == 0 {
            return Ok(());
        }
        let pin = credentials.pin_for(info, &self.identity.label)?;
        let pin = pin.map(Arc::new);
        self.present_pin(entered, session, User::Normal, pin.as_ref(), credentials)?;
        self.proven.with(Option::take);
        Ok(())
    }

    /// Logs in for the one operation that `session` has begun (CKA_ALWAYS_AUTHENTICATE).
    pub(crate) fn login_for_operation(
        &self,
        entered: &Entered<'_>,
        slot: CK_SLOT_ID,
        session: CK_SESSION_HANDLE,
        credentials: &Credentials,
    ) -> Result<(), Reason> {
        let (user, patience) = (User::ContextSpecific, credentials.patience);
        // One call more for each signature: somebody else may have tried wrong ones, and the
        // PIN may have been changed since it was right.
        let info = entered.library().token_info(slot)?;
        Credentials::check(&info)?;
        let none = |proven: &Option<_>| proven.is_none().then_some(());
        if let Err(turn) = self.proven.get(AT_ONCE, patience, none)
            && let Some(pin) = self.proven.with(|proven| proven.clone())
        {
            // Without the latch's turn: who signs need not wait for others.
            self.latch.with(|latch| latch.check(Some(&pin)))?;
            let outcome = self.present(entered, session, user, Some(&pin), &credentials.profile);
            if outcome.is_err() {
                self.proven.with(Option::take);
            }
            drop(turn);
            return outcome;
        }
        let pin = credentials.pin_for(&info, &self.identity.label)?;
        let pin = pin.map(Arc::new);
        self.present_pin(entered, session, user, pin.as_ref(), credentials)?;
        self.proven.with(|proven| *proven = pin);
        Ok(())
    }

    /// Presents a PIN, unless it has been refused before; one at a time.
    fn present_pin(
        &self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        user: User,
        pin: Option<&Arc<PinBytes>>,
        credentials: &Credentials,
    ) -> Result<(), Reason> {
        let bytes = pin.map(|pin| &pin[..]);
        let refused = |latch: &Latch| latch.check(bytes).err();
        let turn = match self.latch.get(1, credentials.patience, refused) {
            Ok(error) => return Err(error.into()),
            Err(turn) => turn,
        };
        if turn.hanging >= MOST_UNKNOWN && !self.latch.with(|latch| latch.is_proven()) {
            return Err(Reason::Hanging(turn.hanging));
        }
        // To its end, so that the next one knows the answer.
        self.present(entered, session, user, pin, &credentials.profile)
    }

    /// Presents a PIN, and remembers the answer.
    fn present(
        &self,
        entered: &Entered<'_>,
        session: CK_SESSION_HANDLE,
        user: User,
        pin: Option<&Arc<PinBytes>>,
        profile: &Profile,
    ) -> Result<(), Reason> {
        let refusals = self.latch.with(|latch| latch.refusals());
        let bytes = pin.map(|pin| &pin[..]);
        match entered.library().login(session, user, bytes) {
            Ok(()) => {
                self.latch.with(|latch| latch.accept(refusals));
                Ok(())
            }
            // By another key of this process; the login is for all sessions. It says nothing
            // of the PIN, so what was refused stays so.
            Err(failure) if failure.is(sys::CKR_USER_ALREADY_LOGGED_IN) => Ok(()),
            Err(failure) if failure.is(sys::CKR_USER_PIN_NOT_INITIALIZED) => {
                Err(PinError::NotInitialized(Some(failure.code)).into())
            }
            Err(failure) if profile.refuses_pin(failure.code) => {
                self.latch
                    .with(|latch| latch.refuse(pin.cloned(), failure.code));
                Err(if failure.is(sys::CKR_PIN_LOCKED) {
                    PinError::Locked(Some(failure.code)).into()
                } else {
                    PinError::Refused(failure.code).into()
                })
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests;
