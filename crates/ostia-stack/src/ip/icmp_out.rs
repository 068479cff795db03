//! ICMP errors to the senders of packets that can't be taken or sent on (RFC 792, RFC 1122 3.2.2, RFC 4443).

use core::net::IpAddr;

use ostia_wire::checksum::{fold, pseudo, sum};
use ostia_wire::protocol::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING};
use ostia_wire::{Frame, Ipv6, Quote};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::link::{LOOPBACK, LinkId};
use crate::ip::packet::{Head, Packet, Refusal, protocol};

/// The longest ICMPv4 error with its IP header (RFC 1812, 4.3.2.3), and the longest ICMPv6 error (RFC 4443, 2.4 c).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1280;
const HEADER_LEN: usize = 8;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    /// It has no hop left.
    HopLimit,
    /// Its fragments were not completed in time.
    Reassembly,
    /// No route leads to its destination.
    NoRoute,
    /// The next hop doesn't answer.
    NoNeighbour,
    /// It is longer than this MTU.
    TooBig(u32),
    /// Nobody listens on its port.
    Port,
    /// Nobody knows its protocol; where its number stands.
    Protocol(u32),
    /// It isn't wanted.
    Prohibited,
    /// A field makes no sense: the code of ICMPv6, and where the field is. ICMPv4's pointer has one byte.
    Parameter(u8, u32),
}

impl Problem {
    /// Type, code, and the four bytes behind the checksum.
    fn message(self, v4: bool) -> (u8, u8, u32) {
        match (self, v4) {
            (Problem::NoRoute, true) => (3, 0, 0),
            (Problem::NoNeighbour, true) => (3, 1, 0),
            (Problem::Protocol(_), true) => (3, 2, 0),
            (Problem::Port, true) => (3, 3, 0),
            (Problem::TooBig(mtu), true) => (3, 4, mtu.min(0xffff)),
            (Problem::Prohibited, true) => (3, 13, 0),
            (Problem::HopLimit, true) => (11, 0, 0),
            (Problem::Reassembly, true) => (11, 1, 0),
            (Problem::Parameter(_, pointer), true) => (12, 0, pointer.min(255) << 24),
            (Problem::NoRoute, false) => (1, 0, 0),
            (Problem::Prohibited, false) => (1, 1, 0),
            (Problem::NoNeighbour, false) => (1, 3, 0),
            (Problem::Port, false) => (1, 4, 0),
            (Problem::TooBig(mtu), false) => (2, 0, mtu),
            (Problem::HopLimit, false) => (3, 0, 0),
            (Problem::Reassembly, false) => (3, 1, 0),
            // Unrecognized next header (RFC 4443, 3.4).
            (Problem::Protocol(pointer), false) => (4, 1, pointer),
            (Problem::Parameter(code, pointer), false) => (4, code, pointer),
        }
    }

    /// Whether it may be told of a packet to a group: path MTU discovery and the options' action need it (RFC 4443, 2.4 e.3).
    fn is_for_groups(self, v4: bool) -> bool {
        !v4 && matches!(self, Problem::TooBig(_) | Problem::Parameter(2, _))
    }
}

impl Ip {
    /// Tells the sender of a packet that the layer above doesn't take it. A packet of a protocol that nobody knows is counted as
    /// dropped here; for the others whoever refuses them does that.
    pub(crate) fn refuse(&mut self, packet: &Packet, why: Refusal, env: &mut Env) {
        let mut whole = packet.frame.clone();
        whole.push_front(usize::from(packet.header_len));
        // What a device has left undone was never on any wire; who reads the quote has no other word for it.
        whole.complete_checksum();
        let problem = match why {
            Refusal::Port => Problem::Port,
            Refusal::Protocol => {
                env.drop(Reason::UnknownProtocol);
                Problem::Protocol(next_header_at(whole.as_slice()))
            }
            Refusal::Prohibited => Problem::Prohibited,
        };
        self.report(whole.as_slice(), packet.link, problem, env);
    }

