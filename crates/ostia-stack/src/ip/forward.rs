//! Forwarding between links (RFC 1812, 5; RFC 8200): only what may leave its link, one hop less, and no longer than the next MTU.

use ostia_wire::Checksum;
use ostia_wire::Frame;
use ostia_wire::checksum::update;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::icmp_out::Problem;
use crate::ip::link::{LinkId, Medium};

/// What is needed of a packet to forward it.
pub(crate) struct Transit {
    pub(crate) link: LinkId,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) hop_limit: u8,
    pub(crate) header_len: usize,
    pub(crate) dont_fragment: bool,
}

impl Ip {
    /// Sends a packet for somebody else on its way.
    pub(crate) fn forward(&mut self, transit: &Transit, mut frame: Frame, env: &mut Env) -> Result<(), Reason> {
        if !leaves_its_link(transit.source) {
            return Err(Reason::MartianSource);
        }
        if !leaves_its_link(transit.destination) {
            return Err(Reason::MartianDestination);
        }
        if transit.hop_limit <= 1 {
            self.report(frame.as_slice(), transit.link, Problem::HopLimit, env);
            return Err(Reason::HopLimit);
        }
        let Some((out, gateway)) = self.lookup(transit.destination, None) else {
            self.report(frame.as_slice(), transit.link, Problem::NoRoute, env);
            return Err(Reason::NoRoute);
        };
        let v4 = transit.destination.is_v4();
        let link = self.link(out).ok_or(Reason::LinkDown)?;
        // Back over a link with nobody else on it, it would only go to and fro (RFC 4443, 3.1).
        if out == transit.link && link.config.medium == Medium::Ip {
            self.report(frame.as_slice(), transit.link, Problem::NoNeighbour, env);
            return Err(Reason::NoRoute);
        }
        let mtu = link.mtu(v4) as usize;
        // A packet to all of a network is for its hosts, not for others to multiply (RFC 2644).
        if link.is_broadcast(transit.destination) {
            return Err(Reason::MartianDestination);
        }
        let longest = match frame.meta.gso_size {
            0 => frame.len(),
            // What the device has put together it, or the stack, takes apart again: the parts count.
            size => longest_part(frame.as_slice(), transit.header_len, usize::from(size)),
        };
        if longest > mtu && (!v4 || transit.dont_fragment) {
            self.report(frame.as_slice(), transit.link, Problem::TooBig(mtu as u32), env);
            return Err(Reason::TooBig);
        }
        // A device that is slower than the others must not fill the memory with their packets.
        if self.out.is_full(&env.memory) {
            return Err(Reason::TransmitQueue);
        }
        let header = frame.as_mut_slice();
        if v4 && let [_, _, _, _, _, _, _, _, ttl, protocol, high, low, ..] = header {
            let old = u16::from_be_bytes([*ttl, *protocol]);
            *ttl -= 1;
            let checksum = update(u16::from_be_bytes([*high, *low]), old, u16::from_be_bytes([*ttl, *protocol]));
            [*high, *low] = checksum.to_be_bytes();
        } else if let Some(hop_limit) = header.get_mut(7) {
            *hop_limit -= 1;
        }
        if frame.meta.checksum == Checksum::Valid {
            frame.meta.checksum = Checksum::Unverified;
        }
        env.counters.ip_forwarded += 1;
        let next_hop = gateway.unwrap_or(transit.destination);
        if longest > mtu && frame.meta.gso_size == 0 {
            frame.complete_checksum();
            self.fragment_v4(out, next_hop, &frame, mtu, env);
        } else {
            self.send(out, next_hop, frame, env);
        }
        Ok(())
    }
}

/// Whether a packet with this address may go from link to link: not one for a link, a host, a group or nobody (RFC 6890).
fn leaves_its_link(address: Address) -> bool {
    let link_local = address.v4().is_some_and(|v4| v4.is_link_local() || v4.octets()[0] == 0 || v4.octets()[0] >= 240);
    !(link_local || address.is_link_local_v6() || address.is_multicast() || address.is_loopback() || address.is_unspecified())
}

/// The longest packet that a super-segment stands for.
fn longest_part(packet: &[u8], header_len: usize, size: usize) -> usize {
    // The TCP header's length is in the upper half of its 13th byte; a UDP header has eight bytes.
    let udp = packet.first().is_some_and(|first| match first >> 4 {
        4 => packet.get(9) == Some(&17),
        _ => packet.get(6) == Some(&17),
    });
    let transport = if udp { 8 } else { packet.get(header_len + 12).map_or(20, |byte| usize::from(byte >> 4) * 4) };
    packet.len().min(header_len + transport + size)
}
