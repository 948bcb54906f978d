//! Wiping secrets: keys, and what a kernel leaves behind on the stack.

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

/// Overwrites bytes with zeros, however wide the stores: a byte at a time, as the `zeroize`
/// crate does it, takes longer than a short record.
#[inline]
pub(crate) fn bytes(bytes: &mut [u8]) {
    bytes.fill(0);
    // SAFETY: reads nothing but a pointer; that it takes one, and might look behind it, keeps
    // the zeros from being optimised away.
    unsafe { asm!("/* {0} */", in(reg) bytes.as_mut_ptr(), options(nostack, preserves_flags)) };
}
