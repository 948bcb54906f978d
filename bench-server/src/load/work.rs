//! What a connection does again and again.

use std::error::Error as StdError;
use std::pin::pin;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use keyway::Error as TlsError;
use keyway::tokio::TlsStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::pace::Pace;
use super::tally::{Moved, Shared};
use super::target::Target;
use super::{Direction, LoadArgs, Mode};
use crate::body::{CHUNK, Content};
use crate::failure::{TimedOut, WrongAnswer, find};

type BoxError = Box<dyn StdError + Send + Sync>;

/// How long an operation may take before it counts as failed.
const OPERATION: Duration = Duration::from_secs(60);

/// How long to wait after a failure: a server that refuses everything is not to be asked
/// a hundred thousand times a second.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// How long to wait for what a server has to say when it takes no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The operation, the same for all connections.
#[derive(Debug)]
pub(super) struct Work {
    mode: Mode,
    direction: Direction,
    /// Bytes of a bulk transfer or an echo.
    size: u64,
    path: String,
    /// Whether the answer must have `size` bytes: not if the path is the user's.
    sized: bool,
    target: Target,
}

/// An open connection, by what is spoken on it.
#[derive(Debug)]
enum Client {
    Http {
        requests: SendRequest<Content>,
        driver: JoinHandle<hyper::Result<()>>,
    },
    Raw(Box<TlsStream<TcpStream>>),
}

impl Work {
    pub(super) fn new(args: &LoadArgs, target: Target) -> Self {
        let sized = args.mode == Mode::Bulk && args.path.is_none();
        let default = match (args.mode, args.direction) {
            (Mode::Bulk, Direction::Receive) => format!("/bytes/{}", args.size),
            (Mode::Bulk, Direction::Send) => "/bytes".into(),
            _ => "/".into(),
        };
        Self {
            mode: args.mode,
            direction: args.direction,
            size: args.size,
            path: args.path.clone().unwrap_or(default),
            sized,
            target,
        }
    }

    /// Does operations until the time is over.
    pub(super) async fn run(&self, pace: &Pace, tally: &Shared) {
        let mut client = None;
        while let Some(due) = pace.next().await {
            let operation = self.once(&mut client, due, pace, tally);
            let outcome = match tokio::time::timeout(OPERATION, operation).await {
                Ok(outcome) => outcome,
                Err(_) => Err(TimedOut("operation").into()),
            };
            if let Err(error) = outcome {
                let error = match client.take() {
                    Some(client) => client.cause().await.unwrap_or(error),
                    None => error,
                };
                if pace.counts() {
                    tally.failed(&*error);
                }
                if pace.is_on() {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
        if let Some(client) = client {
            client.close().await;
        }
    }

    /// One operation. Without a rate, its time does not include that of a connection that
    /// has to be made first, which is counted as a handshake.
    async fn once(
        &self,
        client: &mut Option<Client>,
        due: Instant,
        pace: &Pace,
        tally: &Shared,
    ) -> Result<(), BoxError> {
        if self.mode == Mode::Handshake {
            let connected = self.target.connect().await?;
            let took = due.elapsed();
            close_in_order(connected.tls).await?;
            if pace.counts() {
                tally.handshake(connected.handshake);
                tally.done(took, Moved::default());
            } else if pace.is_on() {
                tally.early();
            }
            return Ok(());
        }
        let mut begun = due;
        if !client.as_mut().is_some_and(Client::is_usable) {
            *client = Some(self.open(pace, tally).await?);
            if pace.due().is_none() {
                begun = Instant::now();
            }
        }
        let moved = match client.as_mut() {
            Some(Client::Http { requests, .. }) => self.request(requests).await?,
            Some(Client::Raw(tls)) => echo(tls, self.size).await?,
            None => return Ok(()),
        };
        if pace.counts() {
            tally.done(begun.elapsed(), moved);
        } else if pace.is_on() {
            tally.early();
        }
        Ok(())
    }

    async fn open(&self, pace: &Pace, tally: &Shared) -> Result<Client, BoxError> {
        let connected = self.target.connect().await?;
        if pace.counts() {
            tally.handshake(connected.handshake);
        }
        if self.mode == Mode::Echo {
            return Ok(Client::Raw(Box::new(connected.tls)));
        }
        let (requests, connection) = handshake(TokioIo::new(connected.tls)).await?;
        let driver = tokio::spawn(connection);
        Ok(Client::Http { requests, driver })
    }

    async fn request(&self, requests: &mut SendRequest<Content>) -> Result<Moved, BoxError> {
        let sends = self.mode == Mode::Bulk && self.direction == Direction::Send;
        let (method, body) = if sends {
            (Method::POST, Content::Bytes(self.size))
        } else {
            (Method::GET, Content::empty())
        };
        let request = Request::builder()
            .method(method)
            .uri(self.path.as_str())
            .header(HOST, self.target.host.as_str())
            .body(body)?;
        requests.ready().await?;
        let response = requests.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut received = 0;
        let mut start = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                received += data.len() as u64;
                if sends && start.len() < 32 {
                    start.extend_from_slice(&data);
                }
            }
        }
        if !status.is_success() {
            return Err(WrongAnswer(format!("status {}", status.as_u16()).into()).into());
        }
        if sends {
            if self.sized && start != format!("{}\n", self.size).as_bytes() {
                return Err(WrongAnswer("not the number of bytes sent".into()).into());
            }
        } else if self.sized && received != self.size {
            return Err(WrongAnswer("not the number of bytes asked for".into()).into());
        }
        Ok(Moved {
            sent: if sends { self.size } else { 0 },
            received,
        })
    }
}

impl Client {
    fn is_usable(&mut self) -> bool {
        match self {
            // A server that closes after an answer is not at fault: HTTP lets it.
            Self::Http { requests, .. } => !requests.is_closed(),
            Self::Raw(_) => true,
        }
    }

