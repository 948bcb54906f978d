//! Other servers with the same token, by OpenSSL's PKCS#11 engine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::server::Server;
use super::token::{Module, Token};

/// A server that is not ours. Each serves on one thread, which waits for the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Nginx,
    OpenSsl,
}

const ALL: [Peer; 2] = [Peer::Nginx, Peer::OpenSsl];

/// Where systems install the engine: a folder of engines below these.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

fn has_engine() -> bool {
    LIBRARIES.iter().any(|dir| {
        let file = PathBuf::from(dir).join("engines-3/pkcs11.so");
        file.exists()
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers are for those who are not root.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .any(|dir| dir.join(program).is_file())
}

/// The ones that can be compared on this machine.
pub(super) fn installed() -> Vec<Peer> {
    let all = ALL.into_iter();
    all.filter(|peer| has_engine() && on_path(peer.program()))
        .collect()
}

/// What to install for the others, a line each.
pub(super) fn missing() -> Vec<String> {
    let installed = installed();
    let missing = ALL.into_iter().filter(|peer| !installed.contains(peer));
    missing
        .map(|peer| {
            format!(
                "{}: it needs {} and OpenSSL's engine for PKCS#11: apt install {} libengine-pkcs11-openssl",
                peer.name(),
                peer.program(),
                peer.package(),
            )
        })
        .collect()
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, engine",
            Self::OpenSsl => "s_server, engine",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::OpenSsl => "openssl",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Nginx => "nginx-light",
            Self::OpenSsl => "openssl",
        }
    }

    /// Starts it on a free port.
    pub(super) fn start(self, token: &Token, module: &Module) -> Result<Server> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = free.local_addr()?;
        drop(free);
        let mut command = Command::new(self.program());
        command.env("PKCS11_MODULE_PATH", token.fault_module());
        let chain = token.path("chain.pem");
        let uri = token.plain_uri();
        match self {
            Self::OpenSsl => {
                command
                    .args(["s_server", "-quiet", "-tls1_3", "-groups", "X25519"])
                    .args(["-num_tickets", "0", "-accept", &address.to_string()])
                    .args(["-engine", "pkcs11", "-keyform", "engine", "-key", &uri])
                    .arg("-cert")
                    .arg(chain);
            }
            Self::Nginx => {
                let dir = token.path(&format!("nginx-{}", address.port()));
                fs::create_dir_all(&dir)?;
                let file = dir.join("nginx.conf");
                let config = nginx(address, &dir.display(), &chain.display(), &uri);
                fs::write(&file, config).with_context(|| format!("{}", file.display()))?;
                command.arg("-p").arg(&dir).arg("-c").arg(&file);
            }
        }
        Server::other(command, module, address)
    }
}

/// One process with one thread, without logs, tickets or anything to serve. It names the engine
/// a second time because nginx initialises it there, and not where it loads the key.
fn nginx(
    address: SocketAddr,
    dir: &dyn std::fmt::Display,
    chain: &dyn std::fmt::Display,
    uri: &str,
) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {dir}/{what};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr;\n\
         env SOFTHSM2_CONF;\nenv PKCS11_FAULT_SCRIPT;\nenv PKCS11_MODULE_PATH;\n\
         ssl_engine pkcs11;\nevents {{ worker_connections 4096; }}\n\
         http {{\n{temporary}  access_log off;\n  server {{\n    listen {address} ssl backlog=4096;\n    \
         ssl_certificate {chain};\n    ssl_certificate_key \"engine:pkcs11:{uri}\";\n    \
         ssl_protocols TLSv1.3;\n    ssl_ecdh_curve X25519;\n    ssl_session_tickets off;\n    \
         return 200;\n  }}\n}}\n"
    )
}
