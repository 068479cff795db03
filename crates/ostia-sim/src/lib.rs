//! Worlds: hosts with programs, joined by links that lose and delay, in virtual time, from one seed.
//!
//! What runs in a world is what runs outside: the runtime ([`ostia`]) with its tasks, streams and servers, on the production
//! TCP/IP stack ([`ostia_net`]), one for each host. Only what is beneath is simulated: the links between the hosts, and the
//! clock, which jumps to the next thing that is to happen. A world is run by one thread, and everything left to chance comes
//! from its seed; so the same seed gives the same world, frame by frame, on every machine and in every build. A world tells by
//! a [hash](Report::hash) over all that has happened in it whether that is so.
//!
//! ```
//! use std::time::Duration;
//! use ostia::net::{Stream, TcpListener};
//! use ostia_sim::{LinkConfig, World};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let run = |seed| {
//!     let mut world = World::new(seed);
//!     let slow = LinkConfig { delay: Duration::from_millis(20), loss: 0.1, ..LinkConfig::default() };
//!     let lan = world.link("lan", slow)?;
//!     let harbour = world.host("harbour", lan, &["10.0.0.1/24"])?;
//!     let ship = world.host("ship", lan, &["10.0.0.2/24"])?;
//!     world.service(harbour, "echo", |_| async {
//!         let mut listener = TcpListener::bind("10.0.0.1:7".parse().unwrap())?;
//!         let mut stream = listener.accept().await?;
//!         while let Some(chunk) = stream.recv().await? {
//!             stream.send(chunk).await?;
//!         }
//!         Ok(())
//!     });
//!     world.client(ship, "hail", |host| async move {
//!         let mut stream = Stream::connect(&"harbour:7".parse()?).await?;
//!         stream.send("ahoy").await?;
//!         let answer = stream.recv().await?.ok_or("no answer")?;
//!         host.note(&format!("{} bytes came back", answer.len()));
//!         Ok(())
//!     });
//!     world.run()
//! };
//! let (first, again, other) = (run(1)?, run(1)?, run(2)?);
//! assert!(first.succeeded());
//! assert_eq!(first.hash, again.hash);
//! assert_ne!(first.hash, other.hash);
//! # Ok(())
//! # }
//! ```
//!
//! Programs take the time from [`ostia::time`], randomness from [`ostia::random`], connections and names from [`ostia::net`]:
//! what they take from elsewhere is not in the world, and may differ from run to run. `HashMap`s of the standard library do:
//! they iterate in an order that the system's randomness gives. Test binaries built with the feature `guard` end with a message
//! when a program in a world reads the system's clock or its source of randomness by the C library, as the standard library does.
//! They don't see system calls that go past it (as those of `rustix`), /dev/urandom, nor threads that a program starts.
//!
//! Three things are not what they seem. An [`Instant`](std::time::Instant) of [`ostia::time`] is right beside others of its world, but
//! shows the machine's uptime when it is formatted or hashed. What a detached task returns is dropped outside of its world. And a
//! listener of the kernel's can be bound in a world, by who names that network.
//!
//! Not there yet: hosts that crash, restart or pause, clocks that are wrong, disks of hosts' own (files are the machine's), and
//! routers between links: a host is on one link.

mod capture;
#[cfg(all(feature = "guard", target_os = "linux", target_env = "gnu"))]
mod guard;
mod impair;
mod link;
mod mistake;
mod program;
mod random;
mod record;
mod report;
mod run;
mod segment;
mod station;
mod surroundings;
mod world;

pub use link::{Bursts, LinkConfig};
pub use mistake::Mistake;
pub use program::{Host, Outcome};
pub use record::{Note, Tally};
pub use report::{End, ProgramReport, Report, State};
pub use world::{HostId, LinkId, World};
