//! EMSA-PSS (RFC 8017, section 9.1.1), for tokens that have raw RSA and no PSS.

use crate::mechanism::Hash;

/// Encodes the digest `digest` for a modulus of `bits` bits, with MGF1 over the same hash
/// and a salt as long as the hash, as TLS wants it (RFC 9846, section 4.3.3).
///
/// `None` if the modulus is too short or the salt has another length.
pub(crate) fn encode(hash: Hash, digest: &[u8], salt: &[u8], bits: usize) -> Option<Vec<u8>> {
    let len = hash.len();
    let encoded_bits = bits.checked_sub(1)?;
    let size = encoded_bits.div_ceil(8);
    let block_len = size.checked_sub(len + 1)?;
    if salt.len() != len || digest.len() != len || block_len < len + 1 {
        return None;
    }
    // Steps 5 and 6: the hash of eight zeros, the digest and the salt.
    let h = hash.of(&[&[0; 8], digest, salt]);
    // Steps 7 and 8: zeros, 01, salt.
    let mut block = vec![0; block_len - len - 1];
    block.push(1);
    block.extend_from_slice(salt);
    // Steps 9 and 10: MGF1 (appendix B.2.1) over it.
    for (counter, piece) in (0u32..).zip(block.chunks_mut(len)) {
        let mask = hash.of(&[&h, &counter.to_be_bytes()]);
        piece
            .iter_mut()
            .zip(&mask)
            .for_each(|(byte, mask)| *byte ^= mask);
    }
    // Step 11: the number must be below the modulus.
    if let Some(first) = block.first_mut() {
        *first &= 0xff >> (8 * size - encoded_bits);
    }
    block.extend_from_slice(&h);
    block.push(0xbc);
    // The modulus has one byte more when its length is one bit above whole bytes.
    if bits.div_ceil(8) > size {
        block.insert(0, 0);
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_api::SignatureScheme;
    use openssl::rsa::{Padding, Rsa};
    use rustls_pki_types::alg_id;

    use crate::der;

    /// Raw RSA over the encoding is a signature that others verify, whatever the modulus's
    /// length leaves of the first byte.
    #[test]
    fn raw_rsa_makes_signatures_of_it() {
        let provider = backend_soft::provider();
        let message = b"message";
        for asked in [2048, 2050, 2055] {
            let key = Rsa::generate(asked).unwrap();
            // Libcrypto may round.
            let bits = key.n().num_bits();
            let public = der::rsa_public_key(&key.n().to_vec(), &key.e().to_vec());
            for (hash, scheme) in [
                (Hash::Sha256, SignatureScheme::RSA_PSS_RSAE_SHA256),
                (Hash::Sha384, SignatureScheme::RSA_PSS_RSAE_SHA384),
                (Hash::Sha512, SignatureScheme::RSA_PSS_RSAE_SHA512),
            ] {
                let salt = vec![0xa5; hash.len()];
                let digest = hash.of(&[message]);
                let encoded = encode(hash, &digest, &salt, bits as usize).unwrap();
                assert_eq!(encoded.len(), key.size() as usize);
                let mut signature = vec![0; encoded.len()];
                key.private_encrypt(&encoded, &mut signature, Padding::NONE)
                    .unwrap();
                let algorithm = provider
                    .verification(scheme, alg_id::RSA_ENCRYPTION.as_ref())
                    .unwrap();
                algorithm
                    .verify_signature(&public, message, &signature)
                    .unwrap_or_else(|_| panic!("{scheme} with {bits} bits"));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let digest = [0; 64];
        assert!(encode(Hash::Sha512, &digest, &[0; 64], 1040).is_some());
        // 64 + 64 + 2 bytes are needed.
        assert!(encode(Hash::Sha512, &digest, &[0; 64], 1032).is_none());
        assert!(encode(Hash::Sha512, &digest, &[0; 64], 0).is_none());
        assert!(encode(Hash::Sha512, &digest, &[0; 63], 2048).is_none());
        assert!(encode(Hash::Sha512, &digest[1..], &[0; 64], 2048).is_none());
    }
}
