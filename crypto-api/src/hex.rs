//! Hexadecimal literals for test vectors, decoded when the crate is compiled.

/// A `&'static [u8]` of one or more hexadecimal literals; a bad one does not compile.
macro_rules! hex {
    ($($digits:literal)+) => {{
        const TEXT: &str = concat!($($digits),+);
        const BYTES: [u8; TEXT.len() / 2] = $crate::hex::decode(TEXT);
        const SLICE: &[u8] = &BYTES;
        SLICE
    }};
}
pub(crate) use hex;

/// The `N` bytes that `text` spells. Only for constants: it panics on anything else.
pub(crate) const fn decode<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.as_bytes();
    assert!(digits.len() == 2 * N, "an odd number of digits");
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = value(digits[2 * at]) << 4 | value(digits[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("not a hexadecimal digit in lower case"),
    }
}
