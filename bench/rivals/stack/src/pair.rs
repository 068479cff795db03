//! Two of Ostia's stacks whose links are joined.

use ostia_stack::{Address, Config, Instant, LinkConfig, LinkId, Medium, Stack, Transmit};
use std::net::Ipv4Addr;

/// One stack and its link.
pub struct Side {
    pub stack: Stack,
    pub link: LinkId,
}

impl Side {
    /// A stack whose one link has that address in a network of a size that leaves room for many.
    pub fn new(address: Ipv4Addr, mtu: usize, config: Config) -> Side {
        let mut stack = Stack::new(config, [address.octets()[3]; 32]);
        let link = stack.add_link(LinkConfig {
            name: "memory".into(),
            medium: Medium::Ip,
            mtu: mtu as u32,
            checksum_offload: false,
            gso_max: 0,
        });
        let link = link.expect("an MTU that can be");
        stack.add_address(link, address.into(), 8).expect("a host's address");
        Side { stack, link }
    }
}

/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The server's.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The server's port.
pub const PORT: u16 = 80;

/// Both, and the time that they have.
pub struct Pair {
    pub client: Side,
    pub server: Side,
    pub now: u64,
    frames: Vec<Transmit>,
}

impl Pair {
    pub fn new(mtu: usize, config: impl Fn(&mut Config)) -> Pair {
        let configured = || {
            let mut all = Config::default();
            config(&mut all);
            all
        };
        let (client, server) = (Side::new(CLIENT, mtu, configured()), Side::new(SERVER, mtu, configured()));
        Pair { client, server, now: 1_000_000_000, frames: Vec::new() }
    }

    /// Where the server listens.
    pub fn target() -> (Address, u16) {
        (SERVER.into(), PORT)
    }

    /// The client's packets go to the server; how many.
    pub fn forth(&mut self) -> u64 {
        cross(&mut self.client, &mut self.server, self.now, &mut self.frames)
    }

    /// The server's packets go to the client; how many.
    pub fn back(&mut self) -> u64 {
        cross(&mut self.server, &mut self.client, self.now, &mut self.frames)
    }

    /// Both, until neither has anything to send.
    pub fn settle(&mut self) {
        while self.forth() + self.back() > 0 {}
    }
}

fn cross(from: &mut Side, to: &mut Side, now: u64, frames: &mut Vec<Transmit>) -> u64 {
    from.stack.poll_transmit(Instant(now), frames);
    let count = frames.len() as u64;
    to.stack.input(to.link, frames.drain(..).map(|transmit| transmit.frame), Instant(now));
    count
}
