//! Key exchange: Diffie-Hellman and key encapsulation behind one shape.
//!
//! The client starts and gets a key share; the server responds to that share with its own
//! and already has the secret; the client completes with the server's share. For
//! Diffie-Hellman the server's response is a key pair and an agreement, for a KEM an
//! encapsulation, for a hybrid both.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::{Error, Implementation, NamedGroup, Op, SecureRandom, SharedSecret};

/// A group for key exchange.
pub trait KeyExchangeGroup: Send + Sync + fmt::Debug {
    /// Its code point.
    fn id(&self) -> NamedGroup;

    /// The client's side: makes a key pair.
    ///
    /// A backend that has its own source of randomness may leave `random` unused.
    ///
    /// # Errors
    /// [`Error::Backend`] when the backend fails.
    fn start(&self, random: &dyn SecureRandom) -> Op<Box<dyn ActiveKeyExchange>>;

    /// The server's side: answers the client's share.
    ///
    /// # Errors
    /// [`Error::BadPeerShare`] if `peer_share` is not valid for the group,
    /// [`Error::Backend`] when the backend fails.
    fn respond(&self, peer_share: &[u8], random: &dyn SecureRandom) -> Op<KeyExchangeResponse>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}

/// A key exchange that the client has started. Wipes its private key when dropped.
pub trait ActiveKeyExchange: Send + Sync {
    /// The group.
    fn group(&self) -> NamedGroup;

    /// The share to send to the server, in the encoding that TLS gives the group.
    fn share(&self) -> &[u8];

    /// Ends the exchange with the server's share.
    ///
    /// # Errors
    /// As for [`KeyExchangeGroup::respond`].
    fn complete(self: Box<Self>, peer_share: &[u8]) -> Op<SharedSecret>;
}

/// What the server gets of a key exchange.
#[derive(Debug)]
pub struct KeyExchangeResponse {
    /// The share to send to the client.
    pub share: Vec<u8>,
    /// The secret.
    pub secret: SharedSecret,
}

/// Refuses a secret that is all zero, in constant time, as RFC 9846 section 7.4.2 demands
/// of X25519 and X448. For backends.
///
/// # Errors
/// [`Error::BadPeerShare`] if it is.
pub fn refuse_all_zero(secret: &[u8]) -> Result<(), Error> {
    let any = secret.iter().fold(0, |any, byte| any | byte);
    if subtle::ConstantTimeEq::ct_eq(&any, &0).into() {
        Err(Error::BadPeerShare)
    } else {
        Ok(())
    }
}
