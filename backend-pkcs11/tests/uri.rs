//! URIs: the examples of RFC 7512, section 3, and what must be refused.

use backend_pkcs11::{ObjectType, Uri, UriError};

fn parse(uri: &str) -> Uri {
    uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"))
}

#[test]
fn examples_of_the_rfc() {
    assert_eq!(parse("pkcs11:"), Uri::default());

    let uri = parse("pkcs11:object=my-pubkey;type=public");
    assert_eq!(uri.object.as_deref(), Some("my-pubkey"));
    assert_eq!(uri.object_type, Some(ObjectType::Public));

    let uri = parse("pkcs11:object=my-key;type=private?pin-source=file:/etc/token");
    assert_eq!(uri.object_type, Some(ObjectType::Private));
    assert_eq!(uri.pin_source.as_deref(), Some("file:/etc/token"));

    let uri = parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;\
         model=1.0;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=\
         ?pin-source=file:/etc/token_pin",
    );
    assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
    assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
    assert_eq!(uri.model.as_deref(), Some("1.0"));
    assert_eq!(uri.serial.as_deref(), Some(""));
    assert_eq!(uri.object_type, Some(ObjectType::Certificate));
    let id = [0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91];
    assert_eq!(uri.id.as_deref(), Some(&id[..]));

    let uri = parse("pkcs11:object=my-sign-key;type=private?module-name=mypkcs11");
    assert_eq!(uri.module_name.as_deref(), Some("mypkcs11"));
    assert!(uri.module().unwrap().to_str().unwrap().contains("mypkcs11"));

    let uri = parse("pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1");
    assert_eq!(
        uri.module().unwrap().to_str(),
        Some("/mnt/libmypkcs11.so.1")
    );

    let uri = parse(
        "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin",
    );
    assert_eq!(uri.pin_value.unwrap().as_str(), "the-pin");

    let uri = parse("pkcs11:slot-description=Sun%20Metaslot");
    assert_eq!(uri.slot_description.as_deref(), Some("Sun Metaslot"));

    let uri = parse(
        "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20\
         Library;library-version=1.23",
    );
    assert_eq!(uri.library_version, Some((1, 23)));
    assert_eq!(
        parse("pkcs11:library-version=3").library_version,
        Some((3, 0))
    );

    let uri = parse("pkcs11:slot-id=327;slot-manufacturer=Snake%20Oil");
    assert_eq!(uri.slot_id, Some(327));
    assert_eq!(uri.slot_manufacturer.as_deref(), Some("Snake Oil"));

    // Not ASCII, and characters that the grammar reserves.
    let uri = parse("pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1");
    let name = "Name with a small A with acute: \u{e1}";
    assert_eq!(uri.token.as_deref(), Some(name));
    let uri = parse("pkcs11:object=a&b[c]@!$'()*+,=?pin-source=|/bin/echo?x");
    assert_eq!(uri.object.as_deref(), Some("a&b[c]@!$'()*+,="));
    assert_eq!(uri.pin_source.as_deref(), Some("|/bin/echo?x"));

    // Letters of the scheme, and a vendor's query attribute that changes nothing.
    assert_eq!(
        parse("PKCS11:type=data?x-vendor=1").object_type,
        Some(ObjectType::Data)
    );
}

