//! Configurations that cannot work are refused when they are built, in one line that says
//! what and where.

mod support;

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use keyway::pki::RevocationPolicy;
use keyway::pki::dangerous::AcceptAny;
use keyway::tls::config::ClientAuth;
use keyway::{
    CipherSuite, ClientBuilder, ClientConfig, Credentials, Error, Limits, NamedGroup,
    ServerBuilder, ServerConfig, SetupError, SignatureScheme, Stream, Trust,
};
use support::{Authority, Pair, tls_error};

fn refused<T>(outcome: Result<T, SetupError>) -> String {
    let Err(error) = outcome else {
        panic!("was not refused");
    };
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn pair() -> Pair {
    Authority::new().issue("localhost")
}

fn server() -> ServerBuilder {
    ServerBuilder::new().certificate(pair().credentials())
}

fn client() -> ClientBuilder {
    ClientBuilder::new().trust(Trust::pem(Authority::new().pem()))
}

/// Writes `text` to a new file and returns its path.
fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn what_cannot_be_done_without() {
    assert_eq!(
        refused(ServerBuilder::new().build()),
        "certificate: missing; a server has to show one"
    );
    assert_eq!(
        refused(ClientBuilder::new().build()),
        "trust: missing; a client must know which authorities to trust: \
         Trust::system(), or Trust::file with those of your own"
    );
}

#[test]
fn files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (pair(), pair());
    let chain = file(dir.path(), "chain.pem", &one.chain);
    let key = file(dir.path(), "key.pem", &one.key);
    let stranger = file(dir.path(), "stranger.pem", &other.key);
    let with = |chain: &str, key: &str| {
        let server = ServerBuilder::new().certificate(Credentials::files(chain, key));
        refused(server.build())
    };
    ServerBuilder::new()
        .certificate(Credentials::files(&chain, &key))
        .build()
        .unwrap();
    assert_eq!(
        with(&chain, &stranger),
        format!(
            "certificate: {chain} with {stranger}: \
             private key does not belong to the certificate"
        )
    );
    let missing = dir.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    for message in [with(missing, &key), with(&chain, missing)] {
        let start = format!("certificate: {missing}: cannot be read: No such file");
        assert!(message.starts_with(&start), "{message}");
    }
    let message = with(&key, &key);
    let start = format!("certificate: {key}: holds no ");
    assert!(message.starts_with(&start), "{message}");
    let message = with(&chain, &chain);
    let start = format!("certificate: {chain}: holds no ");
    assert!(message.starts_with(&start), "{message}");

    // The same for a certificate by name, and on the other side.
    let by_name = server().certificate_for("a.test", Credentials::files(missing, &key));
    let message = refused(by_name.build());
    let start = format!("certificate_for a.test: {missing}: cannot be read");
    assert!(message.starts_with(&start), "{message}");
    let message = refused(
        client()
            .certificate(Credentials::files(&chain, &stranger))
            .build(),
    );
    assert!(message.ends_with("private key does not belong to the certificate"));

    for (message, option) in [
        (
            refused(ClientBuilder::new().trust(Trust::file(missing)).build()),
            "trust",
        ),
        (
            refused(
                server()
                    .require_client_certificate(Trust::file(missing))
                    .build(),
            ),
            "require_client_certificate",
        ),
        (
            refused(
                server()
                    .request_client_certificate(Trust::file(missing))
                    .build(),
            ),
            "request_client_certificate",
        ),
        (
            refused(
                client()
                    .trust(Trust::pem(&*one.chain).crl_file(missing))
                    .build(),
            ),
            "trust",
        ),
    ] {
        let start = format!("{option}: {missing}: cannot be read");
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn what_is_in_memory_is_checked_as_well() {
    let (one, other) = (pair(), pair());
    let with = |credentials| refused(ServerBuilder::new().certificate(credentials).build());
    let mismatch = "certificate: given bytes with given bytes: \
                    private key does not belong to the certificate";
    assert_eq!(with(Credentials::pem(&one.chain, &other.key)), mismatch);
    assert_eq!(
        with(Credentials::der(one.certificates(), other.private_key())),
        mismatch
    );
    assert_eq!(
        with(Credentials::der(Vec::new(), one.private_key())),
        "certificate: given bytes with given bytes: certificate chain is empty"
    );
    let debug = format!("{:?}", one.credentials());
    assert_eq!(debug, r#"Credentials("PEM", "PEM")"#);
}

#[test]
fn algorithms_that_nobody_supplies() {
    assert_eq!(
        refused(server().suites(["TLS_AES_512"]).build()),
        "suites: unknown name \"TLS_AES_512\"; the provider supplies: TLS_AES_128_GCM_SHA256, \
         TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256, \
         TLS_AES_128_CCM_8_SHA256"
    );
    assert_eq!(
        refused(server().suites([CipherSuite(0x1306)]).build()),
        "configuration: no linked backend supplies cipher suite 0x1306"
    );
    assert_eq!(
        refused(client().groups([NamedGroup::X448]).build()),
        "configuration: no linked backend supplies group X448"
    );
    assert_eq!(
        refused(client().groups(["x25519", "x25519"]).build()),
        "configuration: provider lists X25519 twice"
    );
    assert_eq!(
        refused(client().groups([NamedGroup::X25519; 0]).build()),
        "groups: the list is empty"
    );
    assert_eq!(
        refused(
            client()
                .groups(["x25519"])
                .key_shares(["secp256r1"])
                .build()
        ),
        "configuration: key share asked for in SECP256R1, which no backend supplies"
    );
    let config = client()
        .groups(["secp384r1", "X25519"])
        .suites(["tls_aes_256_gcm_sha384"])
        .key_shares([NamedGroup::X25519])
        .build()
        .unwrap();
    let settings = config.settings();
    let groups = settings.provider.groups.iter().map(|group| group.id());
    assert!(groups.eq([NamedGroup::SECP384R1, NamedGroup::X25519]));
    assert_eq!(settings.provider.suites.len(), 1);
    assert_eq!(settings.key_shares, [NamedGroup::X25519]);
}

/// Short tags are for whoever asks for them.
#[test]
fn ccm_8_is_used_only_where_it_is_named() {
    let suites = |builder: ClientBuilder| {
        let config = builder.build().unwrap();
        let suites = &config.settings().provider.suites;
        suites.iter().map(|suite| suite.id).collect::<Vec<_>>()
    };
    let ccm_8 = CipherSuite::TLS_AES_128_CCM_8_SHA256;
    let by_default = suites(client());
    assert_eq!(
        by_default.last(),
        Some(&CipherSuite::TLS_AES_128_CCM_SHA256)
    );
    assert!(!by_default.contains(&ccm_8), "{by_default:?}");
    let config = server().build().unwrap();
    assert!(config.settings().provider.suite(ccm_8).is_none());

    assert_eq!(suites(client().suites([ccm_8])), [ccm_8]);
    let provider = keyway::provider::fastest().unwrap();
    let alone = provider.only_suites(&[ccm_8]).unwrap();
    assert_eq!(suites(client().provider(alone)), [ccm_8]);
}

#[test]
fn options_that_exclude_each_other() {
    let any = || Arc::new(AcceptAny::dangerous_without_authentication());
    assert_eq!(
        refused(client().dangerous_verifier(any()).build()),
        "trust and dangerous_verifier: only one of the two can be given"
    );
    let config = client().certificate(pair().credentials()).build().unwrap();
    let selector = config.settings().certificates.clone().unwrap();
    assert_eq!(
        refused(
            client()
                .certificate(pair().credentials())
                .certificate_selector(selector)
                .build()
        ),
        "certificate and certificate_selector: only one of the two can be given"
    );
    let selector = server().build().unwrap().settings().certificates.clone();
    assert_eq!(
        refused(server().certificate_selector(selector).build()),
        "certificate and certificate_selector: only one of the two can be given"
    );
}

/// Each way to ask clients for a certificate lets in others than the next: none of them may
/// silently take another's place.
#[test]
fn clients_are_asked_for_certificates_in_one_way() {
    type Ask = fn(ServerBuilder) -> ServerBuilder;
    fn trust() -> Trust {
        Trust::pem(Authority::new().pem())
    }
    fn any() -> Arc<AcceptAny> {
        Arc::new(AcceptAny::dangerous_without_authentication())
    }
    let ways: [(&str, bool, Ask); 4] = [
        ("require_client_certificate", true, |server| {
            server.require_client_certificate(trust())
        }),
        ("request_client_certificate", false, |server| {
            server.request_client_certificate(trust())
        }),
        ("dangerous_client_verifier", true, |server| {
            server.dangerous_client_verifier(any())
        }),
        ("dangerous_optional_client_verifier", false, |server| {
            server.dangerous_optional_client_verifier(any())
        }),
    ];
    for (one, required, ask) in ways {
        let config = ask(server()).build().unwrap();
        match config.settings().client_auth {
            ClientAuth::Required(_) => assert!(required, "{one}"),
            ClientAuth::Optional(_) => assert!(!required, "{one}"),
            ClientAuth::None => panic!("{one} does not ask"),
        }
        for (other, _, ask_too) in ways {
            let built = ask_too(ask(server())).build();
            if one == other {
                built.unwrap();
                continue;
            }
            assert_eq!(
                refused(built),
                format!("{one} and {other}: only one of the two can be given")
            );
        }
    }
}

/// With nothing in the way but the code that verifies.
#[test]
fn a_client_without_certificate_passes_an_optional_verifier() {
    let authority = Authority::new();
    let server = ServerBuilder::new()
        .certificate(authority.issue("localhost").credentials())
        .dangerous_optional_client_verifier(Arc::new(AcceptAny::dangerous_without_authentication()))
        .build()
        .unwrap();
    let stranger = Authority::new().issue("stranger");
    for shown in [None, Some(stranger.credentials())] {
        let certificates = usize::from(shown.is_some());
        let mut client = ClientBuilder::new().trust(Trust::pem(authority.pem()));
        if let Some(credentials) = shown {
            client = client.certificate(credentials);
        }
        let client = client.build().unwrap();
        let stream = handshake(server.clone(), client).unwrap();
        let seen = stream.connection().peer_certificates();
        assert_eq!(seen.map_or(0, |chain| chain.len()), certificates);
    }
}

/// A handshake over TCP; the server's end of it, or why the server refused.
fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> std::io::Result<Stream<TcpStream>> {
    let (near, far) = support::tcp();
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut stream = Stream::server(server, far);
            stream.handshake().map(|()| stream)
        });
        let mut stream = Stream::client(client, support::localhost(), near).unwrap();
        // What it was refused for is the server's to say.
        let _ = stream.handshake();
        served.join().unwrap()
    })
}

