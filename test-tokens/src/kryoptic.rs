//! Kryoptic, where it was built: `cargo xtask test --only kryoptic` does it.

use std::{
    env,
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

/// Lies in `tools` in the target folder, somewhere above the program that runs.
fn module() -> Result<PathBuf, String> {
    const PLACE: &str = "tools/kryoptic/debug/deps/libkryoptic_pkcs11.so";
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let places = program.ancestors().map(|dir| dir.join(PLACE));
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| format!("not built (no {PLACE} in the target folder)"))
}
