//! AES-128 for [CCM](crate::low::ccm).

use super::aes;
use crate::low::ccm::{Block, Chain, Cipher, SIDE};
use crate::low::cpu;
use crate::low::depth::Depths;

mod one {
    //! One record.
    crate::low::ccm::run! {
        features: "neon,aes",
        wide: crate::low::arm::neon, narrow: crate::low::arm::neon,
        side: 1
    }
}

mod several {
    //! One record in a register.
    crate::low::ccm::run! {
        features: "neon,aes",
        wide: crate::low::arm::neon, narrow: crate::low::arm::neon,
        side: crate::low::ccm::SIDE
    }
}

/// Encrypts blocks that do not depend on each other.
#[target_feature(enable = "neon,aes")]
fn encrypt<const N: usize>(round_keys: &[Block; 11], blocks: &mut [Block; N]) {
    use super::neon::{aesenc, aesenclast, load, store, xor, zero};

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

/// The round keys of an AES-128 key.
pub(crate) struct ArmAes([Block; 11], cpu::ArmAes);

impl Drop for ArmAes {
    fn drop(&mut self) {
        crate::low::wipe::bytes(self.0.as_flattened_mut());
    }
}

impl Cipher for ArmAes {
    const DETAIL: &'static str = "ARMv8 AES";
    type Token = cpu::ArmAes;

    fn depths() -> &'static Depths {
        static DEPTHS: Depths = Depths::unknown();
        &DEPTHS
    }

    fn blank(token: Self::Token) -> Self {
        Self([[0; 16]; 11], token)
    }

    fn set_key(&mut self, key: &[u8; 16]) {
        // SAFETY: the token proves the features.
        unsafe { aes::expand(key, &mut self.0) };
    }

    fn encrypt<const N: usize>(&self, blocks: &mut [Block; N]) {
        // SAFETY: the token proves the features.
        unsafe { encrypt(&self.0, blocks) };
    }

    fn run<const SEAL: bool>(&self, chain: &mut Chain<'_>) {
        let blocks = chain.data.len() / 16;
        // SAFETY: the token proves the features.
        unsafe { one::run::<SEAL>(&self.0, core::array::from_mut(chain), blocks) };
    }

    fn run_side_by_side<const SEAL: bool>(&self, chains: &mut [Chain<'_>; SIDE], blocks: usize) {
        // SAFETY: the token proves the features.
        unsafe { several::run::<SEAL>(&self.0, chains, blocks) };
    }
}
