//! SoftHSM 2.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Key, Kind, LABEL, Token, installed, provision, write};

pub(crate) fn make(dir: &Path, keys: &[Key]) -> Result<Token, String> {
    make_as(Kind::SoftHsm, dir, keys)
}

/// Makes a token of SoftHSM for `kind`, which may reach it by another way.
pub(crate) fn make_as(kind: Kind, dir: &Path, keys: &[Key]) -> Result<Token, String> {
    let module = module()?;
    let tokens = dir.join("tokens");
    fs::create_dir_all(&tokens).map_err(|error| format!("{}: {error}", tokens.display()))?;
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n\
         library.reset_on_fork = true\n",
        tokens.display()
    );
    write(&dir.join("softhsm2.conf"), &conf)?;
    let context = provision::open(&module)?;
    let slot = provision::free_slot(&context)?;
    provision::initialize(&context, slot)?;
    let filled = provision::fill(&context, slot, kind, keys)?;
    context.finalize().map_err(provision::text)?;
    Ok(Token {
        kind,
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

pub(crate) fn module() -> Result<PathBuf, String> {
    installed(&[
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    ])
}
