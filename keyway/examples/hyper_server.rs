//! A web server: hyper over the asynchronous stream.
//!
//! ```sh
//! cargo run -p keyway --features tokio --example hyper_server
//! curl --cacert keyway-localhost.pem https://localhost:8443/
//! ```
//!
//! With arguments `ADDRESS:PORT CHAIN.pem KEY.pem` it shows that certificate; else it makes
//! one for `localhost` and says where that is.

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use keyway::tokio::Acceptor;
use keyway::{Credentials, ServerBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().map_or("127.0.0.1:8443", String::as_str);
    let credentials = match arguments.get(1..) {
        None | Some([]) => generate()?,
        Some([chain, key]) => Credentials::files(chain, key),
        Some(_) => return Err("usage: hyper_server [ADDRESS:PORT [CHAIN.pem KEY.pem]]".into()),
    };
    let config = ServerBuilder::new()
        .certificate(credentials)
        .alpn(["http/1.1"])
        .build()?;
    let acceptor = Acceptor::new(config);

    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    eprintln!("listening on https://{}/", listener.local_addr()?);
    loop {
        let (transport, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Of one client that is gone already, or for want of file descriptors, which pass
            // as others leave: no reason to end, but one not to ask again at once.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(acceptor, transport).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn serve(
    acceptor: Acceptor,
    transport: TcpStream,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Whoever connects and says nothing is not waited for.
    let stream = timeout(Duration::from_secs(10), acceptor.accept(transport)).await??;
    let suite = stream.connection().suite();
    let protection = suite.map_or_else(|| "nothing".into(), |suite| suite.to_string());
    let service = service_fn(move |request: Request<Incoming>| {
        let text = format!("{} is protected by {protection}\n", request.uri());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// A certificate for `localhost` that stands for itself.
fn generate() -> Result<Credentials, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let path = std::env::temp_dir().join("keyway-localhost.pem");
    std::fs::write(&path, made.cert.pem())?;
    eprintln!("made a certificate for localhost: {}", path.display());
    Ok(Credentials::pem(
        made.cert.pem(),
        made.signing_key.serialize_pem(),
    ))
}
