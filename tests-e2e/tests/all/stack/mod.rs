//! Ostia's own TCP/IP stack before real peers: the kernel's stack and the programs on it, over TUN, TAP and packet sockets.
//!
//! Every test is in a network namespace of its own, which goes away with it; see `stack::space`.

mod capture;
mod client;
mod conversations;
mod downloads;
mod ending;
mod flood;
mod forwarding;
mod idle;
mod leases;
mod links;
mod mistakes;
mod program;
mod scans;
mod space;
