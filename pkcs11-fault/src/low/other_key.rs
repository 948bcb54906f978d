//! Good signatures by the wrong key.

use std::{ffi::c_void, ptr};

use cryptoki_sys::*;

use super::inner::{Inner, check};
use crate::{
    engine::{Call, Engine},
    gate::lock,
    tokens::Operation,
};

/// Signs the data as the session's last operation did, with another key of the same kind.
///
/// The caller's operation must have ended, because the session is used for this one.
pub(super) fn sign(engine: &Engine, call: &Call, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let session = call.session.as_ref().ok_or(CKR_SESSION_HANDLE_INVALID)?;
    let operation = lock(&session.operation).clone();
    let mut operation = operation.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
    if !is_flat(operation.mechanism) && !operation.parameter.is_empty() {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    let twin = {
        let mut twins = engine.twins();
        let slot_and_key = (session.slot, operation.key);
        match twins.get(&slot_and_key) {
            Some(&twin) => twin,
            None => {
                let twin = generate(&engine.inner, session.inner, session.slot, operation.key)?;
                twins.insert(slot_and_key, twin);
                twin
            }
        }
    };
    let mut mechanism = mechanism(&mut operation);
    let init = engine.inner.v2.C_SignInit;
    let init = init.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
    // SAFETY: the mechanism's parameter lives in `operation`.
    check(unsafe { init(session.inner, &raw mut mechanism, twin) })?;
    let function = engine.inner.v2.C_Sign.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
    let mut signature = vec![0u8; 1024];
    let mut len = signature.len() as CK_ULONG;
    // The standard declares inputs writable and no module writes to them; a copy costs little.
    let mut data = data.to_vec();
    // SAFETY: the data are readable, the signature is writable, for the lengths passed.
    check(unsafe {
        function(
            session.inner,
            data.as_mut_ptr(),
            data.len() as CK_ULONG,
            signature.as_mut_ptr(),
            &raw mut len,
        )
    })?;
    signature.truncate(len as usize);
    Ok(signature)
}

fn mechanism(operation: &mut Operation) -> CK_MECHANISM {
    let len = operation.parameter.len();
    CK_MECHANISM {
        mechanism: operation.mechanism,
        pParameter: if len == 0 {
            ptr::null_mut()
        } else {
            operation.parameter.as_mut_ptr().cast()
        },
        ulParameterLen: len as CK_ULONG,
    }
}

/// Whether the mechanism's parameter points nowhere, so that its bytes may be kept.
fn is_flat(mechanism: CK_MECHANISM_TYPE) -> bool {
    matches!(
        mechanism,
        CKM_RSA_PKCS_PSS
            | CKM_SHA1_RSA_PKCS_PSS
            | CKM_SHA224_RSA_PKCS_PSS
            | CKM_SHA256_RSA_PKCS_PSS
            | CKM_SHA384_RSA_PKCS_PSS
            | CKM_SHA512_RSA_PKCS_PSS
    )
}

/// Generates a key of the same kind and size, in a session of its own that stays open: an
/// object of a session serves all sessions of the program (PKCS#11 3.1, section 5.6).
fn generate(
    inner: &Inner,
    session: CK_SESSION_HANDLE,
    slot: CK_SLOT_ID,
    key: CK_OBJECT_HANDLE,
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let kind = inner.attribute(session, key, CKA_KEY_TYPE)?;
    let kind = kind.try_into().map(CK_KEY_TYPE::from_ne_bytes);
    let kind = kind.map_err(|_| CKR_KEY_TYPE_INCONSISTENT)?;
    let (mechanism, size) = match kind {
        CKK_RSA => {
            let modulus = inner.attribute(session, key, CKA_MODULUS)?;
            let bits = (modulus.len() * 8) as CK_ULONG;
            let size = (CKA_MODULUS_BITS, bits.to_ne_bytes().to_vec());
            (CKM_RSA_PKCS_KEY_PAIR_GEN, size)
        }
        CKK_EC | CKK_EC_EDWARDS => {
            let params = inner.attribute(session, key, CKA_EC_PARAMS)?;
            let mechanism = if kind == CKK_EC {
                CKM_EC_KEY_PAIR_GEN
            } else {
                CKM_EC_EDWARDS_KEY_PAIR_GEN
            };
            (mechanism, (CKA_EC_PARAMS, params))
        }
        _ => return Err(CKR_KEY_TYPE_INCONSISTENT),
    };
    let mut public = Template::new(vec![size, yes(CKA_VERIFY)]);
    let mut private = Template::new(vec![yes(CKA_SIGN)]);

    let open = inner.v2.C_OpenSession.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
    let mut own = CK_INVALID_HANDLE;
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    // SAFETY: `own` is writable; no callback is passed.
    check(unsafe { open(slot, flags, ptr::null_mut(), None, &raw mut own) })?;

    let generate = inner.v2.C_GenerateKeyPair;
    let generate = generate.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
    let mut mechanism = CK_MECHANISM {
        mechanism,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    let (mut public_key, mut private_key) = (CK_INVALID_HANDLE, CK_INVALID_HANDLE);
    let (public, public_count) = public.raw();
    let (private, private_count) = private.raw();
    // SAFETY: mechanism and templates are live, and both handles writable.
    check(unsafe {
        generate(
            own,
            &raw mut mechanism,
            public,
            public_count,
            private,
            private_count,
            &raw mut public_key,
            &raw mut private_key,
        )
    })?;
    Ok(private_key)
}

/// A list of attributes, and the values that it points to.
struct Template {
    _values: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    attributes: Vec<CK_ATTRIBUTE>,
}

impl Template {
    fn new(mut values: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>) -> Self {
        let attribute = |(kind, value): &mut (CK_ATTRIBUTE_TYPE, Vec<u8>)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast::<c_void>(),
            ulValueLen: value.len() as CK_ULONG,
        };
        // The values' own buffers stay where they are when the outer list moves.
        let attributes = values.iter_mut().map(attribute).collect();
        Self {
            _values: values,
            attributes,
        }
    }

    fn raw(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        let count = self.attributes.len() as CK_ULONG;
        (self.attributes.as_mut_ptr(), count)
    }
}

fn yes(kind: CK_ATTRIBUTE_TYPE) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (kind, vec![CK_TRUE])
}
