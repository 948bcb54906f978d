//! The lists of functions that callers load, and the three functions that hand them out.

use std::ptr;

use cryptoki_sys::*;

use super::{forward::*, sign::*, special::*};
use crate::{engine::Engine, start};

/// The engine; started by whoever comes first.
pub(super) fn engine() -> Option<&'static Engine> {
    start::engine()
}

/// Builds a list: its type and version, and the functions that it has.
macro_rules! list {
    ($type:ident ($major:literal, $minor:literal) $($name:ident)+) => {
        $type {
            version: CK_VERSION { major: $major, minor: $minor },
            $($name: Some($name),)+
        }
    };
}

/// Passes the functions of PKCS#11 2.40 on, before those of a later version.
macro_rules! with_v2 {
    ($type:ident ($major:literal, $minor:literal) $($more:ident)*) => {
        list! {
            $type ($major, $minor)
            C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo
            C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN
            C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
            C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject
            C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue
            C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
            C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt
            C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey
            C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit
            C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal
            C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate
            C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair
            C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
            C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
            $($more)*
        }
    };
}

static V2: CK_FUNCTION_LIST = with_v2!(CK_FUNCTION_LIST(2, 40));

static V3: CK_FUNCTION_LIST_3_0 = with_v2! {
    CK_FUNCTION_LIST_3_0 (3, 0)
    C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit
    C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
    C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
    C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin
    C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
    C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
};

/// The interfaces, the newest first.
struct Interfaces([CK_INTERFACE; 2]);

// SAFETY: what it points to are statics, which nobody writes to.
unsafe impl Sync for Interfaces {}

static INTERFACES: Interfaces = Interfaces([interface(&raw const V3), interface(&raw const V2)]);

const fn interface<T>(list: *const T) -> CK_INTERFACE {
    CK_INTERFACE {
        pInterfaceName: c"PKCS 11".as_ptr().cast_mut().cast(),
        pFunctionList: list.cast_mut().cast(),
        flags: 0,
    }
}

/// The interfaces that the real module can fill.
fn interfaces() -> &'static [CK_INTERFACE] {
    let has_v3 = engine().is_some_and(|engine| engine.inner.v3.is_some());
    &INTERFACES.0[usize::from(!has_v3)..]
}

/// PKCS#11's entrance.
///
/// # Safety
/// As the standard has it: the argument is null or may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // The control socket listens from here on, before `C_Initialize`, which may be made to
    // fail too.
    let _ = engine();
    // SAFETY: the caller's promise.
    let Some(list) = (unsafe { list.as_mut() }) else {
        return CKR_ARGUMENTS_BAD;
    };
    *list = (&raw const V2).cast_mut();
    CKR_OK
}

/// The entrance of PKCS#11 3.0.
///
/// # Safety
/// As the standard has it: each pointer is null or fit for its use.
#[unsafe(no_mangle)]
unsafe extern "C" fn C_GetInterfaceList(list: *mut CK_INTERFACE, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the caller's promise.
    let Some(count) = (unsafe { count.as_mut() }) else {
        return CKR_ARGUMENTS_BAD;
    };
    let interfaces = interfaces();
    let room = std::mem::replace(count, interfaces.len() as CK_ULONG);
    if list.is_null() {
        return CKR_OK;
    }
    if room < *count {
        return CKR_BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller's promise: writable for `room` entries, which suffice.
    unsafe { ptr::copy_nonoverlapping(interfaces.as_ptr(), list, interfaces.len()) };
    CKR_OK
}

/// The entrance of PKCS#11 3.0 for who knows what he wants.
///
/// # Safety
/// As the standard has it: each pointer is null or fit for its use.
#[unsafe(no_mangle)]
unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    version: *mut CK_VERSION,
    interface: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    // SAFETY: the caller's promise.
    let Some(interface) = (unsafe { interface.as_mut() }) else {
        return CKR_ARGUMENTS_BAD;
    };
    // SAFETY: the caller's promise: null, or a C string.
    let other = !name.is_null() && unsafe { std::ffi::CStr::from_ptr(name.cast()) } != c"PKCS 11";
    // SAFETY: the caller's promise.
    let version = unsafe { version.as_ref() };
    let asked = version.map(|version| (version.major, version.minor));
    let fits = |candidate: &&CK_INTERFACE| {
        let v3 = ptr::eq(candidate.pFunctionList, (&raw const V3).cast());
        asked.is_none_or(|asked| asked == if v3 { (3, 0) } else { (2, 40) })
    };
    match interfaces().iter().find(fits) {
        Some(found) if !other && flags == 0 => {
            *interface = ptr::from_ref(found).cast_mut();
            CKR_OK
        }
        _ => CKR_FUNCTION_FAILED,
    }
}
