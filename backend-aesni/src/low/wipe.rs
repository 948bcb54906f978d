//! Wiping secrets: keys, and what a kernel leaves behind on the stack and in registers.

use core::arch::asm;

/// The stack is wiped in pieces of so many bytes.
pub(crate) const UNIT: usize = 64;

/// The most bytes of stack that take no steps of their own for the pages that they lie in.
pub(crate) const PAGE: usize = 4096 - 128;

/// Overwrites what a kernel that has just returned left behind: the vector registers, and
/// `bytes` of the stack below the caller's frame, a multiple of [`UNIT`] up to `N`, where it
/// kept what found no register.
///
/// All registers that the CPU has, not those of the kernel alone: a kernel has parts of a record
/// copied by the C library's functions, which take the highest.
#[inline(never)]
pub(crate) fn traces<const N: usize>(bytes: usize) {
    const { assert!(N.is_multiple_of(UNIT)) };
    assert!(bytes.is_multiple_of(UNIT) && (1..=N).contains(&bytes));
    let mut space = core::mem::MaybeUninit::<[u8; N]>::uninit();
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx") {
        let end = space.as_mut_ptr().cast::<u8>().wrapping_add(N);
        // The C library's function begins too slowly for what comes after each short record.
        // SAFETY: writes the last `bytes` of `space`, `UNIT` at a time.
        unsafe {
            asm!(
                "vpxor xmm0, xmm0, xmm0",
                "2:",
                "vmovdqu [{at}], ymm0",
                "vmovdqu [{at} + 32], ymm0",
                "add {at}, 64",
                "cmp {at}, {end}",
                "jne 2b",
                at = inout(reg) end.wrapping_sub(bytes) => _,
                end = in(reg) end,
                out("xmm0") _,
                options(nostack),
            );
        }
        // SAFETY: the feature was detected.
        unsafe { x86::registers() };
        if std::is_x86_feature_detected!("avx512vl") {
            // SAFETY: the features were detected: the second implies the first.
            unsafe { x86::upper_registers() };
        }
        return;
    }
    let end = space.as_mut_ptr().cast::<u8>().wrapping_add(N);
    // SAFETY: writes the last `bytes` of `space`.
    unsafe { end.wrapping_sub(bytes).write_bytes(0, bytes) };
    // SAFETY: reads nothing but a pointer; that it takes one keeps the zeros from being
    // optimised away.
    unsafe { asm!("/* {0} */", in(reg) space.as_ptr(), options(nostack, preserves_flags)) };
    #[cfg(target_arch = "aarch64")]
    arm::registers();
}

/// What stack that was not used yet is filled with: not zeros, which much of it is filled with
/// when it is used.
const PAINT: u8 = 0xa5;

/// Fills `N` bytes of the stack below the caller's frame, for [`used`] to see what is used.
#[inline(never)]
pub(crate) fn paint<const N: usize>() {
    let mut space = core::mem::MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the pointer is valid for `N` bytes.
    unsafe { space.as_mut_ptr().write_bytes(PAINT, 1) };
    // SAFETY: reads nothing but a pointer; that it takes one keeps the paint from being
    // optimised away.
    unsafe { asm!("/* {0} */", in(reg) space.as_ptr(), options(nostack, preserves_flags)) };
}

/// How many of the `N` bytes of stack below the caller's frame, from there on, have been written
/// to since they were [painted](paint); wipes them and the vector registers.
// Does nothing by itself, so that it has as few registers to save as `traces`.
#[cold]
#[inline(never)]
pub(crate) fn used<const N: usize>() -> usize {
    let mut space = core::mem::MaybeUninit::<[u8; N]>::uninit();
    #[cfg(target_arch = "x86_64")]
    super::memcheck::define(space.as_mut_ptr().cast(), N);
    // SAFETY: writes nothing. As far as the compiler knows it writes all of `space`, so that what
    // is read next is what lies there.
    unsafe { asm!("/* {0} */", in(reg) space.as_mut_ptr(), options(nostack)) };
    // SAFETY: initialised, as the lines above say: by whoever used this part of the stack before.
    let bytes = unsafe { space.assume_init_mut() };
    N - wipe_behind(bytes)
}

/// How many bytes at the front are as they were [painted](paint). Wipes all, and the vector
/// registers.
///
/// A function with a large frame puts a word of zeros into each of its pages before it uses it.
/// So a piece in which nothing but a word of zeros was written counts as painted, too.
#[inline(never)]
fn wipe_behind(bytes: &mut [u8]) -> usize {
    const PIECE: usize = 16;
    const BLOCK: usize = 512;
    let is_probed = |piece: &[u8; PIECE]| {
        let zeros = piece.iter().filter(|byte| **byte == 0).count();
        zeros <= 8 && piece.iter().all(|byte| [PAINT, 0].contains(byte))
    };
    let is_painted = |piece: &&[u8; PIECE]| **piece == [PAINT; PIECE] || is_probed(piece);
    let clean = |bytes: &[u8]| bytes.as_chunks().0.iter().take_while(is_painted).count() * PIECE;
    // Most of it at once, for this is done often.
    let is_clean = |block: &&[u8; BLOCK]| **block == [PAINT; BLOCK] || clean(&block[..]) == BLOCK;
    let blocks = bytes.as_chunks().0.iter().take_while(is_clean).count() * BLOCK;
    let painted = blocks + bytes.get(blocks..).map_or(0, clean);
    bytes.fill(0);
    // SAFETY: reads nothing but a pointer, as in `paint`.
    unsafe { asm!("/* {0} */", in(reg) bytes.as_ptr(), options(nostack, preserves_flags)) };
    traces::<UNIT>(UNIT);
    painted
}

