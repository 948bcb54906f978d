//! ChaCha20-Poly1305 (RFC 8439) as TLS uses it, over any vector unit.
//!
//! An [`Engine`] makes keystream for many blocks at once and authenticates meanwhile; what is
//! here cuts a record into such passes. Block 0 holds the authenticator's key, so nothing can
//! be authenticated beside the keystream that is made first. When sealing that is for block 0
//! and the text's front, which is then what can be authenticated: a whole pass of a long text.
//! When opening it is no more than needed, block 0 and the text's back, where that is short: all
//! ciphertext is there already. Every other pass authenticates one piece of ciphertext while it
//! makes keystream for another: the piece before it when sealing, its own piece when opening.

mod ahead;
mod batch;
mod poly1305;

use crypto_api::{NONCE_LEN, OpenRecord, SealRecord};
use zeroize::Zeroize;

use ahead::{Ahead, Part};
pub(crate) use batch::Lanes;
use batch::{GROUP, SHORT, blocks};
pub(crate) use poly1305::{Blocks, Poly1305};
#[cfg(target_arch = "x86_64")]
pub(crate) use poly1305::{Multiplier, Number, wide};

use super::depth::Depths;
use super::inout::{Chunk, InOut};
use super::{partial, verify, wipe};
use crate::record::{Iv, Kernel, split_tag};

/// Quarter rounds (RFC 8439, section 2.1), each on a set of four registers, with the `add`,
/// `xor` and `rotate_*` of where it stands.
///
/// A macro, because registers must stay registers: a function would be called with the
/// address of an array.
macro_rules! quarter_rounds {
    ($([$a:expr, $b:expr, $c:expr, $d:expr]),+) => {
        $(
            $a = add($a, $b);
            $d = rotate_16(xor($d, $a));
        )+
        $(
            $c = add($c, $d);
            $b = rotate_12(xor($b, $c));
        )+
        $(
            $a = add($a, $b);
            $d = rotate_8(xor($d, $a));
        )+
        $(
            $c = add($c, $d);
            $b = rotate_7(xor($b, $c));
        )+
    };
}
pub(crate) use quarter_rounds;

/// Length of a block in bytes.
pub(crate) const BLOCK: usize = 64;

/// Bytes of keystream that any one call makes at the most.
pub(crate) const KEYSTREAM: usize = 16 * BLOCK;

/// The 16 words of a state (RFC 8439, section 2.3), with the counter of the first block.
#[derive(Clone)]
pub(crate) struct State(pub(crate) [u32; 16]);

impl State {
    #[inline]
    fn new(key: &[u32; 8], nonce: &[u8; NONCE_LEN]) -> Self {
        let mut words = [0; 16];
        words[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        words[4..12].copy_from_slice(key);
        let (nonce, _) = nonce.as_chunks::<4>();
        for (word, bytes) in words[13..].iter_mut().zip(nonce) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self(words)
    }

    /// Goes `bytes` of keystream further.
    #[inline]
    pub(crate) fn skip(&mut self, bytes: usize) {
        // 2^32 blocks are 256 GiB: `seal` and `open` refuse such lengths.
        self.0[12] = self.0[12].wrapping_add((bytes / BLOCK) as u32);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Keystream that has not met its text yet.
#[repr(C, align(64))]
pub(crate) struct Keystream<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Drop for Keystream<N> {
    fn drop(&mut self) {
        wipe::bytes(&mut self.0);
    }
}

/// Which bytes a pass authenticates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ciphertext<'a> {
    /// These, and the next pass what this one has written.
    Behind(&'a [u8]),
    /// The pass's own input, before it is overwritten.
    Own,
}

impl<'a> Ciphertext<'a> {
    /// The bytes, given the text of a pass.
    #[inline(always)]
    pub(crate) fn of<'s, const N: usize>(&'s self, text: &'s Chunk<'_, N>) -> &'s [u8] {
        match self {
            Self::Behind(bytes) => bytes,
            Self::Own => text.read::<N>(0),
        }
    }

    /// Those of the pass behind, when `text` is written.
    #[inline(always)]
    pub(crate) fn behind<const N: usize>(self, text: Chunk<'a, N>) -> Self {
        match self {
            Self::Behind(_) => Self::Behind(text.into_written()),
            Self::Own => Self::Own,
        }
    }
}

/// ChaCha20 and Poly1305 on some vector unit.
pub(crate) trait Engine: Copy + Send + Sync + core::fmt::Debug + 'static {
    /// What the capability table says.
    const DETAIL: &'static str;
    /// Bytes of keystream that one pass makes, [`KEYSTREAM`] at the most.
    const PASS: usize;
    /// Bytes of keystream, block 0 among them, that opening starts with at the most, and sealing
    /// less than a pass.
    const START: usize = Self::PASS;
    /// Bytes of keystream, block 0 among them, of the longest records for which it is made ahead:
    /// half a pass, where that gains time.
    const AHEAD: usize = 0;
    /// Bytes that are added beside a pass and take no time of their own.
    const BESIDE: usize;
    /// A sum in the form that many bytes are added to.
    type Sum: From<Poly1305>;

