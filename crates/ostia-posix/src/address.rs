//! Socket addresses as bytes: `struct sockaddr_in` and `sockaddr_in6` of ip(7) and ipv6(7).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ostia_stack::Address;

use crate::Errno;

/// Bytes of a `sockaddr_in`.
pub(crate) const V4_LEN: usize = 16;

/// Bytes of a `sockaddr_in6`; without its scope, which RFC 2133 didn't have, 24.
pub(crate) const V6_LEN: usize = 28;
const V6_LEAST: usize = 24;

/// The family of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Domain {
    V4,
    V6,
}

impl Domain {
    pub(crate) fn number(self) -> i32 {
        match self {
            Domain::V4 => libc::AF_INET,
            Domain::V6 => libc::AF_INET6,
        }
    }

    /// The address that stands for any, or for none.
    pub(crate) fn any(self) -> Address {
        match self {
            Domain::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Domain::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// A socket address of either family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sockaddr {
    bytes: [u8; V6_LEN],
    len: usize,
}

impl Sockaddr {
    /// The address of IPv4, or of IPv6, with a port.
    pub fn new(ip: IpAddr, port: u16) -> Sockaddr {
        let mut bytes = [0; V6_LEN];
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        let (family, len) = match ip {
            IpAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.octets());
                (libc::AF_INET, V4_LEN)
            }
            IpAddr::V6(v6) => {
                bytes[8..24].copy_from_slice(&v6.octets());
                (libc::AF_INET6, V6_LEN)
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Sockaddr { bytes, len }
    }

    /// As a socket of a family sees it: IPv6 sockets see IPv4 addresses mapped (RFC 4291, 2.5.5.2).
    pub(crate) fn seen_by(domain: Domain, address: Address, port: u16) -> Sockaddr {
        match (domain, address.ip()) {
            (Domain::V6, IpAddr::V4(v4)) => Sockaddr::new(v4.to_ipv6_mapped().into(), port),
            (_, ip) => Sockaddr::new(ip, port),
        }
    }

    /// The bytes of the structure.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The port.
    pub fn port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// The IP address.
    pub fn ip(&self) -> IpAddr {
        let [_, _, _, _, v4 @ ..] = self.bytes;
        match self.len {
            V4_LEN => Ipv4Addr::new(v4[0], v4[1], v4[2], v4[3]).into(),
            _ => <[u8; 16]>::try_from(&self.bytes[8..24]).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from).into(),
        }
    }
}

impl fmt::Debug for Sockaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::net::SocketAddr::new(self.ip(), self.port()))
    }
}

/// An address and port that a program has given, with the scope of a link-local address (0: none).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub(crate) address: Address,
    pub(crate) port: u16,
    pub(crate) scope: u32,
}

/// The family that a structure says it is of.
pub(crate) fn family(bytes: &[u8]) -> Result<i32, Errno> {
    let family = bytes.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(i32::from(u16::from_ne_bytes(*family)))
}

/// Reads a structure that a socket of a family takes.
///
/// Errors: EINVAL if it is too short, EAFNOSUPPORT if it is of another family.
pub(crate) fn read(domain: Domain, bytes: &[u8]) -> Result<Given, Errno> {
    let least = match domain {
        Domain::V4 => V4_LEN,
        Domain::V6 => V6_LEAST,
    };
    if bytes.len() < least {
        return Err(Errno::EINVAL);
    }
    if family(bytes)? != domain.number() {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(given(domain, bytes))
}

/// The fields of a structure that is long enough.
fn given(domain: Domain, bytes: &[u8]) -> Given {
    let at = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let port = u16::from_be_bytes([at(2), at(3)]);
    match domain {
        Domain::V4 => Given { address: Ipv4Addr::new(at(4), at(5), at(6), at(7)).into(), port, scope: 0 },
        Domain::V6 => {
            let octets: [u8; 16] = std::array::from_fn(|place| at(8 + place));
            let scope = u32::from_ne_bytes([at(24), at(25), at(26), at(27)]);
            Given { address: Ipv6Addr::from(octets).into(), port, scope }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (domain, ip) in [(Domain::V4, "192.0.2.1"), (Domain::V6, "2001:db8::1")] {
            let ip: IpAddr = ip.parse().expect("an address");
            let name = Sockaddr::new(ip, 8080);
            assert_eq!((name.ip(), name.port()), (ip, 8080));
            assert_eq!(read(domain, name.as_bytes()), Ok(Given { address: ip.into(), port: 8080, scope: 0 }));
        }
    }

    #[test]
    fn what_is_too_short_or_of_another_family_is_refused() {
        let v4 = Sockaddr::new(Ipv4Addr::LOCALHOST.into(), 1);
        let v6 = Sockaddr::new(Ipv6Addr::LOCALHOST.into(), 1);
        assert_eq!(read(Domain::V4, &v4.as_bytes()[..15]), Err(Errno::EINVAL));
        assert_eq!(read(Domain::V6, &v6.as_bytes()[..23]), Err(Errno::EINVAL));
        assert!(read(Domain::V6, &v6.as_bytes()[..24]).is_ok(), "RFC 2133's had no scope");
        assert_eq!(read(Domain::V4, v6.as_bytes()), Err(Errno::EAFNOSUPPORT));
        assert_eq!(read(Domain::V6, v4.as_bytes()), Err(Errno::EINVAL));
        assert_eq!(family(&[2]), Err(Errno::EINVAL));
    }

    #[test]
    fn a_socket_of_ipv6_sees_ipv4_mapped() {
        let seen = Sockaddr::seen_by(Domain::V6, Ipv4Addr::new(10, 0, 0, 1).into(), 7);
        assert_eq!(seen.ip(), "::ffff:10.0.0.1".parse::<IpAddr>().expect("an address"));
        assert_eq!(read(Domain::V6, seen.as_bytes()).map(|given| given.address), Ok(Ipv4Addr::new(10, 0, 0, 1).into()));
    }
}
