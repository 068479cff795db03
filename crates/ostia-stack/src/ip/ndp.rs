//! Neighbour discovery for IPv6 (RFC 4861): what is valid, what is answered, and what is asked.

use core::net::Ipv6Addr;

use ostia_wire::icmpv6::Icmpv6;
use ostia_wire::ndp::HOP_LIMIT;
use ostia_wire::{MacAddr, NdpMessage, NdpOption, NdpOptions};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::input::Origin;
use crate::ip::link::LinkId;
use crate::ip::manage::solicited_node;
use crate::ip::neighbours::{Advert, Solicit};
use crate::ip::output::{OwnV6, group_mac};
use crate::ip::packet::Packet;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

impl Ip {
    /// A message of neighbour discovery, whose checksum is right.
    pub(super) fn input_ndp(&mut self, packet: &Packet, origin: Origin, env: &mut Env) -> Result<(), Reason> {
        // What has been forwarded is not from this link (RFC 4861, 6.1 and 7.1).
        // Nor is what has come in fragments: others can't look into it (RFC 6980, 5).
        if packet.hop_limit != HOP_LIMIT || origin.own || origin.fragmented {
            return Err(Reason::NdpInvalid);
        }
        let message = Icmpv6::parse(packet.frame.as_slice()).map_err(|_| Reason::Malformed)?;
        let (message, options) = NdpMessage::parse(&message).map_err(|_| Reason::NdpInvalid)?;
        let ethernet = self.link(packet.link).is_some_and(|link| link.mac().is_some());
        match message {
            // Only routers answer these, and this host doesn't advertise.
            NdpMessage::RouterSolicitation => Ok(()),
            NdpMessage::RouterAdvertisement(advert) => {
                if !packet.source.is_link_local_v6() {
                    return Err(Reason::NdpInvalid);
                }
                self.input_router_advert(packet.link, packet.source, advert, options, env)
            }
            // Where there are no link addresses, nobody has to be found.
            _ if !ethernet => Err(Reason::NdpInvalid),
            NdpMessage::NeighbourSolicitation { target } => self.input_solicitation(packet, target, &options, env),
            NdpMessage::NeighbourAdvertisement { router, solicited, replace, target } => {
                if target.is_multicast() || (packet.destination.is_multicast() && solicited) {
                    return Err(Reason::NdpInvalid);
                }
                let advert = Advert { target: target.into(), mac: target_mac(&options), solicited, overrides: replace, router };
                self.input_advertisement(packet.link, advert, env)
            }
            NdpMessage::Redirect { target, destination } => {
                self.input_redirect_v6(packet, destination.into(), target.into(), target_mac(&options), env)
            }
        }
    }

