//! Requests to the kernel about interfaces, addresses and routes (rtnetlink(7)): as few as setting up a device takes.
//!
//! The crates that know all of rtnetlink are fifty thousand lines, and change with each of its attributes; these are eight
//! messages. The kernel answers while a request is being sent, so nothing here waits.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ostia_wire::MacAddr;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const DUMP: u16 = 0x300;

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

const HEADER: usize = 16;

/// Octets of the fixed parts that are read, behind the header.
const LINK_LEN: usize = 16;
const ADDRESS_LEN: usize = 8;
/// Where a route says what kind it is of.
const ROUTE_KIND: usize = 7;

const LINK_ADDRESS: u16 = libc::IFLA_ADDRESS;
const LINK_NAME: u16 = libc::IFLA_IFNAME;
const LINK_MTU: u16 = libc::IFLA_MTU;
const ROUTE_DESTINATION: u16 = libc::RTA_DST;
const ROUTE_INTERFACE: u16 = libc::RTA_OIF;
const ROUTE_GATEWAY: u16 = libc::RTA_GATEWAY;
const ADDRESS_ADDRESS: u16 = libc::IFA_ADDRESS;
const ADDRESS_LOCAL: u16 = libc::IFA_LOCAL;
const ADDRESS_FLAGS: u16 = libc::IFA_FLAGS;

/// Answers of one dump, at most: far more than a host has addresses.
const MOST_ANSWERS: usize = 10_000;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Request {
        Request { kind, flags: flags | REQUEST, body: fixed.to_vec() }
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Request {
        // No attribute here comes near the limit of its length.
        self.body.extend((value.len() as u16 + 4).to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    fn bytes(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(((HEADER + self.body.len()) as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.body);
        bytes
    }

    /// Sets the MTU of an interface.
    pub(super) fn set_mtu(interface: u32, mtu: u32) -> Request {
        link(libc::RTM_SETLINK, ACK, interface, 0, 0).attribute(LINK_MTU, &mtu.to_ne_bytes())
    }

    /// Takes an interface up, or down.
    pub(super) fn set_up(interface: u32, up: bool) -> Request {
        let mask = libc::IFF_UP as u32;
        link(libc::RTM_SETLINK, ACK, interface, if up { mask } else { 0 }, mask)
    }

    /// Removes an interface.
    pub(super) fn delete(interface: u32) -> Request {
        link(libc::RTM_DELLINK, ACK, interface, 0, 0)
    }

    /// Adds an address to an interface, or deletes it: its family, the length of its prefix, the peer's where there is one.
    pub(super) fn address(add: bool, interface: u32, address: IpAddr, prefix: u8, peer: Option<IpAddr>, no_dad: bool) -> Request {
        let (kind, flags) = if add { (libc::RTM_NEWADDR, ACK | CREATE | EXCLUSIVE) } else { (libc::RTM_DELADDR, ACK) };
        let no_dad = no_dad && address.is_ipv6();
        let mut fixed = vec![family(address), prefix, 0, libc::RT_SCOPE_UNIVERSE];
        fixed.extend(interface.to_ne_bytes());
        let request = Request::new(kind, flags, &fixed)
            .attribute(ADDRESS_LOCAL, &octets(address))
            .attribute(ADDRESS_ADDRESS, &octets(peer.unwrap_or(address)));
        if no_dad { request.attribute(ADDRESS_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes()) } else { request }
    }

    /// Adds a route through an interface, or deletes it.
    pub(super) fn route(add: bool, interface: u32, network: IpAddr, prefix: u8, via: Option<IpAddr>) -> Request {
        let (kind, flags) = if add { (libc::RTM_NEWROUTE, ACK | CREATE | EXCLUSIVE) } else { (libc::RTM_DELROUTE, ACK) };
        // Without a next hop, what a route leads to is on the link.
        let scope = if via.is_none() && network.is_ipv4() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
        let fixed = [family(network), prefix, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, scope, libc::RTN_UNICAST, 0, 0, 0, 0];
        let request = Request::new(kind, flags, &fixed)
            .attribute(ROUTE_DESTINATION, &octets(network))
            .attribute(ROUTE_INTERFACE, &interface.to_ne_bytes());
        match via {
            Some(via) => request.attribute(ROUTE_GATEWAY, &octets(via)),
            None => request,
        }
    }
}

fn link(kind: u16, flags: u16, interface: u32, state: u32, change: u32) -> Request {
    let mut fixed = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    [interface, state, change].iter().for_each(|word| fixed.extend(word.to_ne_bytes()));
    Request::new(kind, flags, &fixed)
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// What the kernel says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub index: u32,
    /// Its kind: `ARPHRD_*`.
    pub kind: u16,
    pub up: bool,
    pub mtu: u32,
    pub mac: Option<MacAddr>,
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub interface: u32,
    pub address: IpAddr,
    pub prefix: u8,
}

/// A socket to the kernel, of the network namespace that the thread was in which opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Netlink> {
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        // Protocol 0 is NETLINK_ROUTE.
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, None)?;
        Ok(Netlink { fd, sequence: 0 })
    }

    /// Has the kernel do something.
    pub(super) fn request(&mut self, request: &Request) -> io::Result<()> {
        self.ask(request, |_, _| {})
    }

    /// The interface of a name.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<Interface> {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let request = link(libc::RTM_GETLINK, ACK, 0, 0, 0).attribute(LINK_NAME, &text);
        let mut found = None;
        self.ask(&request, |kind, body| {
            if kind == libc::RTM_NEWLINK {
                found = parse_link(body);
            }
        })?;
        found.ok_or_else(unclear)
    }

    /// Whether there is an interface of this number. Waits for whoever is just changing interfaces: one that has been taken down
    /// to be deleted is not there any more.
    pub(super) fn has(&mut self, interface: u32) -> io::Result<bool> {
        match self.ask(&link(libc::RTM_GETLINK, ACK, interface, 0, 0), |_, _| {}) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether packets to an address are for this host.
    pub(super) fn is_local(&mut self, address: IpAddr) -> io::Result<bool> {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let fixed = [family(address), width, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let request = Request::new(libc::RTM_GETROUTE, ACK, &fixed).attribute(ROUTE_DESTINATION, &octets(address));
        let mut local = false;
        self.ask(&request, |kind, body| {
            local |= kind == libc::RTM_NEWROUTE && body.get(ROUTE_KIND) == Some(&libc::RTN_LOCAL);
        })?;
        Ok(local)
    }

    /// Every address of this host.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let mut found = Vec::new();
        self.ask(&Request::new(libc::RTM_GETADDR, DUMP, &[0; ADDRESS_LEN]), |kind, body| {
            if kind == libc::RTM_NEWADDR {
                found.extend(parse_address(body));
            }
        })?;
        Ok(found)
    }

    /// The name of an interface.
    pub(super) fn name(&self, interface: u32) -> io::Result<String> {
        Ok(rustix::net::netdevice::index_to_name(&self.fd, interface)?)
    }

    /// Sends a request, and gives every message of the answer to `each`: its kind, and what is behind its header.
    fn ask(&mut self, request: &Request, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        rustix::net::send(&self.fd, &request.bytes(self.sequence), SendFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..MOST_ANSWERS {
            let (_, len) = rustix::net::recv(&self.fd, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
            let mut rest = buffer.get(..len).ok_or_else(unclear)?;
            while let Some((kind, sequence, body, behind)) = message(rest) {
                rest = behind;
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    ERROR => {
                        return match number(body, 0).map(u32::cast_signed).ok_or_else(unclear)? {
                            0 => Ok(()),
                            code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                        };
                    }
                    DONE => return Ok(()),
                    kind => each(kind, body),
                }
            }
        }
        Err(unclear())
    }
}

fn unclear() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer over netlink is not understood")
}

