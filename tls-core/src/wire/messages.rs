//! The messages after the hellos (RFC 9846, sections 4.4 to 4.7).

use alloc::vec::Vec;

use crypto_api::SignatureScheme;
use rustls_pki_types::CertificateDer;

use super::codec::{Reader, Write};
use super::extensions::{self, Extensions};
use super::{ExtensionType, HandshakeType};
use crate::verify::CertificateChain;
use crate::{Error, Misbehaviour, limits};

/// EncryptedExtensions (section 4.4.1).
#[derive(Debug)]
pub(crate) struct EncryptedExtensions {
    pub(crate) alpn: Option<Vec<u8>>,
}

impl EncryptedExtensions {
    /// What this message may carry if it was asked for (section 4.3, the table; RFC 8449).
    const ALLOWED: &[ExtensionType] = &[
        ExtensionType::SERVER_NAME,
        ExtensionType::MAX_FRAGMENT_LENGTH,
        ExtensionType::SUPPORTED_GROUPS,
        ExtensionType::USE_SRTP,
        ExtensionType::HEARTBEAT,
        ExtensionType::ALPN,
        ExtensionType::CLIENT_CERTIFICATE_TYPE,
        ExtensionType::SERVER_CERTIFICATE_TYPE,
        ExtensionType::RECORD_SIZE_LIMIT,
        ExtensionType::EARLY_DATA,
    ];

    pub(crate) fn parse(body: &[u8], asked: impl Fn(ExtensionType) -> bool) -> Result<Self, Error> {
        use ExtensionType as E;
        let mut reader = Reader::new(body, "EncryptedExtensions");
        let list = Extensions::read(&mut reader, "EncryptedExtensions")?;
        reader.end()?;
        list.only(asked, Self::ALLOWED)?;
        // The server's answer to server_name is empty (RFC 6066, section 3).
        list.parse(E::SERVER_NAME, "server_name", |_| Ok(()))?;
        // For the client's next connection; checked for form only.
        list.parse(
            E::SUPPORTED_GROUPS,
            "supported_groups",
            Reader::list16::<u16>,
        )?;
        let names = list.parse(E::ALPN, "ALPN", extensions::read_alpn)?;
        let alpn = match names {
            None => None,
            // Exactly one (RFC 7301, section 3.1).
            Some(names) => match <[Vec<u8>; 1]>::try_from(names) {
                Ok([name]) => Some(name),
                Err(_) => return Err(Error::Decode("ALPN")),
            },
        };
        Ok(Self { alpn })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, names_server: bool) {
        out.put_u8(HandshakeType::ENCRYPTED_EXTENSIONS.0);
        out.nest24(|out| {
            out.nest16(|out| {
                if names_server {
                    extensions::put(out, ExtensionType::SERVER_NAME, |_| {});
                }
                if let Some(name) = &self.alpn {
                    extensions::put_alpn(out, core::iter::once(name.as_slice()));
                }
            });
        });
    }
}

/// Extensions that neither a CertificateRequest nor a NewSessionTicket carries (section 4.3,
/// the table).
const OF_HELLOS: &[ExtensionType] = &[
    ExtensionType::SUPPORTED_GROUPS,
    ExtensionType::ALPN,
    ExtensionType::PRE_SHARED_KEY,
    ExtensionType::SUPPORTED_VERSIONS,
    ExtensionType::COOKIE,
    ExtensionType::PSK_KEY_EXCHANGE_MODES,
    ExtensionType::KEY_SHARE,
];

/// CertificateRequest (section 4.4.2).
#[derive(Debug)]
pub(crate) struct CertificateRequest {
    pub(crate) schemes: Vec<SignatureScheme>,
    pub(crate) certificate_schemes: Option<Vec<SignatureScheme>>,
    pub(crate) authorities: Vec<Vec<u8>>,
}

