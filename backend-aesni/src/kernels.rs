//! Which kernels this CPU can run, and which of them is the best.

use std::sync::{Arc, OnceLock};

use crypto_api::{CipherSuite, Error, OpenRecord, RecordAead, SealRecord, Suite, Trailer};

use crate::low::ccm::Ccm;
use crate::low::chacha20_poly1305::ChaCha20Poly1305;
use crate::low::cpu;
use crate::record::{Aead, Kernel};

/// For each suite the best kernel that this CPU can run; no entry where it has none.
///
/// What other backends add to these makes a provider:
/// the `suites` of a [`CryptoProvider`](crypto_api::CryptoProvider) are replaced by these.
pub fn suites() -> Vec<Suite> {
    let mut best: Vec<Suite> = Vec::new();
    for suite in kernels() {
        if best.iter().all(|known| known.id != suite.id) {
            best.push(suite);
        }
    }
    best
}

/// Every kernel that this CPU can run, the best of each suite first: several for one suite
/// on most CPUs. For tests and measurements that compare them;
/// [`implementation`](RecordAead::implementation) tells them apart.
pub fn kernels() -> Vec<Suite> {
    static KERNELS: OnceLock<Vec<Suite>> = OnceLock::new();
    let found = || {
        let mut kernels = kernels_unchecked();
        kernels.retain(is_right);
        kernels
    };
    KERNELS.get_or_init(found).clone()
}

/// The same, with those that are wrong: for this backend's own tests, out of which a broken
/// kernel must not fall.
pub fn kernels_unchecked() -> Vec<Suite> {
    let mut list = List(Vec::new());
    #[cfg(target_arch = "x86_64")]
    list.x86();
    #[cfg(target_arch = "aarch64")]
    list.arm();
    list.0
}

struct List(Vec<Suite>);

impl List {
    /// Adds a kernel if there is a token for it.
    fn add<K: Kernel>(&mut self, id: CipherSuite, token: Option<K::Token>) {
        let Some(token) = token else { return };
        let aead: Arc<dyn RecordAead> = Arc::new(Aead::<K>(token));
        // A kernel has the lengths of its suite; a test sees to that.
        self.0.extend(Suite::new(id, aead));
    }

    #[cfg(target_arch = "x86_64")]
    fn x86(&mut self) {
        use crate::low::x86::{ccm, gcm};

        let aes128 = CipherSuite::TLS_AES_128_GCM_SHA256;
        self.add::<gcm::avx512::Aes128Gcm>(aes128, cpu::Avx512::detect());
        self.add::<gcm::vaes::Aes128Gcm>(aes128, cpu::Vaes::detect());
        self.add::<gcm::aesni::Aes128Gcm>(aes128, cpu::AesNi::detect());

        let aes256 = CipherSuite::TLS_AES_256_GCM_SHA384;
        self.add::<gcm::avx512::Aes256Gcm>(aes256, cpu::Avx512::detect());
        self.add::<gcm::vaes::Aes256Gcm>(aes256, cpu::Vaes::detect());
        self.add::<gcm::aesni::Aes256Gcm>(aes256, cpu::AesNi::detect());

        let long_tags = CipherSuite::TLS_AES_128_CCM_SHA256;
        self.add::<Ccm<ccm::Avx512, 16>>(long_tags, cpu::Avx512::detect());
        self.add::<Ccm<ccm::Vaes, 16>>(long_tags, cpu::Vaes::detect());
        self.add::<Ccm<ccm::AesNi, 16>>(long_tags, cpu::AesNi::detect());

        let short_tags = CipherSuite::TLS_AES_128_CCM_8_SHA256;
        self.add::<Ccm<ccm::Avx512, 8>>(short_tags, cpu::Avx512::detect());
        self.add::<Ccm<ccm::Vaes, 8>>(short_tags, cpu::Vaes::detect());
        self.add::<Ccm<ccm::AesNi, 8>>(short_tags, cpu::AesNi::detect());

        let chacha20_poly1305 = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
        self.add::<ChaCha20Poly1305<cpu::Avx512F>>(chacha20_poly1305, cpu::Avx512F::detect());
        self.add::<ChaCha20Poly1305<cpu::Avx2>>(chacha20_poly1305, cpu::Avx2::detect());
    }

