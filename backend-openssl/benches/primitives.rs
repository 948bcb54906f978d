//! What each operation costs through the provider, beside the same operation through
//! libcrypto's `EVP` interface as a plain program would call it.
//!
//! `cargo bench -p backend-openssl`, or `-- seal` for one group.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crypto_api::{HashAlgorithm, NONCE_LEN, Payload, SealRecord, Trailer};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey};
use openssl::md::Md;
use openssl::md_ctx::MdCtx;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Rsa;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const AAD: [u8; 5] = [23, 3, 3, 0, 0];

fn records(c: &mut Criterion) {
    for suite in backend_openssl::suites() {
        let mut group = c.benchmark_group(format!("seal {}", suite.id));
        let key = vec![7; suite.aead.key_len()];
        for len in [64, 1024, 16384] {
            group.throughput(Throughput::Bytes(len as u64));
            let payload = vec![1; len];
            let mut out = vec![0; len + 17];
            let mut sealer = suite.aead.sealer(&key, &[3; NONCE_LEN]).unwrap();
            let mut sequence = 0;
            group.bench_function(format!("provider {len}"), |b| {
                b.iter(|| {
                    sequence += 1;
                    sealer
                        .seal(&mut SealRecord {
                            sequence,
                            aad: &AAD,
                            payload: Payload::from(&payload[..]),
                            trailer: Trailer::content_type(23),
                            out: &mut out,
                        })
                        .unwrap();
                });
            });
            // One byte more, which is the content type above.
            let plaintext = vec![1; len + 1];
            let mut ctx = CipherCtx::new().unwrap();
            let cipher = match suite.id.name().unwrap() {
                "TLS_AES_128_GCM_SHA256" => "AES-128-GCM",
                "TLS_AES_256_GCM_SHA384" => "AES-256-GCM",
                _ => "ChaCha20-Poly1305",
            };
            let cipher = Cipher::fetch(None, cipher, None).unwrap();
            ctx.encrypt_init(Some(&cipher), Some(&key), None).unwrap();
            group.bench_function(format!("EVP {len}"), |b| {
                b.iter(|| {
                    sequence += 1;
                    let mut nonce = [3; NONCE_LEN];
                    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
                    ctx.encrypt_init(None, None, Some(&nonce)).unwrap();
                    ctx.cipher_update(&AAD, None).unwrap();
                    let (text, tag) = out.split_at_mut(len + 1);
                    ctx.cipher_update(&plaintext, Some(text)).unwrap();
                    ctx.cipher_final(&mut []).unwrap();
                    ctx.tag(tag).unwrap();
                });
            });
            let mut opener = suite.aead.opener(&key, &[3; NONCE_LEN]).unwrap();
            sealer
                .seal(&mut SealRecord {
                    sequence,
                    aad: &AAD,
                    payload: Payload::from(&payload[..]),
                    trailer: Trailer::content_type(23),
                    out: &mut out,
                })
                .unwrap();
            let mut record = out.clone();
            group.bench_function(format!("provider open {len}"), |b| {
                b.iter(|| {
                    record.copy_from_slice(&out);
                    opener.open(sequence, &AAD, &mut record).unwrap()
                });
            });
        }
        group.finish();
    }
}

fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    for functions in backend_openssl::hashes() {
        let name = functions.algorithm();
        let prk = functions.hkdf.extract(&[], b"secret").unwrap();
        let mut out = vec![0; name.output_len()];
        group.bench_function(format!("HKDF-Expand {name}"), |b| {
            b.iter(|| {
                let info: [&[u8]; 3] = [&[0, 32, 15], b"tls13 c hs traffic", &[7; 32]];
                functions.hkdf.expand(&prk, &info, &mut out).unwrap();
            });
        });
        group.bench_function(format!("{name} of 200 bytes"), |b| {
            b.iter(|| functions.hash.hash(&[&[1; 200]]).unwrap());
        });
        let md = match name {
            HashAlgorithm::Sha256 => Md::fetch(None, "SHA256", None),
            _ => Md::fetch(None, "SHA384", None),
        }
        .unwrap();
        let mut ctx = MdCtx::new().unwrap();
        group.bench_function(format!("EVP {name} of 200 bytes"), |b| {
            b.iter(|| {
                ctx.digest_init(&md).unwrap();
                ctx.digest_update(&[1; 200]).unwrap();
                ctx.digest_final(&mut out).unwrap();
            });
        });
    }
    group.finish();
}

