//! SoftHSM behind the fault module, and the few calls that the tests make on it.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use pkcs11_fault::{Control, Script};
use test_tokens::{Key, Kind, PIN, Token, fault_module, isolated};

/// A token with a P-256 key behind the module, and the module's control socket.
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) context: Pkcs11,
    pub(crate) control: Control,
}

/// Runs a test in a process of its own, with this script.
pub(crate) fn bench(test: &str, keys: &[Key], script: &str, body: impl FnOnce(Bench)) {
    isolated(test, Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, keys) else {
            return;
        };
        write_script(dir, &token.module, script);
        let context = load();
        initialize(&context);
        let control = Control::connect(&dir.join("fault.sock")).unwrap();
        body(Bench {
            dir: dir.to_owned(),
            context,
            control,
        });
    });
}

pub(crate) fn write_script(dir: &Path, module: &Path, script: &str) {
    let mut script = Script::parse(script).unwrap();
    script.module = Some(module.to_owned());
    script.socket = Some(dir.join("fault.sock"));
    std::fs::write(dir.join("fault.toml"), script.to_toml()).unwrap();
}

pub(crate) fn load() -> Pkcs11 {
    Pkcs11::new(fault_module()).unwrap()
}

pub(crate) fn initialize(context: &Pkcs11) {
    let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    context.initialize(args).unwrap();
}

impl Bench {
    pub(crate) fn say(&mut self, line: &str) -> Vec<String> {
        self.control.say(line).unwrap()
    }

    pub(crate) fn count(&mut self, counter: &str) -> u64 {
        self.control.stats().unwrap().get(counter)
    }

    /// The slot of the one initialised token.
    pub(crate) fn slot(&self) -> Slot {
        self.context.get_slots_with_initialized_token().unwrap()[0]
    }

    pub(crate) fn open(&self) -> Session {
        self.context.open_ro_session(self.slot()).unwrap()
    }

    /// A session that is logged in.
    pub(crate) fn logged_in(&self) -> Session {
        let session = self.open();
        login(&session, PIN).unwrap();
        session
    }
}

pub(crate) fn login(session: &Session, pin: &str) -> Result<(), Error> {
    session.login(UserType::User, Some(&AuthPin::new(pin.into())))
}

pub(crate) fn key(session: &Session, class: ObjectClass, key: Key) -> ObjectHandle {
    let template = [
        Attribute::Class(class),
        Attribute::Label(key.label().into()),
    ];
    session.find_objects(&template).unwrap()[0]
}

pub(crate) fn private(session: &Session) -> ObjectHandle {
    key(session, ObjectClass::PRIVATE_KEY, Key::P256)
}

/// Signs a digest with ECDSA.
pub(crate) fn sign(session: &Session, key: ObjectHandle) -> Result<Vec<u8>, Error> {
    session.sign(&Mechanism::Ecdsa, key, &[7; 32])
}

/// The code that a call answered.
pub(crate) fn code<T>(result: Result<T, Error>) -> RvError {
    match result {
        Err(Error::Pkcs11(code, _)) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the call succeeded"),
    }
}
