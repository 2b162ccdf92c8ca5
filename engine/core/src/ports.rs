//! Bound ports that wait for a leg. The edge binds them ahead of need, so that opening a leg is one step.

use std::collections::VecDeque;

use crate::{InterfaceId, PortPair, limits};

/// The stock of one shard, by interface and address family.
#[derive(Debug)]
pub(crate) struct PortStock {
    shelves: Vec<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    interface: InterfaceId,
    ipv6: bool,
    pairs: VecDeque<PortPair>,
}

impl PortStock {
    pub(crate) fn new(interfaces: &[(InterfaceId, bool)]) -> Self {
        let shelf = |&(interface, ipv6): &(InterfaceId, bool)| Shelf { interface, ipv6, pairs: VecDeque::new() };
        Self { shelves: interfaces.iter().map(shelf).collect() }
    }

    pub(crate) fn wanted(&self) -> impl Iterator<Item = (InterfaceId, bool, usize)> + '_ {
        self.shelves
            .iter()
            .map(|shelf| (shelf.interface, shelf.ipv6, limits::PORT_STOCK.saturating_sub(shelf.pairs.len())))
            .filter(|(_, _, pairs)| *pairs > 0)
    }

    pub(crate) fn add(&mut self, interface: InterfaceId, ipv6: bool, pair: PortPair) -> Result<(), PortPair> {
        match self.shelf(interface, ipv6) {
            Some(shelf) => {
                shelf.pairs.push_back(pair);
                Ok(())
            }
            None => Err(pair),
        }
    }

    pub(crate) fn take(&mut self, interface: InterfaceId, ipv6: bool) -> Option<PortPair> {
        self.shelf(interface, ipv6)?.pairs.pop_front()
    }

    /// Pairs in stock.
    pub(crate) fn len(&self, interface: InterfaceId, ipv6: bool) -> usize {
        let shelf = self.shelves.iter().find(|shelf| (shelf.interface, shelf.ipv6) == (interface, ipv6));
        shelf.map_or(0, |shelf| shelf.pairs.len())
    }

    /// Takes up to so many pairs of each interface and address family.
    pub(crate) fn take_spare(&mut self, pairs: usize) -> Vec<PortPair> {
        let shelves = self.shelves.iter_mut();
        shelves.flat_map(|shelf| shelf.pairs.drain(..pairs.min(shelf.pairs.len()))).collect()
    }

    fn shelf(&mut self, interface: InterfaceId, ipv6: bool) -> Option<&mut Shelf> {
        self.shelves.iter_mut().find(|shelf| (shelf.interface, shelf.ipv6) == (interface, ipv6))
    }
}
