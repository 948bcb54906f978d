//! AES-128 for [CCM](crate::low::ccm): one record on AES-NI, several in registers of any width.

use super::aes;
use crate::low::ccm::{Block, Chain, Cipher, SIDE};
use crate::low::cpu;
use crate::low::depth::Depths;

/// The round keys of an AES-128 key. Asking the allocator for more alignment than it has at hand
/// takes longer than the key schedule.
#[repr(C, align(16))]
struct Keys([Block; 11]);

impl Drop for Keys {
    fn drop(&mut self) {
        crate::low::wipe::bytes(self.0.as_flattened_mut());
    }
}

mod one {
    //! One record.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx",
        wide: crate::low::x86::wide128, narrow: crate::low::x86::wide128,
        side: 1
    }
}

mod aesni {
    //! One record in a register.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx",
        wide: crate::low::x86::wide128, narrow: crate::low::x86::wide128,
        side: crate::low::ccm::SIDE
    }
}

mod vaes {
    //! Two records in a register.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx2,vaes,vpclmulqdq",
        wide: crate::low::x86::wide256, narrow: crate::low::x86::wide128,
        side: crate::low::ccm::SIDE
    }
}

mod avx512 {
    //! Four records in a register.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx2,bmi2,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl",
        wide: crate::low::x86::wide512, narrow: crate::low::x86::wide128,
        side: crate::low::ccm::SIDE
    }
}

#[cfg(test)]
mod model256 {
    //! What [`super::vaes`] is, on registers of one block.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx",
        wide: crate::low::x86::model::model256, narrow: crate::low::x86::wide128,
        side: crate::low::ccm::SIDE
    }
}

#[cfg(test)]
mod model512 {
    //! What [`super::avx512`] is, on registers of one block.
    crate::low::ccm::run! {
        features: "aes,pclmulqdq,avx",
        wide: crate::low::x86::model::model512, narrow: crate::low::x86::wide128,
        side: crate::low::ccm::SIDE
    }
}

/// Encrypts blocks that do not depend on each other.
#[target_feature(enable = "aes,pclmulqdq,avx")]
fn encrypt<const N: usize>(round_keys: &[Block; 11], blocks: &mut [Block; N]) {
    use super::wide128::{aesenc, aesenclast, load, store, xor, zero};

    let mut states = [zero(); N];
    for (state, block) in states.iter_mut().zip(&*blocks) {
        *state = xor(load(block), load(&round_keys[0]));
    }
    for key in &round_keys[1..10] {
        for state in &mut states {
            *state = aesenc(*state, load(key));
        }
    }
    for (state, block) in states.into_iter().zip(blocks) {
        store(block, aesenclast(state, load(&round_keys[10])));
    }
}

macro_rules! cipher {
    ($(#[$doc:meta])* $name:ident, $token:ident, $module:ident, $detail:literal) => {
        $(#[$doc])*
        pub(crate) struct $name(Keys, cpu::$token);

        impl Cipher for $name {
            const DETAIL: &'static str = $detail;
            type Token = cpu::$token;

            fn depths() -> &'static Depths {
                static DEPTHS: Depths = Depths::unknown();
                &DEPTHS
            }

            fn blank(token: Self::Token) -> Self {
                Self(Keys([[0; 16]; 11]), token)
            }

            fn set_key(&mut self, key: &[u8; 16]) {
                // SAFETY: the token proves the features.
                unsafe { aes::expand128(key, &mut self.0.0) };
            }

            fn encrypt<const N: usize>(&self, blocks: &mut [Block; N]) {
                // SAFETY: the token proves these features and more.
                unsafe { encrypt(&self.0.0, blocks) };
            }

            fn run<const SEAL: bool>(&self, chain: &mut Chain<'_>) {
                let blocks = chain.data.len() / 16;
                // SAFETY: the token proves these features and more.
                unsafe { one::run::<SEAL>(&self.0.0, core::array::from_mut(chain), blocks) };
            }

            fn run_side_by_side<const SEAL: bool>(&self, chains: &mut [Chain<'_>; SIDE], blocks: usize) {
                // SAFETY: the token proves the features.
                unsafe { $module::run::<SEAL>(&self.0.0, chains, blocks) };
            }
        }
    };
}

cipher! {
    /// Several records in registers of 128 bits.
    AesNi, AesNi, aesni, "AES-NI"
}

cipher! {
    /// Several records in registers of 256 bits.
    Vaes, Vaes, vaes, "AES-NI, batches with VAES on AVX2"
}

cipher! {
    /// Several records in registers of 512 bits.
    Avx512, Avx512, avx512, "AES-NI, batches with VAES on AVX-512"
}

#[cfg(test)]
cipher! {
    /// A model of [`Vaes`].
    Model256, AesNi, model256, "a model of batches with VAES on AVX2"
}

#[cfg(test)]
cipher! {
    /// A model of [`Avx512`].
    Model512, AesNi, model512, "a model of batches with VAES on AVX-512"
}
