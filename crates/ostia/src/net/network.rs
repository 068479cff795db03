//! A network as a value: what carries the bytes, and who knows its names.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ostia_port::{Address, Engine};

use crate::net::carrier::Carrier;
use crate::net::{ConnectOptions, Endpoint, ListenOptions, Listener, Resolver, Stream, UdpOptions, UdpSocket, connect};
use crate::surroundings::Surroundings;

thread_local! {
    static CURRENT: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// A network: who carries the bytes, and who knows the names. Bytes are carried by the [operating system](Self::kernel), or by
/// an [engine](Self::of_engine) such as a TCP/IP stack of the program's own; objects remember which, and are used alike.
///
/// [`scope`](Self::scope) makes one the network of a future, and of every task and closure that it spawns, on whatever worker
/// or thread ([`spawn`](crate::spawn), [`spawn_on`](crate::spawn_on), [`spawn_blocking`](crate::spawn_blocking), a
/// [`JoinSet`](crate::JoinSet), the handlers of a [`Server`](crate::serve::Server)): calls there that take a name and no
/// network use its resolver. Tasks outside of any scope pay nothing for this; one in a scope is an allocation larger.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub(crate) carrier: Carrier,
    resolver: Resolver,
    surroundings: Option<Arc<dyn Surroundings>>,
}

impl Network {
    /// The operating system's network, with the host's resolver.
    #[must_use]
    pub fn kernel() -> Network {
        Network::default()
    }

    /// The network of an engine, which the current worker's port drives from now on, to the port's end. Other workers of the
    /// runtime use it by [branches](Engine::branch): what their sockets send and receive goes through this worker by messages, and
    /// to open one that is no stream keeps the asking worker until this one's next turn (5 s at most, and the whole time if both
    /// ask each other). Where an engine has no branches, calls on other workers fail and say so. Names are resolved by the host,
    /// until there is [another resolver](Self::with_resolver).
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn of_engine(engine: Box<dyn Engine>) -> io::Result<Network> {
        Ok(Network { carrier: Carrier::of(engine)?, ..Network::default() })
    }

    /// Calls `f` with the engine that carries the bytes, to look at it or to change it.
    ///
    /// # Errors
    /// InvalidInput if the operating system does; on another worker than the engine's.
    pub fn with_engine<R>(&self, f: impl FnOnce(&mut dyn Engine) -> R) -> io::Result<R> {
        self.carrier.with(f)
    }

    /// Whether an engine carries the bytes, which lives on one worker.
    #[must_use]
    pub fn is_engines(&self) -> bool {
        self.carrier != Carrier::Kernel
    }

    /// This network with another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Into<Resolver>) -> Network {
        self.resolver = resolver.into();
        self
    }

    /// This network with surroundings of its own: in its [`scope`](Self::scope), [`time::wall`](crate::time::wall) and
    /// [`random`](crate::random) ask these and not the system.
    #[must_use]
    pub fn with_surroundings(mut self, surroundings: Arc<dyn Surroundings>) -> Network {
        self.surroundings = Some(surroundings);
        self
    }

    /// The surroundings of the innermost scope around the caller, if it has any.
    pub(crate) fn surroundings() -> Option<Arc<dyn Surroundings>> {
        CURRENT.with_borrow(|current| current.as_ref().and_then(|network| network.surroundings.clone()))
    }

    /// The network of the innermost [`scope`](Self::scope) around the caller; [`kernel`](Self::kernel) outside of any.
    #[must_use]
    pub fn current() -> Network {
        CURRENT.with_borrow(|current| current.clone()).unwrap_or_default()
    }

    /// The network of the innermost scope around the caller, if there is one, for what the caller starts.
    pub(crate) fn inherited() -> Option<Network> {
        CURRENT.with_borrow(Option::clone)
    }

    /// Runs a closure with this as its network.
    pub(crate) fn within<T>(self, work: impl FnOnce() -> T) -> T {
        let mut network = Some(self);
        let _inside = Inside::new(&mut network);
        work()
    }

    /// Who knows this network's names.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Makes this the network of a future while it is polled, and while it is dropped. Cancelling as for the future.
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope { network: Some(self.clone()), future: Some(future) }
    }

    /// The addresses behind an endpoint, in the resolver's order, at least one. Cancelled: as [`Resolver::resolve`].
    ///
    /// # Errors
    /// As there; for a path that is too long.
    pub async fn resolve(&self, endpoint: &Endpoint) -> io::Result<Vec<Address>> {
        match endpoint {
            Endpoint::Name(name, port) => {
                let resolving = self.resolver.resolve(name, *port);
                // What a program brings may ask others, and by this network, not by the caller's.
                let found = match self.resolver {
                    Resolver::Custom(_) => self.scope(resolving).await?,
                    _ => resolving.await?,
                };
                Ok(found.into_iter().map(Address::from).collect())
            }
            _ => endpoint.resolve(),
        }
    }

    /// As [`Stream::connect`] on this network. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(&self, endpoint: &Endpoint) -> io::Result<Stream> {
        self.connect_with(endpoint, ConnectOptions::default()).await
    }

    /// As [`Stream::connect_with`] on this network. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with(&self, endpoint: &Endpoint, options: ConnectOptions) -> io::Result<Stream> {
        connect::connect(self, endpoint, options).await
    }

    /// As [`UdpSocket::bind_with`] on this network.
    ///
    /// # Errors
    /// As there.
    pub fn bind_datagrams(&self, address: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
        UdpSocket::bind_on(self.carrier, address, options)
    }

    /// Listens on the first address of an endpoint that can be bound, resolving without blocking. Cancelled: nothing is
    /// bound.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn listen(&self, endpoint: &Endpoint, options: ListenOptions) -> io::Result<Listener> {
        let addresses = self.resolve(endpoint).await?;
        Listener::bind_first(self.carrier, endpoint, addresses, options)
    }
}

/// Changes places with the network outside, at the beginning and at the end, unwinding too.
struct Inside<'a>(&'a mut Option<Network>);

impl<'a> Inside<'a> {
    fn new(network: &'a mut Option<Network>) -> Inside<'a> {
        exchange(network);
        Inside(network)
    }
}

fn exchange(network: &mut Option<Network>) {
    // At the end of a thread, when futures that it has kept are dropped, nobody is outside any more.
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), network));
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        exchange(self.0);
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Network::scope`].
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Scope<F> {
        network: Option<Network>,
        // None at the end, for it is to be dropped inside too.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = Inside::new(this.network);
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = Inside::new(this.network);
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}
