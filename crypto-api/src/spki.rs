//! The two parts of a SubjectPublicKeyInfo (RFC 5280, section 4.1).

use rustls_pki_types::SubjectPublicKeyInfoDer;

/// A public key with its algorithm, taken out of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The content of the AlgorithmIdentifier sequence, to be compared with
    /// `SignatureVerificationAlgorithm::public_key_alg_id`.
    pub algorithm: &'a [u8],
    /// The key: the content of the bit string.
    pub key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// Splits a SubjectPublicKeyInfo. `None` if it is not one.
    pub fn from_spki(spki: &'a SubjectPublicKeyInfoDer<'_>) -> Option<Self> {
        let (sequence, rest) = element(SEQUENCE, spki.as_ref())?;
        if !rest.is_empty() {
            return None;
        }
        let (algorithm, rest) = element(SEQUENCE, sequence)?;
        let (bits, rest) = element(BIT_STRING, rest)?;
        // A key has no unused bits at the end.
        let (0, key) = bits.split_first()? else {
            return None;
        };
        rest.is_empty().then_some(Self { algorithm, key })
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Reads one DER element with tag `tag`; returns its content and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first != tag {
        return None;
    }
    let (&short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // Lengths of up to two bytes: no public key of ours is longer than 64 KiB.
        0x81 => {
            let (&[len], rest) = rest.split_first_chunk::<1>()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    // DER: the shortest form of the length only (X.690, section 10.1).
    let shortest = match short {
        0x81 => len >= 0x80,
        0x82 => len >= 0x100,
        _ => true,
    };
    if !shortest {
        return None;
    }
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// RFC 8410, section 10.1.
    const ED25519: &[u8] = &[
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf, 0x44,
        0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96, 0xc8, 0x50,
        0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31, 0x66, 0xe1,
    ];

    #[test]
    fn splits_a_key() {
        let spki = SubjectPublicKeyInfoDer::from(ED25519);
        let key = PublicKey::from_spki(&spki).unwrap();
        assert_eq!(key.algorithm, [0x06, 0x03, 0x2b, 0x65, 0x70]);
        assert_eq!(key.key, &ED25519[12..]);
    }

    #[test]
    fn refuses_damage() {
        for cut in 0..ED25519.len() {
            let spki = SubjectPublicKeyInfoDer::from(&ED25519[..cut]);
            assert_eq!(PublicKey::from_spki(&spki), None);
        }
        // Every byte of structure, up to the count of unused bits.
        for at in [0, 1, 2, 3, 9, 10, 11] {
            let mut der: Vec<u8> = ED25519.to_vec();
            der[at] ^= 0x40;
            let spki = SubjectPublicKeyInfoDer::from(der);
            assert_eq!(PublicKey::from_spki(&spki), None, "byte {at}");
        }
    }
}
