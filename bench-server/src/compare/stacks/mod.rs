//! The stacks under comparison, behind one sans-I/O interface, so that all run the same
//! loops.

#[cfg(any(feature = "soft", feature = "openssl"))]
mod keyway;
#[cfg(feature = "peers")]
mod libssl;
#[cfg(feature = "peers")]
mod rustls;

use std::collections::HashMap;
use std::sync::Arc;

use ::keyway::crypto::{CipherSuite, NamedGroup};
use anyhow::{Context as _, Result, ensure};

use super::wire::Wire;
use crate::certs::{Identity, KeyKind, generate, generate_client};

#[cfg(any(feature = "soft", feature = "openssl"))]
pub(crate) use self::keyway::KeywayStack;

/// What every stack is set to, so that they do the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The only cipher suite.
    pub(crate) suite: CipherSuite,
    /// The only group.
    pub(crate) group: NamedGroup,
    /// The kind of the certificates' keys.
    pub(crate) key: KeyKind,
    /// Whether the client shows a certificate too, of the same kind.
    pub(crate) client_auth: bool,
    /// Whether a stack that holds buffers gives them back when they are empty, where that is
    /// a choice.
    pub(crate) release_buffers: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            suite: CipherSuite::TLS_AES_128_GCM_SHA256,
            group: NamedGroup::X25519,
            key: KeyKind::EcdsaP256,
            client_auth: false,
            release_buffers: false,
        }
    }
}

/// The certificates that all stacks share.
#[derive(Debug)]
pub(crate) struct Identities(HashMap<KeyKind, (Identity, Identity)>);

impl Identities {
    /// Makes a server's and a client's certificate of each kind.
    pub(crate) fn generate(kinds: &[KeyKind]) -> Result<Self> {
        let mut map = HashMap::new();
        for kind in kinds {
            map.insert(*kind, (generate(*kind)?, generate_client(*kind)?));
        }
        Ok(Self(map))
    }

    pub(crate) fn server(&self, kind: KeyKind) -> Result<&Identity> {
        Ok(&self.0.get(&kind).context("no certificate of this kind")?.0)
    }

    pub(crate) fn client(&self, kind: KeyKind) -> Result<&Identity> {
        Ok(&self.0.get(&kind).context("no certificate of this kind")?.1)
    }
}

/// A TLS stack that can be measured.
pub(crate) trait Stack: Send + Sync {
    /// Its name in the report.
    fn name(&self) -> &str;

    /// Whether it has the suite, group and kind of key.
    fn supports(&self, setup: &Setup) -> bool;

    /// Loads keys and makes configurations: the work done once per process.
    fn configure(&self, setup: &Setup, identities: &Identities) -> Result<Arc<dyn Endpoints>>;
}

/// Configurations of both sides, from which connections are made.
pub(crate) trait Endpoints: Send + Sync {
    /// A new connection's server side.
    fn server(&self) -> Result<Box<dyn Endpoint>>;

    /// A new connection's client side, to a server called [`SERVER_NAME`].
    fn client(&self) -> Result<Box<dyn Endpoint>>;
}

/// The name that clients ask for and check the certificate against.
pub(crate) const SERVER_NAME: &str = "localhost";

/// One side of a connection.
pub(crate) trait Endpoint: Send {
    /// Goes on with the handshake: takes what the peer sent from `input` and appends what is
    /// to be sent to `output`. A client's first call has no input.
    fn handshake(&mut self, input: &mut Wire, output: &mut Wire) -> Result<()>;

    /// Whether application data may be sent.
    fn established(&self) -> bool;

    /// The suite that was negotiated.
    fn suite(&self) -> Option<CipherSuite>;

    /// Seals `data` (at most 16 KiB: one record) and appends it to `output`.
    fn send(&mut self, data: &[u8], output: &mut Wire) -> Result<()>;

    /// Opens every record in `input` that is complete, and hands the plaintext to `sink`.
    fn receive(&mut self, input: &mut Wire, sink: &mut dyn FnMut(&[u8])) -> Result<()>;
}

/// All stacks that are linked, the baseline first.
pub(crate) fn linked() -> Result<Vec<Arc<dyn Stack>>> {
    #[allow(unused_mut)]
    let mut stacks: Vec<Arc<dyn Stack>> = Vec::new();
    #[cfg(feature = "peers")]
    stacks.push(Arc::new(libssl::Libssl::new()));
    #[cfg(any(feature = "soft", feature = "openssl"))]
    for stack in KeywayStack::linked()? {
        stacks.push(Arc::new(stack));
    }
    #[cfg(feature = "peers")]
    {
        stacks.push(Arc::new(rustls::Rustls::aws_lc_rs()));
        stacks.push(Arc::new(rustls::Rustls::ring()));
    }
    ensure!(
        !stacks.is_empty(),
        "no backend is linked: build with the feature soft, openssl or openssl-vendored"
    );
    Ok(stacks)
}

