//! What the tests need beyond Rust, a C compiler, make and perl.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Result, bail};

use crate::{
    arm, constant_time,
    shell::{self, on_path},
};

/// A Debian package that the tests need, and how its presence shows.
///
/// What is there is judged by the thing itself, not by the package database: a program that
/// was built by hand is as good, and other distributions have other databases.
struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
}

/// How one sees that a [`Need`] is met.
enum Sign {
    /// A program of this name is on the path.
    Program(&'static str),
    /// A file lies there.
    File(&'static str),
    /// One of these files lies there: where depends on the machine's architecture.
    AnyFile(&'static [&'static str]),
    /// pkg-config knows a library of this name.
    Library(&'static str),
}

/// The one list: local machines and CI install from it.
const NEEDS: &[Need] = &[
    Need {
        package: "iproute2",
        sign: Sign::Program("ip"),
        why: "brings up the loopback of a network namespace for gnutls-serv",
    },
    Need {
        package: "pkg-config",
        sign: Sign::Program("pkg-config"),
        why: "finds the system's OpenSSL for backend-openssl",
    },
    Need {
        package: "libssl-dev",
        sign: Sign::Library("openssl"),
        why: "libcrypto's headers, for backend-openssl",
    },
    Need {
        package: "openssl",
        sign: Sign::Program("openssl"),
        why: "s_client and s_server, as the peer of interoperation tests",
    },
    Need {
        package: "gnutls-bin",
        sign: Sign::Program("gnutls-serv"),
        why: "gnutls-cli and gnutls-serv, as the peer of interoperation tests",
    },
    Need {
        package: "curl",
        sign: Sign::Program("curl"),
        why: "an HTTPS client against our servers",
    },
    Need {
        package: "softhsm2",
        sign: Sign::File("/usr/lib/softhsm/libsofthsm2.so"),
        why: "a PKCS#11 token, and the one behind the fault-injecting module",
    },
    Need {
        package: "libnss3",
        sign: Sign::AnyFile(&[
            "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
            "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
            "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
            "/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so",
        ]),
        why: "NSS's PKCS#11 token",
    },
    Need {
        package: "libnss3-tools",
        sign: Sign::Program("certutil"),
        why: "fills NSS's token",
    },
    Need {
        package: "p11-kit",
        sign: Sign::Program("p11-kit"),
        why: "puts a token into a process that tests can kill",
    },
    Need {
        package: "p11-kit-modules",
        sign: Sign::AnyFile(&[
            "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
            "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
        ]),
        why: "reaches that token",
    },
    Need {
        package: "opencryptoki",
        sign: Sign::Program("pkcsslotd"),
        why: "a PKCS#11 token that hashes by itself or not at all",
    },
    Need {
        package: "libclang-dev",
        sign: Sign::AnyFile(&[
            "/usr/lib/llvm-14/lib/libclang.so",
            "/usr/lib/llvm-16/lib/libclang.so",
            "/usr/lib/llvm-17/lib/libclang.so",
            "/usr/lib/llvm-18/lib/libclang.so",
            "/usr/lib/llvm-19/lib/libclang.so",
        ]),
        why: "reads OpenSSL's headers for kryoptic, one more token",
    },
    Need {
        package: "opensc",
        sign: Sign::Program("pkcs11-tool"),
        why: "looks into a token by hand, as the documentation shows",
    },
    Need {
        package: "ca-certificates",
        sign: Sign::File("/etc/ssl/certs/ca-certificates.crt"),
        why: "the system's trust anchors",
    },
];

/// What a step of the tests does without on a desk: it is skipped then, and says so.
const WISHES: &[Need] = &[
    Need {
        package: "libengine-pkcs11-openssl",
        sign: Sign::AnyFile(&[
            "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so",
            "/usr/lib/aarch64-linux-gnu/engines-3/pkcs11.so",
        ]),
        // Not nginx, the other one there: its package starts a web server for everybody.
        why: "lets s_server stand beside ours in `bench-server hsm`",
    },
    Need {
        package: "qemu-user",
        sign: Sign::Program(arm::EMULATOR),
        why: "runs the kernels for ARM on another CPU (step `arm`)",
    },
    Need {
        package: "valgrind",
        sign: Sign::Program(constant_time::VALGRIND),
        why: "follows secrets through the kernels (step `constant-time`)",
    },
];

impl Need {
    fn is_met(&self) -> bool {
        match self.sign {
            Sign::Program(name) => on_path(name),
            Sign::File(path) => Path::new(path).is_file(),
            Sign::AnyFile(paths) => paths.iter().any(|path| Path::new(path).is_file()),
            Sign::Library(name) => {
                shell::succeeds(shell::command("pkg-config").args(["--exists", name]))
            }
        }
    }
}

/// Installs what is missing when it may, otherwise fails and says what is missing.
pub(crate) fn run() -> Result<()> {
    let (needs, wishes) = (missing(NEEDS), missing(WISHES));
    if needs.is_empty() && wishes.is_empty() {
        println!("everything the tests need is there");
        return Ok(());
    }
    let may_install = on_path("apt-get") && is_root();
    if !needs.is_empty() {
        if !may_install {
            bail!("{}", advice(&needs, on_path("apt-get")));
        }
        install(&needs)?;
        let still = missing(NEEDS);
        if !still.is_empty() {
            bail!("installed, and yet not found:\n{}", list(&still));
        }
    }
    if !wishes.is_empty() {
        let outcome = if may_install {
            install(&wishes)
        } else {
            Ok(())
        };
        let still = missing(WISHES);
        if !still.is_empty() {
            println!("not needed, but {}", advice(&still, on_path("apt-get")));
        }
        if let Err(error) = outcome {
            println!("{error:#}");
        }
    }
    Ok(())
}

fn missing(list: &'static [Need]) -> Vec<&'static Need> {
    list.iter().filter(|need| !need.is_met()).collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    shell::run(shell::command("apt-get").args(["update", "-q"]))?;
    shell::run(
        shell::command("apt-get")
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(packages(missing))
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn packages<'a>(needs: &[&'a Need]) -> BTreeSet<&'a str> {
    needs.iter().map(|need| need.package).collect()
}

fn list(needs: &[&Need]) -> String {
    needs
        .iter()
        .map(|need| format!("  {:<16} {}\n", need.package, need.why))
        .collect()
}

fn advice(missing: &[&Need], debian: bool) -> String {
    let list = list(missing);
    if debian {
        let names = Vec::from_iter(packages(missing)).join(" ");
        format!("missing:\n{list}run as root: apt-get install {names}")
    } else {
        format!("missing (named as in Debian; install your system's equivalents):\n{list}")
    }
}

/// Asks `id`, because the answer needs a system call and this workspace forbids `unsafe`.
fn is_root() -> bool {
    shell::output(shell::command("id").arg("-u")).is_ok_and(|id| id == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Need = Need {
        package: "no-such-package",
        sign: Sign::Program("no-such-program-anywhere"),
        why: "to be missed",
    };

    #[test]
    fn what_is_absent_is_named_with_the_line_that_installs_it() {
        assert!(!ABSENT.is_met());
        let text = advice(&[&ABSENT], true);
        assert!(text.contains("no-such-package  to be missed"), "{text}");
        assert!(
            text.ends_with("run as root: apt-get install no-such-package"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_is_there_is_found() {
        // The test itself runs under cargo.
        assert!(on_path("cargo"));
    }

    #[test]
    fn an_absent_file_or_library_is_not_taken_for_present() {
        for sign in [
            Sign::File("/no/such/file"),
            Sign::AnyFile(&["/no/such/file", "/nor/this"]),
            Sign::Library("no-such-library"),
        ] {
            let need = Need { sign, ..ABSENT };
            assert!(!need.is_met());
        }
    }
}
