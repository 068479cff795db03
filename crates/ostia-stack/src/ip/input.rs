//! The way in: link-layer checks, the IP header, what it may and may not say, and whom the packet is for.

use core::net::{Ipv4Addr, Ipv6Addr};

use ostia_wire::ethernet::{self, EtherType, Ethernet};
use ostia_wire::ipv4::Ipv4;
use ostia_wire::ipv4_options::Ipv4Option;
use ostia_wire::ipv6::Ipv6;
use ostia_wire::ipv6_extensions::{FRAGMENT_HEADER_LEN, Report, UNKNOWN_OPTION};
use ostia_wire::{Frame, Vlan};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::forward::Transit;
use crate::ip::icmp_out::Problem;
use crate::ip::link::{LOOPBACK, LinkId, Medium};
use crate::ip::packet::{Input, Packet, protocol};
use crate::ip::reassembly::{Fragment, Outcome};
use crate::trace::{Direction, Layer};

const DHCP_CLIENT: u16 = 68;

/// Octets of a VLAN's tag.
const TAG_LEN: usize = 4;

/// How a packet came.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) link: LinkId,
    /// This host has sent it to itself: it has been checked, and its source is ours.
    pub(super) own: bool,
    /// The frame was for everybody, or for a group, on the link.
    group: bool,
    /// It was put together from fragments: it has been counted and checked before.
    whole: bool,
}

impl Ip {
    /// Takes a frame that has arrived on a link.
    pub(crate) fn input(&mut self, link: LinkId, frame: Frame, env: &mut Env) -> Input {
        env.passes(Layer::Link, Direction::Up, Some(link), frame.as_slice());
        self.receive(link, frame, env).unwrap_or_else(|reason| {
            env.drop(reason);
            Input::None
        })
    }

    fn receive(&mut self, id: LinkId, mut frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        let link = self.link(id).filter(|link| link.up).ok_or(Reason::LinkDown)?;
        let mut arrival = Arrival { link: id, own: false, group: false, whole: false };
        if let Medium::Ethernet(own) = link.config.medium {
            let ethernet = Ethernet::parse(frame.as_slice()).map_err(|_| Reason::Malformed)?;
            let (to, from, ethertype) = (ethernet.destination(), ethernet.source(), ethernet.ethertype());
            if to != own && !to.is_multicast() {
                return Err(Reason::OtherHost);
            }
            // Our own frame, sent back by the link, says nothing; least of all that somebody else has our address.
            if !from.is_unicast() || from == own {
                return Err(Reason::MartianSource);
            }
            arrival.group = to.is_multicast();
            frame.pull(ethernet::HEADER_LEN);
            // A tag without a VLAN has a priority only: the frame is as one without (IEEE 802.1Q, 6.9).
            let ethertype = match Vlan::parse(frame.as_slice()) {
                Ok(tag) if ethertype == EtherType::VLAN && tag.identifier() == 0 => {
                    let inner = tag.ethertype();
                    frame.pull(TAG_LEN);
                    inner
                }
                _ => ethertype,
            };
            return match ethertype {
                EtherType::IPV4 | EtherType::IPV6 => self.input_ip(arrival, frame, env),
                EtherType::ARP => self.input_arp(id, frame.as_slice(), to, env).map(|()| Input::None),
                _ => Err(Reason::UnknownProtocol),
            };
        }
        self.input_ip(arrival, frame, env)
    }

    /// Takes the next packet that this host has sent to itself; none when there is none left.
    pub(crate) fn next_local(&mut self, env: &mut Env) -> Option<Input> {
        match self.local.pop_front()? {
            super::Local::Frame(link, frame) => {
                env.memory.give(frame.truesize());
                let arrival = Arrival { link, own: true, group: false, whole: false };
                let input = self.input_ip(arrival, frame, env);
                Some(input.unwrap_or_else(|reason| {
                    env.drop(reason);
                    Input::None
                }))
            }
            super::Local::Copy(packet) => {
                env.memory.give(packet.frame.truesize());
                Some(Input::Packet(packet))
            }
            super::Local::Error(quoted) => Some(Input::Error(quoted)),
        }
    }

    #[inline]
    fn input_ip(&mut self, arrival: Arrival, frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        env.passes(Layer::Network, Direction::Up, Some(arrival.link), frame.as_slice());
        match frame.as_slice().first().map(|first| first >> 4) {
            Some(4) => self.input_v4(arrival, frame, env),
            Some(6) => self.input_v6(arrival, frame, env),
            _ => Err(Reason::Malformed),
        }
    }

