//! Linux's devices.

mod device;
mod host;
mod netlink;
mod packet;
mod sys;
mod tun;

pub use host::{holder_of, network_of};
pub use packet::Packet;
pub use tun::Tun;
