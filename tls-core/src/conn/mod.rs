//! A connection: bytes in, bytes out, and the handshake in between.
//!
//! This is the only place where records, handshake and keys meet. A state of the handshake
//! returns what is to be sent and where keys change; the connection applies it in order.

mod inspect;
mod send;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::{Context, Poll};

use crypto_api::{Payload, Suite};
use rustls_pki_types::{ServerName, UnixTime};

use crate::config::{ClientConfig, Limits, ServerConfig};
use crate::record::{
    Deframed, Joiner, Message, Opened, ReadProtection, WriteProtection, deframe, seal_records,
    sealed_len,
};
use crate::tls13::flight::{Change, Output};
use crate::tls13::{Established, Negotiated, Next, Secrets, State, client, server};
use crate::wire::{AlertDescription, ContentType, HandshakeType, messages};
use crate::{Error, Misbehaviour, limits};

/// Level of an alert: every alert of TLS 1.3 but two is fatal.
const FATAL: u8 = 2;
/// Level of close_notify.
const WARNING: u8 = 1;

/// What [`Connection::receive`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes at the front of the input are done with. They may be dropped when
    /// the data of the event was used.
    pub consumed: usize,
    /// What was found in them.
    pub event: Event,
}

/// What [`Connection::receive`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All records that were whole are done with.
    NeedInput {
        /// How many bytes the next record lacks, at least one.
        at_least: usize,
    },
    /// Application data, decrypted, in this range of the input.
    Data(Range<usize>),
    /// An operation is pending: [`poll`](Connection::poll) must say that it is ready before
    /// more input is taken. Then [`receive`](Connection::receive) must be called again, even
    /// without new bytes: messages of a record that is done with may still wait inside.
    Suspended,
    /// The peer has closed its direction. No data follows.
    Closed,
}

/// A TLS connection without a transport.
///
/// The owner moves bytes: what the peer sent goes into [`receive`](Self::receive), what
/// [`output`](Self::output) shows and what [`seal`](Self::seal) writes goes to the peer.
/// After each call the owner looks at [`output`](Self::output), even after an error: it may
/// hold the alert that tells the peer.
///
/// An established connection owns no buffer: data lies in the caller's.
pub struct Connection {
    state: State,
    side: Side,
    limits: Limits,
    read: ReadProtection,
    write: WriteProtection,
    joiner: Joiner,
    /// Handshake messages that do not fill a record yet, while an operation is pending.
    unsealed: Vec<u8>,
    /// Records to be sent.
    outgoing: Vec<u8>,
    /// How much of `outgoing` was sent.
    sent: usize,
    established: Option<Box<Established>>,
    counters: Counters,
    /// Whether any byte was received.
    begun: bool,
    /// Whether a KeyUpdate was asked for and has yet to come.
    awaiting_update: bool,
    /// Whether a KeyUpdate that answers one waits in `outgoing`.
    answer_queued: bool,
    read_closed: bool,
    write_closed: bool,
    #[cfg(test)]
    pub(crate) substitutes: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What a peer has repeated; how far it may, [`limits`] says.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    empty_records: u32,
    key_updates: u32,
    tickets: u32,
    change_cipher_specs: u32,
    user_canceled: u32,
}

impl Counters {
    /// Application data went by: messages about keys and tickets may come again.
    fn data(&mut self) {
        self.key_updates = 0;
        self.tickets = 0;
    }
}

/// Counts one more, up to `most`.
fn count(counter: &mut u32, most: u32, what: &'static str) -> Result<(), Error> {
    *counter += 1;
    if *counter > most {
        return Err(Misbehaviour::Flood(what).into());
    }
    Ok(())
}

