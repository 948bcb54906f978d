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

/// 130 bits and a little more.
type Number = [u64; 3];

/// What a sum is multiplied with for each block.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Key {
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
    /// Begins two double rounds, the first of which is number `round`, of ten.
    fn rounds(&mut self, round: usize);

    /// What there is to be done in one of twelve steps of two double rounds.
    fn step<const STEP: usize>(&mut self);

    /// What there is to be done in one of four steps behind the rounds.
    fn last<const STEP: usize>(&mut self);
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
            power = square(power);
        }
        *self.powers.insert([power, square(power)])
    }

    /// The sum so far.
    #[inline(always)]
    pub(crate) fn sum(&self) -> Number {
        self.plain.polynomial.h
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> Key {
        self.plain.polynomial.r
    }

    /// The sum so far, the key, and the power that [`Pairs`] finish with.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (Number, Key, Number) {
        (self.sum(), self.key(), self.powers()[1])
    }

    /// Goes on with a sum that has become more.
    #[inline(always)]
    pub(crate) fn set(&mut self, sum: Number) {
        self.plain.polynomial.h = sum;
    }
}

/// `first power + second`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn joined(first: Number, power: Number, second: Number) -> Number {
    let number = |[low, high, _]: [u64; 3]| u128::from(low) | u128::from(high) << 64;
    let (a, b) = (product(first, power), second);
    let (low, carry) = number(a).overflowing_add(number(b));
    let top = a[2] + b[2] + u64::from(carry);
    let (low, carry) = low.overflowing_add(u128::from((top >> 2) * 5));
    let top = (top & 3) + u64::from(carry);
    [low as u64, (low >> 64) as u64, top]
}

/// Limbs of 44 bits: no sum of products overflows.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn limbs([low, high, top]: Number) -> [u64; 3] {
    let middle = (low >> 44 | high << 20) & MASK;
    [low & MASK, middle, high >> 24 | top << 40]
}

#[cfg(target_arch = "x86_64")]
const MASK: u64 = (1 << 44) - 1;

/// What sums of products of limbs stand for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn number([d0, d1, d2]: [u128; 3]) -> Number {
    let d1 = d1 + (d0 >> 44);
    let d2 = d2 + (d1 >> 44);
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

/// The product of two numbers of 130 bits and a little more, as such a number.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn product(a: Number, b: Number) -> Number {
    let ([a, b, c], [x, y, z]) = (limbs(a), limbs(b));
    // What stands above 2^132, 4 times 2^130, is worth 20 times as much below.
    let (y20, z20) = (20 * y, 20 * z);
    number([
        wide(a, x) + wide(b, z20) + wide(c, y20),
        wide(a, y) + wide(b, x) + wide(c, z20),
        wide(a, z) + wide(b, y) + wide(c, x),
    ])
}

/// The same of a number and itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn square(a: Number) -> Number {
    let [a, b, c] = limbs(a);
    number([
        wide(a, a) + wide(b, 40 * c),
        wide(2 * a, b) + wide(c, 20 * c),
        wide(2 * a, c) + wide(b, b),
    ])
}

/// The halves of [`PAIRS`] bytes, of which blocks are added one by one, between instructions of
/// another kind.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Pairs<'a> {
    first: Number,
    second: Number,
    key: &'a Key,
    blocks: &'a [u8; PAIRS],
    /// What is added in these rounds: six blocks in front, and six behind half of all.
    now: &'a [u8; PAIRS / 2 + 6 * 16],
}

#[cfg(target_arch = "x86_64")]
impl<'a> Pairs<'a> {
    /// Goes on with `sum` under `key`.
    #[inline(always)]
    pub(crate) fn new(sum: Number, key: &'a Key, blocks: &'a [u8; PAIRS]) -> Self {
        Self {
            first: sum,
            second: [0; 3],
            key,
            blocks,
            now: front(blocks, 0),
        }
    }

    /// The sum when all are added.
    #[inline(always)]
    pub(crate) fn finish(self, power: Number) -> Number {
        joined(self.first, power, self.second)
    }
}

#[cfg(target_arch = "x86_64")]
impl Beside for Pairs<'_> {
    #[inline(always)]
    fn rounds(&mut self, round: usize) {
        self.now = front(self.blocks, 3 * 16 * round);
    }

    #[inline(always)]
    fn step<const STEP: usize>(&mut self) {
        if STEP.is_multiple_of(2) {
            step_at::<0, STEP, _>(&mut self.first, self.key, self.now);
        } else {
            step_at::<0, STEP, _>(&mut self.second, self.key, self.now);
        }
    }

    #[inline(always)]
    fn last<const STEP: usize>(&mut self) {
        if STEP.is_multiple_of(2) {
            step_at::<{ 30 * 16 }, STEP, _>(&mut self.first, self.key, self.blocks);
        } else {
            step_at::<{ 30 * 16 }, STEP, _>(&mut self.second, self.key, self.blocks);
        }
    }
}

/// `N` bytes at `at`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn front<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("bytes of a round")
}

