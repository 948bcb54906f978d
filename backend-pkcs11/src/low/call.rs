//! One safe function per PKCS#11 function that this crate uses.

use std::ffi::c_void;
use std::ptr::null_mut;

use cryptoki_sys as sys;
use sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG,
};

use super::Library;
use crate::code::{Code, Failure};

/// An attribute's value in a template. Numbers are passed as such, because a module may
/// read them through an aligned pointer.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(CK_ULONG),
    Bytes(&'a [u8]),
}

/// A mechanism with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// One without parameters.
    Plain(CK_MECHANISM_TYPE),
    /// RSASSA-PSS, raw or combined with a hash.
    Pss {
        mechanism: CK_MECHANISM_TYPE,
        hash: CK_MECHANISM_TYPE,
        mgf: sys::CK_RSA_PKCS_MGF_TYPE,
        salt_len: CK_ULONG,
    },
    /// CKM_EDDSA with parameters that ask for the pure form without a context.
    EddsaWithParameters,
}

impl Mechanism {
    /// The CKM_ value.
    pub(crate) fn id(&self) -> CK_MECHANISM_TYPE {
        match self {
            Self::Plain(mechanism) | Self::Pss { mechanism, .. } => *mechanism,
            Self::EddsaWithParameters => sys::CKM_EDDSA,
        }
    }
}

/// Who logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// The token's user.
    Normal,
    /// The user again, for one operation of a key with CKA_ALWAYS_AUTHENTICATE.
    ContextSpecific,
}

/// What a token says of a mechanism.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MechanismInfo {
    pub(crate) signs: bool,
}

/// A C function's length argument. No slice is longer than `isize::MAX`, and where
/// `CK_ULONG` is shorter nothing that is passed here comes near its end.
fn len(bytes: &[u8]) -> CK_ULONG {
    CK_ULONG::try_from(bytes.len()).unwrap_or(CK_ULONG::MAX)
}

/// A pointer for an argument that C declares as mutable and only reads.
fn read_only(bytes: &[u8]) -> *mut u8 {
    bytes.as_ptr().cast_mut()
}

fn check(function: &'static str, code: sys::CK_RV) -> Result<(), Failure> {
    if code == sys::CKR_OK {
        return Ok(());
    }
    let code = Code::new(code);
    Err(Failure { function, code })
}

/// The function of this name, if the module has it.
macro_rules! function {
    ($library:ident.$name:ident) => {
        $library.list.$name.ok_or(Failure {
            function: stringify!($name),
            code: Code::new(sys::CKR_FUNCTION_NOT_SUPPORTED),
        })?
    };
}

impl Library {
    /// `C_Initialize`, for use from several threads with the system's locks. `reserved` is
    /// for modules that take a configuration there, as NSS does.
    pub(crate) fn initialize(&self, reserved: Option<&std::ffi::CStr>) -> Result<(), Failure> {
        let mut arguments = sys::CK_C_INITIALIZE_ARGS {
            flags: sys::CKF_OS_LOCKING_OK,
            pReserved: reserved.map_or(null_mut(), |text| text.as_ptr().cast_mut().cast()),
            ..Default::default()
        };
        let initialize = function!(self.C_Initialize);
        // SAFETY: the argument is a live CK_C_INITIALIZE_ARGS, which the function reads.
        let code = unsafe { initialize((&raw mut arguments).cast::<c_void>()) };
        check("C_Initialize", code)
    }

    /// `C_Finalize`. The caller sees to it that no other call is under way.
    pub(crate) fn finalize(&self) -> Result<(), Failure> {
        let finalize = function!(self.C_Finalize);
        // SAFETY: the argument must be null (PKCS#11 3.1, section 5.4).
        let code = unsafe { finalize(null_mut()) };
        check("C_Finalize", code)
    }

    pub(crate) fn info(&self) -> Result<sys::CK_INFO, Failure> {
        let mut info = sys::CK_INFO::default();
        let get = function!(self.C_GetInfo);
        // SAFETY: the argument points to a live CK_INFO, which the function fills in.
        let code = unsafe { get(&raw mut info) };
        check("C_GetInfo", code).map(|()| info)
    }

    /// The slots that have a token.
    pub(crate) fn slots(&self) -> Result<Vec<CK_SLOT_ID>, Failure> {
        let get = function!(self.C_GetSlotList);
        let mut count = 0;
        // SAFETY: without a buffer the function only writes the count, which is live.
        let code = unsafe { get(sys::CK_TRUE, null_mut(), &raw mut count) };
        check("C_GetSlotList", code)?;
        let known = plausible(count, MOST_SLOTS, "C_GetSlotList")?;
        // Tokens may be plugged in meanwhile.
        let mut slots: Vec<CK_SLOT_ID> = vec![0; known + 16];
        count = slots.len() as CK_ULONG;
        // SAFETY: the buffer has room for `count` slots, which the function is told.
        let code = unsafe { get(sys::CK_TRUE, slots.as_mut_ptr(), &raw mut count) };
        check("C_GetSlotList", code)?;
        let got = plausible(count, slots.len(), "C_GetSlotList")?;
        slots.truncate(got);
        Ok(slots)
    }

