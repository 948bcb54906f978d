//! Return codes (PKCS#11 3.1, section 5.1.6) and what to do about each.

use std::fmt;

use cryptoki_sys as sys;

/// A return code of a PKCS#11 function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u64);

impl Code {
    pub(crate) const fn new(code: sys::CK_RV) -> Self {
        // `CK_ULONG` has 32 bits on some platforms.
        #[allow(clippy::unnecessary_cast)]
        Self(code as u64)
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        impl Code {
            /// The name in the standard, `CKR_...`, if it has one.
            pub fn name(self) -> Option<&'static str> {
                $(if self == Self::new(sys::$name) { return Some(stringify!($name)); })*
                None
            }
        }
    };
}

names! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR
    CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS
    CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED
    CKR_DATA_INVALID CKR_DATA_LEN_RANGE CKR_DEVICE_ERROR CKR_DEVICE_MEMORY
    CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_AEAD_DECRYPT_FAILED CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL
    CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID CKR_KEY_SIZE_RANGE
    CKR_KEY_TYPE_INCONSISTENT CKR_KEY_FUNCTION_NOT_PERMITTED CKR_MECHANISM_INVALID
    CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE
    CKR_PIN_EXPIRED CKR_PIN_LOCKED CKR_SESSION_CLOSED CKR_SESSION_COUNT
    CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR_SESSION_READ_ONLY
    CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS
    CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE
    CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT CKR_TOKEN_NOT_RECOGNIZED
    CKR_TOKEN_WRITE_PROTECTED CKR_USER_ALREADY_LOGGED_IN CKR_USER_NOT_LOGGED_IN
    CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN CKR_USER_TOO_MANY_TYPES CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL
    CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED CKR_MUTEX_BAD
    CKR_MUTEX_NOT_LOCKED CKR_FIPS_SELF_TEST_FAILED CKR_LIBRARY_LOAD_FAILED
    CKR_PUBLIC_KEY_INVALID CKR_FUNCTION_REJECTED CKR_TOKEN_RESOURCE_EXCEEDED
    CKR_OPERATION_CANCEL_FAILED CKR_KEY_EXHAUSTED CKR_PENDING
    CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_TOKEN_NOT_INITIALIZED
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "CKR {:#x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A PKCS#11 function that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The function: `C_Sign`, ...
    pub function: &'static str,
    /// What it returned.
    pub code: Code,
}

impl Failure {
    pub(crate) fn is(&self, code: sys::CK_RV) -> bool {
        self.code == Code::new(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned {}", self.function, self.code)
    }
}

impl std::error::Error for Failure {}

/// What a return code calls for. The session is discarded in every case: some modules leave
/// the operation active after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The token is busy or out of resources: try again a little later, with fewer at once.
    Busy,
    /// The session, or a handle, is no longer good: open another one and look for the key
    /// again. If a new session fails the same way, [`Class::Module`].
    Session,
    /// The login is gone: log in again.
    Login,
    /// The token or the module is lost: initialise the module again.
    Module,
    /// The call itself is wrong, and would be so again: report it.
    Caller,
}

/// How the return codes of a vendor's module are to be understood.
///
/// ```
/// use backend_pkcs11::{Class, Code, Profile};
///
/// // A module that says "general error" when it is merely busy.
/// let profile = Profile::standard().treat(Code(0x05), Class::Busy);
/// assert_eq!(profile.class(Code(0x05)), Class::Busy);
/// assert_eq!(profile.class(Code(0x30)), Class::Module);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Profile {
    deviations: Vec<(Code, Class)>,
}

impl Profile {
    /// As the standard describes the codes.
    pub fn standard() -> Self {
        Self::default()
    }

    /// AWS CloudHSM, client SDK 5: CKR_FUNCTION_FAILED is its answer to too many requests.
    pub fn cloudhsm() -> Self {
        Self::standard().treat(Code::new(sys::CKR_FUNCTION_FAILED), Class::Busy)
    }

    /// As `self`, but takes `code` for `class`.
    #[must_use]
    pub fn treat(mut self, code: Code, class: Class) -> Self {
        self.deviations.retain(|(each, _)| *each != code);
        self.deviations.push((code, class));
        self
    }

