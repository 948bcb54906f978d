//! The sections of a report: what each says, in which unit, and how it is drawn.

use serde::Serialize;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Per second.
    PerSecond,
    /// Bytes per second, shown in gigabytes.
    BytesPerSecond,
    /// Seconds, shown in microseconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The value in the unit that is shown, which [`symbol`](Self::symbol) names.
    pub(crate) fn scaled(self, value: f64) -> f64 {
        match self {
            Self::PerSecond | Self::Bytes => value,
            Self::BytesPerSecond => value / 1e9,
            Self::Seconds => value * 1e6,
        }
    }

    /// The unit that is shown.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::PerSecond => "1/s",
            Self::BytesPerSecond => "GB/s",
            Self::Seconds => "\u{b5}s",
            Self::Bytes => "bytes",
        }
    }

    /// The value to three or four digits.
    pub(crate) fn format(self, value: f64) -> String {
        let scaled = self.scaled(value);
        match self {
            Self::PerSecond | Self::Bytes | Self::Seconds => thousands(scaled),
            Self::BytesPerSecond if scaled < 1.0 => format!("{scaled:.3}"),
            Self::BytesPerSecond if scaled < 10.0 => format!("{scaled:.2}"),
            Self::BytesPerSecond => format!("{scaled:.1}"),
        }
    }
}

/// A whole number with narrow, unbreakable spaces between thousands.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len() - at;
        if at > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// How a section is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chart {
    /// A line per contender over the columns.
    Lines,
    /// A group of bars per column.
    Bars,
}

/// A section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What was done, in a sentence.
    pub(crate) note: &'static str,
    pub(crate) unit: Unit,
    pub(crate) more_is_better: bool,
    pub(crate) chart: Chart,
}

pub(crate) const HANDSHAKE_SERVER: &str = "handshake-server";
pub(crate) const HANDSHAKE_CLIENT: &str = "handshake-client";
pub(crate) const SEND_AES128: &str = "send-aes-128-gcm";
pub(crate) const RECEIVE_AES128: &str = "receive-aes-128-gcm";
pub(crate) const SEND_AES256: &str = "send-aes-256-gcm";
pub(crate) const RECEIVE_AES256: &str = "receive-aes-256-gcm";
pub(crate) const SEND_CHACHA20: &str = "send-chacha20-poly1305";
pub(crate) const RECEIVE_CHACHA20: &str = "receive-chacha20-poly1305";
pub(crate) const ALONE_SEAL: &str = "alone-seal";
pub(crate) const ALONE_OPEN: &str = "alone-open";
pub(crate) const TCP_KINDS: &str = "tcp-kinds";
pub(crate) const TCP_HANDSHAKE: &str = "tcp-handshake";
pub(crate) const TCP_LATENCY: &str = "tcp-latency";
pub(crate) const TCP_AES128: &str = "tcp-aes-128-gcm";
pub(crate) const TCP_AES256: &str = "tcp-aes-256-gcm";
pub(crate) const TCP_CHACHA20: &str = "tcp-chacha20-poly1305";
pub(crate) const THREADS_HANDSHAKE: &str = "threads-handshake";
pub(crate) const THREADS_BULK: &str = "threads-bulk";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const HSM_HANDSHAKE: &str = "hsm-handshake";
pub(crate) const HSM_P50: &str = "hsm-latency-p50";
pub(crate) const HSM_P99: &str = "hsm-latency-p99";
pub(crate) const HSM_CPU: &str = "hsm-cpu";
pub(crate) const HSM_CPU_SIGNING: &str = "hsm-cpu-signing";
pub(crate) const HSM_PARKED_MEMORY: &str = "hsm-parked-memory";
pub(crate) const HSM_PARKED_BULK: &str = "hsm-parked-bulk";
pub(crate) const HSM_PARKED_RETURN: &str = "hsm-parked-return";

const SEND: &str = "In memory, one thread; the sender's time alone. One call per record.";
const RECEIVE: &str = "In memory, one thread; the receiver's time alone. Every record is opened.";

const TCP: &str = "Server to client over one connection, a thread at each end. All read and write the socket by 64 KiB; libssl and rustls reach that buffer by a copy, which spares them a system call per record.";
const ALONE: &str = "A backend's AEAD alone, and through the whole stack; 16 KiB records, same buffers, same calls. Here \u{d7} is the ratio to the same backend alone.";

