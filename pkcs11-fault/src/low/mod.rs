//! All `unsafe` of this crate: the functions that callers reach through the list, and the
//! calls into the real module.
//!
//! Every function of a list hands its arguments on as they are. What makes them sound is
//! the caller's promise to the standard, which names the same conditions for this module as
//! for the one behind it; each such place refers to "the caller's promise".

mod forward;
mod inner;
mod lists;
mod other_key;
mod place;
mod sign;
mod sleep;
mod special;
mod thread;

pub(crate) use inner::Inner;
pub(crate) use place::neighbour;
pub(crate) use sleep::sleep_until;
pub(crate) use thread::thread_name;
