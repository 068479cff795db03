//! Ostia's TCP/IP stack as a library that packetdrill loads (`--so_filename`), in place of the kernel's.
//!
//! The tool calls [`packetdrill_interface_init`] once and gets a table of functions: the socket calls, a link on which it puts
//! packets in and takes them out, and a clock. What it asks libc about descriptors of this library (`TCP_INFO`, `SO_MEMINFO`) is
//! answered too, if the same file is loaded before libc (`LD_PRELOAD`). README.md of this crate's folder says how to run it.
//!
//! Linux alone: elsewhere there is nothing in this crate.
#![cfg(target_os = "linux")]

mod chatter;
mod flags;
mod learn;
mod own;
#[cfg(not(test))]
mod preload;
mod table;

pub use table::{Interface, packetdrill_interface_init};
