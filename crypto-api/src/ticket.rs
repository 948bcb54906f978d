//! Protection of session tickets.

use alloc::vec::Vec;
use core::fmt;

use rustls_pki_types::UnixTime;
use zeroize::Zeroizing;

use crate::{Implementation, Op};

/// Encrypts a server's session state into tickets and opens them again
/// (RFC 9846, section 4.7.1; RFC 5077, section 4).
///
/// Time is an argument so that keys can rotate without a clock of their own.
pub trait TicketProtector: Send + Sync + fmt::Debug {
    /// How long a ticket stays valid, in seconds. At most seven days (RFC 9846, 4.7.1).
    fn lifetime(&self) -> u32;

    /// Makes a ticket of `state`.
    ///
    /// # Errors
    /// [`Backend`](crate::Error::Backend) or [`Unavailable`](crate::Error::Unavailable) when
    /// the keys' holder fails; the handshake goes on without a ticket then.
    fn protect(&self, state: &[u8], now: UnixTime) -> Op<Vec<u8>>;

    /// Opens a ticket. `None` if it is forged, too old, or of another server: the peer
    /// cannot know, so that is not an error.
    ///
    /// # Errors
    /// As for [`protect`](TicketProtector::protect); a full handshake follows then.
    fn unprotect(&self, ticket: &[u8], now: UnixTime) -> Op<Option<Zeroizing<Vec<u8>>>>;

    /// Who computes this, for the capability table.
    fn implementation(&self) -> Implementation;
}