    fn input_v4(&mut self, arrival: Arrival, mut frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        if !arrival.whole {
            env.counters.ip_in_receives += 1;
        }
        let header = Ipv4::parse(frame.as_slice()).map_err(|_| Reason::Malformed)?;
        if !arrival.own && !arrival.whole && !header.verify_checksum() {
            return Err(Reason::IpChecksum);
        }
        let (header_len, total_len) = (header.header_len(), header.total_len());
        if header_len > ostia_wire::ipv4::HEADER_LEN {
            check_options(&header)?;
        }
        let (source, destination) = (Address::from(header.source()), Address::from(header.destination()));
        let protocol = header.protocol();
        let (ttl, tos, dont_fragment) = (header.ttl(), header.tos(), header.dont_fragment());
        if header.is_fragment() {
            frame.truncate(total_len);
            return self.input_fragment_v4(arrival, frame, env);
        }
        let unicast = self.is_local(destination);
        if !arrival.own {
            self.check_source_v4(arrival.link, header.source(), protocol)?;
            check_destination_v4(header.destination())?;
        }
        frame.truncate(total_len);
        if !unicast {
            if protocol == protocol::UDP && self.is_for_dhcp(arrival.link, &frame, header_len) {
                self.input_dhcp(arrival.link, &frame, header_len, (source, destination), env)?;
                return Ok(Input::None);
            }
            let link = self.link(arrival.link);
            let everybody = link.is_some_and(|link| link.is_broadcast(destination));
            if !everybody && !self.is_member(arrival.link, destination, env) {
                let transit = Transit { link: arrival.link, source, destination, hop_limit: ttl, header_len, dont_fragment };
                return self.not_for_us(arrival, &transit, frame, env);
            }
        } else if arrival.group {
            // What the link gives to everybody is not for one address (RFC 1122, 3.3.6).
            return Err(Reason::OtherHost);
        } else if protocol == protocol::UDP && self.is_for_dhcp(arrival.link, &frame, header_len) {
            self.input_dhcp(arrival.link, &frame, header_len, (source, destination), env)?;
            return Ok(Input::None);
        }
        frame.pull(header_len);
        let packet = Packet {
            frame,
            header_len: header_len as u16,
            link: arrival.link,
            source,
            destination,
            protocol,
            hop_limit: ttl,
            traffic_class: tos,
            unicast,
        };
        env.counters.ip_in_delivers += 1;
        match protocol {
            protocol::ICMP => self.input_icmp_v4(packet, env),
            protocol::IGMP => {
                self.input_igmp(&packet, env)?;
                self.used(packet)
            }
            _ => Ok(Input::Packet(packet)),
        }
    }

