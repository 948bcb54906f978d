//! CertificateVerify: what is signed, and how it is checked (RFC 9846, section 4.5.2).

use alloc::vec::Vec;

use crypto_api::{CryptoProvider, Digest, PublicKey, SignatureScheme};

use crate::verify::VerifiedPeer;
use crate::wire::messages::parse_certificate_verify;
use crate::{Error, Misbehaviour};

/// Whose signature it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    Client,
    Server,
}

/// The content that is signed: 64 spaces, a context, a zero and the transcript's hash.
pub(crate) fn content(signer: Signer, transcript: &Digest) -> Vec<u8> {
    let context: &[u8] = match signer {
        Signer::Client => b"TLS 1.3, client CertificateVerify\0",
        Signer::Server => b"TLS 1.3, server CertificateVerify\0",
    };
    [&[b' '; 64], context, transcript].concat()
}

/// Checks a CertificateVerify against the peer's key; returns its scheme.
pub(crate) fn check(
    provider: &CryptoProvider,
    accepted: &[SignatureScheme],
    peer: &VerifiedPeer,
    signer: Signer,
    transcript: &Digest,
    body: &[u8],
) -> Result<SignatureScheme, Error> {
    let (scheme, signature) = parse_certificate_verify(body)?;
    if !accepted.contains(&scheme) || !scheme.allowed_in_handshake() {
        return Err(Misbehaviour::WrongScheme(scheme).into());
    }
    let key = PublicKey::from_spki(&peer.public_key)
        .ok_or(Error::Decode("public key of the peer's certificate"))?;
    let algorithm = provider
        .verification(scheme, key.algorithm)
        .ok_or(Misbehaviour::WrongScheme(scheme))?;
    algorithm
        .verify_signature(key.key, &content(signer, transcript), signature)
        .map_err(|_| crypto_api::Error::BadSignature)?;
    Ok(scheme)
}
