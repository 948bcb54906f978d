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
