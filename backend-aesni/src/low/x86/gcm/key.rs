//! A key: its tables, and the kernel that a record sees.

macro_rules! key {
    (
        features: $features:literal, token: $token:ident, detail: $detail:literal,
        powers: $powers:expr $(, with: $more:ident)?
    ) => {
        /// Bytes in a stride.
        const STRIDE: usize = VECTORS * BYTES;

        /// Powers of the hash key in the table: one more than the blocks of the longest last part,
        /// because the lengths follow it. That is a block longer than the longest stride: a
        /// record of whole strides has a byte more, its content type.
        const POWERS: usize = $powers;
        /// Pairs of vectors in a stride.
        const PAIRS: usize = VECTORS / 2;
        /// Blocks of folded powers: one vector for each pair of a stride.
        const SUMS: usize = PAIRS * LANES;
        /// Bytes of them.
        const FOLDED: usize = STRIDE / 2;
        pub(crate) struct Aes128Gcm(Key<11>, cpu::$token);
        pub(crate) struct Aes256Gcm(Key<15>, cpu::$token);

        /// An expanded key. What makes long records faster, if anything does, is there from the
        /// first of them on: a connection without any is spared the memory.
        struct Key<const R: usize> {
            table: Table<R, POWERS, SUMS>,
            $($more: Option<Box<More>>,)?
        }

        macro_rules! algorithm {
            ($name:ident, $key_len:literal, $rounds:literal, $expand:ident) => {

                impl Kernel for $name {
                    type Key = [u8; $key_len];
                    const TAG_LEN: usize = 16;
                    const TEXT_MAX: usize = crate::low::GCM_TEXT_MAX;
                    const DETAIL: &'static str = $detail;
                    type Token = cpu::$token;

                    fn depths() -> &'static Depths {
                        static DEPTHS: Depths = Depths::unknown();
                        &DEPTHS
                    }

                    fn blank(token: Self::Token) -> Self {
                        let table = Table {
                            round_keys: [[0; 16]; $rounds],
                            powers: [[0; 16]; POWERS],
                            sums: [[0; 16]; SUMS],
                        };
                        Self(Key { table, $($more: None,)? }, token)
                    }

                    fn set_key(&mut self, key: &Self::Key) {
                        // SAFETY: the token proves the features.
                        unsafe { aes::$expand(key, &mut self.0.table.round_keys) };
                        // SAFETY: as above.
                        unsafe { powers(&mut self.0.table) };
                        Self::depths().key.wipe();
                    }

                    fn seal(&mut self, iv: &Iv, record: &mut SealRecord<'_>) {
                        // SAFETY: the token proves the features.
                        unsafe { seal(&mut self.0, iv, record) };
                        Self::depths().seal.one.wipe();
                    }

                    fn seal_batch(&mut self, iv: &Iv, records: &mut [SealRecord<'_>]) {
                        // Less deep.
                        if let [record] = records {
                            return self.seal(iv, record);
                        }
                        // SAFETY: the token proves the features.
                        unsafe { seal_all(&mut self.0, iv, records) };
                        Self::depths().seal.batch.wipe();
                    }

                    fn open(&mut self, iv: &Iv, record: &mut OpenRecord<'_>) -> bool {
                        // SAFETY: the token proves the features.
                        let is_right = unsafe { open::<Self, _>(&mut self.0, iv, record) };
                        Self::depths().open.one.wipe();
                        is_right
                    }

                    fn open_batch(&mut self, iv: &Iv, records: &mut [OpenRecord<'_>]) -> usize {
                        if let [record] = records {
                            return usize::from(self.open(iv, record));
                        }
                        // SAFETY: the token proves the features.
                        let opened = unsafe { open_all::<Self, _>(&mut self.0, iv, records) };
                        Self::depths().open.batch.wipe();
                        opened
                    }
                }
            };
        }
        algorithm!(Aes128Gcm, 16, 11, expand128);
        algorithm!(Aes256Gcm, 32, 15, expand256);
    };
}
