//! Where PINs come from, and how a wrong one is kept from being tried again.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cryptoki_sys as sys;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::code::{Code, Profile};
use crate::module::lock;
use crate::process::PerProcess;
use crate::uri::Uri;

/// The bytes of a PIN, wiped when dropped.
pub(crate) type PinBytes = Zeroizing<Vec<u8>>;

/// The longest PIN that is read, in bytes; far above what any token takes.
const LONGEST: u64 = 4096;

/// Where the PIN of a token comes from.
///
/// It is asked for at each login: at the start, and when the token has been lost and is
/// back. So a PIN that changes needs no restart when the file or callback gives the new one.
///
/// Every copy is wiped when it is given up: after the login, or with the key if it was passed
/// as a value or through a descriptor, or the key wants it for each signature
/// (CKA_ALWAYS_AUTHENTICATE). A PIN that was refused is kept, to be recognised. `Debug` shows
/// the place and never the PIN.
#[derive(Clone)]
pub struct Pin(Source);

type Callback = dyn Fn(&str) -> Result<Zeroizing<String>, String> + Send + Sync;

/// What was read from a descriptor; empty until then.
type Kept = Arc<Mutex<PinBytes>>;

#[derive(Clone)]
enum Source {
    Value(Arc<PinBytes>),
    File(PathBuf),
    Environment(String),
    /// Its number, and what was read there.
    Descriptor(u32, Kept),
    Callback(Arc<Callback>),
    ProtectedPath,
}

impl Pin {
    /// This PIN.
    pub fn value(pin: impl Into<Zeroizing<String>>) -> Self {
        let pin: Zeroizing<String> = pin.into();
        Self(Source::Value(Arc::new(pin.as_bytes().to_vec().into())))
    }

    /// The content of a file, without a line break at its end.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The value of an environment variable. Other processes of the same user can read it.
    pub fn environment(name: impl Into<String>) -> Self {
        Self(Source::Environment(name.into()))
    }

    /// What can be read from an open file descriptor of this process, such as a pipe from
    /// whoever started it. It is read once and kept in memory, because a pipe gives its
    /// content only once; a copy of this value does not read it again.
    pub fn descriptor(number: u32) -> Self {
        Self(Source::Descriptor(number, Arc::default()))
    }

    /// The same for all URIs of this process that name the descriptor: it is read for the
    /// first of them, and later it may be closed, or be something else.
    fn descriptor_of_process(number: u32) -> Self {
        static READ: PerProcess<Mutex<Vec<(u32, Kept)>>> = PerProcess::new();
        let mut read = lock(READ.get());
        if let Some((_, kept)) = read.iter().find(|(each, _)| *each == number) {
            return Self(Source::Descriptor(number, kept.clone()));
        }
        let kept = Kept::default();
        read.push((number, kept.clone()));
        Self(Source::Descriptor(number, kept))
    }

    /// What a function returns, given the label of the token; its error becomes part of the
    /// message. It is called on a thread of this crate.
    pub fn callback(
        ask: impl Fn(&str) -> Result<Zeroizing<String>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Callback(Arc::new(ask)))
    }

    /// None: it is entered on the token itself, which has a protected authentication path.
    pub fn protected_path() -> Self {
        Self(Source::ProtectedPath)
    }

    /// What the URI says: `pin-value`, or `pin-source` with a path, `file:` and a path,
    /// `env:` and a variable's name, or `fd:` and a number.
    pub(crate) fn from_uri(uri: &Uri) -> Result<Option<Self>, PinError> {
        if let Some(value) = &uri.pin_value {
            return Ok(Some(Self::value(value.clone())));
        }
        let Some(source) = &uri.pin_source else {
            return Ok(None);
        };
        if source.starts_with('|') {
            return Err(PinError::Source(
                "pin-source names a program; for safety none is started, use a file".into(),
            ));
        }
        if let Some(name) = source.strip_prefix("env:") {
            return Ok(Some(Self::environment(name)));
        }
        if let Some(number) = source.strip_prefix("fd:") {
            let number = number
                .parse()
                .map_err(|_| PinError::Source("pin-source: fd: needs a number".into()))?;
            return Ok(Some(Self::descriptor_of_process(number)));
        }
        // `file:/path` and `file:///path` are the same (RFC 8089, section 2).
        let path = source.strip_prefix("file:").unwrap_or(source);
        let path = path.strip_prefix("//").unwrap_or(path);
        Ok(Some(Self::file(path)))
    }

    fn is_entered_by_hand(&self) -> bool {
        matches!(self.0, Source::ProtectedPath)
    }

    /// The PIN for the token of this label; `None` if the token asks for it itself.
    pub(crate) fn get(&self, label: &str) -> Result<Option<PinBytes>, PinError> {
        let pin = match &self.0 {
            Source::Value(pin) => PinBytes::clone(pin),
            Source::File(path) => File::open(path)
                .and_then(read)
                .map_err(|error| PinError::Source(format!("{}: {error}", path.display())))?,
            Source::Environment(name) => std::env::var_os(name)
                .map(|value| Zeroizing::new(value.into_encoded_bytes()))
                .ok_or_else(|| {
                    PinError::Source(format!("the environment variable {name} is not set"))
                })?,
            Source::Descriptor(number, kept) => {
                let mut kept = lock(kept);
                if kept.is_empty() {
                    *kept = File::open(format!("/dev/fd/{number}"))
                        .and_then(read)
                        .map_err(|error| {
                            PinError::Source(format!("file descriptor {number}: {error}"))
                        })?;
                }
                kept.clone()
            }
            Source::Callback(ask) => {
                let pin = ask(label).map_err(PinError::Source)?;
                pin.as_bytes().to_vec().into()
            }
            Source::ProtectedPath => return Ok(None),
        };
        if pin.is_empty() {
            return Err(PinError::Source(format!("{self:?} gave an empty PIN")));
        }
        Ok(Some(pin))
    }
}

