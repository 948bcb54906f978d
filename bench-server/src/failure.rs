//! Failures of connections, sorted by kind to be counted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use keyway::tls::Error as TlsError;

/// How many failures there were of each kind.
///
/// The kinds are few: nothing that a peer chooses freely becomes part of one, so hostile
/// peers cannot make this grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures(BTreeMap<Cow<'static, str>, u64>);

impl Failures {
    /// Counts one.
    pub(crate) fn add(&mut self, kind: Cow<'static, str>) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Adds those of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind.clone()).or_default() += count;
        }
    }

    /// All together.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each kind with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (&**kind, *count))
    }

    /// As a JSON object: kind to count.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.iter()
            .map(|(kind, count)| (kind.to_owned(), count.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// A peer or a network that took too long; the text says for what.
#[derive(Debug)]
pub(crate) struct TimedOut(pub(crate) &'static str);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out: {}", self.0)
    }
}

impl StdError for TimedOut {}

/// The server stopped before it was done.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("server stopped")
    }
}

impl StdError for Stopped {}

/// An answer that is not the right one; the text says what is wrong.
#[derive(Debug)]
pub(crate) struct WrongAnswer(pub(crate) Cow<'static, str>);

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong answer: {}", self.0)
    }
}

impl StdError for WrongAnswer {}

/// The kind of a failure: of TLS if there is such an error among its causes, otherwise of
/// the transport or of HTTP.
pub(crate) fn kind(error: &(dyn StdError + 'static)) -> Cow<'static, str> {
    if let Some(tls) = find::<TlsError>(error) {
        return tls_kind(tls);
    }
    if let Some(late) = find::<TimedOut>(error) {
        return format!("timed out: {}", late.0).into();
    }
    if find::<Stopped>(error).is_some() {
        return "server stopped".into();
    }
    if let Some(wrong) = find::<WrongAnswer>(error) {
        return format!("wrong answer: {}", wrong.0).into();
    }
    if let Some(transport) = find::<io::Error>(error) {
        return match transport.raw_os_error() {
            // ENFILE and EMFILE, which the standard library has no kind for.
            Some(23 | 24) => "transport: too many open files".into(),
            _ => format!("transport: {}", transport.kind()).into(),
        };
    }
    if let Some(http) = find::<hyper::Error>(error) {
        return match http {
            http if http.is_parse() => "HTTP: message cannot be parsed".into(),
            http if http.is_incomplete_message() => {
                "HTTP: connection closed in the middle of a message".into()
            }
            http if http.is_body_write_aborted() => "HTTP: body not taken to its end".into(),
            http if http.is_canceled() || http.is_closed() => {
                "HTTP: connection closed before a request".into()
            }
            _ => "HTTP".into(),
        };
    }
    "other".into()
}

/// The first error of type `E` in `error` and its causes. An [`io::Error`] hides the error
/// that it was made of from the chain of causes, and is looked into.
pub(crate) fn find<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

fn tls_kind(error: &TlsError) -> Cow<'static, str> {
    match error {
        TlsError::NotTls(_) => "peer does not speak TLS".into(),
        TlsError::Decode(_) => "peer sent a malformed message".into(),
        TlsError::Misbehaved(_) => "peer broke the protocol".into(),
        TlsError::NoCommon(what) => format!("nothing in common: {what}").into(),
        TlsError::Certificate(error) => {
            format!("peer's certificate refused: {}", error.problem).into()
        }
        TlsError::AlertReceived(alert) => format!("alert from the peer: {alert}").into(),
        TlsError::Truncated => "connection ended without close_notify".into(),
        // These quote code points at most.
        TlsError::Crypto(_) => "cryptography failed".into(),
        TlsError::Config(_) => "configuration".into(),
        _ => "other TLS error".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(error: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
        io::Error::other(error)
    }

    #[test]
    fn a_tls_error_is_found_inside_an_io_error() {
        let error = io(io(TlsError::NotTls(*b"GET /")));
        assert_eq!(kind(&error), "peer does not speak TLS");
        assert!(find::<TlsError>(&error).is_some());
    }

    #[test]
    fn transport_errors_are_told_apart() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(kind(&reset), "transport: connection reset");
        let many = io::Error::from_raw_os_error(24);
        assert_eq!(kind(&many), "transport: too many open files");
        assert_eq!(kind(&TimedOut("handshake")), "timed out: handshake");
        assert_eq!(
            kind(&WrongAnswer("status 500".into())),
            "wrong answer: status 500"
        );
        assert_eq!(kind(&fmt::Error), "other");
    }

    #[test]
    fn failures_add_up() {
        let mut one = Failures::default();
        one.add("a".into());
        one.add("a".into());
        let mut two = Failures::default();
        two.add("b".into());
        two.merge(&one);
        assert_eq!(two.iter().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
        assert_eq!(two.total(), 3);
        assert_eq!(two.json(), serde_json::json!({"a": 2, "b": 1}));
    }
}
