//! Filling a token through PKCS#11 itself.

use std::path::Path;

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::Error,
    object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use openssl::{bn::BigNum, pkey::PKey, rsa::Rsa};

use crate::{Authority, Key, Kind, LABEL, PIN, SO_PIN, Skipped};

/// What was put into a token.
pub(crate) struct Filled {
    pub(crate) keys: Vec<Key>,
    pub(crate) missing: Vec<Skipped>,
    pub(crate) root: Vec<u8>,
}

/// Loads a module and initialises it.
pub(crate) fn open(module: &Path) -> Result<Pkcs11, String> {
    let context = Pkcs11::new(module).map_err(text)?;
    // Modules that are unloaded leave threads and exit handlers behind, which then crash.
    std::mem::forget(context.clone());
    let flags = CInitializeFlags::OS_LOCKING_OK;
    context
        .initialize(CInitializeArgs::new(flags))
        .map_err(text)?;
    Ok(context)
}

/// Initialises the token in a slot: its label and both PINs.
pub(crate) fn initialize(context: &Pkcs11, slot: Slot) -> Result<(), String> {
    let so_pin = AuthPin::new(SO_PIN.into());
    context.init_token(slot, &so_pin, LABEL).map_err(text)?;
    let session = context.open_rw_session(slot).map_err(text)?;
    session.login(UserType::So, Some(&so_pin)).map_err(text)?;
    session.init_pin(&AuthPin::new(PIN.into())).map_err(text)?;
    session.logout().map_err(text)?;
    session.close().map_err(text)
}

/// The first slot whose token is not initialised.
pub(crate) fn free_slot(context: &Pkcs11) -> Result<Slot, String> {
    for slot in context.get_slots_with_token().map_err(text)? {
        if !context
            .get_token_info(slot)
            .map_err(text)?
            .token_initialized()
        {
            return Ok(slot);
        }
    }
    Err("it has no slot for a new token".to_owned())
}

/// Generates keys in a token, and puts certificates for them beside.
pub(crate) fn fill(
    context: &Pkcs11,
    slot: Slot,
    kind: Kind,
    keys: &[Key],
) -> Result<Filled, String> {
    let session = context.open_rw_session(slot).map_err(text)?;
    let pin = AuthPin::new(PIN.into());
    session.login(UserType::User, Some(&pin)).map_err(text)?;
    let mut authority = Authority::new()?;
    let mut filled = Filled {
        keys: Vec::new(),
        missing: Vec::new(),
        root: authority.root()?,
    };
    let mechanisms = context.get_mechanism_list(slot).map_err(text)?;
    for &key in keys {
        if !mechanisms.contains(&key.mechanism().mechanism_type()) {
            let why = format!("no {}", key.mechanism().mechanism_type());
            filled.missing.push(key.skipped(kind, &why));
            continue;
        }
        match generate(&session, key) {
            Ok(_) if Key::ML_DSA.contains(&key) => filled.keys.push(key),
            Ok(public) => {
                let spki = spki(&session, public, key)?;
                let certificate = authority.issue(key.label(), &spki)?;
                store(&session, key.label(), key.id(), &certificate)?;
                filled.keys.push(key);
            }
            // The mechanism is there, and not for this curve.
            Err(error) => filled.missing.push(key.skipped(kind, &text(error))),
        }
    }
    store(&session, "issuer", 0, &authority.issuer()?)?;
    session.close().map_err(text)?;
    Ok(filled)
}

/// Generates a key pair; gives the public key.
fn generate(session: &Session, key: Key) -> Result<ObjectHandle, Error> {
    let named = [
        Attribute::Token(true),
        Attribute::Label(key.label().into()),
        Attribute::Id(vec![key.id()]),
        Attribute::KeyType(key.key_type()),
    ];
    let mut public = named.to_vec();
    public.extend([Attribute::Verify(true), Attribute::Private(false)]);
    public.extend(key.parameters());
    let mut private = named.to_vec();
    private.extend([
        Attribute::Sign(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
    ]);
    if key.always_authenticates() {
        private.push(Attribute::AlwaysAuthenticate(true));
    }
    let (public, _) = session.generate_key_pair(&key.mechanism(), &public, &private)?;
    Ok(public)
}

/// A public key as a SubjectPublicKeyInfo.
fn spki(session: &Session, public: ObjectHandle, key: Key) -> Result<Vec<u8>, String> {
    let wanted: &[AttributeType] = match key.curve() {
        None => &[AttributeType::Modulus, AttributeType::PublicExponent],
        Some(_) => &[AttributeType::EcPoint],
    };
    let attributes = session.get_attributes(public, wanted).map_err(text)?;
    match (key.curve(), attributes.as_slice()) {
        (None, [Attribute::Modulus(n), Attribute::PublicExponent(e)]) => {
            let number = |bytes: &[u8]| BigNum::from_slice(bytes);
            let rsa = number(n).and_then(|n| Rsa::from_public_components(n, number(e)?));
            let der = rsa
                .and_then(PKey::from_rsa)
                .and_then(|key| key.public_key_to_der());
            der.map_err(|error| error.to_string())
        }
        (Some(curve), [Attribute::EcPoint(point)]) => Ok(ec_spki(key, curve, unwrap(point))),
        _ => Err(format!("{}: no public key in the token", key.label())),
    }
}

/// The point without the OCTET STRING around it (PKCS#11 3.1, section 6.3.3), which some
/// tokens leave out.
fn unwrap(point: &[u8]) -> &[u8] {
    match point {
        [4, len, rest @ ..] if usize::from(*len) == rest.len() => rest,
        [4, 0x81, len, rest @ ..] if usize::from(*len) == rest.len() => rest,
        bare => bare,
    }
}

/// RFC 5480, section 2, and RFC 8410, section 4.
fn ec_spki(key: Key, curve: &[u8], point: &[u8]) -> Vec<u8> {
    // id-ecPublicKey, whose parameter is the curve; an Edwards curve stands for itself.
    let ec: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let algorithm = match key {
        Key::Ed25519 | Key::Ed448 => der(0x30, &[curve]),
        _ => der(0x30, &[ec, curve]),
    };
    der(0x30, &[&algorithm, &der(3, &[&[0], point])])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(len @ ..0x80) => out.push(len),
        Ok(len) => out.extend([0x81, len]),
        Err(_) => {
            out.push(0x82);
            out.extend((content.len() as u16).to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// Puts a certificate into the token.
fn store(session: &Session, label: &str, id: u8, certificate: &[u8]) -> Result<(), String> {
    let parsed = openssl::x509::X509::from_der(certificate).map_err(|e| e.to_string())?;
    let subject = parsed.subject_name().to_der().map_err(|e| e.to_string())?;
    let issuer = parsed.issuer_name().to_der().map_err(|e| e.to_string())?;
    let serial = parsed.serial_number().to_bn().map_err(|e| e.to_string())?;
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(label.into()),
        Attribute::Id(vec![id]),
        Attribute::Subject(subject),
        Attribute::Issuer(issuer),
        Attribute::SerialNumber(der(2, &[&serial.to_vec()])),
        Attribute::Value(certificate.to_vec()),
    ];
    session.create_object(&template).map(drop).map_err(text)
}

#[allow(clippy::needless_pass_by_value)] // It serves `map_err`.
pub(crate) fn text(error: Error) -> String {
    error.to_string()
}
