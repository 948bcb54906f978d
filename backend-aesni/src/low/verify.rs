//! Comparing tags: the one place where something secret becomes public.

use subtle::ConstantTimeEq;

use super::wipe;

/// Whether `tag` is the first `LEN` bytes of the one that was expected, and nothing else. How
/// many bytes of it are right shows in nothing. What was expected is wiped: for a forger it
/// would be worth something. Some of it stays on the stack until that is wiped, too.
#[inline(always)]
pub(super) fn tag<const LEN: usize>(expected: &mut [u8; 16], tag: &[u8]) -> bool {
    // As one number: a comparison byte by byte takes longer than a short record.
    let number = |bytes: &[u8]| {
        let mut front = [0; 16];
        front[..LEN].copy_from_slice(&bytes[..LEN]);
        u128::from_le_bytes(front)
    };
    #[allow(unused_mut)]
    let mut equal = match tag.len() {
        len if len == LEN => [number(expected).ct_eq(&number(tag)).unwrap_u8()],
        _ => [0],
    };
    wipe::bytes(expected);
    // Whether a record is taken is for everyone to see. The check of constant time has to be
    // told, and is told about this bit alone.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    super::memcheck::make_public(&mut equal);
    equal == [1]
}
