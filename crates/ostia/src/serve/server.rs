//! A server's settings, its run over all workers, and its end.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ostia_port::Address;
use ostia_port::os::{AsFd, OwnedFd};
use rustix::net::{SocketType, sockopt};

use crate::net::carrier::Carrier;
use crate::net::listener::bind_socket;
use crate::net::{Endpoint, ListenOptions, Listener, Network, Stream, socket};
use crate::serve::accept::{Acceptor, Place};
use crate::serve::gate::Gate;
use crate::serve::{Peer, Spread};
use crate::{WorkerId, here, task, time};

pub(crate) type Reject = Arc<dyn Fn(Stream, Peer) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// What a server listens on.
#[derive(Clone, Debug)]
enum Source {
    Bind(Endpoint),
    /// A socket that somebody else has bound.
    Adopt(Arc<OwnedFd>),
}

/// Settings of a [`Server`].
#[derive(Clone)]
pub struct ServerBuilder {
    sources: Vec<Source>,
    backlog: u32,
    most: usize,
    spread: Spread,
    drain: Duration,
    reject: Option<Reject>,
}

impl ServerBuilder {
    /// Listens on this endpoint too.
    #[must_use]
    pub fn listen(mut self, endpoint: Endpoint) -> ServerBuilder {
        self.sources.push(Source::Bind(endpoint));
        self
    }

    /// Serves on a socket too that listens already, such as one that a service manager hands over. All workers accept from
    /// its one queue, whatever the [spread](Self::spread) is; on Windows, where a socket belongs to one completion port, one does and
    /// hands them over. Connections that the kernel still holds when the server is
    /// stopped are left to whoever has the socket next.
    #[must_use]
    pub fn adopt(mut self, socket: impl Into<OwnedFd>) -> ServerBuilder {
        self.sources.push(Source::Adopt(Arc::new(socket.into())));
        self
    }

    /// How many connections the kernel keeps per listening socket that are not accepted yet. Default 4,096; the kernel
    /// bounds it by `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> ServerBuilder {
        self.backlog = connections;
        self
    }

    /// The most connections at once, over all workers, at least 1. At the cap no more are taken on until one ends: they
    /// wait in the accept queue (some, accepted ahead, in the port). Default: no cap.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> ServerBuilder {
        self.most = connections.max(1);
        self
    }

    /// Accepts connections above the cap too, and gives them to this handler instead, which tells them so (an HTTP 503)
    /// and has 5 seconds for it. Past 256 such connections per worker and listener, further ones are just closed.
    #[must_use]
    pub fn reject<H, F>(mut self, handler: H) -> ServerBuilder
    where
        H: Fn(Stream, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.reject = Some(Arc::new(move |stream, peer| Box::pin(handler(stream, peer))));
        self
    }

    /// How connections come to the workers. Default [`Spread::ReusePort`].
    #[must_use]
    pub fn spread(mut self, spread: Spread) -> ServerBuilder {
        self.spread = spread;
        self
    }

    /// How long connections may take to end once the server is being stopped, before their handlers are dropped.
    /// Default 30 s.
    #[must_use]
    pub fn drain(mut self, deadline: Duration) -> ServerBuilder {
        self.drain = deadline;
        self
    }

    /// Binds all endpoints, on the [current](Network::current) network. Connections of an engine's network are dealt out to the
    /// workers in turn, whatever the [spread](Self::spread) is, or stay with the engine's if it has no
    /// [branches](ostia_port::Engine::branch). To be called in the runtime whose workers will serve.
    ///
    /// # Errors
    /// As [`Listener::bind`], with the endpoint's name; InvalidInput for an adopted socket that does not listen for streams,
    /// and without an endpoint; outside of a runtime.
    pub fn build(self) -> io::Result<Server> {
        let workers = crate::workers();
        if workers.is_empty() {
            return Err(here::elsewhere());
        }
        if self.sources.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server needs an endpoint to listen on"));
        }
        let network = Network::current();
        let mut listeners = Vec::new();
        for source in &self.sources {
            let (name, bound) = match source {
                Source::Bind(endpoint) if network.is_engines() && !endpoint.is_unix() => {
                    (endpoint.to_string(), Bound::on_engine(endpoint, &self, &workers))
                }
                Source::Bind(endpoint) => (endpoint.to_string(), Bound::new(endpoint, &self, workers.len())),
                Source::Adopt(socket) => ("a socket taken over".to_owned(), Bound::adopted(socket, workers.len())),
            };
            listeners.push(bound.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?);
        }
        let gate = Arc::new(Gate::new(self.most, workers.iter().map(|w| w.0).collect()));
        Ok(Server { settings: self, listeners, workers, gate })
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder").field("sources", &self.sources).field("spread", &self.spread).finish_non_exhaustive()
    }
}

