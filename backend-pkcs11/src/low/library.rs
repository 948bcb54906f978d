//! Loading a module.

use std::fmt;
use std::path::Path;

use cryptoki_sys as sys;

use crate::code::Code;

/// A module's functions.
///
/// The list is asked for once and copied: p11-kit's client gives whoever asks a second time
/// another instance, which is not initialised.
pub(crate) struct Library {
    pub(super) list: sys::CK_FUNCTION_LIST,
}

/// Why a module could not be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The system's loader refuses it.
    Loader(String),
    /// It is a library, but has no `C_GetFunctionList`.
    NotPkcs11,
    /// `C_GetFunctionList` failed.
    Refused(Code),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(why) => f.write_str(why),
            Self::NotPkcs11 => f.write_str("it is no PKCS#11 module: no C_GetFunctionList"),
            Self::Refused(code) => write!(f, "C_GetFunctionList returned {code}"),
        }
    }
}

type GetFunctionList = unsafe extern "C" fn(*mut *mut sys::CK_FUNCTION_LIST) -> sys::CK_RV;

/// A shared library that is loaded and is a module, by its `C_GetFunctionList`.
#[derive(Clone, Copy)]
pub(crate) struct Loaded(GetFunctionList);

impl Loaded {
    /// Loads the shared library at `path`. It stays loaded until the process ends, because
    /// modules start threads and register handlers that outlive `C_Finalize`.
    pub(crate) fn at(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: the library's initialisers run in this process. Whoever names a module
        // trusts it with the keys of the process, and so with its memory.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|error| LoadError::Loader(reason(&error)))?;
        let library = std::mem::ManuallyDrop::new(library);
        // SAFETY: the standard gives the symbol of this name this type (PKCS#11 3.1,
        // section 5.5).
        let symbol = unsafe { library.get::<GetFunctionList>(b"C_GetFunctionList\0") };
        symbol
            .map(|symbol| Self(*symbol))
            .map_err(|_| LoadError::NotPkcs11)
    }

    /// Whether it is the same library, under whatever name it was loaded.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 as usize == other.0 as usize
    }

    /// Asks for the functions.
    pub(crate) fn library(&self) -> Result<Library, LoadError> {
        let get = self.0;
        let mut list = std::ptr::null_mut();
        // SAFETY: the argument points to a live pointer, which the function fills in.
        let code = unsafe { get(&raw mut list) };
        if code != sys::CKR_OK || list.is_null() {
            return Err(LoadError::Refused(Code::new(code)));
        }
        // SAFETY: a successful call leaves a pointer to a function list, which the module
        // keeps as long as it is loaded. Every version's list begins as that of 2.x does.
        let list = unsafe { list.read_unaligned() };
        Ok(Library { list })
    }
}

impl Library {
    /// A module that exists in this program only.
    #[cfg(test)]
    pub(crate) fn from_list(list: sys::CK_FUNCTION_LIST) -> Self {
        Self { list }
    }
}

/// The loader's words, which tell more than the error's own.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