    /// What `code` calls for.
    pub fn class(&self, code: Code) -> Class {
        let deviation = self.deviations.iter().find(|(each, _)| *each == code);
        if let Some((_, class)) = deviation {
            return *class;
        }
        let is = |codes: &[sys::CK_RV]| codes.iter().any(|each| Code::new(*each) == code);
        if is(&[
            sys::CKR_HOST_MEMORY,
            sys::CKR_DEVICE_MEMORY,
            sys::CKR_SESSION_COUNT,
            sys::CKR_TOKEN_RESOURCE_EXCEEDED,
        ]) {
            Class::Busy
        } else if is(&[
            sys::CKR_GENERAL_ERROR,
            sys::CKR_DEVICE_ERROR,
            sys::CKR_DEVICE_REMOVED,
            sys::CKR_TOKEN_NOT_PRESENT,
            sys::CKR_TOKEN_NOT_RECOGNIZED,
            sys::CKR_SLOT_ID_INVALID,
            sys::CKR_CRYPTOKI_NOT_INITIALIZED,
        ]) {
            Class::Module
        } else if is(&[
            sys::CKR_CANCEL,
            sys::CKR_FUNCTION_FAILED,
            sys::CKR_FUNCTION_CANCELED,
            sys::CKR_FUNCTION_REJECTED,
            sys::CKR_KEY_HANDLE_INVALID,
            sys::CKR_OBJECT_HANDLE_INVALID,
            sys::CKR_OPERATION_ACTIVE,
            sys::CKR_OPERATION_NOT_INITIALIZED,
            sys::CKR_SESSION_CLOSED,
            sys::CKR_SESSION_HANDLE_INVALID,
            sys::CKR_BUFFER_TOO_SMALL,
        ]) {
            Class::Session
        } else if is(&[sys::CKR_USER_NOT_LOGGED_IN]) {
            Class::Login
        } else {
            Class::Caller
        }
    }

    /// Whether a login that returned `code` must not be repeated with the same PIN. Also if
    /// the code says nothing certain: the token may have counted it as a wrong one.
    pub(crate) fn refuses_pin(&self, code: Code) -> bool {
        let is = |codes: &[sys::CK_RV]| codes.iter().any(|each| Code::new(*each) == code);
        let certainly = is(&[
            sys::CKR_PIN_INCORRECT,
            sys::CKR_PIN_INVALID,
            sys::CKR_PIN_LEN_RANGE,
            sys::CKR_PIN_EXPIRED,
            sys::CKR_PIN_LOCKED,
        ]);
        // While the security officer is logged in, no PIN of the user's is looked at.
        let never_looked_at = is(&[sys::CKR_USER_ANOTHER_ALREADY_LOGGED_IN]);
        certainly || self.class(code) == Class::Caller && !never_looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names() {
        assert_eq!(Code(0x30).to_string(), "CKR_DEVICE_ERROR");
        assert_eq!(Code(0x8000_0001).to_string(), "CKR 0x80000001");
    }

    #[test]
    fn a_vendor_may_deviate() {
        let failed = Code::new(sys::CKR_FUNCTION_FAILED);
        assert_eq!(Profile::standard().class(failed), Class::Session);
        assert_eq!(Profile::cloudhsm().class(failed), Class::Busy);
        let again = Profile::cloudhsm().treat(failed, Class::Module);
        assert_eq!(again.class(failed), Class::Module);
    }

    #[test]
    fn what_the_caller_did_wrong_is_not_tried_again() {
        for code in [
            sys::CKR_MECHANISM_INVALID,
            sys::CKR_KEY_FUNCTION_NOT_PERMITTED,
            sys::CKR_DATA_LEN_RANGE,
            sys::CKR_VENDOR_DEFINED,
        ] {
            let code = Code::new(code);
            assert_eq!(Profile::standard().class(code), Class::Caller, "{code}");
        }
    }

    #[test]
    fn a_pin_is_given_up_unless_the_token_was_merely_out_of_reach() {
        let standard = Profile::standard();
        for (code, refused) in [
            (sys::CKR_PIN_INCORRECT, true),
            (sys::CKR_VENDOR_DEFINED, true),
            (sys::CKR_ARGUMENTS_BAD, true),
            (sys::CKR_DEVICE_ERROR, false),
            (sys::CKR_FUNCTION_FAILED, false),
            (sys::CKR_SESSION_COUNT, false),
            (sys::CKR_USER_ANOTHER_ALREADY_LOGGED_IN, false),
        ] {
            let code = Code::new(code);
            assert_eq!(standard.refuses_pin(code), refused, "{code}");
        }
        // A vendor's code is what the vendor says; a wrong PIN stays one.
        let vendor = Code::new(sys::CKR_VENDOR_DEFINED);
        let incorrect = Code::new(sys::CKR_PIN_INCORRECT);
        let profile = standard.treat(vendor, Class::Busy);
        let profile = profile.treat(incorrect, Class::Busy);
        assert!(!profile.refuses_pin(vendor));
        assert!(profile.refuses_pin(incorrect));
    }
}
