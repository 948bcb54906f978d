//! Key exchange.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{NoRandom, pattern};
use crate::hex::hex;
use crate::{ActiveKeyExchange, Error, KeyExchangeGroup, NamedGroup, SecureRandom};

/// Checks a group in both roles.
///
/// # Panics
/// When a check fails.
pub fn group(group: &dyn KeyExchangeGroup, random: &dyn SecureRandom) {
    let subject = Subject {
        name: format!("{} from {}", group.id(), group.implementation()),
        group,
        random,
    };
    subject.both_sides_agree();
    subject.shares_of_wrong_length();
    subject.forged_shares();
    subject.without_randomness();
}

/// A group under test.
struct Subject<'a> {
    name: String,
    group: &'a dyn KeyExchangeGroup,
    random: &'a dyn SecureRandom,
}

/// The two places where a peer's share comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Completes with what a server sent.
    Client,
    /// Responds to what a client sent.
    Server,
}

impl Subject<'_> {
    fn start(&self) -> Box<dyn ActiveKeyExchange> {
        self.group
            .start(self.random)
            .spin()
            .unwrap_or_else(|error| panic!("{}: start: {error}", self.name))
    }

    /// A good share of the peer, to be spoiled.
    fn good_share(&self, role: Role) -> Vec<u8> {
        let share = self.start().share().to_vec();
        match role {
            Role::Server => share,
            Role::Client => match self.group.respond(&share, self.random).spin() {
                Ok(response) => response.share,
                Err(error) => panic!("{}: respond: {error}", self.name),
            },
        }
    }

    /// Gives `share` to the role.
    fn receive(&self, role: Role, share: &[u8]) -> Result<(), Error> {
        match role {
            Role::Server => self.group.respond(share, self.random).spin().map(drop),
            Role::Client => self.start().complete(share).spin().map(drop),
        }
    }

    fn both_sides_agree(&self) {
        let name = &self.name;
        let mut seen = Vec::new();
        for _ in 0..8 {
            let client = self.start();
            assert_eq!(
                client.group(),
                self.group.id(),
                "{name}: group of the client"
            );
            let share = client.share().to_vec();
            let server = self
                .group
                .respond(&share, self.random)
                .spin()
                .unwrap_or_else(|error| panic!("{name}: respond: {error}"));
            let secret = client
                .complete(&server.share)
                .spin()
                .unwrap_or_else(|error| panic!("{name}: complete: {error}"));
            assert!(secret == server.secret, "{name}: the two sides disagree");
            if let Some(lengths) = lengths(self.group.id()) {
                assert_eq!(
                    [share.len(), server.share.len(), secret.as_bytes().len()],
                    lengths,
                    "{name}: lengths of client's share, server's share and secret"
                );
            }
            for bytes in [share, server.share, secret.as_bytes().to_vec()] {
                assert!(!seen.contains(&bytes), "{name}: a key was used twice");
                seen.push(bytes);
            }
        }
    }

    fn shares_of_wrong_length(&self) {
        let name = &self.name;
        for role in [Role::Server, Role::Client] {
            let good = self.good_share(role);
            // A client needs a key pair for each, which costs time.
            let interesting = |len: &usize| {
                role == Role::Server
                    || *len <= 34
                    || len.is_multiple_of(61)
                    || len.abs_diff(good.len()) <= 4
            };
            for len in (0..=2000).filter(interesting) {
                let mut resized = good.clone();
                resized.resize(len, 0);
                let garbage = pattern(len as u64, len);
                for share in [resized, garbage, vec![0; len], vec![0xff; len]] {
                    let outcome = self.receive(role, &share);
                    if len != good.len() {
                        assert_eq!(
                            outcome,
                            Err(Error::BadPeerShare),
                            "{name}: {role:?}: a share of {len} bytes instead of {}",
                            good.len()
                        );
                    } else {
                        // Some groups take any bytes of the right length.
                        assert!(
                            matches!(outcome, Ok(()) | Err(Error::BadPeerShare)),
                            "{name}: {role:?}: a share of arbitrary bytes gives {outcome:?}"
                        );
                    }
                }
            }
        }
    }

    fn forged_shares(&self) {
        let name = &self.name;
        for role in [Role::Server, Role::Client] {
            let good = self.good_share(role);
            for (what, share) in forged(self.group.id(), role, &good) {
                assert_eq!(
                    self.receive(role, &share),
                    Err(Error::BadPeerShare),
                    "{name}: {role:?}: {what}"
                );
            }
            assert_eq!(self.receive(role, &good), Ok(()), "{name}: {role:?}");
        }
    }

    /// A group may have a source of its own; one that has not must report the failure.
    fn without_randomness(&self) {
        let outcome = self.group.start(&NoRandom).spin().map(drop);
        assert!(
            matches!(outcome, Ok(()) | Err(Error::Backend { .. })),
            "{}: start without randomness gives {outcome:?}",
            self.name
        );
        let share = self.good_share(Role::Server);
        let outcome = self.group.respond(&share, &NoRandom).spin().map(drop);
        assert!(
            matches!(outcome, Ok(()) | Err(Error::Backend { .. })),
            "{}: respond without randomness gives {outcome:?}",
            self.name
        );
    }
}

