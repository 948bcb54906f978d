//! Asks a web server for its first page, and says how the connection was protected.
//!
//! ```sh
//! cargo run -p keyway --example client -- www.example.org
//! cargo run -p keyway --example client -- localhost:4433 server.pem
//! ```
//!
//! The second argument is a PEM file with the authorities to trust; without it those of the
//! operating system are trusted.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use keyway::{ClientBuilder, ServerName, Stream, Trust};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(server) = arguments.next() else {
        eprintln!("usage: client HOST[:PORT] [TRUSTED.pem]");
        return ExitCode::FAILURE;
    };
    match run(&server, arguments.next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{server}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(server: &str, trusted: Option<String>) -> Result<(), Box<dyn Error>> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host, port.parse()?),
        None => (server, 443),
    };
    let config = ClientBuilder::new()
        .trust(trusted.map_or_else(Trust::system, Trust::file))
        .alpn(["http/1.1"])
        .key_log_from_env()
        .build()?;

    let name = ServerName::try_from(host.to_string())?;
    let transport = TcpStream::connect((host, port))?;
    let mut stream = Stream::client(config, name, transport)?;
    stream.handshake()?;
    let connection = stream.connection();
    if let (Some(suite), Some(group)) = (connection.suite(), connection.group()) {
        eprintln!("protected by {suite} with keys from {group}");
    }

    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let ending = stream.read_to_end(&mut answer);
    std::io::stdout().write_all(&answer)?;
    match ending {
        // Many web servers end without close_notify; what HTTP says of its length decides.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && is_whole(&answer) => Ok(()),
        ending => Ok(ending.map(drop)?),
    }
}

/// Whether an answer is as long as it says.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let ours = name.eq_ignore_ascii_case("content-length");
        ours.then(|| value.trim().parse().ok()).flatten()
    });
    length == Some(body.len())
}
