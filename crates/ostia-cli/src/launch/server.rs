//! A server for the program: the runtime's, or one over sockets that systemd has handed over; with its metrics, and what
//! systemd and the user are told.

mod adopted;

use super::{PARTIAL, STOPPING, inherited, notify};
use crate::args::Common;
use crate::errors::Failure;
use crate::{metrics, output};
use adopted::Adopted;
use ostia::net::{Endpoint, Stream};
use ostia::serve::Served;
use ostia::{Address, serve};
use serde_json::json;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Turns a connection above the cap away.
pub(super) type Reject = Arc<dyn Fn(Stream, Origin) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// Where a connection has come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which of [`Server::addresses`].
    pub listener: usize,
}

/// Settings of a [`Server`].
pub struct ServerBuilder {
    addresses: Vec<String>,
    drain: Duration,
    most: Option<usize>,
    reject: Option<Reject>,
    metrics: Option<SocketAddr>,
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl ServerBuilder {
    pub(super) fn new(common: &Common, _: &[Endpoint]) -> ServerBuilder {
        ServerBuilder {
            addresses: common.addresses.clone(),
            drain: common.drain,
            most: common.max_connections.map(std::num::NonZeroUsize::get),
            reject: None,
            metrics: common.metrics,
        }
    }

    /// Accepts connections above the cap too, and gives them to this handler, which has 5 seconds to tell them so.
    #[must_use]
    pub fn reject<H, F>(mut self, handler: H) -> ServerBuilder
    where
        H: Fn(Stream, Origin) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.reject = Some(Arc::new(move |stream, origin| Box::pin(handler(stream, origin))));
        self
    }

    pub(super) fn bind(self, endpoints: &[Endpoint]) -> Result<Server, Failure> {
        let sockets = inherited::sockets(&self.addresses)?;
        let kind = if sockets.is_empty() { Kind::Bound(self.build(endpoints)?) } else { self.adopt(sockets, endpoints)? };
        let handle = match &kind {
            Kind::Bound(server) => ServerHandle(Reach::Bound(server.handle())),
            Kind::Adopted(server) => ServerHandle(Reach::Adopted(server.group.clone())),
        };
        let metrics = match self.metrics {
            Some(address) => Some(metrics::start(address, &handle)?),
            None => None,
        };
        Ok(Server { kind, handle, metrics, drain: self.drain })
    }

    fn build(&self, endpoints: &[Endpoint]) -> Result<serve::Server, Failure> {
        let mut builder = serve::Server::builder().drain(self.drain);
        for endpoint in endpoints {
            builder = builder.listen(endpoint.clone());
        }
        if let Some(most) = self.most {
            builder = builder.max_connections(most);
        }
        if let Some(reject) = self.reject.clone() {
            builder = builder.reject(move |stream, peer| reject(stream, Origin { listener: peer.listener() }));
        }
        builder.build().map_err(|error| {
            let text = error.to_string();
            let culprit = endpoints.iter().map(Endpoint::to_string).find(|endpoint| text.starts_with(endpoint));
            Failure::listen(&culprit.unwrap_or_default(), &error)
        })
    }

    fn adopt(&self, sockets: Vec<inherited::Inherited>, endpoints: &[Endpoint]) -> Result<Kind, Failure> {
        let mut all: Vec<_> = sockets.into_iter().map(|socket| (socket.address, socket.socket, None)).collect();
        for endpoint in endpoints {
            all.push(adopted::bind(endpoint).map_err(|error| Failure::listen(&endpoint.to_string(), &error))?);
        }
        Ok(Kind::Adopted(Adopted::new(all, self.most, self.reject.clone(), self.drain)))
    }
}

enum Kind {
    Bound(serve::Server),
    Adopted(Adopted),
}

/// A server that listens and does not yet serve.
pub struct Server {
    kind: Kind,
    handle: ServerHandle,
    metrics: Option<SocketAddr>,
    drain: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Server {
    /// A way to stop the server and to look at it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Where it listens: first the sockets handed over, then the endpoints in their order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        match &self.kind {
            Kind::Bound(server) => server.addresses(),
            Kind::Adopted(server) => server.addresses(),
        }
    }

    /// Serves until the server is [stopped](ServerHandle::stop) and its connections have ended, as
    /// [`serve::Server::run`]. Tells systemd, and in the end what the server came to.
    ///
    /// # Errors
    /// As the runtime's server.
    pub async fn run<H, F>(self, handler: H) -> io::Result<Served>
    where
        H: Fn(Stream, Origin) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        let Server { kind, handle, metrics, drain } = self;
        if let Some(address) = metrics {
            output::print(
                &format!("metrics on http://{address}/metrics"),
                || json!({ "event": "metrics", "url": format!("http://{address}/metrics") }),
            );
        }
        notify::ready();
        notify::watch();
        let (accepted, rejected, aborted, served) = match kind {
            Kind::Bound(server) => {
                // The handler's own future is what each connection keeps: nothing is put around it.
                let served = server.run(move |stream, peer| handler(stream, Origin { listener: peer.listener() })).await?;
                (served.accepted, served.rejected, served.aborted, served)
            }
            Kind::Adopted(server) => {
                let aborted = server.run(handler).await?;
                (handle.accepted(), handle.rejected(), aborted, Served::default())
            }
        };
        if aborted > 0 {
            PARTIAL.store(true, Ordering::Relaxed);
            tracing::warn!("{aborted} connections did not end within {drain:?} and were closed");
        }
        if output::is_json() {
            output::print("", || json!({ "event": "ended", "accepted": accepted, "rejected": rejected, "cut_off": aborted }));
        }
        Ok(served)
    }
}

#[derive(Clone, Debug)]
enum Reach {
    Bound(serve::ServerHandle),
    Adopted(Arc<adopted::Group>),
}

/// Reaches a running server from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle(Reach);

macro_rules! ask {
    ($self:ident, $what:ident) => {
        match &$self.0 {
            Reach::Bound(handle) => handle.$what(),
            Reach::Adopted(group) => group.$what(),
        }
    };
}

impl ServerHandle {
    /// Ends the server gently: no new connections, handlers may finish until the deadline.
    pub fn stop(&self) {
        STOPPING.store(true, Ordering::Relaxed);
        notify::stopping();
        ask!(self, stop);
    }

    /// Whether the server is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        ask!(self, is_stopping)
    }

    /// How many connections each worker has, in the order of [`ostia::workers`].
    #[must_use]
    pub fn connections_each(&self) -> Vec<usize> {
        ask!(self, connections_each)
    }

    /// How many connections were given to the handler so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        ask!(self, accepted)
    }

    /// How many connections were turned away at the cap so far.
    #[must_use]
    pub fn rejected(&self) -> usize {
        ask!(self, rejected)
    }
}
