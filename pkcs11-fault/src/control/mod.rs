//! The control socket: what may be said on it, and both of its ends.
//!
//! A request is one line. The answer is any number of lines, the last of which is `ok`, or
//! `error` and why.

pub(crate) mod client;
mod command;
pub(crate) mod server;
