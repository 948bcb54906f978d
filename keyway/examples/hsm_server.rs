//! Echoes what its clients send, each client in a thread; the private key stays in its HSM.
//!
//! ```sh
//! cargo run -p keyway --features pkcs11 --example hsm_server -- 127.0.0.1:4433 \
//!     'pkcs11:token=web;object=www?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/web.pin' \
//!     chain.pem
//! ```
//!
//! Without a file the certificate chain comes from the token.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use keyway::pkcs11::Pkcs11Key;
use keyway::pki::load_certificates;
use keyway::{Credentials, ServerBuilder, ServerConfig, Stream, provider};

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
    let (address, uri, chain) = match arguments.as_slice() {
        [address, uri] => (address, uri, None),
        [address, uri, chain] => (address, uri, Some(chain)),
        _ => return Err("usage: hsm_server ADDRESS:PORT PKCS11-URI [CHAIN.pem]".into()),
    };
    let provider = provider::fastest()?;
    let mut builder = Pkcs11Key::builder(uri, &provider);
    if let Some(path) = chain {
        builder = builder.certificates(load_certificates(path)?);
    }
    // Opened here and not by `Credentials::pkcs11`, to keep a hold of its counters.
    let key = builder.open()?;
    let config = ServerBuilder::new()
        .provider(provider)
        .certificate(Credentials::from(key.clone()))
        .build()?;

    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    eprintln!("listening on {}", listener.local_addr()?);
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
        let (config, key) = (config.clone(), key.clone());
        thread::spawn(move || {
            match echo(config, transport) {
                Ok(bytes) => eprintln!("{bytes} bytes echoed"),
                Err(error) => eprintln!("{error}"),
            }
            eprint!("{}", key.stats());
        });
    }
    Ok(())
}

fn echo(config: Arc<ServerConfig>, transport: TcpStream) -> io::Result<u64> {
    // While the token signs, this thread sleeps.
    let mut stream = Stream::server(config, transport);
    let mut bytes = 0;
    let mut buffer = [0; 16_384];
    while let n @ 1.. = stream.read(&mut buffer)? {
        stream.write_all(&buffer[..n])?;
        bytes += n as u64;
    }
    stream.close()?;
    Ok(bytes)
}
