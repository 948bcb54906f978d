//! AES-128-CCM (NIST SP 800-38C) for TLS records, over whatever runs AES.
//!
//! CCM encrypts every block twice: in counter mode, and in a CBC-MAC where each block waits
//! for the one before. One record can thus not go faster than AES takes from end to end, and
//! its counter blocks fit into the gaps. Several records have as many chains: they run side
//! by side. [`Cipher`] does both; this file has what is around it, the same for every CPU.
//!
//! Nonces have 12 bytes, so that lengths and counters have 3 (L = 3).

mod run;

use core::array;

use crypto_api::{NONCE_LEN, OpenRecord, SealRecord};

pub(super) use run::run;

use super::depth::Depths;
use super::inout::InOut;
use super::{verify, wipe};
use crate::record::{Iv, Kernel, split_tag};

/// A block of AES.
pub(crate) type Block = [u8; 16];

/// Bytes in a block.
pub(super) const BLOCK: usize = 16;

/// How many records run side by side.
pub(crate) const SIDE: usize = 8;

/// The longest text in bytes: its length takes 3 bytes.
const TEXT_MAX: usize = (1 << 24) - 1;

/// AES-128 on one set of CPU features, with one key that is wiped when it is dropped.
pub(crate) trait Cipher: Sized + Send + Sync + 'static {
    /// The CPU features in use.
    const DETAIL: &'static str;
    /// The proof that the CPU has them.
    type Token: Copy + Send + Sync + core::fmt::Debug + 'static;

    /// How deep the frames of its operations go.
    fn depths() -> &'static Depths;

    /// A cipher without a key.
    fn blank(token: Self::Token) -> Self;

    /// Expands a key.
    fn set_key(&mut self, key: &[u8; 16]);

    /// Encrypts blocks that do not depend on each other.
    fn encrypt<const N: usize>(&self, blocks: &mut [Block; N]);

    /// Seals or opens all whole blocks of the chain's data.
    fn run<const SEAL: bool>(&self, chain: &mut Chain<'_>);

    /// Seals or opens as many blocks of each chain; those that have no data are left alone.
    fn run_side_by_side<const SEAL: bool>(&self, chains: &mut [Chain<'_>; SIDE], blocks: usize);
}

/// A record on its way.
pub(crate) struct Chain<'a> {
    /// What the CBC-MAC encrypts next.
    pub(super) pending: Block,
    /// What the next block of text is combined with.
    pub(super) stream: Block,
    /// The counter block after that.
    pub(super) counter: Block,
    /// What the CBC-MAC's last value is combined with.
    mask: Block,
    /// Whole blocks that are next.
    pub(super) data: InOut<'a>,
    /// What comes after them, and is worked on in place.
    rest: &'a mut [u8],
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        wipe::bytes(&mut self.pending);
        wipe::bytes(&mut self.stream);
        wipe::bytes(&mut self.mask);
    }
}

impl<'a> Chain<'a> {
    /// A chain without a record.
    fn idle() -> Self {
        Self::in_place(&mut [])
    }

    /// For a text that is worked on where it lies.
    fn in_place(text: &'a mut [u8]) -> Self {
        Self::new(InOut::in_place(&mut []), text)
    }

    fn new(data: InOut<'a>, rest: &'a mut [u8]) -> Self {
        let zero = [0; BLOCK];
        Self {
            pending: zero,
            stream: zero,
            counter: zero,
            mask: zero,
            data,
            rest,
        }
    }

    /// For a record whose `text` is the front of its `out`. Whole blocks go from the caller's
    /// memory to the record's at once; what is left, content type and padding, is put
    /// together in place.
    fn of_record(record: &'a mut SealRecord<'_>) -> Self {
        let (payload, text_len) = (record.payload, record.plaintext_len());
        // The caller has checked that there are as many.
        let out = record.out.get_mut(..text_len).unwrap_or_default();
        let head = payload
            .as_slice()
            .and_then(|piece| piece.get(..piece.len() - piece.len() % BLOCK))
            .unwrap_or_default();
        let (to, rest) = out.split_at_mut(head.len());
        let (_, payload) = payload.split_at(head.len());
        let (text, trailer) = rest.split_at_mut(payload.len());
        payload.copy_to(text);
        record.trailer.write_to(trailer);
        Self::new(InOut::between(head, to), rest)
    }