    fn input_solicitation(
        &mut self,
        packet: &Packet,
        target: Ipv6Addr,
        options: &NdpOptions<'_>,
        env: &mut Env,
    ) -> Result<(), Reason> {
        let id = packet.link;
        let unknown = packet.source.is_unspecified();
        let from = source_mac(options);
        let target = Address::from(target);
        if target.is_multicast() || (unknown && (from.is_some() || Some(packet.destination) != solicited_node(target))) {
            return Err(Reason::NdpInvalid);
        }
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Reason::LinkDown)?;
        let Some(own) = link.addresses.get(target) else { return Err(Reason::NotForUs) };
        if !own.is_usable() {
            // Somebody else asks for the address that we ask for: neither gets it (RFC 4862, 5.4.3).
            if unknown && link.addresses.is_duplicate(target) {
                self.address_conflict(id, target, env);
            }
            return Ok(());
        }
        if !unknown && let Some(mac) = from {
            let released = link.neighbours.seen(packet.source, mac, None, env);
            self.release(id, released, env);
        }
        if self.out.is_full(&env.memory) {
            return Err(Reason::TransmitQueue);
        }
        // Who has no address yet is told with everybody (RFC 4861, 7.2.4).
        let to = if unknown { Address::from(ALL_NODES) } else { packet.source };
        self.advertise(id, target, to, !unknown, from, env);
        Ok(())
    }

    fn input_advertisement(&mut self, id: LinkId, advert: Advert, env: &mut Env) -> Result<(), Reason> {
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Reason::LinkDown)?;
        if link.addresses.is_duplicate(advert.target) {
            self.address_conflict(id, advert.target, env);
            return Ok(());
        }
        if link.addresses.get(advert.target).is_some() {
            // Somebody claims what we have (RFC 4862, 5.4.4): told, but not given up.
            return Err(Reason::AddressConflict);
        }
        let released = link.neighbours.advertised(advert, env);
        if released.resigned {
            self.router_resigned(id, advert.target);
        }
        self.release(id, released, env);
        Ok(())
    }

    /// Says unasked that an own address is here (RFC 4861, 7.2.6).
    pub(super) fn advertise_to_all(&mut self, id: LinkId, own: Address, env: &mut Env) {
        self.advertise(id, own, ALL_NODES.into(), false, None, env);
    }

    /// Says that an own address is here.
    fn advertise(&mut self, id: LinkId, own: Address, to: Address, solicited: bool, mac: Option<MacAddr>, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let (Some(own_mac), Some(target)) = (link.mac(), own.v6()) else { return };
        let message = NdpMessage::NeighbourAdvertisement { router: env.config.forwarding, solicited, replace: true, target };
        let option = NdpOption::TargetLinkLayer(own_mac);
        // To the sender's own link address, if it has told one; else to that which is known of it.
        let mac = group_mac(to).or(mac).or_else(|| link.neighbours.lookup(to, env));
        match mac {
            Some(mac) => self.send_ndp(id, own, to, &message, &[option], mac, env),
            // The answer waits in its turn for the asker's link address (RFC 4861, 7.2.4).
            None => {
                let Some(frame) = self.ndp_frame(own, to, &message, &[option], env) else { return };
                self.send(id, to, frame, env);
            }
        }
    }

    /// Asks for a neighbour's link address, or whether it is still there.
    pub(super) fn solicit(&mut self, id: LinkId, ask: Solicit, env: &mut Env) {
        // An address of the link itself, for the answer comes to it (RFC 4861, 7.2.2).
        let own = self.select_source(ask.target, id);
        let Some(target) = ask.target.v6() else {
            if let (Some(target), Some(own)) = (ask.target.v4(), own.and_then(Address::v4)) {
                self.ask_arp(id, target, ask.to, own, env);
            }
            return;
        };
        let (Some(own), Some(own_mac)) = (own, self.link(id).and_then(|link| link.mac())) else { return };
        let message = NdpMessage::NeighbourSolicitation { target };
        let option = [NdpOption::SourceLinkLayer(own_mac)];
        let Some(group) = solicited_node(ask.target) else { return };
        let (to, mac) = match ask.to {
            Some(mac) => (ask.target, mac),
            None => (group, MacAddr::multicast_v6(ostia_wire::ndp::solicited_node(target))),
        };
        self.send_ndp(id, own, to, &message, &option, mac, env);
    }

    /// Asks whether somebody has an address that is to be ours (RFC 4862, 5.4.2; RFC 5227, 2.1.1).
    pub(super) fn probe_address(&mut self, id: LinkId, address: Address, env: &mut Env) {
        if let Some(v4) = address.v4() {
            return self.ask_arp(id, v4, None, core::net::Ipv4Addr::UNSPECIFIED, env);
        }
        let (Some(target), Some(group)) = (address.v6(), solicited_node(address)) else { return };
        let message = NdpMessage::NeighbourSolicitation { target };
        let mac = MacAddr::multicast_v6(ostia_wire::ndp::solicited_node(target));
        self.send_ndp(id, Address::UNSPECIFIED, group, &message, &[], mac, env);
    }

    /// Asks for routers (RFC 4861, 6.3.7).
    pub(super) fn send_router_solicit(&mut self, id: LinkId, env: &mut Env) {
        let Some(link) = self.link(id) else { return };
        let own = link.addresses.usable().map(|assigned| assigned.address).find(|address| address.is_link_local_v6());
        let option = link.mac().filter(|_| own.is_some()).map(NdpOption::SourceLinkLayer);
        let source = own.unwrap_or(Address::UNSPECIFIED);
        let mac = MacAddr::multicast_v6(ALL_ROUTERS);
        self.send_ndp(id, source, ALL_ROUTERS.into(), &NdpMessage::RouterSolicitation, option.as_slice(), mac, env);
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of the message")]
    fn send_ndp(
        &mut self,
        id: LinkId,
        source: Address,
        to: Address,
        message: &NdpMessage,
        options: &[NdpOption<'_>],
        mac: MacAddr,
        env: &mut Env,
    ) {
        if let Some(frame) = self.ndp_frame(source, to, message, options, env) {
            self.send_to_mac(id, mac, frame, env);
        }
    }

    fn ndp_frame(
        &mut self,
        source: Address,
        to: Address,
        message: &NdpMessage,
        options: &[NdpOption<'_>],
        env: &mut Env,
    ) -> Option<ostia_wire::Frame> {
        let (from, destination) = (source.v6()?, to.v6()?);
        let mut frame = ostia_wire::Frame::new(message.encoded_len(options));
        message.emit(options, from, destination, frame.extend_zeroed(message.encoded_len(options)));
        self.own_v6(
            OwnV6 { source: from, destination, hop_limit: HOP_LIMIT, next_header: ostia_wire::protocol::ICMPV6 },
            &mut frame,
            env,
        );
        Some(frame)
    }
}

fn source_mac(options: &NdpOptions<'_>) -> Option<MacAddr> {
    options.clone().find_map(|option| match option {
        NdpOption::SourceLinkLayer(mac) => Some(mac).filter(|mac| mac.is_unicast()),
        _ => None,
    })
}

fn target_mac(options: &NdpOptions<'_>) -> Option<MacAddr> {
    options.clone().find_map(|option| match option {
        NdpOption::TargetLinkLayer(mac) => Some(mac).filter(|mac| mac.is_unicast()),
        _ => None,
    })
}
