//! The key schedule (RFC 9846, section 7.1), one type per row of its diagram. Each secret is
//! consumed into the next, so none can be used out of turn.

use crypto_api::{
    Digest, HashAlgorithm, HashFunctions, MAX_HASH_LEN, NONCE_LEN, RecordOpener, RecordSealer,
    Secret, SharedSecret, Suite,
};
use zeroize::Zeroizing;

use alloc::boxed::Box;

use crate::Error;
use crate::config::KeyLog;
use crate::record::WriteKeys;

/// HKDF-Expand-Label (section 7.1).
fn expand_label(
    hash: &HashFunctions,
    secret: &Secret,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Error> {
    const PREFIX: &[u8] = b"tls13 ";
    // Labels and contexts here are at most 255 bytes long, and outputs at most 65,535:
    // only the exporter takes a caller's, and checks it.
    let [.., a, b] = out.len().to_be_bytes();
    let [.., label_len] = (PREFIX.len() + label.len()).to_be_bytes();
    let [.., context_len] = context.len().to_be_bytes();
    hash.hkdf.expand(
        secret,
        &[&[a, b, label_len], PREFIX, label, &[context_len], context],
        out,
    )?;
    Ok(())
}

/// Derive-Secret over a transcript hash (section 7.1).
fn derive(
    hash: &HashFunctions,
    secret: &Secret,
    label: &[u8],
    transcript: &[u8],
) -> Result<Secret, Error> {
    let mut derived = Secret::zeroed(hash.algorithm().output_len());
    expand_label(hash, secret, label, transcript, derived.as_bytes_mut())?;
    Ok(derived)
}

/// The secret that the next row's Extract is salted with.
fn derived(hash: &HashFunctions, secret: &Secret) -> Result<Secret, Error> {
    let empty = hash.hash.hash(&[])?;
    derive(hash, secret, b"derived", &empty)
}

/// As many zeros as the hash is long stand for a missing input.
fn zeros(hash: &HashFunctions) -> &'static [u8] {
    const ZEROS: [u8; MAX_HASH_LEN] = [0; MAX_HASH_LEN];
    ZEROS.get(..hash.algorithm().output_len()).unwrap_or(&ZEROS)
}

/// The first row: what a pre-shared key would enter.
#[derive(Debug)]
pub(crate) struct EarlySecret {
    hash: HashFunctions,
    /// What leaves the row: the salt of the next one.
    salt: Secret,
}

impl EarlySecret {
    /// Without a pre-shared key. Nothing enters the row then, so that what leaves it is no
    /// secret but a constant of the hash function, which need not be computed each time.
    pub(crate) fn new(hash: HashFunctions) -> Result<Self, Error> {
        let salt = match hash.algorithm() {
            HashAlgorithm::Sha256 => Secret::new(&SALT_SHA256),
            HashAlgorithm::Sha384 => Secret::new(&SALT_SHA384),
            _ => Self::salt(&hash)?,
        };
        Ok(Self { hash, salt })
    }

    fn salt(hash: &HashFunctions) -> Result<Secret, Error> {
        let secret = hash.hkdf.extract(&[], zeros(hash))?;
        derived(hash, &secret)
    }

    pub(crate) fn into_handshake(self, shared: &SharedSecret) -> Result<HandshakeSecret, Error> {
        let salt = self.salt.as_bytes();
        let secret = self.hash.hkdf.extract(salt, shared.as_bytes())?;
        Ok(HandshakeSecret {
            hash: self.hash,
            secret,
        })
    }
}

/// With SHA-256; RFC 8448, section 3, has it too.
const SALT_SHA256: [u8; 32] = [
    0x6f, 0x26, 0x15, 0xa1, 0x08, 0xc7, 0x02, 0xc5, 0x67, 0x8f, 0x54, 0xfc, 0x9d, 0xba, 0xb6, 0x97,
    0x16, 0xc0, 0x76, 0x18, 0x9c, 0x48, 0x25, 0x0c, 0xeb, 0xea, 0xc3, 0x57, 0x6c, 0x36, 0x11, 0xba,
];
/// With SHA-384.
const SALT_SHA384: [u8; 48] = [
    0x15, 0x91, 0xda, 0xc5, 0xcb, 0xbf, 0x03, 0x30, 0xa4, 0xa8, 0x4d, 0xe9, 0xc7, 0x53, 0x33, 0x0e,
    0x92, 0xd0, 0x1f, 0x0a, 0x88, 0x21, 0x4b, 0x44, 0x64, 0x97, 0x2f, 0xd6, 0x68, 0x04, 0x9e, 0x93,
    0xe5, 0x2f, 0x2b, 0x16, 0xfa, 0xd9, 0x22, 0xfd, 0xc0, 0x58, 0x44, 0x78, 0x42, 0x8f, 0x28, 0x2b,
];

/// The second row: what the key exchange enters.
#[derive(Debug)]
pub(crate) struct HandshakeSecret {
    hash: HashFunctions,
    secret: Secret,
}

impl HandshakeSecret {
    /// The handshake traffic secrets of client and server, over ClientHello..ServerHello.
    pub(crate) fn traffic(
        &self,
        transcript: &Digest,
        log: &Log<'_>,
    ) -> Result<(TrafficSecret, TrafficSecret), Error> {
        let client = derive(&self.hash, &self.secret, b"c hs traffic", transcript)?;
        let server = derive(&self.hash, &self.secret, b"s hs traffic", transcript)?;
        log.write("CLIENT_HANDSHAKE_TRAFFIC_SECRET", &client);
        log.write("SERVER_HANDSHAKE_TRAFFIC_SECRET", &server);
        Ok((
            TrafficSecret::new(&self.hash, client),
            TrafficSecret::new(&self.hash, server),
        ))
    }