/// A connection with both of its sides.
pub(crate) struct Pair {
    pub(crate) client: Box<dyn Endpoint>,
    pub(crate) server: Box<dyn Endpoint>,
    pub(crate) to_server: Wire,
    pub(crate) to_client: Wire,
}

impl Pair {
    /// Handshakes in memory and checks that data passes in both directions.
    pub(crate) fn establish(endpoints: &dyn Endpoints, setup: &Setup) -> Result<Self> {
        Self::between(endpoints, endpoints, setup)
    }

    /// The same with a client and a server that may be of different stacks.
    fn between(client: &dyn Endpoints, server: &dyn Endpoints, setup: &Setup) -> Result<Self> {
        let mut pair = Self {
            client: client.client()?,
            server: server.server()?,
            to_server: Wire::default(),
            to_client: Wire::default(),
        };
        // A flight of the client, one of the server, its Finished; a retry adds two.
        for _ in 0..8 {
            pair.client
                .handshake(&mut pair.to_client, &mut pair.to_server)?;
            if pair.client.established() && pair.server.established() {
                break;
            }
            pair.server
                .handshake(&mut pair.to_server, &mut pair.to_client)?;
        }
        pair.verify(setup)?;
        Ok(pair)
    }

    /// Checks that the handshake is done, that it chose what was asked for, and that an echo
    /// comes back.
    pub(crate) fn verify(&mut self, setup: &Setup) -> Result<()> {
        let Self {
            client,
            server,
            to_server,
            to_client,
        } = self;
        verify(&mut **client, &mut **server, to_server, to_client, setup)
    }
}

