//! Every kernel that this CPU can run, against what is known and against `backend-soft`.

mod against_soft;
mod ccm;
#[cfg(unix)]
mod guarded;
mod known;
mod published;
mod rows;
mod which;

use crypto_api::{CipherSuite, NONCE_LEN, Payload, RecordAead, SealRecord, Suite, Trailer};

/// The same suite from `backend-soft`.
fn soft(id: CipherSuite) -> Suite {
    let provider = backend_soft::provider();
    provider.suite(id).expect("backend-soft has it").clone()
}

/// Numbers that look random, the same in every run (Steele's SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        (self.next() % (most as u64 + 1)) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A key with its IV.
struct Secrets {
    key: Vec<u8>,
    iv: [u8; NONCE_LEN],
}

impl Secrets {
    fn new(numbers: &mut Numbers, aead: &dyn RecordAead) -> Self {
        Self {
            key: numbers.bytes(aead.key_len()),
            iv: numbers.bytes(NONCE_LEN).try_into().unwrap(),
        }
    }

    fn seal(
        &self,
        aead: &dyn RecordAead,
        sequence: u64,
        aad: &[u8],
        payload: Payload<'_>,
        trailer: Trailer,
    ) -> Vec<u8> {
        let mut out = vec![0xee; payload.len() + trailer.len() + aead.tag_len()];
        let mut sealer = aead.sealer(&self.key, &self.iv).unwrap();
        let mut record = SealRecord {
            sequence,
            aad,
            payload,
            trailer,
            out: &mut out,
        };
        sealer.seal(&mut record).unwrap();
        out
    }

    fn open(
        &self,
        aead: &dyn RecordAead,
        sequence: u64,
        aad: &[u8],
        record: &[u8],
    ) -> Result<Vec<u8>, crypto_api::Error> {
        let mut in_out = record.to_vec();
        let opened = aead
            .opener(&self.key, &self.iv)
            .unwrap()
            .open(sequence, aad, &mut in_out);
        match opened {
            Ok(len) => {
                in_out.truncate(len);
                Ok(in_out)
            }
            Err(error) => {
                let text = &in_out[..in_out.len().saturating_sub(aead.tag_len())];
                assert!(
                    text.iter().all(|byte| *byte == 0),
                    "plaintext of a forged record"
                );
                Err(error)
            }
        }
    }
}
