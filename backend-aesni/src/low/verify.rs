//! Comparing tags: the one place where something secret becomes public.

use subtle::ConstantTimeEq;

/// Whether `tag` is the one that was expected. How many bytes of it are right shows in nothing.
#[inline(always)]
pub(super) fn tag(expected: &[u8], tag: &[u8]) -> bool {
    #[allow(unused_mut)]
    let mut equal = [expected.ct_eq(tag).unwrap_u8()];
    // Whether a record is taken is for everyone to see. The check of constant time has to be
    // told, and is told about this bit alone.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    super::memcheck::make_public(&mut equal);
    equal == [1]
}
