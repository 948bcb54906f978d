//! The real module.

use std::{
    ffi::{OsStr, c_void},
    fmt, ptr,
};

use cryptoki_sys as ck;

/// The real module's functions. It stays loaded for good.
pub(crate) struct Inner {
    pub(crate) v2: ck::CK_FUNCTION_LIST,
    pub(crate) v3: Option<ck::CK_FUNCTION_LIST_3_0>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.v3.map_or(self.v2.version, |list| list.version);
        write!(f, "Inner({}.{})", version.major, version.minor)
    }
}

/// What `C_GetInterface` gives when it is asked for the list of PKCS#11 3.0, or of a later
/// version that begins with the same functions.
type GetInterface = unsafe extern "C" fn(
    *mut ck::CK_UTF8CHAR,
    *mut ck::CK_VERSION,
    *mut *mut ck::CK_INTERFACE,
    ck::CK_FLAGS,
) -> ck::CK_RV;

type GetFunctionList = unsafe extern "C" fn(*mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV;

impl Inner {
    /// Loads the module.
    ///
    /// One list serves for everything: p11-kit's client gives each request for a list an
    /// instance of its own.
    pub(crate) fn load(path: &OsStr) -> Result<Self, String> {
        // SAFETY: whoever names a module vouches for what it does when it is loaded.
        let library = unsafe { libloading::Library::new(path) };
        let library = library.map_err(|error| error.to_string())?;
        // Never unloaded: its functions are called as long as the process lives.
        let library: &'static _ = Box::leak(Box::new(library));
        if let Some(v3) = interface(library) {
            let v2 = (&raw const v3).cast::<ck::CK_FUNCTION_LIST>();
            return Ok(Self {
                // SAFETY: `v2` points to the live `v3`, which begins with all fields of the
                // shorter list, in the same order (PKCS#11 3.0, section 3.6).
                v2: unsafe { ptr::read(v2) },
                v3: Some(v3),
            });
        }
        let v2 = function_list(library)?;
        Ok(Self { v2, v3: None })
    }

    /// Closes all sessions of a slot.
    pub(crate) fn close_all_sessions(&self, slot: ck::CK_SLOT_ID) {
        if let Some(close) = self.v2.C_CloseAllSessions {
            // SAFETY: no pointer is passed.
            unsafe { close(slot) };
        }
    }

    /// The label of the token in a slot, without the blanks at its end.
    pub(crate) fn token_label(&self, slot: ck::CK_SLOT_ID) -> Option<String> {
        let mut info = ck::CK_TOKEN_INFO::default();
        // SAFETY: `info` is writable for the call.
        let rv = unsafe { self.v2.C_GetTokenInfo?(slot, &raw mut info) };
        if rv != ck::CKR_OK {
            return None;
        }
        Some(String::from_utf8_lossy(&info.label).trim_end().to_owned())
    }

    /// The slots, all or those with a token.
    pub(crate) fn slots(&self, present: ck::CK_BBOOL) -> Result<Vec<ck::CK_SLOT_ID>, ck::CK_RV> {
        let list = self
            .v2
            .C_GetSlotList
            .ok_or(ck::CKR_FUNCTION_NOT_SUPPORTED)?;
        loop {
            let mut count = 0;
            // SAFETY: a null list asks for the number alone, and `count` is writable.
            check(unsafe { list(present, ptr::null_mut(), &raw mut count) })?;
            let mut slots = vec![0; count as usize];
            // SAFETY: `slots` is writable for `count` entries, and `count` itself is.
            match check(unsafe { list(present, slots.as_mut_ptr(), &raw mut count) }) {
                // A slot was added meanwhile.
                Err(ck::CKR_BUFFER_TOO_SMALL) => {}
                Err(code) => return Err(code),
                Ok(()) => {
                    slots.truncate(count as usize);
                    return Ok(slots);
                }
            }
        }
    }

    /// The mechanisms of the token in a slot.
    pub(crate) fn mechanisms(
        &self,
        slot: ck::CK_SLOT_ID,
    ) -> Result<Vec<ck::CK_MECHANISM_TYPE>, ck::CK_RV> {
        let list = self
            .v2
            .C_GetMechanismList
            .ok_or(ck::CKR_FUNCTION_NOT_SUPPORTED)?;
        let mut count = 0;
        // SAFETY: a null list asks for the number alone, and `count` is writable.
        check(unsafe { list(slot, ptr::null_mut(), &raw mut count) })?;
        let mut mechanisms = vec![0; count as usize];
        // SAFETY: `mechanisms` is writable for `count` entries, and `count` itself is.
        check(unsafe { list(slot, mechanisms.as_mut_ptr(), &raw mut count) })?;
        mechanisms.truncate(count as usize);
        Ok(mechanisms)
    }

    /// The value of one attribute of an object.
    pub(crate) fn attribute(
        &self,
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        kind: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>, ck::CK_RV> {
        let get = self
            .v2
            .C_GetAttributeValue
            .ok_or(ck::CKR_FUNCTION_NOT_SUPPORTED)?;
        let mut attribute = ck::CK_ATTRIBUTE {
            type_: kind,
            pValue: ptr::null_mut(),
            ulValueLen: 0,
        };
        // SAFETY: a null value asks for the length alone; the one attribute is writable.
        check(unsafe { get(session, object, &raw mut attribute, 1) })?;
        let mut value = vec![0u8; attribute.ulValueLen as usize];
        attribute.pValue = value.as_mut_ptr().cast::<c_void>();
        // SAFETY: the attribute points to `value`, which is writable for the stated length.
        check(unsafe { get(session, object, &raw mut attribute, 1) })?;
        Ok(value)
    }
}

pub(crate) fn check(code: ck::CK_RV) -> Result<(), ck::CK_RV> {
    match code {
        ck::CKR_OK => Ok(()),
        code => Err(code),
    }
}

/// The list of PKCS#11 3.0, where the module has one.
fn interface(library: &libloading::Library) -> Option<ck::CK_FUNCTION_LIST_3_0> {
    // SAFETY: the standard fixes the type of a function of this name.
    let get = unsafe { library.get::<GetInterface>(c"C_GetInterface") }.ok()?;
    let mut version = ck::CK_VERSION { major: 3, minor: 0 };
    let mut interface = ptr::null_mut();
    let name = c"PKCS 11".as_ptr().cast_mut().cast::<ck::CK_UTF8CHAR>();
    // SAFETY: name and version are live and only read; `interface` is writable.
    let rv = unsafe { get(name, &raw mut version, &raw mut interface, 0) };
    if rv != ck::CKR_OK || interface.is_null() {
        return None;
    }
    // SAFETY: the module says that it has set this pointer to an interface of its own.
    let list = unsafe { (*interface).pFunctionList }.cast::<ck::CK_FUNCTION_LIST_3_0>();
    if list.is_null() {
        return None;
    }
    // SAFETY: the interface of version 3.0 has a list of this type, which the module owns.
    Some(unsafe { ptr::read(list) })
}

fn function_list(library: &libloading::Library) -> Result<ck::CK_FUNCTION_LIST, String> {
    // SAFETY: the standard fixes the type of a function of this name.
    let get = unsafe { library.get::<GetFunctionList>(c"C_GetFunctionList") };
    let get = get.map_err(|error| error.to_string())?;
    let mut list = ptr::null_mut();
    // SAFETY: `list` is writable.
    let rv = unsafe { get(&raw mut list) };
    if rv != ck::CKR_OK || list.is_null() {
        return Err(format!("C_GetFunctionList: {}", crate::Code(rv)));
    }
    // SAFETY: not null, and by the standard a list of this type, which the module owns.
    Ok(unsafe { ptr::read(list) })
}