/// Everything up to a final line break.
fn read(file: File) -> std::io::Result<PinBytes> {
    // At once as large as it may get, so that no reallocation leaves a copy behind.
    let mut pin = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_end(&mut pin)?;
    if pin.len() as u64 > LONGEST {
        return Err(std::io::Error::other("too long for a PIN"));
    }
    if pin.ends_with(b"\n") {
        pin.pop();
        if pin.ends_with(b"\r") {
            pin.pop();
        }
    }
    Ok(pin)
}

/// What a login is made with.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) pin: Option<Pin>,
    /// How the token's answer is to be understood.
    pub(crate) profile: Profile,
    /// How long a thread waits for what another one is doing for all.
    pub(crate) patience: Duration,
}

/// How long a person may take who enters a PIN.
const AT_THE_PAD: Duration = Duration::from_secs(60);

impl Credentials {
    pub(crate) fn new(pin: Option<Pin>, profile: Profile, hang_limit: Duration) -> Self {
        // Half, so that a thread that has waited has time left for its own try.
        let mut patience = hang_limit / 2;
        if pin.as_ref().is_none_or(Pin::is_entered_by_hand) {
            patience = patience.max(AT_THE_PAD);
        }
        Self {
            pin,
            profile,
            patience,
        }
    }

    /// Whether a PIN may be presented to this token at all.
    ///
    /// # Errors
    /// Why none should.
    pub(crate) fn check(info: &sys::CK_TOKEN_INFO) -> Result<(), PinError> {
        let has = |flag| info.flags & flag != 0;
        if has(sys::CKF_USER_PIN_LOCKED) {
            return Err(PinError::Locked(None));
        }
        if !has(sys::CKF_USER_PIN_INITIALIZED) {
            return Err(PinError::NotInitialized(None));
        }
        if has(sys::CKF_USER_PIN_FINAL_TRY) {
            return Err(PinError::FinalTry);
        }
        Ok(())
    }

    /// The PIN to present to this token; `None` if it asks for it itself.
    ///
    /// # Errors
    /// That there is none, or that none should be presented.
    pub(crate) fn pin_for(
        &self,
        info: &sys::CK_TOKEN_INFO,
        label: &str,
    ) -> Result<Option<PinBytes>, PinError> {
        Self::check(info)?;
        let own_entry = info.flags & sys::CKF_PROTECTED_AUTHENTICATION_PATH != 0;
        match self.pin.as_ref().map(|pin| pin.get(label)).transpose()? {
            Some(None) if !own_entry => {
                let why = "the token has no protected authentication path to enter it on";
                Err(PinError::Source(why.into()))
            }
            None if !own_entry => Err(PinError::Missing),
            pin => Ok(pin.flatten()),
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("a PIN given as a value"),
            Source::File(path) => write!(f, "the PIN file {}", path.display()),
            Source::Environment(name) => write!(f, "the environment variable {name}"),
            Source::Descriptor(number, _) => write!(f, "the file descriptor {number}"),
            Source::Callback(_) => f.write_str("the PIN callback"),
            Source::ProtectedPath => f.write_str("the token's own PIN entry"),
        }
    }
}