    /// Whole blocks that can be worked on; goes over to the rest when the data is used up.
    fn blocks(&mut self) -> usize {
        if self.data.len() < BLOCK {
            let rest = core::mem::take(&mut self.rest);
            let (whole, rest) = rest.split_at_mut(rest.len() - rest.len() % BLOCK);
            self.data = InOut::in_place(whole);
            self.rest = rest;
        }
        self.data.len() / BLOCK
    }
}

/// What a record's CBC-MAC begins with, besides its text.
struct Start<'a> {
    nonce: [u8; NONCE_LEN],
    aad: &'a [u8],
    text_len: usize,
}

impl Start<'_> {
    /// For a chain without a record.
    fn nothing() -> Self {
        Self {
            nonce: [0; NONCE_LEN],
            aad: &[],
            text_len: 0,
        }
    }

    /// A block of the nonce (appendix A.2 and A.3): flags, and the length or the counter.
    fn block(&self, flags: u8, number: usize) -> Block {
        let mut block = [0; BLOCK];
        block[0] = flags;
        block[1..=NONCE_LEN].copy_from_slice(&self.nonce);
        let number = (number as u32).to_be_bytes();
        block[BLOCK - 3..].copy_from_slice(&number[1..]);
        block
    }

    /// The first block of the CBC-MAC: how long all parts are.
    fn first_block(&self, tag_len: usize) -> Block {
        let aad_flag = if self.aad.is_empty() { 0 } else { 0x40 };
        let tag_flag = ((tag_len as u8 - 2) / 2) << 3;
        self.block(aad_flag | tag_flag | COUNTER_FLAGS, self.text_len)
    }

    /// A counter block.
    fn counter(&self, number: usize) -> Block {
        self.block(COUNTER_FLAGS, number)
    }

    /// The first block of additional data, which begins with its length, and the rest.
    fn aad_blocks(&self) -> (Block, &[u8]) {
        let mut block = [0; BLOCK];
        let len = self.aad.len();
        let prefix = match len {
            0..0xff00 => {
                block[..2].copy_from_slice(&(len as u16).to_be_bytes());
                2
            }
            0xff00..=0xffff_ffff => {
                block[..2].copy_from_slice(&[0xff, 0xfe]);
                block[2..6].copy_from_slice(&(len as u32).to_be_bytes());
                6
            }
            _ => {
                block[..2].copy_from_slice(&[0xff, 0xff]);
                block[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        let (here, rest) = self.aad.split_at(len.min(BLOCK - prefix));
        block[prefix..prefix + here.len()].copy_from_slice(here);
        (block, rest)
    }
}

/// L - 1: what the flags of a counter block are.
const COUNTER_FLAGS: u8 = 2;

/// `into ^= block`, of which there may be less.
fn xor(into: &mut Block, block: &[u8]) {
    let mut whole = [0; BLOCK];
    if let Some(front) = whole.get_mut(..block.len()) {
        front.copy_from_slice(block);
    }
    let sum = u128::from_ne_bytes(*into) ^ u128::from_ne_bytes(whole);
    *into = sum.to_ne_bytes();
}

/// Authenticates lengths and additional data of the first chains, and makes their first
/// keystream.
fn start<C: Cipher, const N: usize>(
    cipher: &C,
    tag_len: usize,
    chains: &mut [Chain<'_>; N],
    starts: &[Start<'_>],
) {
    let mut blocks = [[[0; BLOCK]; N]; 3];
    for (at, start) in starts.iter().enumerate().take(N) {
        blocks[0][at] = start.counter(0);
        blocks[1][at] = start.counter(1);
        blocks[2][at] = start.first_block(tag_len);
    }
    let [masks, streams, firsts] = &mut blocks;
    cipher.encrypt(masks);
    cipher.encrypt(streams);
    let unencrypted = *firsts;
    cipher.encrypt(firsts);
    for (at, (start, chain)) in starts.iter().zip(chains).enumerate() {
        chain.mask = masks[at];
        chain.stream = streams[at];
        chain.counter = start.counter(2);
        if start.aad.is_empty() {
            chain.pending = unencrypted[at];
            continue;
        }
        let (block, rest) = start.aad_blocks();
        chain.pending = firsts[at];
        xor(&mut chain.pending, &block);
        for block in rest.chunks(BLOCK) {
            cipher.encrypt(array::from_mut(&mut chain.pending));
            xor(&mut chain.pending, block);
        }
    }
    wipe::bytes(blocks.as_flattened_mut().as_flattened_mut());
}

/// The last part of each record, less than a block, and the tags.
fn finish<C: Cipher, const SEAL: bool, const N: usize>(
    cipher: &C,
    chains: &mut [Chain<'_>; N],
) -> [Block; N] {
    let mut tags = [[0; BLOCK]; N];
    for (tag, chain) in tags.iter_mut().zip(&*chains) {
        *tag = chain.pending;
    }
    if chains.iter().any(|chain| !chain.rest.is_empty()) {
        let mut next = tags;
        cipher.encrypt(&mut next);
        for ((tag, next), chain) in tags.iter_mut().zip(&next).zip(&mut *chains) {
            if chain.rest.is_empty() {
                continue;
            }
            *tag = *next;
            if SEAL {
                xor(tag, chain.rest);
            }
            for (byte, stream) in chain.rest.iter_mut().zip(&chain.stream) {
                *byte ^= stream;
            }
            if !SEAL {
                xor(tag, chain.rest);
            }
        }
        wipe::bytes(next.as_flattened_mut());
    }
    cipher.encrypt(&mut tags);
    for (tag, chain) in tags.iter_mut().zip(chains) {
        xor(tag, &chain.mask);
    }
    tags
}

/// Takes one chain from its start to its tag.
fn one<C: Cipher, const SEAL: bool>(
    cipher: &C,
    tag_len: usize,
    chain: Chain<'_>,
    begin: Start<'_>,
) -> Block {
    let mut chain = [chain];
    start(cipher, tag_len, &mut chain, &[begin]);
    let [only] = &mut chain;
    while only.blocks() > 0 {
        cipher.run::<SEAL>(only);
    }
    let [tag] = finish::<C, SEAL, 1>(cipher, &mut chain);
    tag
}

/// AES-128-CCM with tags of `TAG_LEN` bytes.
pub(crate) struct Ccm<C, const TAG_LEN: usize>(C);

impl<C: Cipher, const TAG_LEN: usize> Ccm<C, TAG_LEN> {
    // Functions of their own, so that what they leave lies below the caller's frame.
    #[inline(never)]
    fn seal_one(&self, iv: &Iv, record: &mut SealRecord<'_>) {
        let begin = Start {
            nonce: iv.nonce(record.sequence),
            aad: record.aad,
            text_len: record.plaintext_len(),
        };
        let chain = Chain::of_record(record);
        let sealed = one::<C, true>(&self.0, TAG_LEN, chain, begin);
        write_tag::<TAG_LEN>(record, &sealed);
    }

    #[inline(never)]
    fn seal_group(&self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        let starts: [Start<'_>; SIDE] = array::from_fn(|at| match records.get(at) {
            Some(record) => Start {
                nonce: iv.nonce(record.sequence),
                aad: record.aad,
                text_len: record.plaintext_len(),
            },
            None => Start::nothing(),
        });
        let starts = starts.get(..records.len()).unwrap_or_default();
        let mut own = records.iter_mut();
        let chains = array::from_fn(|_| match own.next() {
            Some(record) => Chain::of_record(record),
            None => Chain::idle(),
        });
        let tags = self.side_by_side::<true>(chains, starts);
        for (record, tag) in records.iter_mut().zip(&tags) {
            write_tag::<TAG_LEN>(record, tag);
        }
    }

    /// Opens the records, all of them, and returns what their tags should be.
    #[inline(never)]
    fn open_group(&self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> [Block; SIDE] {
        let starts: [Start<'_>; SIDE] = array::from_fn(|at| match records.get(at) {
            Some(record) => Start {
                nonce: iv.nonce(record.sequence),
                aad: record.aad,
                text_len: record.in_out.len() - TAG_LEN,
            },
            None => Start::nothing(),
        });
        let starts = starts.get(..records.len()).unwrap_or_default();
        let mut own = records.iter_mut();
        let chains = array::from_fn(|_| match own.next() {
            Some(record) => Chain::in_place(split_tag::<Self>(record.in_out).0),
            None => Chain::idle(),
        });
        self.side_by_side::<false>(chains, starts)
    }

    #[inline(always)]
    fn side_by_side<const SEAL: bool>(
        &self,
        mut chains: [Chain<'_>; SIDE],
        starts: &[Start<'_>],
    ) -> [Block; SIDE] {
        start(&self.0, TAG_LEN, &mut chains, starts);
        loop {
            let mut least = usize::MAX;
            let mut with_blocks = 0;
            for chain in &mut chains {
                let blocks = chain.blocks();
                if blocks > 0 {
                    least = least.min(blocks);
                    with_blocks += 1;
                }
            }
            match with_blocks {
                0 => break,
                1 => {
                    for chain in &mut chains {
                        self.0.run::<SEAL>(chain);
                    }
                }
                _ => self.0.run_side_by_side::<SEAL>(&mut chains, least),
            }
        }
        finish::<C, SEAL, SIDE>(&self.0, &mut chains)
    }

    /// Opens a record, and returns whether its tag is right.
    #[inline(never)]
    fn open_one(&self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
        let (text, tag) = split_tag::<Self>(record.in_out);
        let begin = Start {
            nonce: iv.nonce(record.sequence),
            aad: record.aad,
            text_len: text.len(),
        };
        let mut expected = one::<C, false>(&self.0, TAG_LEN, Chain::in_place(text), begin);
        verify::tag::<TAG_LEN>(&mut expected, tag)
    }

    /// Opens up to [`SIDE`] records, and returns how many have the right tag before one that
    /// has not. The others are put back, but the first of all, if `is_first` says so: that is
    /// not theirs to decide.
    #[inline(never)]
    fn open_some(&self, iv: &Iv, records: &mut [OpenRecord<'_>], is_first: bool) -> usize {
        if let [record] = records {
            let is_right = self.open_one(iv, record);
            if !is_right && !is_first {
                self.put_back(iv, record);
            }
            return usize::from(is_right);
        }
        let mut tags = self.open_group(iv, records);
        let mut good = 0;
        for (record, expected) in records.iter_mut().zip(&mut tags) {
            let (_, tag) = split_tag::<Self>(record.in_out);
            if !verify::tag::<TAG_LEN>(expected, tag) {
                break;
            }
            good += 1;
        }
        // A forger would have use for those that were not compared.
        wipe::bytes(tags.as_flattened_mut());
        for record in records.iter_mut().skip(good.max(usize::from(is_first))) {
            self.put_back(iv, record);
        }
        good
    }

    /// Encrypts what was decrypted: a record whose turn it is not yet.
    #[inline(never)]
    fn put_back(&self, iv: &Iv, record: &mut OpenRecord<'_>) {
        let (text, _) = split_tag::<Self>(record.in_out);
        let begin = Start {
            nonce: iv.nonce(record.sequence),
            aad: &[],
            text_len: text.len(),
        };
        let mut tag = one::<C, true>(&self.0, TAG_LEN, Chain::in_place(text), begin);
        wipe::bytes(&mut tag);
    }
}

/// Puts the first bytes of `tag` at the end of the record.
fn write_tag<const TAG_LEN: usize>(record: &mut SealRecord<'_>, tag: &Block) {
    if let (Some(to), Some(tag)) = (record.out.last_chunk_mut(), tag.first_chunk::<TAG_LEN>()) {
        *to = *tag;
    }
}

impl<C: Cipher, const TAG_LEN: usize> Kernel for Ccm<C, TAG_LEN> {
    type Key = [u8; 16];
    const TAG_LEN: usize = TAG_LEN;
    const TEXT_MAX: usize = TEXT_MAX;
    const DETAIL: &'static str = C::DETAIL;
    type Token = C::Token;

    fn depths() -> &'static Depths {
        C::depths()
    }

    fn blank(token: Self::Token) -> Self {
        Self(C::blank(token))
    }

    fn set_key(&mut self, key: &Self::Key) {
        self.0.set_key(key);
        C::depths().key.wipe();
    }

    fn seal(&mut self, iv: &Iv, record: &mut SealRecord<'_>) {
        self.seal_one(iv, record);
        C::depths().seal.one.wipe();
    }

    fn seal_batch(&mut self, iv: &Iv, records: &mut [SealRecord<'_>]) {
        for group in records.chunks_mut(SIDE) {
            match group {
                [record] => self.seal_one(iv, record),
                _ => self.seal_group(iv, group),
            }
        }
        C::depths().seal.batch.wipe();
    }

    fn open(&mut self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
        let is_right = self.open_one(iv, record);
        C::depths().open.one.wipe();
        is_right
    }

    fn open_batch(&mut self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
        let mut opened = 0;
        for group in records.chunks_mut(SIDE) {
            let good = self.open_some(iv, group, opened == 0);
            opened += good;
            if good < group.len() {
                break;
            }
        }
        C::depths().open.batch.wipe();
        opened
    }
}
