//! Nothing that depends on a key stays behind: not on the stack below whoever used a kernel,
//! not in the vector registers, and not in the memory that a dropped key has lain in.
//!
//! Each kernel does the same thing with several keys and IVs, and with the plaintexts that
//! these turn into one and the same ciphertext. Whatever then differs between the keys is the key, or was
//! computed from it: nonces, round keys, the hash key and its powers, E(J0), a Poly1305 key,
//! keystream, plaintext, intermediate sums. Tags differ too, and are public once they are
//! sent.

use std::alloc::{GlobalAlloc, Layout, System};
use std::arch::asm;
use std::cell::Cell;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;

use crypto_api::{Error, NONCE_LEN, OpenRecord, Payload, RecordAead, SealRecord, Suite, Trailer};

/// Bytes of stack that are looked at.
const DEPTH: usize = if cfg!(debug_assertions) {
    192 * 1024
} else {
    48 * 1024
};
/// What the stack is painted with.
const PAINT: u8 = 0xa5;

/// The stack below the caller's frame.
type Stack = [u8; DEPTH];

#[inline(never)]
fn paint() {
    let mut space = MaybeUninit::<Stack>::uninit();
    // SAFETY: the pointer is valid for as many bytes.
    unsafe { space.as_mut_ptr().write_bytes(PAINT, 1) };
    // SAFETY: reads nothing but a pointer, so that the bytes have to be written.
    unsafe { asm!("/* {0} */", in(reg) space.as_mut_ptr(), options(nostack, preserves_flags)) };
}

#[inline(never)]
fn look(into: &mut Stack) {
    let mut space = MaybeUninit::<Stack>::uninit();
    // SAFETY: writes nothing. As far as the compiler knows it might, so what is read next is
    // what lies there.
    unsafe { asm!("/* {0} */", in(reg) space.as_mut_ptr(), options(nostack, preserves_flags)) };
    // SAFETY: both are valid for as many bytes, and do not overlap.
    unsafe { ptr::copy_nonoverlapping(space.as_ptr(), into, 1) };
}

