//! A module that exists in the tests of this crate only: a slot or several with a token, which
//! counts what it is asked.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard};

use cryptoki_sys as sys;
use sys::{CK_RV, CK_ULONG};

use super::Library;
use crate::module::lock;

/// What the token is like, and what has happened to it.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) flags: sys::CK_FLAGS,
    /// The slots, whose tokens are all alike; none is slot 7 alone.
    pub(crate) slots: Vec<sys::CK_SLOT_ID>,
    pub(crate) pin: &'static [u8],
    /// What a login answers, instead of looking at the PIN.
    pub(crate) login_answer: Option<CK_RV>,
    /// What the next functions that write a count or a length answer and write.
    pub(crate) counts: VecDeque<(CK_RV, CK_ULONG)>,
    /// The functions that were called, without those that only look.
    pub(crate) calls: Vec<&'static str>,
    /// The PINs that were presented; none for a null pointer.
    pub(crate) pins: Vec<Option<Vec<u8>>>,
    /// Whether those are kept.
    pub(crate) keeps_pins: bool,
    /// Handles that were closed.
    pub(crate) closed: Vec<sys::CK_SESSION_HANDLE>,
    next_session: sys::CK_SESSION_HANDLE,
}

const FRESH: Mock = Mock {
    flags: sys::CKF_TOKEN_INITIALIZED | sys::CKF_LOGIN_REQUIRED | sys::CKF_USER_PIN_INITIALIZED,
    slots: Vec::new(),
    pin: b"1234",
    login_answer: None,
    counts: VecDeque::new(),
    calls: Vec::new(),
    pins: Vec::new(),
    keeps_pins: true,
    closed: Vec::new(),
    next_session: 0,
};

static MOCK: Mutex<Mock> = Mutex::new(FRESH);
static TURN: Mutex<()> = Mutex::new(());

/// The mock for one test at a time, as new; and a library that leads to it.
pub(crate) fn mock() -> (MutexGuard<'static, ()>, Library) {
    let turn = lock(&TURN);
    *lock(&MOCK) = FRESH;
    crate::token::forget_latches();
    (turn, library())
}

/// A further library that leads to the mock as it is.
pub(crate) fn library() -> Library {
    let list = sys::CK_FUNCTION_LIST {
        C_Initialize: Some(initialize),
        C_Finalize: Some(finalize),
        C_GetSlotList: Some(slots),
        C_GetTokenInfo: Some(token_info),
        C_OpenSession: Some(open_session),
        C_CloseSession: Some(close_session),
        C_Login: Some(login),
        C_FindObjectsInit: Some(find_init),
        C_FindObjects: Some(find),
        C_FindObjectsFinal: Some(find_final),
        C_GetAttributeValue: Some(attribute),
        C_SignInit: Some(sign_init),
        C_Sign: Some(sign),
        ..Default::default()
    };
    Library::from_list(list)
}

/// The mock's state.
pub(crate) fn state() -> MutexGuard<'static, Mock> {
    lock(&MOCK)
}

unsafe extern "C" fn initialize(_: *mut c_void) -> CK_RV {
    let mut mock = state();
    mock.calls.push("C_Initialize");
    mock.next_session = 0;
    sys::CKR_OK
}

unsafe extern "C" fn finalize(_: *mut c_void) -> CK_RV {
    state().calls.push("C_Finalize");
    sys::CKR_OK
}

unsafe extern "C" fn slots(
    _: sys::CK_BBOOL,
    list: *mut sys::CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    let mut mock = state();
    if mock.slots.is_empty() {
        mock.slots.push(7);
    }
    if !list.is_null() {
        // SAFETY: the caller's buffer has room for more slots than any test has.
        unsafe { list.copy_from_nonoverlapping(mock.slots.as_ptr(), mock.slots.len()) };
    }
    let all = mock.slots.len() as CK_ULONG;
    let (code, slots) = mock.counts.pop_front().unwrap_or((sys::CKR_OK, all));
    // SAFETY: the caller's count is live.
    unsafe { count.write(slots) };
    code
}

