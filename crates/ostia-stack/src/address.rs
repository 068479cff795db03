//! Addresses of both families in one compact form.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and a port.
pub type SocketAddress = (Address, u16);

/// An IPv4 or IPv6 address in 16 bytes: an IPv4 address stands as its IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2), which
/// no packet may carry, so that the two can't be taken for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 16]);

impl Address {
    /// The unspecified address of IPv6.
    pub const UNSPECIFIED: Address = Address([0; 16]);

    /// The address of its family that stands for any.
    pub fn unspecified(self) -> Address {
        if self.is_v4() { Ipv4Addr::UNSPECIFIED.into() } else { Address::UNSPECIFIED }
    }

    /// Whether it is an IPv4 address.
    pub fn is_v4(self) -> bool {
        self.0.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
    }

    /// The address of the standard library's type.
    pub fn ip(self) -> IpAddr {
        match self.v4() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }

    /// The IPv4 address, if it is one.
    pub fn v4(self) -> Option<Ipv4Addr> {
        let [.., a, b, c, d] = self.0;
        self.is_v4().then(|| Ipv4Addr::new(a, b, c, d))
    }

    /// The IPv6 address, if it is one.
    pub fn v6(self) -> Option<Ipv6Addr> {
        (!self.is_v4()).then(|| Ipv6Addr::from(self.0))
    }

    /// The 16 bytes, for hashing.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether it stands for "any" or "none".
    pub fn is_unspecified(self) -> bool {
        self.ip().is_unspecified()
    }

    /// Whether it names a group.
    pub fn is_multicast(self) -> bool {
        self.ip().is_multicast()
    }

    /// Whether it never leaves the host.
    pub fn is_loopback(self) -> bool {
        self.ip().is_loopback()
    }

    /// Whether it is an IPv6 address of one link only (fe80::/10), which means nothing without saying which.
    pub fn is_link_local_v6(self) -> bool {
        self.v6().is_some_and(|v6| v6.is_unicast_link_local())
    }
}

impl From<Ipv4Addr> for Address {
    fn from(v4: Ipv4Addr) -> Address {
        Address(v4.to_ipv6_mapped().octets())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(v6: Ipv6Addr) -> Address {
        Address(v6.octets())
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ip(), f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ip(), f)
    }
}
