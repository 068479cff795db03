//! The network layer as a whole: frames in, frames out.

mod configure;
mod forwarding;
mod icmp;
mod incoming;
mod neighbours;
mod outgoing;
mod redirects;
mod robustness;
mod selection;
