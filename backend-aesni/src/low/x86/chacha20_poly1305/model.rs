//! [`super::avx512`] on arrays of words: whatever has AVX2 runs it, and so does valgrind, which
//! does not know AVX-512. All is the same but the instructions of its registers themselves.

use core::array::from_fn;

use crate::low::cpu::Avx2;

/// What stands in for the token of AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model(pub(crate) Avx2);

super::sixteen::engine! {
    features: "avx2", token: Model, detail: "a model of AVX-512"
}

/// Sixteen words.
#[derive(Clone, Copy)]
struct V([u32; 16]);

fn load(bytes: &[u8; 64]) -> V {
    let (words, _) = bytes.as_chunks();
    V(from_fn(|at| u32::from_le_bytes(words[at])))
}

fn store(bytes: &mut [u8; 64], V(words): V) {
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

fn add(V(a): V, V(b): V) -> V {
    V(from_fn(|at| a[at].wrapping_add(b[at])))
}

fn xor(V(a): V, V(b): V) -> V {
    V(from_fn(|at| a[at] ^ b[at]))
}

fn rotate_16(V(words): V) -> V {
    V(words.map(|word| word.rotate_left(16)))
}

fn rotate_12(V(words): V) -> V {
    V(words.map(|word| word.rotate_left(12)))
}

fn rotate_8(V(words): V) -> V {
    V(words.map(|word| word.rotate_left(8)))
}

fn rotate_7(V(words): V) -> V {
    V(words.map(|word| word.rotate_left(7)))
}

/// There is nothing that must not be moved.
fn hold(_: &mut [V; 4]) {}

fn row<const AT: usize>(words: &[u32; 16]) -> [V; 4] {
    [0, 1, 2, 3].map(|word| V([words[AT + word]; 16]))
}

fn words_of(words: &[u32; 16]) -> V {
    V(*words)
}

fn four_times(words: [u32; 4]) -> V {
    V(from_fn(|at| words[at % 4]))
}

fn fronts(words: [u32; 4]) -> V {
    V(from_fn(|at| if at % 4 == 0 { words[at / 4] } else { 0 }))
}

/// Which of four the bits of an immediate choose for place `at`.
fn choice(bits: i32, at: usize) -> usize {
    (bits >> (2 * at)) as usize & 3
}

fn shuffle_words<const BITS: i32>(V(words): V) -> V {
    V(from_fn(|at| words[at / 4 * 4 + choice(BITS, at % 4)]))
}

fn shuffle_lanes<const BITS: i32>(V(a): V, V(b): V) -> V {
    V(from_fn(|at| {
        let from = if at < 8 { &a } else { &b };
        from[4 * choice(BITS, at / 4) + at % 4]
    }))
}

/// Of each lane of 128 bits, two words of each.
fn interleave(V(a): V, V(b): V, words: [usize; 4]) -> V {
    V(from_fn(|at| {
        let word = words[at % 4];
        let from = if word < 4 { &a } else { &b };
        from[at / 4 * 4 + word % 4]
    }))
}

fn low_words(a: V, b: V) -> V {
    interleave(a, b, [0, 4, 1, 5])
}

fn high_words(a: V, b: V) -> V {
    interleave(a, b, [2, 6, 3, 7])
}

fn low_pairs(a: V, b: V) -> V {
    interleave(a, b, [0, 1, 4, 5])
}

fn high_pairs(a: V, b: V) -> V {
    interleave(a, b, [2, 3, 6, 7])
}

mod tests {
    use crypto_api::{OpenRecord, SealRecord, Trailer};

    use super::Model;
    use crate::low::chacha20_poly1305::ChaCha20Poly1305;
    use crate::low::cpu::Avx2;
    use crate::record::{Iv, Kernel};

    const TRAILER: Trailer = Trailer {
        content_type: Some(23),
        padding: 0,
    };

    fn seal(kernel: &mut impl Kernel, text: &[u8]) -> Vec<u8> {
        let mut out = vec![0xee; text.len() + TRAILER.len() + 16];
        let mut record = SealRecord {
            sequence: 5,
            aad: &[23, 3, 3, 1, 1],
            payload: text.into(),
            trailer: TRAILER,
            out: &mut out,
        };
        kernel.seal(&Iv::from([7; 12]), &mut record);
        out
    }

    fn open(kernel: &mut impl Kernel, in_out: &mut [u8]) -> bool {
        let mut record = OpenRecord {
            sequence: 5,
            aad: &[23, 3, 3, 1, 1],
            in_out,
            plaintext_len: 0,
        };
        kernel.open(&Iv::from([7; 12]), &mut record)
    }

    #[test]
    fn is_as_good_as_eight_lanes() {
        let Some(cpu) = Avx2::detect() else {
            println!("skipped: no AVX2");
            return;
        };
        let mut model = ChaCha20Poly1305::<Model>::blank(Model(cpu));
        let mut other = ChaCha20Poly1305::<Avx2>::blank(cpu);
        model.set_key(&[0xa7; 32]);
        other.set_key(&[0xa7; 32]);
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(17_000).collect();
        for len in (0..2200).chain([16_383, 16_384, 17_000]) {
            let mut sealed = seal(&mut model, &text[..len]);
            assert!(sealed == seal(&mut other, &text[..len]), "{len}");
            let mut forged = sealed.clone();
            forged[len] ^= 1;
            assert!(!open(&mut model, &mut forged), "{len}");
            assert!(open(&mut model, &mut sealed), "{len}");
            assert!(sealed[..len] == text[..len], "{len}");
        }
    }
}
