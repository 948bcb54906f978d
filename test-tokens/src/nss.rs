//! NSS's software token.
//!
//! It is filled with NSS's own tool, which leaves keys without a label: that is what such
//! tokens look like in the field.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use openssl::x509::X509Req;

use crate::{Authority, Key, Kind, PIN, Token, installed, write};

/// The label of the token that has keys, in every database.
const LABEL: &str = "NSS Certificate DB";

pub(crate) fn make(dir: &Path, keys: &[Key]) -> Result<Token, String> {
    let module = installed(&[
        "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
        "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
        "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
        "/usr/lib64/libsoftokn3.so",
    ])?;
    let database = Database::create(dir)?;
    let mut authority = Authority::new()?;
    database.add("issuer", ",,", &authority.issuer()?)?;
    let (mut made, mut missing) = (Vec::new(), Vec::new());
    for &key in keys {
        let Some(kind) = key_options(key) else {
            missing.push(key.skipped(Kind::Nss, "NSS makes no such key"));
            continue;
        };
        let spki = database.generate(key, kind)?;
        let certificate = authority.issue(key.label(), &spki)?;
        database.add(key.label(), "u,u,u", &certificate)?;
        made.push(key);
    }
    let dir = database.dir.display();
    Ok(Token {
        kind: Kind::Nss,
        module,
        reserved: Some(format!(
            "configdir='sql:{dir}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
        )),
        label: LABEL.to_owned(),
        keys: made,
        missing,
        root: authority.root()?,
        remote: None,
        _daemon: None,
    })
}

/// What `certutil` calls the kind of key.
fn key_options(key: Key) -> Option<&'static [&'static str]> {
    match key {
        Key::Rsa2048 => Some(&["-k", "rsa", "-g", "2048"]),
        Key::P256 => Some(&["-k", "ec", "-q", "nistp256"]),
        Key::P384 => Some(&["-k", "ec", "-q", "nistp384"]),
        Key::P521 => Some(&["-k", "ec", "-q", "nistp521"]),
        _ => None,
    }
}

struct Database {
    dir: PathBuf,
    pin: PathBuf,
    noise: PathBuf,
}

impl Database {
    fn create(dir: &Path) -> Result<Self, String> {
        let database = Self {
            dir: dir.join("nss"),
            pin: dir.join("pin"),
            noise: dir.join("noise"),
        };
        fs::create_dir_all(&database.dir).map_err(|error| error.to_string())?;
        write(&database.pin, PIN)?;
        // Without a file it asks a person to type; the token's own generator is seeded
        // by the system all the same.
        write(&database.noise, "the noise of a test need not be random")?;
        database.certutil(&["-N"])?;
        Ok(database)
    }

    /// Generates a key; gives its public half.
    fn generate(&self, key: Key, kind: &[&str]) -> Result<Vec<u8>, String> {
        let request = self.dir.join("request");
        let (request_path, noise) = (path(&request)?, path(&self.noise)?);
        let subject = format!("CN={}", key.label());
        let mut words = vec!["-R", "-s", &subject, "-o", request_path, "-z", noise];
        words.extend(kind);
        self.certutil(&words)?;
        let der = fs::read(&request).map_err(|error| error.to_string())?;
        let key = X509Req::from_der(&der).and_then(|request| request.public_key());
        key.and_then(|key| key.public_key_to_der())
            .map_err(|error| error.to_string())
    }

    fn add(&self, name: &str, trust: &str, certificate: &[u8]) -> Result<(), String> {
        let file = self.dir.join("certificate");
        fs::write(&file, certificate).map_err(|error| error.to_string())?;
        self.certutil(&["-A", "-n", name, "-t", trust, "-i", path(&file)?])
    }

    fn certutil(&self, words: &[&str]) -> Result<(), String> {
        let output = Command::new("certutil")
            .arg("-d")
            .arg(format!("sql:{}", self.dir.display()))
            .arg("-f")
            .arg(&self.pin)
            .args(words)
            .output()
            .map_err(|error| format!("certutil: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("certutil {}: {}", words.join(" "), why.trim()))
    }
}

fn path(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("{}: not UTF-8", path.display()))
}