    pub(crate) fn slot_info(&self, slot: CK_SLOT_ID) -> Result<sys::CK_SLOT_INFO, Failure> {
        let mut info = sys::CK_SLOT_INFO::default();
        let get = function!(self.C_GetSlotInfo);
        // SAFETY: the second argument points to a live CK_SLOT_INFO to be filled in.
        let code = unsafe { get(slot, &raw mut info) };
        check("C_GetSlotInfo", code).map(|()| info)
    }

    pub(crate) fn token_info(&self, slot: CK_SLOT_ID) -> Result<sys::CK_TOKEN_INFO, Failure> {
        let mut info = sys::CK_TOKEN_INFO::default();
        let get = function!(self.C_GetTokenInfo);
        // SAFETY: the second argument points to a live CK_TOKEN_INFO to be filled in.
        let code = unsafe { get(slot, &raw mut info) };
        check("C_GetTokenInfo", code).map(|()| info)
    }

    pub(crate) fn mechanism_info(
        &self,
        slot: CK_SLOT_ID,
        mechanism: CK_MECHANISM_TYPE,
    ) -> Result<MechanismInfo, Failure> {
        let mut info = sys::CK_MECHANISM_INFO::default();
        let get = function!(self.C_GetMechanismInfo);
        // SAFETY: the third argument points to a live CK_MECHANISM_INFO to be filled in.
        let code = unsafe { get(slot, mechanism, &raw mut info) };
        check("C_GetMechanismInfo", code)?;
        Ok(MechanismInfo {
            signs: info.flags & sys::CKF_SIGN != 0,
        })
    }

    /// A session that only reads the token's objects, which is enough to sign.
    pub(crate) fn open_session(&self, slot: CK_SLOT_ID) -> Result<CK_SESSION_HANDLE, Failure> {
        let mut session = 0;
        let open = function!(self.C_OpenSession);
        // SAFETY: no callback is passed, so its argument may be null; the last argument
        // points to a live handle, which the function fills in.
        let code = unsafe {
            open(
                slot,
                sys::CKF_SERIAL_SESSION,
                null_mut(),
                None,
                &raw mut session,
            )
        };
        check("C_OpenSession", code).map(|()| session)
    }

    /// Whether somebody is logged in, as the session sees it.
    pub(crate) fn is_logged_in(&self, session: CK_SESSION_HANDLE) -> Result<bool, Failure> {
        let mut info = sys::CK_SESSION_INFO::default();
        let get = function!(self.C_GetSessionInfo);
        // SAFETY: the second argument points to a live CK_SESSION_INFO to be filled in.
        let code = unsafe { get(session, &raw mut info) };
        check("C_GetSessionInfo", code)?;
        let public = [sys::CKS_RO_PUBLIC_SESSION, sys::CKS_RW_PUBLIC_SESSION];
        Ok(!public.contains(&info.state))
    }

    pub(crate) fn close_session(&self, session: CK_SESSION_HANDLE) -> Result<(), Failure> {
        let close = function!(self.C_CloseSession);
        // SAFETY: the function takes a number; one that is no session is an error.
        let code = unsafe { close(session) };
        check("C_CloseSession", code)
    }

    /// Logs in; without a PIN the token asks for it itself (PKCS#11 3.1, section 5.6.8).
    pub(crate) fn login(
        &self,
        session: CK_SESSION_HANDLE,
        user: User,
        pin: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let user = match user {
            User::Normal => sys::CKU_USER,
            User::ContextSpecific => sys::CKU_CONTEXT_SPECIFIC,
        };
        let (pointer, length) = pin.map_or((null_mut(), 0), |pin| (read_only(pin), len(pin)));
        let login = function!(self.C_Login);
        // SAFETY: the pointer is null with length 0, or to a live slice of that length that
        // the function reads.
        let code = unsafe { login(session, user, pointer, length) };
        check("C_Login", code)
    }

