//! The runtime that `serve` and `load` share, and their options' values.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

/// A runtime with this many threads, or one per CPU. If it is one, that is the caller's: what
/// accepts or paces need not wake another.
///
/// # Errors
/// If the system gives no threads.
pub(crate) fn with_threads(threads: Option<u16>) -> Result<Runtime> {
    match threads {
        Some(1) => build(Builder::new_current_thread()),
        Some(threads) => build(with_workers(threads)),
        None => build(Builder::new_multi_thread()),
    }
}

/// A runtime with one thread, which goes on while the caller does something else.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn in_background() -> Result<Runtime> {
    build(with_workers(1))
}

fn with_workers(threads: u16) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads.into());
    builder
}

fn build(mut builder: Builder) -> Result<Runtime> {
    builder
        .enable_all()
        .build()
        .context("cannot start the threads")
}

/// Every connection is a file descriptor, and the usual soft limit is 1,024: raises it to
/// the hard limit. Where that fails, opening a connection too many says so.
pub(crate) fn allow_many_connections() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

/// A time on the command line: seconds, with a fraction if need be.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a number of seconds above 0".into())
}

/// The same, or none at all.
pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0.0) => Ok(Duration::ZERO),
        _ => seconds(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "0", "-1", "NaN", "inf", "1e300", "5s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds_or_none("0"), Ok(Duration::ZERO));
        assert!(seconds_or_none("-1").is_err());
    }
}
