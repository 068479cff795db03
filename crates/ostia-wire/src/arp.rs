//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::ethernet::{EtherType, MacAddr};
use crate::malformed::Malformed;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Packet {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    target_ip: [u8; 4],
}

/// The hardware type of Ethernet.
const ETHERNET: u16 = 1;

/// Octets of an ARP packet for IPv4 over Ethernet.
pub const LEN: usize = size_of::<Packet>();

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Asks who has the target's IP address.
    Request,
    /// Says where the sender's IP address is.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arp {
    /// What it is for.
    pub operation: Operation,
    /// The link-layer address of who sends it.
    pub sender_mac: MacAddr,
    /// The IP address of who sends it; unspecified in a probe (RFC 5227, 1.1).
    pub sender_ip: Ipv4Addr,
    /// The link-layer address of who is asked or answered; means nothing in a request.
    pub target_mac: MacAddr,
    /// The IP address of who is asked or answered.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Reads a packet; bytes behind it are padding.
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Kind`] if it is for other hardware or another protocol, or has another operation
    /// than request and reply, [`Malformed::Length`] if the addresses have another length than those of Ethernet and IPv4.
    pub fn parse(bytes: &[u8]) -> Result<Arp, Malformed> {
        let (packet, _) = Packet::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        if packet.hardware.get() != ETHERNET || packet.protocol.get() != EtherType::IPV4.0 {
            return Err(Malformed::Kind);
        }
        if (packet.hardware_len, packet.protocol_len) != (6, 4) {
            return Err(Malformed::Length);
        }
        let operation = match packet.operation.get() {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed::Kind),
        };
        Ok(Arp {
            operation,
            sender_mac: packet.sender_mac,
            sender_ip: packet.sender_ip.into(),
            target_mac: packet.target_mac,
            target_ip: packet.target_ip.into(),
        })
    }

    /// Writes the packet to the first [`LEN`] bytes.
    ///
    /// # Panics
    /// If `buf` is shorter.
    pub fn emit(&self, buf: &mut [u8]) {
        let packet = Packet {
            hardware: ETHERNET.into(),
            protocol: EtherType::IPV4.0.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: match self.operation {
                Operation::Request => 1.into(),
                Operation::Reply => 2.into(),
            },
            sender_mac: self.sender_mac,
            sender_ip: self.sender_ip.octets(),
            target_mac: self.target_mac,
            target_ip: self.target_ip.octets(),
        };
        packet.write_to_prefix(buf).expect("room for the ARP packet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Arp = Arp {
        operation: Operation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender_ip: Ipv4Addr::new(192, 0, 2, 1),
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(192, 0, 2, 7),
    };

    #[test]
    fn a_packet_reads_as_it_was_written_whatever_pads_it() {
        for arp in [REQUEST, Arp { operation: Operation::Reply, target_mac: MacAddr([4; 6]), ..REQUEST }] {
            let mut bytes = [0xff; 46];
            arp.emit(&mut bytes);
            assert_eq!(Arp::parse(&bytes), Ok(arp));
            assert_eq!(Arp::parse(&bytes[..LEN - 1]), Err(Malformed::Short));
        }
    }

    #[test]
    fn what_is_not_ipv4_over_ethernet_is_refused() {
        let mut good = [0; LEN];
        REQUEST.emit(&mut good);
        for (at, value, error) in [
            (1, 6, Malformed::Kind),
            (2, 9, Malformed::Kind),
            (4, 8, Malformed::Length),
            (5, 16, Malformed::Length),
            (7, 3, Malformed::Kind),
        ] {
            let mut bytes = good;
            bytes[at] = value;
            assert_eq!(Arp::parse(&bytes), Err(error), "byte {at}");
        }
    }
}
