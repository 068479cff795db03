//! The way out: the IP header, fragments, the neighbour's link address, and packets for this host itself.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use ostia_wire::checksum::{fold, sum};
use ostia_wire::ethernet::{self, EtherType, MacAddr};
use ostia_wire::ipv4::Ipv4Emit;
use ostia_wire::ipv6::Ipv6Emit;
use ostia_wire::{Checksum, Frame};

use crate::Error;
use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::link::{LOOPBACK, LinkId, Medium, Transmit};
use crate::ip::neighbours::Released;
use crate::ip::packet::{Head, IpHeader, Packet, Quoted, Route};
use crate::ip::{Ip, Local};
use crate::trace::{Direction, Layer};

/// Packets that wait on their way to this host itself, at most.
const LOCAL_QUEUE: usize = 1024;
const V4_LEN: usize = 20;
const V6_LEN: usize = 40;
const FRAGMENT_LEN: usize = 8;
/// The longest headers of a super-segment: IPv6, and TCP with all its options.
const MOST_HEADERS: usize = 100;
const FRAGMENT_HEADER: u8 = 44;

impl Ip {
    /// Sends a transport packet: puts the IP header in front, makes fragments where that is needed and allowed, and finds the
    /// next hop's link address, for which the packet may have to wait.
    pub(crate) fn transmit(&mut self, route: &Route, head: &Head, mut frame: Frame, env: &mut Env) {
        env.counters.ip_out_requests += 1;
        let v4 = head.destination.is_v4();
        let super_segment = frame.meta.gso_size != 0;
        let length = frame.len() + if v4 { V4_LEN } else { V6_LEN };
        let mtu = match self.link(route.link) {
            _ if route.link == LOOPBACK => usize::MAX,
            Some(link) if link.up => route.mtu.min(link.mtu(v4)) as usize,
            _ => return env.drop(Reason::LinkDown),
        };
        let fits = super_segment || length <= mtu;
        if (!fits && head.dont_fragment) || length > 65_535 + if v4 { 0 } else { V6_LEN } {
            return env.drop(Reason::TooBig);
        }
        if !fits {
            frame.complete_checksum();
        }
        let payload = frame.len();
        self.write_header(head, payload, frame.push_front(length - payload));
        env.passes(Layer::Network, Direction::Down, Some(route.link), frame.as_slice());
        if route.link == LOOPBACK {
            return self.loop_back(LOOPBACK, frame, env);
        }
        // Members of a group on this host get a copy of what this host sends there (RFC 1112, 6.1).
        if head.destination.is_multicast() && self.link(route.link).is_some_and(|link| link.groups.contains(head.destination)) {
            self.loop_back(route.link, frame.clone(), env);
        }
        match (fits, v4) {
            (true, _) => self.send(route.link, route.next_hop, frame, env),
            (false, true) => self.fragment_v4(route.link, route.next_hop, &frame, mtu, env),
            (false, false) => self.fragment_v6(route.link, route.next_hop, &frame, mtu, head, env),
        }
    }

    /// The header of packets with that much payload which go out by a route as they are; none if they don't, being too long.
    pub(crate) fn header(&mut self, route: &Route, head: &Head, payload: usize) -> Option<IpHeader> {
        let v4 = head.destination.is_v4();
        let len = if v4 { V4_LEN } else { V6_LEN };
        let mtu = self.link(route.link).filter(|link| link.up).map(|link| route.mtu.min(link.mtu(v4)) as usize)?;
        let mut header = IpHeader { bytes: [0; V6_LEN], len };
        if len + payload > mtu {
            return None;
        }
        self.write_header(head, payload, header.bytes.get_mut(..len)?);
        Some(header)
    }

    /// Sends a packet that begins with such a [`header`](Self::header).
    #[inline]
    pub(crate) fn transmit_as_it_is(&mut self, route: &Route, packet: Frame, env: &mut Env) {
        env.counters.ip_out_requests += 1;
        env.passes(Layer::Network, Direction::Down, Some(route.link), packet.as_slice());
        self.send(route.link, route.next_hop, packet, env);
    }

