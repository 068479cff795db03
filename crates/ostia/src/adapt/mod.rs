//! Streams with the faces that other libraries know: `futures-io`, `tokio::io` and `hyper::rt`. And what comes one by one
//! (messages, connections, ticks, frames) as a `futures_core::Stream`.
//!
//! Those traits read into a borrowed buffer and write from one; a completion port lends its buffers and takes over what it
//! sends. [`Io`] stands between: it copies out of the lent chunk, and copies what is written into the send queue.
//! Where a library can do without the first copy, the chunk itself is there (`AsyncBufRead`).
//!
//! ```
//! use futures_util::{AsyncBufReadExt, AsyncWriteExt};
//! use ostia::adapt::Io;
//! # #[cfg(unix)]
//! use ostia::net::UnixStream;
//!
//! # #[cfg(unix)]
//! ostia::block_on(async {
//!     let (one, other) = UnixStream::pair()?;
//!     let (mut one, mut other) = (Io::new(one), Io::new(other));
//!     one.write_all(b"ahoy\nthere\n").await?;
//!     let mut line = String::new();
//!     other.read_line(&mut line).await?;
//!     assert_eq!(line, "ahoy\n");
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! **Dropped futures lose nothing.** What has arrived stays with the `Io`, and with the stream that
//! [`into_inner`](Io::into_inner) gives back; a write that is pending has taken nothing. That holds for the traits' own
//! methods; a combinator that gathers bytes in its own future (`read_exact`, `read_line` into a string, `copy`) loses what it
//! has gathered, as it does in every runtime.

#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "hyper")]
mod hyper;
mod io;
#[cfg(feature = "futures")]
mod stream;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "hyper")]
pub use hyper::{HyperTimer, LocalExecutor};
pub use io::{Io, Receiving, Sending};
