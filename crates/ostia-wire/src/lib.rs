//! The formats of TCP/IP.
//!
//! Parsers are views that borrow the bytes and read no field before its place is known to be there: no input makes one panic.
//! Each has its counterpart that writes: a plain structure with the fields, and `emit`, which panics only where a caller hands
//! it a buffer too small or values that have no encoding. Checksums are checked where the caller asks, for a device may have
//! done so before. What belongs to a protocol beyond its format, such as the hop limit that neighbour discovery must have, is
//! the user's to check.
//!
//! No clock, no socket, no thread; `no_std` with `alloc`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
mod coalesce;
pub mod dhcpv4;
pub mod dhcpv4_options;
pub mod ethernet;
mod frame;
pub mod groups;
mod icmp;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv4_options;
pub mod ipv6;
pub mod ipv6_extensions;
mod malformed;
pub mod mld;
pub mod ndp;
pub mod ndp_options;
pub mod pcapng;
pub mod protocol;
mod quote;
mod segment;
pub mod tcp;
mod tcp_flags;
pub mod tcp_options;
pub mod udp;
mod writer;

pub use arp::Arp;
pub use coalesce::Coalescer;
pub use dhcpv4::{Dhcp, DhcpEmit};
pub use dhcpv4_options::{ClasslessRoute, DhcpOption, MessageType};
pub use ethernet::{EtherType, Ethernet, MacAddr, Vlan};
pub use frame::{Checksum, Frame, Meta};
pub use groups::RecordMode;
pub use icmpv4::{Icmpv4, Icmpv4Emit, Icmpv4Message};
pub use icmpv6::{Icmpv6, Icmpv6Emit, Icmpv6Message};
pub use igmp::{IgmpEmit, IgmpMessage, IgmpQuery, IgmpRecord};
pub use ipv4::{Ipv4, Ipv4Emit};
pub use ipv4_options::{Ipv4Option, Ipv4Options};
pub use ipv6::{Ipv6, Ipv6Emit};
pub use ipv6_extensions::{Fragment, Problem, Upper};
pub use malformed::Malformed;
pub use mld::{MldEmit, MldMessage, MldQuery, MldRecord};
pub use ndp::{NdpMessage, Preference, RouterAdvertisement};
pub use ndp_options::{NdpOption, NdpOptions, PrefixInformation, RouteInformation};
pub use quote::Quote;
pub use segment::segment;
pub use tcp::{Tcp, TcpEmit};
pub use tcp_flags::Flags;
pub use tcp_options::{Cookie, OptionIter, OptionOrder, SackBlocks, TcpOption, TcpOptions, Timestamps};
pub use udp::Udp;
