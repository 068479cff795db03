//! Networking: listeners and streams over TCP and Unix sockets.
//!
//! [`Stream`] is any connected stream socket; [`TcpStream`] and [`UnixStream`] wrap it with what only they have. A stream
//! is a small handle: it can travel to another thread, but it works only on the worker that it belongs to
//! ([`Stream::detach`] moves it).

mod endpoint;
mod halves;
pub(crate) mod listener;
mod options;
pub(crate) mod raw;
pub(crate) mod socket;
pub(crate) mod splice;
mod stream;
mod typed;

pub use endpoint::Endpoint;
pub use halves::{OwnedRecvHalf, OwnedSendHalf, RecvHalf, SendHalf};
pub use listener::{ListenOptions, Listener};
pub use options::Keepalive;
pub use raw::{Recv, Send};
pub use stream::{Detached, Stream};
pub use typed::{TcpListener, TcpStream, UnixListener, UnixStream};
