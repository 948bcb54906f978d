//! The status page: what was negotiated, who computes what, and the counters.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use keyway::crypto::{CipherSuite, CryptoProvider, NamedGroup, SignatureScheme};
use serde_json::json;

use super::counters::Counters;
use super::hsm::Keys;

/// What one connection's status page is made of.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) counters: Arc<Counters>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) keys: Arc<Keys>,
    pub(super) negotiated: Negotiated,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Negotiated {
    pub(super) suite: Option<CipherSuite>,
    pub(super) group: Option<NamedGroup>,
    /// Of the server's CertificateVerify.
    pub(super) scheme: Option<SignatureScheme>,
    pub(super) alpn: Option<String>,
    /// The name that the client asked for.
    pub(super) server_name: Option<String>,
    /// How many certificates the client showed.
    pub(super) client_certificates: usize,
}

impl Negotiated {
    fn rows(&self) -> [(&'static str, Option<String>); 6] {
        let client = match self.client_certificates {
            0 => None,
            1 => Some("shown, 1 certificate".into()),
            more => Some(format!("shown, {more} certificates")),
        };
        [
            ("cipher suite", self.suite.map(|id| id.to_string())),
            ("key exchange", self.group.map(|id| id.to_string())),
            ("signature", self.scheme.map(|id| id.to_string())),
            ("ALPN", self.alpn.clone()),
            ("server name", self.server_name.clone()),
            ("client certificate", client),
        ]
    }
}

impl Status {
    /// As JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        let agreed = &self.negotiated;
        let backends: Vec<_> = self
            .provider
            .table()
            .rows
            .iter()
            .map(|row| {
                json!({
                    "operation": row.kind,
                    "algorithm": row.algorithm,
                    "backend": row.implementation.backend,
                    "with": row.implementation.detail,
                })
            })
            .collect();
        json!({
            "connection": {
                "version": "TLSv1.3",
                "suite": agreed.suite.map(|id| id.to_string()),
                "group": agreed.group.map(|id| id.to_string()),
                "signature_scheme": agreed.scheme.map(|id| id.to_string()),
                "alpn": agreed.alpn,
                "server_name": agreed.server_name,
                "client_certificates": agreed.client_certificates,
            },
            "backends": backends,
            "server": self.counters.snapshot().json(),
            "keys": self.keys.json(),
        })
    }

    /// As a page: one file, nothing from elsewhere.
    pub(super) fn html(&self) -> String {
        let mut page = String::with_capacity(8192);
        // Writing to a String cannot fail.
        let _ = self.write_html(&mut page);
        page
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        page.push_str(HEAD);
        page.push_str("<h2>This connection</h2>\n<table>\n<tr><th>protocol<td>TLS 1.3\n");
        for (name, value) in self.negotiated.rows() {
            let value = value.as_deref().unwrap_or("none");
            writeln!(page, "<tr><th>{name}<td>{}", Escaped(value))?;
        }

        let snapshot = self.counters.snapshot();
        page.push_str("</table>\n<h2>The server</h2>\n<table>\n");
        for (name, value) in snapshot.rows() {
            writeln!(page, "<tr><th>{name}<td>{}", Escaped(&value))?;
        }
        for (place, kind, count) in snapshot.failures() {
            writeln!(page, "<tr><th>failed {place}<td>{}: {count}", Escaped(kind))?;
        }

        for key in self.keys.rows() {
            page.push_str("</table>\n<h2>A key in an HSM</h2>\n<table>\n");
            for (name, value) in key {
                writeln!(page, "<tr><th>{name}<td>{}", Escaped(&value))?;
            }
        }

        page.push_str(
            "</table>\n<h2>Who computes what</h2>\n<div><table>\n\
             <tr><th>operation<th>algorithm<th>backend<th>with\n",
        );
        for row in self.provider.table().rows {
            let used = if self.is_used(row.kind, &row.algorithm) {
                " class=used"
            } else {
                ""
            };
            writeln!(
                page,
                "<tr{used}><td>{}<td>{}<td>{}<td>{}",
                Escaped(row.kind),
                Escaped(&row.algorithm),
                Escaped(row.implementation.backend),
                Escaped(row.implementation.detail),
            )?;
        }
        page.push_str(
            "</table></div>\n<p>Marked rows serve this connection. \
             <a href=\"/status.json\">The same as JSON</a>.\n",
        );
        Ok(())
    }

    /// Whether a row of the capability table serves this connection. Of several loaders of
    /// private keys it is not known which one loaded the server's.
    fn is_used(&self, kind: &str, algorithm: &str) -> bool {
        let agreed = &self.negotiated;
        match kind {
            "record" => agreed.suite.is_some_and(|id| id.to_string() == algorithm),
            "key exchange" => agreed.group.is_some_and(|id| id.to_string() == algorithm),
            "hash" | "HKDF" => agreed
                .suite
                .and_then(|id| self.provider.suite(id))
                .is_some_and(|suite| suite.hash.to_string() == algorithm),
            "randomness" => true,
            _ => false,
        }
    }
}

const HEAD: &str = "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<title>bench-server</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
th { font-weight: normal; opacity: .7; width: 8.5rem; overflow-wrap: normal; }
div { overflow-x: auto; } div td, div th { white-space: nowrap; width: auto; }
tr.used td { font-weight: 600; background: #4a92; }
@media (max-width: 30rem) { td, th { font-size: .85rem; } th { width: 7.5rem; } }
</style>
<h1>bench-server: TLS by Keyway</h1>
";

/// Text in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            counters: Arc::new(Counters::new()),
            provider: Arc::new(keyway::provider::fastest().unwrap()),
            keys: Arc::default(),
            negotiated: Negotiated {
                suite: Some(CipherSuite::TLS_AES_256_GCM_SHA384),
                group: Some(NamedGroup::X25519),
                scheme: Some(SignatureScheme::ED25519),
                alpn: Some("<script>".into()),
                server_name: None,
                client_certificates: 1,
            },
        }
    }

    #[test]
    fn the_page_shows_what_was_negotiated_and_marks_it() {
        let page = status().html();
        assert!(page.contains("<th>cipher suite<td>TLS_AES_256_GCM_SHA384\n"));
        assert!(page.contains("<th>server name<td>none\n"));
        assert!(page.contains("<tr class=used><td>key exchange<td>X25519<td>"));
        assert!(page.contains("<tr class=used><td>hash<td>SHA384<td>"));
        assert!(page.contains("<tr><td>hash<td>SHA256<td>"));
    }

    #[test]
    fn a_peers_words_are_escaped() {
        let page = status().html();
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn json_has_the_same() {
        let json = status().json();
        assert_eq!(json["connection"]["suite"], "TLS_AES_256_GCM_SHA384");
        assert_eq!(json["connection"]["group"], "X25519");
        assert!(json["backends"].as_array().unwrap().len() > 5);
        assert_eq!(json["server"]["connections"]["accepted"], 0);
    }
}