    /// What ended the connection, if a request heard of its end alone: an alert, say.
    async fn cause(self) -> Option<BoxError> {
        let Self::Http { requests, driver } = self else {
            return None;
        };
        if !requests.is_closed() {
            // It goes on, and is dropped in its course.
            driver.abort();
            return None;
        }
        match driver.await {
            Ok(Err(error)) => Some(error.into()),
            _ => None,
        }
    }

    /// Sends close_notify, so that the server counts no truncated connection.
    async fn close(self) {
        match self {
            Self::Http { requests, driver } => {
                drop(requests);
                let _ = driver.await;
            }
            Self::Raw(mut tls) => {
                let _ = tls.shutdown().await;
            }
        }
    }
}

/// Closes, and waits until the server has closed too: only then is it known that the server
/// accepted the handshake, since it may refuse the client's certificate when the client is
/// done already (RFC 9846, section 4.4.2.4 and appendix E.1).
async fn close_in_order(mut tls: TlsStream<TcpStream>) -> Result<(), BoxError> {
    tls.shutdown().await?;
    let mut rest = [0; 1024];
    loop {
        match tls.read(&mut rest).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Nothing that we wait for can have been cut off: we had closed before.
            Err(error) if find(&error) == Some(&TlsError::Truncated) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends `size` bytes while receiving as many, and compares them.
async fn echo(tls: &mut TlsStream<TcpStream>, size: u64) -> Result<Moved, BoxError> {
    let (mut reader, mut writer) = tokio::io::split(tls);
    let send = async {
        let mut left = size;
        while left > 0 {
            // At most the length of the chunk.
            let now = left.min(CHUNK.len() as u64) as usize;
            writer.write_all(&CHUNK[..now]).await?;
            left -= now as u64;
        }
        writer.flush().await?;
        Ok::<(), BoxError>(())
    };
    let receive = async {
        let mut buffer = vec![0; CHUNK.len()];
        let mut left = size;
        while left > 0 {
            let now = left.min(buffer.len() as u64) as usize;
            let length = reader.read(&mut buffer[..now]).await?;
            if length == 0 {
                return Err(WrongAnswer("fewer bytes than were sent".into()).into());
            }
            if buffer[..length] != CHUNK[..length] {
                return Err(WrongAnswer("other bytes than were sent".into()).into());
            }
            left -= length as u64;
        }
        Ok::<(), BoxError>(())
    };
    let mut receive = pin!(receive);
    tokio::select! {
        received = receive.as_mut() => received?,
        sent = send => match sent {
            Ok(()) => receive.await?,
            // A server that refuses says why before it closes: that is still to be read.
            Err(error) => {
                let why = tokio::time::timeout(LAST_WORDS, receive).await;
                return Err(why.ok().and_then(Result::err).unwrap_or(error));
            }
        },
    }
    Ok(Moved {
        sent: size,
        received: size,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::load::tally::Tallies;
    use crate::load::target;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    /// How many failures are counted of a server that hangs up on everybody, until it has done
    /// so some times.
    async fn failures(warm_up: Duration) -> u64 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = listener.local_addr().unwrap().to_string();
        let cli = Cli::parse_from(["load", "--insecure", "--connect", &connect]);
        let provider = crate::backend::provider(None).unwrap();
        let config = target::config(&cli.load, provider).unwrap();
        let target = Target::of(&cli.load, config, listener.local_addr().unwrap()).unwrap();
        let work = Work::new(&cli.load, target);
        let day = Duration::from_secs(86_400);
        let pace = Pace::start(None, Pace::now(), warm_up, day).unwrap();
        let tallies = Tallies::new(1);
        tokio::select! {
            () = work.run(&pace, tallies.of(0)) => panic!("the time is not over"),
            () = async {
                for _ in 0..3 {
                    drop(listener.accept().await.unwrap());
                }
            } => {}
        }
        tallies.total().failures.total()
    }

    #[tokio::test]
    async fn failures_in_the_warm_up_do_not_count() {
        assert_eq!(failures(Duration::from_secs(3600)).await, 0);
        // Whoever comes a third time has failed twice.
        assert_eq!(failures(Duration::ZERO).await, 2);
    }
}
