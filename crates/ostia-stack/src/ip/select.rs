//! Which way a packet goes, and from which address (RFC 1122, 3.3.1; RFC 6724).

use core::cmp::Ordering;
use core::net::Ipv4Addr;

use crate::Error;
use crate::address::Address;
use crate::ip::Ip;
use crate::ip::addresses::{AddressState, Assigned};
use crate::ip::link::{LOOPBACK, LOOPBACK_MTU, Link, LinkId};
use crate::ip::packet::Route;
use crate::ip::prefix::common_bits;

const LIMITED_BROADCAST: Ipv4Addr = Ipv4Addr::BROADCAST;
const LINK_SCOPE: u8 = 2;
const GLOBAL_SCOPE: u8 = 14;

impl Ip {
    /// The way to a destination. `source` asks for an own address to send from; `zone` is a link's number plus one where the
    /// destination means something on that link only, or 0.
    ///
    /// Errors: [`Error::AddressNotAvailable`] if the source isn't ours or there is none; [`Error::InvalidInput`] if the two
    /// are of different families, or a link has to be named; [`Error::NetworkUnreachable`].
    pub(crate) fn route(&self, destination: Address, source: Option<Address>, zone: u16) -> Result<Route, Error> {
        let source = source.filter(|source| !source.is_unspecified());
        if source.is_some_and(|source| source.is_v4() != destination.is_v4()) || destination.is_unspecified() {
            return Err(Error::InvalidInput);
        }
        if source.is_some_and(|source| !self.is_local(source)) {
            return Err(Error::AddressNotAvailable);
        }
        let named = zone.checked_sub(1).map(LinkId);
        if self.is_local(destination) && named.is_none_or(|link| self.is_of_link(destination, link)) {
            return Ok(self.route_to_self(destination, source));
        }
        if destination.is_loopback() || source.is_some_and(Address::is_loopback) {
            return Err(Error::NetworkUnreachable);
        }
        let zone = named;
        if zone.is_some_and(|zone| self.links.get(usize::from(zone.0)).is_none_or(|link| !link.up)) {
            return Err(Error::NetworkUnreachable);
        }
        let (id, next_hop) = self.way(destination, source, zone)?;
        let link = self.link(id).ok_or(Error::NetworkUnreachable)?;
        let source = match source {
            Some(source) => source,
            None => self.select_source(destination, id).ok_or(Error::AddressNotAvailable)?,
        };
        Ok(Route {
            link: id,
            source,
            next_hop,
            mtu: self.path_mtus.get(destination, link.mtu(destination.is_v4())),
            gso_max: link.config.gso_max,
            checksum_offload: link.config.checksum_offload,
            destination,
            generation: self.generation,
        })
    }

    fn route_to_self(&self, destination: Address, source: Option<Address>) -> Route {
        let usual = if destination.v4().is_some_and(|v4| v4.is_loopback()) { Ipv4Addr::LOCALHOST.into() } else { destination };
        Route {
            link: LOOPBACK,
            source: source.unwrap_or(usual),
            next_hop: destination,
            mtu: LOOPBACK_MTU,
            gso_max: 0,
            checksum_offload: true,
            destination,
            generation: self.generation,
        }
    }

    /// The link and the next hop.
    fn way(&self, destination: Address, source: Option<Address>, zone: Option<LinkId>) -> Result<(LinkId, Address), Error> {
        let everybody = destination.is_multicast() || destination.v4() == Some(LIMITED_BROADCAST);
        let zone = zone.or_else(|| match destination.is_link_local_v6() || everybody {
            true => self.link_of(source, destination.is_v4()),
            false => None,
        });
        if everybody {
            let routed = || self.lookup(destination, None).map(|entry| entry.0);
            let link = zone.or_else(routed).or_else(|| self.any_link(destination.is_v4()));
            return link.map(|link| (link, destination)).ok_or(Error::NetworkUnreachable);
        }
        if destination.is_link_local_v6() {
            let mut up = self.links.iter().enumerate().filter(|(_, link)| link.up);
            let only = up.next().filter(|_| up.next().is_none()).map(|(at, _)| LinkId(at as u16));
            return zone.or(only).map(|link| (link, destination)).ok_or(Error::InvalidInput);
        }
        if let Some(link) = self.link_of_broadcast(destination) {
            return Ok((link, destination));
        }
        let (link, gateway) = self.lookup(destination, zone).ok_or(Error::NetworkUnreachable)?;
        Ok((link, gateway.map_or(destination, |router| self.first_hop(destination, link, router))))
    }

    /// The best route over a link that is up. A gateway that doesn't answer is passed over while there is another
    /// (RFC 4861, 6.3.6; RFC 1122, 3.3.1.4).
    pub(crate) fn lookup(&self, destination: Address, zone: Option<LinkId>) -> Option<(LinkId, Option<Address>)> {
        let up = |id: LinkId| zone.is_none_or(|zone| zone == id) && self.link(id).is_some_and(|link| link.up);
        let dead = |id: LinkId, gateway: Option<Address>| {
            gateway.is_some_and(|gateway| self.link(id).is_some_and(|link| link.neighbours.has_failed(gateway)))
        };
        let alive = self.routes.lookup(destination, |entry| up(entry.link) && !dead(entry.link, entry.gateway));
        let entry = alive.or_else(|| self.routes.lookup(destination, |entry| up(entry.link)))?;
        Some((entry.link, entry.gateway))
    }

