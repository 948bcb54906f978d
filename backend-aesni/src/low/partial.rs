//! Fewer than 16 bytes into a register and out of it, without a buffer between: the last
//! bytes of a record are on the way of every small one.

/// Up to 15 bytes as a little-endian number, zeros above. Longer input is cut.
#[inline(always)]
pub(crate) fn load(bytes: &[u8]) -> u128 {
    let len = bytes.len();
    // Two pieces that overlap, the second shifted to its place.
    if let (Some(low), Some(high)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let low = u128::from(u64::from_le_bytes(*low));
        let high = u128::from(u64::from_le_bytes(*high));
        return low | high << (8 * (len.min(15) - 8));
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let low = u64::from(u32::from_le_bytes(*low));
        let high = u64::from(u32::from_le_bytes(*high));
        return u128::from(low | high << (8 * (len - 4)));
    }
    match *bytes {
        [a, b, c] => u128::from(u32::from_le_bytes([a, b, c, 0])),
        [a, b] => u128::from(u32::from_le_bytes([a, b, 0, 0])),
        [a] => u128::from(a),
        _ => 0,
    }
}

/// The inverse: the first bytes of `value`, as many as `bytes` has; up to 15.
#[inline(always)]
pub(crate) fn store(bytes: &mut [u8], value: u128) {
    let len = bytes.len();
    if len >= 8 {
        let high = (value >> (8 * (len.min(15) - 8))) as u64;
        if let Some(last) = bytes.last_chunk_mut::<8>() {
            *last = high.to_le_bytes();
        }
        if let Some(first) = bytes.first_chunk_mut::<8>() {
            *first = (value as u64).to_le_bytes();
        }
    } else if len >= 4 {
        let high = (value >> (8 * (len - 4))) as u32;
        if let Some(last) = bytes.last_chunk_mut::<4>() {
            *last = high.to_le_bytes();
        }
        if let Some(first) = bytes.first_chunk_mut::<4>() {
            *first = (value as u32).to_le_bytes();
        }
    } else {
        let [a, b, c, _] = (value as u32).to_le_bytes();
        match bytes {
            [x, y, z] => (*x, *y, *z) = (a, b, c),
            [x, y] => (*x, *y) = (a, b),
            [x] => *x = a,
            _ => {}
        }
    }
}

/// Ones in the first `len` bytes, zeros above.
#[inline(always)]
pub(crate) fn mask(len: usize) -> u128 {
    match len {
        0 => 0,
        1..16 => u128::MAX >> (128 - 8 * len),
        _ => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_goes_in_and_out() {
        let bytes: [u8; 15] = core::array::from_fn(|at| at as u8 + 1);
        for len in 0..=15 {
            let mut whole = [0; 16];
            whole[..len].copy_from_slice(&bytes[..len]);
            let value = load(&bytes[..len]);
            assert_eq!(value, u128::from_le_bytes(whole), "{len}");
            assert_eq!(mask(len) & u128::from_le_bytes([0xff; 16]), mask(len));
            assert_eq!(mask(len).count_ones() as usize, 8 * len);
            let mut out = [0xee; 15];
            store(&mut out[..len], value | !mask(len));
            assert_eq!(out[..len], bytes[..len], "{len}");
            assert!(out[len..].iter().all(|byte| *byte == 0xee), "{len}");
        }
    }
}
