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
    /// 130 bits and a little more.
    h: [u64; 3],
    /// Clamped, which leaves room above every product.
    r: [u64; 2],
    /// `5/4 r[1]`: what a product with `r[1]` that passes 2^130 is worth. Exact, because
    /// clamping clears the two lowest bits of `r[1]`.
    s1: u64,
}

fn word(bytes: &[u8; 16], high: bool) -> u64 {
    let both = u128::from_le_bytes(*bytes);
    (if high { both >> 64 } else { both }) as u64
}

fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

impl Polynomial {
    /// Adds 16 bytes.
    #[inline(always)]
    fn block(&mut self, bytes: &[u8; 16]) {
        let Self { h, r, s1 } = self;
        let sum = u128::from(h[0]) + u128::from(word(bytes, false));
        let h0 = sum as u64;
        let sum = u128::from(h[1]) + u128::from(word(bytes, true)) + (sum >> 64);
        let h1 = sum as u64;
        let h2 = h[2] + 1 + (sum >> 64) as u64;

        // h2 is at most 6 and r is below 2^60: nothing overflows.
        let d0 = wide(h0, r[0]) + wide(h1, *s1);
        let d1 = wide(h0, r[1]) + wide(h1, r[0]) + u128::from(h2 * *s1) + (d0 >> 64);
        let d2 = h2 * r[0] + (d1 >> 64) as u64;

        // What stands above 2^130 is worth five times as much below.
        let fold = (d2 & !3) + (d2 >> 2);
        let sum = u128::from(d0 as u64) + u128::from(fold);
        h[0] = sum as u64;
        let sum = u128::from(d1 as u64) + (sum >> 64);
        h[1] = sum as u64;
        h[2] = (d2 & 3) + (sum >> 64) as u64;
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
        Self {
            polynomial: Polynomial {
                h: [0; 3],
                r,
                s1: r[1] + (r[1] >> 2),
            },
            s: [word(s, false), word(s, true)],
        }
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

/// For engines that go on in a form of their own.
#[cfg(target_arch = "x86_64")]
impl Poly1305 {
    /// The key `r`.
    pub(crate) fn r(&self) -> [u64; 2] {
        self.polynomial.r
    }

    /// The sum, 130 bits and a little more.
    pub(crate) fn h(&self) -> [u64; 3] {
        self.polynomial.h
    }

    /// Replaces the sum; the upper part is 4 at the most.
    pub(crate) fn set_h(&mut self, h: [u64; 3]) {
        self.polynomial.h = h;
    }
}

impl Drop for Poly1305 {
    fn drop(&mut self) {
        self.polynomial.h.zeroize();
        self.polynomial.r.zeroize();
        self.polynomial.s1.zeroize();
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
            r: [0; 2],
            s1: 0,
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