    #[cfg(target_arch = "aarch64")]
    fn arm(&mut self) {
        use crate::low::arm::{ccm, gcm};

        let aes128 = CipherSuite::TLS_AES_128_GCM_SHA256;
        self.add::<gcm::eor3::Aes128Gcm>(aes128, cpu::ArmEor3::detect());
        self.add::<gcm::aes_pmull::Aes128Gcm>(aes128, cpu::ArmAes::detect());

        let aes256 = CipherSuite::TLS_AES_256_GCM_SHA384;
        self.add::<gcm::eor3::Aes256Gcm>(aes256, cpu::ArmEor3::detect());
        self.add::<gcm::aes_pmull::Aes256Gcm>(aes256, cpu::ArmAes::detect());

        let long_tags = CipherSuite::TLS_AES_128_CCM_SHA256;
        self.add::<Ccm<ccm::ArmAes, 16>>(long_tags, cpu::ArmAes::detect());
        let short_tags = CipherSuite::TLS_AES_128_CCM_8_SHA256;
        self.add::<Ccm<ccm::ArmAes, 8>>(short_tags, cpu::ArmAes::detect());

        let chacha20_poly1305 = CipherSuite::TLS_CHACHA20_POLY1305_SHA256;
        self.add::<ChaCha20Poly1305<cpu::Neon>>(chacha20_poly1305, cpu::Neon::detect());
    }
}

/// Whether a kernel seals as its suite should, and opens that again. CPUs with the widest
/// registers are the rarest, and emulators and microcode err there first: a wrong kernel must
/// not be what the first connection finds out.
fn is_right(suite: &Suite) -> bool {
    // Of `sample`, by any other implementation.
    let expected = match suite.id {
        CipherSuite::TLS_AES_128_GCM_SHA256 => 0x1bfc_4189_e56e_fd11,
        CipherSuite::TLS_AES_256_GCM_SHA384 => 0x96e5_18cc_e6fb_58b7,
        CipherSuite::TLS_CHACHA20_POLY1305_SHA256 => 0xc145_c820_32c8_8176,
        CipherSuite::TLS_AES_128_CCM_SHA256 => 0xa7d0_ebc2_9962_4c4d,
        CipherSuite::TLS_AES_128_CCM_8_SHA256 => 0xbe44_10d4_46fd_c6fa,
        _ => return false,
    };
    sample(&*suite.aead).is_ok_and(|sealed| digest(&sealed) == expected)
}

