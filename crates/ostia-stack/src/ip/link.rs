//! Links: what the stack is joined to the world by.

use alloc::string::String;
use alloc::vec::Vec;

use ostia_wire::{Frame, MacAddr};

use crate::address::Address;
use crate::env::Env;
use crate::ip::addresses::Addresses;
use crate::ip::dhcp::Dhcp;
use crate::ip::groups::Groups;
use crate::ip::neighbours::Neighbours;
use crate::ip::slaac::Slaac;
use crate::time::Instant;

/// The number of a link, in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct LinkId(pub u16);

/// The link to this host itself, over which packets to its own addresses go.
pub const LOOPBACK: LinkId = LinkId(u16::MAX);

/// The longest packet on the way to this host itself.
pub(crate) const LOOPBACK_MTU: u32 = 65_535;

/// What frames on a link look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Medium {
    /// Bare IP packets, as TUN carries them: no neighbours to find.
    Ip,
    /// Ethernet, with ARP and neighbour discovery; this is the link's own address.
    Ethernet(MacAddr),
}

/// What a link is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// Its name, for display.
    pub name: String,
    /// What its frames look like.
    pub medium: Medium,
    /// The longest IP packet, in bytes.
    pub mtu: u32,
    /// Whether the device completes checksums that are partial.
    pub checksum_offload: bool,
    /// The most payload bytes of a super-segment that the device cuts itself; 0: it cuts none.
    pub gso_max: u32,
}

/// A frame to be sent.
#[derive(Debug)]
pub struct Transmit {
    /// On which link.
    pub link: LinkId,
    /// What.
    pub frame: Frame,
}

/// A link with all that belongs to it.
pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    pub(crate) up: bool,
    pub(crate) addresses: Addresses,
    /// The broadcast addresses of its networks.
    pub(crate) broadcasts: Vec<Address>,
    pub(crate) neighbours: Neighbours,
    pub(crate) groups: Groups,
    pub(crate) slaac: Slaac,
    pub(crate) dhcp: Option<Dhcp>,
}

impl Link {
    pub(crate) fn new(config: LinkConfig, env: &mut Env) -> Link {
        Link {
            config,
            up: true,
            addresses: Addresses::default(),
            broadcasts: Vec::new(),
            neighbours: Neighbours::new(env),
            groups: Groups::default(),
            slaac: Slaac::default(),
            dhcp: None,
        }
    }

    /// Its own link address, where it has one.
    pub(crate) fn mac(&self) -> Option<MacAddr> {
        match self.config.medium {
            Medium::Ethernet(mac) => Some(mac),
            Medium::Ip => None,
        }
    }

    /// The longest packet of a family: a router may have asked for less over IPv6 (RFC 4861, 6.3.4).
    pub(crate) fn mtu(&self, v4: bool) -> u32 {
        match self.slaac.mtu() {
            Some(mtu) if !v4 => mtu.min(self.config.mtu),
            _ => self.config.mtu,
        }
    }

    /// When something is due next for it.
    pub(crate) fn deadline(&self) -> Instant {
        let dhcp = self.dhcp.as_ref().map_or(Instant::NEVER, Dhcp::deadline);
        let learned = self.slaac.deadline().min(self.neighbours.deadline());
        self.addresses.deadline().min(self.groups.deadline()).min(learned).min(dhcp)
    }
}
