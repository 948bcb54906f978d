//! A server that knows its clients by their certificates: one is let in, one is not.
//!
//! ```sh
//! cargo run -p keyway --example mutual_tls
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use keyway::{
    ClientBuilder, ClientConfig, Credentials, ServerBuilder, ServerConfig, ServerName, Stream,
    Trust,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

type Authority = CertifiedIssuer<'static, KeyPair>;

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
    let company = authority("company")?;
    let elsewhere = authority("elsewhere")?;
    let server = ServerBuilder::new()
        .certificate(issue(&company, "localhost")?)
        .require_client_certificate(Trust::pem(company.pem()))
        .build()?;
    for (issuer, name) in [(&company, "alice.test"), (&elsewhere, "mallory.test")] {
        let client = ClientBuilder::new()
            .trust(Trust::pem(company.pem()))
            .certificate(issue(issuer, name)?)
            .build()?;
        match visit(server.clone(), client)? {
            Ok(greeting) => println!("{name} reads: {greeting}"),
            Err(error) => println!("{name} is refused: {error}"),
        }
    }
    Ok(())
}

/// One connection; what the client reads.
fn visit(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> Result<io::Result<String>, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let served = thread::spawn(move || {
        let (transport, _) = listener.accept()?;
        greet(Stream::server(server, transport))
    });
    let name = ServerName::try_from("localhost")?;
    let mut stream = Stream::client(client, name, TcpStream::connect(address)?)?;
    let mut greeting = String::new();
    // A client of TLS 1.3 learns with its first read that it was refused.
    let outcome = stream.read_to_string(&mut greeting).map(|_| greeting);
    if let Err(error) = served.join().map_err(|_| "the server panicked")? {
        println!("server: {error}");
    }
    Ok(outcome)
}

fn greet(mut stream: Stream<TcpStream>) -> io::Result<()> {
    stream.handshake()?;
    let shown = stream
        .connection()
        .peer_certificates()
        .map_or(0, |chain| chain.len());
    write!(stream, "welcome, bearer of {shown} certificate")?;
    stream.close()
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(authority: &Authority, name: &str) -> Result<Credentials, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_string()])?.signed_by(&key, authority)?;
    Ok(Credentials::pem(certificate.pem(), key.serialize_pem()))
}
