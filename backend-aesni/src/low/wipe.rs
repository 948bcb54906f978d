//! Wiping what a kernel leaves behind on the stack.

use core::arch::asm;

/// Overwrites `N` bytes of the stack below the caller's frame: where a kernel that has just
/// returned kept what found no register.
#[inline(never)]
pub(crate) fn stack<const N: usize>() {
    let mut space = core::mem::MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the pointer is valid for `N` bytes.
    unsafe { space.as_mut_ptr().write_bytes(0, 1) };
    // SAFETY: reads nothing but a pointer; that it takes one keeps the zeros from being
    // optimised away.
    unsafe { asm!("/* {0} */", in(reg) space.as_ptr(), options(nostack, preserves_flags)) };
}
