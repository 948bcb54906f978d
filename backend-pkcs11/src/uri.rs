//! PKCS#11 URIs (RFC 7512).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use zeroize::Zeroizing;

/// Which object, in which token, through which module (RFC 7512).
///
/// Every attribute narrows the choice; one that is absent matches anything. Both `Display`
/// and `Debug` write the URI without a PIN.
///
/// ```
/// use backend_pkcs11::Uri;
///
/// let uri: Uri = "pkcs11:token=shop;object=www?pin-value=1234".parse()?;
/// assert_eq!(uri.token.as_deref(), Some("shop"));
/// assert_eq!(uri.to_string(), "pkcs11:token=shop;object=www");
/// # Ok::<(), backend_pkcs11::UriError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uri {
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `manufacturer`: who made the token.
    pub manufacturer: Option<String>,
    /// `serial`: the token's serial number.
    pub serial: Option<String>,
    /// `model`: the token's model.
    pub model: Option<String>,
    /// `library-manufacturer`: who made the module.
    pub library_manufacturer: Option<String>,
    /// `library-description`: what the module calls itself.
    pub library_description: Option<String>,
    /// `library-version`: the module's version, major and minor.
    pub library_version: Option<(u8, u8)>,
    /// `slot-id`: the slot's number, which may change from start to start.
    pub slot_id: Option<u64>,
    /// `slot-manufacturer`: who made the slot.
    pub slot_manufacturer: Option<String>,
    /// `slot-description`: what the slot calls itself.
    pub slot_description: Option<String>,
    /// `object`: the object's label, CKA_LABEL.
    pub object: Option<String>,
    /// `type`: the object's class.
    pub object_type: Option<ObjectType>,
    /// `id`: the object's CKA_ID.
    pub id: Option<Vec<u8>>,
    /// `pin-source`: where the PIN is.
    pub pin_source: Option<String>,
    /// `pin-value`: the PIN itself. Command lines and configurations are read by others:
    /// `pin-source` is better.
    pub pin_value: Option<Zeroizing<String>>,
    /// `module-name`: the module's file name without `lib`, directory and suffix.
    pub module_name: Option<String>,
    /// `module-path`: the module's file, or a directory where `module-name` lies.
    pub module_path: Option<PathBuf>,
}

/// The class of an object, as the `type` attribute names it (RFC 7512, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// `cert`.
    Certificate,
    /// `data`.
    Data,
    /// `private`.
    Private,
    /// `public`.
    Public,
    /// `secret-key`.
    SecretKey,
}

impl ObjectType {
    const ALL: [(&'static str, Self); 5] = [
        ("cert", Self::Certificate),
        ("data", Self::Data),
        ("private", Self::Private),
        ("public", Self::Public),
        ("secret-key", Self::SecretKey),
    ];
}

/// As the `type` attribute has it.
impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.into_iter().find(|(_, each)| each == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// What is wrong with a URI. Nothing of it is quoted: a PIN that should have been encoded may
/// look like anything, such as further attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `pkcs11:`.
    Scheme,
    /// An attribute without `=`, or without a name; the number counts from one.
    NoValue(usize),
    /// An attribute that this version does not know: to ignore it could match an object
    /// that was not meant. The number counts from one.
    Unknown(usize),
    /// An attribute that stands there twice.
    Twice(&'static str),
    /// A character that must be percent-encoded in this attribute's value: which one,
    /// counted from one.
    Character(&'static str, usize),
    /// `%` not followed by two hexadecimal digits, or text that is not UTF-8.
    Encoding(&'static str),
    /// A value of the wrong form; the text says what is expected.
    Value(&'static str, &'static str),
    /// `pin-source` and `pin-value` exclude each other.
    TwoPins,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a PKCS#11 URI begins with \"pkcs11:\""),
            Self::NoValue(at) => write!(f, "attribute {at} of the URI is not name=value"),
            Self::Unknown(at) => write!(f, "the name of attribute {at} of the URI is not known"),
            Self::Twice(name) => write!(f, "the URI has \"{name}\" twice"),
            Self::Character(name, at) => write!(
                f,
                "character {at} of the URI's \"{name}\" must be percent-encoded"
            ),
            Self::Encoding(name) => write!(
                f,
                "the URI's \"{name}\" has a '%' without two hexadecimal digits, or is not UTF-8"
            ),
            Self::Value(name, expected) => write!(f, "the URI's \"{name}\" must be {expected}"),
            Self::TwoPins => f.write_str("the URI has both pin-source and pin-value"),
        }
    }
}

impl std::error::Error for UriError {}

/// What need not be encoded in values: `unreserved` and the part of `pk11-res-avail` that is
/// common to path and query (RFC 7512, section 2.3).
const COMMON: &str = "-._~:[]@!$'()*+,=";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Query,
}

impl Part {
    fn allows(self, c: char) -> bool {
        let here = match self {
            Self::Path => "&",
            Self::Query => "/?|",
        };
        c.is_ascii_alphanumeric() || c == '%' || COMMON.contains(c) || here.contains(c)
    }
}

/// Stores `value` unless there is one.
fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice(name)),
    }
}