    pub(crate) fn into_master(self) -> Result<MasterSecret, Error> {
        let salt = derived(&self.hash, &self.secret)?;
        let secret = self.hash.hkdf.extract(salt.as_bytes(), zeros(&self.hash))?;
        Ok(MasterSecret {
            hash: self.hash,
            secret,
        })
    }
}

/// The last row.
#[derive(Debug)]
pub(crate) struct MasterSecret {
    hash: HashFunctions,
    secret: Secret,
}

impl MasterSecret {
    /// The application traffic secrets of client and server and the exporter's secret, over
    /// ClientHello..server Finished.
    pub(crate) fn into_traffic(
        self,
        transcript: &Digest,
        log: &Log<'_>,
    ) -> Result<(TrafficSecret, TrafficSecret, ExporterSecret), Error> {
        let client = derive(&self.hash, &self.secret, b"c ap traffic", transcript)?;
        let server = derive(&self.hash, &self.secret, b"s ap traffic", transcript)?;
        let exporter = derive(&self.hash, &self.secret, b"exp master", transcript)?;
        log.write("CLIENT_TRAFFIC_SECRET_0", &client);
        log.write("SERVER_TRAFFIC_SECRET_0", &server);
        log.write("EXPORTER_SECRET", &exporter);
        Ok((
            TrafficSecret::new(&self.hash, client),
            TrafficSecret::new(&self.hash, server),
            ExporterSecret {
                hash: self.hash,
                secret: exporter,
            },
        ))
    }
}

/// The secret of one direction, of which its keys are made.
#[derive(Clone, Debug)]
pub(crate) struct TrafficSecret {
    hash: HashFunctions,
    secret: Secret,
}

/// Longest key of an AEAD, in bytes.
const MAX_KEY_LEN: usize = 32;

impl TrafficSecret {
    fn new(hash: &HashFunctions, secret: Secret) -> Self {
        Self {
            hash: hash.clone(),
            secret,
        }
    }

    /// Record keys that seal (section 7.3), with what bounds their use.
    pub(crate) fn write_keys(&self, suite: &Suite) -> Result<WriteKeys, Error> {
        let sealer = self.sealer(suite)?;
        Ok(WriteKeys::new(
            sealer,
            suite.aead.tag_len(),
            suite.seal_limit,
        ))
    }

    /// Record keys that seal (section 7.3).
    pub(crate) fn sealer(&self, suite: &Suite) -> Result<Box<dyn RecordSealer>, Error> {
        self.with_keys(suite, |key, iv| suite.aead.sealer(key, iv))
    }

    /// Record keys that open (section 7.3).
    pub(crate) fn opener(&self, suite: &Suite) -> Result<Box<dyn RecordOpener>, Error> {
        self.with_keys(suite, |key, iv| suite.aead.opener(key, iv))
    }

    fn with_keys<T>(
        &self,
        suite: &Suite,
        make: impl FnOnce(&[u8], &[u8; NONCE_LEN]) -> Result<T, crypto_api::Error>,
    ) -> Result<T, Error> {
        let mut key = Zeroizing::new([0; MAX_KEY_LEN]);
        let mut iv = Zeroizing::new([0; NONCE_LEN]);
        let key = key
            .get_mut(..suite.aead.key_len())
            .ok_or(crypto_api::Error::Unsupported(
                "AEAD with a key of over 32 bytes",
            ))?;
        expand_label(&self.hash, &self.secret, b"key", &[], key)?;
        expand_label(&self.hash, &self.secret, b"iv", &[], &mut *iv)?;
        Ok(make(key, &iv)?)
    }

    /// The verify_data of this side's Finished over `transcript` (section 4.5.3).
    pub(crate) fn finished(&self, transcript: &Digest) -> Result<Secret, Error> {
        let key = derive(&self.hash, &self.secret, b"finished", &[])?;
        Ok(self.hash.hmac.mac(key.as_bytes(), &[transcript])?)
    }

    /// The secret of the next generation (section 7.2).
    pub(crate) fn next(&self) -> Result<Self, Error> {
        let secret = derive(&self.hash, &self.secret, b"traffic upd", &[])?;
        Ok(Self::new(&self.hash, secret))
    }
}

/// The secret that exported keying material is made of (section 7.5).
#[derive(Debug)]
pub(crate) struct ExporterSecret {
    hash: HashFunctions,
    secret: Secret,
}

impl ExporterSecret {
    pub(crate) fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<(), Error> {
        // "tls13 " and the label share one byte of length.
        if label.len() > 249 {
            return Err(Error::Usage("exporter label of over 249 bytes"));
        }
        if out.len() > 255 * self.hash.algorithm().output_len() {
            return Err(Error::Usage("more keying material than 255 hash outputs"));
        }
        let empty = self.hash.hash.hash(&[])?;
        let secret = derive(&self.hash, &self.secret, label, &empty)?;
        let context = self.hash.hash.hash(&[context])?;
        expand_label(&self.hash, &secret, b"exporter", &context, out)
    }
}

/// Where secrets are logged, if anywhere.
pub(crate) struct Log<'a> {
    pub(crate) to: Option<&'a dyn KeyLog>,
    pub(crate) client_random: &'a [u8; 32],
}

impl Log<'_> {
    fn write(&self, label: &str, secret: &Secret) {
        if let Some(to) = self.to {
            to.log(label, self.client_random, secret.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_what_the_schedule_gives() {
        for hash in backend_soft::provider().hashes {
            let written = EarlySecret::new(hash.clone()).unwrap().salt;
            assert_eq!(written, EarlySecret::salt(&hash).unwrap());
        }
    }
}
