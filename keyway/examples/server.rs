//! Echoes what its clients send, each client in a thread.
//!
//! ```sh
//! cargo run -p keyway --example server
//! cargo run -p keyway --example server -- 127.0.0.1:4433 chain.pem key.pem
//! ```
//!
//! Without files it makes a certificate for `localhost` and says where that is, so that
//! clients can trust it.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use keyway::{Credentials, ServerBuilder, ServerConfig, Stream};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().map_or("127.0.0.1:4433", String::as_str);
    let credentials = match arguments.get(1..) {
        None | Some([]) => generate()?,
        Some([chain, key]) => Credentials::files(chain, key),
        Some(_) => return Err("usage: server [ADDRESS:PORT [CHAIN.pem KEY.pem]]".into()),
    };
    let config = ServerBuilder::new()
        .certificate(credentials)
        .key_log_from_env()
        .build()?;

    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    let address = listener.local_addr()?;
    eprintln!("listening; try: openssl s_client -connect {address} -servername localhost");
    for transport in listener.incoming() {
        let transport = match transport {
            Ok(transport) => transport,
            // Of one client that is gone already, or for want of file descriptors, which pass
            // as others leave: no reason to end, but one not to ask again at once.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let config = config.clone();
        thread::spawn(move || match echo(config, transport) {
            Ok(bytes) => eprintln!("{bytes} bytes echoed"),
            Err(error) => eprintln!("{error}"),
        });
    }
    Ok(())
}

fn echo(config: Arc<ServerConfig>, transport: TcpStream) -> io::Result<u64> {
    let mut stream = Stream::server(config, transport);
    let mut bytes = 0;
    let mut buffer = [0; 16_384];
    while let n @ 1.. = io::Read::read(&mut stream, &mut buffer)? {
        io::Write::write_all(&mut stream, &buffer[..n])?;
        bytes += n as u64;
    }
    stream.close()?;
    Ok(bytes)
}

/// A certificate for `localhost` that stands for itself.
fn generate() -> Result<Credentials, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let path = std::env::temp_dir().join("keyway-localhost.pem");
    fs::write(&path, made.cert.pem())?;
    eprintln!("made a certificate for localhost: {}", path.display());
    Ok(Credentials::pem(
        made.cert.pem(),
        made.signing_key.serialize_pem(),
    ))
}
