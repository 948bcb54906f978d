//! Wiping secrets: keys, and what a kernel leaves behind on the stack.

use core::arch::asm;

/// Overwrites `N` bytes of the stack below the caller's frame: where a kernel that has just
/// returned kept what found no register.
#[inline(never)]
pub(crate) fn stack<const N: usize>() {
    let mut space = core::mem::MaybeUninit::<[u8; N]>::uninit();
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx") {
        const { assert!(N.is_multiple_of(128) && N > 0) };
        // The C library's function begins too slowly for what comes after each short record.
        // SAFETY: writes the `N` bytes that the first pointer is valid for, 128 at a time.
        unsafe {
            asm!(
                "vpxor xmm0, xmm0, xmm0",
                "2:",
                "vmovdqu [{at}], ymm0",
                "vmovdqu [{at} + 32], ymm0",
                "vmovdqu [{at} + 64], ymm0",
                "vmovdqu [{at} + 96], ymm0",
                "add {at}, 128",
                "cmp {at}, {end}",
                "jne 2b",
                at = inout(reg) space.as_mut_ptr() => _,
                end = in(reg) space.as_mut_ptr().wrapping_add(1),
                out("xmm0") _,
                options(nostack),
            );
        }
        return;
    }
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