/// The first of several messages: its kind, its sequence number, what is behind its header, and the others.
fn message(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let len = number(bytes, 0)? as usize;
    let body = bytes.get(HEADER..len)?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((kind, number(bytes, 8)?, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// The attributes behind a fixed part.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let (len, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn parse_link(body: &[u8]) -> Option<Interface> {
    let kind = u16::from_ne_bytes(*body.get(2..)?.first_chunk()?);
    let up = number(body, 8)? & libc::IFF_UP as u32 != 0;
    let mut interface = Interface { index: number(body, 4)?, kind, up, mtu: 0, mac: None };
    for (kind, value) in attributes(body.get(LINK_LEN..)?) {
        match kind {
            LINK_MTU => interface.mtu = number(value, 0)?,
            LINK_ADDRESS => interface.mac = value.try_into().ok().map(MacAddr),
            _ => {}
        }
    }
    Some(interface)
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let [_, prefix, ..] = *body else { return None };
    let (mut local, mut plain) = (None, None);
    for (kind, value) in attributes(body.get(ADDRESS_LEN..)?) {
        let address = || match *value {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d])),
            _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        };
        match kind {
            // With a peer, the other one is the peer's.
            ADDRESS_LOCAL => local = address(),
            ADDRESS_ADDRESS => plain = address(),
            _ => {}
        }
    }
    Some(Address { interface: number(body, 4)?, address: local.or(plain)?, prefix })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_laid_out_as_the_kernel_has_them() {
        let request = Request::route(true, 7, "10.7.0.0".parse().unwrap(), 16, None);
        let mut expected = Vec::new();
        expected.extend(44u32.to_ne_bytes());
        expected.extend(24u16.to_ne_bytes());
        expected.extend(0x605u16.to_ne_bytes());
        expected.extend(5u32.to_ne_bytes());
        expected.extend([0; 4]);
        expected.extend([2, 16, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0]);
        for (kind, value) in [(1u16, [10, 7, 0, 0]), (4, 7u32.to_ne_bytes())] {
            expected.extend(8u16.to_ne_bytes());
            expected.extend(kind.to_ne_bytes());
            expected.extend(value);
        }
        assert_eq!(request.bytes(5), expected);
        let (kind, sequence, body, rest) = message(&expected).unwrap();
        assert_eq!((kind, sequence, rest), (24, 5, &[][..]));
        assert_eq!(attributes(&body[12..]).count(), 2);
    }

    #[test]
    fn links_and_addresses_are_read() {
        let mac = [2, 0, 0, 0, 0, 9];
        let request = link(libc::RTM_NEWLINK, 0, 3, libc::IFF_UP as u32, 0)
            .attribute(LINK_ADDRESS, &mac)
            .attribute(LINK_MTU, &1400u32.to_ne_bytes());
        let expected = Interface { index: 3, kind: 0, up: true, mtu: 1400, mac: Some(MacAddr(mac)) };
        assert_eq!(parse_link(&request.body), Some(expected));
        for (address, peer) in [("10.7.0.1", Some("10.8.0.1")), ("fd07::1", None)] {
            let (address, peer) = (address.parse().unwrap(), peer.map(|peer| peer.parse().unwrap()));
            let request = Request::address(true, 3, address, 24, peer, true);
            assert_eq!(parse_address(&request.body), Some(Address { interface: 3, address, prefix: 24 }));
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_link(&bytes), parse_address(&bytes), message(&bytes), attributes(&bytes).count());
        }
    }
}
