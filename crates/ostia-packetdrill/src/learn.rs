//! The host's address, which the tool chooses at random and doesn't tell: it shows in what is bound to, and in what packets are
//! sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use ostia_posix::{Errno, World};

use crate::flags;

/// The link's MTU once the host has an address of IPv6. There is one host in a process of the tool.
static V6_MTU: AtomicU32 = AtomicU32::new(flags::MTU);

/// Sets it.
pub(crate) fn set_v6_mtu(mtu: u32) {
    V6_MTU.store(mtu, Ordering::Relaxed);
}

/// Gives the host an address. What can't be one isn't: the call that named it will say so.
fn add(world: &World, address: IpAddr) {
    if address.is_ipv6() {
        let _ = world.set_mtu(V6_MTU.load(Ordering::Relaxed));
    }
    let _ = world.add_address(address, flags::prefix(address));
}

/// Where the tool's own addresses are unless it is told otherwise: 192.168.0.0/16 and fd3d:fa7b:d17d::/48.
fn is_usual(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[192, 168]),
        IpAddr::V6(v6) => v6.segments().starts_with(&[0xfd3d, 0xfa7b, 0xd17d]),
    }
}

/// The address from which to connect if nothing has shown another.
fn fallback(v4: bool) -> IpAddr {
    match v4 {
        true => Ipv4Addr::new(192, 168, 0, 2).into(),
        false => Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 2).into(),
    }
}

/// Gives the host an address that is its own by all appearances: one of the tool's, or the first of its family.
pub(crate) fn seen(world: &World, address: IpAddr) {
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return;
    }
    let known = world.addresses();
    let first = !known.iter().any(|own| own.is_ipv4() == address.is_ipv4());
    if !known.contains(&address) && (first || is_usual(address)) {
        add(world, address);
    }
}

/// Who connects needs an address of the family to connect from.
pub(crate) fn needed(world: &World, remote: IpAddr) {
    let v4 = remote.to_canonical().is_ipv4();
    if !remote.is_loopback() && !world.addresses().iter().any(|own| own.is_ipv4() == v4) {
        add(world, fallback(v4));
    }
}

/// The address of a `struct sockaddr_in` or `sockaddr_in6`.
pub(crate) fn of_name(name: &[u8]) -> Option<IpAddr> {
    let family = i32::from(u16::from_ne_bytes(*name.first_chunk()?));
    match family {
        libc::AF_INET => name.get(4..8)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        libc::AF_INET6 => name.get(8..24)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

/// Where an IP packet is going.
///
/// Errors: EINVAL if it is none.
pub(crate) fn destination(packet: &[u8]) -> Result<IpAddr, Errno> {
    let found: Option<IpAddr> = match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(16..20).and_then(|rest| rest.first_chunk::<4>()).map(|octets| Ipv4Addr::from(*octets).into()),
        Some(6) => packet.get(24..40).and_then(|rest| rest.first_chunk::<16>()).map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    };
    found.ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use ostia_posix::Sockaddr;

    use super::*;

    #[test]
    fn addresses_are_found_where_they_stand() {
        for text in ["192.168.3.4", "fd3d:fa7b:d17d::5"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(of_name(Sockaddr::new(address, 80).as_bytes()), Some(address));
            assert!(is_usual(address));
        }
        assert_eq!((of_name(&[]), of_name(&[2, 0, 0, 0])), (None, None));
        assert!(destination(&[]).is_err() && destination(&[0x45; 19]).is_err() && destination(&[0x60; 39]).is_err());
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[16..].copy_from_slice(&[192, 168, 1, 2]);
        assert_eq!(destination(&packet), Ok(Ipv4Addr::new(192, 168, 1, 2).into()));
    }

    #[test]
    fn the_first_address_of_a_family_is_taken_and_then_only_those_of_the_tool() {
        let world = World::new(crate::flags::usual()).expect("a world");
        for (text, count) in
            [("0.0.0.0", 0), ("10.0.0.1", 1), ("10.0.0.2", 1), ("192.168.9.9", 2), ("::ffff:192.168.9.10", 3), ("ff02::1", 3)]
        {
            seen(&world, text.parse().expect("an address"));
            assert_eq!(world.addresses().iter().filter(|own| own.is_ipv4()).count(), count, "{text}");
        }
        needed(&world, "2001:db8::1".parse().expect("an address"));
        assert!(world.addresses().contains(&fallback(false)));
    }
}
