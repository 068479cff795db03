//! The runtime's server as the program uses it: over endpoints and over sockets that systemd has handed over, with its
//! metrics, and with what systemd and the user are told.

use super::{PARTIAL, inherited, notify};
use crate::args::Common;
use crate::errors::Failure;
use crate::{metrics, output};
use ostia::Address;
use ostia::net::{Endpoint, Stream};
use ostia::serve::{self, Peer, Served, ServerHandle};
use serde_json::json;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Settings of a [`Server`].
#[derive(Debug)]
pub struct ServerBuilder {
    inner: serve::ServerBuilder,
    addresses: Vec<String>,
    metrics: Option<SocketAddr>,
    drain: Duration,
}

impl ServerBuilder {
    pub(super) fn new(common: &Common) -> ServerBuilder {
        let mut inner = serve::Server::builder().drain(common.drain);
        if let Some(most) = common.max_connections {
            inner = inner.max_connections(most.get());
        }
        ServerBuilder { inner, addresses: common.addresses.clone(), metrics: common.metrics, drain: common.drain }
    }

    /// Accepts connections above the cap too, and gives them to this handler: see [`serve::ServerBuilder::reject`].
    #[must_use]
    pub fn reject<H, F>(mut self, handler: H) -> ServerBuilder
    where
        H: Fn(Stream, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.inner = self.inner.reject(handler);
        self
    }

    pub(super) fn bind(self, endpoints: &[Endpoint]) -> Result<Server, Failure> {
        let mut builder = self.inner;
        for socket in inherited::sockets(&self.addresses)? {
            builder = builder.adopt(socket);
        }
        for endpoint in endpoints {
            builder = builder.listen(endpoint.clone());
        }
        let inner = builder.build().map_err(|error| {
            let text = error.to_string();
            let culprit = endpoints.iter().map(Endpoint::to_string).find(|endpoint| text.starts_with(endpoint));
            Failure::listen(&culprit.unwrap_or_default(), &error)
        })?;
        let handle = inner.handle();
        let metrics = self.metrics.map(|address| metrics::start(address, &handle)).transpose()?;
        Ok(Server { inner, metrics, drain: self.drain })
    }
}

/// A server that listens and does not yet serve.
#[derive(Debug)]
pub struct Server {
    inner: serve::Server,
    metrics: Option<SocketAddr>,
    drain: Duration,
}

impl Server {
    /// A way to stop the server and to look at it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.inner.handle()
    }

    /// Where it listens: first the sockets handed over, then the endpoints in their order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.inner.addresses()
    }

    /// Serves until the server is [stopped](ServerHandle::stop) and its connections have ended, as
    /// [`serve::Server::run`]. Tells systemd, and in the end what the server came to.
    ///
    /// # Errors
    /// As the runtime's server.
    pub async fn run<H, F>(self, handler: H) -> io::Result<Served>
    where
        H: Fn(Stream, Peer) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        if let Some(address) = self.metrics {
            output::print(
                &format!("metrics on http://{address}/metrics"),
                || json!({ "event": "metrics", "url": format!("http://{address}/metrics") }),
            );
        }
        notify::ready();
        notify::watch();
        let served = self.inner.run(handler).await?;
        if served.aborted > 0 {
            PARTIAL.store(true, Ordering::Relaxed);
            tracing::warn!("{} connections did not end within {:?} and were closed", served.aborted, self.drain);
        }
        if output::is_json() {
            let Served { accepted, rejected, aborted, .. } = served;
            output::print("", || json!({ "event": "ended", "accepted": accepted, "rejected": rejected, "cut_off": aborted }));
        }
        Ok(served)
    }
}