#[test]
fn what_is_refused_and_why() {
    for (uri, expected) in [
        ("", UriError::Scheme),
        ("pkcs11", UriError::Scheme),
        ("file:/etc/key", UriError::Scheme),
        ("pkcs12:object=a", UriError::Scheme),
        ("pkcs11:object", UriError::NoValue(1)),
        ("pkcs11:object=a;", UriError::NoValue(2)),
        ("pkcs11:=a", UriError::NoValue(1)),
        ("pkcs11:object=a?", UriError::NoValue(2)),
        ("pkcs11:object=a;object=b", UriError::Twice("object")),
        ("pkcs11:a=b", UriError::Unknown(1)),
        ("pkcs11:x-vendor=b", UriError::Unknown(1)),
        ("pkcs11:id=a?object=b", UriError::Unknown(2)),
        ("pkcs11:pin-value=1", UriError::Unknown(1)),
        ("pkcs11:object=a/b", UriError::Character("object", 2)),
        ("pkcs11:object=ab c", UriError::Character("object", 3)),
        ("pkcs11:object=\u{e1}", UriError::Character("object", 1)),
        (
            "pkcs11:?module-path=a#b",
            UriError::Character("module-path", 2),
        ),
        ("pkcs11:object=%", UriError::Encoding("object")),
        ("pkcs11:object=%4", UriError::Encoding("object")),
        ("pkcs11:object=%4g", UriError::Encoding("object")),
        ("pkcs11:object=%ff", UriError::Encoding("object")),
        ("pkcs11:?pin-value=1&pin-source=a", UriError::TwoPins),
    ] {
        assert_eq!(uri.parse::<Uri>(), Err(expected), "{uri}");
    }
    for uri in [
        "pkcs11:type=key",
        "pkcs11:slot-id=a",
        "pkcs11:slot-id=-1",
        "pkcs11:slot-id=+1",
        "pkcs11:slot-id=18446744073709551616",
        "pkcs11:library-version=1.2.3",
        "pkcs11:library-version=256",
        "pkcs11:library-version=",
    ] {
        let error = uri.parse::<Uri>().unwrap_err();
        assert!(matches!(error, UriError::Value(..)), "{uri}: {error:?}");
    }
    let text = "pkcs11:object=a/b".parse::<Uri>().unwrap_err().to_string();
    let expected = "character 2 of the URI's \"object\" must be percent-encoded";
    assert_eq!(text, expected);
}

/// Whatever is in it that has a meaning in a URI.
#[test]
fn no_part_of_a_pin_is_quoted() {
    for uri in [
        "pkcs11:object=a?pin-value=geheim&wort=x",
        "pkcs11:object=a?pin-value=&geheimwort",
        "pkcs11:object=a?pin-value=geheim#wort",
        "pkcs11:object=a?pin-value=%geheimwort",
        "pkcs11:object=a?pin-value=geheim;object=wort",
        "pkcs11:object=a?pin-value=a&pin-value=geheimwort",
        "pkcs11:object=a?pin-value=geheimwort&pin-source=b",
    ] {
        let error = uri.parse::<Uri>().unwrap_err();
        for text in [format!("{error}"), format!("{error:?}")] {
            for part in ["geheim", "wort", "#", ";"] {
                assert!(!text.contains(part), "{uri}: {text}");
            }
        }
    }
}

#[test]
fn written_out_it_is_the_same_without_the_pin() {
    for uri in [
        "pkcs11:",
        "pkcs11:token=a%20b;object=c%3Bd;id=%00%FF;type=private",
        "pkcs11:manufacturer=m;serial=1;model=%25;library-manufacturer=l;library-description=d;\
         slot-manufacturer=s;slot-description=t;library-version=2.40;slot-id=5",
        "pkcs11:object=a?module-path=/usr/lib/a%26b.so&pin-source=file:/run/pin",
        "pkcs11:?module-name=softhsm2",
    ] {
        let parsed = parse(uri);
        assert_eq!(parse(&parsed.to_string()), parsed, "{uri} -> {parsed}");
    }
    let uri = parse("pkcs11:object=a?pin-value=geheim&module-name=m");
    for text in [format!("{uri}"), format!("{uri:?}"), format!("{uri:#?}")] {
        assert_eq!(text, "pkcs11:object=a?module-name=m");
    }
}

#[test]
fn any_text_is_answered() {
    // Every prefix of a long one, and every single byte changed.
    let uri = "pkcs11:token=a%20b;id=%00;slot-id=1;library-version=1.2?pin-value=%31&x-a=b";
    for len in 0..uri.len() {
        let _ = uri[..len].parse::<Uri>();
        for byte in 0..128u8 {
            let mut bytes = uri.as_bytes().to_vec();
            bytes[len] = byte;
            let _ = String::from_utf8(bytes).unwrap().parse::<Uri>();
        }
    }
}
