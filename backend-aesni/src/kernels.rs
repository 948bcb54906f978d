//! Which kernels this CPU can run, and which of them is the best.

use std::sync::{Arc, OnceLock};

#[cfg(doc)]
use crypto_api::RecordAead;
use crypto_api::{CipherSuite, Suite};

use crate::low::ccm::Ccm;
use crate::low::chacha20_poly1305::ChaCha20Poly1305;
use crate::low::cpu;
use crate::record::{Aead, Kernel};
use crate::trial::{self, Measured};

/// For each suite the best kernel that this CPU can run; no entry where it has none.
///
/// What other backends add to these makes a provider:
/// the `suites` of a [`CryptoProvider`](crypto_api::CryptoProvider) are replaced by these.
///
/// The first call in a process tries each of them, which takes a millisecond or two a suite, and
/// 32 KiB of the calling thread's stack (without optimisation 140).
pub fn suites() -> Vec<Suite> {
    let mut best: Vec<Suite> = Vec::new();
    for candidate in candidates() {
        let id = candidate.suite.id;
        if best.iter().all(|known| known.id != id) && candidate.is_right() {
            best.push(candidate.suite.clone());
        }
    }
    best
}

/// Every kernel that this CPU can run, the best of each suite first: several for one suite
/// on most CPUs. For tests and measurements that compare them;
/// [`implementation`](RecordAead::implementation) tells them apart.
pub fn kernels() -> Vec<Suite> {
    let right = candidates().iter().filter(|candidate| candidate.is_right());
    right.map(|candidate| candidate.suite.clone()).collect()
}

/// The same, with those that are wrong: for this backend's own tests, out of which a broken
/// kernel must not fall.
pub fn kernels_unchecked() -> Vec<Suite> {
    let tried = |candidate: &Candidate| {
        candidate.is_right();
        candidate.suite.clone()
    };
    candidates().iter().map(tried).collect()
}

/// What this CPU should be able to run.
fn candidates() -> &'static [Candidate] {
    static CANDIDATES: OnceLock<Vec<Candidate>> = OnceLock::new();
    CANDIDATES.get_or_init(|| {
        let mut list = List(Vec::new());
        #[cfg(target_arch = "x86_64")]
        list.x86();
        #[cfg(target_arch = "aarch64")]
        list.arm();
        list.0
    })
}

/// A kernel that may be used if it is right.
struct Candidate {
    suite: Suite,
    measured: Arc<dyn Measured>,
    right: OnceLock<bool>,
}

impl Candidate {
    /// Tries the kernel, the first time.
    fn is_right(&self) -> bool {
        *self.right.get_or_init(|| {
            // Both: what is wrong is tested, too, and wipes what it leaves.
            let consistent = self.measured.measure().is_ok();
            trial::is_right(&self.suite) && consistent
        })
    }
}

struct List(Vec<Candidate>);

impl List {
    /// Adds a kernel if there is a token for it.
    fn add<K: Kernel>(&mut self, id: CipherSuite, token: Option<K::Token>) {
        let Some(token) = token else { return };
        let measured = Arc::new(Aead::<K>(token));
        // A kernel has the lengths of its suite; a test sees to that.
        self.0
            .extend(Suite::new(id, measured.clone()).map(|suite| Candidate {
                suite,
                measured,
                right: OnceLock::new(),
            }));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::low::depth::MOST;

    /// Every operation of every kernel was measured, and found to use less than is wiped where
    /// nothing is known.
    #[test]
    fn what_each_kernel_leaves_is_known() {
        for candidate in candidates() {
            let name = candidate.suite.aead.implementation();
            assert!(candidate.is_right(), "{name}");
            let depths = candidate.measured.depths();
            println!("{}, {name}: {depths}", candidate.suite.id);
            let ways = [&depths.seal, &depths.open];
            let mut known: Vec<_> = ways.iter().flat_map(|way| [&way.one, &way.batch]).collect();
            if candidate.suite.id == CipherSuite::TLS_CHACHA20_POLY1305_SHA256 {
                known.extend(ways.iter().map(|way| &way.few));
                if cfg!(target_arch = "x86_64") {
                    known.extend(ways.iter().flat_map(|way| [&way.under, &way.ahead]));
                }
            } else {
                known.push(&depths.key);
            }
            assert!(
                known.iter().all(|depth| depth.bytes() < MOST),
                "{name}: {depths}"
            );
        }
    }
}
