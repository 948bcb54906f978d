//! What a program can ask of valgrind's memcheck, and tell it, while it runs under it.
//!
//! Memcheck follows every bit from memory that is not initialised, through registers and back
//! into memory, and reports the branches and addresses that depend on one. Secrets that are
//! called uninitialised are followed just so. The requests are a few rotations that undo each
//! other, which valgrind recognises (its `valgrind.h`, for amd64) and a CPU runs without any
//! effect.

use core::arch::asm;

/// Of `valgrind.h`: whether the program runs under valgrind.
#[cfg(all(test, target_os = "linux"))]
const RUNNING_ON_VALGRIND: usize = 0x1001;
/// Of `valgrind.h`: how many errors were reported so far.
#[cfg(all(test, target_os = "linux"))]
const COUNT_ERRORS: usize = 0x1201;
/// Of `memcheck.h`: the first of memcheck's own requests.
const MEMCHECK: usize = 0x4d43_0000;
#[cfg(all(test, target_os = "linux"))]
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;

/// The answer; 0 without valgrind.
fn request(what: usize, a: usize, b: usize) -> usize {
    let words = [what, a, b, 0, 0, 0];
    let mut answer = 0;
    // SAFETY: the register that is rotated ends as it was, and the other one is exchanged with
    // itself. Valgrind reads `words`, and writes nothing but its own notes and the answer.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer
}

/// Whether this program runs under valgrind.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn is_running() -> bool {
    request(RUNNING_ON_VALGRIND, 0, 0) > 0
}

/// How many errors memcheck has reported so far.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn errors() -> usize {
    request(COUNT_ERRORS, 0, 0)
}

/// From now on it is an error when a branch or an address depends on these bytes.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn make_secret(bytes: &mut [u8]) {
    request(MAKE_MEM_UNDEFINED, bytes.as_mut_ptr() as usize, bytes.len());
}

/// From now on it is none. Copies that were made before stay secret: the bytes are borrowed
/// as if they were written to, so that the compiler keeps none of them in a register.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn make_public(bytes: &mut [u8]) {
    define(bytes.as_mut_ptr(), bytes.len());
}

/// The same of memory that may never have been written to.
pub(crate) fn define(memory: *mut u8, len: usize) {
    request(MAKE_MEM_DEFINED, memory as usize, len);
}
