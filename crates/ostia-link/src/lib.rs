//! Links: what joins a TCP/IP stack of one's own to the world.
//!
//! A [`Link`] takes frames from a device and gives it frames, with what the device says about them: checksums that are partial,
//! super-segments that stand for many packets. It never waits and has no thread: who uses it polls its descriptor, or hangs
//! a callback on a link in memory, and then asks.
//!
//! | link | carries | from |
//! |---|---|---|
//! | [`Tun`], kind [`TunKind::Tun`] | IP packets | the kernel of this host, point to point |
//! | [`Tun`], kind [`TunKind::Tap`] | Ethernet frames | the kernel of this host, or a bridge |
//! | [`Packet`] | Ethernet frames | a network interface that is there already |
//! | [`Memory`] | either | the other end, in the same program |
//! | [`Captured`] | what the link inside carries | that link, writing a pcapng file beside |
//!
//! Devices are Linux's; on other systems opening one is [`Error::Unsupported`], and the rest works as it does on Linux.
//!
//! ```
//! use ostia_link::{Link, MemoryConfig, memory};
//! use ostia_wire::Frame;
//!
//! let (mut here, mut there) = memory::pair(&MemoryConfig::default());
//! assert!(here.transmit(&Frame::from_slice(b"a packet"))?);
//! let mut frame = Frame::new(there.facts().frame_room());
//! assert!(there.receive(&mut frame)?);
//! assert_eq!(frame.as_slice(), b"a packet");
//! # Ok::<(), std::io::Error>(())
//! ```

mod capture;
mod config;
mod error;
mod facts;
mod link;
pub mod memory;
mod software;
pub mod vnet;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

pub use capture::{Capture, CaptureOptions, Captured, Report, WallClock};
pub use config::{HostAddress, HostSide, Offload, PacketConfig, Route, TunConfig, TunKind, same_network};
pub use error::Error;
pub use facts::{Dropped, Facts, Medium, Statistics, Traffic};
pub use link::{Descriptor, Link, Wake};
#[cfg(target_os = "linux")]
pub use linux::{Packet, Tun, holder_of, network_of};
pub use memory::{Memory, MemoryConfig};
#[cfg(not(target_os = "linux"))]
pub use other::{Packet, Tun, holder_of, network_of};
