//! Mixes backends, shows who computes what, and completes a handshake with the mix.
//!
//! ```sh
//! cargo run -p keyway --features openssl --example mixed -- openssl+records=soft
//! ```

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

use keyway::{ClientBuilder, Credentials, ServerBuilder, ServerName, Stream, Trust, provider};

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
    let spec = std::env::args().nth(1).unwrap_or_else(|| "fastest".into());
    let mixed = provider::by_name(&spec)?;
    // Each algorithm is tried against a published answer before anything depends on it.
    mixed.self_test()?;
    println!("{}", mixed.table());

    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let server = ServerBuilder::new()
        .provider(mixed.clone())
        .certificate(Credentials::pem(
            made.cert.pem(),
            made.signing_key.serialize_pem(),
        ))
        .build()?;
    let client = ClientBuilder::new()
        .provider(mixed)
        .trust(Trust::pem(made.cert.pem()))
        .build()?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let served = thread::spawn(move || {
        let (transport, _) = listener.accept()?;
        Stream::server(server, transport).handshake()
    });
    let name = ServerName::try_from("localhost")?;
    let mut stream = Stream::client(client, name, TcpStream::connect(address)?)?;
    stream.handshake()?;
    served.join().map_err(|_| "the server panicked")??;
    let connection = stream.connection();
    if let (Some(suite), Some(group)) = (connection.suite(), connection.group()) {
        println!("handshake done: {suite} with keys from {group}");
    }
    Ok(())
}
