//! A TCP/IP stack without I/O.
//!
//! Frames go in with the time at which they arrived, frames come out when asked for, and between the two there is neither
//! a socket nor a clock nor a thread: the same inputs give the same bytes on every platform.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod config;
mod counters;
mod datagram;
mod drops;
mod env;
mod error;
mod event;
mod handle;
mod ip;
mod memory;
mod mutation;
mod pool;
mod random;
#[cfg(test)]
mod scripts;
mod slab;
mod stack;
mod tcp;
mod time;
mod trace;
mod wheel;

pub use address::{Address, SocketAddress};
pub use config::{Backlog, Config, Profile};
pub use counters::Counters;
pub use datagram::{Datagram, Destination, Family, Options as DatagramOptions};
pub use drops::{Drops, Reason};
pub use error::Error;
pub use event::{Event, Kind};
pub use handle::{Handle, Socket};
pub use ip::{
    AddressOrigin, AddressState, LOOPBACK, Lease, LinkAddress, LinkConfig, LinkId, Medium, Neighbour, NeighbourState, Transmit,
};
pub use stack::Stack;
pub use tcp::{Hook, How, Incoming, Keepalive, Local, Options, Readiness, State, TcpInfo, Verdict};
pub use time::Instant;
pub use trace::{Cause, Direction, Layer, Step, Tracer};
