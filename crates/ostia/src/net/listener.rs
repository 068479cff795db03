//! Listening sockets: what is accepted belongs to them until somebody takes it.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::task::{Context, Poll};

use ostia_port::os::OwnedFd;
use ostia_port::{Address, Kind, SocketSpec};

use crate::here;
use crate::net::carrier::Carrier;
use crate::net::failure::naming;
use crate::net::raw::Raw;
use crate::net::socket::{self, Listening};
use crate::net::{Endpoint, Network, Stream, unix};
use crate::worker::Side;

/// How a listening socket is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// How many connections the kernel keeps that nobody has accepted yet; it bounds this by `net.core.somaxconn`.
    /// Default 4,096.
    pub backlog: u32,
    /// Whether several sockets may listen on the same port, the kernel spreading connections over them (SO_REUSEPORT). Windows
    /// has no such thing: Unsupported. Default no.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions { backlog: 4096, reuse_port: false }
    }
}

/// A connection that has been accepted and has no worker yet.
pub(crate) enum Arrived {
    /// Any worker can have it.
    Anywhere(OwnedFd),
    /// It is an engine's, and of this worker.
    Here(Stream),
}

impl Arrived {
    /// Makes it a stream of the current worker.
    pub(crate) fn settle(self) -> io::Result<Stream> {
        match self {
            Arrived::Anywhere(socket) => Stream::adopt(socket),
            Arrived::Here(stream) => Ok(stream),
        }
    }
}

/// A listening socket, TCP or Unix. SO_REUSEADDR is set, on Windows SO_EXCLUSIVEADDRUSE, which comes to the same there; IPv6 sockets
/// take IPv6 only.
///
/// Connections are accepted ahead of being asked for, up to the port's [`accepted_max`](crate::Config::accepted_max),
/// and belong to the listener: dropping an [`accept`](Self::accept) loses none. Dropping the listener closes it and what
/// it has accepted; a Unix socket's path is removed.
#[derive(Debug)]
pub struct Listener {
    pub(crate) raw: Raw,
    path: Option<Box<PathBuf>>,
}

