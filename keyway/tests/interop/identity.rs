//! Certificates for the tests, made by the `openssl` program once per run.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::programs::run;

/// The kinds of keys that certificates are made for.
pub(super) const KINDS: [&str; 4] = ["p256", "p384", "rsa", "ed25519"];

/// A folder with `ca.pem`, and for each kind a `KIND.pem` (for localhost and 127.0.0.1) and
/// a `KIND.key`; and `other-ca.pem`, which signed nothing.
#[derive(Debug)]
pub(super) struct Identities(tempfile::TempDir);

impl Identities {
    pub(super) fn get() -> &'static Self {
        static IDENTITIES: OnceLock<Identities> = OnceLock::new();
        IDENTITIES.get_or_init(Self::make)
    }

    fn make() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for ca in ["ca", "other-ca"] {
            let (key, cert) = (made.text(ca, "key"), made.text(ca, "pem"));
            run(
                "openssl",
                &[
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    &format!("/CN=interop {ca}"),
                    "-keyout",
                    &key,
                    "-out",
                    &cert,
                ],
            );
        }
        let extensions = made.path("extensions", "cnf");
        fs::write(
            &extensions,
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
        )
        .unwrap();
        for kind in KINDS {
            let algorithm: &[&str] = match kind {
                "p256" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
                "p384" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
                "rsa" => &["rsa:2048"],
                other => &[other],
            };
            let (key, request) = (made.text(kind, "key"), made.text(kind, "csr"));
            let subject = format!("/CN={kind}.example");
            let mut args = vec!["req", "-new", "-nodes", "-subj", &subject, "-newkey"];
            args.extend(algorithm);
            args.extend(["-keyout", &key, "-out", &request]);
            run("openssl", &args);
            run(
                "openssl",
                &[
                    "x509",
                    "-req",
                    "-in",
                    &request,
                    "-CA",
                    &made.text("ca", "pem"),
                    "-CAkey",
                    &made.text("ca", "key"),
                    "-CAcreateserial",
                    "-days",
                    "2",
                    "-extfile",
                    extensions.to_str().unwrap(),
                    "-out",
                    &made.text(kind, "pem"),
                ],
            );
        }
        made
    }

    pub(super) fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.0.path().join(format!("{name}.{ending}"))
    }

    /// The same as text, for a command line.
    pub(super) fn text(&self, name: &str, ending: &str) -> String {
        self.path(name, ending).to_str().unwrap().to_string()
    }
}