    /// Seals or opens up to [`FEW`] bytes of text in place, and returns their tag.
    fn few<const SEAL: bool>(self, state: &State, aad: &[u8], text: &mut [u8]) -> [u8; 16];

    /// The same under keystream that is there already, from block 0 on.
    fn under<const SEAL: bool>(self, keystream: &[u8], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        few::<SEAL>(keystream, aad, text)
    }

    /// Goes on with `sum`, which `len` bytes are to be added to.
    fn begin(self, sum: Poly1305, _len: usize) -> Self::Sum {
        sum.into()
    }

    /// Makes block 0 and those from block `next` on, `len` bytes altogether or more,
    /// [`PASS`](Engine::PASS) at the most.
    fn start(self, state: &State, next: u32, _len: usize, keystream: &mut [u8; KEYSTREAM]) {
        let mut nothing = Self::Sum::from(Poly1305::new(&[0; BLOCK]));
        let lanes = Lanes::starting(state, next);
        let keystream = &mut keystream[..Self::PASS];
        self.blocks(state, &lanes, keystream, &mut nothing, &[]);
    }

    /// Makes a block for each lane, [`PASS`](Engine::PASS) bytes, whose state differs from `state`
    /// in the counter and in the last word of the nonce.
    fn ahead(
        self,
        state: &State,
        counters: &[u32; 16],
        last: &[u32; 16],
        keystream: &mut [u8; KEYSTREAM],
    ) {
        let State([.., a, b, _]) = state;
        let lanes = Lanes([*counters, [*a; 16], [*b; 16], *last]);
        let mut nothing = Self::Sum::from(Poly1305::new(&[0; BLOCK]));
        let keystream = &mut keystream[..Self::PASS];
        self.blocks(state, &lanes, keystream, &mut nothing, &[]);
    }

    /// Makes the first `len` bytes of keystream or more, [`PASS`](Engine::PASS) at the most;
    /// meanwhile adds `behind` to `sum`.
    fn keystream(
        self,
        state: &State,
        len: usize,
        keystream: &mut [u8; KEYSTREAM],
        sum: &mut Self::Sum,
        behind: &[u8],
    );

    /// Encrypts as many whole passes as there are in `text`, and goes as much further; meanwhile
    /// adds `ciphertext` to `sum`.
    fn passes(
        self,
        state: &mut State,
        text: InOut<'_>,
        sum: &mut Self::Sum,
        ciphertext: Ciphertext<'_>,
    );

    /// Makes a block for each of `lanes`, [`PASS`](Engine::PASS) bytes, that differs from
    /// `state` in counter and nonce; meanwhile adds `behind` to `sum`.
    fn blocks(
        self,
        state: &State,
        lanes: &Lanes,
        keystream: &mut [u8],
        sum: &mut Self::Sum,
        behind: &[u8],
    );