    fn input_v6(&mut self, arrival: Arrival, mut frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        if !arrival.whole {
            env.counters.ip_in_receives += 1;
        }
        let header = Ipv6::parse(frame.as_slice()).map_err(|_| Reason::Malformed)?;
        let (source, destination) = (Address::from(header.source()), Address::from(header.destination()));
        let (hop_limit, traffic_class, total_len) = (header.hop_limit(), header.traffic_class(), header.total_len());
        if !arrival.own {
            check_source_v6(header.source(), header.next_header())?;
            check_destination_v6(header.destination())?;
            // Nobody else sends from our addresses (LAND among others). While one is being asked for, NDP looks at it.
            if self.is_local(source) && self.is_of_link(source, arrival.link) {
                return Err(Reason::MartianSource);
            }
        }
        let unicast = self.is_local(destination) && self.is_of_link(destination, arrival.link);
        if !unicast && !self.is_member(arrival.link, destination, env) {
            frame.truncate(total_len);
            let header_len = ostia_wire::ipv6::HEADER_LEN;
            let transit = Transit { link: arrival.link, source, destination, hop_limit, header_len, dont_fragment: true };
            return self.not_for_us(arrival, &transit, frame, env);
        }
        if unicast && arrival.group {
            return Err(Reason::OtherHost);
        }
        let upper = match header.upper() {
            Ok(upper) => upper,
            Err(problem) => {
                if let Some(report) = problem.report {
                    frame.truncate(total_len);
                    self.report_extension(&frame, arrival.link, report, env);
                }
                return Err(Reason::ExtensionHeader);
            }
        };
        // What its first header doesn't show.
        let fragmented = arrival.whole || upper.fragment.is_some();
        if source.is_unspecified() && !arrival.own && (upper.protocol != protocol::ICMPV6 || fragmented) {
            return Err(Reason::MartianSource);
        }
        if let Some(fragment) = upper.fragment.filter(|fragment| !fragment.is_whole()) {
            let bytes = header.as_bytes();
            let data_at = fragment.data_at;
            let fragment = Fragment {
                source,
                destination,
                identification: fragment.identification,
                protocol: fragment.next_header,
                offset: fragment.offset,
                more: fragment.more,
                ecn: header.ecn(),
                link: arrival.link,
                head: bytes.get(..data_at).unwrap_or_default(),
                kept: data_at.saturating_sub(FRAGMENT_HEADER_LEN),
                next_header_at: fragment.named_at,
                payload: bytes.get(data_at..).unwrap_or_default(),
            };
            return match self.reassembly.input(&fragment, env) {
                Outcome::Whole(whole) => self.input_v6(Arrival { whole: true, ..arrival }, whole, env),
                Outcome::Waiting => Ok(Input::None),
                Outcome::Dropped(reason) => Err(reason),
            };
        }
        let (header_len, protocol, alerted) = (upper.offset, upper.protocol, upper.router_alert.is_some());
        frame.truncate(total_len);
        frame.pull(header_len);
        let packet = Packet {
            frame,
            header_len: header_len as u16,
            link: arrival.link,
            source,
            destination,
            protocol,
            hop_limit,
            traffic_class,
            unicast,
        };
        env.counters.ip_in_delivers += 1;
        match protocol {
            protocol::ICMPV6 => self.input_icmp_v6(packet, Origin { alerted, own: arrival.own, fragmented }, env),
            ostia_wire::protocol::NO_NEXT_HEADER => Ok(Input::None),
            _ => Ok(Input::Packet(packet)),
        }
    }

    #[cold]
    fn input_fragment_v4(&mut self, arrival: Arrival, frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        let header = Ipv4::parse(frame.as_slice()).map_err(|_| Reason::Malformed)?;
        let (source, destination) = (Address::from(header.source()), Address::from(header.destination()));
        if !arrival.own {
            self.check_source_v4(arrival.link, header.source(), header.protocol())?;
            check_destination_v4(header.destination())?;
        }
        let everybody = self.link(arrival.link).is_some_and(|link| link.is_broadcast(destination));
        if !self.is_local(destination) && !everybody && !self.is_member(arrival.link, destination, env) {
            let transit = Transit {
                link: arrival.link,
                source,
                destination,
                hop_limit: header.ttl(),
                header_len: header.header_len(),
                dont_fragment: header.dont_fragment(),
            };
            return self.not_for_us(arrival, &transit, frame, env);
        }
        let fragment = Fragment {
            source,
            destination,
            identification: u32::from(header.identification()),
            protocol: header.protocol(),
            offset: header.fragment_offset(),
            more: header.more_fragments(),
            ecn: header.ecn(),
            link: arrival.link,
            head: frame.as_slice().get(..header.header_len()).unwrap_or_default(),
            kept: header.header_len(),
            next_header_at: 0,
            payload: header.payload(),
        };
        match self.reassembly.input(&fragment, env) {
            Outcome::Whole(whole) => self.input_v4(Arrival { whole: true, ..arrival }, whole, env),
            Outcome::Waiting => Ok(Input::None),
            Outcome::Dropped(reason) => Err(reason),
        }
    }

    /// A packet for somebody else: sent on, if this host does that.
    fn not_for_us(&mut self, arrival: Arrival, transit: &Transit, frame: Frame, env: &mut Env) -> Result<Input, Reason> {
        if !env.config.forwarding {
            return Err(Reason::NotForUs);
        }
        // Forwarding what everybody on the link got would multiply it (RFC 1812, 5.3.4).
        if arrival.group || arrival.own {
            return Err(Reason::NotForUs);
        }
        self.forward(transit, frame, env)?;
        Ok(Input::None)
    }

    fn report_extension(&mut self, frame: &Frame, link: LinkId, report: Report, env: &mut Env) {
        // Code 2 goes out about packets to groups, too, but only where the option's kind says so.
        let group = Ipv6::parse(frame.as_slice()).is_ok_and(|header| header.destination().is_multicast());
        if group && report.code == UNKNOWN_OPTION && !report.multicast_too {
            return;
        }
        self.report(frame.as_slice(), link, Problem::Parameter(report.code, report.pointer), env);
    }