    /// The link that has an address.
    fn link_of(&self, source: Option<Address>, v4: bool) -> Option<LinkId> {
        let source = source.filter(|source| source.is_v4() == v4)?;
        self.local(source)
    }

    fn any_link(&self, v4: bool) -> Option<LinkId> {
        let has = |link: &Link| link.up && link.addresses.usable().any(|assigned| assigned.address.is_v4() == v4);
        self.links.iter().position(has).map(|at| LinkId(at as u16))
    }

    /// Whether packets to an address go to everybody on a link.
    pub(crate) fn is_broadcast(&self, destination: Address) -> bool {
        destination.v4() == Some(LIMITED_BROADCAST) || self.link_of_broadcast(destination).is_some()
    }

    /// The link of whose network this is the broadcast address.
    fn link_of_broadcast(&self, destination: Address) -> Option<LinkId> {
        destination.v4()?;
        let is = |link: &Link| link.up && link.is_broadcast(destination);
        self.links.iter().position(is).map(|at| LinkId(at as u16))
    }

    /// The address to send from (RFC 6724, 5), among those of the link that the packet leaves by, else of any other.
    pub(crate) fn select_source(&self, destination: Address, link: LinkId) -> Option<Address> {
        let scope = scope(destination);
        let best = |link: &Link| {
            let same = link.addresses.usable().filter(|assigned| assigned.address.is_v4() == destination.is_v4());
            same.copied().reduce(|best, other| match compare(&other, &best, destination) {
                Ordering::Greater => other,
                _ => best,
            })
        };
        let own = self.link(link).and_then(best);
        if let Some(own) = own {
            return Some(own.address);
        }
        // What means something on one link only is of no use on another.
        let mut others = self.links.iter().filter(|link| link.up).filter_map(best);
        others.find(|assigned| scope > LINK_SCOPE && self::scope(assigned.address) > LINK_SCOPE).map(|assigned| assigned.address)
    }
}

impl Link {
    /// Whether a packet to this IPv4 address goes to everybody on the link.
    pub(crate) fn is_broadcast(&self, destination: Address) -> bool {
        destination.v4() == Some(LIMITED_BROADCAST) || self.broadcasts.contains(&destination)
    }
}

/// Which of two own addresses is the better to send from: `Greater` for the first (RFC 6724, 5, rules 1 to 3, 6 and 8; the
/// others are about what isn't here).
fn compare(a: &Assigned, b: &Assigned, destination: Address) -> Ordering {
    let same = (a.address == destination).cmp(&(b.address == destination));
    same.then_with(|| {
        let (a, b, wanted) = (scope(a.address), scope(b.address), scope(destination));
        match a.cmp(&b) {
            Ordering::Less if a < wanted => Ordering::Less,
            Ordering::Less => Ordering::Greater,
            Ordering::Greater if b < wanted => Ordering::Greater,
            Ordering::Greater => Ordering::Less,
            Ordering::Equal => Ordering::Equal,
        }
    })
    .then_with(|| (a.state == AddressState::Preferred).cmp(&(b.state == AddressState::Preferred)))
    .then_with(|| {
        let wanted = label(destination);
        (label(a.address) == wanted).cmp(&(label(b.address) == wanted))
    })
    .then_with(|| {
        let common = |assigned: &Assigned| {
            let most = u32::from(assigned.prefix.length()) + if destination.is_v4() { 96 } else { 0 };
            common_bits(assigned.address, destination).min(most)
        };
        common(a).cmp(&common(b))
    })
}

/// How far an address reaches (RFC 6724, 3.1; RFC 4291, 2.7). Private IPv4 addresses count as global (RFC 6724, 3.2).
fn scope(address: Address) -> u8 {
    match (address.v4(), address.v6()) {
        (Some(v4), _) if v4.is_link_local() || v4.is_loopback() || (v4.is_multicast() && v4.octets()[1] == 0) => LINK_SCOPE,
        (_, Some(v6)) if v6.is_multicast() => v6.octets()[1] & 0xf,
        (_, Some(v6)) if v6.is_unicast_link_local() || v6.is_loopback() => LINK_SCOPE,
        (_, Some(v6)) if v6.segments()[0] & 0xffc0 == 0xfec0 => 5,
        _ => GLOBAL_SCOPE,
    }
}

/// The labels of RFC 6724, 2.1.
fn label(address: Address) -> u8 {
    let Some(v6) = address.v6() else { return 4 };
    let segments = v6.segments();
    match segments {
        _ if v6.is_loopback() => 0,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [0x3ffe, ..] => 12,
        [first, ..] if first & 0xfe00 == 0xfc00 => 13,
        [first, ..] if first & 0xffc0 == 0xfec0 => 11,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        _ => 1,
    }
}
