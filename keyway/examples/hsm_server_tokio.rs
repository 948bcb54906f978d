//! Echoes what its clients send, on one thread for all of them; the private key stays in its
//! HSM, and handshakes that wait for it hold no thread.
//!
//! ```sh
//! cargo run -p keyway --features pkcs11,tokio --example hsm_server_tokio -- 127.0.0.1:4433 \
//!     'pkcs11:token=web;object=www?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/web.pin' \
//!     chain.pem
//! ```
//!
//! Without a file the certificate chain comes from the token. SIGINT ends it in order: no
//! more clients are let in, those that are there may finish for a while, and the module is
//! finalised.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use keyway::pkcs11::{Load, Pkcs11Key};
use keyway::pki::load_certificates;
use keyway::tokio::Acceptor;
use keyway::{Credentials, ServerBuilder, provider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[tokio::main(flavor = "current_thread")]
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
    let (address, uri, chain) = match arguments.as_slice() {
        [address, uri] => (address, uri, None),
        [address, uri, chain] => (address, uri, Some(chain)),
        _ => return Err("usage: hsm_server_tokio ADDRESS:PORT PKCS11-URI [CHAIN.pem]".into()),
    };
    let provider = provider::fastest()?;
    let mut builder = Pkcs11Key::builder(uri, &provider);
    if let Some(path) = chain {
        builder = builder.certificates(load_certificates(path)?);
    }
    let key = builder.open_async().await?;
    let config = ServerBuilder::new()
        .provider(provider)
        .certificate(Credentials::from(key.clone()))
        .build()?;
    let acceptor = Acceptor::new(config);

    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    eprintln!("listening on {}", listener.local_addr()?);
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Forgotten as they end.
            Some(_) = clients.join_next() => continue,
            _ = tokio::signal::ctrl_c() => break,
        };
        let (transport, peer) = match accepted {
            Ok(accepted) => accepted,
            // Of one client that is gone already, or for want of file descriptors, which pass
            // as others leave: no reason to end, but one not to ask again at once.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // What the token cannot take is refused before it costs anything.
        if matches!(key.load(), Load::Full | Load::Down) {
            continue;
        }
        let acceptor = acceptor.clone();
        clients.spawn(async move {
            if let Err(error) = echo(acceptor, transport).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
    let all = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(Duration::from_secs(5), all).await;
    clients.shutdown().await;
    eprint!("{}", key.stats());
    // Whoever closes the last of the key's handles waits for its threads.
    drop(acceptor);
    tokio::task::spawn_blocking(|| key.close()).await?;
    Ok(())
}

async fn echo(acceptor: Acceptor, transport: TcpStream) -> io::Result<()> {
    // Whoever connects and says nothing is not waited for.
    let accepted = timeout(Duration::from_secs(20), acceptor.accept(transport)).await;
    let mut stream = accepted.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut buffer = [0; 16_384];
    while let n @ 1.. = stream.read(&mut buffer).await? {
        stream.write_all(&buffer[..n]).await?;
    }
    stream.shutdown().await
}
