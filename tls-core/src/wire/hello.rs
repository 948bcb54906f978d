//! ClientHello, ServerHello and HelloRetryRequest (RFC 9846, sections 4.2.2 to 4.2.4).

use alloc::vec::Vec;

use crypto_api::{CipherSuite, NamedGroup, SignatureScheme};
use rustls_pki_types::{DnsName, IpAddr};

use super::codec::{Reader, Write};
use super::extensions::{self, Extensions};
use super::{ExtensionType, HandshakeType, TLS12, TLS13};
use crate::{Error, Misbehaviour, limits};

/// TLS_FALLBACK_SCSV: says in the list of cipher suites that the client has already been
/// refused with a better version (RFC 7507).
pub(crate) const FALLBACK_SCSV: CipherSuite = CipherSuite(0x5600);

/// A key share: its group and its bytes.
pub(crate) type KeyShare<'a> = (NamedGroup, &'a [u8]);

/// A parsed ClientHello.
#[derive(Debug)]
pub(crate) struct ClientHello<'a> {
    pub(crate) legacy_version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher_suites: Vec<CipherSuite>,
    pub(crate) compression_methods: &'a [u8],
    /// `None` in a hello of TLS 1.2 or older.
    pub(crate) versions: Option<Vec<u16>>,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) groups: Option<Vec<NamedGroup>>,
    pub(crate) key_shares: Option<Vec<KeyShare<'a>>>,
    pub(crate) schemes: Option<Vec<SignatureScheme>>,
    pub(crate) certificate_schemes: Option<Vec<SignatureScheme>>,
    pub(crate) alpn: Option<Vec<Vec<u8>>>,
    pub(crate) early_data: bool,
    pub(crate) offers_psk: bool,
    pub(crate) psk_modes: bool,
}

impl<'a> ClientHello<'a> {
    /// Parses the body of a ClientHello.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "ClientHello");
        let legacy_version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        if session_id.len() > 32 {
            return Err(Error::Decode("session id"));
        }
        let cipher_suites = reader.list16()?;
        let compression_methods = reader.vec8()?;
        if compression_methods.is_empty() {
            return Err(Error::Decode("compression methods"));
        }
        let mut hello = Self {
            legacy_version,
            random,
            session_id,
            cipher_suites,
            compression_methods,
            versions: None,
            server_name: None,
            groups: None,
            key_shares: None,
            schemes: None,
            certificate_schemes: None,
            alpn: None,
            early_data: false,
            offers_psk: false,
            psk_modes: false,
        };
        // A hello of TLS 1.2 may end here.
        if reader.is_empty() {
            return Ok(hello);
        }
        let list = Extensions::read(&mut reader, "extensions of ClientHello")?;
        reader.end()?;
        hello.read_extensions(&list)?;
        Ok(hello)
    }

    fn read_extensions(&mut self, list: &Extensions<'a>) -> Result<(), Error> {
        use ExtensionType as E;
        self.versions = list.parse(E::SUPPORTED_VERSIONS, "supported_versions", Reader::list8)?;
        self.server_name = list
            .parse(E::SERVER_NAME, "server_name", read_server_name)?
            .flatten();
        self.groups = list.parse(E::SUPPORTED_GROUPS, "supported_groups", Reader::list16)?;
        self.key_shares = list.parse(E::KEY_SHARE, "key_share", read_key_shares)?;
        self.schemes = list.parse(
            E::SIGNATURE_ALGORITHMS,
            "signature_algorithms",
            Reader::list16,
        )?;
        self.certificate_schemes = list.parse(
            E::SIGNATURE_ALGORITHMS_CERT,
            "signature_algorithms_cert",
            Reader::list16,
        )?;
        self.alpn = list.parse(E::ALPN, "ALPN", extensions::read_alpn)?;
        // Of form only: this server sends none, so whatever it is, it is not ours.
        list.parse(E::COOKIE, "cookie", read_cookie)?;
        self.early_data = list
            .parse(E::EARLY_DATA, "early_data", |_| Ok(()))?
            .is_some();
        self.psk_modes = list
            .parse(
                E::PSK_KEY_EXCHANGE_MODES,
                "psk_key_exchange_modes",
                |reader| match reader.vec8()? {
                    [] => Err(Error::Decode("psk_key_exchange_modes")),
                    _ => Ok(()),
                },
            )?
            .is_some();
        self.offers_psk = list.get(E::PRE_SHARED_KEY, "pre_shared_key").is_some();
        // Its binders cover everything before it (RFC 9846, section 4.3.11).
        let last = list.iter().last().map(|(kind, _)| kind);
        if self.offers_psk && last != Some(E::PRE_SHARED_KEY) {
            return Err(Misbehaviour::IllegalParameter("place of pre_shared_key").into());
        }
        Ok(())
    }
}

