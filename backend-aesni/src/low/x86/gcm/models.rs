//! The kernels of wide registers on registers of one block: whatever has AES-NI runs them, and
//! so does valgrind, which does not know the wide ones.

pub(crate) mod model256 {
    //! What [`super::super::vaes`] is, on registers of one block.
    kernel! {
        features: "aes,pclmulqdq,ssse3,sse4.1,avx",
        token: AesNi, wide: model::model256, detail: "a model of VAES on AVX2",
        stride: 6, tails: [1, 2, 3, 4, 5]
    }
}

pub(crate) mod model512 {
    //! What [`super::super::avx512`] is, on registers of one block.
    masked! {
        features: "aes,pclmulqdq,ssse3,sse4.1,avx",
        token: AesNi, wide: model::model512, detail: "a model of VAES on AVX-512",
        group: 2
    }
}

mod tests {
    use crypto_api::{OpenRecord, SealRecord, Trailer};

    use super::super::aesni;
    use super::{model256, model512};
    use crate::low::cpu;
    use crate::record::{Iv, Kernel, KeyBytes};

    fn seal(kernel: &mut impl Kernel, text: &[u8], trailer: Trailer) -> Vec<u8> {
        let mut out = vec![0xee; text.len() + trailer.len() + 16];
        let mut record = SealRecord {
            sequence: 0,
            aad: &[23, 3, 3, 1, 1],
            payload: text.into(),
            trailer,
            out: &mut out,
        };
        kernel.seal(&Iv::from([7; 12]), &mut record);
        out
    }

    fn agree<N: Kernel<Token = cpu::AesNi>, W: Kernel<Token = cpu::AesNi>>(cpu: cpu::AesNi) {
        let (mut narrow, mut wide) = (N::blank(cpu), W::blank(cpu));
        let bytes = &[0xa7; 32][..N::Key::LEN];
        narrow.set_key(N::Key::of(bytes).unwrap());
        wide.set_key(W::Key::of(bytes).unwrap());
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(17_000).collect();
        for len in (0..1300).chain([16_384, 16_385, 17_000]) {
            let trailer = Trailer {
                content_type: Some(23),
                padding: [0, 1, 40, 400][len % 4],
            };
            let mut sealed = seal(&mut wide, &text[..len], trailer);
            assert!(sealed == seal(&mut narrow, &text[..len], trailer), "{len}");
            let mut open = |in_out: &mut [u8]| {
                let mut record = OpenRecord {
                    sequence: 0,
                    aad: &[23, 3, 3, 1, 1],
                    in_out,
                    plaintext_len: 0,
                };
                wide.open(&Iv::from([7; 12]), &mut record)
            };
            let mut forged = sealed.clone();
            forged[len] ^= 1;
            assert!(!open(&mut forged), "{len}");
            assert!(open(&mut sealed), "{len}");
            assert!(sealed[..len] == text[..len], "{len}");
        }
    }

    #[test]
    fn several_lanes_are_as_good_as_one() {
        let Some(cpu) = cpu::AesNi::detect() else {
            println!("skipped: no AES-NI");
            return;
        };
        agree::<aesni::Aes128Gcm, model256::Aes128Gcm>(cpu);
        agree::<aesni::Aes256Gcm, model256::Aes256Gcm>(cpu);
        agree::<aesni::Aes128Gcm, model512::Aes128Gcm>(cpu);
        agree::<aesni::Aes256Gcm, model512::Aes256Gcm>(cpu);
    }

    /// The counter of blocks has 32 bits and wraps there: it does not carry into the nonce.
    /// No record is long enough for that, but the last vector's lanes may be beyond its end.
    macro_rules! counters_wrap {
        ($name:ident, $wide:ident, $token:ident) => {
            #[test]
            fn $name() {
                use crate::low::x86::{wide128, $wide::*};

                let Some(_) = cpu::$token::detect() else {
                    println!("skipped: this CPU has no such registers");
                    return;
                };
                for start in [0, 7, u32::MAX - 9, u32::MAX - 1, u32::MAX] {
                    let mut block = [0xff; 16];
                    block[12..].copy_from_slice(&start.to_be_bytes());
                    // SAFETY: the token proves the features.
                    let counters: [[[u8; 16]; LANES]; 3] = unsafe {
                        let block = splat(wide128::reverse(wide128::load(&block)));
                        let first = count_up(block);
                        let second = add_counter(first, LANES as i32);
                        let third = add_counter(second, LANES as i32);
                        [first, second, third].map(|v| {
                            split(reverse(v)).map(|block| {
                                let mut bytes = [0; 16];
                                wide128::store(&mut bytes, block);
                                bytes
                            })
                        })
                    };
                    for (counter, n) in counters.as_flattened().iter().zip(0..) {
                        block[12..].copy_from_slice(&start.wrapping_add(n).to_be_bytes());
                        assert_eq!(*counter, block, "{n} from {start}");
                    }
                }
            }
        };
    }
    counters_wrap!(counters_wrap_in_128_bits, wide128, AesNi);
    counters_wrap!(counters_wrap_in_256_bits, wide256, Vaes);
    counters_wrap!(counters_wrap_in_512_bits, wide512, Avx512);
}
