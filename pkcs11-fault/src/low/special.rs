//! The functions that this module takes part in: slots, tokens, sessions, login.

use std::{
    ffi::{CString, c_void},
    ptr, slice,
};

use cryptoki_sys::*;

use super::lists::engine;
use crate::{
    Function,
    engine::{Engine, Target},
    tokens::pin_flags,
};

/// The engine, or the answer of a module that could not be set up.
macro_rules! engine_or_fail {
    () => {
        match engine() {
            Some(engine) => engine,
            None => return CKR_GENERAL_ERROR,
        }
    };
}
pub(super) use engine_or_fail;

/// Calls a function of the real module, if it has it.
macro_rules! real {
    ($engine:ident.$name:ident($($arg:expr),*)) => {
        match $engine.inner.v2.$name {
            // SAFETY: the caller's promise; a session is the real module's own.
            Some(function) => unsafe { function($($arg),*) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        }
    };
}
pub(super) use real;

pub(super) unsafe extern "C" fn C_Initialize(args: *mut c_void) -> CK_RV {
    let engine = engine_or_fail!();
    let reserved = engine.settings().script.reserved.clone();
    // SAFETY: the caller's promise: null, or arguments that may be read.
    let given = unsafe { args.cast::<CK_C_INITIALIZE_ARGS>().as_ref() };
    let mut own = given.copied().unwrap_or_default();
    match reserved.map(CString::new) {
        Some(Ok(reserved)) if own.pReserved.is_null() => {
            own.pReserved = reserved.as_ptr().cast_mut().cast();
            let own: *mut c_void = (&raw mut own).cast();
            // `own` and what it points to live until the call is over.
            engine.initialize(|| real!(engine.C_Initialize(own)))
        }
        _ => engine.initialize(|| real!(engine.C_Initialize(args))),
    }
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    let engine = engine_or_fail!();
    engine.finalize(|| real!(engine.C_Finalize(reserved)))
}

pub(super) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetInfo, Target::Module, |_| {
        real!(engine.C_GetInfo(info))
    })
}

pub(super) unsafe extern "C" fn C_GetSlotList(
    present: CK_BBOOL,
    list: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetSlotList, Target::Module, |_| {
        let mut slots = match engine.inner.slots(present) {
            Ok(slots) => slots,
            Err(code) => return code,
        };
        if present != CK_FALSE {
            slots.retain(|&slot| !engine.tokens.is_away(engine.tokens.label(slot).as_deref()));
        }
        // SAFETY: the caller's promise: each null, or the number may be read and written and
        // the list written for as many entries as the number says.
        unsafe { hand_out(&slots, list, count) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetSlotInfo, Target::Slot(slot), |call| {
        let rv = real!(engine.C_GetSlotInfo(slot, info));
        // SAFETY: the caller's promise: null, or a struct that may be written.
        if let (CKR_OK, Some(info)) = (rv, unsafe { info.as_mut() })
            && engine.tokens.is_away(call.label.as_deref())
        {
            info.flags &= !CKF_TOKEN_PRESENT;
        }
        rv
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(
    slot: CK_SLOT_ID,
    info: *mut CK_TOKEN_INFO,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetTokenInfo, Target::Slot(slot), |call| {
        let rv = real!(engine.C_GetTokenInfo(slot, info));
        // SAFETY: the caller's promise: null, or a struct that may be written.
        if let (CKR_OK, Some(info)) = (rv, unsafe { info.as_mut() }) {
            let settings = engine.settings();
            let pin = settings.script.pin;
            if pin.tries > 0 {
                let failed = engine.tokens.failed(call.label.as_deref(), pin);
                info.flags &=
                    !(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
                info.flags |= pin_flags(pin, failed);
            }
            if settings.script.sessions > 0 {
                info.ulMaxSessionCount = settings.script.sessions as CK_ULONG;
                info.ulSessionCount = engine.tokens.open_sessions(Some(slot)) as CK_ULONG;
            }
        }
        rv
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetMechanismList, Target::Slot(slot), |_| {
        let mut mechanisms = match engine.inner.mechanisms(slot) {
            Ok(mechanisms) => mechanisms,
            Err(code) => return code,
        };
        let settings = engine.settings();
        mechanisms.retain(|&mechanism| !settings.lack(mechanism));
        // SAFETY: the caller's promise: each null, or the number may be read and written and
        // the list written for as many entries as the number says.
        unsafe { hand_out(&mechanisms, list, count) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_GetMechanismInfo, Target::Slot(slot), |_| {
        if engine.settings().lack(mechanism) {
            return CKR_MECHANISM_INVALID;
        }
        real!(engine.C_GetMechanismInfo(slot, mechanism, info))
    })
}

pub(super) unsafe extern "C" fn C_InitToken(
    slot: CK_SLOT_ID,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
    label: *mut CK_UTF8CHAR,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_InitToken, Target::Slot(slot), |_| {
        engine.tokens.forget(slot);
        real!(engine.C_InitToken(slot, pin, pin_len, label))
    })
}

/// The security officer sets the PIN anew, which unlocks it.
pub(super) unsafe extern "C" fn C_InitPIN(
    session: CK_SESSION_HANDLE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_InitPIN, Target::Session(session), |call| {
        let rv = real!(engine.C_InitPIN(call.handle(), pin, pin_len));
        if rv == CKR_OK {
            engine.tokens.set_failed(call.label.as_deref(), 0);
        }
        rv
    })
}

/// Callbacks are not passed on: they would name the real module's session.
pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: *mut c_void,
    _notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_OpenSession, Target::Slot(slot), |call| {
        let _opening = engine.opening();
        let limit = engine.settings().script.sessions;
        if limit > 0 && engine.tokens.open_sessions(Some(slot)) >= limit {
            return CKR_SESSION_COUNT;
        }
        // SAFETY: the caller's promise: null, or a handle that may be written.
        let Some(session) = (unsafe { session.as_mut() }) else {
            return CKR_ARGUMENTS_BAD;
        };
        let mut inner = CK_INVALID_HANDLE;
        let rv = real!(engine.C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut inner));
        if rv == CKR_OK {
            let handle = engine.tokens.open(inner, slot);
            // Of a lost answer, the session stays open and its handle unknown.
            *session = if call.lost { CK_INVALID_HANDLE } else { handle };
        }
        rv
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_CloseSession, Target::Session(session), |call| {
        let rv = real!(engine.C_CloseSession(call.handle()));
        if rv == CKR_OK {
            engine.tokens.close(session);
        }
        rv
    })
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_CloseAllSessions, Target::Slot(slot), |_| {
        let rv = real!(engine.C_CloseAllSessions(slot));
        if rv == CKR_OK {
            engine.tokens.close_all(slot);
            engine.twins().clear();
        }
        rv
    })
}

/// Counts wrong PINs, and locks where the real module would not.
pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_Login, Target::Session(session), |call| {
        let settings = engine.settings();
        let rule = settings.script.pin;
        let counts = rule.tries > 0 && user == CKU_USER;
        let label = call.label.as_deref();
        let failed = engine.tokens.failed(label, rule);
        if counts && failed >= rule.tries {
            return CKR_PIN_LOCKED;
        }
        if counts && failed + 1 == rule.tries {
            engine.counters.violations.count_login_at_final_try();
        }
        let rv = real!(engine.C_Login(call.handle(), user, pin, pin_len));
        match rv {
            CKR_PIN_INCORRECT if counts => engine.tokens.set_failed(label, failed + 1),
            CKR_OK if counts => engine.tokens.set_failed(label, 0),
            _ => {}
        }
        rv
    })
}