impl Connection {
    /// A client's connection to the server `name`. The ClientHello is in
    /// [`output`](Self::output), unless an operation is pending before it.
    ///
    /// # Errors
    /// [`Error::Crypto`] when a backend fails to make randomness or a key share.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let mut connection = Self::new(
            Side::Client,
            config.settings().limits,
            State::Failed(Error::Usage("connection has not begun")),
        );
        connection.start_client(config, name)?;
        Ok(connection)
    }

    fn start_client(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<(), Error> {
        let mut out = self.new_output();
        let next = client::start(config, name, &mut out)?;
        self.apply(out, next)
    }

    /// A server's connection, waiting for its client.
    pub fn server(config: Arc<ServerConfig>) -> Self {
        let limits = config.settings().limits;
        Self::new(
            Side::Server,
            limits,
            State::Server(server::State::new(config)),
        )
    }

    fn new(side: Side, limits: Limits, state: State) -> Self {
        Self {
            state,
            side,
            limits,
            read: ReadProtection::plain(),
            write: WriteProtection::plain(),
            joiner: Joiner::new(limits.handshake_message),
            unsealed: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            established: None,
            counters: Counters::default(),
            begun: false,
            awaiting_update: false,
            answer_queued: false,
            read_closed: false,
            write_closed: false,
            #[cfg(test)]
            substitutes: Vec::new(),
        }
    }

    /// Takes bytes from the peer; the oldest are at the front of `input`, which is worked
    /// on in place. `now` is the time against which certificates are checked.
    ///
    /// Returns at the first event; call again with the rest until it needs more input. The
    /// rest has to stay as it is, though it may be moved and more may come behind it: records
    /// in it may have been opened together with the first.
    ///
    /// # Errors
    /// Any error is the end of the connection. [`output`](Self::output) may hold an alert
    /// for the peer.
    pub fn receive(&mut self, input: &mut [u8], now: UnixTime) -> Result<Received, Error> {
        let outcome = self.process(input, now);
        if let Err(error) = &outcome {
            self.fail(error);
        }
        outcome
    }

    fn process(&mut self, input: &mut [u8], now: UnixTime) -> Result<Received, Error> {
        let mut consumed = 0;
        loop {
            let event = match &self.state {
                State::Suspended(_) => Some(Event::Suspended),
                State::Failed(error) => return Err(error.clone()),
                _ if self.read_closed => {
                    // What comes after close_notify is ignored (RFC 9846, section 6.1).
                    consumed = input.len();
                    Some(Event::Closed)
                }
                _ => None,
            };
            if let Some(event) = event {
                return Ok(Received { consumed, event });
            }
            if let Some(message) = self.joiner.next()? {
                self.handle(&message, now)?;
                continue;
            }
            let unread = input.get_mut(consumed..).unwrap_or_default();
            let (content_type, header, body) = match deframe(unread, !self.begun)? {
                Deframed::Incomplete(at_least) => {
                    let event = Event::NeedInput { at_least };
                    return Ok(Received { consumed, event });
                }
                Deframed::Record {
                    content_type,
                    header,
                    body,
                } => (content_type, header, body),
            };
            self.begun = true;
            let start = consumed + body.start;
            consumed += body.end;
            if let Some(len) = self.record(content_type, &header, unread, body)? {
                let event = Event::Data(start..start + len);
                return Ok(Received { consumed, event });
            }
        }
    }

    /// Takes the record at the front of `input`; returns the length of the application data
    /// in it, if it is that.
    fn record(
        &mut self,
        content_type: ContentType,
        header: &[u8; 5],
        input: &mut [u8],
        body: Range<usize>,
    ) -> Result<Option<usize>, Error> {
        let opened = match content_type {
            ContentType::APPLICATION_DATA => {
                // Before that, what is behind a record is seldom under the same key.
                let ahead = matches!(self.state, State::Traffic);
                match self.read.open(header, input, body.clone(), ahead)? {
                    Opened::Content(content_type, len) => Some((content_type, len)),
                    Opened::Skipped => return Ok(None),
                }
            }
            _ => None,
        };
        let body = input.get(body).unwrap_or_default();
        if content_type == ContentType::CHANGE_CIPHER_SPEC {
            self.change_cipher_spec(body)?;
            return Ok(None);
        }
        let (content_type, len) = match (opened, content_type) {
            (Some(opened), _) => opened,
            // A client that could not use our ServerHello has no keys to protect its alert.
            (None, ContentType::ALERT) if self.side == Side::Server && !self.read.has_opened() => {
                (content_type, body.len())
            }
            _ if self.read.is_plain() => (content_type, body.len()),
            _ => return Err(self.unexpected(content_type.0)),
        };
        let content = body.get(..len).unwrap_or_default();
        match content_type {
            ContentType::HANDSHAKE => {
                // RFC 9846, section 5.1: never empty.
                if content.is_empty() {
                    return Err(self.unexpected(content_type.0));
                }
                self.joiner.append(content);
                Ok(None)
            }
            _ if !self.joiner.is_empty() => Err(Misbehaviour::KeyChangeInMessage.into()),
            ContentType::ALERT => self.alert(content).map(|()| None),
            ContentType::APPLICATION_DATA if matches!(self.state, State::Traffic) => {
                if content.is_empty() {
                    let empty = &mut self.counters.empty_records;
                    count(empty, limits::EMPTY_RECORDS, "empty records in a row")?;
                    return Ok(None);
                }
                self.counters.empty_records = 0;
                self.counters.data();
                Ok(Some(len))
            }
            _ => Err(self.unexpected(content_type.0)),
        }
    }

    fn unexpected(&self, got: u8) -> Error {
        let expected = match &self.state {
            State::Server(state) => state.expected(),
            State::Client(state) => state.expected(),
            State::Traffic => "application data",
            State::Suspended(_) | State::Failed(_) => "nothing",
        };
        Misbehaviour::UnexpectedMessage { expected, got }.into()
    }

    /// A dummy, dropped where it is allowed (RFC 9846, section 5): unprotected, one byte,
    /// after the first ClientHello and before the peer's Finished.
    fn change_cipher_spec(&mut self, body: &[u8]) -> Result<(), Error> {
        let allowed = match &self.state {
            State::Server(state) => state.allows_change_cipher_spec(),
            State::Client(_) => true,
            State::Suspended(_) | State::Traffic | State::Failed(_) => false,
        };
        if !allowed || body != [1] || !self.joiner.is_empty() {
            return Err(Misbehaviour::ChangeCipherSpec.into());
        }
        count(
            &mut self.counters.change_cipher_specs,
            limits::CHANGE_CIPHER_SPECS,
            "change_cipher_spec records",
        )
    }

    fn alert(&mut self, content: &[u8]) -> Result<(), Error> {
        // RFC 9846, section 5.4: an empty one is no alert at all.
        if content.is_empty() {
            return Err(self.unexpected(ContentType::ALERT.0));
        }
        // The level is ignored (section 6), and alerts are not fragmented.
        let &[_, description] = content else {
            return Err(Error::Decode("alert"));
        };
        match AlertDescription(description) {
            AlertDescription::CLOSE_NOTIFY if matches!(self.state, State::Traffic) => {
                self.read_closed = true;
                Ok(())
            }
            AlertDescription::USER_CANCELED => count(
                &mut self.counters.user_canceled,
                limits::USER_CANCELED,
                "user_canceled alerts",
            ),
            description => Err(Error::AlertReceived(description)),
        }
    }

    /// Takes one handshake message.
    fn handle(&mut self, message: &Message, now: UnixTime) -> Result<(), Error> {
        let waiting = State::Failed(Error::Usage("connection is in the middle of a step"));
        let mut out = self.new_output();
        let next = match core::mem::replace(&mut self.state, waiting) {
            State::Server(state) => state.receive(message, now, &mut out),
            State::Client(state) => state.receive(message, now, &mut out),
            State::Traffic => {
                self.state = State::Traffic;
                return self.post_handshake(message);
            }
            state @ (State::Suspended(_) | State::Failed(_)) => {
                self.state = state;
                Err(self.unexpected(message.kind().0))
            }
        };
        self.apply(out, next?)
    }

    /// Messages of an established connection (RFC 9846, section 4.7).
    fn post_handshake(&mut self, message: &Message) -> Result<(), Error> {
        match (message.kind(), self.side) {
            (HandshakeType::KEY_UPDATE, _) => {
                let wants_answer = messages::parse_key_update(message.body())?;
                // What was asked for is no flood.
                if !core::mem::take(&mut self.awaiting_update) {
                    count(
                        &mut self.counters.key_updates,
                        limits::KEY_UPDATES,
                        "KeyUpdates without application data",
                    )?;
                }
                if !self.joiner.is_empty() {
                    return Err(Misbehaviour::KeyChangeInMessage.into());
                }
                let (secrets, suite) = self.secrets()?;
                let secret = secrets.read.next()?;
                let opener = secret.opener(suite)?;
                secrets.read = secret;
                self.read.set(opener);
                // One that still waits to be sent answers all requests so far.
                if wants_answer && !self.answer_queued && !self.write_closed {
                    self.send_key_update(false)?;
                }
                Ok(())
            }
            // Resumption is not offered, so tickets are of no use; they are harmless.
            (HandshakeType::NEW_SESSION_TICKET, Side::Client) => {
                count(
                    &mut self.counters.tickets,
                    limits::TICKETS,
                    "session tickets without application data",
                )?;
                messages::check_new_session_ticket(message.body())
            }
            (kind, _) => Err(self.unexpected(kind.0)),
        }
    }

    /// Drives the pending operation, if there is one. Ready: there is none any more, and
    /// [`receive`](Self::receive) takes input again.
    ///
    /// Then call [`receive`](Self::receive) even if the peer has sent nothing since, with an
    /// empty input if need be. The messages behind the one that made the connection wait may
    /// have come in the same record: they are taken from there, and their time is that of
    /// that call.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let mut out = self.new_output();
            let outcome = match &mut self.state {
                State::Suspended(suspension) => match suspension.poll(cx, &mut out) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => outcome,
                },
                State::Failed(error) => return Poll::Ready(Err(error.clone())),
                _ => return Poll::Ready(Ok(())),
            };
            if let Err(error) = outcome.and_then(|next| self.apply(out, next)) {
                self.fail(&error);
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Applies a step of the handshake: seals what is to be sent, and changes keys where
    /// they change.
    fn apply(&mut self, out: Output, next: Next) -> Result<(), Error> {
        #[cfg(test)]
        {
            self.substitutes = out.substitutes;
        }
        let mut messages = core::mem::take(&mut self.unsealed);
        let before = messages.len();
        if messages.is_empty() {
            messages = out.bytes;
        } else {
            messages.extend_from_slice(&out.bytes);
        }
        let mut done = 0;
        for (place, change) in out.changes {
            let place = before + place;
            // Records end where anything changes (RFC 9846, section 5.1).
            let pending = messages.get(done..place).unwrap_or_default();
            self.queue(ContentType::HANDSHAKE, pending)?;
            done = place;
            self.change(change)?;
        }
        let pending = messages.get(done..).unwrap_or_default();
        self.state = match next {
            Next::Suspend(suspension) => {
                // Only full records: the rest goes on when the operation is ready, so that
                // the bytes are the same as without a suspension.
                let full = pending.len() - pending.len() % self.limits.record_payload;
                let (full, partial) = pending.split_at(full);
                self.queue(ContentType::HANDSHAKE, full)?;
                self.unsealed = partial.to_vec();
                State::Suspended(suspension)
            }
            Next::Wait(state) => {
                self.queue(ContentType::HANDSHAKE, pending)?;
                state
            }
            Next::Established(established) => {
                self.queue(ContentType::HANDSHAKE, pending)?;
                self.established = Some(established);
                State::Traffic
            }
        };
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::DummySpec => {
                // Always unprotected, whatever the keys.
                let mut plain = WriteProtection::plain();
                core::mem::swap(&mut plain, &mut self.write);
                let outcome = self.queue(ContentType::CHANGE_CIPHER_SPEC, &[1]);
                self.write = plain;
                outcome
            }
            Change::Write(keys) => {
                self.write.set(keys);
                Ok(())
            }
            Change::Read(opener) => {
                // What is left was sent under the old keys (RFC 9846, section 5.1).
                if !self.joiner.is_empty() {
                    return Err(Misbehaviour::KeyChangeInMessage.into());
                }
                self.read.set(opener);
                Ok(())
            }
            Change::SkipEarlyData(bytes) => {
                self.read.skip_early_data(bytes);
                Ok(())
            }
        }
    }

    /// Seals `content` into the outgoing buffer.
    fn queue(&mut self, content_type: ContentType, content: &[u8]) -> Result<(), Error> {
        if content.is_empty() {
            return Ok(());
        }
        // All that a client says in a handshake before it has heard anything.
        let initial = content_type == ContentType::HANDSHAKE && !self.begun;
        self.write.set_initial(initial && self.side == Side::Client);
        let max = self.limits.record_payload;
        let start = self.outgoing.len();
        let len = sealed_len(&self.write, content.len(), max);
        self.outgoing.resize(start + len, 0);
        let place = self.outgoing.get_mut(start..).unwrap_or_default();
        let sealed = seal_records(
            &mut self.write,
            content_type,
            Payload::from(content),
            max,
            u64::MAX,
            place,
        );
        let written = sealed.as_ref().map_or(0, |sealed| sealed.written);
        self.outgoing.truncate(start + written);
        sealed.map(|_| ())
    }

    /// Ends the connection with `error`, tells the peer, and forgets the keys.
    fn fail(&mut self, error: &Error) {
        if matches!(self.state, State::Failed(_)) && self.write_closed {
            return;
        }
        self.state = State::Failed(error.clone());
        if let Some(alert) = error.alert()
            && !self.write_closed
            && !self.write.is_broken()
        {
            // An alert must not stand amid a message (section 5.1).
            let rest = core::mem::take(&mut self.unsealed);
            let _ = self.queue(ContentType::HANDSHAKE, &rest);
            // Should even this fail, there is nothing more to be said to the peer.
            let _ = self.queue(ContentType::ALERT, &[FATAL, alert.0]);
        }
        self.write_closed = true;
        self.forget();
    }

    /// Forgets secrets and keys, as both sides of a failed connection must (RFC 9846,
    /// section 6). What was negotiated can still be seen.
    fn forget(&mut self) {
        if let Some(established) = &mut self.established {
            established.secrets = None;
        }
        self.read.forget();
        self.write.forget();
    }

    /// Takes note that the transport has ended.
    ///
    /// # Errors
    /// [`Error::Truncated`] unless the peer closed its direction before.
    pub fn eof(&mut self) -> Result<(), Error> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            _ if self.read_closed => Ok(()),
            _ => {
                self.state = State::Failed(Error::Truncated);
                self.forget();
                Err(Error::Truncated)
            }
        }
    }

    fn new_output(&mut self) -> Output {
        Output {
            #[cfg(test)]
            substitutes: self.substitutes.clone(),
            ..Output::default()
        }
    }

    fn secrets(&mut self) -> Result<(&mut Secrets, &Suite), Error> {
        self.established
            .as_deref_mut()
            .and_then(|done| Some((done.secrets.as_mut()?, &done.negotiated.suite)))
            .ok_or(Error::Usage("handshake is not done"))
    }

    fn negotiated(&self) -> Option<&Negotiated> {
        self.established.as_ref().map(|done| &done.negotiated)
    }
}
