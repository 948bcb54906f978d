//! Hash, HMAC and HKDF.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{cut, pattern};
use crate::hex::hex;
use crate::{Digest, Error, HashAlgorithm, HashContext, HashFunctions, Hkdf, HkdfOverHmac, Secret};

/// Checks a hash function with HMAC and HKDF over it.
///
/// # Panics
/// When a check fails.
pub fn hash_functions(functions: &HashFunctions) {
    let algorithm = functions.algorithm();
    assert_eq!(functions.hmac.algorithm(), algorithm, "the hash of HMAC");
    assert_eq!(functions.hkdf.algorithm(), algorithm, "the hash of HKDF");
    pieces_do_not_matter(functions);
    contexts_are_independent(functions);
    hmac_is_built_of_the_hash(functions);
    hkdf_is_built_of_hmac(functions);
    hkdf_lengths(functions);
    if algorithm == HashAlgorithm::Sha256 {
        hkdf_published(functions);
    }
}

fn hash(functions: &HashFunctions, parts: &[&[u8]]) -> Digest {
    functions
        .hash
        .hash(parts)
        .unwrap_or_else(|error| panic!("{}: hash: {error}", hash_name(functions)))
}

fn mac(functions: &HashFunctions, key: &[u8], parts: &[&[u8]]) -> Secret {
    functions
        .hmac
        .mac(key, parts)
        .unwrap_or_else(|error| panic!("{}: {error}", hmac_name(functions)))
}

fn start(functions: &HashFunctions) -> Box<dyn HashContext> {
    functions
        .hash
        .start()
        .unwrap_or_else(|error| panic!("{}: start: {error}", hash_name(functions)))
}

fn hash_name(functions: &HashFunctions) -> String {
    let by = functions.hash.implementation();
    format!("{} from {by}", functions.algorithm())
}

fn hmac_name(functions: &HashFunctions) -> String {
    let by = functions.hmac.implementation();
    format!("HMAC-{} from {by}", functions.algorithm())
}

fn hkdf_name(functions: &HashFunctions) -> String {
    let by = functions.hkdf.implementation();
    format!("HKDF-{} from {by}", functions.algorithm())
}

fn pieces_do_not_matter(functions: &HashFunctions) {
    let name = hash_name(functions);
    let bytes = pattern(30, 70_000);
    for len in (0..=300).chain([511, 512, 513, 4095, 4096, 4097, 70_000]) {
        let message = &bytes[..len];
        let whole = hash(functions, &[message]);
        assert_eq!(
            whole.len(),
            functions.algorithm().output_len(),
            "{name}: length of the digest"
        );
        let middle = len / 2;
        for pieces in [
            cut(message, &[1, 0, 63, 2, 64, 127, 129]),
            cut(message, &[100]),
            vec![&message[..middle], &message[middle..]],
            vec![&[], message, &[]],
        ] {
            assert_eq!(
                hash(functions, &pieces),
                whole,
                "{name}: {len} bytes in {} parts",
                pieces.len()
            );
            let mut context = start(functions);
            for piece in &pieces {
                context.update(piece);
            }
            assert_eq!(
                context.digest(),
                Ok(whole),
                "{name}: {len} bytes in {} updates",
                pieces.len()
            );
        }
    }
    assert_eq!(hash(functions, &[]), hash(functions, &[b""]), "{name}");
}

fn contexts_are_independent(functions: &HashFunctions) {
    let name = hash_name(functions);
    let bytes = pattern(31, 300);
    // The digest of every prefix out of one computation, as a transcript needs it.
    let mut context = start(functions);
    let mut other = start(functions);
    for at in 0..bytes.len() {
        let expected = hash(functions, &[&bytes[..at]]);
        assert_eq!(context.digest(), Ok(expected), "{name}: after {at} bytes");
        assert_eq!(context.digest(), Ok(expected), "{name}: asked twice");
        context.update(&bytes[at..=at]);
        other.update(b"only in the other");
    }
}

fn hmac_is_built_of_the_hash(functions: &HashFunctions) {
    let name = hmac_name(functions);
    let block_len = functions.algorithm().block_len();
    let keys = pattern(32, 300);
    let message = pattern(33, 200);
    for len in 0..=keys.len() {
        let key = &keys[..len];
        // RFC 2104, section 2; a key longer than a block is hashed first.
        let mut padded = vec![0; block_len];
        if len > block_len {
            let hashed = hash(functions, &[key]);
            padded[..hashed.len()].copy_from_slice(&hashed);
        } else {
            padded[..len].copy_from_slice(key);
        }
        let inner_pad: Vec<_> = padded.iter().map(|byte| byte ^ 0x36).collect();
        let outer_pad: Vec<_> = padded.iter().map(|byte| byte ^ 0x5c).collect();
        let message = &message[..len.min(message.len())];
        let inner = hash(functions, &[&inner_pad, message]);
        let expected = Secret::new(&hash(functions, &[&outer_pad, &inner]));

        for pieces in [vec![message], cut(message, &[3, 0, 64]), vec![&[], message]] {
            assert!(
                mac(functions, key, &pieces) == expected,
                "{name}: a key of {len} bytes, a message in {} parts",
                pieces.len()
            );
        }
    }
    assert!(
        mac(functions, b"key", &[]) == mac(functions, b"key", &[b""]),
        "{name}: a message of no parts"
    );
}

