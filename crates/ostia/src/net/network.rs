//! A network as a value: what carries the bytes, and who knows its names.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ostia_port::Address;

use crate::net::{ConnectOptions, Endpoint, ListenOptions, Listener, Resolver, Stream, connect};

thread_local! {
    static CURRENT: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// A network: an engine that carries the bytes, and a resolver. The engine is the operating system's for now, which every
/// object of this module uses; the resolver is the network's own.
///
/// [`scope`](Self::scope) makes one the network of a future, and of every task and closure that it spawns, on whatever worker
/// or thread ([`spawn`](crate::spawn), [`spawn_on`](crate::spawn_on), [`spawn_blocking`](crate::spawn_blocking), a
/// [`JoinSet`](crate::JoinSet), the handlers of a [`Server`](crate::serve::Server)): calls there that take a name and no
/// network use its resolver. Tasks outside of any scope pay nothing for this; one in a scope is an allocation larger.
#[derive(Clone, Debug, Default)]
pub struct Network {
    resolver: Resolver,
}

impl Network {
    /// The operating system's network, with the host's resolver.
    #[must_use]
    pub fn kernel() -> Network {
        Network::default()
    }

    /// This network with another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Into<Resolver>) -> Network {
        self.resolver = resolver.into();
        self
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

    /// Makes this the network of a future while it is polled. Cancelling as for the future.
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope { network: Some(self.clone()), future }
    }

    /// The addresses behind an endpoint, in the resolver's order, at least one. Cancelled: as [`Resolver::resolve`].
    ///
    /// # Errors
    /// As there; for a path that is too long.
    pub async fn resolve(&self, endpoint: &Endpoint) -> io::Result<Vec<Address>> {
        match endpoint {
            Endpoint::Name(name, port) => Ok(self.resolver.resolve(name, *port).await?.into_iter().map(Address::from).collect()),
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

    /// Listens on the first address of an endpoint that can be bound, resolving without blocking. Cancelled: nothing is
    /// bound.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn listen(&self, endpoint: &Endpoint, options: ListenOptions) -> io::Result<Listener> {
        let addresses = self.resolve(endpoint).await?;
        Listener::bind_first(endpoint, addresses, options)
    }
}

/// Changes places with the network outside, at the beginning and at the end, unwinding too.
struct Inside<'a>(&'a mut Option<Network>);

impl<'a> Inside<'a> {
    fn new(network: &'a mut Option<Network>) -> Inside<'a> {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, network));
        Inside(network)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Network::scope`].
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Scope<F> {
        network: Option<Network>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = Inside::new(this.network);
        this.future.poll(cx)
    }
}
