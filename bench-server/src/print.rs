//! Printing while a program goes on. `println!` panics when nobody reads any more, and what is
//! measured or served outlives a terminal.

use std::io::Write as _;

/// A line on the standard output, if somebody reads it.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line on the standard error, if somebody reads it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
