//! Keys in HSMs: the options, the keys that were opened, and what they count.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use keyway::{Credentials, CryptoProvider};

/// Where a private key is. `Debug` does not write the URI, for its PIN.
#[derive(Clone)]
pub(crate) enum KeySource {
    /// In a PEM file.
    File(PathBuf),
    /// In a token, at this URI (RFC 7512). It may have a PIN in it.
    Token(String),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Token(_) => f.write_str("Token(pkcs11:...)"),
        }
    }
}

impl FromStr for KeySource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text.starts_with("pkcs11:") {
            Self::Token(text.into())
        } else {
            Self::File(text.into())
        })
    }
}

/// How keys in HSMs are used.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Keys in an HSM")]
pub(crate) struct HsmArgs {
    /// How many sessions sign at once; by default as many as bring throughput
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    hsm_sessions: Option<u16>,

    /// How many handshakes may wait for the token; one more is refused
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    hsm_queue: u32,

    /// How long a handshake waits for its signature
    #[arg(long, value_name = "SECONDS", value_parser = crate::runtime::seconds)]
    #[arg(default_value = "10")]
    hsm_deadline: Duration,

    /// Send signatures without having verified them
    #[arg(long)]
    hsm_unverified: bool,

    /// Wait for the token on the server's own threads, as other stacks do: for comparison
    #[arg(long)]
    hsm_synchronous: bool,
}

/// The keys in HSMs that were opened.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    #[cfg(feature = "pkcs11")]
    opened: Vec<keyway::pkcs11::Pkcs11Key>,
}

#[cfg(not(feature = "pkcs11"))]
impl Keys {
    pub(super) fn open(
        &mut self,
        _: &HsmArgs,
        _: &str,
        _: Option<&PathBuf>,
        _: &CryptoProvider,
    ) -> Result<Credentials> {
        // Without the URI: it may have a PIN in it.
        anyhow::bail!("--key pkcs11:...: this program was built without the feature pkcs11")
    }

    pub(super) fn uris(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    pub(super) fn rows(&self) -> Vec<Vec<(&'static str, String)>> {
        Vec::new()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!([])
    }

    pub(super) fn close(self: std::sync::Arc<Self>) {}
}

#[cfg(feature = "pkcs11")]
mod opened {
    use std::sync::Arc;

    use anyhow::Context as _;
    use keyway::pkcs11::{Pkcs11Key, PlaceStats, Sessions, Stats};
    use serde_json::json;

    use super::*;

    impl Keys {
        /// Opens the key at `uri`, with the chain in the file or else the token's.
        ///
        /// # Errors
        /// One line that names the key without its PIN.
        pub(crate) fn open(
            &mut self,
            args: &HsmArgs,
            uri: &str,
            chain: Option<&PathBuf>,
            provider: &CryptoProvider,
        ) -> Result<Credentials> {
            let mut builder = Pkcs11Key::builder(uri, provider)
                .queue(args.hsm_queue as usize)
                .deadline(args.hsm_deadline)
                .verify_signatures(!args.hsm_unverified)
                // This program is for measuring, and in no sandbox.
                .short_slices(true);
            if let Some(sessions) = args.hsm_sessions {
                builder = builder.sessions(Sessions::Fixed(sessions.into()));
            }
            if let Some(path) = chain {
                let chain = keyway::pki::load_certificates(path).context("--cert")?;
                builder = builder.certificates(chain);
            }
            let key = builder.open().with_context(|| match chain {
                Some(path) => format!("--key with --cert {}", path.display()),
                None => "--key".into(),
            })?;
            self.opened.push(key.clone());
            Ok(if args.hsm_synchronous {
                let chain = key.certificate_chain().to_vec();
                Credentials::der_with_key(chain, Arc::new(key.blocking()))
            } else {
                Credentials::from(key)
            })
        }

        /// Their URIs, without PINs.
        pub(crate) fn uris(&self) -> impl Iterator<Item = &str> {
            self.opened.iter().map(Pkcs11Key::uri)
        }