    /// Encrypts `text`, which is not longer than the whole blocks of `keystream`.
    fn xor(self, text: &mut [u8], keystream: &[u8]);

    /// Adds `bytes`, whole blocks of 16, to `sum`.
    fn add(self, sum: &mut Self::Sum, bytes: &[u8]);

    /// The sum in its plain form.
    fn finish(self, sum: Self::Sum) -> Poly1305;

    /// How deep the frames of its records go.
    fn depths() -> &'static Depths;
}

/// Length in bytes of text that needs no pass: five blocks, beside the one for the key.
pub(crate) const FEW: usize = 5 * BLOCK;

/// Seals or opens up to [`FEW`] bytes of text in place under keystream from block 0 on, and
/// returns the tag. Engines call it where their vector unit is at hand.
#[inline(always)]
pub(crate) fn few<const SEAL: bool>(keystream: &[u8], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let (key, keystream) = keystream.split_at(BLOCK);
    // Else plaintext would stay.
    assert!(text.len() <= keystream.len());
    let mut sum = Poly1305::new(key);
    sum.padded(aad);
    let ciphertext = |input: u128, output: u128| if SEAL { output } else { input }.to_le_bytes();
    let (blocks, rest) = text.as_chunks_mut::<16>();
    let mut keys = keystream.as_chunks::<16>().0.iter();
    for (block, key) in blocks.iter_mut().zip(&mut keys) {
        let input = u128::from_le_bytes(*block);
        let output = input ^ u128::from_le_bytes(*key);
        *block = output.to_le_bytes();
        sum.block(&ciphertext(input, output));
    }
    if !rest.is_empty()
        && let Some(key) = keys.next()
    {
        let mask = partial::mask(rest.len());
        let input = partial::load(rest);
        let output = input ^ (u128::from_le_bytes(*key) & mask);
        partial::store(rest, output);
        sum.block(&ciphertext(input, output));
    }
    sum.tag(aad.len(), text.len())
}

/// Encrypts `text`, which is not longer than `keystream`.
#[inline(always)]
pub(crate) fn xor(text: &mut [u8], keystream: &[u8]) {
    // Else plaintext would stay.
    assert!(text.len() <= keystream.len() / 16 * 16);
    let (blocks, rest) = text.as_chunks_mut::<16>();
    let mut keys = keystream.as_chunks::<16>().0.iter();
    for (block, key) in blocks.iter_mut().zip(&mut keys) {
        *block = (u128::from_le_bytes(*block) ^ u128::from_le_bytes(*key)).to_le_bytes();
    }
    if let Some(key) = keys.next() {
        partial::store(rest, partial::load(rest) ^ u128::from_le_bytes(*key));
    }
}

/// The words of a key.
struct Key([u32; 8]);

impl Drop for Key {
    fn drop(&mut self) {
        wipe::numbers(&mut self.0);
    }
}

/// A key of ChaCha20-Poly1305 on an engine.
pub(crate) struct ChaCha20Poly1305<E> {
    engine: E,
    key: Key,
    ahead: Ahead,
}

impl<E: Engine> ChaCha20Poly1305<E> {
    /// Makes `len` bytes of keystream, block 0 and those from `next` on, and starts the sum of a
    /// record with its AAD.
    fn start(
        &self,
        state: &State,
        next: u32,
        len: usize,
        keystream: &mut Keystream<KEYSTREAM>,
        aad: &[u8],
        text_len: usize,
    ) -> E::Sum {
        self.engine.start(state, next, len, &mut keystream.0);
        let mut sum = Poly1305::new(keystream.0.split_at(BLOCK).0);
        sum.padded(aad);
        self.engine.begin(sum, text_len)
    }