/// Why a login did not happen or did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// There is no PIN to be had; the text says from where and why.
    Source(String),
    /// The token wants a PIN and none was configured.
    Missing,
    /// The token has refused the PIN.
    Refused(Code),
    /// This PIN has been refused before, and is not tried again.
    Latched(Code),
    /// The token has refused so many different PINs that no further one is tried before the
    /// process starts again.
    ManyRefused,
    /// The token says that one more wrong PIN locks it (CKF_USER_PIN_FINAL_TRY), so nothing
    /// is tried: log in once by hand.
    FinalTry,
    /// The token is locked; its security officer can unlock it. With the code if that was the
    /// answer to a PIN, without if the token said so before (CKF_USER_PIN_LOCKED).
    Locked(Option<Code>),
    /// The token has no user PIN yet. With the code if that was the answer to a PIN, without
    /// if the token said so before (CKF_USER_PIN_INITIALIZED).
    NotInitialized(Option<Code>),
}

impl PinError {
    /// What `C_Login` returned. `None` if no PIN was presented.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(code) => Some(*code),
            Self::Locked(code) | Self::NotInitialized(code) => *code,
            Self::Source(_)
            | Self::Missing
            | Self::Latched(_)
            | Self::ManyRefused
            | Self::FinalTry => None,
        }
    }
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(why) => write!(f, "no PIN: {why}"),
            Self::Missing => f.write_str(
                "the token wants a PIN and none is configured: give pin-source in the URI, or a \
                 Pin",
            ),
            Self::Refused(code) => write!(
                f,
                "the token refused the PIN ({code}); it is not tried again until it changes"
            ),
            Self::Latched(code) => write!(
                f,
                "this PIN was refused before ({code}) and is not tried again, so that the token \
                 does not lock"
            ),
            Self::ManyRefused => f.write_str(
                "the token has refused many different PINs, so none is tried any more: find the \
                 right one, then start the process again",
            ),
            Self::FinalTry => f.write_str(
                "one more wrong PIN would lock the token, so none is tried: log in once by hand, \
                 which resets the count",
            ),
            Self::Locked(_) => f.write_str(
                "the token's PIN is locked after too many wrong ones: its security officer has to \
                 set a new one",
            ),
            Self::NotInitialized(_) => f.write_str("the token has no user PIN set"),
        }
    }
}

impl std::error::Error for PinError {}

/// How many different PINs a token may refuse before none is presented to it any more.
const MOST_REFUSED: usize = 8;

/// Remembers refused PINs, so that none of them is presented again.
///
/// Tokens lock after a few wrong PINs, and a server that reconnects would use them up in
/// seconds; so would two keys whose wrong PINs take turns, if only the last were kept.
#[derive(Default)]
pub(crate) struct Latch {
    refused: Vec<(Option<Arc<PinBytes>>, Code)>,
    /// How many it has refused, all in all.
    refusals: usize,
    /// Whether the token took the last one.
    proven: bool,
}

impl Latch {
    /// Whether `pin` may be presented.
    pub(crate) fn check(&self, pin: Option<&[u8]>) -> Result<(), PinError> {
        let same = |refused: &Option<Arc<PinBytes>>| match (refused, pin) {
            (Some(refused), Some(pin)) => bool::from(refused.ct_eq(pin)),
            // Entered by hand: the next entry may be right, but nobody stands at a server's
            // pad each time that it reconnects.
            (None, None) => true,
            _ => false,
        };
        if let Some((_, code)) = self.refused.iter().find(|(refused, _)| same(refused)) {
            return Err(PinError::Latched(*code));
        }
        if self.refused.len() >= MOST_REFUSED {
            return Err(PinError::ManyRefused);
        }
        Ok(())
    }

    /// Remembers that the token refused `pin`.
    pub(crate) fn refuse(&mut self, pin: Option<Arc<PinBytes>>, code: Code) {
        self.proven = false;
        self.refusals += 1;
        // Known already if several threads presented it, which is one PIN all the same.
        if self.check(pin.as_ref().map(|pin| &pin[..])).is_ok() {
            self.refused.push((pin, code));
        }
    }

    pub(crate) fn refusals(&self) -> usize {
        self.refusals
    }

    /// Forgets them: the token has taken a PIN, and counts from the beginning. Not if it has
    /// refused one since, when there were `refusals`: then it is not known which was first.
    pub(crate) fn accept(&mut self, refusals: usize) {
        if self.refusals == refusals {
            self.refused.clear();
            self.proven = true;
        }
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }
}