impl CertificateRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        use ExtensionType as E;
        let mut reader = Reader::new(body, "CertificateRequest");
        // Only post-handshake authentication has a context (section 4.4.2).
        if !reader.vec8()?.is_empty() {
            return Err(Misbehaviour::IllegalParameter("context of CertificateRequest").into());
        }
        let list = Extensions::read(&mut reader, "CertificateRequest")?;
        reader.end()?;
        // Here unknown extensions are the server's requests, to be ignored; so is server_name,
        // which the table allows for the sake of RFC 9261.
        list.none_of(OF_HELLOS)?;
        list.none_of(&[E::EARLY_DATA])?;
        let schemes = list
            .parse(
                E::SIGNATURE_ALGORITHMS,
                "signature_algorithms",
                Reader::list16,
            )?
            .ok_or(Misbehaviour::MissingExtension("signature_algorithms"))?;
        let certificate_schemes = list.parse(
            E::SIGNATURE_ALGORITHMS_CERT,
            "signature_algorithms_cert",
            Reader::list16,
        )?;
        let authorities = list
            .parse(
                E::CERTIFICATE_AUTHORITIES,
                "certificate_authorities",
                |reader| {
                    let mut names = reader.nested16("certificate_authorities")?;
                    let mut authorities = Vec::new();
                    if names.is_empty() {
                        return Err(Error::Decode("certificate_authorities"));
                    }
                    while !names.is_empty() {
                        let name = names.vec16()?;
                        if name.is_empty() {
                            return Err(Error::Decode("certificate_authorities"));
                        }
                        if authorities.len() == limits::AUTHORITIES {
                            return Err(Misbehaviour::TooMany("certificate authorities").into());
                        }
                        authorities.push(name.to_vec());
                    }
                    Ok(authorities)
                },
            )?
            .unwrap_or_default();
        Ok(Self {
            schemes,
            certificate_schemes,
            authorities,
        })
    }
}

/// Appends a CertificateRequest.
pub(crate) fn encode_certificate_request(
    out: &mut Vec<u8>,
    schemes: &[SignatureScheme],
    certificate_schemes: Option<&[SignatureScheme]>,
    authorities: &[rustls_pki_types::Der<'static>],
) {
    use ExtensionType as E;
    out.put_u8(HandshakeType::CERTIFICATE_REQUEST.0);
    out.nest24(|out| {
        out.nest8(|_| {});
        out.nest16(|out| {
            extensions::put_schemes(out, E::SIGNATURE_ALGORITHMS, schemes);
            if let Some(schemes) = certificate_schemes {
                extensions::put_schemes(out, E::SIGNATURE_ALGORITHMS_CERT, schemes);
            }
            // The list must fit its extension; names that do not are left out, which asks
            // for less and is no error. It must not be empty, and nor must a name
            // (section 4.3.4).
            let mut names = Vec::new();
            for name in authorities.iter().filter(|name| !name.is_empty()) {
                if names.len().saturating_add(name.len()) < 0xe000 {
                    names.nest16(|out| out.put(name));
                }
            }
            if !names.is_empty() {
                extensions::put(out, E::CERTIFICATE_AUTHORITIES, |out| {
                    out.nest16(|out| out.put(&names));
                });
            }
        });
    });
}

/// Whether our CertificateRequest asks for something by this extension, which a client's
/// Certificate may answer (section 4.3).
pub(crate) fn is_requested(kind: ExtensionType) -> bool {
    matches!(
        kind,
        ExtensionType::SIGNATURE_ALGORITHMS
            | ExtensionType::SIGNATURE_ALGORITHMS_CERT
            | ExtensionType::CERTIFICATE_AUTHORITIES
    )
}

/// Parses the body of a Certificate (section 4.5.1): a chain, which may be empty. `asked`
/// tells which extensions its receiver sent.
pub(crate) fn parse_certificate(
    body: &[u8],
    asked: impl Fn(ExtensionType) -> bool,
) -> Result<CertificateChain, Error> {
    let mut reader = Reader::new(body, "Certificate");
    if !reader.vec8()?.is_empty() {
        return Err(Misbehaviour::IllegalParameter("context of Certificate").into());
    }
    let mut list = Reader::new(reader.vec24()?, "Certificate");
    reader.end()?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        let certificate = list.vec24()?;
        if certificate.is_empty() {
            return Err(Error::Decode("Certificate"));
        }
        // Of those that we send, an entry may answer none.
        Extensions::read(&mut list, "extensions of Certificate")?.only(&asked, &[])?;
        if chain.len() == limits::CHAIN {
            return Err(Misbehaviour::TooMany("certificates in a chain").into());
        }
        chain.push(CertificateDer::from(certificate.to_vec()));
    }
    Ok(chain.into())
}

