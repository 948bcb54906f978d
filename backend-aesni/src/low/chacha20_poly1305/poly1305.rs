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
    h: [u64; 3],
    r: Key,
}

/// What a sum is multiplied with for each block.
#[derive(Clone, Copy)]
struct Key {
    /// Clamped, which leaves room above every product.
    r: [u64; 2],
    /// `5/4 r[1]`: what a product with `r[1]` that passes 2^130 is worth. Exact, because
    /// clamping clears the two lowest bits of `r[1]`.
    s1: u64,
}

/// `2^128`, which stands above every block.
const ABOVE: u64 = 1;

fn word(bytes: &[u8; 16], high: bool) -> u64 {
    let both = u128::from_le_bytes(*bytes);
    (if high { both >> 64 } else { both }) as u64
}

fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

impl Key {
    /// `h r + bytes`, and `above` times 2^128.
    #[inline(always)]
    fn step(&self, [h0, h1, h2]: [u64; 3], bytes: u128, above: u64) -> [u64; 3] {
        let Self { r: [r0, r1], s1 } = *self;
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
                r: Key { r, s1 },
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
        self.polynomial.r.r.zeroize();
        self.polynomial.r.s1.zeroize();
        self.s.zeroize();
    }
}

/// What is done beside the rounds of ChaCha20.
#[cfg(target_arch = "x86_64")]
pub(crate) trait Beside {
    /// What there is to be done in step `step`, one of six, of double round `round`, one of ten.
    /// Behind these there is a round that has only four.
    fn step(&mut self, round: usize, step: usize);
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
            r: Key { r: [0; 2], s1: 0 },
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

/// Blocks of each half of what is added as [`Pairs`], and the bytes of both.
#[cfg(target_arch = "x86_64")]
const HALF: usize = 32;
#[cfg(target_arch = "x86_64")]
pub(crate) const PAIRS: usize = 2 * HALF * 16;

/// A sum that long pieces are added to as two, side by side: so each can wait for its carries.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Twofold {
    plain: Poly1305,
    /// `r^16` and `r^32`: what the first part of a piece lacks, by how long the second is. Made
    /// when first needed.
    powers: Option<[[u64; 3]; 2]>,
}

#[cfg(target_arch = "x86_64")]
impl From<Poly1305> for Twofold {
    fn from(plain: Poly1305) -> Self {
        Self {
            plain,
            powers: None,
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Twofold {
    fn drop(&mut self) {
        self.powers.zeroize();
    }
}

#[cfg(target_arch = "x86_64")]
impl Twofold {
    /// The sum as one.
    #[inline(always)]
    pub(crate) fn plain(&mut self) -> &mut Poly1305 {
        &mut self.plain
    }

    /// Goes on with `plain`, which `len` bytes are to be added to. What many of them need is made
    /// at once, while the CPU still has text to encrypt.
    #[inline(always)]
    pub(crate) fn new(plain: Poly1305, len: usize) -> Self {
        let mut new = Self::from(plain);
        if len >= PAIRS {
            new.make_powers();
        }
        new
    }

    /// What `Halves` and `Pairs` need.
    #[inline(always)]
    fn powers(&mut self) -> [[u64; 3]; 2] {
        match self.powers {
            Some(powers) => powers,
            None => self.make_powers(),
        }
    }

    // A function of its own: the compiler would make them each time, needed or not.
    #[cold]
    #[inline(never)]
    fn make_powers(&mut self) -> [[u64; 3]; 2] {
        let [low, high] = self.plain.polynomial.r.r;
        let mut power = [low, high, 0];
        for _ in 0..4 {
            power = product(power, power);
        }
        *self.powers.insert([power, product(power, power)])
    }

    /// Becomes `first power + second`.
    #[inline(always)]
    fn join(&mut self, first: [u64; 3], power: [u64; 3], second: [u64; 3]) {
        let number = |[low, high, _]: [u64; 3]| u128::from(low) | u128::from(high) << 64;
        let (a, b) = (product(first, power), second);
        let (low, carry) = number(a).overflowing_add(number(b));
        let top = a[2] + b[2] + u64::from(carry);
        let (low, carry) = low.overflowing_add(u128::from((top >> 2) * 5));
        let top = (top & 3) + u64::from(carry);
        self.plain.polynomial.h = [low as u64, (low >> 64) as u64, top];
    }
}

/// The product of two numbers of 130 bits and a little more, as such a number.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn product(a: [u64; 3], b: [u64; 3]) -> [u64; 3] {
    const MASK: u64 = (1 << 44) - 1;
    // Limbs of 44 bits: no sum of products overflows.
    let limbs = |[low, high, top]: [u64; 3]| {
        let middle = (low >> 44 | high << 20) & MASK;
        [low & MASK, middle, high >> 24 | top << 40]
    };
    let ([a, b, c], [x, y, z]) = (limbs(a), limbs(b));
    // What stands above 2^132, 4 times 2^130, is worth 20 times as much below.
    let (y20, z20) = (20 * y, 20 * z);
    let d0 = wide(a, x) + wide(b, z20) + wide(c, y20);
    let d1 = wide(a, y) + wide(b, x) + wide(c, z20) + (d0 >> 44);
    let d2 = wide(a, z) + wide(b, y) + wide(c, x) + (d1 >> 44);
    let above = (d2 >> 42) as u64;
    let low = u128::from(d0 as u64 & MASK) | u128::from(d1 as u64 & MASK) << 44;
    let d2 = d2 as u64 & ((1 << 42) - 1);
    let low = low + 5 * u128::from(above);
    let (low, carry) = low.overflowing_add(u128::from(d2) << 88);
    [
        low as u64,
        (low >> 64) as u64,
        (d2 >> 40) + u64::from(carry),
    ]
}

/// The halves of [`PAIRS`] bytes, of which blocks are added one by one, between instructions of
/// another kind.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Pairs<'a> {
    first: [u64; 3],
    second: [u64; 3],
    r: Key,
    power: [u64; 3],
    blocks: &'a [u8; PAIRS],
}

#[cfg(target_arch = "x86_64")]
impl<'a> Pairs<'a> {
    /// The blocks of `bytes`, for `sum`.
    #[inline(always)]
    pub(crate) fn new(sum: &mut Twofold, blocks: &'a [u8; PAIRS]) -> Self {
        Self {
            first: sum.plain.polynomial.h,
            second: [0; 3],
            r: sum.plain.polynomial.r,
            power: sum.powers()[1],
            blocks,
        }
    }

