//! POSIX sockets over a TCP/IP stack that lives in this process, with Linux's semantics, masks and errors.
//!
//! A [`World`] is one host: a [`Stack`](ostia_stack::Stack) behind a mutex, its sockets under descriptors, and a link on which
//! whoever embeds it puts raw IP packets in ([`World::inject`]) and takes them out ([`World::take_packet`]). Its methods are the
//! calls of sockets(7) with slices for pointers and [`Errno`] for `errno`; [`c`] has the same with pointers, for C. A call that
//! blocks sleeps; whatever arrives, or becomes due, wakes it.
//!
//! Linux alone: elsewhere there is nothing in this crate.
#![cfg(target_os = "linux")]

mod address;
pub mod c;
mod clock;
mod connect;
mod control;
mod core;
mod datagram;
mod descriptors;
mod epoll;
mod errno;
mod info;
mod ledger;
mod listen;
mod messages;
mod options;
mod poll;
mod ports;
mod readiness;
mod settings;
mod socket;
mod stream;
mod world;

pub use address::Sockaddr;
pub use clock::{Clock, SystemClock};
pub use epoll::EpollEvent;
pub use errno::Errno;
pub use messages::Received;
pub use poll::PollFd;
pub use world::{Packet, Setup, World};
