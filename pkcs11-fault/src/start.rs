//! How the module finds its script, and sets itself up once.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{Script, control::server, engine::Engine, low};

/// The engine of this module, set up when it is first asked for.
///
/// `None` when that failed; standard error has said why, for a PKCS#11 function has no other
/// way to say more than a number.
pub(crate) fn engine() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<&'static Engine>> = OnceLock::new();
    *ENGINE.get_or_init(|| match set_up() {
        Ok(engine) => Some(engine),
        Err(why) => {
            eprintln!("pkcs11-fault: {why}");
            None
        }
    })
}

fn set_up() -> Result<&'static Engine, String> {
    // The neighbour goes first: it is there for this copy alone.
    let file = low::neighbour().or_else(|| env::var_os("PKCS11_FAULT_SCRIPT").map(PathBuf::from));
    let script = match file {
        Some(file) => Script::read(&file).map_err(|error| error.to_string())?,
        None => Script::default(),
    };
    let module = env::var_os("PKCS11_FAULT_MODULE")
        .or_else(|| script.module.clone().map(OsString::from))
        .ok_or("no module to wrap: set PKCS11_FAULT_MODULE, or `module` in the script")?;
    let socket = env::var_os("PKCS11_FAULT_SOCKET")
        .map(PathBuf::from)
        .or_else(|| script.socket.clone());
    let inner = low::Inner::load(&module)
        .map_err(|error| format!("{}: {error}", Path::new(&module).display()))?;
    // One for the life of the process: callers may come as long as it lives.
    let engine: &'static Engine = Box::leak(Box::new(Engine::new(inner, script)));
    if let Some(socket) = socket {
        server::start(&with_process_id(&socket), engine)?;
    }
    Ok(engine)
}

fn with_process_id(path: &Path) -> PathBuf {
    let id = std::process::id().to_string();
    match path.to_str() {
        Some(text) => text.replace("%p", &id).into(),
        None => path.to_owned(),
    }
}
