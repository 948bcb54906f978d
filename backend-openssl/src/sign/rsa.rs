//! RSASSA-PSS (RFC 8017, section 8.1) with keys marked rsaEncryption.

use std::fmt;
use std::sync::Arc;

use crypto_api::{
    Error, HashAlgorithm, Implementation, Op, SecureRandom, SignatureScheme, SigningKey,
};
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::pkey_ctx::{PkeyCtx, PkeyCtxRef};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::RsaPssSaltlen;
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::der::Reader;
use crate::error::{clear_queue, failed};
use crate::hash::digest;
use crate::low;
use crate::verify::RSA_BITS;

const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_RSAE_SHA256,
    SignatureScheme::RSA_PSS_RSAE_SHA384,
    SignatureScheme::RSA_PSS_RSAE_SHA512,
];

/// A key, held by the contexts that sign with it, one for each hash function: what they
/// look up and are set to costs more than the rest of a signature's padding.
struct Key {
    sha256: PkeyCtx<Private>,
    sha384: PkeyCtx<Private>,
    sha512: PkeyCtx<Private>,
    len: usize,
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
    let unusable = |_: ErrorStack| Error::BadKey("libcrypto cannot use its numbers");
    let key = Rsa::private_key_from_der(der).map_err(unusable)?;
    let bits = key.n().num_bits();
    if bits < *RSA_BITS.start() {
        return Err(Error::BadKey("RSA keys below 2048 bits are not secure"));
    }
    if bits > *RSA_BITS.end() {
        return Err(Error::BadKey(
            "RSA keys above 8192 bits are refused by peers",
        ));
    }
    let pkey = PKey::from_rsa(key).map_err(failed("load an RSA key"))?;
    let public = super::public_half(&pkey)?;
    let make = || {
        Ok(Key {
            sha256: context(&pkey, Md::sha256(), PkeyCtxRef::sign_init)?,
            sha384: context(&pkey, Md::sha384(), PkeyCtxRef::sign_init)?,
            sha512: context(&pkey, Md::sha512(), PkeyCtxRef::sign_init)?,
            len: pkey.size(),
            public,
        })
    };
    let key = make().map_err(unusable)?;
    // Proving the factors prime would take longer than a thousand handshakes. A signature
    // that verifies shows that the numbers belong together, which is what damage breaks.
    let digest = [0; 32];
    let consistent = key
        .sign_digest(&key.sha256, &digest)
        .and_then(|signature| {
            context(&pkey, Md::sha256(), PkeyCtxRef::verify_init)?.verify(&digest, &signature)
        })
        .unwrap_or(false);
    clear_queue();
    if !consistent {
        return Err(Error::BadKey("its numbers do not belong together"));
    }
    Ok(Arc::new(key))
}

/// A context that `init` prepares: PSS with a salt as long as the hash and MGF1 over it
/// (RFC 9846, section 4.3.3).
fn context(
    key: &PKeyRef<Private>,
    md: &MdRef,
    init: fn(&mut PkeyCtxRef<Private>) -> Result<(), ErrorStack>,
) -> Result<PkeyCtx<Private>, ErrorStack> {
    let mut ctx = PkeyCtx::new(key)?;
    init(&mut ctx)?;
    ctx.set_rsa_padding(Padding::PKCS1_PSS)?;
    ctx.set_signature_md(md)?;
    ctx.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
    Ok(ctx)
}

impl Key {
    fn sign_digest(&self, ctx: &PkeyCtxRef<Private>, digest: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signature = vec![0; self.len];
        let len = low::pkey::duplicate(ctx)?.sign(digest, Some(&mut signature))?;
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
        let (hash, ctx) = match scheme {
            SignatureScheme::RSA_PSS_RSAE_SHA256 => (HashAlgorithm::Sha256, &self.sha256),
            SignatureScheme::RSA_PSS_RSAE_SHA384 => (HashAlgorithm::Sha384, &self.sha384),
            SignatureScheme::RSA_PSS_RSAE_SHA512 => (HashAlgorithm::Sha512, &self.sha512),
            _ => return Op::err(Error::Unsupported("signature scheme of an RSA key")),
        };
        Op::Ready(digest(hash, message).and_then(|digest| {
            self.sign_digest(ctx, &digest)
                .map_err(failed("sign with RSA"))
        }))
    }

    fn implementation(&self) -> Implementation {
        crate::implementation()
    }
}