/// Appends a Certificate with this chain; none is to say that there is no certificate.
pub(crate) fn encode_certificate(out: &mut Vec<u8>, chain: &[CertificateDer<'_>]) {
    out.put_u8(HandshakeType::CERTIFICATE.0);
    out.nest24(|out| {
        out.nest8(|_| {});
        out.nest24(|out| {
            for certificate in chain {
                out.nest24(|out| out.put(certificate));
                out.nest16(|_| {});
            }
        });
    });
}

/// Parses the body of a CertificateVerify (section 4.5.2): a scheme and a signature.
pub(crate) fn parse_certificate_verify(body: &[u8]) -> Result<(SignatureScheme, &[u8]), Error> {
    let mut reader = Reader::new(body, "CertificateVerify");
    let scheme = SignatureScheme(reader.u16()?);
    let signature = reader.vec16()?;
    reader.end()?;
    Ok((scheme, signature))
}

/// Appends a CertificateVerify.
pub(crate) fn encode_certificate_verify(
    out: &mut Vec<u8>,
    scheme: SignatureScheme,
    signature: &[u8],
) {
    out.put_u8(HandshakeType::CERTIFICATE_VERIFY.0);
    out.nest24(|out| {
        out.put_u16(scheme.0);
        out.nest16(|out| out.put(signature));
    });
}

/// Appends a Finished (section 4.5.3).
pub(crate) fn encode_finished(out: &mut Vec<u8>, verify_data: &[u8]) {
    out.put_u8(HandshakeType::FINISHED.0);
    out.nest24(|out| out.put(verify_data));
}

/// Whether a KeyUpdate asks for one in return (section 4.7.3).
pub(crate) fn parse_key_update(body: &[u8]) -> Result<bool, Error> {
    let mut reader = Reader::new(body, "KeyUpdate");
    let request = reader.u8()?;
    reader.end()?;
    match request {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Misbehaviour::IllegalParameter("KeyUpdate").into()),
    }
}

/// A KeyUpdate.
pub(crate) fn key_update(request: bool) -> [u8; 5] {
    [HandshakeType::KEY_UPDATE.0, 0, 0, 1, u8::from(request)]
}

/// Checks the form of a NewSessionTicket (section 4.7.1).
pub(crate) fn check_new_session_ticket(body: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(body, "NewSessionTicket");
    let _lifetime: [u8; 4] = reader.array()?;
    let _age_add: [u8; 4] = reader.array()?;
    let _nonce = reader.vec8()?;
    if reader.vec16()?.is_empty() {
        return Err(Error::Decode("NewSessionTicket"));
    }
    // Unknown extensions are to be ignored here (section 4.7.1).
    let list = Extensions::read(&mut reader, "extensions of NewSessionTicket")?;
    reader.end()?;
    list.none_of(OF_HELLOS)?;
    list.none_of(&[
        ExtensionType::SERVER_NAME,
        ExtensionType::SIGNATURE_ALGORITHMS,
        ExtensionType::SIGNATURE_ALGORITHMS_CERT,
        ExtensionType::CERTIFICATE_AUTHORITIES,
    ])
}
