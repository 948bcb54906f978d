//! Sleeping with precision.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Sleeps until then. Not the 50 microseconds longer that Linux allows itself to be late by
/// default, nor what an idle processor takes to wake up: at 3 ms each of them would cost a
/// token two percent of its throughput. What the sleep is too short for that, the thread
/// spins. That it has to wait for a processor is not made up for: the token is not to blame.
pub(crate) fn sleep_until(end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return;
    }
    let slack = Slack::tighten();
    let enough = left.saturating_sub(lateness());
    if !enough.is_zero() {
        std::thread::sleep(enough);
    }
    drop(slack);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// How late sleepers are on this machine while it has little else to do: measured once, by
/// whoever is first to ask. More than any processor needs to wake up is not believed.
fn lateness() -> Duration {
    const MOST: Duration = Duration::from_micros(100);
    static LATENESS: OnceLock<Duration> = OnceLock::new();
    *LATENESS.get_or_init(|| {
        let late = || {
            let nap = Duration::from_micros(100);
            let start = Instant::now();
            std::thread::sleep(nap);
            start.elapsed().saturating_sub(nap)
        };
        let mut times: [Duration; 5] = std::array::from_fn(|_| late());
        times.sort_unstable();
        times[2].min(MOST)
    })
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