fn hkdf_is_built_of_hmac(functions: &HashFunctions) {
    let name = hkdf_name(functions);
    let hash_len = functions.algorithm().output_len();
    let reference = HkdfOverHmac(functions.hmac.clone());
    let bytes = pattern(34, 400);
    for len in 0..=200 {
        let (salt, ikm) = bytes.split_at(len);
        let prk = functions
            .hkdf
            .extract(salt, ikm)
            .unwrap_or_else(|error| panic!("{name}: extract: {error}"));
        assert!(
            prk == mac(functions, salt, &[ikm]),
            "{name}: extract with a salt of {len} bytes"
        );
        let info = &bytes[..len];
        let mut expected = vec![0; 3 * len];
        reference
            .expand(&prk, &[info], &mut expected)
            .unwrap_or_else(|error| panic!("HKDF over {}: {error}", hmac_name(functions)));
        for pieces in [vec![info], cut(info, &[len / 4 + 1]), vec![&[], info, &[]]] {
            let mut okm = vec![0xa5; 3 * len];
            let outcome = functions.hkdf.expand(&prk, &pieces, &mut okm);
            assert_eq!(outcome, Ok(()), "{name}: expand");
            assert!(
                okm == expected,
                "{name}: expand to {} bytes with info in {} parts",
                3 * len,
                pieces.len()
            );
        }
    }
    let empty = functions.hkdf.extract(&[], &bytes);
    let zeros = functions.hkdf.extract(&vec![0; hash_len], &bytes);
    assert!(empty.is_ok() && empty == zeros, "{name}: an empty salt");
}

fn hkdf_lengths(functions: &HashFunctions) {
    let name = hkdf_name(functions);
    let longest = 255 * functions.algorithm().output_len();
    let prk = Secret::new(&pattern(35, functions.algorithm().output_len()));
    let mut okm = vec![0; longest];
    assert_eq!(
        functions.hkdf.expand(&prk, &[b"info"], &mut okm),
        Ok(()),
        "{name}: the longest output"
    );
    for len in [1, 31, 32, 33, longest - 1] {
        let mut prefix = vec![0; len];
        assert_eq!(
            functions.hkdf.expand(&prk, &[b"info"], &mut prefix),
            Ok(()),
            "{name}: an output of {len} bytes"
        );
        assert!(
            prefix == okm[..len],
            "{name}: {len} bytes are not the beginning of a longer output"
        );
    }
    for len in [longest + 1, 2 * longest] {
        let outcome = functions.hkdf.expand(&prk, &[b"info"], &mut vec![0; len]);
        assert!(
            matches!(outcome, Err(Error::WrongLength { .. })),
            "{name}: {len} bytes of at most {longest} give {outcome:?}"
        );
    }
}

/// RFC 5869, appendices A.1 to A.3.
fn hkdf_published(functions: &HashFunctions) {
    struct Answer {
        ikm: &'static [u8],
        salt: &'static [u8],
        info: &'static [u8],
        prk: &'static [u8],
        okm: &'static [u8],
    }
    let answers = [
        Answer {
            ikm: &[0x0b; 22],
            salt: hex!("000102030405060708090a0b0c"),
            info: hex!("f0f1f2f3f4f5f6f7f8f9"),
            prk: hex!("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"),
            okm: hex!(
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887"
                "185865"
            ),
        },
        Answer {
            ikm: hex!(
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
                "2728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d"
                "4e4f"
            ),
            salt: hex!(
                "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283848586"
                "8788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacad"
                "aeaf"
            ),
            info: hex!(
                "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6"
                "d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfd"
                "feff"
            ),
            prk: hex!("06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244"),
            okm: hex!(
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac782"
                "7271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3"
                "434f1d87"
            ),
        },
        Answer {
            ikm: &[0x0b; 22],
            salt: &[],
            info: &[],
            prk: hex!("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"),
            okm: hex!(
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b6"
                "1a96c8"
            ),
        },
    ];
    let name = hkdf_name(functions);
    for (n, answer) in (1..).zip(answers) {
        let prk = functions
            .hkdf
            .extract(answer.salt, answer.ikm)
            .unwrap_or_else(|error| panic!("{name}: RFC 5869, A.{n}: {error}"));
        assert!(prk == *answer.prk, "{name}: PRK of RFC 5869, A.{n}");
        let mut okm = vec![0; answer.okm.len()];
        let outcome = functions.hkdf.expand(&prk, &[answer.info], &mut okm);
        assert_eq!(outcome, Ok(()), "{name}: RFC 5869, A.{n}");
        assert!(okm == answer.okm, "{name}: OKM of RFC 5869, A.{n}");
    }
}