fn bytes(part: Part, name: &'static str, value: &str) -> Result<Zeroizing<Vec<u8>>, UriError> {
    if let Some(at) = value.chars().position(|c| !part.allows(c)) {
        return Err(UriError::Character(name, at + 1));
    }
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once('%') {
        let digits = behind.as_bytes().get(..2);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(UriError::Encoding(name));
        }
        rest = behind;
    }
    // At once as large as it may get, so that no reallocation leaves a part of a PIN behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    decoded.extend(percent_decode_str(value));
    Ok(decoded)
}

fn text(part: Part, name: &'static str, value: &str) -> Result<String, UriError> {
    let bytes = bytes(part, name, value)?;
    str::from_utf8(&bytes)
        .map(str::to_owned)
        .map_err(|_| UriError::Encoding(name))
}

impl Uri {
    fn path_attribute(&mut self, at: usize, name: &str, value: &str) -> Result<(), UriError> {
        let text = |name| text(Part::Path, name, value);
        match name {
            "token" => once(&mut self.token, "token", text("token")?),
            "manufacturer" => once(
                &mut self.manufacturer,
                "manufacturer",
                text("manufacturer")?,
            ),
            "serial" => once(&mut self.serial, "serial", text("serial")?),
            "model" => once(&mut self.model, "model", text("model")?),
            "library-manufacturer" => {
                let name = "library-manufacturer";
                once(&mut self.library_manufacturer, name, text(name)?)
            }
            "library-description" => {
                let name = "library-description";
                once(&mut self.library_description, name, text(name)?)
            }
            "library-version" => {
                let name = "library-version";
                once(&mut self.library_version, name, version(value)?)
            }
            "slot-id" => {
                let number = value.parse().ok().filter(|_| !value.starts_with('+'));
                let number = number.ok_or(UriError::Value("slot-id", "a decimal number"))?;
                once(&mut self.slot_id, "slot-id", number)
            }
            "slot-manufacturer" => {
                let name = "slot-manufacturer";
                once(&mut self.slot_manufacturer, name, text(name)?)
            }
            "slot-description" => {
                let name = "slot-description";
                once(&mut self.slot_description, name, text(name)?)
            }
            "object" => once(&mut self.object, "object", text("object")?),
            "type" => {
                let found = ObjectType::ALL.into_iter().find(|(name, _)| *name == value);
                let (_, class) = found.ok_or(UriError::Value(
                    "type",
                    "cert, data, private, public or secret-key",
                ))?;
                once(&mut self.object_type, "type", class)
            }
            "id" => once(&mut self.id, "id", bytes(Part::Path, "id", value)?.to_vec()),
            _ => Err(UriError::Unknown(at)),
        }
    }

