//! Sending: application data, close_notify and KeyUpdate.

use alloc::vec::Vec;

use crypto_api::Payload;

use super::{Connection, WARNING};
use crate::Error;
use crate::record::{Sealed, seal_records, sealed_len};
use crate::tls13::State;
use crate::wire::{AlertDescription, ContentType, messages};

impl Connection {
    /// Records that wait to be sent: handshake messages, alerts, KeyUpdates. They go to the
    /// peer before anything that [`seal`](Self::seal) writes later.
    pub fn output(&self) -> &[u8] {
        self.outgoing.get(self.sent..).unwrap_or_default()
    }

    /// Says that the first `len` bytes of [`output`](Self::output) were sent.
    pub fn output_sent(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len);
        if self.sent >= self.outgoing.len() {
            // An idle connection holds no buffer.
            self.outgoing = Vec::new();
            self.sent = 0;
            self.answer_queued = false;
        }
    }

    /// Seals application data into `out`, as much as fits, in records. What waits in
    /// [`output`](Self::output) goes in front, so that the order is kept; if it does not
    /// fit, nothing is sealed behind it.
    ///
    /// # Errors
    /// [`Error::Usage`] before the handshake is done and after [`close`](Self::close),
    /// [`Error::Crypto`] when the backend fails: then the connection is over, and nothing in
    /// `out` may be sent.
    pub fn seal(&mut self, data: Payload<'_>, out: &mut [u8]) -> Result<Sealed, Error> {
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Traffic if self.write_closed => {
                return Err(Error::Usage("data after close"));
            }
            State::Traffic => {}
            _ => return Err(Error::Usage("data before the handshake is done")),
        }
        let outcome = self.seal_data(data, out);
        if let Err(error) = &outcome {
            self.fail(error);
        }
        outcome
    }

    fn seal_data(&mut self, data: Payload<'_>, out: &mut [u8]) -> Result<Sealed, Error> {
        let mut done = Sealed::default();
        let mut rest = data;
        loop {
            done.written += self.drain_output(out.get_mut(done.written..).unwrap_or_default());
            if rest.is_empty() || !self.output().is_empty() {
                return Ok(done);
            }
            let left = self.write.records_left();
            if left == 0 {
                // The key has sealed all that it may (RFC 9846, section 5.5).
                self.send_key_update(false)?;
                continue;
            }
            let sealed = seal_records(
                &mut self.write,
                ContentType::APPLICATION_DATA,
                rest,
                self.limits.record_payload,
                left,
                out.get_mut(done.written..).unwrap_or_default(),
            )?;
            if sealed.consumed > 0 {
                self.counters.data();
            }
            done.consumed += sealed.consumed;
            done.written += sealed.written;
            rest = rest.split_at(sealed.consumed).1;
            if sealed.consumed == 0 {
                return Ok(done);
            }
        }
    }

    /// Moves waiting records to the front of `out`; returns how many bytes.
    fn drain_output(&mut self, out: &mut [u8]) -> usize {
        let waiting = self.output();
        let len = waiting.len().min(out.len());
        for (to, from) in out.iter_mut().zip(waiting) {
            *to = *from;
        }
        if len > 0 {
            self.output_sent(len);
        }
        len
    }

    /// How many bytes of output sealing `len` bytes of data takes, without what waits in
    /// [`output`](Self::output).
    pub fn sealed_len(&self, len: usize) -> usize {
        sealed_len(&self.write, len, self.limits.record_payload)
    }

    /// Closes the sending direction: queues a close_notify. The other direction stays open
    /// until the peer closes it (RFC 9846, section 6.1). During the handshake this gives it
    /// up.
    pub fn close(&mut self) {
        if self.write_closed {
            return;
        }
        if matches!(self.state, State::Failed(_)) {
            // Whoever failed has been told, or is gone.
            self.write_closed = true;
            return;
        }
        if !matches!(self.state, State::Traffic) {
            // An alert must not stand amid a message (section 5.1).
            let rest = core::mem::take(&mut self.unsealed);
            let _ = self.queue(ContentType::HANDSHAKE, &rest);
            let _ = self.queue(
                ContentType::ALERT,
                &[WARNING, AlertDescription::USER_CANCELED.0],
            );
            self.state = State::Failed(Error::Usage("connection was closed in the handshake"));
        }
        // If it cannot be sealed, the peer sees a truncated stream, as it should.
        let _ = self.queue(
            ContentType::ALERT,
            &[WARNING, AlertDescription::CLOSE_NOTIFY.0],
        );
        self.write_closed = true;
        if matches!(self.state, State::Failed(_)) {
            self.forget();
        }
    }

    /// Changes the keys of the sending direction, and has the peer change those of its own
    /// if `request_peer` (RFC 9846, section 4.7.3). The connection does this by itself when
    /// a key has sealed as many records as its algorithm allows.
    ///
    /// # Errors
    /// [`Error::Usage`] before the handshake is done and after [`close`](Self::close),
    /// [`Error::Crypto`] when the backend fails.
    pub fn update_keys(&mut self, request_peer: bool) -> Result<(), Error> {
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Traffic if self.write_closed => {
                return Err(Error::Usage("key update after close"));
            }
            State::Traffic => {}
            _ => return Err(Error::Usage("key update before the handshake is done")),
        }
        let outcome = self.send_key_update(request_peer);
        if let Err(error) = &outcome {
            self.fail(error);
        }
        outcome
    }

    /// Forgets that an update was asked for, as a peer would that floods.
    #[cfg(test)]
    pub(crate) fn forget_request(&mut self) {
        self.awaiting_update = false;
    }

    pub(super) fn send_key_update(&mut self, request_peer: bool) -> Result<(), Error> {
        // First what may fail: behind a KeyUpdate an alert under the old key means nothing to
        // the peer. There may be 2^48 - 1 updates (section 4.7.3), which are not counted: a
        // million in each second would take nine years.
        let (secrets, suite) = self.secrets()?;
        let secret = secrets.write.next()?;
        let keys = secret.write_keys(suite)?;
        secrets.write = secret;
        // One request at a time (RFC 9846, section 4.7.3).
        let request_peer = request_peer && !self.awaiting_update;
        self.queue(ContentType::HANDSHAKE, &messages::key_update(request_peer))?;
        self.awaiting_update |= request_peer;
        // One that asks for another is no answer (section 4.7.3).
        self.answer_queued |= !request_peer;
        self.write.set(keys);
        Ok(())
    }
}
