//! Kryoptic, where it was built: `cargo xtask test --only kryoptic` does it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Key, Kind, LABEL, Token, provision, write};

pub(crate) fn make(dir: &Path, keys: &[Key]) -> Result<Token, String> {
    let module = module()?;
    let conf = format!(
        "[[slots]]\nslot = 0\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
        dir.join("kryoptic.sql").display()
    );
    write(&dir.join("kryoptic.conf"), &conf)?;
    let context = provision::open(&module)?;
    let slot = provision::free_slot(&context)?;
    provision::initialize(&context, slot)?;
    let filled = provision::fill(&context, slot, Kind::Kryoptic, keys)?;
    context.finalize().map_err(provision::text)?;
    Ok(Token {
        kind: Kind::Kryoptic,
        module,
        reserved: None,
        label: LABEL.to_owned(),
        keys: filled.keys,
        missing: filled.missing,
        root: filled.root,
        remote: None,
        _daemon: None,
    })
}

/// Lies in `tools` in the target folder, somewhere above the program that runs. Newer versions
/// of cargo put a hash into its name, older ones do not: it is the youngest of them.
fn module() -> Result<PathBuf, String> {
    const PLACE: &str = "tools/kryoptic/debug/deps";
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for dir in program.ancestors().map(|dir| dir.join(PLACE)) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with("libkryoptic_pkcs11") && name.ends_with(env::consts::DLL_SUFFIX) {
                let built = entry.metadata().and_then(|data| data.modified());
                found.push((built.map_err(|error| error.to_string())?, entry.path()));
            }
        }
    }
    let youngest = found.into_iter().max().map(|(_, path)| path);
    youngest.ok_or_else(|| format!("not built (no libkryoptic_pkcs11 in {PLACE} of the target)"))
}