/// Nothing is in the vector registers that was there before.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn clear_registers() {
    #[target_feature(enable = "avx512f,avx512vl")]
    fn upper() {
        macro_rules! each {
            ($($name:tt)+) => {
                // SAFETY: writes registers that are declared to be written.
                unsafe {
                    asm!(
                        $(concat!("vpxord ", $name, ", ", $name, ", ", $name),)+
                        $(out($name) _,)+
                        options(nostack, preserves_flags),
                    )
                }
            };
        }
        each!("xmm16" "xmm17" "xmm18" "xmm19" "xmm20" "xmm21" "xmm22" "xmm23");
        each!("xmm24" "xmm25" "xmm26" "xmm27" "xmm28" "xmm29" "xmm30" "xmm31");
    }
    if is_x86_feature_detected!("avx512vl") {
        // SAFETY: the features were detected.
        unsafe { upper() };
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: declared as a call of a function is, which may write all registers.
        unsafe { asm!("vzeroall", clobber_abi("C"), options(nostack)) };
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn clear_registers() {
    macro_rules! each {
        ($($name:tt)+) => {
            // SAFETY: writes registers that are declared to be written.
            unsafe {
                asm!(
                    $(concat!("movi ", $name, ".2d, #0"),)+
                    $(out($name) _,)+
                    options(nostack, preserves_flags),
                )
            }
        };
    }
    each!("v0" "v1" "v2" "v3" "v4" "v5" "v6" "v7" "v16" "v17" "v18" "v19");
    each!("v20" "v21" "v22" "v23" "v24" "v25" "v26" "v27" "v28" "v29" "v30" "v31");
}

/// What is in the vector registers, as far as this CPU has them.
type Registers = [u8; 2048];

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn registers(into: &mut Registers) {
    macro_rules! each {
        ($instruction:literal, $step:literal, $name:literal: $($number:literal)+) => {
            // SAFETY: the features were detected, and all of it is inside.
            unsafe {
                asm!(
                    $(concat!(
                        $instruction, " [{at} + ", $step, " * ", $number, "], ", $name, $number
                    ),)+
                    at = in(reg) into.as_mut_ptr(),
                    options(nostack, preserves_flags),
                )
            }
        };
    }
    if is_x86_feature_detected!("avx512f") {
        each!("vmovdqu64", 64, "zmm":
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    } else if is_x86_feature_detected!("avx") {
        each!("vmovdqu", 32, "ymm": 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn registers(into: &mut Registers) {
    macro_rules! each {
        ($($number:literal)+) => {
            // SAFETY: all of it is inside.
            unsafe {
                asm!(
                    $(concat!("str q", $number, ", [{at}, 16 * ", $number, "]"),)+
                    at = in(reg) into.as_mut_ptr(),
                    options(nostack, preserves_flags),
                )
            }
        };
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
}

/// What is left after something was done.
struct Residue {
    registers: Box<Registers>,
    stack: Box<Stack>,
    freed: Box<Freed>,
}

/// What lay in memory when it was to be freed.
struct Freed {
    bytes: [u8; 8192],
    len: usize,
}

impl Freed {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

thread_local! {
    /// Which of four places the stack of the present case has.
    static PLACE: Cell<usize> = const { Cell::new(0) };
    /// Where this thread's freed memory is noted.
    static NOTES: Cell<*mut Freed> = const { Cell::new(ptr::null_mut()) };
}

struct Allocator;

// SAFETY: allocates and frees as the system does, and writes to what is nobody's yet.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            // What lay there before may be between the fields of a key.
            // SAFETY: allocated with that many bytes.
            unsafe { memory.write_bytes(PAINT, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let notes = NOTES.get();
        // SAFETY: null, or the notes of a `residue` that is under way in this thread.
        if let Some(notes) = unsafe { notes.as_mut() } {
            let end = notes.len + layout.size();
            assert!(end <= notes.bytes.len());
            let to = notes.bytes[notes.len..end].as_mut_ptr();
            // SAFETY: the caller owns that many bytes, and there are as many to write to.
            unsafe { ptr::copy_nonoverlapping(memory, to, layout.size()) };
            notes.len = end;
            // Never freed: what the system's allocator leaves on the stack is its own.
            return;
        }
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Does `work` on a painted stack. Frames whose contents are aligned begin where the stack lets
/// them: each case has another place than the one before.
fn residue(work: &mut dyn FnMut()) -> Residue {
    match PLACE.get() % 4 {
        0 => residue_at::<0>(work),
        1 => residue_at::<1>(work),
        2 => residue_at::<2>(work),
        _ => residue_at::<3>(work),
    }
}

/// `SHIFT` times 16 bytes further down.
#[inline(never)]
fn residue_at<const SHIFT: usize>(work: &mut dyn FnMut()) -> Residue {
    black_box(&mut [[0_u8; 16]; SHIFT]);
    let mut residue = Residue {
        registers: Box::new([0; 2048]),
        stack: Box::new([0; DEPTH]),
        freed: Box::new(Freed {
            bytes: [0; 8192],
            len: 0,
        }),
    };
    paint();
    NOTES.set(&raw mut *residue.freed);
    clear_registers();
    work();
    registers(&mut residue.registers);
    NOTES.set(ptr::null_mut());
    look(&mut residue.stack);
    let untouched = residue.stack[..DEPTH / 4].iter();
    // Large frames, this test's own among them, begin with a word in each page.
    assert!(
        untouched.filter(|byte| **byte == PAINT).count() > DEPTH / 4 - DEPTH / 128,
        "the stack went deeper than what is looked at"
    );
    residue
}

/// What is done with one key.
struct Case {
    key: Vec<u8>,
    iv: [u8; NONCE_LEN],
    /// The plaintext that becomes `CIPHERTEXT`, and the tag it gets.
    text: Vec<u8>,
    sealed: Vec<u8>,
}

const AAD: [u8; 5] = [23, 3, 3, 1, 2];
/// What the keys are made from that something is done with.
static KEYS: [[u8; 32]; 4] = [[0x1d; 32], [0x52; 32], [0xe9; 32], [0xb6; 32]];
/// Lengths of records: none, tails, some strides, and full ones.
const LENGTHS: [usize; 17] = [
    0, 1, 15, 16, 33, 40, 64, 100, 129, 177, 200, 300, 500, 1000, 1400, 5000, 16_384,
];
/// Records of a batch.
const BATCH: usize = 9;

fn soft(suite: &Suite) -> Suite {
    let provider = backend_soft::provider();
    provider
        .suite(suite.id)
        .expect("backend-soft has it")
        .clone()
}

fn record<'a>(sequence: u64, payload: Payload<'a>, out: &'a mut [u8]) -> SealRecord<'a> {
    SealRecord {
        sequence,
        aad: &AAD,
        payload,
        trailer: Trailer::default(),
        out,
    }
}

impl Case {
    fn new(aead: &dyn RecordAead, key: &[u8; 32], sequence: u64, len: usize) -> Self {
        let byte = |at: usize, by: u32| (at as u32).wrapping_mul(by).to_be_bytes()[1];
        let key: Vec<u8> = key[..aead.key_len()]
            .iter()
            .enumerate()
            .map(|(at, part)| part ^ byte(at, 0x9e37_79b1))
            .collect();
        let iv = std::array::from_fn(|at| key[at].rotate_left(3) ^ byte(at, 0x27d4_eb2f));
        let mut sealer = aead.sealer(&key, &iv).unwrap();
        let mut sealed = vec![0; len + aead.tag_len()];
        // Zeros become the keystream, and ciphertext without that is plaintext.
        let mut text = vec![0; len];
        let seal = &mut |text: &[u8]| {
            let mut record = record(sequence, text.into(), &mut sealed);
            sealer.seal(&mut record).unwrap();
            sealed.clone()
        };
        let keystream = seal(&text);
        for (at, (byte_of_text, key)) in text.iter_mut().zip(keystream).enumerate() {
            *byte_of_text = byte(at, 0x85eb_ca6b) ^ key;
        }
        let sealed = seal(&text);
        Self {
            key,
            iv,
            text,
            sealed,
        }
    }

    fn tag(&self) -> &[u8] {
        &self.sealed[self.text.len()..]
    }
}

/// Whether it may be an address, which differs with the place that the allocator gives, or a
/// counter or length of the test's own, which lies in a register that functions have to save;
/// or tells nothing.
fn is_of_the_test(word: &[u8]) -> bool {
    let number = word.try_into().map_or(0, i64::from_le_bytes);
    (1 << 32..1 << 47).contains(&number)
        || number.unsigned_abs() < 1 << 16
        || word.iter().all(|byte| [PAINT, 0].contains(byte))
}

/// The places of words that differ from key to key, and neither belong to the test nor are
/// parts of the public bytes that go with the key.
fn differences(of_keys: &[(&[u8], &[u8])]) -> Vec<usize> {
    let len = of_keys
        .iter()
        .map(|(left, _)| left.len())
        .min()
        .unwrap_or(0);
    assert!(of_keys.iter().all(|(left, _)| left.len() == len));
    let is_told = |at: &usize| {
        let words = || {
            of_keys
                .iter()
                .map(|(left, public)| (&left[*at..len.min(at + 8)], public))
        };
        let (first, _) = words().next().unwrap();
        words().all(|(word, _)| word == first)
            || words().all(|(word, _)| is_of_the_test(word))
            || words().all(|(word, public)| public.windows(word.len()).any(|own| own == word))
    };
    (0..len).step_by(8).filter(|at| !is_told(at)).collect()
}

/// Does the same with every key, and says what is left: on the stack how many bytes below,
/// and where in registers and in freed memory.
fn with_every_key(
    what: &str,
    mut work: impl FnMut(&'static [u8; 32]) -> (Residue, Vec<u8>),
) -> Vec<String> {
    PLACE.set(PLACE.get() + 1);
    // The first time, the linker and the allocator leave traces of their own.
    work(&KEYS[0]);
    let residues: Vec<_> = KEYS.iter().map(work).collect();
    let stacks: Vec<_> = residues
        .iter()
        .map(|(residue, public)| (&residue.stack[..], &public[..]))
        .collect();
    let memory: Vec<_> = residues
        .iter()
        .map(|(residue, public)| (residue.freed.bytes(), &public[..]))
        .collect();
    let registers: Vec<_> = residues
        .iter()
        .map(|(residue, public)| (&residue.registers[..], &public[..]))
        .collect();
    let mut left = Vec::new();
    let below: Vec<_> = differences(&stacks).iter().map(|at| DEPTH - at).collect();
    if !below.is_empty() {
        left.push(format!("{what}: on the stack, at {below:?} below"));
    }
    let at = differences(&registers);
    if !at.is_empty() {
        left.push(format!("{what}: in registers, at {at:?}"));
    }
    let at = differences(&memory);
    if !at.is_empty() {
        left.push(format!("{what}: in freed memory, at {at:?}"));
    }
    left
}

#[test]
fn nothing_is_left_of_a_key() {
    let mut left = Vec::new();
    for kernel in backend_aesni::kernels_unchecked() {
        let (aead, soft) = (&*kernel.aead, &*soft(&kernel).aead);
        let name = format!("{}, {}", kernel.id, aead.implementation());
        left.extend(with_every_key(&format!("{name}: setting up"), |key| {
            let case = Case::new(soft, key, 0, 0);
            let mut key = None;
            let residue = residue(&mut || key = Some(aead.sealer(&case.key, &case.iv)));
            (residue, Vec::new())
        }));
        left.extend(with_every_key(&format!("{name}: dropping"), |key| {
            let case = Case::new(soft, key, 0, 0);
            // What lay on the stack before may be between the fields.
            paint();
            let mut key = Some(aead.sealer(&case.key, &case.iv).unwrap());
            let residue = residue(&mut || drop(key.take()));
            assert!(residue.freed.len >= aead.key_len());
            (residue, Vec::new())
        }));
        for len in LENGTHS {
            left.extend(one_record(&name, aead, soft, len));
        }
        for len in [3, 100, 200, 300] {
            for before in 0..9 {
                left.extend(row(&name, aead, soft, len, before));
            }
        }
        for len in [3, 100, 1400, 5000] {
            for more in [0, 1] {
                left.extend(batch(&name, aead, soft, len, more));
                for bad in [0, 4, BATCH] {
                    left.extend(opened_batch(&name, aead, soft, [len, more], bad));
                }
            }
        }
    }
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
}

/// The test can fail: a function that leaves its key is found out.
#[test]
fn what_is_left_is_seen() {
    #[inline(never)]
    fn leave(key: &[u8]) -> Vec<u8> {
        let mut copy = [0; 64];
        copy[..key.len()].copy_from_slice(key);
        black_box(&mut copy);
        let left = key.to_vec();
        // SAFETY: reads the front of the copy.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("movdqu xmm9, [{0}]", in(reg) copy.as_ptr(), out("xmm9") _, options(nostack));
            #[cfg(target_arch = "aarch64")]
            asm!("ldr q19, [{0}]", in(reg) copy.as_ptr(), out("v19") _, options(nostack));
        }
        left
    }
    let soft = backend_soft::provider().suites.remove(0);
    let left = with_every_key("leaving", |key| {
        let case = Case::new(&*soft.aead, key, 0, 0);
        (residue(&mut || drop(leave(&case.key))), Vec::new())
    });
    assert!(
        matches!(&left[..], [stack, registers, memory] if stack.contains("stack")
            && registers.contains("registers") && memory.contains("freed")),
        "{left:?}"
    );
}

fn one_record(name: &str, aead: &dyn RecordAead, soft: &dyn RecordAead, len: usize) -> Vec<String> {
    let mut left = Vec::new();
    for cut in [0, len / 3] {
        left.extend(with_every_key(&format!("{name}: sealing {len}"), |key| {
            let case = Case::new(soft, key, 7, len);
            let mut sealer = aead.sealer(&case.key, &case.iv).unwrap();
            let (front, back) = case.text.split_at(cut);
            let pieces = [front, back];
            let payload = Payload::from_slices(if cut == 0 { &pieces[1..] } else { &pieces });
            let mut out = vec![0; case.sealed.len()];
            let mut record = record(7, payload, &mut out);
            let residue = residue(&mut || sealer.seal(&mut record).unwrap());
            assert_eq!(out, case.sealed);
            (residue, case.tag().to_vec())
        }));
    }
    left.extend(with_every_key(&format!("{name}: opening {len}"), |key| {
        let case = Case::new(soft, key, 7, len);
        let mut opener = aead.opener(&case.key, &case.iv).unwrap();
        let mut in_out = case.sealed.clone();
        let mut opened = Ok(0);
        let residue = residue(&mut || opened = opener.open(7, &AAD, &mut in_out));
        assert_eq!(opened, Ok(len));
        (residue, case.tag().to_vec())
    }));
    left.extend(with_every_key(
        &format!("{name}: a forgery of {len}"),
        |key| {
            let case = Case::new(soft, key, 7, len);
            let mut opener = aead.opener(&case.key, &case.iv).unwrap();
            // The tag that would have been right is not public.
            let mut in_out = case.sealed.clone();
            in_out[len..].fill(0x99);
            let mut opened = Ok(0);
            let residue = residue(&mut || opened = opener.open(7, &AAD, &mut in_out));
            assert_eq!(opened, Err(Error::BadTag));
            (residue, Vec::new())
        },
    ));
    left
}

/// What a record leaves behind others like it, and the key when it is dropped then, with whatever
/// it has kept for those that would have come next.
fn row(
    name: &str,
    aead: &dyn RecordAead,
    soft: &dyn RecordAead,
    len: usize,
    before: u64,
) -> Vec<String> {
    let seal = |key, only_drop: bool| {
        let mut case = Case::new(soft, key, before, len);
        let mut out = vec![0; case.sealed.len()];
        // What lay on the stack before may be between the fields.
        paint();
        let mut sealer = Some(aead.sealer(&case.key, &case.iv).unwrap());
        for sequence in 0..before {
            let mut record = record(sequence, case.text[..].into(), &mut out);
            sealer.as_mut().unwrap().seal(&mut record).unwrap();
        }
        let residue = if only_drop {
            residue(&mut || drop(sealer.take()))
        } else {
            let mut record = record(before, case.text[..].into(), &mut out);
            let residue = residue(&mut || sealer.as_mut().unwrap().seal(&mut record).unwrap());
            assert_eq!(out, case.sealed);
            residue
        };
        (residue, case.sealed.split_off(len))
    };
    let open = |key| {
        let cases: Vec<_> = (0..=before)
            .map(|sequence| Case::new(soft, key, sequence, len))
            .collect();
        let mut opener = aead.opener(&cases[0].key, &cases[0].iv).unwrap();
        let mut residues = (0..).zip(&cases).map(|(sequence, case)| {
            let mut in_out = case.sealed.clone();
            let mut opened = Ok(0);
            let residue = residue(&mut || opened = opener.open(sequence, &AAD, &mut in_out));
            assert_eq!(opened, Ok(len));
            residue
        });
        let last = residues.by_ref().last().unwrap();
        (last, cases[before as usize].tag().to_vec())
    };
    let name = format!("{name}: {len} bytes behind {before} records");
    let mut left = with_every_key(&format!("{name}: sealing"), |key| seal(key, false));
    left.extend(with_every_key(&format!("{name}: opening"), open));
    left.extend(with_every_key(&format!("{name}: dropping"), |key| {
        seal(key, true)
    }));
    left
}

/// Seals a batch, of which each record has so many bytes `more` than the one before it.
fn batch(
    name: &str,
    aead: &dyn RecordAead,
    soft: &dyn RecordAead,
    len: usize,
    more: usize,
) -> Vec<String> {
    with_every_key(
        &format!("{name}: a batch of {len}, each {more} more"),
        |key| {
            let cases: Vec<_> = (0..BATCH)
                .map(|at| Case::new(soft, key, at as u64, len + more * at))
                .collect();
            let mut sealer = aead.sealer(&cases[0].key, &cases[0].iv).unwrap();
            let mut outs: Vec<_> = cases
                .iter()
                .map(|case| vec![0; case.sealed.len()])
                .collect();
            let mut records: Vec<_> = (0..)
                .zip(&cases)
                .zip(&mut outs)
                .map(|((sequence, case), out)| record(sequence, case.text[..].into(), out))
                .collect();
            let residue = residue(&mut || sealer.seal_batch(&mut records).unwrap());
            let tags = cases.iter().flat_map(|case| case.tag().to_vec()).collect();
            (residue, tags)
        },
    )
}

/// Opens a batch, of which the record number `bad` is forged if there are as many: those behind
/// it are put back.
fn opened_batch(
    name: &str,
    aead: &dyn RecordAead,
    soft: &dyn RecordAead,
    [len, more]: [usize; 2],
    bad: usize,
) -> Vec<String> {
    let what = format!("{name}: opening a batch of {len}, each {more} more, {bad} good ones first");
    with_every_key(&what, |key| {
        let cases: Vec<_> = (0..BATCH)
            .map(|at| Case::new(soft, key, at as u64, len + more * at))
            .collect();
        let mut opener = aead.opener(&cases[0].key, &cases[0].iv).unwrap();
        let mut in_outs: Vec<_> = cases.iter().map(|case| case.sealed.clone()).collect();
        let mut public: Vec<_> = cases.iter().map(|case| case.tag().to_vec()).collect();
        if let (Some(in_out), Some(tag)) = (in_outs.get_mut(bad), public.get_mut(bad)) {
            in_out[len + more * bad..].fill(0x99);
            tag.clear();
        }
        let mut records: Vec<_> = (0..)
            .zip(&mut in_outs)
            .map(|(sequence, in_out)| OpenRecord {
                sequence,
                aad: &AAD,
                in_out,
                plaintext_len: 0,
            })
            .collect();
        let mut opened = Ok(0);
        let residue = residue(&mut || opened = opener.open_batch(&mut records));
        match bad {
            0 => assert_eq!(opened, Err(Error::BadTag)),
            _ => assert!(opened.is_ok_and(|opened| (1..=bad).contains(&opened))),
        }
        (residue, public.concat())
    })
}
