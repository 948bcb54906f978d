//! Good signatures by the wrong key.

use std::{ffi::c_void, ptr};

use cryptoki_sys::*;

use super::inner::{Inner, check};
use crate::{
    engine::{Call, Engine},
    gate::lock,
    tokens::{Operation, Parameter},
};

/// Signs the data as the session's last operation did, with another key of the same kind.
///
/// The caller's operation must have ended, because the session is used for this one.
pub(super) fn sign(engine: &Engine, call: &Call, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let session = call.session.as_ref().ok_or(CKR_SESSION_HANDLE_INVALID)?;
    let operation = lock(&session.operation).clone();
    let mut operation = operation.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
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
    let mut mechanism = mechanism(&mut operation)?;
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

/// The operation's mechanism, which points into it.
fn mechanism(operation: &mut Operation) -> Result<CK_MECHANISM, CK_RV> {
    let (parameter, len) = match &mut operation.parameter {
        Parameter::None => (ptr::null_mut(), 0),
        Parameter::Pss(pss) => (ptr::from_mut(pss).cast(), size_of_val(pss)),
        Parameter::Other => return Err(CKR_MECHANISM_PARAM_INVALID),
    };
    Ok(CK_MECHANISM {
        mechanism: operation.mechanism,
        pParameter: parameter,
        ulParameterLen: len as CK_ULONG,
    })
}

/// A copy of a mechanism's parameter, if it has one that points nowhere.
///
/// # Safety
/// The mechanism's parameter is null, or readable for the stated length.
pub(super) unsafe fn parameter(mechanism: &CK_MECHANISM) -> Parameter {
    let (pointer, len) = (mechanism.pParameter, mechanism.ulParameterLen);
    let is_pss = matches!(
        mechanism.mechanism,
        CKM_RSA_PKCS_PSS
            | CKM_SHA1_RSA_PKCS_PSS
            | CKM_SHA224_RSA_PKCS_PSS
            | CKM_SHA256_RSA_PKCS_PSS
            | CKM_SHA384_RSA_PKCS_PSS
            | CKM_SHA512_RSA_PKCS_PSS
    );
    if pointer.is_null() || len == 0 {
        Parameter::None
    } else if is_pss && len as usize == size_of::<CK_RSA_PKCS_PSS_PARAMS>() {
        // SAFETY: by this function's condition readable for the length, which is that of the
        // struct; a caller's may lie anywhere.
        Parameter::Pss(unsafe { pointer.cast::<CK_RSA_PKCS_PSS_PARAMS>().read_unaligned() })
    } else {
        Parameter::Other
    }
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
            let size = (CKA_MODULUS_BITS, Value::Number(bits));
            (CKM_RSA_PKCS_KEY_PAIR_GEN, size)
        }
        CKK_EC | CKK_EC_EDWARDS => {
            let params = inner.attribute(session, key, CKA_EC_PARAMS)?;
            let mechanism = if kind == CKK_EC {
                CKM_EC_KEY_PAIR_GEN
            } else {
                CKM_EC_EDWARDS_KEY_PAIR_GEN
            };
            (mechanism, (CKA_EC_PARAMS, Value::Bytes(params)))
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

/// An attribute's value, as aligned as a module may expect it.
enum Value {
    Number(CK_ULONG),
    Yes(CK_BBOOL),
    Bytes(Vec<u8>),
}

/// A list of attributes, and the values that it points to.
struct Template {
    values: Vec<(CK_ATTRIBUTE_TYPE, Value)>,
    attributes: Vec<CK_ATTRIBUTE>,
}

impl Template {
    fn new(values: Vec<(CK_ATTRIBUTE_TYPE, Value)>) -> Self {
        Self {
            values,
            attributes: Vec::new(),
        }
    }

    /// The attributes, which are good until the template is used again.
    fn raw(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        let attribute = |(kind, value): &mut (CK_ATTRIBUTE_TYPE, Value)| {
            let (pointer, len): (*mut c_void, usize) = match value {
                Value::Number(number) => (ptr::from_mut(number).cast(), size_of_val(number)),
                Value::Yes(yes) => (ptr::from_mut(yes).cast(), size_of_val(yes)),
                Value::Bytes(bytes) => (bytes.as_mut_ptr().cast(), bytes.len()),
            };
            CK_ATTRIBUTE {
                type_: *kind,
                pValue: pointer,
                ulValueLen: len as CK_ULONG,
            }
        };
        self.attributes = self.values.iter_mut().map(attribute).collect();
        let count = self.attributes.len() as CK_ULONG;
        (self.attributes.as_mut_ptr(), count)
    }
}

fn yes(kind: CK_ATTRIBUTE_TYPE) -> (CK_ATTRIBUTE_TYPE, Value) {
    (kind, Value::Yes(CK_TRUE))
}
