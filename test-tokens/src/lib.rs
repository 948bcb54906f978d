//! PKCS#11 tokens with keys and certificates, for tests.
//!
//! A token needs its environment set before the process starts, and a PKCS#11 module is one
//! per process, as is its state. So a test that needs one runs in a process of its own:
//! [`isolated`] starts the test's own program again, for this one test, in a new folder and
//! with the environment of the token; there [`Token::make`] fills the token.
//!
//! What a machine does not have is not silently passed over: [`Token::make`] says why as a
//! [`Skipped`], and [`Token::make_or_skip`] prints it.
//!
//! # Example
//!
//! ```
//! use test_tokens::{Key, Kind, Token, isolated};
//!
//! // In a test program this is a `#[test]`, and the first argument its name.
//! fn signs_with_a_token() {
//!     isolated("signs_with_a_token", Kind::SoftHsm, |dir| {
//!         let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[Key::P256]) else {
//!             return;
//!         };
//!         println!("the key is {}", token.uri(Key::P256));
//!     });
//! }
//! # assert_eq!(Key::P256.label(), "p256");
//! # let _ = signs_with_a_token as fn();
//! ```
//!
//! # What is in a token
//!
//! For each key that was asked for: the private key and the public key (label
//! [`Key::label`], id [`Key::id`]), a certificate for `localhost` and `127.0.0.1` (not for
//! [`Key::ML_DSA`]), and once the certificate of the authority that issued it (label `issuer`). The root above that is
//! [`Token::root`]. In NSS, keys have no label of their own; their certificates do.

#![forbid(unsafe_code)]

mod certificate;
mod isolate;
mod key;
mod kind;
mod kryoptic;
mod nss;
mod opencryptoki;
mod provision;
mod remote;
mod soft_hsm;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

pub use certificate::Authority;
pub use isolate::{directory, fault_module, isolated, isolated_within};
pub use key::Key;
pub use kind::Kind;
pub use remote::Remote;

/// The user PIN of every token.
pub const PIN: &str = "1234";
/// The security officer's PIN of every token.
pub const SO_PIN: &str = "12345678";
/// The label of every token, except where the token has a fixed one.
pub const LABEL: &str = "keyway";

/// A token with keys, which lasts as long as its folder.
#[derive(Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// The module to load.
    pub module: PathBuf,
    /// What `C_Initialize` needs in `pReserved`, where it needs something.
    pub reserved: Option<String>,
    /// The token's label.
    pub label: String,
    /// The keys that it holds; fewer than were asked for where the token can't hold them.
    pub keys: Vec<Key>,
    /// What it can't hold of what was asked for, and why.
    pub missing: Vec<Skipped>,
    /// The root of the certificates' chain, in DER.
    pub root: Vec<u8>,
    /// The process behind the token, where there is one that a test may kill.
    pub remote: Option<Remote>,
    /// What keeps the token running, for as long as this lives.
    _daemon: Option<opencryptoki::Daemon>,
}

/// Something that is not tested, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What is left out: a token, or a token's key.
    pub what: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}: {}", self.what, self.why)
    }
}

impl std::error::Error for Skipped {}

impl Token {
    /// Makes a token in the folder `dir`, with these keys; to be called in a process with
    /// the environment of [`Kind::environment`] for the same folder.
    pub fn make(kind: Kind, dir: &Path, keys: &[Key]) -> Result<Self, Skipped> {
        let skip = |why: String| Skipped {
            what: kind.name().to_owned(),
            why,
        };
        let token = match kind {
            Kind::SoftHsm => soft_hsm::make(dir, keys),
            Kind::Nss => nss::make(dir, keys),
            Kind::Remote => remote::make(dir, keys),
            Kind::OpenCryptoki => opencryptoki::make(keys),
            Kind::Kryoptic => kryoptic::make(dir, keys),
        };
        let mut token = token.map_err(skip)?;
        for key in keys {
            let named = token.missing.iter().any(|skipped| skipped.is_about(*key));
            if !token.keys.contains(key) && !named {
                token
                    .missing
                    .push(key.skipped(kind, "no such key was made"));
            }
        }
        Ok(token)
    }

    /// Makes a token, or prints why there is none; what it can't hold is printed as well.
    pub fn make_or_skip(kind: Kind, dir: &Path, keys: &[Key]) -> Option<Self> {
        match Self::make(kind, dir, keys) {
            Ok(token) => {
                for skipped in &token.missing {
                    println!("{skipped}");
                }
                Some(token)
            }
            Err(skipped) => {
                println!("{skipped}");
                None
            }
        }
    }

    /// The URI of a key (RFC 7512), with the path of the module and the PIN. It leaves the
    /// type of object open, as not every token gives its private keys a label.
    pub fn uri(&self, key: Key) -> String {
        self.uri_through(key, &self.module)
    }

    /// The same with another module, one that wraps this token's.
    pub fn uri_through(&self, key: Key, module: &Path) -> String {
        let label = self.label.replace(' ', "%20");
        let object = key.label();
        let module = module.display();
        format!("pkcs11:token={label};object={object}?pin-value={PIN}&module-path={module}")
    }
}

impl Skipped {
    fn is_about(&self, key: Key) -> bool {
        self.what.ends_with(&format!(" {}", key.label()))
    }
}

/// The first of these files that is there.
fn installed(paths: &[&str]) -> Result<PathBuf, String> {
    let found = paths.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        let names = paths.join(" nor ");
        format!("not installed (no {names})")
    })
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
