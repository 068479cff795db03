//! Networking: listeners and streams over TCP and Unix sockets, datagrams and packets, names.
//!
//! [`Stream`] is any connected stream socket; [`TcpStream`] and [`UnixStream`] wrap it with what only they have. A stream
//! is a small handle: it can travel to another thread, but it works only on the worker that it belongs to
//! ([`Stream::detach`] moves it). What keeps boundaries has types of its own: [`UdpSocket`], [`UnixDatagram`],
//! [`UnixSeqpacket`].
//!
//! An [`Endpoint`] is an address as people write it. Names are resolved by a [`Network`]'s [`Resolver`]. Errors of connecting,
//! binding and sending name the address and a remedy: [`NetError::of`].

pub(crate) mod carrier;
mod connect;
mod datagram;
#[cfg(feature = "dns")]
mod dns;
mod echo;
mod endpoint;
mod failure;
pub(crate) mod halves;
pub(crate) mod listener;
mod message;
mod network;
#[cfg(windows)]
mod no_unix;
mod options;
pub(crate) mod raw;
mod resolver;
pub(crate) mod socket;
mod sockopt;
pub(crate) mod splice;
mod stream;
mod typed;
mod udp;
#[cfg(unix)]
mod unix;

#[cfg(windows)]
use no_unix as unix;

pub use connect::ConnectOptions;
#[cfg(feature = "dns")]
pub use dns::{Dns, DnsOptions};
pub use echo::{EchoReply, EchoSocket};
pub use endpoint::Endpoint;
pub use failure::{FailureKind, NetError};
pub use halves::{OwnedRecvHalf, OwnedSendHalf, RecvHalf, SendHalf};
pub use listener::{ListenOptions, Listener};
#[cfg(unix)]
pub use message::Credentials;
pub use message::{Ecn, Incoming, Outgoing};
pub use network::{Network, Scope};
pub use options::Keepalive;
pub use raw::{Recv, Send};
pub use resolver::{HostTable, Resolve, Resolver, Resolving};
pub use stream::{Detached, Stream};
pub use typed::{TcpListener, TcpStream};
pub use udp::{UdpOptions, UdpSocket};
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};
