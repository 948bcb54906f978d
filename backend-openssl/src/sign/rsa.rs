//! RSASSA-PSS (RFC 8017, section 8.1) with keys marked rsaEncryption.

use std::fmt;
use std::sync::Arc;

use crypto_api::{
    Error, HashAlgorithm, Implementation, Op, SecureRandom, SignatureScheme, SigningKey,
};
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::sign::RsaPssSaltlen;
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::der::Reader;
use crate::error::{clear_queue, failed};
use crate::hash::digest;
use crate::verify::RSA_BITS;

const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_RSAE_SHA256,
    SignatureScheme::RSA_PSS_RSAE_SHA384,
    SignatureScheme::RSA_PSS_RSAE_SHA512,
];

struct Key {
    key: PKey<Private>,
    public: SubjectPublicKeyInfoDer<'static>,
}

/// Checks that `der` is an RSAPrivateKey of two primes and nothing else: libcrypto ignores
/// what follows one.
fn structure(der: &[u8]) -> Result<(), Error> {
    const DAMAGED: Error = Error::BadKey("its PKCS#1 structure is damaged");
    let mut whole = Reader::new(der);
    let (Some(mut numbers), true) = (whole.sequence(), whole.is_empty()) else {
        return Err(DAMAGED);
    };
    match numbers.unsigned().ok_or(DAMAGED)? {
        [] => {}
        [1] => return Err(Error::Unsupported("RSA keys of more than two primes")),
        _ => return Err(DAMAGED),
    }
    // Modulus, two exponents, two primes and the three numbers that speed them up.
    for _ in 0..8 {
        numbers.unsigned().ok_or(DAMAGED)?;
    }
    if numbers.is_empty() {
        Ok(())
    } else {
        Err(DAMAGED)
    }
}

/// Loads an RSAPrivateKey (RFC 8017, appendix A.1.2).
pub(super) fn load(der: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    structure(der)?;
    let key = Rsa::private_key_from_der(der)
        .map_err(|_| Error::BadKey("libcrypto cannot use its numbers"))?;
    let bits = key.n().num_bits();
    if bits < *RSA_BITS.start() {
        return Err(Error::BadKey("RSA keys below 2048 bits are not secure"));
    }
    if bits > *RSA_BITS.end() {
        return Err(Error::BadKey(
            "RSA keys above 8192 bits are refused by peers",
        ));
    }
    let key = PKey::from_rsa(key).map_err(failed("load an RSA key"))?;
    let public = super::public_half(&key)?;
    let key = Key { key, public };
    // Proving the factors prime would take longer than a thousand handshakes. A signature
    // that verifies shows that the numbers belong together, which is what damage breaks.
    let digest = [0; 32];
    let consistent = key
        .sign_digest(Md::sha256(), &digest)
        .and_then(|signature| {
            key.context(Md::sha256(), false)?
                .verify(&digest, &signature)
        })
        .unwrap_or(false);
    clear_queue();
    if !consistent {
        return Err(Error::BadKey("its numbers do not belong together"));
    }
    Ok(Arc::new(key))
}

impl Key {
    /// A context for one signature: PSS with a salt as long as the hash and MGF1 over it
    /// (RFC 9846, section 4.3.3).
    fn context(&self, md: &MdRef, sign: bool) -> Result<PkeyCtx<Private>, ErrorStack> {
        let mut ctx = PkeyCtx::new(&self.key)?;
        if sign {
            ctx.sign_init()?;
        } else {
            ctx.verify_init()?;
        }
        ctx.set_rsa_padding(Padding::PKCS1_PSS)?;
        ctx.set_signature_md(md)?;
        ctx.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        Ok(ctx)
    }

    fn sign_digest(&self, md: &MdRef, digest: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signature = vec![0; self.key.size()];
        let len = self.context(md, true)?.sign(digest, Some(&mut signature))?;
        signature.truncate(len);
        Ok(signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::debug(f, SCHEMES)
    }
}

impl SigningKey for Key {
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn schemes(&self) -> &[SignatureScheme] {
        SCHEMES
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        _random: &dyn SecureRandom,
    ) -> Op<Vec<u8>> {
        let (hash, md) = match scheme {
            SignatureScheme::RSA_PSS_RSAE_SHA256 => (HashAlgorithm::Sha256, Md::sha256()),
            SignatureScheme::RSA_PSS_RSAE_SHA384 => (HashAlgorithm::Sha384, Md::sha384()),
            SignatureScheme::RSA_PSS_RSAE_SHA512 => (HashAlgorithm::Sha512, Md::sha512()),
            _ => return Op::err(Error::Unsupported("signature scheme of an RSA key")),
        };
        Op::Ready(digest(hash, message).and_then(|digest| {
            self.sign_digest(md, &digest)
                .map_err(failed("sign with RSA"))
        }))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
