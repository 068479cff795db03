//! # A completion port for networks
//!
//! With readiness you are told that you *could* read; with completion you are told that it *has been read*. You post an
//! operation together with the buffer it needs, go on working, and take its completion out of one queue. Windows has
//! taught this as I/O completion ports since 1994; Linux can do it with io_uring. This crate is that queue, the same on
//! io_uring and on epoll, without an async runtime.
//!
//! A [`Port`] belongs to one thread. It adopts descriptors as [`Handle`]s, takes operations ([`Op`]) and hands out
//! [`Completion`]s. Three rules make it safe and simple:
//!
//! * **An operation owns its buffer** until its completion has been taken. Cancelling asks; it never frees. Dropping the
//!   port cancels everything and waits until the kernel is done with every byte.
//! * **What has arrived belongs to the handle**, not to the operation that asked for it: cancel a receive or an accept
//!   when you like, the next one finds the bytes or the connection.
//! * **Nothing is refused and nothing is lost**: full queues, dry pools and cancelled cancels are the port's business.
//!
//! A port that many threads wait on, as on Windows, is [`SharedPort`]; its page is [`shared`].
//!
//! An echo server:
//!
//! ```no_run
//! use ostia_port::{Handle, Op, Payload, Port};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut port = Port::new()?;
//! let listener = port.adopt(std::net::TcpListener::bind("127.0.0.1:7000")?, 0)?;
//! port.submit(Op::AcceptMulti { listener }, 0);
//! loop {
//!     port.wait(None)?;
//!     while let Some(done) = port.next() {
//!         let socket = Handle::from_bits(done.context);
//!         match done.payload {
//!             Payload::Handle(socket) => drop(port.submit(Op::Recv { socket }, socket.to_bits())),
//!             Payload::Chunk(chunk) => drop(port.submit(Op::Send { socket, data: chunk.into() }, done.context)),
//!             Payload::Buffer(_) if done.result.is_ok() => drop(port.submit(Op::Recv { socket }, done.context)),
//!             _ => port.close(socket),
//!         }
//!     }
//! }
//! # }
//! ```

// What only io_uring asks for has no caller elsewhere.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod address;
mod bell;
mod buffer;
mod chunk;
mod clock;
mod completion;
mod config;
mod counters;
mod driver;
mod engine;
mod features;
mod handle;
mod jobs;
mod message;
mod op;
pub mod os;
mod pool;
mod port;
mod remote;
pub mod shared;
mod slab;
mod slot;
mod sys;
mod tag;
mod virtual_time;
mod wheel;

pub use address::Address;
pub use buffer::Buffer;
pub use chunk::Chunk;
pub use completion::{Completion, Metadata, Payload};
pub use config::{Config, DriverChoice, DriverKind};
pub use counters::Statistics;
pub use driver::Faults;
#[cfg(target_os = "linux")]
pub use driver::why_not_uring;
pub use engine::{Datagram, Engine, EngineId, OptionName, SocketId, SocketOption, SocketSpec, Spare, Turned, Woken};
pub use features::Features;
pub use handle::{Handle, Kind};
pub use message::Message;
pub use op::{Op, OpId};
pub use os::child::reap;
pub use os::open::OpenHow;
pub use pool::PoolConfig;
pub use port::{Accepted, Arrival, LENT_MAX, Port, leaked_requests};
pub use remote::{Packet, Remote};
pub use shared::{Load, PoolReport, PortEnded, Refused, SharedConfig, SharedPort, ThreadPool, ThreadPoolConfig};
pub use virtual_time::VirtualTime;
pub use wheel::{TimerKey, Wheel};
