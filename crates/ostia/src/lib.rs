//! # Ostia: a runtime on a completion port
//!
//! Most runtimes ask the system which sockets are *ready* and then do the work themselves. Ostia posts the work and takes
//! what is *done*: each worker thread owns a completion port ([`ostia_port`]), on io_uring where the kernel has and allows
//! it and on epoll elsewhere, with the same meaning on both. On top of it stand tasks, timers, streams, files, signals and
//! a server loop, as ordinary async Rust:
//!
//! ```
//! use std::time::Duration;
//! use ostia::net::{TcpListener, TcpStream};
//! use ostia::time::timeout;
//!
//! ostia::block_on(async {
//!     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//!     let address = listener.local_addr()?;
//!     ostia::spawn(async move {
//!         let mut stream = listener.accept().await?;
//!         loop {
//!             let Some(chunk) = timeout(Duration::from_secs(30), stream.recv()).await?? else {
//!                 return std::io::Result::Ok(());
//!             };
//!             stream.send(chunk).await?;
//!         }
//!     })
//!     .detach();
//!
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.send("ahoy").await?;
//!     assert_eq!(stream.recv().await?.as_deref(), Some(&b"ahoy"[..]));
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! Four things are different here:
//!
//! * **Dropping a future loses nothing.** What a peer has sent belongs to the stream, an accepted connection to the
//!   listener. A `recv` or `accept` that is dropped by a time limit or a `select!` leaves the next one to find what came.
//!   Every async function says what being dropped means for it.
//! * **Idle connections are cheap.** They hold no buffer: [`recv`](net::Stream::recv) *lends* a [`Chunk`] of the worker's
//!   pool when something has come, and sending the chunk on copies nothing. A connection that waits under a time limit
//!   costs about 250 bytes, if its task is small: `let Some(chunk) = … else` keeps tasks smaller than `while let`, which
//!   keeps what was matched alive through its body.
//! * **Nothing is shared on the way of a request.** A task stays on its worker and need not be `Send`; no lock is taken and
//!   nothing is allocated per operation. Threads meet only where one wakes another's task.
//! * **Everything is accounted for.** A panic ends one task and comes out of its [`JoinHandle`]; [`Runtime::shutdown`]
//!   waits for all tasks until a deadline and says how many it had to drop; [`statistics`] counts per worker.
//!
//! [`serve::Server`] runs a handler per connection over all workers, with a cap, a pause when descriptors run out, and an
//! end that lets connections finish. `cargo run --example echo` is one.

pub mod adapt;
mod blocking;
mod carried;
pub mod codec;
mod counters;
pub mod fs;
mod here;
mod inbox;
mod join;
mod join_set;
pub mod net;
pub mod observe;
mod operation;
mod os;
mod paged;
pub mod process;
pub mod random;
mod runtime;
mod select;
pub mod serve;
pub mod signal;
mod surroundings;
pub mod sync;
mod task;
pub mod time;
mod worker;

pub use counters::{TaskStatistics, WorkerStatistics};
pub use join_set::{JoinSet, TaskKey};
pub use observe::named::{Named, TaskBuilder, named, spawn_named, task_name};
#[cfg(target_os = "linux")]
pub use ostia_port::why_not_uring;
pub use ostia_port::{
    Address, Buffer, Chunk, Config, DriverChoice, DriverKind, Faults, Features, Metadata, PoolConfig, Statistics, VirtualTime,
};
pub use runtime::{Builder, Runtime, Shutdown, WorkerId, block_on, statistics, workers};
pub use surroundings::Surroundings;
pub use task::{JoinError, JoinHandle, spawn, spawn_blocking, spawn_on, yield_now};

/// What the macros expand to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::join::Branch;
    pub use crate::select::first_branch;
}
