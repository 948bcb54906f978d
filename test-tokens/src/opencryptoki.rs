//! The software token of opencryptoki.
//!
//! There is one per machine, in a fixed place, and a daemon before it. It is used only when
//! it is new or of an earlier test, and by one test at a time.

use std::{
    env, fmt,
    fs::{self, File},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use cryptoki::{context::Pkcs11, session::UserType, slot::Slot, types::AuthPin};

use crate::{Key, Kind, LABEL, PIN, SO_PIN, Token, installed, provision};

/// What a new token is labelled, and the PINs that it comes with.
const NEW_LABEL: &str = "IBM OS PKCS#11";
const NEW_SO_PIN: &str = "87654321";
const MODEL: &str = "IBM SoftTok";
const PID_FILE: &str = "/run/pkcsslotd.pid";

pub(crate) fn make(keys: &[Key]) -> Result<Token, String> {
    let module = installed(&[
        "/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so",
        "/usr/lib/aarch64-linux-gnu/pkcs11/libopencryptoki.so",
        "/usr/lib64/opencryptoki/libopencryptoki.so",
    ])?;
    let daemon = Daemon::start()?;
    let (slot, label) = soft_token()?;
    let context = provision::open(&module)?;
    match label.as_str() {
        NEW_LABEL => initialize(&context, slot)?,
        LABEL => empty(&context, slot)?,
        other => return Err(format!("somebody uses its token: it is labelled `{other}`")),
    }
    let filled = provision::fill(&context, slot, Kind::OpenCryptoki, keys)?;
    context.finalize().map_err(provision::text)?;
    Ok(Token {
        kind: Kind::OpenCryptoki,
        module,
        reserved: None,
        label: LABEL.to_owned(),
        keys: filled.keys,
        missing: filled.missing,
        root: filled.root,
        remote: None,
        _daemon: Some(daemon),
    })
}

/// The slot daemon, and the right to use the token behind it.
pub(crate) struct Daemon {
    _lock: File,
    /// Its process id, if it was not running before.
    ours: Option<String>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("ours", &self.ours)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    fn start() -> Result<Self, String> {
        let lock = File::create(env::temp_dir().join("keyway-opencryptoki.lock"));
        let lock = lock.and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|error| error.to_string())?;
        let mut daemon = Self {
            _lock: lock,
            ours: None,
        };
        if is_running() {
            return Ok(daemon);
        }
        // It goes to the background by itself.
        let output = Command::new("pkcsslotd").output();
        let output = output.map_err(|error| format!("pkcsslotd: {error}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pkcsslotd does not start: {}", why.trim()));
        }
        let end = Instant::now() + Duration::from_secs(5);
        while !is_running() {
            if Instant::now() > end {
                return Err("pkcsslotd does not come up".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
        daemon.ours = pid();
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = &self.ours {
            let _ = Command::new("kill").arg(pid).status();
        }
    }
}

fn pid() -> Option<String> {
    let text = fs::read_to_string(PID_FILE).ok()?;
    Some(text.trim().to_owned())
}

fn is_running() -> bool {
    // One that has ended and was not waited for has no command line any more.
    let command = pid().map(|pid| fs::read(Path::new("/proc").join(pid).join("cmdline")));
    matches!(command, Some(Ok(line)) if line.starts_with(b"pkcsslotd"))
}

/// The slot of the software token, and the token's label. Asked of opencryptoki's own tool,
/// because the token's clock says a time that the `cryptoki` crate refuses to read.
fn soft_token() -> Result<(Slot, String), String> {
    let output = Command::new("pkcsconf").arg("-t").output();
    let output = output.map_err(|error| format!("pkcsconf: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    for token in text.split("Token #").skip(1) {
        let field = |name: &str| {
            let line = token
                .lines()
                .find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or("").trim().to_owned()
        };
        if field("Model:") == MODEL {
            let number = token.split_whitespace().next().unwrap_or("");
            let number: u64 = number.parse().map_err(|_| "no slot number".to_owned())?;
            let slot = Slot::try_from(number).map_err(provision::text)?;
            return Ok((slot, field("Label:")));
        }
    }
    Err("it has no software token".to_owned())
}

/// Labels a new token and sets both PINs, which it wants changed before it does anything.
fn initialize(context: &Pkcs11, slot: Slot) -> Result<(), String> {
    let (new, so_pin) = (AuthPin::new(NEW_SO_PIN.into()), AuthPin::new(SO_PIN.into()));
    // The user's first PIN must be another than the one that is to stay.
    let (first, pin) = (AuthPin::new("0000".into()), AuthPin::new(PIN.into()));
    context
        .init_token(slot, &new, LABEL)
        .map_err(provision::text)?;
    let session = context.open_rw_session(slot).map_err(provision::text)?;
    let steps = || {
        session.login(UserType::So, Some(&new))?;
        session.set_pin(&new, &so_pin)?;
        session.init_pin(&first)?;
        session.logout()?;
        session.login(UserType::User, Some(&first))?;
        session.set_pin(&first, &pin)?;
        session.logout()
    };
    steps().map_err(provision::text)?;
    session.close().map_err(provision::text)
}

/// Removes what an earlier test has left.
fn empty(context: &Pkcs11, slot: Slot) -> Result<(), String> {
    let session = context.open_rw_session(slot).map_err(provision::text)?;
    let steps = || {
        session.login(UserType::User, Some(&AuthPin::new(PIN.into())))?;
        for object in session.find_objects(&[])? {
            session.destroy_object(object)?;
        }
        session.logout()
    };
    steps().map_err(provision::text)?;
    session.close().map_err(provision::text)
}