unsafe extern "C" fn find_init(
    _: sys::CK_SESSION_HANDLE,
    _: *mut sys::CK_ATTRIBUTE,
    _: CK_ULONG,
) -> CK_RV {
    state().calls.push("C_FindObjectsInit");
    sys::CKR_OK
}

unsafe extern "C" fn find(
    _: sys::CK_SESSION_HANDLE,
    _: *mut sys::CK_OBJECT_HANDLE,
    _: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    let (code, found) = state().counts.pop_front().unwrap_or((sys::CKR_OK, 0));
    // SAFETY: the caller's count is live.
    unsafe { count.write(found) };
    code
}

unsafe extern "C" fn find_final(_: sys::CK_SESSION_HANDLE) -> CK_RV {
    state().calls.push("C_FindObjectsFinal");
    sys::CKR_OK
}

unsafe extern "C" fn attribute(
    _: sys::CK_SESSION_HANDLE,
    _: sys::CK_OBJECT_HANDLE,
    attribute: *mut sys::CK_ATTRIBUTE,
    _: CK_ULONG,
) -> CK_RV {
    let (code, length) = state().counts.pop_front().unwrap_or((sys::CKR_OK, 0));
    // SAFETY: the caller's attribute is live.
    unsafe { (*attribute).ulValueLen = length };
    code
}

unsafe extern "C" fn token_info(_: sys::CK_SLOT_ID, info: *mut sys::CK_TOKEN_INFO) -> CK_RV {
    let mut token = sys::CK_TOKEN_INFO {
        label: [b' '; 32],
        flags: state().flags,
        ..Default::default()
    };
    token.label[..4].copy_from_slice(b"mock");
    // SAFETY: the caller's structure is live.
    unsafe { info.write(token) };
    sys::CKR_OK
}

unsafe extern "C" fn open_session(
    _: sys::CK_SLOT_ID,
    _: sys::CK_FLAGS,
    _: *mut c_void,
    _: sys::CK_NOTIFY,
    session: *mut sys::CK_SESSION_HANDLE,
) -> CK_RV {
    let mut mock = state();
    mock.next_session += 1;
    // SAFETY: the caller's handle is live.
    unsafe { session.write(mock.next_session) };
    sys::CKR_OK
}

unsafe extern "C" fn close_session(session: sys::CK_SESSION_HANDLE) -> CK_RV {
    state().closed.push(session);
    sys::CKR_OK
}

unsafe extern "C" fn login(
    _: sys::CK_SESSION_HANDLE,
    user: sys::CK_USER_TYPE,
    pin: *mut sys::CK_UTF8CHAR,
    len: CK_ULONG,
) -> CK_RV {
    let pin = (!pin.is_null()).then(|| {
        // SAFETY: the caller's PIN has this length.
        unsafe { std::slice::from_raw_parts(pin, len as usize) }
    });
    let mut mock = state();
    mock.calls.push(if user == sys::CKU_CONTEXT_SPECIFIC {
        "C_Login for the operation"
    } else {
        "C_Login"
    });
    let right = pin.is_none_or(|pin| pin == mock.pin);
    if mock.keeps_pins {
        mock.pins.push(pin.map(<[u8]>::to_vec));
    }
    match mock.login_answer {
        Some(answer) => answer,
        None if right => sys::CKR_OK,
        None => sys::CKR_PIN_INCORRECT,
    }
}

unsafe extern "C" fn sign_init(
    _: sys::CK_SESSION_HANDLE,
    _: *mut sys::CK_MECHANISM,
    _: sys::CK_OBJECT_HANDLE,
) -> CK_RV {
    state().calls.push("C_SignInit");
    sys::CKR_OK
}

unsafe extern "C" fn sign(
    _: sys::CK_SESSION_HANDLE,
    _: *mut u8,
    _: CK_ULONG,
    _: *mut u8,
    len: *mut CK_ULONG,
) -> CK_RV {
    state().calls.push("C_Sign");
    // SAFETY: the caller's length is live.
    unsafe { len.write(64) };
    sys::CKR_OK
}
