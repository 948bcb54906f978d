//! The certificate chain that a token holds for a key.

use cryptoki_sys as sys;
use rustls_pki_types::CertificateDer;

use super::{Look, PublicHalf, Wanted};
use crate::der::Certificate;
use crate::error::Reason;
use crate::uri::{ObjectType, Uri};

/// The longest chain that is put together.
const LONGEST: usize = 10;

/// The chain of the key, the end entity's certificate first, without a self-signed root,
/// which TLS leaves out (RFC 9846, section 4.5.2). Empty if the token holds no certificate
/// for it.
///
/// Each certificate is read once: clusters limit how often. Of several certificates for the
/// key, as they lie there during a renewal, the one that is valid longest is taken.
///
/// # Errors
/// [`Reason::CertificateMismatch`] if there are certificates under the key's CKA_ID or the
/// URI's label and all of them belong to other keys.
pub(crate) fn chain(
    look: &Look<'_>,
    uri: &Uri,
    id: &[u8],
    public: &PublicHalf,
) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let mut all = Vec::new();
    let mut stranger = None;
    for handle in look.find(sys::CKO_CERTIFICATE, Wanted::default())? {
        let Some(der) = look.filled(handle, sys::CKA_VALUE)? else {
            continue;
        };
        let Some(certificate) = Certificate::parse(&der) else {
            continue;
        };
        if certificate.public_key != public.spki.as_ref() {
            let has_id = !id.is_empty() && look.filled(handle, sys::CKA_ID)?.as_deref() == Some(id);
            let has_label = uri.object.is_some()
                && look.filled(handle, sys::CKA_LABEL)?.as_deref()
                    == uri.object.as_deref().map(str::as_bytes);
            if has_id || has_label {
                stranger = Some(look.describe(handle, ObjectType::Certificate));
            }
        }
        all.push(der);
    }
    let chain = build(&all, public);
    match stranger {
        Some(certificate) if chain.is_empty() => Err(Reason::CertificateMismatch { certificate }),
        _ => Ok(chain),
    }
}

fn build(all: &[Vec<u8>], public: &PublicHalf) -> Vec<CertificateDer<'static>> {
    let mut parsed: Vec<_> = all
        .iter()
        .filter_map(|der| Some((der, Certificate::parse(der)?)))
        .collect();
    // Of those that fit equally, the last to expire.
    parsed.sort_by_key(|(_, certificate)| std::cmp::Reverse(certificate.not_after));
    let leaf = parsed
        .iter()
        .position(|(_, certificate)| certificate.public_key == public.spki.as_ref());
    let mut next = leaf;
    let mut chain = Vec::new();
    while let Some(at) = next {
        let (der, certificate) = parsed.remove(at);
        chain.push(CertificateDer::from(der.clone()));
        if chain.len() == LONGEST || certificate.issuer == certificate.subject {
            break;
        }
        next = parsed.iter().position(|(_, issuer)| {
            issuer.subject == certificate.issuer && issuer.subject != issuer.issuer
        });
    }
    chain
}
