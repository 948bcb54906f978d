//! Signing, where answers are spoilt.

use std::{ffi::c_void, slice, time::Instant};

use cryptoki_sys::*;

use super::{
    lists::engine,
    other_key,
    special::{bytes, engine_or_fail, lacks, real},
};
use crate::{
    Function,
    engine::{Call, Engine, Target},
    gate::lock,
    script::SignatureFault,
    tokens::Operation,
};

pub(super) unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_SignInit, Target::Session(session), |call| {
        let start = Instant::now();
        // SAFETY: the caller's promise: null, or a mechanism that may be read.
        if unsafe { lacks(engine, mechanism) } {
            return CKR_MECHANISM_INVALID;
        }
        let rv = real!(engine.C_SignInit(call.handle(), mechanism, key));
        if rv != CKR_OK {
            return rv;
        }
        // SAFETY: the caller's promise: null, or a mechanism that may be read.
        let mechanism = unsafe { mechanism.as_ref() };
        if let (Some(mechanism), Some(session)) = (mechanism, &call.session) {
            engine.counters.begun(mechanism.mechanism);
            *lock(&session.operation) = Some(Operation {
                init: start.elapsed(),
                mechanism: mechanism.mechanism,
                // SAFETY: the caller's promise: null, or readable for the stated length.
                parameter: unsafe { other_key::parameter(mechanism) },
                key,
            });
        }
        rv
    })
}

pub(super) unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    let real =
        |call: &Call| real!(engine.C_Sign(call.handle(), data, data_len, signature, signature_len));
    let target = Target::Session(session);
    if signature.is_null() {
        return engine.query(Function::C_Sign, target, real);
    }
    engine.call(Function::C_Sign, target, |call| {
        let mut rv = real(call);
        if rv == CKR_OK && call.signature == Some(SignatureFault::OtherKey) {
            // SAFETY: the caller's promise: readable for the stated length.
            let data = unsafe { bytes(data.cast(), data_len) };
            match other_key::sign(engine, call, data) {
                // SAFETY: after a success, the caller's buffer holds a signature of its key,
                // and the other key is of the same kind and size.
                Ok(other) => unsafe { replace(signature, signature_len, &other) },
                Err(code) => rv = code,
            }
        }
        // SAFETY: after a success, the buffer holds as many bytes as the length says.
        unsafe { spoil(engine, call, rv, signature, signature_len) };
        rv
    })
}

pub(super) unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    let real = |call: &Call| real!(engine.C_SignFinal(call.handle(), signature, signature_len));
    let target = Target::Session(session);
    if signature.is_null() {
        return engine.query(Function::C_SignFinal, target, real);
    }
    engine.call(Function::C_SignFinal, target, |call| {
        let rv = real(call);
        // SAFETY: after a success, the buffer holds as many bytes as the length says.
        unsafe { spoil(engine, call, rv, signature, signature_len) };
        rv
    })
}

pub(super) unsafe extern "C" fn C_SignMessage(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_len: CK_ULONG,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    let function = engine.inner.v3.and_then(|list| list.C_SignMessage);
    let real = |call: &Call| match function {
        // SAFETY: the caller's promise; the session is the real module's own.
        Some(function) => unsafe {
            function(
                call.handle(),
                parameter,
                parameter_len,
                data,
                data_len,
                signature,
                signature_len,
            )
        },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    };
    let target = Target::Session(session);
    if signature.is_null() {
        return engine.query(Function::C_SignMessage, target, real);
    }
    engine.call(Function::C_SignMessage, target, |call| {
        let rv = real(call);
        // SAFETY: after a success, the buffer holds as many bytes as the length says.
        unsafe { spoil(engine, call, rv, signature, signature_len) };
        rv
    })
}

/// Does to a signature what the plan says.
///
/// # Safety
/// If `rv` is `CKR_OK`, `len` may be read and written, and `signature` for as many bytes as
/// `len` says; neither is used elsewhere meanwhile.
unsafe fn spoil(
    engine: &Engine,
    call: &Call,
    rv: CK_RV,
    signature: *mut CK_BYTE,
    len: *mut CK_ULONG,
) {
    if rv != CKR_OK || (call.signature.is_none() && !call.lost) {
        return;
    }
    // SAFETY: by this function's condition, as `rv` is `CKR_OK`.
    let len = unsafe { &mut *len };
    // SAFETY: likewise.
    let signature = unsafe { slice::from_raw_parts_mut(signature, *len as usize) };
    if call.lost {
        signature.fill(0);
    } else if let Some(end) = signature.len().checked_sub(1) {
        match call.signature {
            Some(SignatureFault::Flip) => {
                signature[engine.chance(end + 1)] ^= 1 << engine.chance(8);
            }
            Some(SignatureFault::Truncate) => {
                signature[end] = 0;
                *len -= 1;
            }
            Some(SignatureFault::OtherKey) | None => {}
        }
    }
}

/// Puts another signature in a signature's place.
///
/// # Safety
/// `len` may be read and written, and `signature` for as many bytes as `len` says; neither
/// is used elsewhere meanwhile.
unsafe fn replace(signature: *mut CK_BYTE, len: *mut CK_ULONG, other: &[u8]) {
    // SAFETY: by this function's condition.
    let room = unsafe { &mut *len };
    let count = other.len().min(*room as usize);
    *room = count as CK_ULONG;
    // SAFETY: by this function's condition, as `count` is no more than what `len` said.
    let place = unsafe { slice::from_raw_parts_mut(signature, count) };
    place.copy_from_slice(&other[..count]);
}
