//! GHASH: products, their reduction, and the powers of the hash key.

macro_rules! hash {
    ($features:literal) => {
        /// An unreduced product: its low, middle and high parts, which overlap by half.
        #[derive(Clone, Copy)]
        struct Product {
            low: V,
            mid: V,
            high: V,
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn nothing() -> Product {
            Product {
                low: zero(),
                mid: zero(),
                high: zero(),
            }
        }

        /// Adds `a * b`, lane by lane.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_product(sum: Product, a: V, b: V) -> Product {
            Product {
                low: xor(sum.low, clmul::<0x00>(a, b)),
                mid: xor3(sum.mid, clmul::<0x01>(a, b), clmul::<0x10>(a, b)),
                high: xor(sum.high, clmul::<0x11>(a, b)),
            }
        }

        /// Reduces modulo the polynomial, lane by lane: each folding multiplies the low 64 bits
        /// by the polynomial's upper part.
        #[inline]
        #[target_feature(enable = $features)]
        fn reduce(sum: Product) -> V {
            let poly = low_half(0xc200_0000_0000_0000_u64 as i64);
            let mid = xor3(sum.mid, swap_halves(sum.low), clmul::<0x00>(sum.low, poly));
            xor3(sum.high, swap_halves(mid), clmul::<0x00>(mid, poly))
        }

        /// A product of two blocks, reduced: in the narrowest registers, since CPUs take a
        /// product in wider ones to pieces.
        #[inline]
        #[target_feature(enable = $features)]
        fn multiply(a: __m128i, b: __m128i) -> __m128i {
            use wide128::{clmul, low_half, swap_halves, xor, xor3};

            let poly = low_half(0xc200_0000_0000_0000_u64 as i64);
            let (low, high) = (clmul::<0x00>(a, b), clmul::<0x11>(a, b));
            let mid = xor(clmul::<0x01>(a, b), clmul::<0x10>(a, b));
            let mid = xor3(mid, swap_halves(low), clmul::<0x00>(low, poly));
            xor3(high, swap_halves(mid), clmul::<0x00>(mid, poly))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt_block<const R: usize>(round_keys: &[Block; R], block: __m128i) -> __m128i {
            let mut block = _mm_xor_si128(block, wide128::load(&round_keys[0]));
            for key in &round_keys[1..R - 1] {
                block = _mm_aesenc_si128(block, wide128::load(key));
            }
            _mm_aesenclast_si128(block, wide128::load(&round_keys[R - 1]))
        }

        /// Fills in the powers of the hash key.
        // Not into a caller's frame, below which traces are wiped.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn powers<const R: usize>(table: &mut Table<R, POWERS, SUMS>) {
            let h = encrypt_block(&table.round_keys, _mm_setzero_si128());
            let h = wide128::reverse(h);
            // Times x: shifted by one, and reduced if a bit was lost.
            let lost = _mm_shuffle_epi32::<0xff>(_mm_srai_epi32::<31>(h));
            let carry = _mm_slli_si128::<8>(_mm_srli_epi64::<63>(h));
            let poly = _mm_set_epi64x(0xc200_0000_0000_0000_u64 as i64, 1);
            let h = _mm_xor_si128(
                _mm_or_si128(_mm_slli_epi64::<1>(h), carry),
                _mm_and_si128(lost, poly),
            );
            let powers = &mut table.powers;
            wide128::store(&mut powers[POWERS - 1], h);
            double::<1>(powers);
            double::<2>(powers);
            double::<4>(powers);
            double::<8>(powers);
            double::<16>(powers);
            for (pair, out) in table.sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let first = (VECTORS - 2 * pair) * LANES;
                let [a, b] = [first, first - LANES].map(|first| load(chunk(powers, first)));
                if let Some(out) = out.as_flattened_mut().first_chunk_mut() {
                    store(out, folded([a, b]));
                }
            }
        }

        /// H^1 to H^N times H^N are H^(N+1) to H^2N, as far as there is a place for them:
        /// products that do not wait for one another.
        #[inline]
        #[target_feature(enable = $features)]
        fn double<const N: usize>(powers: &mut [Block; POWERS]) {
            if N >= POWERS {
                return;
            }
            let top = wide128::load(&powers[POWERS - N]);
            let places = N.min(POWERS - N);
            if places < LANES {
                for at in 0..places {
                    let done = at + 1;
                    let power = multiply(wide128::load(&powers[POWERS - done]), top);
                    wide128::store(&mut powers[POWERS - N - done], power);
                }
                return;
            }
            for at in 0..places / LANES {
                let done = (at + 1) * LANES;
                // Block by block, as the first were written: a load of all waits for them.
                let power = gather(core::array::from_fn(|lane| &powers[POWERS - done + lane]));
                let power = reduce(add_product(nothing(), power, splat(top)));
                store(chunk_mut(powers, N + done), power);
            }
        }

        /// Both halves of each power added: of the first vector low, of the second high.
        #[inline]
        #[target_feature(enable = $features)]
        fn folded([a, b]: [V; 2]) -> V {
            xor(low_halves(a, b), high_halves(a, b))
        }

        /// The powers for a vector whose first block is to be multiplied by H^`first`.
        #[inline(always)]
        fn chunk(powers: &[Block; POWERS], first: usize) -> &[u8; BYTES] {
            // `first` is as many as there are lanes, or 2 at least where a text of any length is
            // followed by the lengths.
            powers.as_flattened()[16 * (POWERS - first)..]
                .first_chunk()
                .expect("as many powers as lanes")
        }

        #[inline(always)]
        fn chunk_mut(powers: &mut [Block; POWERS], first: usize) -> &mut [u8; BYTES] {
            powers.as_flattened_mut()[16 * (POWERS - first)..]
                .first_chunk_mut()
                .expect("in the table")
        }
    };
}
