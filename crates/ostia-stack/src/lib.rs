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
mod counters;
mod drops;
mod error;
mod memory;
mod random;
mod slab;
mod time;
mod wheel;

pub use address::Address;
pub use counters::Counters;
pub use drops::{Drops, Reason};
pub use error::Error;
pub use time::Instant;
