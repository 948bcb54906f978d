//! The calls into a PKCS#11 module, and one to the scheduler. All `unsafe` of this crate is here; everything it
//! exports is safe, as far as the module keeps to the standard: a shared library that is
//! loaded into the process is trusted.
//!
//! Nothing is closed or finalised by being dropped. Handles begin anew after
//! `C_Initialize`, so that a late `C_CloseSession` would close somebody else's session; who
//! may call what, and when, is for the `module` beside to say.

mod call;
mod library;
#[cfg(test)]
pub(crate) mod mock;
mod slice;

pub(crate) use call::{Mechanism, User, Value};
pub(crate) use library::{Library, LoadError, Loaded};
pub(crate) use slice::prefer_short_slices;
