//! How devices are to be opened, and what the kernel's side of one is to have.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ostia_wire::MacAddr;

/// Whether a device may leave work on large or many packets undone, for whoever is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Every frame stands for itself, and its checksums are complete. (What comes from a packet socket may still be a
    /// super-segment, for its interface decides that.)
    Off,
    /// Checksums may be partial, and frames may be super-segments, both ways, as far as the kernel has it.
    #[default]
    On,
}

/// Which kind of device a [`Tun`](crate::Tun) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunKind {
    /// IP packets.
    #[default]
    Tun,
    /// Ethernet frames.
    Tap,
}

/// A TUN or TAP device to be opened.
#[derive(Clone, Debug)]
pub struct TunConfig {
    /// Which kind.
    pub kind: TunKind,
    /// Its name, of 1 to 15 octets. `%d` in it is made the lowest number that is free. A persistent device of this name
    /// (`ip tuntap add`) is taken; else one is made, which vanishes when it is closed.
    pub name: String,
    /// Offloads.
    pub offload: Offload,
    /// The longest IP packet in octets, 68 to 65,535 (TAP: 65,521), and with IPv6 on the kernel's side 1,280 at least. `None`:
    /// what the device has, 1500 if it is new.
    pub mtu: Option<u32>,
    /// The stack's own address on a TAP; `None`: the kernel's, with the last bit of its last octet inverted. A TUN has none.
    pub mac: Option<MacAddr>,
    /// What the kernel's side has.
    pub host: HostSide,
}

impl Default for TunConfig {
    fn default() -> TunConfig {
        TunConfig {
            kind: TunKind::Tun,
            name: "ostia%d".to_owned(),
            offload: Offload::On,
            mtu: None,
            mac: None,
            host: HostSide::default(),
        }
    }
}

/// A packet socket to be opened.
#[derive(Clone, Debug)]
pub struct PacketConfig {
    /// The interface's name. It must be one with Ethernet headers.
    pub interface: String,
    /// The stack's own address; `None`: the interface's. With the interface's, the kernel answers too to what comes for it,
    /// so its IP addresses must be others, and it refuses the stack's connections as it knows of none. With an own address
    /// the interface is made promiscuous.
    pub mac: Option<MacAddr>,
    /// Whether to make the interface promiscuous in any case.
    pub promiscuous: bool,
    /// Offloads.
    pub offload: Offload,
}

impl PacketConfig {
    /// A packet socket on an interface, with its address and with offloads.
    pub fn new(interface: impl Into<String>) -> PacketConfig {
        PacketConfig { interface: interface.into(), mac: None, promiscuous: false, offload: Offload::On }
    }
}

/// What the kernel's side of a device has. The stack's own addresses are not among these: it has one of the same network, as
/// 10.7.0.2 beside the kernel's 10.7.0.1/24, or one that a route here leads to.
///
/// What is added goes with the device; from a persistent one it is removed when the link is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSide {
    /// Addresses.
    pub addresses: Vec<HostAddress>,
    /// Routes that lead to the device.
    pub routes: Vec<Route>,
    /// Whether the device is to stay down: nothing flows, and routes can't be added.
    pub down: bool,
}

/// An address of the kernel's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Bits of it that name the network, or of `peer`'s where there is one.
    pub prefix: u8,
    /// The address at the other end, of the same family, where the two need not have a network in common.
    pub peer: Option<IpAddr>,
    /// Whether an IPv6 address is used at once, without asking on the link whether another has it (RFC 4862, 5.4).
    pub no_dad: bool,
}

/// A route to a network through the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub network: IpAddr,
    /// Bits of it that count.
    pub prefix: u8,
    /// The next hop, on a link that has such.
    pub via: Option<IpAddr>,
}

impl fmt::Display for HostAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(out, "{} peer {peer}/{}", self.address, self.prefix),
            None => write!(out, "{}/{}", self.address, self.prefix),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.network, self.prefix)?;
        self.via.iter().try_for_each(|via| write!(out, " via {via}"))
    }
}

/// `10.7.0.1/24`, `fd07::1/64`; without a length, the address alone. Used at once.
impl FromStr for HostAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<HostAddress, String> {
        let (address, prefix) = network(text)?;
        Ok(HostAddress { address, prefix, peer: None, no_dad: true })
    }
}

/// `192.0.2.0/24`, `fd07::/64`; without a length, the address alone.
impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Route, String> {
        let (network, prefix) = network(text)?;
        Ok(Route { network, prefix, via: None })
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| format!("{text:?} does not begin with an IP address"))?;
    let most = bits(address);
    let prefix = prefix.map_or(Some(most), |prefix| prefix.parse().ok().filter(|prefix| *prefix <= most));
    prefix.map(|prefix| (address, prefix)).ok_or_else(|| format!("{text:?}: the length behind the slash is 0 to {most}"))
}

/// Whether two addresses share their first `prefix` bits. Addresses of different families don't, whatever the prefix.
#[must_use]
pub fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((one, width), (other, other_width)) = (bits(one), bits(other));
    let differ = (one ^ other).checked_shr(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
    width == other_width && differ == 0
}

/// Bits of an address.
pub(crate) fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(same_network(ip("10.7.0.2"), ip("10.7.0.254"), 24));
        assert!(!same_network(ip("10.7.0.2"), ip("10.7.1.2"), 24));
        assert!(same_network(ip("10.7.0.2"), ip("192.0.2.1"), 0));
        assert!(!same_network(ip("10.7.0.2"), ip("10.7.0.3"), 32));
        assert!(same_network(ip("2001:db8::1"), ip("2001:db8::ffff"), 64));
        assert!(!same_network(ip("::"), ip("0.0.0.0"), 0));
    }

    #[test]
    fn addresses_and_routes_are_read_and_shown() {
        for text in ["10.7.0.1/24", "fd07::1/64", "0.0.0.0/0"] {
            assert_eq!(text.parse::<HostAddress>().unwrap().to_string(), text);
            assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
        }
        assert_eq!("10.7.0.1".parse::<Route>().unwrap().prefix, 32);
        assert_eq!("::1".parse::<HostAddress>().unwrap().prefix, 128);
        assert_eq!("10.7.0.1/33".parse::<Route>().unwrap_err(), "\"10.7.0.1/33\": the length behind the slash is 0 to 32");
        assert_eq!("host/8".parse::<HostAddress>().unwrap_err(), "\"host/8\" does not begin with an IP address");
        let peer = HostAddress { peer: Some("10.8.0.1".parse().unwrap()), ..("10.7.0.1/32".parse().unwrap()) };
        assert_eq!(peer.to_string(), "10.7.0.1 peer 10.8.0.1/32");
        let via = Route { via: Some("fd07::2".parse().unwrap()), ..("2001:db8::/32".parse().unwrap()) };
        assert_eq!(via.to_string(), "2001:db8::/32 via fd07::2");
    }
}
