//! What a peer can repeat or lengthen, and how far: all bounds in one place.
//!
//! What arrives costs the peer as much as it costs us, but for three things: work without
//! end that carries nothing, memory that is larger here than on the wire, and a message that
//! never ends. The last is bounded by the application's
//! [`Limits::handshake_message`](crate::config::Limits::handshake_message).

/// How many records in a row may carry nothing.
pub(crate) const EMPTY_RECORDS: u32 = 32;

/// How many KeyUpdates may come without application data between them, in either direction.
/// Each costs a key schedule and new keys. Those that were asked for do not count.
pub(crate) const KEY_UPDATES: u32 = 32;

/// How many session tickets a server may send without application data between them, in
/// either direction. They are not kept, so this is generous: enough for weeks of silence at
/// a server that sends one each hour.
pub(crate) const TICKETS: u32 = 1024;

/// How many dummy change_cipher_spec records a peer may send. It needs one.
pub(crate) const CHANGE_CIPHER_SPECS: u32 = 4;

/// How many user_canceled alerts a peer may send. It needs one, and close_notify behind it.
pub(crate) const USER_CANCELED: u32 = 4;

/// Early data that a server skips, in bytes of records: what a client could have been
/// promised by another server that shares this one's name.
pub(crate) const SKIPPED_EARLY_DATA: usize = 1 << 16;

/// Extensions in one list: more than are registered with IANA many times over. Each is
/// compared with those before it.
pub(crate) const EXTENSIONS: usize = 256;

/// Application protocols in an offer: more than any application speaks. Each costs more
/// memory here than on the wire.
pub(crate) const ALPN_NAMES: usize = 64;

/// Key shares in a ClientHello. Each is compared with those before it.
pub(crate) const KEY_SHARES: usize = 64;

/// Certificates in a chain: ten times what verifiers follow (webpki: six intermediates), for
/// peers that send more than they need (RFC 9846, section 4.5.1). Each costs more memory
/// here than on the wire.
pub(crate) const CHAIN: usize = 64;

/// Authorities in a CertificateRequest: more than a client can make sense of. Each costs more
/// memory here than on the wire.
pub(crate) const AUTHORITIES: usize = 2048;

/// The longest cookie that is echoed, in bytes: half of what the extensions of a ClientHello
/// hold, so that the others always fit beside it.
pub(crate) const COOKIE_LEN: usize = 0x8000;
