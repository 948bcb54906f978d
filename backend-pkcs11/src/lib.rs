//! Private keys that never leave their HSM, as signing keys for TLS.
//!
//! A token behind PKCS#11 takes milliseconds for a signature, and its functions block. Here
//! they run on threads of this crate, one session each: [`Pkcs11Key`] puts a request in a
//! bounded queue and answers with [`Op::Pending`](crypto_api::Op), so the handshake waits
//! without holding a thread, and is told at once when the queue is full.
//!
//! | module | what it does |
//! |---|---|
//! | `uri`, `pin` | which key (RFC 7512), and the PIN that opens it |
//! | `builder`, `opening` | what a program decides; opening on a thread of its own |
//! | `module`, `token` | the process's use of a module: initialised once, again after a loss; slots and login |
//! | `shared`, `process` | what one thread finds out for all, and is not held up in; what a forked child does not share |
//! | `object`, `der` | finding the key, its public half and its certificates |
//! | `mechanism`, `pss`, `verify` | which mechanism makes which signature of TLS, checked |
//! | `signing`, `place` | opening and trying a key; the way to it through session and login |
//! | `pool` | the queue, the signing threads, who watches them, and how many there should be |
//! | `key`, `ticket` | what a program holds: a key, ticket keys |
//! | `code`, `error`, `meter` | return codes and their meaning, errors, counters |
//! | `low` | the calls into the module; all `unsafe` is there |
//!
//! # Example
//!
//! ```no_run
//! use backend_pkcs11::{Pin, Pkcs11Key};
//! use crypto_api::SigningKey;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any provider: it verifies what the token signs.
//! let provider = backend_soft::provider();
//! let key = Pkcs11Key::builder(
//!     "pkcs11:token=keyway;object=www?module-path=/usr/lib/softhsm/libsofthsm2.so",
//!     &provider,
//! )
//! .pin(Pin::file("/etc/keyway/pin"))
//! .open()?;
//!
//! println!("{:?}, {} certificates", key.schemes(), key.certificate_chain().len());
//! let signature = key.blocking().sign(key.schemes()[0], b"message", &*provider.random);
//! println!("{} bytes", signature.spin()?.len());
//! println!("{}", key.stats());
//! # Ok(())
//! # }
//! ```
//!
//! A key that cannot be opened is named by its URI, without the PIN:
//!
//! ```
//! use backend_pkcs11::Pkcs11Key;
//!
//! let provider = backend_soft::provider();
//! let uri = "pkcs11:object=www?module-path=/no/such.so&pin-value=1234";
//! let error = Pkcs11Key::builder(uri, &provider).open().unwrap_err().to_string();
//! let expected = "pkcs11:object=www?module-path=/no/such.so: cannot load the module";
//! assert!(error.starts_with(expected), "{error}");
//! ```
//!
//! # Threads
//!
//! No PKCS#11 function runs on a thread of the caller: neither for opening, nor for signing,
//! nor for [`Pkcs11Key::blocking`], which sleeps until a signing thread is done.
//!
//! # What is survived
//!
//! Every error discards its session. [`Class`] tells what else is done about each return
//! code: try again with fewer at once, open a session, log in, or finalise and initialise
//! the module, which waits until no call is inside and is not done more often than
//! [`Builder::retry_interval`] allows, and never after a refused PIN. Keys are then looked
//! for again and recognised by their public half. A request is tried four times at most and
//! until its deadline. A call that does not return costs its thread, which is replaced.
//!
//! After a `fork` the child's copies of keys answer with an error, as the signing threads
//! stayed in the parent; open the key again in the child.
//!
//! # Session tickets
//!
//! [`Pkcs11Tickets`] protects tickets with a key in the token, for a stack that resumes
//! sessions.
//!
//! # Metrics
//!
//! [`Pkcs11Key::stats`] is a snapshot for programs; the same numbers go to the recorder of
//! the `metrics` crate that is installed when a key is opened. They hold no PIN, key or
//! signature.

#![deny(unsafe_code)]

mod builder;
mod code;
mod der;
mod error;
mod key;
#[allow(unsafe_code)]
mod low;
mod mechanism;
mod meter;
mod module;
mod object;
mod opening;
mod pin;
mod place;
mod pool;
mod process;
mod pss;
mod shared;
mod signing;
mod ticket;
mod token;
mod uri;
mod verify;

pub use builder::{Builder, Sessions};
pub use code::{Class, Code, Failure, Profile};
pub use error::{OpenError, Reason};
pub use key::{BlockingKey, Load, Pkcs11Key};
pub use meter::{PlaceStats, Stats};
pub use opening::Opening;
pub use pin::{Pin, PinError};
pub use ticket::Pkcs11Tickets;
pub use uri::{ObjectType, Uri, UriError};

/// The backend's name in tables and errors.
const NAME: &str = "pkcs11";
