//! From the command line to what the server needs.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use keyway::{Credentials, CryptoProvider, ServerBuilder, ServerConfig, Trust};
use tempfile::NamedTempFile;

use super::ServeArgs;
use super::hsm::{KeySource, Keys};
use crate::certs::{self, Identity, SERVER_NAMES};

/// Everything that is decided before the first connection.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Arc<ServerConfig>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) keys: Arc<Keys>,
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
        let mut keys = Keys::default();
        for (key, cert) in pairs(&args.key, &args.cert)? {
            builder = builder.certificate(match (key, cert) {
                (KeySource::Token(uri), cert) => keys.open(&args.hsm, uri, cert, &provider)?,
                (KeySource::File(key), Some(cert)) => Credentials::files(cert, key),
                (KeySource::File(_), None) => unreachable!("files go in pairs"),
            });
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
            keys: Arc::new(keys),
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

/// Which key goes with which chain. A key in a token may go without: the token has it.
fn pairs<'a>(
    keys: &'a [KeySource],
    certs: &'a [PathBuf],
) -> Result<Vec<(&'a KeySource, Option<&'a PathBuf>)>> {
    let is_file = |key: &KeySource| matches!(key, KeySource::File(_));
    let files = keys.iter().filter(|key| is_file(key)).count();
    let all = certs.len() == keys.len();
    if !all && certs.len() != files {
        bail!(
            "--cert and --key go in pairs: there are {} of --cert and {} of --key",
            certs.len(),
            keys.len()
        );
    }
    let mut certs = certs.iter();
    let pair = |key| {
        (
            key,
            if all || is_file(key) {
                certs.next()
            } else {
                None
            },
        )
    };
    Ok(keys.iter().map(pair).collect())
}

/// What the certificates are, for the start-up message.
pub(super) fn describe(args: &ServeArgs, keys: &Keys) -> String {
    if args.cert.is_empty() && args.key.is_empty() {
        return format!(
            "generated, {}, for {}",
            args.generate.name(),
            SERVER_NAMES.join(", ")
        );
    }
    let files = args.cert.iter().map(|file| file.display().to_string());
    let uris = keys.uris().map(|uri| format!("key {uri}"));
    files.chain(uris).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_certificates() {
        let (file, token) = (
            KeySource::File("k".into()),
            KeySource::Token("pkcs11:".into()),
        );
        let certs = |count: usize| vec![PathBuf::from("c"); count];
        let found = |keys: &[KeySource], count| -> Result<Vec<bool>, String> {
            let certs = certs(count);
            let pairs = pairs(keys, &certs).map_err(|error| error.to_string())?;
            Ok(pairs.iter().map(|(_, cert)| cert.is_some()).collect())
        };
        let both = [token.clone(), file];
        assert_eq!(found(&both, 2), Ok(vec![true, true]));
        assert_eq!(found(&both, 1), Ok(vec![false, true]));
        assert_eq!(found(&[token], 0), Ok(vec![false]));
        assert!(
            found(&both, 0)
                .unwrap_err()
                .contains("0 of --cert and 2 of")
        );
        assert!(found(&both, 3).is_err());
    }
}
