//! From the slices of a vectored write to the payload that is sealed.

use std::io::IoSlice;

use crypto_api::Payload;

/// How many slices of one call are taken; the caller writes the rest again.
const MOST: usize = 32;

/// Space on the stack for [`payload`].
pub(crate) fn space<'a>() -> [&'a [u8]; MOST] {
    [&[]; MOST]
}

/// The first slices that are not empty, as one payload.
pub(crate) fn payload<'a>(from: &'a [IoSlice<'_>], space: &'a mut [&'a [u8]; MOST]) -> Payload<'a> {
    let filled = from.iter().filter(|slice| !slice.is_empty());
    let used = space
        .iter_mut()
        .zip(filled)
        .map(|(place, slice)| *place = slice)
        .count();
    Payload::from_slices(space.get(..used).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_slices_take_no_space() {
        let mut from = vec![IoSlice::new(&[]); 2 * MOST];
        from.push(IoSlice::new(b"a"));
        from.extend(vec![IoSlice::new(b"bc"); 2 * MOST]);
        let mut space = space();
        let payload = payload(&from, &mut space);
        assert_eq!(payload.len(), 1 + 2 * (MOST - 1));
        assert_eq!(payload.iter().next(), Some(&b"a"[..]));
    }
}
