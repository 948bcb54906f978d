//! What NIST and the IETF have published for nonces of 12 bytes, on every kernel.
//!
//! Of the examples in SP 800-38C one has such a nonce, with a tag of 8 bytes; those of
//! RFC 3610 have 13. AES-CCM with longer tags has Wycheproof's vectors.

use crypto_api::{CipherSuite, Payload, Trailer};

use crate::Secrets;

struct Vector {
    source: &'static str,
    suite: CipherSuite,
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    text: &'static str,
    ciphertext: &'static str,
    tag: &'static str,
}

/// D. McGrew and J. Viega, "The Galois/Counter Mode of Operation (GCM)", the specification
/// that SP 800-38D took over: appendix B, the test cases whose IV has 96 bits.
const GCM_KEY: &str = "feffe9928665731c6d6a8f9467308308";
const GCM_KEY_256: &str = "feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f9467308308";
const GCM_IV: &str = "cafebabefacedbaddecaf888";
const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const ZERO: &str = "00000000000000000000000000000000";
const ZERO_256: &str = "00000000000000000000000000000000 00000000000000000000000000000000";
const ZERO_IV: &str = "000000000000000000000000";
/// The text of test case 4, and what is behind it in test case 3.
const GCM_TEXT: [&str; 2] = [
    "d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72
     1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b39",
    "d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72
     1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b391aafd255",
];

const VECTORS: [Vector; 11] = [
    Vector {
        source: "GCM, test case 1",
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        key: ZERO,
        nonce: ZERO_IV,
        aad: "",
        text: "",
        ciphertext: "",
        tag: "58e2fccefa7e3061367f1d57a4e7455a",
    },
    Vector {
        source: "GCM, test case 2",
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        key: ZERO,
        nonce: ZERO_IV,
        aad: "",
        text: ZERO,
        ciphertext: "0388dace60b6a392f328c2b971b2fe78",
        tag: "ab6e47d42cec13bdf53a67b21257bddf",
    },
    Vector {
        source: "GCM, test case 3",
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        key: GCM_KEY,
        nonce: GCM_IV,
        aad: "",
        text: GCM_TEXT[1],
        ciphertext: "42831ec2217774244b7221b784d0d49c e3aa212f2c02a4e035c17e2329aca12e
            21d514b25466931c7d8f6a5aac84aa05 1ba30b396a0aac973d58e091473f5985",
        tag: "4d5c2af327cd64a62cf35abd2ba6fab4",
    },
    Vector {
        source: "GCM, test case 4",
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        key: GCM_KEY,
        nonce: GCM_IV,
        aad: GCM_AAD,
        text: GCM_TEXT[0],
        ciphertext: "42831ec2217774244b7221b784d0d49c e3aa212f2c02a4e035c17e2329aca12e
            21d514b25466931c7d8f6a5aac84aa05 1ba30b396a0aac973d58e091",
        tag: "5bc94fbc3221a5db94fae95ae7121a47",
    },
    Vector {
        source: "GCM, test case 13",
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        key: ZERO_256,
        nonce: ZERO_IV,
        aad: "",
        text: "",
        ciphertext: "",
        tag: "530f8afbc74536b9a963b4f1c4cb738b",
    },
    Vector {
        source: "GCM, test case 14",
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        key: ZERO_256,
        nonce: ZERO_IV,
        aad: "",
        text: ZERO,
        ciphertext: "cea7403d4d606b6e074ec5d3baf39d18",
        tag: "d0d1c8a799996bf0265b98b5d48ab919",
    },
    Vector {
        source: "GCM, test case 15",
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        key: GCM_KEY_256,
        nonce: GCM_IV,
        aad: "",
        text: GCM_TEXT[1],
        ciphertext: "522dc1f099567d07f47f37a32a84427d 643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838 c5f61e6393ba7a0abcc9f662898015ad",
        tag: "b094dac5d93471bdec1a502270e3cc6c",
    },
    Vector {
        source: "GCM, test case 16",
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        key: GCM_KEY_256,
        nonce: GCM_IV,
        aad: GCM_AAD,
        text: GCM_TEXT[0],
        ciphertext: "522dc1f099567d07f47f37a32a84427d 643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838 c5f61e6393ba7a0abcc9f662",
        tag: "76fc6ece0f4e1768cddf8853bb2d551b",
    },
    Vector {
        source: "NIST SP 800-38C, example 3",
        suite: CipherSuite::TLS_AES_128_CCM_8_SHA256,
        key: "404142434445464748494a4b4c4d4e4f",
        nonce: "101112131415161718191a1b",
        aad: "000102030405060708090a0b0c0d0e0f10111213",
        text: "202122232425262728292a2b2c2d2e2f3031323334353637",
        ciphertext: "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5",
        tag: "484392fbc1b09951",
    },
    Vector {
        source: "RFC 8439, section 2.8.2",
        suite: CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        key: "808182838485868788898a8b8c8d8e8f 909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        aad: "50515253c0c1c2c3c4c5c6c7",
        // "Ladies and Gentlemen of the class of '99: ..."
        text: "4c616469657320616e642047656e746c 656d656e206f662074686520636c6173
            73206f66202739393a20496620492063 6f756c64206f6666657220796f75206f
            6e6c79206f6e652074697020666f7220 746865206675747572652c2073756e73
            637265656e20776f756c642062652069 742e",
        ciphertext: "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6
            3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36
            92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
            3ff4def08e4b7a9de576d26586cec64b 6116",
        tag: "1ae10b594f09e26a7e902ecbd0600691",
    },
    Vector {
        source: "RFC 8439, appendix A.5",
        suite: CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        key: "1c9240a5eb55d38af333888604f6b5f0 473917c1402b80099dca5cbc207075c0",
        nonce: "000000000102030405060708",
        aad: "f33388860000000000004e91",
        // "Internet-Drafts are draft documents ..."
        text: "496e7465726e65742d44726166747320 61726520647261667420646f63756d65
            6e74732076616c696420666f72206120 6d6178696d756d206f6620736978206d
            6f6e74687320616e64206d6179206265 20757064617465642c207265706c6163
            65642c206f72206f62736f6c65746564 206279206f7468657220646f63756d65
            6e747320617420616e792074696d652e 20497420697320696e617070726f7072
            6961746520746f2075736520496e7465 726e65742d4472616674732061732072
            65666572656e6365206d617465726961 6c206f7220746f206369746520746865
            6d206f74686572207468616e20617320 2fe2809c776f726b20696e2070726f67
            726573732e2fe2809d",
        ciphertext: "64a0861575861af460f062c79be643bd 5e805cfd345cf389f108670ac76c8cb2
            4c6cfc18755d43eea09ee94e382d26b0 bdb7b73c321b0100d4f03b7f355894cf
            332f830e710b97ce98c8a84abd0b9481 14ad176e008d33bd60f982b1ff37c855
            9797a06ef4f0ef61c186324e2b350638 3606907b6a7c02b0f9f6157b53c867e4
            b9166c767b804d46a59b5216cde7a4e9 9040c5a40433225ee282a1b0a06c523e
            af4534d7f83fa1155b0047718cbc546a 0d072b04b3564eea1b422273f548271a
            0bb2316053fa76991955ebd63159434e cebb4e466dae5a1073a6727627097a10
            49e617d91d361094fa68f0ff77987130 305beaba2eda04df997b714d6c6f2c29
            a6ad5cb4022b02709b",
        tag: "eead9d67890cbb22392336fea1851f38",
    },
];

