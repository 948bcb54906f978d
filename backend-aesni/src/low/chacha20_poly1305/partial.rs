//! Less than a block of 16 bytes, without a call of `memcpy`, which would take longer than the
//! block's cryptography does.

/// The bytes as the lowest of a number; 15 at the most.
#[inline(always)]
pub(crate) fn load(bytes: &[u8]) -> u128 {
    // Two reads that overlap, of the longest length that fits.
    let last = |read: usize| 8 * bytes.len().saturating_sub(read);
    if let (Some(a), Some(b)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*a)) | u128::from(u64::from_le_bytes(*b)) << last(8)
    } else if let (Some(a), Some(b)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u32::from_le_bytes(*a)) | u128::from(u32::from_le_bytes(*b)) << last(4)
    } else if let (Some(a), Some(b)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u16::from_le_bytes(*a)) | u128::from(u16::from_le_bytes(*b)) << last(2)
    } else {
        bytes.first().copied().unwrap_or(0).into()
    }
}

/// Writes the lowest bytes of a number; 15 at the most.
#[inline(always)]
pub(crate) fn store(bytes: &mut [u8], number: u128) {
    let len = bytes.len();
    let last = |read: usize| number >> (8 * len.saturating_sub(read));
    if let Some(a) = bytes.first_chunk_mut() {
        *a = (number as u64).to_le_bytes();
        if let Some(b) = bytes.last_chunk_mut() {
            *b = (last(8) as u64).to_le_bytes();
        }
    } else if let Some(a) = bytes.first_chunk_mut() {
        *a = (number as u32).to_le_bytes();
        if let Some(b) = bytes.last_chunk_mut() {
            *b = (last(4) as u32).to_le_bytes();
        }
    } else if let Some(a) = bytes.first_chunk_mut() {
        *a = (number as u16).to_le_bytes();
        if let Some(b) = bytes.last_chunk_mut() {
            *b = (last(2) as u16).to_le_bytes();
        }
    } else if let Some(a) = bytes.first_mut() {
        *a = number as u8;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loads_and_stores_every_length() {
        let bytes: Vec<u8> = (1..16).collect();
        for len in 0..16 {
            let number = super::load(&bytes[..len]);
            let mut padded = [0; 16];
            padded[..len].copy_from_slice(&bytes[..len]);
            assert_eq!(number.to_le_bytes(), padded, "{len}");
            let mut out = [0; 16];
            super::store(&mut out[..len], u128::from_le_bytes([7; 16]));
            assert!(out[..len].iter().all(|&byte| byte == 7), "{len}");
            super::store(&mut out[..len], number);
            assert_eq!(out, padded, "{len}");
        }
    }
}
