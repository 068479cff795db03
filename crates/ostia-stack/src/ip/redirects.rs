//! Redirects: a router says which first hop is the better one for a destination (RFC 1122, 3.2.2.2; RFC 4861, 8).
//!
//! Whoever sends one may lie, so a host believes it of nobody but the router that it would use, and only another first hop on the
//! same link. What it says counts for that destination alone, as long as the route still names that router.

use core::time::Duration;

use ostia_wire::MacAddr;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::icmp::quote;
use crate::ip::link::LinkId;
use crate::ip::packet::Packet;

/// How long one counts before the router is asked again, by sending by way of it.
const AGE: Duration = Duration::from_secs(600);

/// What a router has said of a destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redirect {
    link: LinkId,
    /// The router of the route.
    instead_of: Address,
    /// The better first hop; the destination itself, if it is on the link.
    next_hop: Address,
}

impl Ip {
    /// Where packets to a destination go whose route leads by way of a router.
    #[inline]
    pub(super) fn first_hop(&self, destination: Address, link: LinkId, router: Address) -> Address {
        match self.redirects.get(destination) {
            Some(redirect) if redirect.link == link && redirect.instead_of == router => {
                let failed = self.link(link).is_none_or(|link| link.neighbours.has_failed(redirect.next_hop));
                if failed { router } else { redirect.next_hop }
            }
            _ => router,
        }
    }

    /// Whether packets go to an address because of a redirect.
    pub(super) fn is_redirected_to(&self, link: LinkId, address: Address) -> bool {
        self.redirects.values().any(|redirect| redirect.link == link && redirect.next_hop == address)
    }

    /// An ICMPv4 redirect, whose checksum is right. Those for networks count for the host, too (RFC 1122, 3.2.2.2).
    pub(super) fn input_redirect_v4(&mut self, packet: &Packet, env: &mut Env) -> Result<(), Reason> {
        let message = packet.frame.as_slice();
        let &[_, 0..=3, _, _, a, b, c, d, ref quoted @ ..] = message else { return Err(Reason::Redirect) };
        let next_hop = Address::from(core::net::Ipv4Addr::new(a, b, c, d));
        // It quotes what this host has sent.
        let quote = quote(quoted).filter(|quote| self.is_local(quote.source.into()) && packet.unicast).ok_or(Reason::Redirect)?;
        let id = packet.link;
        let on_link = self.lookup(next_hop, Some(id)) == Some((id, None));
        if !on_link || self.link(id).is_none_or(|link| link.is_broadcast(next_hop)) {
            return Err(Reason::Redirect);
        }
        self.redirect(packet, quote.destination.into(), next_hop, env)
    }

    /// One of neighbour discovery, from this link, with `mac` for the address of the better hop (RFC 4861, 8.1 and 8.3).
    pub(super) fn input_redirect_v6(
        &mut self,
        packet: &Packet,
        destination: Address,
        next_hop: Address,
        mac: Option<MacAddr>,
        env: &mut Env,
    ) -> Result<(), Reason> {
        let direct = next_hop == destination;
        if !packet.source.is_link_local_v6() || !(direct || next_hop.is_link_local_v6()) {
            return Err(Reason::Redirect);
        }
        self.redirect(packet, destination, next_hop, env)?;
        if let (Some(mac), Some(link)) = (mac, self.links.get_mut(usize::from(packet.link.0))) {
            let released = link.neighbours.seen(next_hop, mac, (!direct).then_some(true), env);
            self.release(packet.link, released, env);
        }
        Ok(())
    }

    /// What both families check, and the entry.
    fn redirect(&mut self, packet: &Packet, destination: Address, next_hop: Address, env: &mut Env) -> Result<(), Reason> {
        let (id, most) = (packet.link, env.config.redirects);
        // A router finds its ways itself (RFC 1812, 5.2.7.2; RFC 4861, 8.3), and where there are no neighbours there is one hop.
        let host = !env.config.forwarding && self.link(id).is_some_and(|link| link.mac().is_some());
        let impossible = next_hop.is_multicast() || next_hop.is_unspecified() || self.is_local(next_hop);
        if !host || most == 0 || impossible || destination.is_multicast() || next_hop == packet.source {
            return Err(Reason::Redirect);
        }
        // Whose route it is, and that who says it is who is used now, be it by an earlier redirect.
        let Some((link, Some(router))) = self.lookup(destination, None) else { return Err(Reason::Redirect) };
        if link != id || self.first_hop(destination, id, router) != packet.source {
            return Err(Reason::Redirect);
        }
        self.redirects.put(destination, Redirect { link: id, instead_of: router, next_hop }, env.now + AGE, most);
        self.changed();
        Ok(())
    }
}