/// See [`Pair::verify`].
pub(crate) fn verify(
    client: &mut dyn Endpoint,
    server: &mut dyn Endpoint,
    to_server: &mut Wire,
    to_client: &mut Wire,
    setup: &Setup,
) -> Result<()> {
    const MESSAGE: &[u8] = b"is this thing on?";
    ensure!(
        client.established() && server.established(),
        "the handshake did not complete"
    );
    for side in [&*client, &*server] {
        ensure!(
            side.suite() == Some(setup.suite),
            "another cipher suite was negotiated"
        );
    }
    let mut heard = Vec::with_capacity(MESSAGE.len());
    client.send(MESSAGE, to_server)?;
    server.receive(to_server, &mut |data| heard.extend_from_slice(data))?;
    ensure!(heard == MESSAGE, "the server received other data");
    server.send(&heard, to_client)?;
    heard.clear();
    client.receive(to_client, &mut |data| heard.extend_from_slice(data))?;
    ensure!(heard == MESSAGE, "the client received other data");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setups() -> Vec<Setup> {
        let mut setups = vec![Setup::default()];
        for suite in [
            CipherSuite::TLS_AES_256_GCM_SHA384,
            CipherSuite::TLS_CHACHA20_POLY1305_SHA256,
        ] {
            setups.push(Setup {
                suite,
                ..Setup::default()
            });
        }
        for key in KeyKind::ALL {
            setups.push(Setup {
                key,
                client_auth: true,
                release_buffers: true,
                ..Setup::default()
            });
        }
        setups.push(Setup {
            group: NamedGroup::X25519MLKEM768,
            ..Setup::default()
        });
        setups
    }

    #[test]
    fn every_stack_handshakes_and_transfers() {
        let identities = Identities::generate(&KeyKind::ALL).unwrap();
        let data: Vec<u8> = (0..16_384_u32).map(|n| (n % 251) as u8).collect();
        for stack in linked().unwrap() {
            for setup in setups() {
                if !stack.supports(&setup) {
                    assert_eq!(setup.group, NamedGroup::X25519MLKEM768, "{}", stack.name());
                    continue;
                }
                let endpoints = stack.configure(&setup, &identities).unwrap();
                let mut pair = Pair::establish(&*endpoints, &setup)
                    .unwrap_or_else(|error| panic!("{} {setup:?}: {error:#}", stack.name()));
                for size in [1, 64, 1400, 16_384] {
                    let mut heard = Vec::new();
                    for _ in 0..5 {
                        pair.server
                            .send(&data[..size], &mut pair.to_client)
                            .unwrap();
                    }
                    pair.client
                        .receive(&mut pair.to_client, &mut |part| {
                            heard.extend_from_slice(part);
                        })
                        .unwrap();
                    assert_eq!(heard, data[..size].repeat(5), "{} {size}", stack.name());
                }
            }
        }
    }

    /// Who made both sides makes the same mistake on both.
    #[cfg(all(feature = "peers", any(feature = "soft", feature = "openssl")))]
    #[test]
    fn keyway_meets_other_stacks_in_both_roles() {
        let identities = Identities::generate(&KeyKind::ALL).unwrap();
        let mut met = std::collections::BTreeSet::new();
        for ours in KeywayStack::linked().unwrap() {
            for other in linked().unwrap() {
                if other.name().starts_with("keyway ") {
                    continue;
                }
                for setup in setups() {
                    if !ours.supports(&setup) || !other.supports(&setup) {
                        continue;
                    }
                    let us = ours.configure(&setup, &identities).unwrap();
                    let them = other.configure(&setup, &identities).unwrap();
                    for (client, server, role) in [(&us, &them, "client"), (&them, &us, "server")] {
                        Pair::between(&**client, &**server, &setup).unwrap_or_else(|error| {
                            let (ours, other) = (ours.name(), other.name());
                            panic!("{ours} as {role}, {other}, {setup:?}: {error:#}")
                        });
                    }
                    met.insert((other.name().to_owned(), setup.group.0));
                }
            }
        }
        for other in ["libssl", "rustls aws-lc-rs"] {
            for group in [NamedGroup::X25519, NamedGroup::X25519MLKEM768] {
                // The system's libssl may be too old for it.
                let must = group == NamedGroup::X25519
                    || other != "libssl"
                    || cfg!(feature = "openssl-vendored");
                let has = met.contains(&(other.to_owned(), group.0));
                assert!(has || !must, "{other}, {group}: not met");
            }
        }
    }

    #[test]
    fn every_stack_notices_a_forged_record() {
        let identities = Identities::generate(&[KeyKind::EcdsaP256]).unwrap();
        let setup = Setup::default();
        for stack in linked().unwrap() {
            let endpoints = stack.configure(&setup, &identities).unwrap();
            let mut pair = Pair::establish(&*endpoints, &setup).unwrap();
            pair.server.send(b"genuine", &mut pair.to_client).unwrap();
            let last = pair.to_client.len() - 1;
            pair.to_client.filled()[last] ^= 1;
            let mut heard = 0;
            let outcome = pair
                .client
                .receive(&mut pair.to_client, &mut |data| heard += data.len());
            assert!(outcome.is_err(), "{}", stack.name());
            assert_eq!(heard, 0, "{}", stack.name());
        }
    }

    #[test]
    fn data_right_behind_the_handshake_is_kept() {
        let identities = Identities::generate(&[KeyKind::EcdsaP256]).unwrap();
        let setup = Setup::default();
        for stack in linked().unwrap() {
            let endpoints = stack.configure(&setup, &identities).unwrap();
            let (mut client, mut server) =
                (endpoints.client().unwrap(), endpoints.server().unwrap());
            let (mut to_server, mut to_client) = (Wire::default(), Wire::default());
            client.handshake(&mut to_client, &mut to_server).unwrap();
            server.handshake(&mut to_server, &mut to_client).unwrap();
            client.handshake(&mut to_client, &mut to_server).unwrap();
            // In one piece with the client's Finished.
            client.send(b"eager", &mut to_server).unwrap();
            server.handshake(&mut to_server, &mut to_client).unwrap();
            let mut heard = Vec::new();
            server
                .receive(&mut to_server, &mut |data| heard.extend_from_slice(data))
                .unwrap();
            assert_eq!(heard, b"eager", "{}", stack.name());
        }
    }

    #[test]
    fn a_client_refuses_a_server_of_another_authority() {
        let identities = Identities::generate(&[KeyKind::EcdsaP256]).unwrap();
        let others = Identities::generate(&[KeyKind::EcdsaP256]).unwrap();
        let setup = Setup::default();
        for stack in linked().unwrap() {
            let ours = stack.configure(&setup, &identities).unwrap();
            let theirs = stack.configure(&setup, &others).unwrap();
            let (mut client, mut server) = (ours.client().unwrap(), theirs.server().unwrap());
            let (mut to_server, mut to_client) = (Wire::default(), Wire::default());
            client.handshake(&mut to_client, &mut to_server).unwrap();
            server.handshake(&mut to_server, &mut to_client).unwrap();
            let outcome = client.handshake(&mut to_client, &mut to_server);
            assert!(outcome.is_err(), "{}", stack.name());
        }
    }
}