/// The host name of server_name (RFC 6066, section 3); `None` if the list names only things
/// other than hosts.
fn read_server_name<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Error> {
    const HOST_NAME: u8 = 0;
    let mut list = reader.nested16("server_name")?;
    let mut host = None;
    if list.is_empty() {
        return Err(Error::Decode("server_name"));
    }
    while !list.is_empty() {
        let kind = list.u8()?;
        let name = list.vec16()?;
        if kind != HOST_NAME {
            continue;
        }
        if host.is_some() {
            return Err(Misbehaviour::IllegalParameter("server_name").into());
        }
        let name = core::str::from_utf8(name).map_err(|_| Error::Decode("server_name"))?;
        // Names go on to selectors and logs: nothing but host names may. An address has no
        // business here (RFC 6066, section 3), but clients exist that send theirs.
        if IpAddr::try_from(name).is_ok() {
            continue;
        }
        if DnsName::try_from(name).is_err() {
            return Err(Misbehaviour::IllegalParameter("server_name").into());
        }
        host = Some(name);
    }
    Ok(host)
}

fn read_key_shares<'a>(reader: &mut Reader<'a>) -> Result<Vec<KeyShare<'a>>, Error> {
    let mut list = reader.nested16("key_share")?;
    let mut shares: Vec<KeyShare<'a>> = Vec::new();
    while !list.is_empty() {
        let share = read_key_share(&mut list)?;
        // RFC 9846, section 4.3.8: one share per group.
        if shares.iter().any(|(group, _)| *group == share.0) {
            return Err(Misbehaviour::IllegalParameter("key_share: a group twice").into());
        }
        if shares.len() == limits::KEY_SHARES {
            return Err(Misbehaviour::TooMany("key shares").into());
        }
        shares.push(share);
    }
    Ok(shares)
}

fn read_key_share<'a>(reader: &mut Reader<'a>) -> Result<KeyShare<'a>, Error> {
    let group = NamedGroup(reader.u16()?);
    match reader.vec16()? {
        [] => Err(Error::Decode("key_share")),
        share => Ok((group, share)),
    }
}

fn read_cookie<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    match reader.vec16()? {
        [] => Err(Error::Decode("cookie")),
        cookie => Ok(cookie),
    }
}

/// A ClientHello to be written.
#[derive(Debug)]
pub(crate) struct ClientHelloOut<'a> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher_suites: &'a [CipherSuite],
    pub(crate) server_name: Option<&'a str>,
    pub(crate) groups: &'a [NamedGroup],
    pub(crate) key_shares: &'a [KeyShare<'a>],
    pub(crate) schemes: &'a [SignatureScheme],
    pub(crate) certificate_schemes: Option<&'a [SignatureScheme]>,
    pub(crate) alpn: &'a [Vec<u8>],
    pub(crate) cookie: Option<&'a [u8]>,
}

impl ClientHelloOut<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        use ExtensionType as E;
        out.put_u8(HandshakeType::CLIENT_HELLO.0);
        out.nest24(|out| {
            out.put_u16(TLS12);
            out.put(self.random);
            out.nest8(|out| out.put(self.session_id));
            out.nest16(|out| {
                for suite in self.cipher_suites {
                    out.put_u16(suite.0);
                }
            });
            // legacy_compression_methods: null only.
            out.put(&[1, 0]);
            out.nest16(|out| {
                if let Some(name) = self.server_name {
                    extensions::put(out, E::SERVER_NAME, |out| {
                        out.nest16(|out| {
                            out.put_u8(0);
                            out.nest16(|out| out.put(name.as_bytes()));
                        });
                    });
                }
                extensions::put(out, E::SUPPORTED_VERSIONS, |out| {
                    out.nest8(|out| out.put_u16(TLS13));
                });
                extensions::put(out, E::SUPPORTED_GROUPS, |out| {
                    out.nest16(|out| self.groups.iter().for_each(|group| out.put_u16(group.0)));
                });
                extensions::put_schemes(out, E::SIGNATURE_ALGORITHMS, self.schemes);
                if let Some(schemes) = self.certificate_schemes {
                    extensions::put_schemes(out, E::SIGNATURE_ALGORITHMS_CERT, schemes);
                }
                extensions::put(out, E::KEY_SHARE, |out| {
                    out.nest16(|out| {
                        for (group, share) in self.key_shares {
                            out.put_u16(group.0);
                            out.nest16(|out| out.put(share));
                        }
                    });
                });
                if !self.alpn.is_empty() {
                    extensions::put_alpn(out, self.alpn.iter().map(Vec::as_slice));
                }
                if let Some(cookie) = self.cookie {
                    extensions::put(out, E::COOKIE, |out| out.nest16(|out| out.put(cookie)));
                }
            });
        });
    }
}

/// The random by which a ServerHello is a HelloRetryRequest: SHA-256 of
/// "HelloRetryRequest" (RFC 9846, section 4.2.3).
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The last bytes of the random of a server that could have spoken TLS 1.3 and was made to
/// speak 1.2, or older (RFC 9846, section 4.2.3).
const DOWNGRADE: [[u8; 8]; 2] = [*b"DOWNGRD\x01", *b"DOWNGRD\x00"];