impl Listener {
    /// Listens on the first address of an endpoint that can be bound. Resolving a name blocks.
    ///
    /// # Errors
    /// As bind(2) and listen(2): address in use, not local, no permission; a [`NetError`](crate::net::NetError). Outside of
    /// a runtime.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Listener> {
        Listener::bind_with(endpoint, ListenOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`.
    pub fn bind_with(endpoint: &Endpoint, options: ListenOptions) -> io::Result<Listener> {
        Listener::bind_first(Network::current().carrier, endpoint, endpoint.resolve()?, options)
    }

    /// Listens on the first of an endpoint's addresses that can be bound.
    pub(crate) fn bind_first(
        carrier: Carrier,
        endpoint: &Endpoint,
        addresses: Vec<Address>,
        options: ListenOptions,
    ) -> io::Result<Listener> {
        if carrier != Carrier::Kernel && !endpoint.is_unix() {
            return Listener::bind_on(carrier, addresses, options).map_err(|error| naming("listen on", endpoint, error));
        }
        let (socket, path) = bind_any(addresses, options).map_err(|error| naming("listen on", endpoint, error))?;
        let mut listener = Listener::from_fd(socket)?;
        listener.path = path.map(Box::new);
        Ok(listener)
    }

    /// Listens on the first of these addresses that an engine has.
    fn bind_on(carrier: Carrier, addresses: Vec<Address>, options: ListenOptions) -> io::Result<Listener> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for local in addresses.iter().filter_map(Address::ip) {
            match carrier.open(SocketSpec::Listener { local, backlog: options.backlog, reuse_port: options.reuse_port }) {
                Ok(Some(raw)) => return Ok(Listener { raw, path: None }),
                Ok(None) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Takes over a socket that listens already.
    ///
    /// # Errors
    /// InvalidInput if it does not listen, or for packets; outside of a runtime.
    pub fn from_fd(socket: impl Into<OwnedFd>) -> io::Result<Listener> {
        let socket = socket.into();
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening socket"));
        }
        if rustix::net::sockopt::socket_type(&socket)? != rustix::net::SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what it accepts are not streams"));
        }
        here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(socket, Kind::Listener, 0);
            Listener { raw: Raw { worker: core.id, handle }, path: None }
        })
        .ok_or_else(here::elsewhere)
    }

    /// Takes the next connection. Cancel safe: a connection that arrives after the drop waits for the next call.
    ///
    /// # Errors
    /// As accept(2), once each. EMFILE, ENFILE, ENOBUFS and ENOMEM are worth a pause: the connection waits in the kernel,
    /// and the next call tries again. Others leave the listener as it is.
    pub fn accept(&mut self) -> impl Future<Output = io::Result<Stream>> + use<'_> {
        std::future::poll_fn(move |cx| self.poll_accept(cx))
    }

    /// As [`accept`](Self::accept), for futures written by hand.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let Raw { worker, handle } = self.raw;
        here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Receive, |port, context| port.poll_accept(handle, context))
        })
        .map_ok(|handle| Stream::from_raw(Raw { worker, handle }))
    }

    /// As `poll_accept`, for a connection that another worker may serve.
    pub(crate) fn poll_accept_any(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let Raw { worker, handle } = self.raw;
        if self.raw.is_engines() {
            return self.poll_accept(cx).map_ok(Arrived::Here);
        }
        here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Receive, |port, context| port.poll_accept_fd(handle, context))
        })
        .map_ok(|accepted| Arrived::Anywhere(accepted.into()))
    }

    /// The path to be removed at the end.
    pub(crate) fn set_path(&mut self, path: Option<PathBuf>) {
        self.path = path.map(Box::new);
    }

    /// Takes what the kernel still has in the accept queue, at once; for a listener that is about to be closed.
    pub(crate) fn drain(&mut self) -> Vec<OwnedFd> {
        self.raw.descriptor(socket::drain).unwrap_or_default()
    }

    /// Closes the listener and waits until the descriptor is closed: then the address can be bound again. (Other sockets
    /// that listen on it, and other holders of this socket, keep it.) A Unix socket's path is removed first.
    ///
    /// Connections that were accepted ahead and not taken are closed, those that nobody has accepted are reset by the
    /// kernel. To serve them all, [`accept`](Self::accept) until it has to wait before closing.
    ///
    /// Cancelled: the closing goes on; before the first poll, as dropping the listener.
    ///
    /// # Errors
    /// As close(2); on another worker, where it is closed at home without being waited for.
    pub async fn close(mut self) -> io::Result<()> {
        self.remove_path();
        self.raw.closed().await
    }

    /// Removes the path before the socket goes: afterwards it might be somebody else's.
    fn remove_path(&mut self) {
        if let Some(path) = self.path.take() {
            // Somebody may have removed or replaced it: that is theirs to do.
            let _ = std::fs::remove_file(&**path);
        }
    }

    /// The address that it listens on; with port 0 asked for, the port that the kernel has chosen.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.raw.local()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove_path();
        self.raw.close();
    }
}

/// A listening socket for an endpoint, and the path to be removed at its end.
pub(crate) fn bind_socket(endpoint: &Endpoint, options: ListenOptions) -> io::Result<(OwnedFd, Option<PathBuf>)> {
    bind_any(endpoint.resolve()?, options)
}

fn bind_any(addresses: Vec<Address>, options: ListenOptions) -> io::Result<(OwnedFd, Option<PathBuf>)> {
    let how = Listening { backlog: options.backlog, reuse_port: options.reuse_port };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match socket::listening(&address, how) {
            Ok(socket) => return Ok((socket, unix::path_of(&address))),
            Err(error) => last = error,
        }
    }
    Err(last)
}
