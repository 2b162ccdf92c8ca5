//! The addresses of this machine as the control thread knows them. A listener on the unspecified address is reachable under each of
//! them, also under those that are added later; the filter of addresses must refuse all of these.

use ipnet::IpNet;
use mio::{Registry, Token};
use trestle_core::{Command, RequestId};
use trestle_io::Worker;

use crate::machine::{self, AddressWatch};

/// Of commands whose replies are not awaited: the controller counts from zero, and no scrape gets so far.
const UNAWAITED: RequestId = RequestId(u64::MAX);

/// Reads the addresses again when the kernel reports a change.
#[derive(Debug)]
pub(super) struct MachineAddresses {
    /// `None` if the system does not permit it: then only SIGHUP reads the addresses again.
    watch: Option<AddressWatch>,
    known: Vec<IpNet>,
    /// Media threads that have not been sent `known`, by number: their queues were full.
    uninformed: Vec<usize>,
}

impl MachineAddresses {
    /// Begins to watch. `known` are the addresses that controller and media threads have.
    pub(super) fn new(registry: &Registry, token: Token, known: Vec<IpNet>) -> Self {
        let watch = AddressWatch::new(registry, token).inspect_err(|error| {
            tracing::warn!(
                %error,
                "cannot watch the addresses of this machine; after a change, send SIGHUP to Trestle, so that it refuses media to its \
                 own listeners at the new addresses"
            );
        });
        Self { watch: watch.ok(), known, uninformed: Vec::new() }
    }

    /// Reads the addresses again if one was added or removed, or if `reload` is set, and sends them to the media threads. The
    /// addresses, if they have changed.
    pub(super) fn update(&mut self, reload: bool, workers: &[Worker]) -> Option<Vec<IpNet>> {
        let has_changed = self.watch.as_ref().is_some_and(AddressWatch::has_changed);
        let changed = if has_changed || reload { self.read_again() } else { None };
        if changed.is_some() {
            self.uninformed = (0..workers.len()).collect();
        }
        let known = &self.known;
        let inform = |worker: usize| workers[worker].send(UNAWAITED, Command::SetMachineAddresses(known.clone()));
        self.uninformed.retain(|worker| inform(*worker).is_err());
        changed
    }

    fn read_again(&mut self) -> Option<Vec<IpNet>> {
        match machine::networks() {
            Ok(now) if now == self.known => None,
            Ok(now) => {
                tracing::info!(addresses = now.len(), "the addresses of this machine have changed");
                self.known.clone_from(&now);
                Some(now)
            }
            Err(error) => {
                tracing::warn!(%error, known = self.known.len(), "cannot read the addresses of this machine");
                None
            }
        }
    }
}