/// Overwrites bytes with zeros, however wide the stores: a byte at a time, as the `zeroize`
/// crate does it, takes longer than a short record.
#[inline]
pub(crate) fn bytes(bytes: &mut [u8]) {
    numbers(bytes);
}

/// The same of numbers of any width.
#[inline]
pub(crate) fn numbers<T: Copy + Default>(numbers: &mut [T]) {
    numbers.fill(T::default());
    // SAFETY: reads nothing but a pointer; that it takes one, and might look behind it, keeps
    // the zeros from being optimised away.
    unsafe { asm!("/* {0} */", in(reg) numbers.as_mut_ptr(), options(nostack, preserves_flags)) };
}

/// Copies the bytes of a key into its words, which are little-endian, and leaves no trace.
#[inline]
pub(crate) fn copy_key(bytes: &[u8; 32], words: &mut [u32; 8]) {
    #[cfg(target_arch = "x86_64")]
    // By way of one register that is known, for clearing all takes longer than this.
    // SAFETY: reads and writes the 32 bytes that each of the pointers is valid for.
    unsafe {
        asm!(
            "movups {v}, [{from}]",
            "movups [{to}], {v}",
            "movups {v}, [{from} + 16]",
            "movups [{to} + 16], {v}",
            "xorps {v}, {v}",
            v = out(xmm_reg) _,
            from = in(reg) bytes.as_ptr(),
            to = in(reg) words.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        // More than was seen, and the same for every build: what is left is what copies leave.
        traces::<512>(512);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::asm;

    /// Clears ymm0 to ymm15, or zmm0 to zmm15 where there are any.
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn registers() {
        // SAFETY: writes registers that are declared to be written, and nothing else.
        unsafe {
            asm!(
                "vpxor xmm0, xmm0, xmm0", "vpxor xmm1, xmm1, xmm1",
                "vpxor xmm2, xmm2, xmm2", "vpxor xmm3, xmm3, xmm3",
                "vpxor xmm4, xmm4, xmm4", "vpxor xmm5, xmm5, xmm5",
                "vpxor xmm6, xmm6, xmm6", "vpxor xmm7, xmm7, xmm7",
                "vpxor xmm8, xmm8, xmm8", "vpxor xmm9, xmm9, xmm9",
                "vpxor xmm10, xmm10, xmm10", "vpxor xmm11, xmm11, xmm11",
                "vpxor xmm12, xmm12, xmm12", "vpxor xmm13, xmm13, xmm13",
                "vpxor xmm14, xmm14, xmm14", "vpxor xmm15, xmm15, xmm15",
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }

    /// Clears zmm16 to zmm31.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) fn upper_registers() {
        // SAFETY: writes registers that are declared to be written, and nothing else.
        unsafe {
            asm!(
                "vpxord xmm16, xmm16, xmm16", "vpxord xmm17, xmm17, xmm17",
                "vpxord xmm18, xmm18, xmm18", "vpxord xmm19, xmm19, xmm19",
                "vpxord xmm20, xmm20, xmm20", "vpxord xmm21, xmm21, xmm21",
                "vpxord xmm22, xmm22, xmm22", "vpxord xmm23, xmm23, xmm23",
                "vpxord xmm24, xmm24, xmm24", "vpxord xmm25, xmm25, xmm25",
                "vpxord xmm26, xmm26, xmm26", "vpxord xmm27, xmm27, xmm27",
                "vpxord xmm28, xmm28, xmm28", "vpxord xmm29, xmm29, xmm29",
                "vpxord xmm30, xmm30, xmm30", "vpxord xmm31, xmm31, xmm31",
                out("xmm16") _, out("xmm17") _, out("xmm18") _, out("xmm19") _,
                out("xmm20") _, out("xmm21") _, out("xmm22") _, out("xmm23") _,
                out("xmm24") _, out("xmm25") _, out("xmm26") _, out("xmm27") _,
                out("xmm28") _, out("xmm29") _, out("xmm30") _, out("xmm31") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::asm;

    /// Clears v0 to v31.
    #[inline]
    pub(super) fn registers() {
        // SAFETY: writes registers that are declared to be written, and nothing else. Every
        // CPU that Rust's targets for this architecture stand for has them.
        unsafe {
            asm!(
                "movi v0.2d, #0", "movi v1.2d, #0", "movi v2.2d, #0", "movi v3.2d, #0",
                "movi v4.2d, #0", "movi v5.2d, #0", "movi v6.2d, #0", "movi v7.2d, #0",
                "movi v8.2d, #0", "movi v9.2d, #0", "movi v10.2d, #0", "movi v11.2d, #0",
                "movi v12.2d, #0", "movi v13.2d, #0", "movi v14.2d, #0", "movi v15.2d, #0",
                "movi v16.2d, #0", "movi v17.2d, #0", "movi v18.2d, #0", "movi v19.2d, #0",
                "movi v20.2d, #0", "movi v21.2d, #0", "movi v22.2d, #0", "movi v23.2d, #0",
                "movi v24.2d, #0", "movi v25.2d, #0", "movi v26.2d, #0", "movi v27.2d, #0",
                "movi v28.2d, #0", "movi v29.2d, #0", "movi v30.2d, #0", "movi v31.2d, #0",
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}
