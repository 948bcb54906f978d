//! As much of DER (X.690) as keys, signatures and certificates need.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The version of a certificate, `[0]`.
const EXPLICIT_0: u8 = 0xa0;

/// Reads elements one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element's tag and content.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                let len = bytes
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte));
                (len, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which has this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }

    /// The next element, tag and length included.
    fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.element(tag)?;
        before.get(..before.len() - self.0.len())
    }
}

/// The content of `der` if it is one element of this tag and nothing else.
pub(crate) fn only(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(der);
    let content = reader.element(tag)?;
    reader.is_empty().then_some(content)
}

/// The parts of a certificate (RFC 5280, section 4.1) that a chain is built by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) public_key: &'a [u8],
    /// As `YYYYMMDDHHMMSSZ`, so that a later time is a greater text.
    pub(crate) not_after: [u8; 15],
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader::new(only(SEQUENCE, der)?);
        let mut fields = Reader::new(certificate.element(SEQUENCE)?);
        let mut probe = fields;
        if probe.element(EXPLICIT_0).is_some() {
            fields = probe;
        }
        fields.element(INTEGER)?;
        fields.element(SEQUENCE)?;
        let issuer = fields.whole(SEQUENCE)?;
        let mut validity = Reader::new(fields.element(SEQUENCE)?);
        validity.any()?;
        let not_after = time(validity.any()?)?;
        let subject = fields.whole(SEQUENCE)?;
        let public_key = fields.whole(SEQUENCE)?;
        Some(Self {
            issuer,
            subject,
            public_key,
            not_after,
        })
    }
}

/// UTCTime or GeneralizedTime, with the century that RFC 5280, section 4.1.2.5.1 says.
fn time((tag, content): (u8, &[u8])) -> Option<[u8; 15]> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    match tag {
        UTC_TIME => {
            let century: &[u8] = if *content.first()? >= b'5' {
                b"19"
            } else {
                b"20"
            };
            [century, content].concat().try_into().ok()
        }
        GENERALIZED_TIME => content.try_into().ok(),
        _ => None,
    }
}

fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let len: usize = content.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(len + 5);
    der.push(tag);
    let bytes = len.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0);
    let bytes = bytes.get(first.unwrap_or(bytes.len())..).unwrap_or(&[]);
    if len >= 0x80 {
        der.push(0x80 | bytes.len() as u8);
        der.extend_from_slice(bytes);
    } else {
        der.push(len as u8);
    }
    content.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// An integer of this magnitude; leading zeros don't count.
fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let number = magnitude.get(zeros..).unwrap_or(&[]);
    // A zero in front where it would read as negative, or not be there at all.
    let sign: &[u8] = match number.first() {
        Some(0..=0x7f) => &[],
        _ => &[0],
    };
    element(INTEGER, &[sign, number])
}

/// A SubjectPublicKeyInfo of an AlgorithmIdentifier's content and a key.
pub(crate) fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = element(SEQUENCE, &[algorithm]);
    let key = element(BIT_STRING, &[&[0], key]);
    element(SEQUENCE, &[&algorithm, &key])
}

/// An RSAPublicKey (RFC 8017, appendix A.1.1).
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&unsigned(modulus), &unsigned(exponent)])
}

/// The modulus of an RSAPublicKey, without leading zeros.
pub(crate) fn rsa_modulus(key: &[u8]) -> Option<&[u8]> {
    let mut numbers = Reader::new(only(SEQUENCE, key)?);
    let modulus = numbers.element(INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    modulus.get(zeros..).filter(|modulus| !modulus.is_empty())
}

/// An Ecdsa-Sig-Value (RFC 3279, section 2.2.3) of the two halves of `raw`. `None` if they
/// are none: PKCS#11 3.1, section 6.3.1 wants r and s at the same length.
pub(crate) fn ecdsa_signature(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    Some(element(SEQUENCE, &[&unsigned(r), &unsigned(s)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_signatures_at_the_edges() {
        // A half with its top bit set gets a zero in front; leading zeros go away.
        assert_eq!(
            ecdsa_signature(&[0x80, 1, 0, 5]).unwrap(),
            [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 5]
        );
        assert_eq!(
            ecdsa_signature(&[0, 0, 0, 0x7f]).unwrap(),
            [0x30, 6, 2, 1, 0, 2, 1, 0x7f]
        );
        assert_eq!(
            ecdsa_signature(&[0, 0x80, 0, 0xff]).unwrap(),
            [0x30, 8, 2, 2, 0, 0x80, 2, 2, 0, 0xff]
        );
        assert_eq!(ecdsa_signature(&[]), None);
        assert_eq!(ecdsa_signature(&[1, 2, 3]), None);
        // P-521: the sequence is longer than 127 bytes, so its length takes two.
        let long = ecdsa_signature(&[0x7f; 132]).unwrap();
        assert_eq!(&long[..5], [0x30, 0x81, 136, 2, 66]);
        assert_eq!(long.len(), 139);
    }

    #[test]
    fn long_lengths_are_written_and_read() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; len];
            let der = element(OCTET_STRING, &[&content]);
            assert_eq!(only(OCTET_STRING, &der), Some(&content[..]), "{len}");
            assert_eq!(only(OCTET_STRING, &der[..der.len() - 1]), None, "{len}");
        }
    }

    #[test]
    fn public_keys_are_encoded_as_rfc_8410_shows() {
        // RFC 8410, section 10.1.
        let key = [
            0x19, 0xbf, 0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc,
            0x3b, 0x96, 0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad,
            0x70, 0x31, 0x66, 0xe1,
        ];
        let spki = public_key(&[6, 3, 0x2b, 0x65, 0x70], &key);
        let head = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        assert_eq!(spki, [&head[..], &key].concat());
    }

    #[test]
    fn a_modulus_has_no_sign() {
        let key = rsa_public_key(&[0, 0xc1, 2], &[1, 0, 1]);
        assert_eq!(key, [0x30, 10, 2, 3, 0, 0xc1, 2, 2, 3, 1, 0, 1]);
        assert_eq!(rsa_modulus(&key), Some(&[0xc1, 2][..]));
    }

    #[test]
    fn times_compare_as_text() {
        let utc = |text: &[u8]| time((0x17, text)).unwrap();
        let general = |text: &[u8]| time((0x18, text)).unwrap();
        assert!(utc(b"491231235959Z") < general(b"20500101000000Z"));
        assert!(utc(b"500101000000Z") < utc(b"491231235959Z"));
        assert_eq!(time((0x17, b"")), None);
        assert_eq!(time((0x18, b"2050")), None);
    }

    #[test]
    fn damaged_certificates_are_none() {
        for len in 0..40 {
            let der = element(SEQUENCE, &[&vec![SEQUENCE; len]]);
            assert_eq!(Certificate::parse(&der), None);
        }
    }
}