    #[inline]
    fn write_header(&mut self, head: &Head, payload: usize, into: &mut [u8]) {
        match (head.source.ip(), head.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                // A packet that is never fragmented needs no identification (RFC 6864, 4.1).
                let identification = match head.dont_fragment {
                    true => 0,
                    false => self.identifications.next(head.source, head.destination, head.protocol) as u16,
                };
                let emit = Ipv4Emit {
                    source,
                    destination,
                    protocol: head.protocol,
                    ttl: head.hop_limit,
                    tos: head.traffic_class,
                    identification,
                    dont_fragment: head.dont_fragment,
                    more_fragments: false,
                    fragment_offset: 0,
                    options: &[],
                };
                emit.emit(into, payload);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let emit = Ipv6Emit {
                    source,
                    destination,
                    next_header: head.protocol,
                    hop_limit: head.hop_limit,
                    traffic_class: head.traffic_class,
                    flow_label: head.flow_label,
                };
                emit.emit(into, payload);
            }
            // The transports never mix families; a packet without a header is dropped by whoever gets it.
            _ => debug_assert!(false, "source and destination are of one family"),
        }
    }

    /// Cuts a whole IPv4 packet into fragments (RFC 791, 3.2). Options that ask for it are in each of them.
    pub(crate) fn fragment_v4(&mut self, link: LinkId, next_hop: Address, packet: &Frame, mtu: usize, env: &mut Env) {
        let bytes = packet.as_slice();
        let header_len = bytes.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        let Some((header, payload)) = bytes.split_at_checked(header_len.max(V4_LEN)) else { return };
        let later = header_of_later_fragments(header);
        let [flags, low] = [header[6], header[7]];
        let first_offset = usize::from(u16::from_be_bytes([flags & 0x1f, low]));
        let more_after = flags & 0x20 != 0;
        let (mut rest, mut offset) = (payload, first_offset);
        while !rest.is_empty() {
            let header = if offset == first_offset { header } else { &later };
            let room = (mtu.saturating_sub(header.len()) / 8 * 8).max(8);
            let (piece, after) = rest.split_at(room.min(rest.len()));
            let more = more_after || !after.is_empty();
            let mut fragment = Frame::from_slice(piece);
            let length = (header.len() + piece.len()) as u16;
            let front = fragment.push_front(header.len());
            front.copy_from_slice(header);
            front[0] = 0x40 | (header.len() / 4) as u8;
            front[2..4].copy_from_slice(&length.to_be_bytes());
            let [high, low] = ((offset & 0x1fff) as u16).to_be_bytes();
            front[6..8].copy_from_slice(&[high | if more { 0x20 } else { 0 }, low]);
            front[10..12].fill(0);
            let checksum = fold(sum(front, 0));
            front[10..12].copy_from_slice(&checksum.to_be_bytes());
            env.counters.ip_frag_creates += 1;
            self.send(link, next_hop, fragment, env);
            offset += piece.len() / 8;
            rest = after;
        }
    }

    /// Cuts an own IPv6 packet without extension headers into fragments (RFC 8200, 4.5).
    fn fragment_v6(&mut self, link: LinkId, next_hop: Address, packet: &Frame, mtu: usize, head: &Head, env: &mut Env) {
        let Some((header, mut rest)) = packet.as_slice().split_at_checked(V6_LEN) else { return };
        let identification = self.identifications.next(head.source, head.destination, FRAGMENT_HEADER).to_be_bytes();
        let room = (mtu.saturating_sub(V6_LEN + FRAGMENT_LEN) / 8 * 8).max(8);
        let mut offset = 0;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(room.min(rest.len()));
            let mut fragment = Frame::from_slice(piece);
            let front = fragment.push_front(FRAGMENT_LEN);
            let [high, low] = ((offset as u16) | u16::from(!after.is_empty())).to_be_bytes();
            front.copy_from_slice(&[[head.protocol, 0, high, low], identification].concat());
            let front = fragment.push_front(V6_LEN);
            front.copy_from_slice(header);
            front[4..6].copy_from_slice(&((FRAGMENT_LEN + piece.len()) as u16).to_be_bytes());
            front[6] = FRAGMENT_HEADER;
            env.counters.ip_frag_creates += 1;
            self.send(link, next_hop, fragment, env);
            offset += piece.len();
            rest = after;
        }
    }

    /// Sends a whole IP packet to a next hop on a link.
    pub(crate) fn send(&mut self, id: LinkId, next_hop: Address, mut frame: Frame, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)).filter(|link| link.up) else {
            return env.drop(Reason::LinkDown);
        };
        let most = link.config.gso_max as usize;
        if frame.meta.gso_size != 0 && (most == 0 || frame.len() > most + MOST_HEADERS) {
            let mut segments = Vec::new();
            if ostia_wire::segment(&frame, &mut |segment| segments.push(segment)).is_err() {
                return env.drop(Reason::Malformed);
            }
            for mut segment in segments {
                segment.meta.gso_size = 0;
                self.send(id, next_hop, segment, env);
            }
            return;
        }
        if !link.config.checksum_offload {
            frame.complete_checksum();
        }
        frame.meta.arrived = 0;
        if link.config.medium == Medium::Ip {
            return self.put_out(id, frame, env);
        }
        let mac = match group_mac(next_hop) {
            Some(mac) => mac,
            None => match link.neighbours.lookup(next_hop, env) {
                Some(mac) => mac,
                None if link.is_broadcast(next_hop) => MacAddr::BROADCAST,
                None => {
                    if let Some(ask) = link.neighbours.wait(next_hop, frame, env) {
                        self.solicit(id, ask, env);
                    }
                    return;
                }
            },
        };
        self.send_to_mac(id, mac, frame, env);
    }

    /// Sends a whole IP packet, or an ARP packet, to a link address.
    pub(crate) fn send_to_mac(&mut self, id: LinkId, destination: MacAddr, mut frame: Frame, env: &mut Env) {
        let Some(link) = self.links.get(usize::from(id.0)).filter(|link| link.up) else { return };
        if let Medium::Ethernet(source) = link.config.medium {
            let ethertype = match frame.as_slice().first().map(|first| first >> 4) {
                Some(4) => EtherType::IPV4,
                Some(6) => EtherType::IPV6,
                _ => EtherType::ARP,
            };
            ethernet::emit(frame.push_front(ethernet::HEADER_LEN), source, destination, ethertype);
        }
        self.put_out(id, frame, env);
    }

    /// A frame is ready for its device.
    #[inline]
    fn put_out(&mut self, link: LinkId, frame: Frame, env: &mut Env) {
        env.passes(Layer::Link, Direction::Down, Some(link), frame.as_slice());
        self.out.push(Transmit { link, frame });
    }

    /// Sends what has waited for a neighbour.
    pub(crate) fn release(&mut self, id: LinkId, released: Released, env: &mut Env) {
        let Some(mac) = released.mac else { return };
        for frame in released.frames {
            self.send_to_mac(id, mac, frame, env);
        }
    }

    /// Queues a whole IP packet for this host itself.
    pub(crate) fn loop_back(&mut self, link: LinkId, mut frame: Frame, env: &mut Env) {
        // It has not been on a wire: there is nothing that a checksum could find.
        frame.meta.checksum = Checksum::Valid;
        frame.meta.arrived = env.now.0;
        if self.local.len() >= LOCAL_QUEUE {
            return env.drop(Reason::LoopbackQueue);
        }
        if !env.memory.take(frame.truesize()) {
            return env.drop(Reason::Memory);
        }
        self.local.push_back(Local::Frame(link, frame));
    }

    /// Queues a copy of a packet that IP has used itself, for raw sockets.
    pub(crate) fn hand_up(&mut self, packet: Packet, env: &mut Env) {
        if self.local.len() < LOCAL_QUEUE && env.memory.take(packet.frame.truesize()) {
            self.local.push_back(Local::Copy(packet));
        }
    }

    /// Queues an error that this host itself has found.
    pub(crate) fn raise(&mut self, quoted: Quoted) {
        if self.local.len() < LOCAL_QUEUE {
            self.local.push_back(Local::Error(quoted));
        }
    }

    /// Puts the header in front of a packet of a link's own: neighbour discovery and MLD.
    pub(crate) fn own_v6(&mut self, own: OwnV6, frame: &mut Frame, env: &mut Env) {
        let OwnV6 { source, destination, hop_limit, next_header } = own;
        let payload = frame.len();
        let emit = Ipv6Emit { source, destination, next_header, hop_limit, traffic_class: 0, flow_label: 0 };
        emit.emit(frame.push_front(V6_LEN), payload);
        env.counters.ip_out_requests += 1;
        env.counters.icmp_out_msgs += 1;
    }

    /// Sends a whole IP packet whose header a program has written: the fields that it can't know are set (its length, the
    /// checksum, an identification and a source address that are 0).
    pub(crate) fn transmit_whole(&mut self, route: &Route, mut frame: Frame, env: &mut Env) -> Result<(), Error> {
        let length = frame.len();
        let v4 = route.next_hop.is_v4();
        let source = route.source;
        let bytes = frame.as_mut_slice();
        match (bytes.first().map(|first| first >> 4), source.ip()) {
            (Some(4), IpAddr::V4(own)) if length >= V4_LEN => {
                let header_len = usize::from(bytes[0] & 0xf) * 4;
                let header = bytes.get_mut(..header_len).filter(|header| header.len() >= V4_LEN).ok_or(Error::InvalidInput)?;
                let total = u16::try_from(length).map_err(|_| Error::MessageTooLong)?;
                header[2..4].copy_from_slice(&total.to_be_bytes());
                if header[12..16] == [0; 4] {
                    header[12..16].copy_from_slice(&own.octets());
                }
                if header[4..6] == [0; 2] {
                    let identification = self.identifications.next(source, route.next_hop, header[9]) as u16;
                    header[4..6].copy_from_slice(&identification.to_be_bytes());
                }
                header[10..12].fill(0);
                let checksum = fold(sum(header, 0));
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            (Some(6), IpAddr::V6(_)) if length >= V6_LEN => {
                let payload = u16::try_from(length - V6_LEN).map_err(|_| Error::MessageTooLong)?;
                bytes[4..6].copy_from_slice(&payload.to_be_bytes());
            }
            _ => return Err(Error::InvalidInput),
        }
        let dont_fragment = !v4 || bytes[6] & 0x40 != 0;
        env.counters.ip_out_requests += 1;
        if route.link == LOOPBACK {
            self.loop_back(LOOPBACK, frame, env);
            return Ok(());
        }
        let mtu = self.path_mtu(route) as usize;
        match (length > mtu, dont_fragment) {
            (false, _) => self.send(route.link, route.next_hop, frame, env),
            (true, false) => self.fragment_v4(route.link, route.next_hop, &frame, mtu, env),
            (true, true) => return Err(Error::MessageTooLong),
        }
        Ok(())
    }
}

/// What the header of a packet of a link's own says.
pub(crate) struct OwnV6 {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    pub(crate) next_header: u8,
}

/// The link address of a group (RFC 1112, 6.4; RFC 2464, 7).
pub(crate) fn group_mac(group: Address) -> Option<MacAddr> {
    match group.ip() {
        IpAddr::V4(v4) if v4.is_multicast() => Some(MacAddr::multicast_v4(v4)),
        IpAddr::V6(v6) if v6.is_multicast() => Some(MacAddr::multicast_v6(v6)),
        _ => None,
    }
}

/// The header with the options that are to be copied into every fragment (RFC 791, 3.1), filled up to a multiple of four.
fn header_of_later_fragments(header: &[u8]) -> Vec<u8> {
    const COPIED: u8 = 0x80;
    let (fixed, mut options) = header.split_at(V4_LEN.min(header.len()));
    let mut later = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => break,
            (1, _) => options = rest,
            (_, [length, ..]) => {
                let Some((option, after)) = options.split_at_checked(usize::from(*length).max(2)) else { break };
                if kind & COPIED != 0 {
                    later.extend_from_slice(option);
                }
                options = after;
            }
            _ => break,
        }
    }
    later.resize(later.len().next_multiple_of(4), 0);
    later
}