/// The same of up to [`PAIRS`] bytes, which are cut where that suits their length.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Halves<'a> {
    first: Number,
    second: Number,
    key: &'a Key,
    firsts: core::slice::Iter<'a, [u8; 16]>,
    seconds: core::slice::Iter<'a, [u8; 16]>,
    /// What the first part lacks, unless there is no second.
    power: Option<Number>,
}

#[cfg(target_arch = "x86_64")]
impl<'a> Halves<'a> {
    /// The whole blocks of `bytes`, for `sum`.
    #[inline(always)]
    pub(crate) fn new(sum: &mut Twofold, key: &'a Key, bytes: &'a [u8]) -> Self {
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
            key,
            firsts: firsts.iter(),
            seconds: seconds.iter(),
            power,
        }
    }

    /// Adds a block to the first part's sum.
    #[inline(always)]
    fn first(&mut self, block: &[u8; 16]) {
        step_at::<0, 0, _>(&mut self.first, self.key, block);
    }

    /// The same of the second part.
    #[inline(always)]
    fn second(&mut self, block: &[u8; 16]) {
        step_at::<0, 0, _>(&mut self.second, self.key, block);
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
            Some(power) => sum.set(joined(self.first, power, self.second)),
            None => sum.set(self.first),
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Beside for Halves<'_> {
    #[inline(always)]
    fn rounds(&mut self, _: usize) {}

    #[inline(always)]
    fn step<const STEP: usize>(&mut self) {
        if STEP.is_multiple_of(2) {
            if let Some(block) = self.firsts.next() {
                self.first(block);
            }
        } else if let Some(block) = self.seconds.next() {
            self.second(block);
        }
    }

    #[inline(always)]
    fn last<const STEP: usize>(&mut self) {
        self.step::<STEP>();
    }
}

/// What is done where nothing is to be done.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Nothing;

#[cfg(target_arch = "x86_64")]
impl Beside for Nothing {
    #[inline(always)]
    fn rounds(&mut self, _: usize) {}

    #[inline(always)]
    fn step<const STEP: usize>(&mut self) {}

    #[inline(always)]
    fn last<const STEP: usize>(&mut self) {}
}

/// [`Key::step`] with the 16 bytes that are added in `STEP`, of those from `AT` on.
///
/// In as few instructions as can be, and in an order of its own: beside rounds on 512-bit
/// registers it is the integer units that have most to do, and the compiler takes a third more.
/// The three that do nothing shift those behind them to units that have less to do (on Zen 4:
/// 600 cycles for the rounds of 1 KiB and 60 steps, where it would be 650; 590 for the rounds).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn step_at<const AT: usize, const STEP: usize, const N: usize>(
    [h0, h1, h2]: &mut Number,
    key: &Key,
    bytes: &[u8; N],
) {
    const { assert!(AT + offset(STEP) + 16 <= N) };
    // SAFETY: reads 24 bytes of the key and 16 of `bytes`, which the references are valid for.
    // Every CPU that gets here has BMI2: the tokens of its callers prove it.
    unsafe {
        core::arch::asm!(
            // d0 = h0 r0 + h1 s1, d1 = h0 r1 + h1 r0
            "mov rdx, {h0}",
            "mulx {d0_high}, {d0}, [{key}]",
            "mulx {d1_high}, {d1}, [{key} + 8]",
            "mov rdx, {h1}",
            "mulx {h1}, {h0}, [{key} + 16]",
            "add {d0}, {h0}",
            "adc {d0_high}, {h1}",
            "mulx {h1}, {h0}, [{key}]",
            "mov rdx, {h2}",
            "nop",
            "nop",
            "add {d1}, {h0}",
            "adc {d1_high}, {h1}",
            // d1 += h2 s1 + d0_high, d2 = h2 r0 + d1_high
            "imul rdx, [{key} + 16]",
            "imul {h2}, [{key}]",
            "add {d0_high}, rdx",
            "add {d1}, {d0_high}",
            "adc {d1_high}, 0",
            "add {h2}, {d1_high}",
            // What stands above 2^130 is worth five times as much below.
            "mov rdx, {h2}",
            "shr rdx, 2",
            "and {h2:e}, 3",
            "add {d0}, [{bytes} + {at}]",
            "lea rdx, [rdx + 4 * rdx]",
            "nop",
            "adc {d1}, [{bytes} + {at} + 8]",
            "adc {h2:e}, 1",
            "add {d0}, rdx",
            "adc {d1}, 0",
            "adc {h2:e}, 0",
            h0 = inout(reg) *h0 => _,
            h1 = inout(reg) *h1 => _,
            h2 = inout(reg) *h2,
            d0 = out(reg) *h0,
            d0_high = out(reg) _,
            d1 = out(reg) *h1,
            d1_high = out(reg) _,
            key = in(reg) key,
            bytes = in(reg) bytes,
            at = const AT + offset(STEP),
            out("rdx") _,
            options(readonly, nostack),
        );
    }
}

/// Where the block of a step lies: in the first half and in the second by turns.
#[cfg(target_arch = "x86_64")]
const fn offset(step: usize) -> usize {
    step / 2 * 16 + step % 2 * (PAIRS / 2)
}