/// All sections, in the order of the report.
pub(crate) const ALL: &[Section] = &[
    Section {
        id: HANDSHAKE_SERVER,
        title: "Full handshakes, server",
        note: "In memory, one core; the server's time alone. X25519 unless named, AES-128-GCM.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    Section {
        id: HANDSHAKE_CLIENT,
        title: "Full handshakes, client",
        note: "In memory, one core; the client's time alone, with verification of the chain.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    throughput(SEND_AES128, "Sending, AES-128-GCM", SEND),
    throughput(RECEIVE_AES128, "Receiving, AES-128-GCM", RECEIVE),
    throughput(SEND_AES256, "Sending, AES-256-GCM", SEND),
    throughput(RECEIVE_AES256, "Receiving, AES-256-GCM", RECEIVE),
    throughput(SEND_CHACHA20, "Sending, ChaCha20-Poly1305", SEND),
    throughput(RECEIVE_CHACHA20, "Receiving, ChaCha20-Poly1305", RECEIVE),
    Section {
        id: ALONE_SEAL,
        title: "What the stack costs: sealing",
        note: ALONE,
        unit: Unit::BytesPerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    Section {
        id: ALONE_OPEN,
        title: "What the stack costs: opening",
        note: ALONE,
        unit: Unit::BytesPerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    Section {
        id: TCP_KINDS,
        title: "Connections over loopback TCP, by kind",
        note: "Connect, full handshake, 64 bytes echoed, close; a client's thread and a server's. X25519 unless named, AES-128-GCM.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    Section {
        id: TCP_HANDSHAKE,
        title: "Connections over loopback TCP, by threads",
        note: "Connect, full handshake, 64 bytes echoed, close; a pair is a client's thread and a server's. ECDSA P-256, X25519.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Lines,
    },
    Section {
        id: TCP_LATENCY,
        title: "Latency over loopback TCP",
        note: "From connecting to the first echo, one pair of threads. ECDSA P-256, X25519. Percentiles of all rounds together, and \u{d7} is the ratio of these.",
        unit: Unit::Seconds,
        more_is_better: false,
        chart: Chart::Bars,
    },
    throughput(TCP_AES128, "Throughput over loopback TCP, AES-128-GCM", TCP),
    throughput(TCP_AES256, "Throughput over loopback TCP, AES-256-GCM", TCP),
    throughput(
        TCP_CHACHA20,
        "Throughput over loopback TCP, ChaCha20-Poly1305",
        TCP,
    ),
    Section {
        id: THREADS_HANDSHAKE,
        title: "Handshakes on several threads",
        note: "In memory, client and server on each thread. ECDSA P-256, X25519.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Lines,
    },
    Section {
        id: THREADS_BULK,
        title: "Throughput on several threads",
        note: "In memory, sealed and opened on each thread: bytes of plaintext that went both ways. AES-128-GCM, 16 KiB records.",
        unit: Unit::BytesPerSecond,
        more_is_better: true,
        chart: Chart::Lines,
    },
    Section {
        id: MEMORY,
        title: "Memory of an idle connection",
        note: "Server side, established, after an echo, buffers released where the stack can. Heap in use as glibc counts it, C's allocations included.",
        unit: Unit::Bytes,
        more_is_better: false,
        chart: Chart::Bars,
    },
    Section {
        id: HSM_HANDSHAKE,
        title: "Key in an HSM: full handshakes",
        note: "By how long the token takes for a signature. Loopback TCP, a server with one thread of its own and as many signing threads as sessions, eight clients at once for each session; those that wait for the token on their own thread have eight clients. The token's bound is sessions divided by its time.",
        unit: Unit::PerSecond,
        more_is_better: true,
        chart: Chart::Lines,
    },
    hsm_time(
        HSM_P50,
        "Key in an HSM: handshake, median time",
        "In the same run, as the client sees it: it waits in the queue and for the token.",
    ),
    hsm_time(
        HSM_P99,
        "Key in an HSM: handshake, 99th percentile",
        "In the same run, as the client sees it.",
    ),
    hsm_time(
        HSM_CPU,
        "Key in an HSM: CPU of the server's thread",
        "Per handshake, TCP included; with others' servers it is all, as they sign there.",
    ),
    hsm_time(
        HSM_CPU_SIGNING,
        "Key in an HSM: CPU of the signing threads",
        "Per handshake: the token, which is software here, and the verification of what it signed.",
    ),
    Section {
        id: HSM_PARKED_MEMORY,
        title: "Key in an HSM: memory of a handshake that waits",
        note: "The token hangs. Growth of the server's resident memory, by the handshakes that wait.",
        unit: Unit::Bytes,
        more_is_better: false,
        chart: Chart::Bars,
    },
    Section {
        id: HSM_PARKED_BULK,
        title: "Key in an HSM: others' data meanwhile",
        note: "Server to client over one connection from before, the server's only thread.",
        unit: Unit::BytesPerSecond,
        more_is_better: true,
        chart: Chart::Bars,
    },
    Section {
        id: HSM_PARKED_RETURN,
        title: "Key in an HSM: when the token is back",
        note: "From its return until the first and the last of those handshakes is done; all succeed, or there is no figure.",
        unit: Unit::Seconds,
        more_is_better: false,
        chart: Chart::Bars,
    },
];

const fn hsm_time(id: &'static str, title: &'static str, note: &'static str) -> Section {
    Section {
        id,
        title,
        note,
        unit: Unit::Seconds,
        more_is_better: false,
        chart: Chart::Lines,
    }
}

const fn throughput(id: &'static str, title: &'static str, note: &'static str) -> Section {
    Section {
        id,
        title,
        note,
        unit: Unit::BytesPerSecond,
        more_is_better: true,
        chart: Chart::Lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_readable() {
        assert_eq!(Unit::PerSecond.format(13_975.4), "13\u{202f}975");
        assert_eq!(Unit::PerSecond.format(975.0), "975");
        assert_eq!(Unit::Bytes.format(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(Unit::BytesPerSecond.format(21.64e9), "21.6");
        assert_eq!(Unit::BytesPerSecond.format(3.456e9), "3.46");
        assert_eq!(Unit::BytesPerSecond.format(0.4444e9), "0.444");
        assert_eq!(Unit::Seconds.format(0.000_312_4), "312");
    }
}
