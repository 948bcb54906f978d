//! Powers for more than a stride, with which several strides share a reduction. Only long records
//! are worth them.

/// Bytes of text that are worth more powers.
pub(super) const LONG: usize = 4096;

macro_rules! more {
    ($features:literal, group: $group:literal) => {
        /// The most strides whose products are reduced together. Four would be 4 % faster than
        /// two, and an idle connection would hold more than four KiB after a long record.
        const GROUP: usize = $group;

        /// The powers for a stride that is not the last of its group, and what is in a table's
        /// `sums` for them.
        #[repr(C, align(64))]
        struct Powers {
            powers: [u8; STRIDE],
            sums: [u8; FOLDED],
        }

        /// The powers for the strides of a group but the last, from that before it on.
        struct More([Powers; GROUP - 1]);

        impl Drop for More {
            fn drop(&mut self) {
                for Powers { powers, sums } in &mut self.0 {
                    crate::low::wipe::bytes(powers);
                    crate::low::wipe::bytes(sums);
                }
            }
        }

        impl<const R: usize> Key<R> {
            /// Makes the powers for strides that are not the last of a group, if there are none
            /// and a text of this length is worth them.
            #[inline]
            #[target_feature(enable = $features)]
            fn prepare(&mut self, text_len: usize) {
                if text_len >= LONG && self.more.is_none() {
                    self.more = Some(more_powers(&self.table));
                    // Once in a connection.
                    crate::low::depth::wipe_all();
                }
            }

            #[inline]
            fn more(&self) -> &[Powers] {
                self.more.as_ref().map_or(&[], |more| &more.0)
            }
        }

        /// Each stride's powers are those of the next, times the highest of a stride.
        // Not inlined: it would be computed ahead for every record.
        #[cold]
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn more_powers<const R: usize>(table: &Table<R, POWERS, SUMS>) -> Box<More> {
            const NONE: Powers = Powers {
                powers: [0; STRIDE],
                sums: [0; FOLDED],
            };
            let mut more = Box::new(More([NONE; GROUP - 1]));
            let mut next: [V; VECTORS] = core::array::from_fn(|at| {
                let first = (VECTORS - at) * LANES;
                load(chunk(&table.powers, first))
            });
            let top = broadcast(&table.powers[POWERS - VECTORS * LANES]);
            for Powers { powers, sums } in &mut more.0 {
                for (power, out) in next.iter_mut().zip(powers.as_chunks_mut().0) {
                    *power = reduce(add_product(nothing(), *power, top));
                    store(out, *power);
                }
                for (pair, out) in next.as_chunks::<2>().0.iter().zip(sums.as_chunks_mut().0) {
                    store(out, folded(*pair));
                }
            }
            more
        }
    };
}