    /// Tells the sender of a packet, which is given from its IP header on, what is wrong with it. Never about an ICMP error, to or
    /// about a group, or more often than the limit allows; about a fragment but the first over IPv6 alone (RFC 1122, 3.2.2, forbids
    /// it; RFC 8200, 4.5, wants it).
    pub(crate) fn report(&mut self, about: &[u8], link: LinkId, problem: Problem, env: &mut Env) {
        let Some(quote) = start(about) else { return };
        let (source, destination) = (Address::from(quote.source), Address::from(quote.destination));
        let v4 = source.is_v4();
        if !self.may_report(&quote, link, problem) {
            return;
        }
        if !self.errors.allow(env.now, env.random.u32()) {
            return env.drop(Reason::RateLimit);
        }
        if self.out.is_full(&env.memory) {
            return env.drop(Reason::TransmitQueue);
        }
        let own = Some(destination).filter(|&destination| self.is_local(destination));
        let zone = if source.is_link_local_v6() && link != LOOPBACK { link.0 + 1 } else { 0 };
        let Ok(route) = self.route(source, own, zone) else { return };
        let room = if v4 { LONGEST_V4 - 20 } else { LONGEST_V6 - 40 } - HEADER_LEN;
        let (kind, code, rest) = problem.message(v4);
        let mut frame = Frame::new(HEADER_LEN + about.len().min(room));
        frame.extend(&[kind, code, 0, 0]);
        frame.extend(&rest.to_be_bytes());
        frame.extend(about.get(..room).unwrap_or(about));
        self.send_icmp(&route, source, 0, frame, env);
    }

    /// Completes the checksum of an ICMP message and sends it.
    pub(crate) fn send_icmp(
        &mut self,
        route: &crate::ip::packet::Route,
        destination: Address,
        traffic_class: u8,
        mut frame: Frame,
        env: &mut Env,
    ) {
        let v4 = destination.is_v4();
        let initial = match (route.source.ip(), destination.ip()) {
            (source @ IpAddr::V6(_), destination @ IpAddr::V6(_)) => {
                pseudo(source, destination, protocol::ICMPV6, frame.len() as u32)
            }
            _ => 0,
        };
        let message = frame.as_mut_slice();
        if let Some(field) = message.get_mut(2..4) {
            field.fill(0);
        }
        let checksum = fold(sum(message, initial));
        if let Some(field) = message.get_mut(2..4) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
        env.counters.icmp_out_msgs += 1;
        let head = Head {
            source: route.source,
            destination,
            protocol: if v4 { protocol::ICMP } else { protocol::ICMPV6 },
            hop_limit: env.config.hop_limit,
            traffic_class,
            flow_label: 0,
            dont_fragment: false,
        };
        self.transmit(route, &head, frame, env);
    }

    fn may_report(&self, quote: &Quote<'_>, link: LinkId, problem: Problem) -> bool {
        let (source, destination) = (Address::from(quote.source), Address::from(quote.destination));
        let v4 = source.is_v4();
        let broadcast = |address| self.link(link).is_some_and(|link| link.is_broadcast(address));
        let nobody = source.is_unspecified() || source.is_multicast() || (source.is_loopback() && link != LOOPBACK);
        let reserved = source.v4().is_some_and(|v4| v4.octets()[0] == 0 || v4.octets()[0] >= 240);
        let group = destination.is_multicast() || (v4 && broadcast(destination));
        if nobody || reserved || broadcast(source) || (group && !problem.is_for_groups(v4)) {
            return false;
        }
        // Not about an ICMP error. What isn't known to be none counts as one.
        let kind = quote.transport.first();
        match quote.protocol {
            protocol::ICMP if v4 => matches!(kind, Some(0 | 8..=10 | 13..=18)),
            protocol::ICMPV6 if !v4 => kind.is_some_and(|&kind| kind >= 128 && kind != 137),
            // A later fragment, which doesn't show what it is of.
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS if !v4 => false,
            _ => true,
        }
    }
}

/// The start of a packet that is told of.
fn start(packet: &[u8]) -> Option<Quote<'_>> {
    match packet.first()? >> 4 {
        4 => Quote::v4(packet).ok(),
        _ => Quote::v6_fragment(packet).ok().map(|(quote, _)| quote),
    }
}

/// Where the number of the payload's protocol stands.
fn next_header_at(packet: &[u8]) -> u32 {
    match packet.first().map(|first| first >> 4) {
        Some(6) => Ipv6::parse(packet).ok().and_then(|header| header.upper().ok()).map_or(6, |upper| upper.named_at as u32),
        _ => 9,
    }
}
