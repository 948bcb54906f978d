//! From the command line to what the server needs.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use keyway::{Credentials, CryptoProvider, ServerBuilder, ServerConfig, Trust};
use tempfile::NamedTempFile;

use super::ServeArgs;
use crate::certs::{self, Identity, SERVER_NAMES};

/// Everything that is decided before the first connection.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Arc<ServerConfig>,
    pub(super) provider: Arc<CryptoProvider>,
    /// The generated authority's certificate; the file goes when this is dropped.
    authority: Option<NamedTempFile>,
}

impl Prepared {
    /// # Errors
    /// One line that names the option or the file.
    pub(super) fn new(args: &ServeArgs) -> Result<Self> {
        let provider = Arc::new(crate::backend::provider(args.backend.as_deref())?);
        let mut builder = ServerBuilder::new()
            .provider(provider.clone())
            .alpn(args.alpn());
        let mut authority = None;
        if args.cert.is_empty() && args.key.is_empty() {
            let identity = certs::generate(args.generate)?;
            authority = Some(authority_file(&identity)?);
            builder = builder.certificate(Credentials::der(identity.chain, identity.key));
        }
        if args.cert.len() != args.key.len() {
            bail!(
                "--cert and --key go in pairs: there are {} of --cert and {} of --key",
                args.cert.len(),
                args.key.len()
            );
        }
        for (cert, key) in args.cert.iter().zip(&args.key) {
            builder = builder.certificate(Credentials::files(cert, key));
        }
        if let Some(file) = &args.client_ca {
            builder = if args.client_optional {
                builder.request_client_certificate(Trust::file(file))
            } else {
                builder.require_client_certificate(Trust::file(file))
            };
        }
        Ok(Self {
            config: builder.build()?,
            provider,
            authority,
        })
    }

    /// How other programs reach the server, a command a line.
    pub(super) fn commands(&self, bound: SocketAddr, args: &ServeArgs) -> Vec<String> {
        let reached = reachable(bound);
        let authority = self.authority.as_ref().map(|file| file.path().display());
        let mut s_client = format!("openssl s_client -connect {reached}");
        // Other certificates may be for another name: whoever made them knows it.
        if let Some(path) = &authority {
            s_client.push_str(&format!(" -servername localhost -CAfile {path}"));
        }
        let mut commands = vec![];
        let client_pair = |cert, key| match &args.client_ca {
            Some(_) => format!(" {cert} CLIENT.pem {key} CLIENT.key"),
            None => String::new(),
        };
        s_client.push_str(&client_pair("-cert", "-key"));
        commands.push(s_client);
        if !args.echo {
            let mut curl = "curl".to_owned();
            if let Some(path) = &authority {
                curl.push_str(&format!(" --cacert {path}"));
            }
            curl.push_str(&client_pair("--cert", "--key"));
            commands.push(format!("{curl} https://{reached}/"));
        }
        commands
    }

    /// Where the generated authority's certificate lies.
    pub(super) fn authority(&self) -> Option<&Path> {
        self.authority.as_ref().map(NamedTempFile::path)
    }
}

/// The address to connect to: an address for "any" is replaced by the loopback's.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut reached = bound;
    if bound.ip().is_unspecified() {
        reached.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reached
}

/// Writes the authority's certificate to where other programs can read it.
fn authority_file(identity: &Identity) -> Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("bench-server-ca-")
        .suffix(".pem")
        .tempfile()
        .context("cannot create a file for the generated authority's certificate")?;
    file.write_all(identity.ca_pem.as_bytes())
        .and_then(|()| file.flush())
        .with_context(|| format!("{}: cannot be written", file.path().display()))?;
    Ok(file)
}

/// What the certificates are, for the start-up message.
pub(super) fn describe(args: &ServeArgs) -> String {
    if args.cert.is_empty() {
        format!(
            "generated, {}, for {}",
            args.generate.name(),
            SERVER_NAMES.join(", ")
        )
    } else {
        let files: Vec<_> = args.cert.iter().map(|f| f.display().to_string()).collect();
        files.join(", ")
    }
}