/// A socket that listens.
#[derive(Debug)]
enum Socket {
    /// Any worker can have it.
    Anywhere(OwnedFd),
    /// It is an engine's, and of one worker.
    Here(Listener),
}

/// The sockets of one endpoint.
#[derive(Debug)]
struct Bound {
    address: Address,
    sockets: Vec<Socket>,
    /// Workers that are to open one more each, and of what.
    others: Vec<(WorkerId, Carrier)>,
    path: Option<PathBuf>,
    /// Somebody else has the socket too, and may go on with it.
    adopted: bool,
}

impl Bound {
    fn new(endpoint: &Endpoint, settings: &ServerBuilder, workers: usize) -> io::Result<Bound> {
        let unix = endpoint.is_unix();
        let shared = socket::SPREADS && settings.spread == Spread::ReusePort && !unix && workers > 1;
        let options = ListenOptions { backlog: settings.backlog, reuse_port: shared };
        let (first, path) = bind_socket(endpoint, options)?;
        let address = socket::local(first.as_fd())?;
        let mut sockets = vec![Socket::Anywhere(first)];
        while shared && sockets.len() < workers {
            let how = socket::Listening { backlog: settings.backlog, reuse_port: true };
            sockets.push(Socket::Anywhere(socket::listening(&address, how)?));
        }
        Ok(Bound { address, sockets, others: Vec::new(), path, adopted: false })
    }

    /// Listeners of an engine's network: one here, which shows whether it can be, and one for each other worker.
    fn on_engine(endpoint: &Endpoint, settings: &ServerBuilder, workers: &[WorkerId]) -> io::Result<Bound> {
        let carrier = Network::current().carrier;
        let workers = if carrier.is_everywhere() { workers } else { &[] };
        let options = ListenOptions { backlog: settings.backlog, reuse_port: workers.len() > 1 };
        let listener = Listener::bind_with(endpoint, options)?;
        let (here, address) = (listener.raw.worker, listener.local_addr()?);
        let others = workers.iter().filter(|worker| worker.0 != here).map(|&worker| (worker, carrier)).collect();
        Ok(Bound { address, sockets: vec![Socket::Here(listener)], others, path: None, adopted: false })
    }

    /// Opens the listeners that only other workers can.
    async fn open_others(&mut self, backlog: u32) -> io::Result<()> {
        for (worker, carrier) in std::mem::take(&mut self.others) {
            let address = self.address.clone();
            let open = move || async move {
                let endpoint = Endpoint::from(address.ip().ok_or(io::ErrorKind::InvalidInput)?);
                Listener::bind_first(carrier, &endpoint, vec![address], ListenOptions { backlog, reuse_port: true })
            };
            self.sockets.push(Socket::Here(task::spawn_on(worker, open).await.map_err(io::Error::other)??));
        }
        Ok(())
    }

    /// A socket that listens already, once for each worker that can accept from it.
    fn adopted(socket: &OwnedFd, workers: usize) -> io::Result<Bound> {
        if !sockopt::socket_acceptconn(socket)? || sockopt::socket_type(socket)? != SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket"));
        }
        // A worker that is told of a connection which another has taken must not wait in accept(2).
        socket::unblock(socket.as_fd())?;
        let takers = if socket::MANY_ACCEPT { workers } else { 1 };
        let sockets = (0..takers).map(|_| socket.try_clone().map(Socket::Anywhere)).collect::<io::Result<_>>()?;
        Ok(Bound { address: socket::local(socket.as_fd())?, sockets, others: Vec::new(), path: None, adopted: true })
    }
}

/// What a server came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Served {
    /// Connections that were given to the handler.
    pub accepted: usize,
    /// Connections above the cap that were turned away.
    pub rejected: usize,
    /// Connections whose handlers were dropped at the deadline.
    pub aborted: usize,
}

/// A server that listens and does not yet serve.
#[derive(Debug)]
pub struct Server {
    settings: ServerBuilder,
    listeners: Vec<Bound>,
    workers: Vec<WorkerId>,
    gate: Arc<Gate>,
}

/// Reaches a running server from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle(Arc<Gate>);

impl ServerHandle {
    /// Ends the server gently: no new connections (but those that the kernel has completed already), handlers may
    /// finish until the deadline.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether the server is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.live()
    }

    /// How many connections each worker has, in the order of [`workers`](crate::workers).
    #[must_use]
    pub fn connections_each(&self) -> Vec<usize> {
        self.0.live_each()
    }

    /// How many connections were given to the handler so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.0.accepted()
    }

    /// How many connections were turned away at the cap so far.
    #[must_use]
    pub fn rejected(&self) -> usize {
        self.0.rejected()
    }
}

