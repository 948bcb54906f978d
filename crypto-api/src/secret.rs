//! Types for bytes that must not be seen, and for hash outputs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest hash output that the types of this module hold, in bytes (SHA-512).
pub const MAX_HASH_LEN: usize = 64;

/// A hash output: public, at most [`MAX_HASH_LEN`] bytes.
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; MAX_HASH_LEN],
    len: u8,
}

impl Digest {
    /// A digest with these bytes; what exceeds [`MAX_HASH_LEN`] is cut off.
    pub fn new(bytes: &[u8]) -> Self {
        let mut digest = Self {
            bytes: [0; MAX_HASH_LEN],
            len: 0,
        };
        for (to, from) in digest.bytes.iter_mut().zip(bytes) {
            *to = *from;
            digest.len += 1;
        }
        digest
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A secret of hash length: a pseudorandom key, a traffic secret or a MAC.
///
/// At most [`MAX_HASH_LEN`] bytes. They lie in one place on the heap from first to last:
/// bytes in the value itself would be copied wherever it moves, into a box or a closure, and
/// only the last copy would be wiped. Compared in constant time, wiped when dropped, never
/// printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

// A pointer and a length: there is nothing in it that a move could leave behind.
const _: () = assert!(size_of::<Secret>() == size_of::<&[u8]>());
const _: () = assert!(size_of::<SharedSecret>() == size_of::<Vec<u8>>());

impl Secret {
    /// A secret of `len` zero bytes, to be filled by a backend; longer ones than
    /// [`MAX_HASH_LEN`] are cut to it.
    pub fn zeroed(len: usize) -> Self {
        let bytes = alloc::vec![0; len.min(MAX_HASH_LEN)];
        Self(Zeroizing::new(bytes.into_boxed_slice()))
    }

    /// A secret with these bytes; what exceeds [`MAX_HASH_LEN`] is cut off.
    pub fn new(bytes: &[u8]) -> Self {
        let mut secret = Self::zeroed(bytes.len());
        for (to, from) in secret.0.iter_mut().zip(bytes) {
            *to = *from;
        }
        secret
    }

    /// The bytes, for the function that needs them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for the function that makes them.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Constant time for secrets of equal length; the length is no secret.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Constant time for equal lengths; the length is no secret.
impl PartialEq<[u8]> for Secret {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// The outcome of a key exchange: a secret whose length depends on the group.
///
/// Compared in constant time, wiped when dropped, never printed.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    /// Takes the bytes over; they are wiped when this is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the key schedule.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for SharedSecret {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl PartialEq for SharedSecret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for SharedSecret {}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(&[0xab; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(32 bytes)");
        let shared = SharedSecret::new(alloc::vec![0xab; 32]);
        assert_eq!(format!("{shared:?}"), "SharedSecret(32 bytes)");
    }

    #[test]
    fn comparison_sees_length_and_content() {
        let secret = Secret::new(&[1; 32]);
        assert_eq!(secret, Secret::new(&[1; 32]));
        assert_ne!(secret, Secret::new(&[1; 48]));
        let mut other = [1; 32];
        other[31] = 2;
        assert_ne!(secret, Secret::new(&other));
        assert!(secret == [1; 32][..]);
    }

    #[test]
    fn oversized_input_is_cut() {
        assert_eq!(Secret::new(&[1; 100]).as_bytes().len(), MAX_HASH_LEN);
        assert_eq!(Digest::new(&[1; 100]).len(), MAX_HASH_LEN);
        assert_eq!(Secret::zeroed(100).as_bytes().len(), MAX_HASH_LEN);
    }
}
