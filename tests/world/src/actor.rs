//! Peers and hosts of a world.

use std::net::SocketAddr;
use std::time::Instant;

use trestle_peers::{Meta, Phone};

use crate::net::Datagram;

/// Names a peer or a stranger of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(usize);

enum Actor {
    Meta(Box<Meta>),
    Phone(Box<Phone>),
    /// Sends nothing by itself, and keeps what it receives.
    Stranger(SocketAddr, Vec<Datagram>),
}

/// All peers and hosts.
#[derive(Default)]
pub(crate) struct Actors(Vec<Actor>);

impl Actors {
    pub(crate) fn add_meta(&mut self, meta: Meta) -> ActorId {
        self.add(Actor::Meta(Box::new(meta)))
    }

    pub(crate) fn add_phone(&mut self, phone: Phone) -> ActorId {
        self.add(Actor::Phone(Box::new(phone)))
    }

    pub(crate) fn add_stranger(&mut self, at: SocketAddr) -> ActorId {
        self.add(Actor::Stranger(at, Vec::new()))
    }

    fn add(&mut self, actor: Actor) -> ActorId {
        self.0.push(actor);
        ActorId(self.0.len() - 1)
    }

    pub(crate) fn meta(&mut self, id: ActorId) -> &mut Meta {
        match &mut self.0[id.0] {
            Actor::Meta(meta) => meta,
            Actor::Phone(_) | Actor::Stranger(..) => panic!("{id:?} is no Meta"),
        }
    }

    pub(crate) fn phone(&mut self, id: ActorId) -> &mut Phone {
        match &mut self.0[id.0] {
            Actor::Phone(phone) => phone,
            Actor::Meta(_) | Actor::Stranger(..) => panic!("{id:?} is no phone"),
        }
    }

    pub(crate) fn mail(&self, id: ActorId) -> &[Datagram] {
        match &self.0[id.0] {
            Actor::Stranger(_, mail) => mail,
            Actor::Meta(_) | Actor::Phone(_) => panic!("{id:?} is no stranger"),
        }
    }

    /// A datagram arrives at the actor that has its destination address, if there is one.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Some(actor) = self.0.iter_mut().find(|actor| actor.is_at(datagram.to)) {
            actor.handle_datagram(now, datagram);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().filter_map(Actor::poll_timeout).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for actor in &mut self.0 {
            if actor.poll_timeout().is_some_and(|at| at <= now) {
                actor.handle_timeout(now);
            }
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Datagram> {
        self.0.iter_mut().find_map(Actor::poll_transmit)
    }
}

impl Actor {
    fn is_at(&self, address: SocketAddr) -> bool {
        match self {
            Self::Meta(meta) => meta.locals().contains(&address),
            Self::Phone(phone) => phone.locals().contains(&address),
            Self::Stranger(at, _) => *at == address,
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match self {
            Self::Meta(meta) => meta.handle_datagram(now, datagram.to, datagram.from, &datagram.bytes),
            Self::Phone(phone) => phone.handle_datagram(now, datagram.to, datagram.from, &datagram.bytes),
            Self::Stranger(_, mail) => mail.push(datagram),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Meta(meta) => meta.handle_timeout(now),
            Self::Phone(phone) => phone.handle_timeout(now),
            Self::Stranger(..) => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Meta(meta) => meta.poll_timeout(),
            Self::Phone(phone) => phone.poll_timeout(),
            Self::Stranger(..) => None,
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        let transmit = match self {
            Self::Meta(meta) => meta.poll_transmit(),
            Self::Phone(phone) => phone.poll_transmit(),
            Self::Stranger(..) => None,
        }?;
        Some(Datagram { from: transmit.local, to: transmit.remote, bytes: transmit.bytes })
    }
}