    /// Whether packets to a group on a link are wanted; those to all hosts always are.
    fn is_member(&self, id: LinkId, group: Address, env: &Env) -> bool {
        if !group.is_multicast() {
            return false;
        }
        let all =
            group.v4() == Some(Ipv4Addr::new(224, 0, 0, 1)) || group.v6() == Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        // All routers, as long as we are one (RFC 4291, 2.8).
        let routers = env.config.forwarding && group.v6() == Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));
        all || routers || self.link(id).is_some_and(|link| link.groups.contains(group))
    }

    /// An own link-local address is ours on its own link only: on another it may be somebody else's.
    pub(super) fn is_of_link(&self, own: Address, id: LinkId) -> bool {
        !own.is_link_local_v6()
            || id == LOOPBACK
            || self.link(id).is_some_and(|link| link.addresses.get(own).is_some_and(|own| own.is_usable()))
    }

    fn is_for_dhcp(&self, id: LinkId, frame: &Frame, header_len: usize) -> bool {
        self.link(id).is_some_and(|link| link.dhcp.is_some())
            && frame.as_slice().get(header_len + 2..header_len + 4) == Some(&DHCP_CLIENT.to_be_bytes())
    }

    /// Whether a packet from elsewhere can have this source (RFC 1122, 3.2.1.3; RFC 6890).
    #[inline]
    fn check_source_v4(&self, id: LinkId, source: Ipv4Addr, protocol: u8) -> Result<(), Reason> {
        let [first, ..] = source.octets();
        // A switch that asks for members on a router's behalf has no address (RFC 4541, 2.1.1).
        let switch = source.is_unspecified() && protocol == protocol::IGMP;
        let dhcp = source.is_unspecified() && protocol == protocol::UDP;
        let impossible = (first == 0 && !switch && !dhcp) || first == 127 || first >= 224;
        let address = Address::from(source);
        if impossible || self.is_local(address) || self.link(id).is_some_and(|link| link.is_broadcast(address)) {
            return Err(Reason::MartianSource);
        }
        Ok(())
    }
}

/// Where an ICMPv6 message came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// Its packet has a router alert.
    pub(crate) alerted: bool,
    /// This host has sent it.
    pub(crate) own: bool,
    /// Its packet has, or had, a fragment header.
    pub(crate) fragmented: bool,
}

/// Source routes are refused, and what can't be read (RFC 7126, 4.3 and 4.4). Other options change nothing here.
#[cold]
fn check_options(header: &Ipv4<'_>) -> Result<(), Reason> {
    for option in header.options() {
        match option.map_err(|_| Reason::Malformed)? {
            Ipv4Option::LooseSourceRoute(_) | Ipv4Option::StrictSourceRoute(_) => return Err(Reason::SourceRoute),
            _ => {}
        }
    }
    Ok(())
}

fn check_destination_v4(destination: Ipv4Addr) -> Result<(), Reason> {
    let [first, ..] = destination.octets();
    let impossible = first == 0 || first == 127 || (first >= 240 && !destination.is_broadcast());
    if impossible { Err(Reason::MartianDestination) } else { Ok(()) }
}

/// An IPv4 address as an IPv6 one is never on a wire, nor is the host's own (RFC 4291, 2.5.3; RFC 6890). Only ICMPv6 is sent by
/// who has no address yet (RFC 4861, 4.3; RFC 3590): behind a hop-by-hop header, if it is MLD.
#[inline]
fn check_source_v6(source: Ipv6Addr, next_header: u8) -> Result<(), Reason> {
    let nobody = source.is_unspecified() && next_header != protocol::ICMPV6 && next_header != 0;
    if nobody || source.is_multicast() || source.is_loopback() || source.to_ipv4_mapped().is_some() {
        return Err(Reason::MartianSource);
    }
    Ok(())
}

#[inline]
fn check_destination_v6(destination: Ipv6Addr) -> Result<(), Reason> {
    let [first, second, ..] = destination.octets();
    // The scopes of groups that never leave a host, or that mean nothing (RFC 4291, 2.7).
    let inside = first == 0xff && second & 0xf <= 1;
    if inside || destination.is_unspecified() || destination.is_loopback() || destination.to_ipv4_mapped().is_some() {
        return Err(Reason::MartianDestination);
    }
    Ok(())
}
