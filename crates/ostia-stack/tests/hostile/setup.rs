//! The stack of a world, as the bits of a word say.

use std::time::Duration;

use ostia_stack::{Address, Backlog, Config, Instant, LinkConfig, LinkId, Medium, Profile, Stack};

use crate::packets::{OWN_MAC, addr};
use crate::random::Random;

/// The bits.
#[derive(Clone, Copy, Debug)]
pub struct Setup(pub u32);

impl Setup {
    pub fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    pub fn ethernet(self) -> bool {
        self.has(0)
    }

    /// Neighbours don't answer.
    pub fn silent(self) -> bool {
        self.has(1)
    }

    pub fn mtu(self) -> u32 {
        [1500, 1280, 9000, 1400][(self.0 >> 2 & 3) as usize]
    }

    pub fn config(self) -> Config {
        let mut config = Config::new(if self.has(4) { Profile::Strict } else { Profile::Linux });
        config.timestamps = !self.has(5);
        config.sack = !self.has(6);
        config.window_scaling = !self.has(7);
        config.memory = if self.has(8) { 192 << 10 } else { 8 << 20 };
        config.receive_buffer = 4096 << (self.0 >> 9 & 7);
        config.send_buffer = config.receive_buffer;
        config.backlog =
            [Backlog::AcceptQueue, Backlog::Sum, Backlog::SynQueue, Backlog::AcceptQueue][(self.0 >> 12 & 3) as usize];
        config.syn_cookies = !self.has(14);
        config.syn_queue = if self.has(15) { 1 } else { 4 };
        config.rfc1337 = !self.has(16);
        config.forwarding = self.forwards();
        (config.connections, config.time_waits, config.orphans) = (12, 1, 3);
        config.neighbours = 16;
        config.reassembly_memory = 64 << 10;
        config.path_mtus = 8;
        config.retries = 5;
        config.max_rto = Duration::from_secs(20);
        config
    }

    pub fn forwards(self) -> bool {
        self.has(17)
    }

    pub fn offload(self) -> bool {
        self.has(18)
    }

    pub fn gso(self) -> bool {
        self.has(19)
    }

    /// Addresses come from whoever offers them, too.
    pub fn autoconfigured(self) -> bool {
        self.has(20)
    }

    /// Makes the stack, with its one link.
    pub fn stack(self) -> (Stack, LinkId) {
        let mut stack = Stack::new(self.config(), Random::new(u64::from(self.0)).seed());
        stack.poll_transmit(START, &mut Vec::new());
        let medium = if self.ethernet() { Medium::Ethernet(OWN_MAC) } else { Medium::Ip };
        let config = LinkConfig {
            name: "link0".into(),
            medium,
            mtu: self.mtu(),
            checksum_offload: self.offload(),
            gso_max: if self.gso() { 60_000 } else { 0 },
        };
        let link = stack.add_link(config).expect("a link");
        stack.add_address(link, own(false), 24).expect("an address");
        stack.add_address(link, own(true), 64).expect("an address");
        let gateways = if self.ethernet() { [Some(gateway(false)), Some(gateway(true))] } else { [None, None] };
        stack.add_route(addr("0.0.0.0"), 0, gateways[0], link, 10).expect("a route");
        stack.add_route(addr("::"), 0, gateways[1], link, 10).expect("a route");
        if self.autoconfigured() {
            stack.set_slaac(link, true);
            if self.ethernet() {
                stack.set_dhcp(link, true).expect("Ethernet");
            }
        }
        (stack, link)
    }
}

/// When worlds begin.
pub const START: Instant = Instant(1_000_000_000);

pub fn own(v6: bool) -> Address {
    addr(if v6 { "fd00::1" } else { "10.0.0.1" })
}

pub fn gateway(v6: bool) -> Address {
    addr(if v6 { "fd00::fe" } else { "10.0.0.254" })
}

/// A peer on the link, or beyond the gateway.
pub fn peer(v6: bool, near: bool) -> Address {
    addr(match (v6, near) {
        (false, true) => "10.0.0.2",
        (true, true) => "fd00::2",
        (false, false) => "198.51.100.7",
        (true, false) => "2001:db8::7",
    })
}