        /// Names and values to show, a list per key.
        pub(crate) fn rows(&self) -> Vec<Vec<(&'static str, String)>> {
            self.opened.iter().map(|key| rows(&key.stats())).collect()
        }

        /// The same as lines of text.
        pub(crate) fn lines(&self) -> Vec<String> {
            let all = self.rows().into_iter().flatten();
            all.map(|(name, value)| format!("{name:<18} {value}"))
                .collect()
        }

        /// The same for programs.
        pub(crate) fn json(&self) -> serde_json::Value {
            let keys = self.opened.iter();
            keys.map(|key| key_json(key.uri(), &key.stats())).collect()
        }

        /// Lets the module end before the program does.
        pub(crate) fn close(self: Arc<Self>) {
            if let Some(keys) = Arc::into_inner(self) {
                keys.opened.into_iter().for_each(Pkcs11Key::close);
            }
        }
    }

    fn rows(stats: &Stats) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            (
                "signatures",
                format!("{} asked for, {} wait now", stats.requests, stats.queued),
            ),
            (
                "not made",
                format!(
                    "{} refused, {} cancelled, {} late, {} failed",
                    stats.rejected, stats.cancelled, stats.expired, stats.failed
                ),
            ),
            (
                "time in queue",
                format!(
                    "mean {:.1?}, max {:.1?}",
                    stats.mean_wait, stats.longest_wait
                ),
            ),
        ];
        for place in &stats.places {
            let state = if place.up { "up" } else { "DOWN" };
            rows.push(("token", format!("{} {state}", place.token)));
            rows.push((
                "signed there",
                format!(
                    "{}, {} again, {} wrong",
                    place.done, place.retried, place.wrong
                ),
            ));
            rows.push((
                "time in token",
                format!(
                    "mean {:.1?}, max {:.1?}",
                    place.mean_token_time, place.longest_token_time
                ),
            ));
            rows.push((
                "sessions",
                format!(
                    "{} open, {} of {} busy, {} opened",
                    place.sessions, place.in_flight, place.width, place.sessions_opened
                ),
            ));
            rows.push((
                "trouble",
                format!(
                    "{} outages, {} reinitialised, {} threads given up, {} hang",
                    place.outages, place.reinitialized, place.abandoned, place.hanging
                ),
            ));
            for (code, count) in &place.codes {
                rows.push(("code", format!("{code}: {count}")));
            }
        }
        rows
    }

    fn key_json(uri: &str, stats: &Stats) -> serde_json::Value {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let token = |place: &PlaceStats| {
            let codes = place.codes.iter();
            let codes: serde_json::Map<_, _> = codes
                .map(|(code, count)| (code.to_string(), (*count).into()))
                .collect();
            json!({
                "token": place.token,
                "up": place.up,
                "done": place.done,
                "retried": place.retried,
                "wrong": place.wrong,
                "in_flight": place.in_flight,
                "width": place.width,
                "sessions": place.sessions,
                "sessions_opened": place.sessions_opened,
                "threads": place.threads,
                "abandoned": place.abandoned,
                "hanging": place.hanging,
                "reinitialized": place.reinitialized,
                "outages": place.outages,
                "hedged": place.hedged,
                "token_time": {
                    "mean_us": us(place.mean_token_time),
                    "max_us": us(place.longest_token_time),
                },
                "codes": codes,
            })
        };
        json!({
            "uri": uri,
            "requests": stats.requests,
            "queued": stats.queued,
            "rejected": stats.rejected,
            "cancelled": stats.cancelled,
            "expired": stats.expired,
            "failed": stats.failed,
            "fallback": stats.fallback,
            "wait": { "mean_us": us(stats.mean_wait), "max_us": us(stats.longest_wait) },
            "tokens": stats.places.iter().map(token).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_told_from_a_file() {
        let source = |text: &str| text.parse::<KeySource>();
        assert!(matches!(source("pkcs11:token=a"), Ok(KeySource::Token(_))));
        assert!(matches!(source("pkcs11.pem"), Ok(KeySource::File(_))));
        let secret = source("pkcs11:token=a?pin-value=98431");
        assert!(!format!("{secret:?}").contains("98431"));
    }
}