/// Waiting is refused: a call that waits in the real module could not be finalized.
pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    let engine = engine_or_fail!();
    engine.call(Function::C_WaitForSlotEvent, Target::Module, |_| {
        if flags & CKF_DONT_BLOCK == 0 {
            return CKR_FUNCTION_NOT_SUPPORTED;
        }
        real!(engine.C_WaitForSlotEvent(flags, slot, reserved))
    })
}

/// Gives a caller a list, or only its length (PKCS#11 3.1, section 5.2).
///
/// # Safety
/// `count` is null, or may be read and written; `list` is null, or writable for as many entries
/// as `count` says.
unsafe fn hand_out(entries: &[CK_ULONG], list: *mut CK_ULONG, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: by this function's condition.
    let Some(count) = (unsafe { count.as_mut() }) else {
        return CKR_ARGUMENTS_BAD;
    };
    let room = std::mem::replace(count, entries.len() as CK_ULONG);
    if list.is_null() {
        return CKR_OK;
    }
    if room < *count {
        return CKR_BUFFER_TOO_SMALL;
    }
    // SAFETY: by this function's condition writable for `room` entries, which suffice.
    unsafe { ptr::copy_nonoverlapping(entries.as_ptr(), list, entries.len()) };
    CKR_OK
}

/// Whether tokens lack the mechanism that a caller passed.
///
/// # Safety
/// `mechanism` is null, or may be read.
pub(super) unsafe fn lacks(engine: &Engine, mechanism: *const CK_MECHANISM) -> bool {
    // SAFETY: by this function's condition.
    let mechanism = unsafe { mechanism.as_ref() };
    mechanism.is_some_and(|mechanism| engine.settings().lack(mechanism.mechanism))
}

/// The bytes that a caller passed, null or not.
///
/// # Safety
/// `bytes` is null, or readable for `len` bytes as long as the slice is used.
pub(super) unsafe fn bytes<'a>(bytes: *const c_void, len: CK_ULONG) -> &'a [u8] {
    if bytes.is_null() {
        return &[];
    }
    // SAFETY: not null, and by this function's own condition readable for `len`.
    unsafe { slice::from_raw_parts(bytes.cast(), len as usize) }
}
