//! Asking the scheduler for a processor soon rather than for long.

/// Asks for short slices of processor time for the calling thread, and so to be preferred to
/// those with longer ones when it wakes up: Linux since 6.12 takes that from anybody. The
/// thread's share stays what it was. Elsewhere nothing happens.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_short_slices() {
    /// The shortest that Linux takes.
    const SLICE: u64 = 100_000;
    /// `SCHED_OTHER`, of which alone slices can be asked.
    const OTHER: u32 = 0;

    /// `struct sched_attr` of sched_setattr(2), as first published.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        /// For this policy: the length of a slice in nanoseconds.
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    let size = size_of::<Attributes>();
    let mut attributes = Attributes::default();
    let own_thread: libc::pid_t = 0;
    // SAFETY: the kernel writes at most `size` bytes to the structure, which has as many and
    // lives until it returns.
    let got = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            own_thread,
            &raw mut attributes,
            size as libc::c_uint,
            0 as libc::c_uint,
        )
    };
    if got != 0 || attributes.policy != OTHER {
        return;
    }
    attributes.size = size as u32;
    attributes.runtime = SLICE;
    // SAFETY: the kernel reads `attributes.size` bytes of the structure, which has as many.
    // Nothing depends on the outcome: an older kernel ignores the slice, and who asks for this
    // has been told what a sandbox may do.
    unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            own_thread,
            &raw const attributes,
            0 as libc::c_uint,
        )
    };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_short_slices() {}
