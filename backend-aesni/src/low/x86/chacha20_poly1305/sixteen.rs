//! Sixteen blocks side by side, with Poly1305 in the integer units, in registers of sixteen words:
//! those of AVX-512, and for tests a model of them.

/// A quarter of each quarter round (RFC 8439, section 2.1), the one that ends with that rotation.
macro_rules! quarter {
    ($rotate:ident, $([$a:expr, $b:expr, $c:expr]),+) => {
        $(
            $a = add($a, $b);
            $c = $rotate(xor($c, $a));
        )+
    };
}

/// Does `work` with `behind` beside it, in the way that suits its length, and adds it to `sum`.
macro_rules! beside {
    ($sum:ident, $behind:expr, |$beside:ident| $work:expr) => {
        if let Ok(bytes) = <&[u8; PAIRS]>::try_from($behind) {
            let (sum, key, power) = $sum.parts();
            let $beside = Pairs::new(sum, &key, bytes);
            let (done, beside) = $work;
            $sum.set(beside.finish(power));
            done
        } else {
            let key = $sum.key();
            let $beside = Halves::new($sum, &key, $behind);
            let (done, beside) = $work;
            beside.finish($sum);
            done
        }
    };
}

/// The same on rows of registers, in whatever order.
macro_rules! quarters {
    ($rotate:ident, $x:ident[$i:literal $j:literal $k:literal $l:literal]
        += $y:ident[$m:literal $n:literal $o:literal $p:literal]
        ^ $z:ident[$q:literal $r:literal $s:literal $t:literal]) => {
        quarter!(
            $rotate,
            [$x[$i], $y[$m], $z[$q]],
            [$x[$j], $y[$n], $z[$r]],
            [$x[$k], $y[$o], $z[$s]],
            [$x[$l], $y[$p], $z[$t]]
        );
        hold(&mut $z);
    };
}

/// A double round on sixteen states, a register for each word; `beside` goes those steps meanwhile.
macro_rules! columns_and_diagonals {
    ($a:ident, $b:ident, $c:ident, $d:ident, $beside:ident,
        [$s0:literal $s1:literal $s2:literal $s3:literal $s4:literal $s5:literal]) => {
        quarters!(rotate_16, $a[0 1 2 3] += $b[0 1 2 3] ^ $d[0 1 2 3]);
        $beside.step::<$s0>();
        quarters!(rotate_12, $c[0 1 2 3] += $d[0 1 2 3] ^ $b[0 1 2 3]);
        $beside.step::<$s1>();
        quarters!(rotate_8, $a[0 1 2 3] += $b[0 1 2 3] ^ $d[0 1 2 3]);
        $beside.step::<$s2>();
        quarters!(rotate_7, $c[0 1 2 3] += $d[0 1 2 3] ^ $b[0 1 2 3]);
        quarters!(rotate_16, $a[0 1 2 3] += $b[1 2 3 0] ^ $d[3 0 1 2]);
        $beside.step::<$s3>();
        quarters!(rotate_12, $c[2 3 0 1] += $d[3 0 1 2] ^ $b[1 2 3 0]);
        $beside.step::<$s4>();
        quarters!(rotate_8, $a[0 1 2 3] += $b[1 2 3 0] ^ $d[3 0 1 2]);
        $beside.step::<$s5>();
        quarters!(rotate_7, $c[2 3 0 1] += $d[3 0 1 2] ^ $b[1 2 3 0]);
    };
}

/// A double round on states of a register for each row; `beside` goes those steps meanwhile.
macro_rules! double_round {
    ($v:ident, $beside:ident, $($step:literal)+, $($more:literal)+) => {
        for row in &mut $v {
            let [a, b, c, d] = &mut *row;
            quarter_rounds!([*a, *b, *c, *d]);
            // Diagonals become columns. The second row is the last to be ready, so it stays.
            *a = shuffle_words::<0x93>(*a);
            *c = shuffle_words::<0x39>(*c);
            *d = shuffle_words::<0x4e>(*d);
            hold(row);
        }
        $($beside.step::<$step>();)+
        for row in &mut $v {
            let [a, b, c, d] = &mut *row;
            quarter_rounds!([*a, *b, *c, *d]);
            *a = shuffle_words::<0x39>(*a);
            *c = shuffle_words::<0x93>(*c);
            *d = shuffle_words::<0x4e>(*d);
            hold(row);
        }
        $($beside.step::<$more>();)+
    };
}

