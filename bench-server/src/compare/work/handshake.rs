//! Full handshakes in memory, each side's calls timed by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::compare::engine::Probe;
use crate::compare::stacks::{Endpoints, Setup, verify};
use crate::compare::wire::Wire;

/// Handshakes one after the other on one thread.
pub(crate) struct Handshakes {
    endpoints: Arc<dyn Endpoints>,
    setup: Setup,
    to_server: Wire,
    to_client: Wire,
}

/// What one side or both have spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) server: Duration,
    pub(crate) client: Duration,
}

impl Handshakes {
    pub(crate) fn new(endpoints: Arc<dyn Endpoints>, setup: Setup) -> Self {
        Self {
            endpoints,
            setup,
            to_server: Wire::with_capacity(16_384),
            to_client: Wire::with_capacity(16_384),
        }
    }

    /// One handshake, from making both sides to dropping them. What is timed is what a
    /// process with one side would spend; that data then passes both ways is checked, and
    /// not timed.
    pub(crate) fn one(&mut self) -> Result<Spent> {
        let mut spent = Spent::default();
        let (to_server, to_client) = (&mut self.to_server, &mut self.to_client);
        to_server.clear();
        to_client.clear();
        let mut client = timed(&mut spent.client, || self.endpoints.client())?;
        let mut server = timed(&mut spent.server, || self.endpoints.server())?;
        // A flight of the client, one of the server, its Finished; a retry adds two.
        for _ in 0..8 {
            timed(&mut spent.client, || client.handshake(to_client, to_server))?;
            if client.established() && server.established() {
                break;
            }
            timed(&mut spent.server, || server.handshake(to_server, to_client))?;
        }
        verify(
            &mut *client,
            &mut *server,
            to_server,
            to_client,
            &self.setup,
        )?;
        timed(&mut spent.client, || drop(client));
        timed(&mut spent.server, || drop(server));
        Ok(spent)
    }
}

fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *spent += start.elapsed();
    result
}

/// Values: the server's handshakes per second of its time, the client's.
impl Probe for Handshakes {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let start = Instant::now();
        let mut total = Spent::default();
        let mut count = 0_u32;
        while count == 0 || start.elapsed() < slice {
            let spent = self.one()?;
            total.server += spent.server;
            total.client += spent.client;
            count += 1;
        }
        let rate = |spent: Duration| f64::from(count) / spent.as_secs_f64();
        Ok(vec![rate(total.server), rate(total.client)])
    }
}