/// The bytes that hexadecimal digits stand for, whatever stands between them.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "{hex}");
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

#[test]
fn vectors_of_nist_and_the_ietf() {
    for kernel in backend_aesni::kernels_unchecked() {
        let aead = &*kernel.aead;
        let by = aead.implementation();
        let mut count = 0;
        for vector in VECTORS.iter().filter(|vector| vector.suite == kernel.id) {
            let source = vector.source;
            let secrets = Secrets {
                key: bytes(vector.key),
                iv: bytes(vector.nonce).try_into().unwrap(),
            };
            let (aad, text) = (bytes(vector.aad), bytes(vector.text));
            let expected = [bytes(vector.ciphertext), bytes(vector.tag)].concat();
            // In one piece, and in two.
            let (front, back) = text.split_at(text.len() / 3);
            let whole: [&[u8]; 1] = [&text];
            for pieces in [&whole[..], &[front, back]] {
                let payload = Payload::from_slices(pieces);
                let sealed = secrets.seal(aead, 0, &aad, payload, Trailer::default());
                assert_eq!(sealed, expected, "{by}: {source}");
            }
            let opened = secrets.open(aead, 0, &aad, &expected);
            assert_eq!(opened, Ok(text), "{by}: {source}");
            count += 1;
        }
        println!("{}, {by}: {count} vectors", kernel.id);
        assert!(count > 0 || kernel.id == CipherSuite::TLS_AES_128_CCM_SHA256);
    }
}
