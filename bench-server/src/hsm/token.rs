//! A token of SoftHSM with the server's key, and modules that make it slow.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use pkcs11_fault::{Latency, Rule, Script};
use rcgen::KeyPair;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;

use crate::certs::{self, KeyKind};

const PIN: &str = "1234";
const LABEL: &str = "bench";

/// Where systems install SoftHSM's module.
const SOFTHSM: [&str; 6] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
];

/// The token; it goes with its folder when this is dropped.
#[derive(Debug)]
pub(super) struct Token {
    dir: TempDir,
    softhsm: PathBuf,
    fault: PathBuf,
}

/// A module in front of the token: its environment, and its script's place.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Of the fault module's control.
    pub(super) socket: PathBuf,
}

impl Token {
    /// Makes a token with an ECDSA P-256 key.
    ///
    /// # Errors
    /// One line that says what to install.
    pub(super) fn make(softhsm: Option<&Path>, fault: Option<&Path>) -> Result<Self> {
        let softhsm = match softhsm {
            Some(path) => path.to_owned(),
            None => SOFTHSM
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists())
                .context("SoftHSM is not installed: apt install softhsm2, or name it: --softhsm")?,
        };
        let fault = match fault {
            // Loaders look for a bare name elsewhere than here.
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("--fault-module: {}", path.display()))?,
            None => beside_this_program()?,
        };
        let token = Self {
            dir: TempDir::with_prefix("bench-server-hsm-")?,
            softhsm,
            fault,
        };
        let identity = certs::generate(KeyKind::EcdsaP256)?;
        let PrivateKeyDer::Pkcs8(key) = &identity.key else {
            bail!("a generated key is not PKCS#8");
        };
        let key = KeyPair::try_from(key)?.serialize_pem();
        token.write("ca.pem", &identity.ca_pem)?;
        token.write("chain.pem", &identity.chain_pem)?;
        token.write("key.pem", &key)?;
        token.write("pin", PIN)?;
        let tokens = token.path("tokens");
        fs::create_dir(&tokens)?;
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        token.write("softhsm.conf", &config)?;
        token.util(&[
            "--init-token",
            "--free",
            "--label",
            LABEL,
            "--so-pin",
            PIN,
            "--pin",
            PIN,
        ])?;
        let key = token.path("key.pem").display().to_string();
        token.util(&[
            "--import", &key, "--token", LABEL, "--label", LABEL, "--id", "01", "--pin", PIN,
        ])?;
        Ok(token)
    }

    /// Runs SoftHSM's own tool.
    fn util(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("softhsm2-util")
            .arg("--module")
            .arg(&self.softhsm)
            .args(arguments)
            .env("SOFTHSM2_CONF", self.path("softhsm.conf"))
            .stdin(Stdio::null())
            .output()
            .context("softhsm2-util cannot be run: apt install softhsm2")?;
        ensure!(
            output.status.success(),
            "softhsm2-util {}: {}",
            arguments.first().copied().unwrap_or_default(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The module in front of the token.
    pub(super) fn fault_module(&self) -> &Path {
        &self.fault
    }

    /// The key's URI, through the module in front.
    pub(super) fn uri(&self) -> String {
        let escaped = |path: &Path| path.display().to_string().replace(' ', "%20");
        format!(
            "pkcs11:token={LABEL};object={LABEL};type=private?module-path={}&pin-source={}",
            escaped(&self.fault),
            escaped(&self.path("pin")),
        )
    }

    /// The same for libraries that know no `pin-source` and are told the module otherwise.
    pub(super) fn plain_uri(&self) -> String {
        format!("pkcs11:token={LABEL};object={LABEL};type=private?pin-value={PIN}")
    }

    /// A module that takes `ms` for a signature and works on `lanes` at once, for the process
    /// that is called `name`.
    pub(super) fn module(&self, name: &str, ms: f64, lanes: u64) -> Result<Module> {
        let socket = self.path(&format!("{name}.sock"));
        let slow = Rule {
            name: "slow".into(),
            functions: vec!["C_Sign".into()],
            latency_ms: Some(Latency::Fixed(ms)),
            // For a signature as a whole: sessions divided by it is what the token can do.
            latency_with_init: true,
            ..Rule::default()
        };
        let script = Script {
            module: Some(self.softhsm.clone()),
            socket: Some(socket.clone()),
            capacity: lanes.try_into()?,
            rule: if ms > 0.0 { vec![slow] } else { Vec::new() },
            ..Script::default()
        };
        let file = format!("{name}.toml");
        self.write(&file, &script.to_toml())?;
        Ok(Module {
            environment: vec![
                ("SOFTHSM2_CONF", self.path("softhsm.conf").into()),
                ("PKCS11_FAULT_SCRIPT", self.path(&file).into()),
            ],
            socket,
        })
    }
}

/// The fault module that cargo built with this program.
fn beside_this_program() -> Result<PathBuf> {
    let name = format!(
        "{}pkcs11_fault{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    );
    let program = env::current_exe().context("where is this program?")?;
    let places = program.ancestors().skip(1).take(2);
    places
        .flat_map(|dir| [dir.join(&name), dir.join("deps").join(&name)])
        .find(|path| path.is_file())
        .with_context(|| {
            format!("{name} is not beside this program: cargo build --release -p pkcs11-fault, or name it: --fault-module")
        })
}