    fn query_attribute(&mut self, at: usize, name: &str, value: &str) -> Result<(), UriError> {
        let text = |name| text(Part::Query, name, value);
        match name {
            "pin-source" => once(&mut self.pin_source, "pin-source", text("pin-source")?),
            "pin-value" => {
                let value = Zeroizing::new(text("pin-value")?);
                once(&mut self.pin_value, "pin-value", value)
            }
            "module-name" => once(&mut self.module_name, "module-name", text("module-name")?),
            "module-path" => {
                let path = text("module-path")?.into();
                once(&mut self.module_path, "module-path", path)
            }
            // A vendor's query attribute cannot change which object is meant.
            _ if name.starts_with("x-") => Ok(()),
            _ => Err(UriError::Unknown(at)),
        }
    }

    /// The same without the PIN, for what outlives the login.
    pub(crate) fn without_pin(&self) -> Self {
        Self {
            pin_value: None,
            ..self.clone()
        }
    }

    /// The module's file, if the URI tells. A `module-name` without a directory is left to
    /// the system's loader, with the platform's prefix and suffix.
    pub fn module(&self) -> Option<PathBuf> {
        let file = |name: &str| {
            let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
            format!("{prefix}{name}{suffix}")
        };
        match (&self.module_path, &self.module_name) {
            (Some(path), Some(name)) if path.is_dir() => Some(path.join(file(name))),
            (Some(path), _) => Some(path.clone()),
            (None, Some(name)) => Some(file(name).into()),
            (None, None) => None,
        }
    }
}

/// `library-version`: major, and minor or nothing.
fn version(value: &str) -> Result<(u8, u8), UriError> {
    let (major, minor) = value.split_once('.').unwrap_or((value, "0"));
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => Err(UriError::Value(
            "library-version",
            "one or two decimal numbers below 256 with a '.' between",
        )),
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        // Schemes do not depend on the case of letters (RFC 3986, section 3.1).
        let rest = match uri.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pkcs11:") => rest,
            _ => return Err(UriError::Scheme),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut parsed = Self::default();
        let mut count = 0;
        let mut each = |attribute: &str, part| {
            count += 1;
            let (name, value) = match attribute.split_once('=') {
                Some((name, value)) if !name.is_empty() => (name, value),
                _ => return Err(UriError::NoValue(count)),
            };
            match part {
                Part::Path => parsed.path_attribute(count, name, value),
                Part::Query => parsed.query_attribute(count, name, value),
            }
        };
        if !path.is_empty() {
            path.split(';')
                .try_for_each(|attribute| each(attribute, Part::Path))?;
        }
        if let Some(query) = query {
            query
                .split('&')
                .try_for_each(|attribute| each(attribute, Part::Query))?;
        }
        if parsed.pin_source.is_some() && parsed.pin_value.is_some() {
            return Err(UriError::TwoPins);
        }
        Ok(parsed)
    }
}

/// What `Display` encodes: everything but `unreserved`, which is always right.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// As above, with what makes paths readable.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/').remove(b':');

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let mut separator = "";
        let texts = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("serial", &self.serial),
            ("model", &self.model),
            ("library-manufacturer", &self.library_manufacturer),
            ("library-description", &self.library_description),
            ("slot-manufacturer", &self.slot_manufacturer),
            ("slot-description", &self.slot_description),
            ("object", &self.object),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                let value = percent_encode(value.as_bytes(), ENCODED);
                write!(f, "{separator}{name}={value}")?;
                separator = ";";
            }
        }
        if let Some((major, minor)) = self.library_version {
            write!(f, "{separator}library-version={major}.{minor}")?;
            separator = ";";
        }
        if let Some(slot) = self.slot_id {
            write!(f, "{separator}slot-id={slot}")?;
            separator = ";";
        }
        if let Some(id) = &self.id {
            write!(f, "{separator}id=")?;
            id.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
            separator = ";";
        }
        if let Some(class) = self.object_type {
            write!(f, "{separator}type={class}")?;
        }
        separator = "?";
        let path = self.module_path.as_deref().map(Path::to_string_lossy);
        let queries = [
            ("module-path", path.as_deref()),
            ("module-name", self.module_name.as_deref()),
            ("pin-source", self.pin_source.as_deref()),
        ];
        for (name, value) in queries {
            if let Some(value) = value {
                let value = percent_encode(value.as_bytes(), ENCODED_PATH);
                write!(f, "{separator}{name}={value}")?;
                separator = "&";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
