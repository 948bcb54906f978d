//! The tokens that there are.

use std::{ffi::OsString, path::Path};

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SoftHSM 2.
    SoftHsm,
    /// NSS's software token, which Firefox keeps its keys in.
    Nss,
    /// SoftHSM in a process of its own, reached through p11-kit: one that can be killed.
    Remote,
    /// The software token of opencryptoki. There is one per machine, and only root can
    /// start it.
    OpenCryptoki,
    /// Kryoptic, a software token in Rust.
    Kryoptic,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::SoftHsm,
        Self::Nss,
        Self::Remote,
        Self::OpenCryptoki,
        Self::Kryoptic,
    ];

    /// What to call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoftHsm => "SoftHSM",
            Self::Nss => "NSS softokn",
            Self::Remote => "p11-kit remote",
            Self::OpenCryptoki => "opencryptoki",
            Self::Kryoptic => "kryoptic",
        }
    }

    /// What has to be in a process's environment for a token in the folder `dir`.
    ///
    /// The fault module's script is always `fault.toml` there.
    pub fn environment(self, dir: &Path) -> Vec<(&'static str, OsString)> {
        let file = |name: &str| dir.join(name).into_os_string();
        let mut environment = vec![("PKCS11_FAULT_SCRIPT", file("fault.toml"))];
        match self {
            Self::SoftHsm => environment.push(("SOFTHSM2_CONF", file("softhsm2.conf"))),
            Self::Remote => {
                let mut address = OsString::from("unix:path=");
                address.push(file("p11-kit.sock"));
                environment.push(("SOFTHSM2_CONF", file("softhsm2.conf")));
                environment.push(("P11_KIT_SERVER_ADDRESS", address));
                environment.push(("XDG_RUNTIME_DIR", dir.into()));
            }
            Self::Kryoptic => environment.push(("KRYOPTIC_CONF", file("kryoptic.conf"))),
            Self::Nss | Self::OpenCryptoki => {}
        }
        environment
    }
}