    /// Adds block `at` of the first half.
    #[inline(always)]
    pub(crate) fn first(&mut self, at: usize) {
        hold(&mut self.first);
        let block = self.blocks.as_chunks().0[at];
        self.first = self.r.step(self.first, u128::from_le_bytes(block), ABOVE);
    }

    /// Adds block `at` of the second half.
    #[inline(always)]
    pub(crate) fn second(&mut self, at: usize) {
        hold(&mut self.second);
        let block = self.blocks.as_chunks().0[HALF + at];
        self.second = self.r.step(self.second, u128::from_le_bytes(block), ABOVE);
    }

    /// Gives `sum` what it is when all are added.
    #[inline(always)]
    pub(crate) fn finish(self, sum: &mut Twofold) {
        sum.join(self.first, self.power, self.second);
    }
}

/// The same of up to [`PAIRS`] bytes, which are cut where that suits their length.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Halves<'a> {
    first: [u64; 3],
    second: [u64; 3],
    r: Key,
    firsts: core::slice::Iter<'a, [u8; 16]>,
    seconds: core::slice::Iter<'a, [u8; 16]>,
    /// What the first part lacks, unless there is no second.
    power: Option<[u64; 3]>,
}

#[cfg(target_arch = "x86_64")]
impl<'a> Halves<'a> {
    /// The whole blocks of `bytes`, for `sum`.
    #[inline(always)]
    pub(crate) fn new(sum: &mut Twofold, bytes: &'a [u8]) -> Self {
        let (blocks, _) = bytes.as_chunks();
        // Few blocks are added before a power is made, or a product.
        let (second, power) = match blocks.len() {
            0..24 => (0, None),
            24..40 if sum.powers.is_none() => (0, None),
            24..48 => (16, Some(sum.powers()[0])),
            _ => (32, Some(sum.powers()[1])),
        };
        let (firsts, seconds) = blocks.split_at(blocks.len() - second);
        Self {
            first: sum.plain.polynomial.h,
            second: [0; 3],
            r: sum.plain.polynomial.r,
            firsts: firsts.iter(),
            seconds: seconds.iter(),
            power,
        }
    }

    /// Adds a block to the first part's sum.
    #[inline(always)]
    fn first(&mut self, block: &[u8; 16]) {
        hold(&mut self.first);
        self.first = self.r.step(self.first, u128::from_le_bytes(*block), ABOVE);
    }

    /// The same of the second part.
    #[inline(always)]
    fn second(&mut self, block: &[u8; 16]) {
        hold(&mut self.second);
        self.second = self.r.step(self.second, u128::from_le_bytes(*block), ABOVE);
    }

    /// Adds those that are left, and gives `sum` what it is now.
    #[inline(always)]
    pub(crate) fn finish(mut self, sum: &mut Twofold) {
        let (firsts, seconds) = (self.firsts.as_slice(), self.seconds.as_slice());
        for (first, second) in firsts.iter().zip(seconds) {
            self.first(first);
            self.second(second);
        }
        let pairs = firsts.len().min(seconds.len());
        firsts[pairs..].iter().for_each(|block| self.first(block));
        seconds[pairs..].iter().for_each(|block| self.second(block));
        match self.power {
            Some(power) => sum.join(self.first, power, self.second),
            None => sum.plain.polynomial.h = self.first,
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Beside for Halves<'_> {
    #[inline(always)]
    fn step(&mut self, _: usize, step: usize) {
        if step.is_multiple_of(2) {
            if let Some(block) = self.firsts.next() {
                self.first(block);
            }
        } else if let Some(block) = self.seconds.next() {
            self.second(block);
        }
    }
}

/// What is done where nothing is to be done.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Nothing;

#[cfg(target_arch = "x86_64")]
impl Beside for Nothing {
    #[inline(always)]
    fn step(&mut self, _: usize, _: usize) {}
}

#[cfg(target_arch = "x86_64")]
impl Beside for Pairs<'_> {
    #[inline(always)]
    fn step(&mut self, round: usize, step: usize) {
        let at = 3 * round;
        match step {
            0 => self.first(at),
            1 => self.second(at),
            2 => self.first(at + 1),
            3 => self.second(at + 1),
            4 => self.first(at + 2),
            _ => self.second(at + 2),
        }
    }
}

/// Keeps what comes before in front of what comes behind.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn hold([a, b, c]: &mut [u64; 3]) {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!(
            "/* {0} {1} {2} */",
            inout(reg) * a,
            inout(reg) * b,
            inout(reg) * c,
            options(nomem, nostack, preserves_flags),
        );
    }
}
