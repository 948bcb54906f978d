//! Which object a URI means.

use cryptoki_sys as sys;
use sys::CK_OBJECT_HANDLE;

use super::{Look, PublicHalf, Wanted, public_half};
use crate::error::Reason;
use crate::uri::{ObjectType, Uri};

/// A private key that was found.
pub(crate) struct Found {
    pub(crate) handle: CK_OBJECT_HANDLE,
    /// CKA_ID; empty if it has none.
    pub(crate) id: Vec<u8>,
    pub(crate) public: PublicHalf,
    pub(crate) always_authenticate: bool,
}

/// The one private key that the URI means.
///
/// The label may be the key's own; or, as some tokens give labels to certificates only, that
/// of a certificate or public key, which then leads to the private key by its CKA_ID.
///
/// When the key has been known before, `known` is its public half: it is found again among
/// several, and another key in its place is an error.
pub(crate) fn private_key(
    look: &Look<'_>,
    uri: &Uri,
    known: Option<&PublicHalf>,
) -> Result<Found, Reason> {
    const WHAT: &str = "private key";
    // A URI of something else is a mistake, even if a key has that label too.
    if let Some(found @ (ObjectType::Data | ObjectType::SecretKey)) = uri.object_type {
        return Err(Reason::WrongType { what: WHAT, found });
    }
    let wanted = Wanted {
        label: uri.object.as_deref(),
        id: uri.id.as_deref(),
    };
    let mut handles = Vec::new();
    if by_key(uri) {
        handles = look.find(sys::CKO_PRIVATE_KEY, wanted)?;
    }
    if handles.is_empty() {
        handles = by_companion(look, uri, wanted)?;
    }
    let mut candidates = Vec::new();
    let mut unread = None;
    for handle in &handles {
        let public = public_half(look, *handle);
        match known {
            // One among several that cannot be read need not be the one that is looked for.
            Some(known) => match public {
                Ok(public) if public == *known => {
                    candidates.push((*handle, Ok(public)));
                    break;
                }
                Ok(_) => {}
                Err(reason) => unread = Some(reason),
            },
            None => candidates.push((*handle, public)),
        }
    }
    let mut candidates = candidates.into_iter();
    match (candidates.next(), candidates.next()) {
        (Some((handle, public)), None) => {
            if look.flag(handle, sys::CKA_SIGN)? == Some(false) {
                return Err(Reason::NotForSigning);
            }
            let always = look.flag(handle, sys::CKA_ALWAYS_AUTHENTICATE)?;
            Ok(Found {
                handle,
                id: look.attribute(handle, sys::CKA_ID)?.unwrap_or_default(),
                public: public?,
                always_authenticate: always == Some(true),
            })
        }
        (None, _) if handles.is_empty() => {
            let present = look.find(sys::CKO_PRIVATE_KEY, Wanted::default())?;
            Err(Reason::NoObject {
                what: WHAT,
                present: look.describe_all(&present, ObjectType::Private),
            })
        }
        // It may be the one that the token failed to show.
        (None, _) => Err(unread.unwrap_or(Reason::OtherKey)),
        (Some(_), Some(_)) => Err(Reason::ManyObjects {
            what: WHAT,
            found: look.describe_all(&handles, ObjectType::Private),
        }),
    }
}

/// Whether the URI may mean the private key itself: `type=cert` and `type=public` name it by
/// its certificate or public half.
fn by_key(uri: &Uri) -> bool {
    !matches!(
        uri.object_type,
        Some(ObjectType::Certificate | ObjectType::Public)
    )
}

/// The private keys under the CKA_ID of the certificates, else public keys, that the URI
/// means.
fn by_companion(
    look: &Look<'_>,
    uri: &Uri,
    wanted: Wanted<'_>,
) -> Result<Vec<CK_OBJECT_HANDLE>, Reason> {
    if wanted.label.is_none() && wanted.id.is_none() && by_key(uri) {
        return Ok(Vec::new());
    }
    for class in [sys::CKO_CERTIFICATE, sys::CKO_PUBLIC_KEY] {
        let excluded = match uri.object_type {
            Some(ObjectType::Certificate) => class != sys::CKO_CERTIFICATE,
            Some(ObjectType::Public) => class != sys::CKO_PUBLIC_KEY,
            _ => false,
        };
        if excluded {
            continue;
        }
        let mut ids: Vec<Vec<u8>> = Vec::new();
        for companion in look.find(class, wanted)? {
            if let Some(id) = look.filled(companion, sys::CKA_ID)?
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let mut keys = Vec::new();
        for id in &ids {
            let wanted = Wanted {
                label: None,
                id: Some(id),
            };
            keys.extend(look.find(sys::CKO_PRIVATE_KEY, wanted)?);
        }
        if !keys.is_empty() {
            return Ok(keys);
        }
    }
    Ok(Vec::new())
}

/// A public key object with this public half, for `C_Verify`.
pub(crate) fn public_key_handle(
    look: &Look<'_>,
    id: &[u8],
    public: &PublicHalf,
) -> Result<Option<CK_OBJECT_HANDLE>, Reason> {
    let wanted = Wanted {
        label: None,
        id: Some(id),
    };
    for handle in look.find(sys::CKO_PUBLIC_KEY, wanted)? {
        if public_half(look, handle).is_ok_and(|found| found == *public) {
            return Ok(Some(handle));
        }
    }
    Ok(None)
}

/// The one secret key that the URI means.
pub(crate) fn secret_key(look: &Look<'_>, uri: &Uri) -> Result<CK_OBJECT_HANDLE, Reason> {
    const WHAT: &str = "secret key";
    match uri.object_type {
        None | Some(ObjectType::SecretKey) => {}
        Some(found) => return Err(Reason::WrongType { what: WHAT, found }),
    }
    let wanted = Wanted {
        label: uri.object.as_deref(),
        id: uri.id.as_deref(),
    };
    match look.find(sys::CKO_SECRET_KEY, wanted)?.as_slice() {
        [one] => Ok(*one),
        [] => {
            let present = look.find(sys::CKO_SECRET_KEY, Wanted::default())?;
            Err(Reason::NoObject {
                what: WHAT,
                present: look.describe_all(&present, ObjectType::SecretKey),
            })
        }
        several => Err(Reason::ManyObjects {
            what: WHAT,
            found: look.describe_all(several, ObjectType::SecretKey),
        }),
    }
}