#[test]
fn signature_schemes_are_chosen_on_both_sides() {
    assert_eq!(
        refused(client().signature_schemes(["ed25518"]).build()),
        "signature_schemes: unknown name \"ed25518\"; the provider supplies: \
         ECDSA_SECP256R1_SHA256, ECDSA_SECP384R1_SHA384, ED25519, RSA_PSS_RSAE_SHA256, \
         RSA_PSS_RSAE_SHA384, RSA_PSS_RSAE_SHA512"
    );
    assert_eq!(
        refused(client().signature_schemes([SignatureScheme::ED448]).build()),
        "configuration: no backend verifies ED448"
    );
    assert_eq!(
        refused(server().signature_schemes(["rsa_pkcs1_sha256"]).build()),
        "signature_schemes: TLS 1.3 signs no handshake with RSA_PKCS1_SHA256"
    );
    assert_eq!(
        refused(
            server()
                .signature_schemes([SignatureScheme::ED25519; 0])
                .build()
        ),
        "signature_schemes: the list is empty"
    );

    // Both have certificates for P-256. Who accepts no signature of such a key is heeded.
    let authority = Authority::new();
    let attempt = |server_accepts: SignatureScheme, client_accepts: SignatureScheme| {
        let server = ServerBuilder::new()
            .certificate(authority.issue("localhost").credentials())
            .require_client_certificate(Trust::pem(authority.pem()))
            .signature_schemes([server_accepts])
            .build()
            .unwrap();
        let client = ClientBuilder::new()
            .trust(Trust::pem(authority.pem()))
            .certificate(authority.issue("client").credentials())
            .signature_schemes([client_accepts])
            .build()
            .unwrap();
        handshake(server, client)
    };
    let (good, bad) = (
        SignatureScheme::ECDSA_SECP256R1_SHA256,
        SignatureScheme::ED25519,
    );
    let stream = attempt(good, good).unwrap();
    assert_eq!(stream.connection().signature_scheme(), Some(good));
    let error = attempt(good, bad).unwrap_err();
    assert!(matches!(tls_error(&error), Error::NoCommon(_)), "{error}");
    // The client has nothing that it may show, and shows nothing.
    let error = attempt(bad, good).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn values_out_of_range() {
    assert_eq!(
        refused(server().alpn(["h2", ""]).build()),
        "configuration: application protocol names must have 1 to 255 bytes"
    );
    let limits = Limits {
        record_payload: 1,
        ..Limits::default()
    };
    assert_eq!(
        refused(client().limits(limits).build()),
        "configuration: limit out of range: record_payload: 64 to 16384 bytes"
    );
    assert_eq!(
        refused(
            server()
                .certificate_for("not a name", pair().credentials())
                .build()
        ),
        "certificate_for: \"not a name\" is not a host name"
    );
    let trust = Trust::pem(Authority::new().pem()).revocation(RevocationPolicy::default());
    let message = refused(ClientBuilder::new().trust(trust).build());
    assert!(message.contains("no revocation list"), "{message}");
    assert_eq!(
        refused(ClientBuilder::new().trust(Trust::certificates([])).build()),
        "trust: no trust anchor is given: every peer would be refused"
    );
}

#[test]
fn a_key_log_that_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no/such/keys");
    let message = refused(server().key_log_file(&path).build());
    let start = format!("key_log: {}: cannot be opened: No such", path.display());
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn secrets_of_a_handshake_are_logged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let authority = Authority::new();
    let server = ServerBuilder::new()
        .certificate(authority.issue("localhost").credentials())
        .key_log_file(&path)
        .build()
        .unwrap();
    let client = ClientBuilder::new()
        .trust(Trust::pem(authority.pem()))
        .build()
        .unwrap();
    let (near, far) = support::tcp();
    std::thread::scope(|scope| {
        scope.spawn(|| Stream::server(server, far).handshake().unwrap());
        let mut stream = Stream::client(client, support::localhost(), near).unwrap();
        stream.handshake().unwrap();
    });
    let log = fs::read_to_string(&path).unwrap();
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    ] {
        let lines = log.lines().filter(|line| {
            let mut words = line.split(' ');
            words.next() == Some(label)
                && words.next().is_some_and(|random| random.len() == 64)
                && words.next().is_some_and(|secret| secret.len() >= 64)
        });
        assert_eq!(lines.count(), 1, "{label} in:\n{log}");
    }
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let authority = Authority::new();
    let config = ServerBuilder::new()
        .certificate(authority.issue("localhost").credentials())
        .certificate_for("a.test", authority.issue("a.test").credentials())
        .certificate_for("*.b.test", authority.issue("x.b.test").credentials())
        .build()
        .unwrap();
    // The client checks the name: it would refuse any other.
    for name in ["localhost", "a.test", "x.b.test"] {
        let client = ClientBuilder::new()
            .trust(Trust::certificates([authority.der()]))
            .build()
            .unwrap();
        let (near, far) = support::tcp();
        let name = keyway::ServerName::try_from(name).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = Stream::server(config.clone(), far);
                stream.handshake().unwrap();
            });
            let mut stream = Stream::client(client, name, near).unwrap();
            stream.handshake().unwrap();
        });
    }
}
