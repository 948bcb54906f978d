//! The functions of PKCS#11 3.0.

use std::fmt;

macro_rules! functions {
    ($($name:ident,)*) => {
        /// A function of PKCS#11, by the standard's name for it.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Function {
            $($name,)*
        }

        const ALL: &[(Function, &str)] = &[$((Function::$name, stringify!($name)),)*];
    };
}

functions! {
    C_Initialize,
    C_Finalize,
    C_GetInfo,
    C_GetFunctionList,
    C_GetSlotList,
    C_GetSlotInfo,
    C_GetTokenInfo,
    C_GetMechanismList,
    C_GetMechanismInfo,
    C_InitToken,
    C_InitPIN,
    C_SetPIN,
    C_OpenSession,
    C_CloseSession,
    C_CloseAllSessions,
    C_GetSessionInfo,
    C_GetOperationState,
    C_SetOperationState,
    C_Login,
    C_Logout,
    C_CreateObject,
    C_CopyObject,
    C_DestroyObject,
    C_GetObjectSize,
    C_GetAttributeValue,
    C_SetAttributeValue,
    C_FindObjectsInit,
    C_FindObjects,
    C_FindObjectsFinal,
    C_EncryptInit,
    C_Encrypt,
    C_EncryptUpdate,
    C_EncryptFinal,
    C_DecryptInit,
    C_Decrypt,
    C_DecryptUpdate,
    C_DecryptFinal,
    C_DigestInit,
    C_Digest,
    C_DigestUpdate,
    C_DigestKey,
    C_DigestFinal,
    C_SignInit,
    C_Sign,
    C_SignUpdate,
    C_SignFinal,
    C_SignRecoverInit,
    C_SignRecover,
    C_VerifyInit,
    C_Verify,
    C_VerifyUpdate,
    C_VerifyFinal,
    C_VerifyRecoverInit,
    C_VerifyRecover,
    C_DigestEncryptUpdate,
    C_DecryptDigestUpdate,
    C_SignEncryptUpdate,
    C_DecryptVerifyUpdate,
    C_GenerateKey,
    C_GenerateKeyPair,
    C_WrapKey,
    C_UnwrapKey,
    C_DeriveKey,
    C_SeedRandom,
    C_GenerateRandom,
    C_GetFunctionStatus,
    C_CancelFunction,
    C_WaitForSlotEvent,
    C_GetInterfaceList,
    C_GetInterface,
    C_LoginUser,
    C_SessionCancel,
    C_MessageEncryptInit,
    C_EncryptMessage,
    C_EncryptMessageBegin,
    C_EncryptMessageNext,
    C_MessageEncryptFinal,
    C_MessageDecryptInit,
    C_DecryptMessage,
    C_DecryptMessageBegin,
    C_DecryptMessageNext,
    C_MessageDecryptFinal,
    C_MessageSignInit,
    C_SignMessage,
    C_SignMessageBegin,
    C_SignMessageNext,
    C_MessageSignFinal,
    C_MessageVerifyInit,
    C_VerifyMessage,
    C_VerifyMessageBegin,
    C_VerifyMessageNext,
    C_MessageVerifyFinal,
}

impl Function {
    /// How many there are.
    pub(crate) const COUNT: usize = ALL.len();

    /// Every function, in the standard's order.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|&(function, _)| function)
    }

    /// Its name, as in `C_Sign`.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Whether `pattern` is its name, or its name's start and then a `*`.
    pub fn fits(self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(start) => self.name().starts_with(start),
            None => self.name() == pattern,
        }
    }

    /// Whether it asks the module and no token of it: rules meet it by name only.
    pub(crate) fn is_module_wide(self) -> bool {
        matches!(
            self,
            Self::C_Initialize
                | Self::C_Finalize
                | Self::C_GetInfo
                | Self::C_GetFunctionList
                | Self::C_GetSlotList
                | Self::C_WaitForSlotEvent
                | Self::C_GetInterfaceList
                | Self::C_GetInterface
        )
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        assert_eq!(Function::C_SignInit.name(), "C_SignInit");
        assert_eq!(Function::all().count(), Function::COUNT);
        assert!(
            Function::all()
                .enumerate()
                .all(|(at, function)| function as usize == at)
        );
        let signing: Vec<_> = Function::all().filter(|f| f.fits("C_SignF*")).collect();
        assert_eq!(signing, [Function::C_SignFinal]);
        assert!(!Function::C_SignInit.fits("C_Sign"));
    }
}