    // Functions of their own, so that what they leave lies below the caller's frame.
    #[inline(never)]
    fn seal_few(&self, iv: &Iv, record: &mut SealRecord<'_>) {
        let state = State::new(&self.key.0, &iv.nonce(record.sequence));
        let aad = record.aad;
        let (text, tag) = gather(record);
        tag.copy_from_slice(&self.engine.few::<true>(&state, aad, text));
    }

    #[inline(never)]
    fn open_few(&self, iv: &Iv, record: &mut OpenRecord<'_>) -> Verdict {
        let state = State::new(&self.key.0, &iv.nonce(record.sequence));
        let (text, tag) = split_tag::<Self>(record.in_out);
        let mut expected = self.engine.few::<false>(&state, record.aad, text);
        Verdict::from(verify::tag::<16>(&mut expected, tag))
    }

    #[inline(never)]
    fn seal_under(keystream: &Part<'_>, engine: E, record: &mut SealRecord<'_>) {
        let aad = record.aad;
        let (text, tag) = gather(record);
        tag.copy_from_slice(&engine.under::<true>(keystream.0, aad, text));
    }

    #[inline(never)]
    fn open_under(keystream: &Part<'_>, engine: E, record: &mut OpenRecord<'_>) -> Verdict {
        let (text, tag) = split_tag::<Self>(record.in_out);

        let mut expected = engine.under::<false>(keystream.0, record.aad, text);
        Verdict::from(verify::tag::<16>(&mut expected, tag))
    }

    #[inline(never)]
    fn seal_many(&self, iv: &Iv, record: &mut SealRecord<'_>) {
        let mut state = State::new(&self.key.0, &iv.nonce(record.sequence));
        let payload = record.payload;
        let len = record.plaintext_len();
        let (text, tag) = record.out.split_at_mut(len);

        // Whole passes over a payload in one piece read it where it lies.
        // Nothing goes beside the start: it is short where that leaves no whole pass.
        let most = if len < E::PASS { E::START } else { E::PASS };
        let first = len.min(most - BLOCK);
        let direct = payload.as_slice().unwrap_or_default();
        let passes = direct.len().saturating_sub(first) / E::PASS;
        let direct = direct.get(..first + passes * E::PASS).unwrap_or_default();
        let gathered = if passes > 0 {
            text[..first].copy_from_slice(&direct[..first]);
            direct.len()
        } else {
            0
        };
        let (rest, trailer) = text[gathered..].split_at_mut(payload.len() - gathered);
        payload.split_at(gathered).1.copy_to(rest);
        record.trailer.write_to(trailer);

        let mut keystream = Keystream([0; KEYSTREAM]);
        let mut sum = self.start(&state, 1, BLOCK + first, &mut keystream, record.aad, len);
        state.skip(BLOCK + first);
        self.engine.xor(&mut text[..first], &keystream.0[BLOCK..]);
        let (mut at, mut added) = (first, 0);
        // What is read where it lies, then what was gathered.
        for end in [direct.len(), len - (len - first) % E::PASS] {
            if at < end {
                let (before, behind) = text.split_at_mut(at);
                let ciphertext = Ciphertext::Behind(&before[added..]);
                let to = &mut behind[..end - at];
                let text = match direct.get(at..end) {
                    Some(from) => InOut::between(from, to),
                    None => InOut::in_place(to),
                };
                self.engine.passes(&mut state, text, &mut sum, ciphertext);
                (at, added) = (end, end - E::PASS);
            }
        }
        if at < len {
            let (before, behind) = text.split_at_mut(at);
            self.engine.keystream(
                &state,
                behind.len(),
                &mut keystream.0,
                &mut sum,
                &before[added..],
            );
            self.engine.xor(behind, &keystream.0);
            added = at;
        }
        let (blocks, last) = text[added..].split_at(whole(len - added));
        self.engine.add(&mut sum, blocks);
        let mut sum = self.engine.finish(sum);
        sum.padded(last);
        tag.copy_from_slice(&sum.tag(record.aad.len(), len));
    }

