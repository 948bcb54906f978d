//! Published answers, each with its source.

use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};

use crate::hex::{decode, hex};
use crate::{CipherSuite, HashAlgorithm, NONCE_LEN};

/// A record protected under a suite.
pub(super) struct RecordAnswer<'a> {
    pub(super) suite: CipherSuite,
    pub(super) key: &'a [u8],
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) aad: &'a [u8],
    pub(super) plaintext: &'a [u8],
    /// Ciphertext and tag.
    pub(super) sealed: &'a [u8],
}

pub(super) static RECORDS: [RecordAnswer<'static>; 5] = [
    // McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, test case 4.
    RecordAnswer {
        suite: CipherSuite::TLS_AES_128_GCM_SHA256,
        key: hex!("feffe9928665731c6d6a8f9467308308"),
        nonce: decode("cafebabefacedbaddecaf888"),
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        sealed: hex!(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a"
            "5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"
        ),
    },
    // The same, test case 16.
    RecordAnswer {
        suite: CipherSuite::TLS_AES_256_GCM_SHA384,
        key: hex!("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
        nonce: decode("cafebabefacedbaddecaf888"),
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        sealed: hex!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b"
            "1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        ),
    },
    // RFC 8439, section 2.8.2.
    RecordAnswer {
        suite: CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        key: hex!("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
        nonce: decode("070000004041424344454647"),
        aad: hex!("50515253c0c1c2c3c4c5c6c7"),
        plaintext: b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
            tip for the future, sunscreen would be it.",
        sealed: hex!(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb"
            "69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad6"
            "75945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd06006"
            "91"
        ),
    },
    // Wycheproof, aes_ccm, test 30.
    RecordAnswer {
        suite: CipherSuite::TLS_AES_128_CCM_SHA256,
        key: hex!("63f03172505d90e94900125cb8a4b0dd"),
        nonce: decode("52c20979cdaaade573dba650"),
        aad: hex!("5189ea6f39b2a78c0202fdff146c5cc6bdc7491d4786f80c6c6aef65634c05da"),
        plaintext: hex!("602c98997ee03fd11ce00e92de193977"),
        sealed: hex!("5590155f3e701b4a960989d0251bac65fd6a2c9273d124b5553be42e78931465"),
    },
    // NIST SP 800-38C, example 3.
    RecordAnswer {
        suite: CipherSuite::TLS_AES_128_CCM_8_SHA256,
        key: hex!("404142434445464748494a4b4c4d4e4f"),
        nonce: decode("101112131415161718191a1b"),
        aad: hex!("000102030405060708090a0b0c0d0e0f10111213"),
        plaintext: hex!("202122232425262728292a2b2c2d2e2f3031323334353637"),
        sealed: hex!("e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951"),
    },
];

const GCM_AAD: &[u8] = hex!("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const GCM_PLAINTEXT: &[u8] = hex!(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b5"
    "25b16aedf5aa0de657ba637b39"
);

/// What a hash function and the constructions over it give.
pub(super) struct HashAnswer {
    /// Of [`HASHED`].
    pub(super) digest: &'static [u8],
    /// Of [`MACED`] under [`MAC_KEY`].
    pub(super) mac: &'static [u8],
    pub(super) hkdf: HkdfAnswer,
}

pub(super) struct HkdfAnswer {
    pub(super) salt: &'static [u8],
    pub(super) ikm: &'static [u8],
    pub(super) info: &'static [u8],
    pub(super) okm: &'static [u8],
}

/// The message of FIPS 180-4's first examples.
pub(super) const HASHED: &[u8] = b"abc";
/// RFC 4231, test case 2.
pub(super) const MAC_KEY: &[u8] = b"Jefe";
/// RFC 4231, test case 2.
pub(super) const MACED: &[u8] = b"what do ya want for nothing?";

/// The answer of a hash function.
pub(super) fn of_hash(algorithm: HashAlgorithm) -> &'static HashAnswer {
    match algorithm {
        HashAlgorithm::Sha256 => &SHA256,
        HashAlgorithm::Sha384 => &SHA384,
        HashAlgorithm::Sha512 => &SHA512,
    }
}

static SHA256: HashAnswer = HashAnswer {
    digest: hex!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    mac: hex!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    // RFC 5869, appendix A.1.
    hkdf: HkdfAnswer {
        salt: hex!("000102030405060708090a0b0c"),
        ikm: hex!("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
        info: hex!("f0f1f2f3f4f5f6f7f8f9"),
        okm: hex!(
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        ),
    },
};

static SHA384: HashAnswer = HashAnswer {
    digest: hex!(
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134"
        "c825a7"
    ),
    mac: hex!(
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfa"
        "b21649"
    ),
    // Wycheproof, hkdf_sha384, test 12.
    hkdf: HkdfAnswer {
        salt: hex!("08bc01c053a6406c7c4a667c9b9b3894"),
        ikm: hex!("7a00817689a3d79001825a864c69c120"),
        info: hex!("967ccd75395be6e96a67759f070487c9e2107791"),
        okm: hex!(
            "bd02e16b6024f2c3b752d1c1d3047583697731915fbbb34418f479b0c9bf84a86bd8e715eca198da8f9b39"
            "b25a1229c311853f862340cdefe46ddf41dcf256d9"
        ),
    },
};

static SHA512: HashAnswer = HashAnswer {
    digest: hex!(
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3"
        "feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
    mac: hex!(
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8"
        "f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    ),
    // Wycheproof, hkdf_sha512, test 12.
    hkdf: HkdfAnswer {
        salt: hex!("08bc01c053a6406c7c4a667c9b9b3894"),
        ikm: hex!("7a00817689a3d79001825a864c69c120"),
        info: hex!("967ccd75395be6e96a67759f070487c9e2107791"),
        okm: hex!(
            "aed987bcc5ed33c4feec7b28aa9fe1c16b1181e00ff42c63cf692ec19242f6d4628604b3382db0806d5e61"
            "518f83fc651e6f3bd0a9d1322926a76869b98b75d6"
        ),
    },
};

/// A published signature.
pub(crate) struct SignatureAnswer {
    key_algorithm: AlgorithmIdentifier,
    signature_algorithm: AlgorithmIdentifier,
    pub(crate) public_key: &'static [u8],
    pub(crate) message: &'static [u8],
    pub(crate) signature: &'static [u8],
}

/// The answer of a signature algorithm, if one is known.
pub(crate) fn of_signature(
    algorithm: &dyn SignatureVerificationAlgorithm,
) -> Option<&'static SignatureAnswer> {
    SIGNATURES.iter().find(|answer| {
        // An RSA key is encoded in the same way whether or not its identifier restricts it
        // to PSS (RFC 4055, section 1.2); with ECDSA the curve is in the identifier.
        let any_key = answer.key_algorithm == alg_id::RSA_ENCRYPTION;
        answer.signature_algorithm == algorithm.signature_alg_id()
            && (any_key || answer.key_algorithm == algorithm.public_key_alg_id())
    })
}

static SIGNATURES: [SignatureAnswer; 15] = [
    SignatureAnswer {
        // RFC 6979, section A.2.5: "sample" with SHA-256.
        key_algorithm: alg_id::ECDSA_P256,
        signature_algorithm: alg_id::ECDSA_SHA256,
        public_key: hex!(
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41a"
            "e9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c"
            "942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        ),
    },
    SignatureAnswer {
        // RFC 6979, section A.2.5: "sample" with SHA-384.
        key_algorithm: alg_id::ECDSA_P256,
        signature_algorithm: alg_id::ECDSA_SHA384,
        public_key: hex!(
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41a"
            "e9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "304402200eafea039b20e9b42309fb1d89e213057cbf973dc0cfc8f129edddc800ef771902204861f0491e"
            "6998b9455193e34e7b0d284ddd7149a74b95b9261f13abde940954"
        ),
    },
    SignatureAnswer {
        // RFC 6979, section A.2.5: "sample" with SHA-512.
        key_algorithm: alg_id::ECDSA_P256,
        signature_algorithm: alg_id::ECDSA_SHA512,
        public_key: hex!(
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41a"
            "e9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "30450221008496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f0002202362ab1a"
            "dbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"
        ),
    },
    SignatureAnswer {
        // RFC 6979, section A.2.6: "sample" with SHA-256.
        key_algorithm: alg_id::ECDSA_P384,
        signature_algorithm: alg_id::ECDSA_SHA256,
        public_key: hex!(
            "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a2"
            "54515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3a"
            "e0d4fe7344fd2533264720"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "3065023021b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33bde1e888e63355"
            "d92fa2b3c36d8fb2cd023100f3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1fe"
            "ebefdc63eccd1ac42ec0cb8668a4fa0ab0"
        ),
    },
    SignatureAnswer {
        // RFC 6979, section A.2.6: "sample" with SHA-384.
        key_algorithm: alg_id::ECDSA_P384,
        signature_algorithm: alg_id::ECDSA_SHA384,
        public_key: hex!(
            "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a2"
            "54515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3a"
            "e0d4fe7344fd2533264720"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44"
            "acf96e36dd1e80fabe4602310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3"
            "a94fa329c145786e679e7b82c71a38628ac8"
        ),
    },
    SignatureAnswer {
        // RFC 6979, section A.2.6: "sample" with SHA-512.
        key_algorithm: alg_id::ECDSA_P384,
        signature_algorithm: alg_id::ECDSA_SHA512,
        public_key: hex!(
            "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a2"
            "54515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3a"
            "e0d4fe7344fd2533264720"
        ),
        message: hex!("73616d706c65"),
        signature: hex!(
            "3065023100ed0959d5880ab2d869ae7f6c2915c6d60f96507f9cb3e047c0046861da4a799cfe30f35cc900"
            "056d7c99cd78824337090230512c8cceee3890a84058ce1e22dbc2198f42323ce8aca9135329f03c068e51"
            "12dc7cc3ef3446defceb01a45c2667fdd5"
        ),
    },
    SignatureAnswer {
        // Wycheproof, ecdsa_secp521r1_sha512, test 3.
        key_algorithm: alg_id::ECDSA_P521,
        signature_algorithm: alg_id::ECDSA_SHA512,
        public_key: hex!(
            "04012a908bfc5b70e17bdfae74294994808bf2a42dab59af8b0523a026d640a2a3d6d344520b62177e2cfa"
            "339ca42fb0883ec425904fbda2833a3b5b0a9a00811365d8012333d532f8f8eb1a623c378a3694651192bb"
            "da833e3b8d7b8f90b2bfc9b045f8a55e1b6a5fe1512c400c4bc9c86fd7c699d642f5cee9bb827c8b0abc0d"
            "a01cef1e"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "3081880242014141e4d94a58c1e747cbd9ee6670a41eac3c26fb4db3248e45d583179076e6b19a8e200365"
            "7a108f91f9a103157edff9b37df2b436a77dc112927d907ac9ba258702420108afa91b34bd904c680471e9"
            "43af336fb90c5fb2b91401a58c9b1f467bf81af8049965dd8b45f12e152f4f7fd3780e3492f31ed2680d47"
            "77fbe655fe779ad897ab"
        ),
    },
    SignatureAnswer {
        // RFC 8032, section 7.1, test 3.
        key_algorithm: alg_id::ED25519,
        signature_algorithm: alg_id::ED25519,
        public_key: hex!("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
        message: hex!("af82"),
        signature: hex!(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7"
            "60984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    },
    SignatureAnswer {
        // RFC 8032, section 7.4, "1 octet".
        key_algorithm: alg_id::ED448,
        signature_algorithm: alg_id::ED448,
        public_key: hex!(
            "43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b8438e"
            "a4cb82169c235160627b4c3a9480"
        ),
        message: hex!("03"),
        signature: hex!(
            "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e18f62"
            "de8ccdf633fc1bf037ab7cd779805e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f0af7e0a6"
            "472905e799f1953d2a0ff3348ab21aa4adafd1d234441cf807c03a00"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_signature_2048_sha256, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PKCS1_SHA256,
        public_key: hex!(
            "3082010a0282010100a2b451a07d0aa5f96e455671513550514a8a5b462ebef717094fa1fee82224e637f9"
            "746d3f7cafd31878d80325b6ef5a1700f65903b469429e89d6eac8845097b5ab393189db92512ed8a7711a"
            "1253facd20f79c15e8247f3d3e42e46e48c98e254a2fe9765313a03eff8f17e1a029397a1fa26a8dce26f4"
            "90ed81299615d9814c22da610428e09c7d9658594266f5c021d0fceca08d945a12be82de4d1ece6b4c0314"
            "5b5d3495d4ed5411eb878daf05fd7afc3e09ada0f1126422f590975a1969816f48698bcbba1b4d9cae79d4"
            "60d8f9f85e7975005d9bc22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530e773066f453d1f5b4c2e9cf7"
            "820283f742b9d50203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "1758eb94588e6fc4f50c1be1afcaa41027869f304cad513b1fb12c2f446d63cdc05c4830a7e3e630da7b2d"
            "a4f7867cc173bf6420f9732277282596de41ded32e21d0cc31441174da8765f57419c7764ea758f55bc176"
            "46eb100c435d1ac0eed6fc7ba6de5f832094ee2f479979765e05ac9976788db3c241a9e32a0da864f0019a"
            "87646ba623d63f4411af5dee1be9ec488c7e3e1b231479de70b9ac5f78a17b1f4120aece45f26c07e7bb34"
            "5fdfeb05e14bcaacc614672a465fc523624cb19f66f9c6c3f642b832ca44cb25176d679f0e05606c3fed02"
            "2cac24c2bf960a406d48818e3eb7ed53b0446032469047dfed95fc18088c92d91d93722c47f88163a8"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_signature_2048_sha384, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PKCS1_SHA384,
        public_key: hex!(
            "3082010a0282010100cda6fa5ca76bfe0492ec57e0a3bfff7272dc8d1e25ad1fb338aa050f02c104e63133"
            "d6b5b7c4985ebbae9ac036a5b9c03074d60aec8e25baf392a0c430ff05b88e948805d3dd74511d8885250a"
            "7b574215ada015c559076686e253ccc96c0815b1291ee787cc3363b4f77d930eb998d7c582b24cea9ce21d"
            "e9722791989863a27ebc80a00de5bd2f9228775e5a4ceb054d58c9be36a054336971a13642dd9510dd696a"
            "a268db3aab2299d5d88f8e562434d1427094d3df8e72d1ef69b4ed34d12bac375223b2a25cf227f735f816"
            "e85e17239304769a6082154cd15899fc1eaefb69b748a3e5ed24d38372597de3e4e2a27b951d6ac7db182d"
            "6809d8ff511b7f0203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "682272b36ee1a6c7d4d73f0f3f153d8e84e2fa4ac812581fdda214a7b45d6ff7b7b3db0c89da96ce2e651f"
            "cfe25596761982799289b9fd2d69cf122e08404c9db0bdf6f8240b1545e76302a5a401ad56522e0a615815"
            "7dc1f9445f8cafc161b25423d35671d9ef714c5d33f7fc155424ab2ac34e0cc93bf2ce385721dacdc6251c"
            "7e3a5618bdffc8ef3f278477083a96de83303b9d286e64d8297ef0948b996616d34036bdee5538ca0c06fa"
            "08c72f03739fbc578814b402671f5d625dc9050d61b389d1f0a32011ac0dbb53b9c2980d315bc16e227220"
            "6a1a955ee870df725e78a7c6e9f793f5428af92c670df8e3bb0d567699714b04fede399f49fe19d0e7"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_signature_2048_sha512, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PKCS1_SHA512,
        public_key: hex!(
            "3082010a0282010100c2c4a860236d3c9096a076d6ba5107e0f7bd81e1ba916f7375724bd2b0b0b6395681"
            "3715a3457ab0458b71fb35a45b27f9ef7ac3e579dea45dfbfd07819ed6b7021aa5336c58442aadd96ca9ee"
            "9d32473e9d9278562b4d10258ade6a98fb1c7cfdc3b3716ef5dec58cf73b359f389599b4b5865a9863519e"
            "b001c324387da755450db341309360e3807c0565b8e2c44fbd5e6e8d04d006d7ee768b8e8436082a90fa0e"
            "837f32f46087ab4a0d9be28aa7da1794ceb0172a7f50ed20f6df641efbcbfd2aac89775c761a7310093c67"
            "1c977fa18b0d6e01fb25f7a432b42c65359784c689205719c1cf6e3a65dae2da434c326dde81bb6ffffbdb"
            "f6de5c16bba7490203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "9922f7bd01d7ba6b2de255b91209631af92e5537a4554b3b7a50e39f2fe9b6085a7e418084213d445794eb"
            "c19be43782d9f80df1daa7498a1c67d935ec00dac6b7a194033a14431320acd1d7f3d4c2b7b5b1649dd939"
            "31c49f538c94e34f44fdcb8dac9d31539f87e6720dc887c6605284a6a0408e244325e35917b1e1ccdf5959"
            "ca87091827c8157bdaa31239e2103ca8a112cc76a8e7e90f352fb8cb3a3381e52cedf4d4188bf881054b80"
            "387605e7041ab149cccea1ac2bb6560b45000601c33ebc31cebdd499c0b8fdafa7c1691d6dcc48edc98519"
            "d55d126a757b2a753eda4f2bf35cb191face371c9c34b2ab57242053b9ecddc91e4b621e650432adc8"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_pss_2048_sha256_mgf1_32, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PSS_SHA256,
        public_key: hex!(
            "3082010a0282010100a2b451a07d0aa5f96e455671513550514a8a5b462ebef717094fa1fee82224e637f9"
            "746d3f7cafd31878d80325b6ef5a1700f65903b469429e89d6eac8845097b5ab393189db92512ed8a7711a"
            "1253facd20f79c15e8247f3d3e42e46e48c98e254a2fe9765313a03eff8f17e1a029397a1fa26a8dce26f4"
            "90ed81299615d9814c22da610428e09c7d9658594266f5c021d0fceca08d945a12be82de4d1ece6b4c0314"
            "5b5d3495d4ed5411eb878daf05fd7afc3e09ada0f1126422f590975a1969816f48698bcbba1b4d9cae79d4"
            "60d8f9f85e7975005d9bc22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530e773066f453d1f5b4c2e9cf7"
            "820283f742b9d50203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "68caf07e71ee654ffabf07d342fc4059deb4f7e5970746c423b1e8f668d5332275cc35eb61270aebd27855"
            "b1e80d59def47fe8882867fd33c2308c91976baa0b1df952caa78db4828ab81e79949bf145cbdfd1c4987e"
            "d036f81e8442081016f20fa4b587574884ca6f6045959ce3501ae7c02b1902ec1d241ef28dee356c0d30d2"
            "8a950f1fbc683ee7d9aad26b048c13426fe3975d5638afeb5b9c1a99d162d3a5810e8b074d7a2eae2be52b"
            "577151f76e1f734b0a956ef4f22be64dc20a81ad1316e4f79dff5fc41fc08a20bc612283a88415d41595bf"
            "ea66d59de7ac12e230f72244ad9905aef0ead3fa41ed70bf4218863d5f041292f2d14ce0a7271c6d36"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_pss_2048_sha384_mgf1_48, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PSS_SHA384,
        public_key: hex!(
            "3082010a0282010100cda6fa5ca76bfe0492ec57e0a3bfff7272dc8d1e25ad1fb338aa050f02c104e63133"
            "d6b5b7c4985ebbae9ac036a5b9c03074d60aec8e25baf392a0c430ff05b88e948805d3dd74511d8885250a"
            "7b574215ada015c559076686e253ccc96c0815b1291ee787cc3363b4f77d930eb998d7c582b24cea9ce21d"
            "e9722791989863a27ebc80a00de5bd2f9228775e5a4ceb054d58c9be36a054336971a13642dd9510dd696a"
            "a268db3aab2299d5d88f8e562434d1427094d3df8e72d1ef69b4ed34d12bac375223b2a25cf227f735f816"
            "e85e17239304769a6082154cd15899fc1eaefb69b748a3e5ed24d38372597de3e4e2a27b951d6ac7db182d"
            "6809d8ff511b7f0203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "9bc2fc58e6db83a04d327571189b835a63df65aa3a41918aebd7f97c069cd499978370e4a4e46b1c27165b"
            "51f703beb3beb1c0a3a83ed6613dc840b58612a996dee3a10e1907bbceb5960e4f7a0fa9cce69a3ac34cbb"
            "f10b404b685763ae3fbafb42f125a060626e1136742d4ccdb469b3a6b58fbb4cacd3f5fe88da8838e2d264"
            "5d11618067edc8eb6bf6f96e1055122cff85c423d113cb4e9e1303c268dd5ceca5a201bc17d582a84ffc14"
            "f7f5e654a25a89486d54991f85bd24a6112849f38ccff768d1ca3c44e3e6e6a23e177426d26bb1173cba60"
            "a7938bde64b02432db83fab73c3fd4f10578f826ac3cea04172aaf43d60455c2632ae06c7665ef4537"
        ),
    },
    SignatureAnswer {
        // Wycheproof, rsa_pss_4096_sha512_mgf1_64, test 4.
        key_algorithm: alg_id::RSA_ENCRYPTION,
        signature_algorithm: alg_id::RSA_PSS_SHA512,
        public_key: hex!(
            "3082020a0282020100c9a765c2661b4674cff3480e9a5e462ad0ad2fc9bc6fbef62847b3113d20991f6539"
            "67971c28252753f5fbacce012c2a8ab592914d269efafa724fa4b920e340930c106f7b36f79cebf0e62e88"
            "e0e476888e9f0e22186acdb6c4523a232b65b4ff2cc22dc44f8a559527d79d7cd7dcf3773212f7bb9aa133"
            "c31165cc663690bf123d73923c838929ccafee59d6c7095b8d4a74baf2d192c9a4e87c4e12bc58013078b2"
            "8a7789e82e9f31de1f4d6a2aa6e80632be8e4bdf263e8d49b09416fb19c488c07ad8af722ab79182b23028"
            "a71e065d02412a9eebc46d7d8f4e03d79238d8c0cb4a97a9a1200ebb6ec64042ebeccad9567526eeef12c1"
            "7d94c1049c889970b96e94cc353172a268a49c5e8bee13c15b39dec44f2c7a1aa37a7a0b6f72290acada32"
            "b1d8af1fc3dc8a89487ba81347cbeb1350925d30f923958106b49959c871e7c1dba55da0772e362cf8621d"
            "78610868b894e16e5dfec96874a93a4cf379b47e7e318ce315066d70ee3938140a60148f205085cef8a770"
            "0ca3c53d52a5756a63b3b16f153062b61262a68496210c8be4ef3f9029ca0ea0e3b3a0d5d6d226edbbf44d"
            "af8f045dc286ded3c4ec4db6b45347079f33eaf98e3c95b4b60e79ef4a3093feec543703422ba74a118511"
            "c2193b54fe8b633866ed2c705ccbc6e7d9d3656809ec3d3356e7400a9648ec37505041e3e31af1c02eefe9"
            "24a67047d30203010001"
        ),
        message: hex!("313233343030"),
        signature: hex!(
            "727f107d20a02c2a2e530a78fdcc8ee88816badea1204d4c6a3b116776217f86f6fce6612cacb44aa28899"
            "1146675cc0907094b5f90a06f0e940c886c07b5157605102c670aa9927fd0f2222b737890d1cb905f0fe4b"
            "47e67d254e6fef0f2004be64c94ba630839199b3656abe2c6eb59e84584bb652a181a64895d52d46aaebcb"
            "46bdd5eca4655eee4c340649a49a5eed60a2d3c95762bf825f622bc48d05fd6813393d39021c0db5b21041"
            "86f5cd00b203b43ca839c192755b40a8d946d1db6b0d2d7df6ec6929e5655396d935ce9d45bd7364b1e8e2"
            "bbc316918d33caf6a08ff1c8404fb66cc679f03f9ed6c5997f72e52da5df41af58893129bccf2fe3f2ab71"
            "73fa227f24c30438e064c0c1e99d3ab9bcc929391893187b9683cc1026546b6d21c02fed28fe1c43bf1eb6"
            "79faa560375d445af434fdc2794ea44fea6445a8e89ed6c14379f756070227b20cc2c0add3a6709be39680"
            "eee5efac9697f45d2122a51ee64f9ae310c6a9b85d0b300528b858581d59e59c7755a0764c59cb81d35539"
            "6042cf8150c91376660bc737d33144fa7b6d7231fbd43c16a79d06de0fd18a53415acb352065cf169e82ab"
            "f94a3337e6b525ddc3d25eb6516208e9f832168faf3c3a224612c9791369ba2ab85a701e8332b738bf2942"
            "cd20975d2edac2ece8568d101ab8602d58fbdf652580b5008b499aa06062bb99697c41ce8e34bb"
        ),
    },
];
