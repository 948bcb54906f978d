//! The functions that are handed on as they are, once the rules let them pass.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::{lists::engine, special::lacks};
use crate::{Function, engine::Target};

/// Defines functions of a session: a list of arguments, and the functions that take it.
macro_rules! forward {
    ($list:ident: $($args:tt => $($name:ident)+;)*) => {
        $(forward!(@group $list $args $($name)+);)*
    };
    (@group $list:ident $args:tt $($name:ident)+) => {
        $(forward!(@one $list $name $args);)+
    };
    // Some take a mechanism first, which the token may be said not to have.
    (@lacks $engine:ident ($mechanism:ident: *mut CK_MECHANISM $($rest:tt)*)) => {
        // SAFETY: the caller's promise: null, or a mechanism that may be read.
        unsafe { lacks($engine, $mechanism) }
    };
    (@lacks $engine:ident $args:tt) => { false };
    (@one $list:ident $name:ident $args:tt) => {
        forward!(@one $list $name $args $args);
    };
    (@one $list:ident $name:ident $all:tt ($($arg:ident: $type:ty),*)) => {
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            $($arg: $type),*
        ) -> CK_RV {
            let Some(engine) = engine() else {
                return CKR_GENERAL_ERROR;
            };
            engine.call(Function::$name, Target::Session(session), |call| {
                if forward!(@lacks engine $all) {
                    return CKR_MECHANISM_INVALID;
                }
                match forward!(@function engine $list $name) {
                    // SAFETY: the caller's promise; the session is the real module's own.
                    Some(function) => unsafe { function(call.handle(), $($arg),*) },
                    None => CKR_FUNCTION_NOT_SUPPORTED,
                }
            })
        }
    };
    (@function $engine:ident v2 $name:ident) => { $engine.inner.v2.$name };
    (@function $engine:ident v3 $name:ident) => {
        $engine.inner.v3.and_then(|list| list.$name)
    };
}

forward! { v2:
    () => C_Logout C_FindObjectsFinal C_GetFunctionStatus C_CancelFunction;
    (info: *mut CK_SESSION_INFO) => C_GetSessionInfo;
    (old: *mut CK_UTF8CHAR, old_len: CK_ULONG, new: *mut CK_UTF8CHAR, new_len: CK_ULONG)
        => C_SetPIN;
    (state: *mut CK_BYTE, state_len: *mut CK_ULONG) => C_GetOperationState;
    (state: *mut CK_BYTE, state_len: CK_ULONG, encryption: CK_OBJECT_HANDLE,
     authentication: CK_OBJECT_HANDLE)
        => C_SetOperationState;

    (template: *mut CK_ATTRIBUTE, count: CK_ULONG, object: *mut CK_OBJECT_HANDLE)
        => C_CreateObject;
    (object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG,
     copy: *mut CK_OBJECT_HANDLE)
        => C_CopyObject;
    (object: CK_OBJECT_HANDLE) => C_DestroyObject C_DigestKey;
    (object: CK_OBJECT_HANDLE, size: *mut CK_ULONG) => C_GetObjectSize;
    (object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG)
        => C_GetAttributeValue C_SetAttributeValue;
    (template: *mut CK_ATTRIBUTE, count: CK_ULONG) => C_FindObjectsInit;
    (objects: *mut CK_OBJECT_HANDLE, room: CK_ULONG, count: *mut CK_ULONG) => C_FindObjects;

    (mechanism: *mut CK_MECHANISM) => C_DigestInit;
    (mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE)
        => C_EncryptInit C_DecryptInit C_SignRecoverInit C_VerifyInit C_VerifyRecoverInit;
    (input: *mut CK_BYTE, input_len: CK_ULONG, output: *mut CK_BYTE, output_len: *mut CK_ULONG)
        => C_Encrypt C_EncryptUpdate C_Decrypt C_DecryptUpdate C_Digest C_SignRecover
           C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate
           C_DecryptVerifyUpdate;
    (output: *mut CK_BYTE, output_len: *mut CK_ULONG)
        => C_EncryptFinal C_DecryptFinal C_DigestFinal;
    (input: *mut CK_BYTE, input_len: CK_ULONG)
        => C_DigestUpdate C_SignUpdate C_VerifyUpdate C_VerifyFinal C_SeedRandom
           C_GenerateRandom;
    (input: *mut CK_BYTE, input_len: CK_ULONG, signature: *mut CK_BYTE,
     signature_len: CK_ULONG)
        => C_Verify;

    (mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG,
     key: *mut CK_OBJECT_HANDLE)
        => C_GenerateKey;
    (mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG,
     private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE,
     private_key: *mut CK_OBJECT_HANDLE)
        => C_GenerateKeyPair;
    (mechanism: *mut CK_MECHANISM, wrapping: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE,
     wrapped: *mut CK_BYTE, wrapped_len: *mut CK_ULONG)
        => C_WrapKey;
    (mechanism: *mut CK_MECHANISM, unwrapping: CK_OBJECT_HANDLE, wrapped: *mut CK_BYTE,
     wrapped_len: CK_ULONG, template: *mut CK_ATTRIBUTE, count: CK_ULONG,
     key: *mut CK_OBJECT_HANDLE)
        => C_UnwrapKey;
    (mechanism: *mut CK_MECHANISM, base: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE,
     count: CK_ULONG, key: *mut CK_OBJECT_HANDLE)
        => C_DeriveKey;
}

forward! { v3:
    () => C_MessageEncryptFinal C_MessageDecryptFinal C_MessageSignFinal C_MessageVerifyFinal;
    (user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, pin_len: CK_ULONG, name: *mut CK_UTF8CHAR,
     name_len: CK_ULONG)
        => C_LoginUser;
    (flags: CK_FLAGS) => C_SessionCancel;
    (mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE)
        => C_MessageEncryptInit C_MessageDecryptInit C_MessageSignInit C_MessageVerifyInit;
    (parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
     associated_len: CK_ULONG, input: *mut CK_BYTE, input_len: CK_ULONG, output: *mut CK_BYTE,
     output_len: *mut CK_ULONG)
        => C_EncryptMessage C_DecryptMessage;
    (parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
     associated_len: CK_ULONG)
        => C_EncryptMessageBegin C_DecryptMessageBegin;
    (parameter: *mut c_void, parameter_len: CK_ULONG, input: *mut CK_BYTE,
     input_len: CK_ULONG, output: *mut CK_BYTE, output_len: *mut CK_ULONG, flags: CK_FLAGS)
        => C_EncryptMessageNext C_DecryptMessageNext;
    (parameter: *mut c_void, parameter_len: CK_ULONG)
        => C_SignMessageBegin C_VerifyMessageBegin;
    (parameter: *mut c_void, parameter_len: CK_ULONG, input: *mut CK_BYTE,
     input_len: CK_ULONG, signature: *mut CK_BYTE, signature_len: *mut CK_ULONG)
        => C_SignMessageNext;
    (parameter: *mut c_void, parameter_len: CK_ULONG, input: *mut CK_BYTE,
     input_len: CK_ULONG, signature: *mut CK_BYTE, signature_len: CK_ULONG)
        => C_VerifyMessage C_VerifyMessageNext;
}