    /// Opens in place whatever the tag is, and returns whether it is right.
    #[inline(never)]
    fn open_many(&self, iv: &Iv, record: &mut OpenRecord<'_>) -> Verdict {
        let mut state = State::new(&self.key.0, &iv.nonce(record.sequence));
        let (text, tag) = split_tag::<Self>(record.in_out);
        let aad = record.aad;
        let len = text.len();
        let (passes, back) = text.split_at_mut(len - len % E::PASS);
        let (blocks, last) = back.split_at(whole(back.len()));

        let mut keystream = Keystream([0; KEYSTREAM]);
        // What is made for the text's back at once, so that it need not be later on.
        let early = match BLOCK + back.len() {
            all if all <= E::START => all,
            _ => BLOCK,
        };
        // Less than 2^32: `open` refuses longer records.
        let next = 1 + (passes.len() / BLOCK) as u32;
        let mut sum = self.start(&state, next, early, &mut keystream, aad, len);
        state.skip(BLOCK);
        let text = InOut::in_place(passes);
        self.engine
            .passes(&mut state, text, &mut sum, Ciphertext::Own);
        let keystream = if early > BLOCK || back.is_empty() {
            self.engine.add(&mut sum, blocks);
            &keystream.0[BLOCK..]
        } else {
            let keystream = &mut keystream.0;
            self.engine
                .keystream(&state, back.len(), keystream, &mut sum, blocks);
            &keystream[..]
        };
        let mut sum = self.engine.finish(sum);
        sum.padded(last);
        self.engine.xor(back, keystream);
        Verdict::from(verify::tag::<16>(&mut sum.tag(aad.len(), len), tag))
    }
}

impl<E: Engine> ChaCha20Poly1305<E> {
    /// Encrypts what was decrypted: a record whose turn it is not yet.
    #[inline(never)]
    fn put_back(&self, iv: &Iv, record: &mut OpenRecord<'_>) {
        let mut state = State::new(&self.key.0, &iv.nonce(record.sequence));
        state.skip(BLOCK);
        let mut keystream = Keystream([0; KEYSTREAM]);
        let mut nothing = E::Sum::from(Poly1305::new(&[0; BLOCK]));
        let (text, _) = split_tag::<Self>(record.in_out);
        for piece in text.chunks_mut(E::PASS) {
            self.engine
                .keystream(&state, piece.len(), &mut keystream.0, &mut nothing, &[]);
            self.engine.xor(piece, &keystream.0);
            state.skip(E::PASS);
        }
    }
}

/// Puts a short record's text together in its place, and returns it with the place of the tag.
/// [`SealRecord::gather`] takes a part of the time that such a record takes, because it returns
/// an error where there is none: the caller has checked the lengths.
#[inline(always)]
fn gather<'a>(record: &'a mut SealRecord<'_>) -> (&'a mut [u8], &'a mut [u8]) {
    let (text, tag) = record.out.split_at_mut(record.out.len() - 16);
    let (payload, trailer) = text.split_at_mut(record.payload.len());
    record.payload.copy_to(payload);
    match (&mut *trailer, record.trailer.content_type) {
        ([byte], Some(content_type)) => *byte = content_type,
        _ => record.trailer.write_to(trailer),
    }
    (text, tag)
}

/// How much keystream a text of up to [`FEW`] bytes takes, with block 0.
fn keystream_of(len: usize) -> u16 {
    (blocks(len) * BLOCK) as u16
}

/// Whether a tag is right: 1 or 0, and no `bool`. Above that a register would keep what was in it
/// while tags were compared, and the next function would save it on the stack.
type Verdict = u64;

/// `len` without what fills no block of the sum.
fn whole(len: usize) -> usize {
    len - len % 16
}

