//! Sleeping with precision.

use std::time::Instant;

/// Sleeps until then, and no 50 microseconds longer, which is what Linux allows itself to be
/// late by default: at 3 ms that alone would cost a token two percent of its throughput.
pub(crate) fn sleep_until(end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return;
    }
    let slack = Slack::tighten();
    std::thread::sleep(left);
    drop(slack);
}

/// The calling thread's timer slack, put back when dropped.
struct Slack(#[cfg(target_os = "linux")] libc::c_int);

#[cfg(target_os = "linux")]
impl Slack {
    fn tighten() -> Self {
        // SAFETY: reads a number of the calling thread; no pointer is passed.
        let before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
        Self::set(1);
        Self(before)
    }

    fn set(nanoseconds: libc::c_int) {
        let nanoseconds = libc::c_ulong::try_from(nanoseconds).unwrap_or(0);
        // SAFETY: sets a number of the calling thread; no pointer is passed.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
    }
}

#[cfg(target_os = "linux")]
impl Drop for Slack {
    fn drop(&mut self) {
        Self::set(self.0);
    }
}

#[cfg(not(target_os = "linux"))]
impl Slack {
    fn tighten() -> Self {
        Self()
    }
}
