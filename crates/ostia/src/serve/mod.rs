//! Serving: one call runs an async handler per connection, over all workers.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let mut runtime = ostia::Runtime::builder().build()?;
//! runtime.block_on(async {
//!     let server = ostia::serve::Server::builder()
//!         .listen("127.0.0.1:7000".parse().expect("an address"))
//!         .max_connections(10_000)
//!         .build()?;
//!     let handle = server.handle();
//!     ostia::spawn(async move {
//!         ostia::signal::terminate().await;
//!         handle.stop();
//!     })
//!     .detach();
//!     server
//!         .run(|mut stream: ostia::net::Stream, _peer| async move {
//!             loop {
//!                 let Some(chunk) = stream.recv().await? else { return std::io::Result::Ok(()) };
//!                 stream.send(chunk).await?;
//!             }
//!         })
//!         .await?;
//!     Ok(())
//! })
//! # }
//! ```

mod accept;
pub(crate) mod gate;
mod server;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ostia_port::Address;

use crate::here;
use crate::net::Stream;
use crate::net::raw::Raw;

pub use server::{Served, Server, ServerBuilder, ServerHandle};

/// How connections come to the workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Spread {
    /// Each worker has a listening socket of its own on the same port, and the kernel spreads connections over them by
    /// their addresses (SO_REUSEPORT). Unix sockets can't do that, nor do other systems than Linux: there
    /// [`LeastLoaded`](Self::LeastLoaded) holds.
    #[default]
    ReusePort,
    /// One worker accepts and hands each connection to the worker that has the fewest.
    LeastLoaded,
    /// One worker accepts and hands connections out in turn.
    RoundRobin,
}

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    raw: Raw,
    listener: u16,
}

impl Peer {
    pub(crate) fn new(stream: &Stream, listener: u16) -> Peer {
        Peer { raw: stream.raw, listener }
    }

    /// The address of the other end: asked of the system each time, on the connection's worker, while it is open.
    ///
    /// # Errors
    /// ENOTCONN if it has gone; EBADF when it is closed.
    pub fn address(&self) -> io::Result<Address> {
        self.raw.peer()
    }

    /// Which of the server's endpoints it came in by, counted from 0 in the order of
    /// [`ServerBuilder::listen`].
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener.into()
    }
}

/// The server is being stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopping;

impl fmt::Display for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is being stopped")
    }
}

impl std::error::Error for Stopping {}

impl From<Stopping> for io::Error {
    fn from(stopping: Stopping) -> io::Error {
        io::Error::other(stopping)
    }
}

/// Whether the server that the current task's connection belongs to is being stopped.
#[must_use]
pub fn is_stopping() -> bool {
    here::with(|core| core.current_stopping()).unwrap_or(false)
}

/// Awaits `future` in a connection's handler, but no longer than until the server is being stopped: where a connection
/// is idle, this is how it comes to end. Costs nothing but a look at a flag at each poll.
///
/// To be awaited in the handler itself, not in a task that it spawns. Cancel safe if `future` is.
pub fn until_stop<F: Future>(future: F) -> UntilStop<F> {
    UntilStop { future }
}

pin_project_lite::pin_project! {
    /// The future of [`until_stop`].
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct UntilStop<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for UntilStop<F> {
    type Output = Result<F::Output, Stopping>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if is_stopping() => Poll::Ready(Err(Stopping)),
            Poll::Pending => Poll::Pending,
        }
    }
}
