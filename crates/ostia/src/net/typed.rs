//! TCP sockets by name, and how that is done: what only they have, around what all streams have.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

use ostia_port::Address;

use crate::net::{Endpoint, ListenOptions, Listener, Stream};

/// A type around one that does all of the work.
macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident: $inner:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub(super) $inner);

        impl $name {
            /// What is inside, for its methods that consume it.
            #[must_use]
            pub fn into_inner(self) -> $inner {
                self.0
            }

            #[doc = concat!("Closes it and waits until that is done: see [`", stringify!($inner), "::close`]. Cancelling as")]
            #[doc = "there."]
            ///
            /// # Errors
            /// As there.
            pub async fn close(self) -> io::Result<()> {
                self.0.close().await
            }
        }

        impl Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }

        impl From<$name> for $inner {
            fn from(whole: $name) -> $inner {
                whole.0
            }
        }
    };
}

#[cfg(unix)]
pub(super) use wrapper;

wrapper! {
    /// A TCP connection: a [`Stream`] whose addresses are IP addresses.
    TcpStream: Stream
}

wrapper! {
    /// A listening TCP socket.
    TcpListener: Listener
}

fn ip(address: Address) -> io::Result<SocketAddr> {
    address.ip().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an IP address"))
}

impl TcpStream {
    /// Connects. Cancelled: the attempt is given up and its socket closed.
    ///
    /// # Errors
    /// As connect(2); a [`NetError`](crate::net::NetError).
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        Stream::connect_address(Address::from(address)).await.map(TcpStream)
    }

    /// Takes over a connection of the standard library's, for this worker.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        Stream::from_fd(stream).map(TcpStream)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// ENOTCONN; on another worker.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().and_then(ip)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().and_then(ip)
    }
}

impl TcpListener {
    /// Listens on an address.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind_with(address, ListenOptions::default())
    }

    /// Listens on an address, with options.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_with(address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
        Listener::bind_with(&Endpoint::Ip(address), options).map(TcpListener)
    }

    /// Takes the next connection. Cancel safe.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub async fn accept(&mut self) -> io::Result<TcpStream> {
        self.0.accept().await.map(TcpStream)
    }

    /// As [`accept`](Self::accept), for futures written by hand.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.0.poll_accept(cx).map_ok(TcpStream)
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().and_then(ip)
    }
}
