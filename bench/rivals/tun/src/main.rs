//! Servers over a TUN device, for a client of the kernel's: one port takes whatever comes, one sends as long as anybody
//! reads, one sends back.
//!
//! The first argument says whose stack serves: `ostia`, `smoltcp`, or `swap`, which has none: it sends every packet back with
//! addresses and ports changed over, the least that any answer over TUN can cost; or `poll`, `multishot`, `multishot-copied`, which only
//! read what comes, each in its way.

mod on_ostia;
mod on_smoltcp;
mod reading;
mod swap;

use std::error::Error;
use std::net::Ipv4Addr;

use reading::Way;

/// What ends the program early.
pub type Failure = Box<dyn Error>;

/// Takes whatever comes.
pub const SINK: u16 = 5001;
/// Sends as long as anybody reads.
pub const SOURCE: u16 = 5002;
/// Sends back what comes.
pub const ECHO: u16 = 7;

/// How it is set up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The device's name.
    pub name: String,
    /// The server's address; the kernel's is the one below.
    pub address: Ipv4Addr,
    pub mtu: u32,
    /// Whether super-segments may cross the device.
    pub offload: bool,
}

impl Plan {
    /// The kernel's side.
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) - 1)
    }

    /// The device as Ostia opens it, for all of them: made and set up.
    pub fn open(&self) -> Result<ostia_link::Tun, Failure> {
        let mut config = ostia_link::TunConfig { name: self.name.clone(), mtu: Some(self.mtu), ..Default::default() };
        config.offload = if self.offload { ostia_link::Offload::On } else { ostia_link::Offload::Off };
        config.host.addresses.push(format!("{}/24", self.host()).parse()?);
        Ok(ostia_link::Tun::open(&config)?)
    }
}

/// Binds the calling thread to a processor.
fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is an empty set; CPU_SET checks its bound, and the kernel only reads the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

fn main() -> Result<(), Failure> {
    use lexopt::prelude::*;
    let mut whose = String::new();
    let mut plan = Plan { name: "bench%d".into(), address: Ipv4Addr::new(10, 8, 0, 2), mtu: 1500, offload: false };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if whose.is_empty() => whose = value.string()?,
            Long("name") => plan.name = parser.value()?.string()?,
            Long("address") => plan.address = parser.value()?.parse()?,
            Long("mtu") => plan.mtu = parser.value()?.parse()?,
            Long("offload") => plan.offload = true,
            Long("cpu") => pin(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    match whose.as_str() {
        "ostia" => on_ostia::serve(&plan),
        "smoltcp" => on_smoltcp::serve(&plan),
        "swap" => swap::serve(&plan),
        "poll" => reading::serve(&plan, Way::Poll),
        "multishot" => reading::serve(&plan, Way::Multishot),
        "multishot-copied" => reading::serve(&plan, Way::MultishotCopied),
        other => {
            Err(format!("nothing called {other:?}: choose ostia, smoltcp, swap, poll, multishot or multishot-copied").into())
        }
    }
}