/// A parsed ServerHello or HelloRetryRequest.
#[derive(Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher_suite: CipherSuite,
    pub(crate) kind: ServerHelloKind<'a>,
}

#[derive(Debug)]
pub(crate) enum ServerHelloKind<'a> {
    Hello {
        key_share: KeyShare<'a>,
    },
    Retry {
        group: Option<NamedGroup>,
        cookie: Option<&'a [u8]>,
    },
}

impl<'a> ServerHello<'a> {
    /// Parses the body of a ServerHello. `asked` tells which extensions the ClientHello had.
    pub(crate) fn parse(
        body: &'a [u8],
        asked: impl Fn(ExtensionType) -> bool,
    ) -> Result<Self, Error> {
        use ExtensionType as E;
        let mut reader = Reader::new(body, "ServerHello");
        let version = reader.u16()?;
        let random: [u8; 32] = reader.array()?;
        let session_id = reader.vec8()?;
        let cipher_suite = CipherSuite(reader.u16()?);
        let compression = reader.u8()?;
        if session_id.len() > 32 {
            return Err(Error::Decode("session id"));
        }
        // A server of TLS 1.2 may send no extensions, not even an empty list.
        if reader.is_empty() {
            return Err(older_version(&random));
        }
        let list = Extensions::read(&mut reader, "extensions of ServerHello")?;
        reader.end()?;
        match list.parse(E::SUPPORTED_VERSIONS, "supported_versions", Reader::u16)? {
            // Of no older version (section 4.2.3).
            None if random == RETRY_RANDOM => {
                return Err(Misbehaviour::MissingExtension("supported_versions").into());
            }
            None => return Err(older_version(&random)),
            Some(TLS13) if version == TLS12 => {}
            Some(TLS13) => return Err(Misbehaviour::LegacyVersion(version).into()),
            Some(_) => return Err(Misbehaviour::IllegalParameter("version of ServerHello").into()),
        }
        if compression != 0 {
            return Err(Misbehaviour::IllegalParameter("compression of ServerHello").into());
        }
        let kind = if random == RETRY_RANDOM {
            // A cookie is the one extension that comes without having been asked for.
            list.only(
                |kind| kind == E::COOKIE || asked(kind),
                &[E::SUPPORTED_VERSIONS, E::KEY_SHARE, E::COOKIE],
            )?;
            ServerHelloKind::Retry {
                group: list
                    .parse(E::KEY_SHARE, "key_share", Reader::u16)?
                    .map(NamedGroup),
                cookie: list.parse(E::COOKIE, "cookie", read_cookie)?,
            }
        } else {
            list.only(asked, &[E::SUPPORTED_VERSIONS, E::KEY_SHARE])?;
            ServerHelloKind::Hello {
                key_share: list
                    .parse(E::KEY_SHARE, "key_share", read_key_share)?
                    .ok_or(Misbehaviour::MissingExtension("key_share"))?,
            }
        };
        Ok(Self {
            session_id,
            cipher_suite,
            kind,
        })
    }
}

fn older_version(random: &[u8; 32]) -> Error {
    if DOWNGRADE.iter().any(|mark| random.ends_with(mark)) {
        Misbehaviour::Downgrade.into()
    } else {
        Error::NoCommon(crate::Parameter::Version)
    }
}

/// Appends a ServerHello.
pub(crate) fn encode_server_hello(
    out: &mut Vec<u8>,
    random: &[u8; 32],
    session_id: &[u8],
    cipher_suite: CipherSuite,
    key_share: KeyShare<'_>,
) {
    use ExtensionType as E;
    encode_hello(out, random, session_id, cipher_suite, |out| {
        extensions::put(out, E::KEY_SHARE, |out| {
            out.put_u16(key_share.0.0);
            out.nest16(|out| out.put(key_share.1));
        });
        extensions::put(out, E::SUPPORTED_VERSIONS, |out| out.put_u16(TLS13));
    });
}

/// Appends a HelloRetryRequest for a share in `group`.
pub(crate) fn encode_retry_request(
    out: &mut Vec<u8>,
    session_id: &[u8],
    cipher_suite: CipherSuite,
    group: NamedGroup,
) {
    use ExtensionType as E;
    encode_hello(out, &RETRY_RANDOM, session_id, cipher_suite, |out| {
        extensions::put(out, E::KEY_SHARE, |out| out.put_u16(group.0));
        extensions::put(out, E::SUPPORTED_VERSIONS, |out| out.put_u16(TLS13));
    });
}

fn encode_hello(
    out: &mut Vec<u8>,
    random: &[u8; 32],
    session_id: &[u8],
    cipher_suite: CipherSuite,
    extensions: impl FnOnce(&mut Vec<u8>),
) {
    out.put_u8(HandshakeType::SERVER_HELLO.0);
    out.nest24(|out| {
        out.put_u16(TLS12);
        out.put(random);
        out.nest8(|out| out.put(session_id));
        out.put_u16(cipher_suite.0);
        out.put_u8(0);
        out.nest16(extensions);
    });
}
