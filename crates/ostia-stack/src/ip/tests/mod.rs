//! The network layer as a whole: frames in, frames out.

mod icmp;
mod incoming;
mod outgoing;
