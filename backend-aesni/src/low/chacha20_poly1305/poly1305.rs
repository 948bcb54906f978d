//! Poly1305 (RFC 8439, section 2.5) in 64-bit integers.
//!
//! One block is four multiplications and two short ones, which leaves the vector units to
//! ChaCha20: the two run side by side.

use zeroize::Zeroize;

use crate::low::partial;

/// The sum so far under a key that is used once.
#[derive(Clone)]
pub(crate) struct Poly1305 {
    polynomial: Polynomial,
    s: [u64; 2],
}

/// The sum without what is added in the end.
#[derive(Clone, Copy)]
struct Polynomial {
    /// 130 bits and a little more. The product with `r` that the block added last still lacks
    /// is made with the next one: so its message waits for no carry.
    h: Number,
    r: Multiplier,
}

/// 130 bits and a little more.
pub(crate) type Number = [u64; 3];

/// What a sum is multiplied with for each block: the halves of `r`, clamped, which leaves room
/// above every product, and 5/4 of the upper one. That is what a product with that half that
/// passes 2^130 is worth; it is exact, because clamping clears the two lowest bits.
#[derive(Clone, Copy)]
pub(crate) struct Multiplier(pub(crate) [u64; 3]);

/// `2^128`, which stands above every block.
const ABOVE: u64 = 1;

fn word(bytes: &[u8; 16], high: bool) -> u64 {
    let both = u128::from_le_bytes(*bytes);
    (if high { both >> 64 } else { both }) as u64
}

pub(crate) fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

impl Multiplier {
    /// `h r + bytes`, and `above` times 2^128.
    #[inline(always)]
    fn step(&self, [h0, h1, h2]: [u64; 3], bytes: u128, above: u64) -> [u64; 3] {
        let Self([r0, r1, s1]) = *self;
        // h2 is at most 6 and r is below 2^60: nothing overflows.
        let d0 = wide(h0, r0) + wide(h1, s1);
        let carry = h2 * s1 + (d0 >> 64) as u64;
        let d1 = wide(h0, r1) + wide(h1, r0) + u128::from(carry);
        let d2 = h2 * r0 + (d1 >> 64) as u64;

        let low = u128::from(d0 as u64) | d1 << 64;
        let (low, carry) = low.overflowing_add(bytes);
        let top = (d2 & 3) + above + u64::from(carry);
        // What stands above 2^130 is worth five times as much below.
        let (low, carry) = low.overflowing_add(u128::from((d2 >> 2) * 5));
        [low as u64, (low >> 64) as u64, top + u64::from(carry)]
    }
}

impl Polynomial {
    /// Adds 16 bytes.
    #[inline(always)]
    fn block(&mut self, bytes: &[u8; 16]) {
        self.h = self.r.step(self.h, u128::from_le_bytes(*bytes), ABOVE);
    }
}

impl Poly1305 {
    /// Starts under the key that is in the first half of block 0 (RFC 8439, section 2.6).
    #[inline(always)]
    pub(crate) fn new(block: &[u8]) -> Self {
        let (halves, _) = block.as_chunks::<16>();
        let (r, s) = (&halves[0], &halves[1]);
        let r = [
            word(r, false) & 0x0fff_fffc_0fff_ffff,
            word(r, true) & 0x0fff_fffc_0fff_fffc,
        ];
        let s1 = r[1] + (r[1] >> 2);
        Self {
            polynomial: Polynomial {
                h: [0; 3],
                r: Multiplier([r[0], r[1], s1]),
            },
            s: [word(s, false), word(s, true)],
        }
    }

    /// The sum so far.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn sum(&self) -> Number {
        self.polynomial.h
    }

    /// What it is multiplied with for each block.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn key(&self) -> Multiplier {
        self.polynomial.r
    }

    /// Goes on with a sum that has become more.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn set(&mut self, sum: Number) {
        self.polynomial.h = sum;
    }

    /// Adds 16 bytes.
    #[inline(always)]
    pub(crate) fn block(&mut self, bytes: &[u8; 16]) {
        self.polynomial.block(bytes);
    }

    /// Adds bytes, with zeros behind them up to a whole block (RFC 8439, section 2.8).
    #[inline(always)]
    pub(crate) fn padded(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            self.block(block);
        }
        if !rest.is_empty() {
            self.block(&partial::load(rest).to_le_bytes());
        }
    }

    /// Adds the lengths of AAD and text, and returns the tag.
    #[inline(always)]
    pub(crate) fn tag(&mut self, aad_len: usize, text_len: usize) -> [u8; 16] {
        self.block(&(aad_len as u128 | (text_len as u128) << 64).to_le_bytes());
        let Polynomial { h, r } = &mut self.polynomial;
        *h = r.step(*h, 0, 0);
        let h = self.reduced();
        let s = u128::from(self.s[0]) | u128::from(self.s[1]) << 64;
        h.wrapping_add(s).to_le_bytes()
    }

    /// The lower 128 bits of the sum modulo 2^130 - 5.
    fn reduced(&self) -> u128 {
        let [low, high, top] = self.polynomial.h;
        let low = u128::from(low) | u128::from(high) << 64;
        // The sum is below twice the modulus: subtract that once, if this does not borrow.
        let (minus, carry) = low.overflowing_add(5);
        let above = (top + u64::from(carry)) >> 2;
        let mask = u128::from(above.min(1)).wrapping_neg();
        (minus & mask) | (low & !mask)
    }
}

impl Drop for Poly1305 {
    fn drop(&mut self) {
        self.polynomial.h.zeroize();
        self.polynomial.r.0.zeroize();
        self.s.zeroize();
    }
}

/// Blocks that are added one by one, between instructions of another kind.
pub(crate) struct Blocks<'a> {
    polynomial: Polynomial,
    blocks: core::slice::Iter<'a, [u8; 16]>,
}

impl<'a> Blocks<'a> {
    /// The whole blocks of `bytes`, for `sum`.
    #[inline(always)]
    pub(crate) fn new(sum: &Poly1305, bytes: &'a [u8]) -> Self {
        Self {
            polynomial: sum.polynomial,
            blocks: bytes.as_chunks().0.iter(),
        }
    }

    /// No block at all.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        let polynomial = Polynomial {
            h: [0; 3],
            r: Multiplier([0; 3]),
        };
        Self {
            polynomial,
            blocks: [].iter(),
        }
    }

    /// Adds one more block if there is one.
    #[inline(always)]
    pub(crate) fn one(&mut self) {
        if let Some(block) = self.blocks.next() {
            self.polynomial.block(block);
        }
    }

    /// Adds those that are left, and gives `sum` what it is now.
    #[inline(always)]
    pub(crate) fn finish(mut self, sum: &mut Poly1305) {
        for block in self.blocks {
            self.polynomial.block(block);
        }
        sum.polynomial.h = self.polynomial.h;
    }
}
