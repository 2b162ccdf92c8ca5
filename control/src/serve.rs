//! A running Trestle: the control thread, the media threads and, if wanted, the HTTP thread.

mod control_thread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use mio::Waker;
use trestle_core::{DtlsIdentity, InterfaceId};
use trestle_io::{InterfacePorts, Worker, WorkerConfig, clock, mailbox};

use crate::config::Config;
use crate::http::HttpServer;
use crate::negotiate::Interface;
use control_thread::ControlThread;

/// Messages from shards that may wait for the control thread: a second of milestones at 500 calls a second.
const FROM_SHARDS_MAX: usize = 8_192;

/// Scrapes that may wait at the same time; a second scraper is normal, a tenth is a mistake.
const SCRAPES_MAX: usize = 8;

/// Why Trestle cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listening address cannot be had.
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A media thread cannot start.
    #[error("interface, port-min, port-max: {0}")]
    Media(#[from] trestle_io::StartError),
    /// No certificate can be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// No entropy, poller or thread.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running Trestle. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    ng: Vec<SocketAddr>,
    http: Option<HttpServer>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    control: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds everything, starts all threads and returns when commands are taken.
    ///
    /// # Errors
    /// See [`ServeError`]; nothing is left running then.
    pub fn start(config: &Config) -> Result<Self, ServeError> {
        let epoch = clock::sample_epoch();
        let identity = DtlsIdentity::generate().map_err(|error| ServeError::Certificate(error.to_string()))?;
        let poll = mio::Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), control_thread::WAKER)?);

        let (to_control, from_shards) = mailbox::channel(FROM_SHARDS_MAX, Arc::clone(&waker));
        let mut workers = Vec::with_capacity(config.num_threads);
        for worker in 0..config.num_threads {
            let config = WorkerConfig {
                worker,
                workers: config.num_threads,
                epoch,
                identity: identity.clone(),
                media_timeout: config.timeout,
                interfaces: interface_ports(config),
                range: config.ports,
            };
            workers.push(Worker::start(config, to_control.clone())?);
        }

        let (scrapes_in, scrapes) = mailbox::channel(SCRAPES_MAX, Arc::clone(&waker));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = ControlThread::new(control_thread::Parts {
            config,
            epoch,
            fingerprint: identity.fingerprint(),
            poll,
            workers,
            from_shards,
            scrapes,
            stop: Arc::clone(&stop),
        })?;
        let ng = thread.listening();
        for address in ng.iter().filter(|address| !address.ip().is_loopback()) {
            tracing::warn!(
                %address,
                "listen-ng is open to other machines and ng has NO PASSWORD: whoever reaches this port can listen to, \
                 redirect and end every call. Use a loopback address, or let a firewall admit the proxies only"
            );
        }
        let http = match config.listen_http {
            Some(address) => Some(HttpServer::start(address, scrapes_in).map_err(|source| ServeError::Listen {
                key: "listen-http",
                address,
                source,
            })?),
            None => None,
        };
        let control = thread::Builder::new().name("control".to_owned()).spawn(move || thread.run())?;
        Ok(Self { ng, http, stop, waker, control: Some(control) })
    }

    /// Where ng commands are taken; the first of the addresses.
    pub fn ng_addr(&self) -> SocketAddr {
        self.ng[0]
    }

    /// All addresses where ng commands are taken.
    pub fn ng_addrs(&self) -> &[SocketAddr] {
        &self.ng
    }

    /// Where HTTP is served.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpServer::address)
    }

    /// Stops all threads and waits for them. Calls end without a word to their peers.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.http = None;
        self.stop.store(true, Ordering::Relaxed);
        // Fails only if the control thread and its poller are gone already.
        let _: io::Result<()> = self.waker.wake();
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            tracing::error!("the control thread had died of a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

fn interface_ports(config: &Config) -> Vec<InterfacePorts> {
    let of = |(index, interface): (usize, &Interface)| InterfacePorts {
        interface: InterfaceId(index as u16),
        v4: interface.v4.map(|address| address.local),
        v6: interface.v6.map(|address| address.local),
    };
    config.interfaces.iter().enumerate().map(of).collect()
}