/// Lengths in bytes of the client's share, the server's share and the secret: RFC 9846,
/// sections 4.3.8 and 7.4; draft-ietf-tls-ecdhe-mlkem, section 4.
fn lengths(group: NamedGroup) -> Option<[usize; 3]> {
    Some(match group {
        NamedGroup::SECP256R1 => [65, 65, 32],
        NamedGroup::SECP384R1 => [97, 97, 48],
        NamedGroup::SECP521R1 => [133, 133, 66],
        NamedGroup::X25519 => [32; 3],
        NamedGroup::X448 => [56; 3],
        NamedGroup::FFDHE2048 => [256; 3],
        NamedGroup::FFDHE3072 => [384; 3],
        NamedGroup::FFDHE4096 => [512; 3],
        NamedGroup::FFDHE6144 => [768; 3],
        NamedGroup::FFDHE8192 => [1024; 3],
        NamedGroup::X25519MLKEM768 => [1184 + 32, 1088 + 32, 64],
        NamedGroup::SECP256R1MLKEM768 => [65 + 1184, 65 + 1088, 64],
        NamedGroup::SECP384R1MLKEM1024 => [97 + 1568, 97 + 1568, 48 + 32],
        _ => return None,
    })
}

/// Shares of the right length, unless the fault is in it, that a group must refuse.
fn forged(group: NamedGroup, role: Role, good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    // A hybrid's share is two; either half may be bad.
    let with_half = |at: usize, bad: Vec<(&'static str, Vec<u8>)>, len: usize| {
        bad.into_iter().map(move |(what, half)| {
            let mut share = good[..at].to_vec();
            share.extend(half);
            share.extend(&good[at + len..]);
            (what, share)
        })
    };
    // ML-KEM refuses an encapsulation key whose numbers are not below q (FIPS 203, 7.2).
    // Any ciphertext of the right length is taken (implicit rejection).
    let kem = |len: usize| match role {
        Role::Server => vec![("an encapsulation key above q", vec![0xff; len])],
        Role::Client => vec![],
    };
    match group {
        NamedGroup::SECP256R1 | NamedGroup::SECP384R1 | NamedGroup::SECP521R1 => points(good),
        NamedGroup::X25519 => low_order(X25519_LOW_ORDER, true),
        NamedGroup::X448 => low_order(X448_LOW_ORDER, false),
        NamedGroup::X25519MLKEM768 => {
            let kem_len = good.len() - 32;
            let x25519 = low_order(X25519_LOW_ORDER, true);
            with_half(kem_len, x25519, 32)
                .chain(with_half(0, kem(kem_len), kem_len))
                .collect()
        }
        NamedGroup::SECP256R1MLKEM768 | NamedGroup::SECP384R1MLKEM1024 => {
            let point = match group {
                NamedGroup::SECP256R1MLKEM768 => 65,
                _ => 97,
            };
            let kem_len = good.len() - point;
            with_half(0, points(&good[..point]), point)
                .chain(with_half(point, kem(kem_len), kem_len))
                .collect()
        }
        // RFC 9846, section 4.3.8.1: neither 0 nor 1, and below the prime.
        NamedGroup::FFDHE2048
        | NamedGroup::FFDHE3072
        | NamedGroup::FFDHE4096
        | NamedGroup::FFDHE6144
        | NamedGroup::FFDHE8192 => {
            let mut one = vec![0; good.len()];
            one[good.len() - 1] = 1;
            vec![
                ("zero", vec![0; good.len()]),
                ("one", one),
                ("a number above the prime", vec![0xff; good.len()]),
            ]
        }
        _ => vec![],
    }
}

/// What is no point of the curve in the uncompressed form, the only one that TLS 1.3 knows
/// (RFC 9846, section 4.3.8.2).
fn points(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, bits: u8| {
        let mut share = good.to_vec();
        share[at] ^= bits;
        share
    };
    let with_format = |format: u8| {
        let mut share = good.to_vec();
        share[0] = format;
        share
    };
    let filled = |byte: u8| {
        let mut share = vec![byte; good.len()];
        share[0] = 4;
        share
    };
    let middle = good.len() / 2;
    let parity = good[good.len() - 1] & 1;
    let mut compressed = good[..=middle].to_vec();
    compressed[0] = 2 + parity;
    vec![
        ("a point beside the curve", changed(good.len() - 1, 1)),
        ("another point beside the curve", changed(1, 0x01)),
        ("a third point beside the curve", changed(middle, 0x80)),
        ("the point at infinity", vec![0]),
        (
            "the point at infinity with zeros behind",
            vec![0; good.len()],
        ),
        ("coordinates of zero", filled(0)),
        ("coordinates above the prime", filled(0xff)),
        ("the compressed form", compressed),
        ("the hybrid form", with_format(6 + parity)),
        ("the hybrid form of the negative", with_format(7 - parity)),
        ("a format that there is not", with_format(5)),
    ]
}

/// Shares that make the secret all zero whatever the private key; with X25519 also with
/// the highest bit set, which does not count (RFC 7748, section 5).
fn low_order(values: &[&[u8]], masked: bool) -> Vec<(&'static str, Vec<u8>)> {
    let mut shares = Vec::new();
    for value in values {
        shares.push(("a point of low order", value.to_vec()));
        if masked {
            let mut share = value.to_vec();
            share[31] |= 0x80;
            shares.push(("a point of low order, with the bit that is masked", share));
        }
    }
    shares
}

/// The numbers below 2^255 that are points of order 1, 2, 4 and 8 on the curve or its
/// twist (RFC 7748, section 6.1, refers to them by what they do).
const X25519_LOW_ORDER: &[&[u8]] = &[
    hex!("0000000000000000000000000000000000000000000000000000000000000000"),
    hex!("0100000000000000000000000000000000000000000000000000000000000000"),
    hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    hex!("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

/// The same of X448: 0, 1, p-1, p and p+1.
const X448_LOW_ORDER: &[&[u8]] = &[
    hex!(
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000"
    ),
    hex!(
        "0100000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000"
    ),
    hex!(
        "fefffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffff"
    ),
    hex!(
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffff"
    ),
    hex!(
        "00000000000000000000000000000000000000000000000000000000ffffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffff"
    ),
];