/// Makes of a row of states, whose rounds are done, words of blocks. No loop, for the compiler
/// would go through memory.
macro_rules! finish {
    ($row:ident, $start:expr, $beside:expr) => {
        let start = $start;
        $row = words([
            add($row[0], start[0]),
            add($row[1], start[1]),
            add($row[2], start[2]),
            add($row[3], start[3]),
        ]);
        hold(&mut $row);
        $beside;
    };
}

/// An [`Engine`](crate::low::chacha20_poly1305::Engine), where the vocabulary of such registers
/// is at hand.
macro_rules! engine {
    (features: $features:literal, token: $token:ty, detail: $detail:literal) => {
        use crate::low::chacha20_poly1305::{
            BLOCK, Ciphertext, Engine, FEW, KEYSTREAM, Keystream, Lanes, Poly1305, State, few,
            quarter_rounds,
        };
        use crate::low::x86::chacha20_poly1305::step::PAIRS;
        use crate::low::x86::chacha20_poly1305::twofold::{Beside, Halves, Nothing, Pairs, Twofold};
        use crate::low::depth::Depths;
        use crate::low::inout::{Chunk, InOut};
        use crate::low::x86::chacha20_poly1305::sixteen::{
            beside, columns_and_diagonals, double_round, finish, quarter, quarters,
        };

        /// Bytes of sixteen blocks.
        const PASS: usize = 16 * BLOCK;

        impl Engine for $token {
            const DETAIL: &'static str = $detail;
            const PASS: usize = PASS;
            const START: usize = 8 * BLOCK;
            const AHEAD: usize = PASS / 2;
            const BESIDE: usize = PAIRS;
            type Sum = Twofold;

            fn few<const SEAL: bool>(
                self,
                state: &State,
                aad: &[u8],
                text: &mut [u8],
            ) -> [u8; 16] {
                // SAFETY: the token proves the features.
                unsafe { seal_or_open_few::<SEAL>(state, aad, text) }
            }

            fn under<const SEAL: bool>(
                self,
                keystream: &[u8],
                aad: &[u8],
                text: &mut [u8],
            ) -> [u8; 16] {
                // SAFETY: the token proves the features.
                unsafe { seal_or_open_under::<SEAL>(keystream, aad, text) }
            }

            fn ahead(
                self,
                state: &State,
                counters: &[u32; 16],
                last: &[u32; 16],
                keystream: &mut [u8; KEYSTREAM],
            ) {
                // SAFETY: the token proves the features.
                unsafe { blocks_ahead(state, counters, last, keystream) }
            }

            fn begin(self, sum: Poly1305, len: usize) -> Twofold {
                Twofold::new(sum, len)
            }

            fn start(self, state: &State, next: u32, len: usize, keystream: &mut [u8; KEYSTREAM]) {
                // SAFETY: the token proves the features.
                unsafe { start(state, next, len, keystream) }
            }

            fn keystream(
                self,
                state: &State,
                len: usize,
                keystream: &mut [u8; KEYSTREAM],
                sum: &mut Twofold,
                behind: &[u8],
            ) {
                // SAFETY: the token proves the features.
                unsafe { make_keystream(state, len, keystream, sum, behind) }
            }

            fn passes(
                self,
                state: &mut State,
                text: InOut<'_>,
                sum: &mut Twofold,
                ciphertext: Ciphertext<'_>,
            ) {
                // SAFETY: the token proves the features.
                unsafe { passes(state, text, sum, ciphertext) }
            }

            fn blocks(
                self,
                state: &State,
                lanes: &Lanes,
                keystream: &mut [u8],
                sum: &mut Twofold,
                behind: &[u8],
            ) {
                // SAFETY: the token proves the features.
                unsafe { blocks_of_lanes(state, lanes, keystream, sum, behind) }
            }

            fn xor(self, text: &mut [u8], keystream: &[u8]) {
                // SAFETY: the token proves the features.
                unsafe { encrypt(text, keystream) }
            }

            fn add(self, sum: &mut Twofold, bytes: &[u8]) {
                // SAFETY: the token proves the features.
                unsafe { authenticate(sum, bytes) }
            }

            fn finish(self, mut sum: Twofold) -> Poly1305 {
                sum.plain().clone()
            }

            fn depths() -> &'static Depths {
                static DEPTHS: Depths = Depths::unknown();
                &DEPTHS
            }
        }

        /// Keystream of sixteen blocks: in register m of array n, block n + 4 m of those whose last
        /// row is `last`: a closure, so that each use is a function of its own, which is compiled
        /// in its place. Else what goes in and out would not stay in registers.
        #[inline]
        #[target_feature(enable = $features)]
        fn sixteen_blocks<B: Beside>(
            State(state): &State,
            last: impl FnOnce() -> [V; 4],
            mut beside: B,
        ) -> ([[V; 4]; 4], B) {
            let last = last();
            let [mut a, mut b, mut c, mut d] = [row::<0>(state), row::<4>(state), row::<8>(state), last];
            for round in 0..10 {
                beside.rounds(round);
                columns_and_diagonals!(a, b, c, d, beside, [0 1 2 3 4 5]);
            }
            finish!(a, row::<0>(state), beside.last::<0>());
            finish!(b, row::<4>(state), beside.last::<1>());
            finish!(c, row::<8>(state), beside.last::<2>());
            finish!(d, last, beside.last::<3>());
            let blocks = [
                lanes([a[0], b[0], c[0], d[0]]),
                lanes([a[1], b[1], c[1], d[1]]),
                lanes([a[2], b[2], c[2], d[2]]),
                lanes([a[3], b[3], c[3], d[3]]),
            ];
            (blocks, beside)
        }

        /// From four rows of four states to four whole states: lanes of 128 bits change places.
        #[inline]
        #[target_feature(enable = $features)]
        fn lanes([a, b, c, d]: [V; 4]) -> [V; 4] {
            let ab = shuffle_lanes::<0x44>(a, b);
            let cd = shuffle_lanes::<0x44>(c, d);
            let ab2 = shuffle_lanes::<0xee>(a, b);
            let cd2 = shuffle_lanes::<0xee>(c, d);
            [
                shuffle_lanes::<0x88>(ab, cd),
                shuffle_lanes::<0xdd>(ab, cd),
                shuffle_lanes::<0x88>(ab2, cd2),
                shuffle_lanes::<0xdd>(ab2, cd2),
            ]
        }

        /// Four words of sixteen blocks: in register n, what blocks n, n + 4, n + 8 and n + 12
        /// have.
        #[inline]
        #[target_feature(enable = $features)]
        fn words([a, b, c, d]: [V; 4]) -> [V; 4] {
            let (ab, ab2) = (low_words(a, b), high_words(a, b));
            let (cd, cd2) = (low_words(c, d), high_words(c, d));
            [
                low_pairs(ab, cd),
                high_pairs(ab, cd),
                low_pairs(ab2, cd2),
                high_pairs(ab2, cd2),
            ]
        }

        #[target_feature(enable = $features)]
        fn passes<'a>(
            state: &mut State,
            mut text: InOut<'a>,
            sum: &mut Twofold,
            ciphertext: Ciphertext<'a>,
        ) {
            match ciphertext {
                // Nothing that long pieces need is to be made.
                _ if text.len() < PASS => {}
                Ciphertext::Own => even_passes::<true>(state, text, sum, &[0; PASS]),
                Ciphertext::Behind(bytes) => match bytes.try_into() {
                    Ok(bytes) => even_passes::<false>(state, text, sum, bytes),
                    Err(_) => {
                        if let Some(chunk) = text.take() {
                            let bytes = odd_pass(state, chunk, sum, bytes);
                            even_passes::<false>(state, text, sum, bytes);
                        }
                    }
                },
            }
        }

        /// Passes beside each of which as much is authenticated: its own text, or first `behind`.
        ///
        /// A function of its own for each, in which nothing depends on lengths: anything else
        /// that is in sight takes registers from it.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn even_passes<'a, const OWN: bool>(
            state: &mut State,
            mut text: InOut<'a>,
            sum: &mut Twofold,
            mut behind: &'a [u8; PASS],
        ) {
            let (mut total, key, power) = sum.parts();
            while let Some(mut chunk) = text.take::<PASS>() {
                let bytes = if OWN { chunk.read(0) } else { behind };
                let beside = Pairs::new(total, &key, bytes);
                let (keystream, beside) = sixteen_blocks(state, || following(state), beside);
                total = beside.finish(power);
                encrypt_chunk(&mut chunk, keystream);
                if !OWN {
                    behind = chunk.into_written();
                }
                state.skip(PASS);
            }
            sum.set(total);
        }

        /// A pass beside which more or less than that is authenticated.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn odd_pass<'a>(
            state: &mut State,
            mut chunk: Chunk<'a, PASS>,
            sum: &mut Twofold,
            behind: &[u8],
        ) -> &'a [u8; PASS] {
            let key = sum.key();
            let beside = Halves::new(sum, &key, behind);
            let (keystream, beside) = sixteen_blocks(state, || following(state), beside);
            beside.finish(sum);
            encrypt_chunk(&mut chunk, keystream);
            state.skip(PASS);
            chunk.into_written()
        }

        /// The last row of a state and of the fifteen that follow it.
        #[inline]
        #[target_feature(enable = $features)]
        fn following(state: &State) -> [V; 4] {
            let lanes = words_of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
            let [counters, a, b, c] = row::<12>(&state.0);
            [add(counters, lanes), a, b, c]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn encrypt_chunk(chunk: &mut Chunk<'_, PASS>, keystream: [[V; 4]; 4]) {
            for (n, blocks) in keystream.into_iter().enumerate() {
                for (quarter, key) in blocks.into_iter().enumerate() {
                    let at = (n + 4 * quarter) * BLOCK;
                    let bytes = xor(load(chunk.read(at)), key);
                    store(chunk.write(at), bytes);
                }
            }
        }

        #[target_feature(enable = $features)]
        fn start(state: &State, next: u32, len: usize, keystream: &mut [u8; KEYSTREAM]) {
            match len.div_ceil(BLOCK) {
                0..=4 => _ = quads::<1, _>(state, next, keystream, Nothing),
                5..=8 => _ = quads::<2, _>(state, next, keystream, Nothing),
                _ => {
                    let Lanes([counters, ..]) = Lanes::starting(state, next);
                    let last = || {
                        let mut last = row::<12>(&state.0);
                        last[0] = words_of(&counters);
                        last
                    };
                    let (blocks, _) = sixteen_blocks(state, last, Nothing);
                    write(keystream, blocks);
                }
            }
        }

        #[target_feature(enable = $features)]
        fn blocks_ahead(
            state: &State,
            counters: &[u32; 16],
            last: &[u32; 16],
            keystream: &mut [u8; KEYSTREAM],
        ) {
            let last = || {
                let [_, a, b, _] = row::<12>(&state.0);
                [words_of(counters), a, b, words_of(last)]
            };
            let (blocks, _) = sixteen_blocks(state, last, Nothing);
            write(keystream, blocks);
        }

        #[target_feature(enable = $features)]
        fn make_keystream(
            state: &State,
            len: usize,
            keystream: &mut [u8; KEYSTREAM],
            sum: &mut Twofold,
            behind: &[u8],
        ) {
            match len.div_ceil(BLOCK) {
                0..=4 => beside!(sum, behind, |beside| quads::<1, _>(
                    state, 1, keystream, beside
                )),
                5..=8 => beside!(sum, behind, |beside| quads::<2, _>(
                    state, 1, keystream, beside
                )),
                _ => blocks_of_lanes(state, &Lanes::following(state), keystream, sum, behind),
            }
        }

        // Called wherever no text is at hand, so that it is compiled once, in place.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn blocks_of_lanes(
            state: &State,
            lanes: &Lanes,
            keystream: &mut [u8],
            sum: &mut Twofold,
            behind: &[u8],
        ) {
            let last = || {
                let [a, b, c, d] = &lanes.0;
                [words_of(a), words_of(b), words_of(c), words_of(d)]
            };
            let blocks = beside!(sum, behind, |beside| sixteen_blocks(state, last, beside));
            write(keystream, blocks);
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn write(keystream: &mut [u8], blocks: [[V; 4]; 4]) {
            let (chunks, _) = keystream.as_chunks_mut::<BLOCK>();
            for (n, blocks) in blocks.into_iter().enumerate() {
                for (chunk, block) in chunks.iter_mut().skip(n).step_by(4).zip(blocks) {
                    store(chunk, block);
                }
            }
        }

        #[target_feature(enable = $features)]
        fn encrypt(text: &mut [u8], keystream: &[u8]) {
            // Else plaintext would stay: what is less than a block is not used.
            assert!(text.len() <= keystream.len() / BLOCK * BLOCK);
            let (blocks, rest) = text.as_chunks_mut::<BLOCK>();
            let mut keys = keystream.as_chunks::<BLOCK>().0.iter();
            for (block, key) in blocks.iter_mut().zip(&mut keys) {
                store(block, xor(load(block), load(key)));
            }
            if let Some(key) = keys.next() {
                crate::low::chacha20_poly1305::xor(rest, key);
            }
        }

        /// Keystream of `N` times four blocks, the first and those that lie `next` blocks and more
        /// behind it: a register for each row of four states, which takes fewer instructions than
        /// sixteen blocks.
        #[inline]
        #[target_feature(enable = $features)]
        fn quads<const N: usize, B: Beside>(
            state: &State,
            next: u32,
            keystream: &mut [u8],
            mut beside: B,
        ) -> ((), B) {
            let row = |n: usize| {
                four_times([0, 1, 2, 3].map(|word| state.0[4 * n + word]))
            };
            let mut start = [[row(0), row(1), row(2), row(3)]; N];
            for (n, [.., row]) in (0..).step_by(4).zip(&mut start) {
                let [a, b, c] = [0, 1, 2].map(|more| next.wrapping_add(n + more));
                let first = if n == 0 { 0 } else { a.wrapping_sub(1) };
                *row = add(*row, fronts([first, a, b, c]));
            }

            let mut v = start;
            for round in 0..10 {
                beside.rounds(round);
                double_round!(v, beside, 0 1 2, 3 4 5);
            }
            beside.last::<0>();
            beside.last::<1>();
            beside.last::<2>();
            beside.last::<3>();

            let mut chunks = keystream.as_chunks_mut::<BLOCK>().0.iter_mut();
            for (v, start) in v.into_iter().zip(start) {
                let states = lanes([0, 1, 2, 3].map(|row| add(v[row], start[row])));
                // In this order: a state that is missing must not take a chunk away.
                for (state, chunk) in states.into_iter().zip(chunks.by_ref()) {
                    store(chunk, state);
                }
            }
            ((), beside)
        }

        #[target_feature(enable = $features)]
        fn seal_or_open_few<const SEAL: bool>(
            state: &State,
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            let mut keystream = Keystream([0; BLOCK + FEW]);
            if text.len() <= 3 * BLOCK {
                quads::<1, _>(state, 1, &mut keystream.0, Nothing);
            } else {
                quads::<2, _>(state, 1, &mut keystream.0, Nothing);
            }
            few::<SEAL>(&keystream.0, aad, text)
        }

        #[target_feature(enable = $features)]
        fn seal_or_open_under<const SEAL: bool>(
            keystream: &[u8],
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            few::<SEAL>(keystream, aad, text)
        }

        #[target_feature(enable = $features)]
        fn authenticate(sum: &mut Twofold, bytes: &[u8]) {
            let key = sum.key();
            for piece in bytes.chunks(PAIRS) {
                Halves::new(sum, &key, piece).finish(sum);
            }
        }
    };
}

pub(super) use {beside, columns_and_diagonals, double_round, engine, finish, quarter, quarters};
