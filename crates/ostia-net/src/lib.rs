//! A TCP/IP stack as an engine of a completion port.
//!
//! A [`StackEngine`] is an [`ostia_stack::Stack`] with the [`ostia_link::Link`] that joins it to the world. Added to a port
//! ([`ostia_port::Port::add_engine`]) its sockets are handles like the kernel's: the same operations, the same completions,
//! the same queue. It has no thread and no clock; the port waits for the link with everything else, and drives it.
//!
//! ```
//! use ostia_link::{MemoryConfig, memory};
//! use ostia_net::{NetConfig, StackEngine};
//! use ostia_port::{Port, SocketSpec};
//!
//! # fn main() -> std::io::Result<()> {
//! let (link, _other_end) = memory::pair(&MemoryConfig::default());
//! let config = NetConfig::new([1; 32]).with_address("10.7.0.2".parse().unwrap(), 24);
//! let mut port = Port::new()?;
//! let network = port.add_engine(Box::new(StackEngine::new(Box::new(link), &config)?));
//! let local = "10.7.0.2:80".parse().unwrap();
//! let listener = port.open_socket(network, SocketSpec::Listener { local, backlog: 128, reuse_port: false }, 0)?;
//! assert_eq!(port.local_addr(listener)?.ip(), Some(local));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod branch;
mod calls;
mod config;
mod engine;
mod error;
mod groups;
mod options;
mod overview;
mod sockets;

pub use config::NetConfig;
pub use engine::{StackEngine, Timeliness};
pub use ostia_stack::AddressState;
pub use overview::{LinkView, Overview, Protocol, SocketView};