fn key_exchange(c: &mut Criterion) {
    let random = backend_openssl::random();
    let mut group = c.benchmark_group("kx");
    for kx in backend_openssl::groups() {
        let name = kx.id();
        let client = kx.start(&random).spin().unwrap();
        let share = client.share().to_vec();
        group.bench_function(format!("{name} start"), |b| {
            b.iter(|| kx.start(&random).spin().unwrap());
        });
        group.bench_function(format!("{name} respond"), |b| {
            b.iter(|| kx.respond(&share, &random).spin().unwrap());
        });
        let server = kx.respond(&share, &random).spin().unwrap();
        group.bench_function(format!("{name} start and complete"), |b| {
            b.iter(|| {
                let client = kx.start(&random).spin().unwrap();
                client.complete(&server.share).spin().unwrap()
            });
        });
    }
    let agree = |key: &PKey<Private>, peer: &PKey<Private>| {
        let mut deriver = Deriver::new(key).unwrap();
        deriver.set_peer(peer).unwrap();
        deriver.derive_to_vec().unwrap()
    };
    let peer = PKey::generate_x25519().unwrap();
    group.bench_function("EVP X25519 respond", |b| {
        b.iter(|| agree(&PKey::generate_x25519().unwrap(), &peer));
    });
    for (name, curve) in [
        ("SECP256R1", Nid::X9_62_PRIME256V1),
        ("SECP384R1", Nid::SECP384R1),
    ] {
        let curve = EcGroup::from_curve_name(curve).unwrap();
        let generate = || PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
        let peer = generate();
        group.bench_function(format!("EVP {name} respond"), |b| {
            b.iter(|| agree(&generate(), &peer));
        });
    }
    group.finish();
}

fn keys() -> Vec<PKey<Private>> {
    let ec = |nid| {
        let group = EcGroup::from_curve_name(nid).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    };
    vec![
        ec(Nid::X9_62_PRIME256V1),
        ec(Nid::SECP384R1),
        PKey::generate_ed25519().unwrap(),
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
    ]
}

fn signatures(c: &mut Criterion) {
    let random = backend_openssl::random();
    let provider = backend_openssl::provider();
    let mut group = c.benchmark_group("signature");
    let message = [9; 130];
    for pkey in keys() {
        let der = pkey.private_key_to_pkcs8().unwrap();
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der));
        let key = provider.load_key(&der).unwrap();
        let scheme = key.schemes()[0];
        group.bench_function(format!("sign {scheme}"), |b| {
            b.iter(|| {
                key.sign(scheme, black_box(&message), &random)
                    .spin()
                    .unwrap()
            });
        });
        let signature = key.sign(scheme, &message, &random).spin().unwrap();
        let spki = key.public_key().unwrap();
        let public = crypto_api::PublicKey::from_spki(&spki).unwrap();
        let algorithm = provider.verification(scheme, public.algorithm).unwrap();
        group.bench_function(format!("verify {scheme}"), |b| {
            b.iter(|| {
                algorithm
                    .verify_signature(public.key, black_box(&message), &signature)
                    .unwrap();
            });
        });
        if pkey.ec_key().is_ok() {
            let digest = [8; 32];
            group.bench_function(format!("EVP sign {scheme}"), |b| {
                b.iter(|| {
                    let mut ctx = PkeyCtx::new(&pkey).unwrap();
                    ctx.sign_init().unwrap();
                    let mut signature = [0; 128];
                    ctx.sign(&digest, Some(&mut signature)).unwrap()
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = primitives;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = records, hashes, key_exchange, signatures
}
criterion_main!(primitives);