/// Fowler, Noll and Vo's (FNV-1a). No one chooses the bytes, so it need not withstand anyone.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Records of lengths that take every path of a kernel, sealed and opened again, one by one
/// and as a batch.
fn sample(aead: &dyn RecordAead) -> Result<Vec<u8>, Error> {
    const LENGTHS: [usize; 12] = [0, 30, 100, 150, 230, 255, 257, 300, 510, 700, 1400, 2100];
    let key = [0x5a; 32];
    let key = key.get(..aead.key_len()).unwrap_or_default();
    let text: Vec<u8> = (0..=u8::MAX).cycle().take(2100).collect();
    let mut sealer = aead.sealer(key, &[0xc3; 12])?;
    let mut opener = aead.opener(key, &[0xc3; 12])?;
    let mut all: Vec<Vec<u8>> = LENGTHS
        .iter()
        .map(|len| vec![0; len + 1 + aead.tag_len()])
        .collect();
    let mut one_by_one = Vec::new();
    for (sequence, out) in (0..).zip(&mut all) {
        sealer.seal(&mut sample_record(&text, sequence, out, aead.tag_len()))?;
        one_by_one.extend_from_slice(out);
        let len = opener.open(sequence, &SAMPLE_HEADER, out)?;
        let opened = out.get(..len).and_then(|opened| opened.split_last());
        if opened.is_none_or(|(_, opened)| !text.starts_with(opened)) {
            return Err(Error::BadTag);
        }
    }
    let mut batch: Vec<_> = (0..)
        .zip(&mut all)
        .map(|(sequence, out)| sample_record(&text, sequence, out, aead.tag_len()))
        .collect();
    sealer.seal_batch(&mut batch)?;
    if all.concat() != one_by_one {
        return Err(Error::BadTag);
    }
    let mut batch: Vec<_> = (0..)
        .zip(&mut all)
        .map(|(sequence, in_out)| OpenRecord {
            sequence,
            aad: &SAMPLE_HEADER,
            in_out,
            plaintext_len: 0,
        })
        .collect();
    let mut done = 0;
    while let Some(rest) = batch.get_mut(done..).filter(|rest| !rest.is_empty()) {
        done += opener.open_batch(rest)?.max(1);
    }
    let good = |record: &OpenRecord<'_>| {
        let opened = record.in_out.get(..record.plaintext_len);
        let opened = opened.and_then(|opened| opened.split_last());
        opened.is_some_and(|(_, opened)| text.starts_with(opened))
    };
    if !batch.iter().all(good) {
        return Err(Error::BadTag);
    }
    Ok(one_by_one)
}

const SAMPLE_HEADER: [u8; 5] = [23, 3, 3, 0, 0];

/// A record that just fills `out`.
fn sample_record<'a>(
    text: &'a [u8],
    sequence: u64,
    out: &'a mut [u8],
    tag_len: usize,
) -> SealRecord<'a> {
    let len = out.len().saturating_sub(1 + tag_len);
    SealRecord {
        sequence,
        aad: &SAMPLE_HEADER,
        payload: text.get(..len).unwrap_or_default().into(),
        trailer: Trailer::content_type(23),
        out,
    }
}

#[cfg(test)]
mod tests {
    use crypto_api::{Implementation, NONCE_LEN, RecordOpener, RecordSealer};

    use super::*;

    /// What the kernels are held against was not computed by them.
    #[test]
    fn the_known_answers_are_those_of_another_implementation() {
        let suites = backend_soft::provider().suites;
        for soft in &suites {
            let found = digest(&sample(&*soft.aead).unwrap());
            println!("{}: {found:#018x}", soft.id);
        }
        assert!(suites.iter().all(is_right));
    }

    /// Opens what it seals, but is another cipher.
    #[derive(Debug)]
    struct Wrong(Arc<dyn RecordAead>);

    impl Wrong {
        fn key(key: &[u8]) -> Vec<u8> {
            key.iter().map(|byte| byte ^ 1).collect()
        }
    }

    impl RecordAead for Wrong {
        fn key_len(&self) -> usize {
            self.0.key_len()
        }

        fn tag_len(&self) -> usize {
            self.0.tag_len()
        }

        fn sealer(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordSealer>, Error> {
            self.0.sealer(&Self::key(key), iv)
        }

        fn opener(&self, key: &[u8], iv: &[u8; NONCE_LEN]) -> Result<Box<dyn RecordOpener>, Error> {
            self.0.opener(&Self::key(key), iv)
        }

        fn implementation(&self) -> Implementation {
            self.0.implementation()
        }
    }

    #[test]
    fn a_wrong_kernel_is_found_out() {
        for kernel in kernels_unchecked() {
            assert!(is_right(&kernel), "{}", kernel.aead.implementation());
            let wrong = Suite {
                aead: Arc::new(Wrong(Arc::clone(&kernel.aead))),
                ..kernel
            };
            assert!(sample(&*wrong.aead).is_ok());
            assert!(!is_right(&wrong), "{}", wrong.id);
        }
    }
}
