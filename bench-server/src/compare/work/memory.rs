//! What an idle connection holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::compare::engine::Probe;
use crate::compare::stacks::{Endpoints, Pair, Setup};

/// Connections of which the heap's growth still says something.
const LEAST: usize = 50;

/// Many connections that have echoed a message and wait, server side.
pub(crate) struct Idle {
    endpoints: Arc<dyn Endpoints>,
    setup: Setup,
    connections: usize,
}

impl Idle {
    pub(crate) fn new(endpoints: Arc<dyn Endpoints>, setup: Setup, connections: usize) -> Self {
        Self {
            endpoints,
            setup,
            connections,
        }
    }
}

/// Value: bytes of heap per connection.
impl Probe for Idle {
    fn round(&mut self, slice: Duration) -> Result<Vec<f64>> {
        let mut servers = Vec::with_capacity(self.connections);
        let before = heap_in_use().context("the heap's use is known with glibc only")?;
        let start = Instant::now();
        while servers.len() < LEAST || (servers.len() < self.connections && start.elapsed() < slice)
        {
            let pair = Pair::establish(&*self.endpoints, &self.setup)?;
            servers.push(pair.server);
        }
        let after = heap_in_use().context("the heap's use is unknown")?;
        let grown = after.saturating_sub(before);
        Ok(vec![grown as f64 / servers.len() as f64])
    }
}

/// Bytes that are allocated now and not freed, by Rust or by C, with the allocator's own
/// overhead, as glibc counts them; `None` where the allocator does not tell.
pub(crate) fn heap_in_use() -> Option<usize> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use malloc_info::info::{SystemType, TotalType};
        let info = malloc_info::malloc_info().ok()?;
        let total = |kind: TotalType| -> usize {
            let of_kind = info.total.iter().filter(|total| total.r#type == kind);
            of_kind.map(|total| total.size).sum()
        };
        let current = info
            .system
            .iter()
            .find(|s| s.r#type == SystemType::Current)?;
        let held = current.size + total(TotalType::Mmap);
        held.checked_sub(total(TotalType::Fast) + total(TotalType::Rest))
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        None
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn the_heap_grows_by_what_is_allocated() {
        // Other tests allocate and free too: what is looked for is far more than they do.
        for size in [1_000, 50_000_000] {
            let before = heap_in_use().unwrap();
            let blocks: Vec<Vec<u8>> = (0..100_000_000 / size).map(|_| vec![1; size]).collect();
            let grown = heap_in_use().unwrap() - before;
            assert!((90_000_000..130_000_000).contains(&grown), "{grown}");
            drop(blocks);
            assert!(heap_in_use().unwrap() < before + 50_000_000);
        }
    }
}
