//! Counters of the bulk of a record, for either kind of it.

macro_rules! counter {
    ($features:literal) => {
        /// Counters of whole strides, in the order of bytes that AES takes.
        struct Counter {
            /// Those of the next vector's lanes.
            next: V,
            /// The last byte of the first.
            number: u8,
        }

        impl Counter {
            /// A stride's, after the first round key. Only where one, or a lane of the next
            /// vector, carries beyond its last byte are they put into the order of numbers and
            /// back.
            #[inline]
            #[target_feature(enable = $features)]
            fn stride<const N: usize>(&mut self, key: V) -> [V; N] {
                let mut blocks = [key; N];
                let count = N * LANES;
                if usize::from(self.number) + count + LANES <= 256 {
                    for (at, block) in blocks.iter_mut().enumerate() {
                        *block = xor(key, add_last(self.next, (at * LANES) as i32));
                    }
                    self.next = add_last(self.next, count as i32);
                } else {
                    let mut number = reverse(self.next);
                    for block in &mut blocks {
                        *block = xor(key, reverse(number));
                        number = add_counter(number, LANES as i32);
                    }
                    self.next = reverse(number);
                }
                self.number = self.number.wrapping_add(count as u8);
                blocks
            }
        }
    };
}
