//! Scrapes of `/metrics`: each asks every shard for its totals and is answered when all have replied.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;

use trestle_core::report::Totals;
use trestle_core::{Command, RequestId};
use trestle_io::Worker;

use crate::listen::http::Scrape;

/// Requests of the control thread itself have this bit in their ids; the controller counts from zero.
const SCRAPE_BIT: u64 = 1 << 63;

/// The mailbox of scrapes, and those that wait for shards.
pub(super) struct Scrapes {
    scrapes: Receiver<Scrape>,
    collecting: HashMap<u64, Collecting>,
    next_id: u64,
}

struct Collecting {
    scrape: Scrape,
    /// By shard; `None` as long as it has not replied.
    totals: Vec<Option<Totals>>,
}

/// A scrape to which every shard has replied.
pub(super) struct CollectedScrape {
    pub(super) scrape: Scrape,
    pub(super) totals: Vec<Totals>,
}

impl Scrapes {
    pub(super) fn new(scrapes: Receiver<Scrape>) -> Self {
        Self { scrapes, collecting: HashMap::new(), next_id: SCRAPE_BIT }
    }

    /// True for the id of a request that [`Scrapes::start`] has sent.
    pub(super) fn owns(RequestId(id): RequestId) -> bool {
        id & SCRAPE_BIT != 0
    }

    /// Sends the requests of new scrapes to all shards.
    pub(super) fn start(&mut self, workers: &[Worker]) {
        while let Ok(scrape) = self.scrapes.try_recv() {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1) | SCRAPE_BIT;
            if workers.iter().all(|worker| worker.send(RequestId(id), Command::Totals).is_ok()) {
                self.collecting.insert(id, Collecting { scrape, totals: vec![None; workers.len()] });
            }
        }
        // Removes scrapes whose client has disconnected.
        self.collecting.retain(|_, collecting| !collecting.scrape.is_closed());
    }

    /// Takes the totals of one shard; the scrape if they were the last. `None` for `totals` is a refusal by the shard: the
    /// scrape is then dropped, which its client receives as an error.
    pub(super) fn collect(
        &mut self,
        RequestId(id): RequestId,
        worker: usize,
        totals: Option<Totals>,
    ) -> Option<CollectedScrape> {
        let Some(totals) = totals else {
            self.collecting.remove(&id);
            return None;
        };
        let collecting = self.collecting.get_mut(&id)?;
        collecting.totals[worker] = Some(totals);
        if collecting.totals.iter().any(Option::is_none) {
            return None;
        }
        let Collecting { scrape, totals } = self.collecting.remove(&id)?;
        Some(CollectedScrape { scrape, totals: totals.into_iter().flatten().collect() })
    }
}
