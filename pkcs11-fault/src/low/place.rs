//! Where this module's own file lies.

use std::{
    ffi::{CStr, OsStr, c_void},
    mem,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The script that lies beside the module's file, with the extension `toml`.
pub(crate) fn neighbour() -> Option<PathBuf> {
    // An address that lies in this module.
    static HERE: u8 = 0;
    let here: *const c_void = (&raw const HERE).cast();
    // SAFETY: a struct of pointers and of nothing that may not be zero.
    let mut info: libc::Dl_info = unsafe { mem::zeroed() };
    // SAFETY: any address may be asked about, and `info` is writable.
    if unsafe { libc::dladdr(here, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: not null; the loader's own C string, which lives as long as the module.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let script = Path::new(OsStr::from_bytes(name.to_bytes())).with_extension("toml");
    script.is_file().then_some(script)
}