impl<E: Engine> Kernel for ChaCha20Poly1305<E> {
    type Key = [u8; 32];
    const TAG_LEN: usize = 16;
    /// The counter has 32 bits, and block 0 is the authenticator's.
    const TEXT_MAX: usize = (u32::MAX as usize).saturating_sub(1).saturating_mul(BLOCK);
    const DETAIL: &'static str = E::DETAIL;
    type Token = E;

    fn depths() -> &'static Depths {
        E::depths()
    }

    fn blank(engine: E) -> Self {
        let key = Key([0; 8]);
        Self {
            engine,
            key,
            ahead: Ahead::default(),
        }
    }

    fn set_key(&mut self, key: &Self::Key) {
        wipe::copy_key(key, &mut self.key.0);
    }

    fn seal(&mut self, iv: &Iv, record: &mut SealRecord<'_>) {
        let len = record.plaintext_len();
        if len > FEW {
            self.ahead.forget();
            self.seal_many(iv, record);
            return E::depths().seal.one.wipe();
        }
        let (engine, sequence, len) = (self.engine, record.sequence, keystream_of(len));
        if let Some(part) = self.ahead.take(sequence, len) {
            Self::seal_under(&part, engine, record);
            return E::depths().seal.under.wipe();
        }
        if self.ahead.follow(engine, &self.key.0, iv, sequence, len)
            && let Some(part) = self.ahead.take(sequence, len)
        {
            Self::seal_under(&part, engine, record);
            return E::depths().seal.ahead.wipe();
        }
        self.seal_few(iv, record);
        E::depths().seal.few.wipe();
    }

    fn seal_batch(&mut self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        self.ahead.forget();
        let mut rest = records;
        while let [first, ..] = rest {
            let len = first.plaintext_len();
            let ahead = rest.iter().take(GROUP);
            let short = ahead.take_while(|record| record.plaintext_len() <= SHORT);
            let count = short.count().max(1);
            let (group, behind) = rest.split_at_mut(count);
            match group {
                [record] if len > FEW => self.seal_many(iv, record),
                [record] => self.seal_few(iv, record),
                _ => self.seal_group(iv, group),
            }
            rest = behind;
        }
        E::depths().seal.batch.wipe();
    }

    fn open(&mut self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
        let len = record.in_out.len() - Self::TAG_LEN;
        if len > FEW {
            self.ahead.forget();
            let is_right = self.open_many(iv, record) == 1;
            E::depths().open.one.wipe();
            return is_right;
        }
        let (engine, sequence, len) = (self.engine, record.sequence, keystream_of(len));
        if let Some(part) = self.ahead.take(sequence, len) {
            let is_right = Self::open_under(&part, engine, record) == 1;
            E::depths().open.under.wipe();
            return is_right;
        }
        if self.ahead.follow(engine, &self.key.0, iv, sequence, len)
            && let Some(part) = self.ahead.take(sequence, len)
        {
            let is_right = Self::open_under(&part, engine, record) == 1;
            E::depths().open.ahead.wipe();
            return is_right;
        }
        let is_right = self.open_few(iv, record) == 1;
        E::depths().open.few.wipe();
        is_right
    }

    fn open_batch(&mut self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
        self.ahead.forget();
        let mut opened = 0;
        while opened < records.len() {
            let rest = &mut records[opened..];
            let text_len = |record: &OpenRecord<'_>| record.in_out.len() - Self::TAG_LEN;
            let ahead = rest.iter().take(GROUP);
            let short = ahead.take_while(|record| text_len(record) <= SHORT);
            let count = short.count().max(1);
            let good = match &mut rest[..count] {
                [record] => {
                    let is_right = if text_len(record) > FEW {
                        self.open_many(iv, record) == 1
                    } else {
                        self.open_few(iv, record) == 1
                    };
                    if !is_right && opened > 0 {
                        self.put_back(iv, record);
                    }
                    usize::from(is_right)
                }
                group => self.open_group(iv, group),
            };
            opened += good;
            if good < count {
                break;
            }
        }
        E::depths().open.batch.wipe();
        opened
    }
}