    /// The objects that match all of `template`, at most `limit`.
    pub(crate) fn find(
        &self,
        session: CK_SESSION_HANDLE,
        template: &[(CK_ATTRIBUTE_TYPE, Value<'_>)],
        limit: usize,
    ) -> Result<Vec<CK_OBJECT_HANDLE>, Failure> {
        let mut attributes: Vec<sys::CK_ATTRIBUTE> = template
            .iter()
            .map(|(kind, value)| {
                let (pointer, length) = match value {
                    Value::Number(number) => (
                        std::ptr::from_ref(number).cast_mut().cast(),
                        size_of::<CK_ULONG>() as CK_ULONG,
                    ),
                    Value::Bytes(bytes) => (read_only(bytes).cast(), len(bytes)),
                };
                sys::CK_ATTRIBUTE {
                    type_: *kind,
                    pValue: pointer,
                    ulValueLen: length,
                }
            })
            .collect();
        let init = function!(self.C_FindObjectsInit);
        let find = function!(self.C_FindObjects);
        let finish = function!(self.C_FindObjectsFinal);
        let count = attributes.len() as CK_ULONG;
        // SAFETY: `attributes` holds `count` attributes, whose pointers are into `template`,
        // which outlives the call, with the lengths of what they point to.
        let code = unsafe { init(session, attributes.as_mut_ptr(), count) };
        check("C_FindObjectsInit", code)?;
        let mut found = Vec::new();
        let mut outcome = Ok(());
        while found.len() < limit {
            let mut batch: [CK_OBJECT_HANDLE; 64] = [0; 64];
            let mut got = 0;
            // SAFETY: the buffer has room for as many handles as the function is told, and
            // the count that it writes is live.
            let code = unsafe {
                find(
                    session,
                    batch.as_mut_ptr(),
                    batch.len() as CK_ULONG,
                    &raw mut got,
                )
            };
            let got = check("C_FindObjects", code)
                .and_then(|()| plausible(got, batch.len(), "C_FindObjects"));
            match got {
                Ok(0) => break,
                Ok(got) => found.extend(batch.iter().take(got)),
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        // SAFETY: the function takes a number; one that is no session is an error.
        let code = unsafe { finish(session) };
        outcome?;
        check("C_FindObjectsFinal", code)?;
        found.truncate(limit);
        Ok(found)
    }

    /// An attribute's value. `None` if the object does not have it or does not show it.
    pub(crate) fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let get = function!(self.C_GetAttributeValue);
        let mut attribute = sys::CK_ATTRIBUTE {
            type_: kind,
            pValue: null_mut(),
            ulValueLen: 0,
        };
        let absent = |code| {
            matches!(
                code,
                sys::CKR_ATTRIBUTE_TYPE_INVALID | sys::CKR_ATTRIBUTE_SENSITIVE
            )
        };
        // SAFETY: one live attribute; without a buffer the function only writes its length.
        let code = unsafe { get(session, object, &raw mut attribute, 1) };
        if absent(code) {
            return Ok(None);
        }
        check("C_GetAttributeValue", code)?;
        if attribute.ulValueLen == sys::CK_UNAVAILABLE_INFORMATION {
            return Ok(None);
        }
        let length = plausible(attribute.ulValueLen, LONGEST_VALUE, "C_GetAttributeValue")?;
        // At least as aligned as a number, which a module may write there at once.
        let words = length.div_ceil(size_of::<CK_ULONG>()) + 1;
        let mut buffer: Vec<CK_ULONG> = vec![0; words];
        attribute.pValue = buffer.as_mut_ptr().cast();
        // SAFETY: one live attribute, whose buffer has at least the length that it says.
        let code = unsafe { get(session, object, &raw mut attribute, 1) };
        if absent(code) {
            return Ok(None);
        }
        check("C_GetAttributeValue", code)?;
        let length = plausible(attribute.ulValueLen, length, "C_GetAttributeValue")?;
        let bytes = buffer.into_iter().flat_map(CK_ULONG::to_ne_bytes);
        Ok(Some(bytes.take(length).collect()))
    }

    fn with_mechanism<T>(
        mechanism: &Mechanism,
        call: impl FnOnce(*mut sys::CK_MECHANISM) -> T,
    ) -> T {
        let mut pss;
        let mut eddsa;
        let (pointer, length) = match *mechanism {
            Mechanism::Plain(_) => (null_mut(), 0),
            Mechanism::Pss {
                hash,
                mgf,
                salt_len,
                ..
            } => {
                pss = sys::CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: hash,
                    mgf,
                    sLen: salt_len,
                };
                ((&raw mut pss).cast::<c_void>(), size_of_val(&pss))
            }
            Mechanism::EddsaWithParameters => {
                eddsa = sys::CK_EDDSA_PARAMS {
                    phFlag: sys::CK_FALSE,
                    ulContextDataLen: 0,
                    pContextData: null_mut(),
                };
                ((&raw mut eddsa).cast::<c_void>(), size_of_val(&eddsa))
            }
        };
        let mut mechanism = sys::CK_MECHANISM {
            mechanism: mechanism.id(),
            pParameter: pointer,
            ulParameterLen: length as CK_ULONG,
        };
        call(&raw mut mechanism)
    }

    pub(crate) fn sign_init(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Failure> {
        let init = function!(self.C_SignInit);
        let code = Self::with_mechanism(mechanism, |mechanism| {
            // SAFETY: the mechanism and what it points to are live for the call.
            unsafe { init(session, mechanism, key) }
        });
        check("C_SignInit", code)
    }

    /// Signs `data` into `out`; returns the signature's length, which is within `out`.
    pub(crate) fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Failure> {
        let sign = function!(self.C_Sign);
        let mut length = len(out);
        // SAFETY: `data` is readable and `out` writable for the lengths that are passed.
        let code = unsafe {
            sign(
                session,
                read_only(data),
                len(data),
                out.as_mut_ptr(),
                &raw mut length,
            )
        };
        check("C_Sign", code)?;
        plausible(length, out.len(), "C_Sign")
    }

    pub(crate) fn verify(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), Failure> {
        let init = function!(self.C_VerifyInit);
        let verify = function!(self.C_Verify);
        let code = Self::with_mechanism(mechanism, |mechanism| {
            // SAFETY: the mechanism and what it points to are live for the call.
            unsafe { init(session, mechanism, key) }
        });
        check("C_VerifyInit", code)?;
        // SAFETY: both slices are readable for the lengths that are passed.
        let code = unsafe {
            verify(
                session,
                read_only(data),
                len(data),
                read_only(signature),
                len(signature),
            )
        };
        check("C_Verify", code)
    }
}

/// The most slots that a module may claim to have.
const MOST_SLOTS: usize = 65_536;
/// The longest value of an attribute, in bytes: far above any certificate or key.
const LONGEST_VALUE: usize = 1 << 20;

/// A count or length that a function has written, unless it is above what it can be: such a
/// module is out of order, and nothing is to be allocated or read by its word.
fn plausible(number: CK_ULONG, most: usize, function: &'static str) -> Result<usize, Failure> {
    match usize::try_from(number) {
        Ok(number) if number <= most => Ok(number),
        _ => {
            let code = Code::new(sys::CKR_GENERAL_ERROR);
            Err(Failure { function, code })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::low::mock::{mock, state};

    /// What a function of the library makes of these answers of the module.
    fn told<T>(
        answers: &[(sys::CK_RV, CK_ULONG)],
        call: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Code> {
        state().counts = answers.to_vec().into();
        let outcome = call().map_err(|failure| failure.code);
        assert!(state().counts.is_empty());
        outcome
    }

    #[test]
    fn counts_and_lengths_that_cannot_be_are_errors() {
        let (_turn, library) = mock();
        let (ok, broken) = (sys::CKR_OK, Err(Code::new(sys::CKR_GENERAL_ERROR)));
        let slots = || library.slots().map(|slots| slots.len());
        assert_eq!(told(&[(ok, 2), (ok, 2)], slots), Ok(2));
        assert_eq!(told(&[(ok, CK_ULONG::MAX)], slots), broken);
        assert_eq!(told(&[(ok, 2), (ok, 19)], slots), broken);

        let find = || library.find(1, &[], 100).map(|found| found.len());
        assert_eq!(told(&[(ok, 64), (ok, 3), (ok, 0)], find), Ok(67));
        state().calls.clear();
        assert_eq!(told(&[(ok, 65)], find), broken);
        // The search is ended nevertheless.
        assert_eq!(state().calls, ["C_FindObjectsInit", "C_FindObjectsFinal"]);

        let value = || {
            let value = library.attribute(1, 1, sys::CKA_ID)?;
            Ok(value.map(|value| value.len()))
        };
        assert_eq!(told(&[(ok, 9), (ok, 7)], value), Ok(Some(7)));
        assert_eq!(
            told(&[(ok, 9), (ok, 10)], value).map(drop),
            broken.map(drop)
        );
        let long = (1 << 20) + 1;
        assert_eq!(told(&[(ok, long)], value).map(drop), broken.map(drop));
    }

    #[test]
    fn an_attribute_is_absent_only_if_the_module_says_so() {
        let (_turn, library) = mock();
        let absent = sys::CK_UNAVAILABLE_INFORMATION;
        let value = || library.attribute(1, 1, sys::CKA_ID);
        for code in [
            sys::CKR_OK,
            sys::CKR_ATTRIBUTE_SENSITIVE,
            sys::CKR_ATTRIBUTE_TYPE_INVALID,
        ] {
            assert_eq!(told(&[(code, absent)], value), Ok(None));
        }
        let lost = Err(Code::new(sys::CKR_DEVICE_ERROR));
        assert_eq!(told(&[(sys::CKR_DEVICE_ERROR, absent)], value), lost);
    }
}