impl Server {
    /// Default settings, to be changed.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            sources: Vec::new(),
            backlog: 4096,
            most: usize::MAX,
            spread: Spread::default(),
            drain: Duration::from_secs(30),
            reject: None,
        }
    }

    /// A way to stop the server and to look at it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.gate))
    }

    /// Where it listens, in the order of the calls that named it; port 0 has become the port that the kernel has chosen.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|bound| bound.address.clone()).collect()
    }

    /// Serves until the server is [stopped](ServerHandle::stop) and its connections have ended: `handler` runs for each
    /// connection, as a task of the worker that has it. What it returns is dropped. A panic in one ends that connection
    /// only.
    ///
    /// Cancelled: accepting ends, and handlers that run are dropped.
    ///
    /// # Errors
    /// When the workers have gone, or 255 servers run on one already.
    pub async fn run<H, F>(self, handler: H) -> io::Result<Served>
    where
        H: Fn(Stream, Peer) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut running = Running { gate: Arc::clone(&self.gate), places: Arc::from([]) };
        let mut places = Vec::new();
        for &worker in &self.workers {
            let gate = Arc::clone(&self.gate);
            let joined = task::spawn_on(worker, move || async move { here::with(|core| core.join_group(gate)) }).await;
            match joined {
                Ok(Some(group)) if group != 0 => places.push(Place { worker, group }),
                Ok(_) => return Err(io::Error::other("255 servers run on one worker: no more can")),
                Err(error) => return Err(io::Error::other(error)),
            }
            running.places = places.clone().into();
        }
        let mut listeners = self.listeners;
        for bound in &mut listeners {
            bound.open_others(self.settings.backlog).await?;
        }
        let mut loops = Vec::new();
        for (index, bound) in listeners.into_iter().enumerate() {
            let shared = bound.sockets.len() > 1;
            let mut path = bound.path;
            for (at, socket) in bound.sockets.into_iter().enumerate() {
                let place = match &socket {
                    Socket::Here(listener) => places.iter().find(|place| place.worker.0 == listener.raw.worker),
                    Socket::Anywhere(_) if shared => places.get(at % places.len()),
                    Socket::Anywhere(_) => places.get(index % places.len()),
                };
                let Some(place) = place else { return Err(here::elsewhere()) };
                // What an engine accepts stays with its worker.
                let alone = shared || matches!(socket, Socket::Here(_));
                let acceptor = Acceptor {
                    gate: Arc::clone(&self.gate),
                    index: index as u16,
                    mine: *place,
                    places: if alone { Arc::from([*place]) } else { Arc::clone(&running.places) },
                    round_robin: self.settings.spread == Spread::RoundRobin,
                    handler: handler.clone(),
                    reject: self.settings.reject.clone(),
                    leaves_queue: bound.adopted,
                };
                let path = path.take();
                loops.push(task::spawn_on(place.worker, move || async move {
                    let mut listener = match socket {
                        Socket::Anywhere(socket) => Listener::from_fd(socket)?,
                        Socket::Here(listener) => listener,
                    };
                    listener.set_path(path);
                    acceptor.run(listener).await
                }));
            }
        }
        let mut failed = None;
        for accepting in loops {
            match accepting.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed = Some(error),
                Err(error) => failed = Some(io::Error::other(error)),
            }
        }
        let aborted = running.drain(self.settings.drain).await;
        let served = Served { accepted: self.gate.accepted(), rejected: self.gate.rejected(), aborted };
        tracing::debug!(?served, "server ended");
        match failed {
            Some(error) => Err(error),
            None => Ok(served),
        }
    }
}

/// A server at work: dropped, it stops.
struct Running {
    gate: Arc<Gate>,
    places: Arc<[Place]>,
}

impl Running {
    /// Lets connections end until the deadline, then drops their handlers. How many those were.
    async fn drain(&mut self, deadline: Duration) -> usize {
        self.gate.stop();
        for place in self.places.iter() {
            task::call(place.worker.0, |core| core.wake_all());
        }
        let _ = time::timeout(deadline, self.empty()).await;
        let left = self.gate.live();
        if left > 0 {
            self.abort();
            // Dropping a handler takes a turn of its worker, unless that is blocked.
            let _ = time::timeout(Duration::from_secs(5), self.empty()).await;
        }
        left
    }

    async fn empty(&self) {
        std::future::poll_fn(|cx| {
            self.gate.watch(cx.waker());
            if self.gate.live() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn abort(&self) {
        for &place in self.places.iter() {
            task::call(place.worker.0, move |core| core.abort_group(place.group));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gate.stop();
        if self.gate.live() > 0 {
            self.abort();
        }
        for &place in self.places.iter() {
            task::call(place.worker.0, move |core| core.leave_group_when_empty(place.group));
        }
    }
}
