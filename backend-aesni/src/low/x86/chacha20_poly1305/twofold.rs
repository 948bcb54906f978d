//! Poly1305 beside the rounds of ChaCha20: as two sums, each of which can wait for its carries.

use zeroize::Zeroize;

use super::step::{PAIRS, step};
use crate::low::chacha20_poly1305::{Multiplier, Number, Poly1305, wide};

/// What is done beside the rounds of ChaCha20.
pub(crate) trait Beside {
    /// Begins double round number `round`, of ten.
    fn rounds(&mut self, round: usize);

    /// What there is to be done in one of six steps of a double round.
    fn step<const STEP: usize>(&mut self);

    /// What there is to be done in one of four steps behind the rounds.
    fn last<const STEP: usize>(&mut self);
}

/// A sum that long pieces are added to as two, side by side: so each can wait for its carries.
pub(crate) struct Twofold {
    plain: Poly1305,
    /// `r^16` and `r^32`: what the first part of a piece lacks, by how long the second is. Made
    /// when first needed.
    powers: Option<[Number; 2]>,
}

impl From<Poly1305> for Twofold {
    fn from(plain: Poly1305) -> Self {
        Self {
            plain,
            powers: None,
        }
    }
}

impl Drop for Twofold {
    fn drop(&mut self) {
        self.powers.zeroize();
    }
}

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
    fn powers(&mut self) -> [Number; 2] {
        match self.powers {
            Some(powers) => powers,
            None => self.make_powers(),
        }
    }

    // A function of its own: the compiler would make them each time, needed or not.
    #[cold]
    #[inline(never)]
    fn make_powers(&mut self) -> [Number; 2] {
        let Multiplier([low, high, _]) = self.plain.key();
        let mut power = [low, high, 0];
        for _ in 0..4 {
            power = square(power);
        }
        *self.powers.insert([power, square(power)])
    }

    /// The sum so far.
    #[inline(always)]
    pub(crate) fn sum(&self) -> Number {
        self.plain.sum()
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> Multiplier {
        self.plain.key()
    }

    /// The sum so far, the key, and the power that [`Pairs`] finish with.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (Number, Multiplier, Number) {
        (self.sum(), self.key(), self.powers()[1])
    }

    /// Goes on with a sum that has become more.
    #[inline(always)]
    pub(crate) fn set(&mut self, sum: Number) {
        self.plain.set(sum);
    }
}

/// `first power + second`.
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

/// The lower 64 bits of `high` and `low` without the lowest `BY`.
#[inline(always)]
fn shifted<const BY: u32>(high: u64, low: u64) -> u64 {
    let lower: u64;
    // The compiler would take the one instruction for it, which is slow.
    // SAFETY: shifts a number.
    unsafe {
        core::arch::asm!(
            "shr {low}, {by}",
            low = inout(reg) low => lower,
            by = const BY,
            options(pure, nomem, nostack),
        );
    }
    high << (64 - BY) | lower
}

/// Limbs of 44 bits: no sum of products overflows.
#[inline(always)]
fn limbs([low, high, top]: Number) -> [u64; 3] {
    let middle = shifted::<44>(high, low) & MASK;
    [low & MASK, middle, high >> 24 | top << 40]
}

const MASK: u64 = (1 << 44) - 1;

/// What sums of products of limbs stand for, each of which is less than 2^100.
#[inline(always)]
fn number([d0, d1, d2]: [u128; 3]) -> Number {
    let above = |d: u128| shifted::<44>((d >> 64) as u64, d as u64);
    let d1 = d1 + u128::from(above(d0));
    let d2 = d2 + u128::from(above(d1));
    let above = shifted::<42>((d2 >> 64) as u64, d2 as u64);
    let (d0, d1, d2) = (d0 as u64 & MASK, d1 as u64 & MASK, d2 as u64 & (MASK >> 2));
    let (low, carry) = (d0 | d1 << 44).overflowing_add(5 * above);
    let (high, carry) = (d1 >> 20 | d2 << 24).overflowing_add(u64::from(carry));
    [low, high, (d2 >> 40) + u64::from(carry)]
}

/// The product of two numbers of 130 bits and a little more, as such a number.
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
pub(crate) struct Pairs<'a> {
    first: Number,
    second: Number,
    key: &'a Multiplier,
    blocks: &'a [u8; PAIRS],
    /// What is added in this round: three blocks in front, and three behind half of all.
    now: &'a [u8; PAIRS / 2 + 3 * 16],
}

impl<'a> Pairs<'a> {
    /// Goes on with `sum` under `key`.
    #[inline(always)]
    pub(crate) fn new(sum: Number, key: &'a Multiplier, blocks: &'a [u8; PAIRS]) -> Self {
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

impl Beside for Pairs<'_> {
    #[inline(always)]
    fn rounds(&mut self, round: usize) {
        self.now = front(self.blocks, 3 * 16 * round);
    }

    #[inline(always)]
    fn step<const STEP: usize>(&mut self) {
        if STEP.is_multiple_of(2) {
            step::<0, STEP, _>(&mut self.first, &self.key.0, self.now);
        } else {
            step::<0, STEP, _>(&mut self.second, &self.key.0, self.now);
        }
    }

    #[inline(always)]
    fn last<const STEP: usize>(&mut self) {
        if STEP.is_multiple_of(2) {
            step::<{ 30 * 16 }, STEP, _>(&mut self.first, &self.key.0, self.blocks);
        } else {
            step::<{ 30 * 16 }, STEP, _>(&mut self.second, &self.key.0, self.blocks);
        }
    }
}

/// `N` bytes at `at`.
#[inline(always)]
fn front<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("bytes of a round")
}

/// The same of up to [`PAIRS`] bytes, which are cut where that suits their length.
pub(crate) struct Halves<'a> {
    first: Number,
    second: Number,
    key: &'a Multiplier,
    firsts: core::slice::Iter<'a, [u8; 16]>,
    seconds: core::slice::Iter<'a, [u8; 16]>,
    /// What the first part lacks, unless there is no second.
    power: Option<Number>,
}

impl<'a> Halves<'a> {
    /// The whole blocks of `bytes`, for `sum`.
    #[inline(always)]
    pub(crate) fn new(sum: &mut Twofold, key: &'a Multiplier, bytes: &'a [u8]) -> Self {
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
            first: sum.sum(),
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
        step::<0, 0, _>(&mut self.first, &self.key.0, block);
    }

    /// The same of the second part.
    #[inline(always)]
    fn second(&mut self, block: &[u8; 16]) {
        step::<0, 0, _>(&mut self.second, &self.key.0, block);
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
pub(crate) struct Nothing;

impl Beside for Nothing {
    #[inline(always)]
    fn rounds(&mut self, _: usize) {}

    #[inline(always)]
    fn step<const STEP: usize>(&mut self) {}

    #[inline(always)]
    fn last<const STEP: usize>(&mut self) {}
}
