//! Links, addresses, routes and groups, as the program and the protocols of configuration set them.

use alloc::vec::Vec;

use crate::Error;
use crate::address::Address;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::addresses::{AddressOrigin, AddressState, Assignment, Due, LinkAddress};
use crate::ip::link::{Link, LinkConfig, LinkId, Medium};
use crate::ip::neighbours::Neighbour;
use crate::ip::path_mtu::MIN_V6;
use crate::ip::prefix::Prefix;
use crate::ip::routes::{Entry, Origin};
use crate::time::Instant;

/// The least MTU that a link may have (RFC 791, 3.2).
const LEAST_MTU: u32 = 68;

impl Ip {
    /// Adds a link, which is up.
    pub(crate) fn add_link(&mut self, config: LinkConfig, env: &mut Env) -> Result<LinkId, Error> {
        let id = u16::try_from(self.links.len()).ok().filter(|&id| id < u16::MAX).ok_or(Error::NoBufferSpace)?;
        if config.mtu < LEAST_MTU {
            return Err(Error::InvalidInput);
        }
        self.links.push(Link::new(config, env));
        self.changed();
        Ok(LinkId(id))
    }

    fn link_mut(&mut self, id: LinkId) -> Result<&mut Link, Error> {
        self.links.get_mut(usize::from(id.0)).ok_or(Error::InvalidInput)
    }

    /// Another MTU from now on: connections take it up with their next segment. A link with IPv6 addresses takes none that is
    /// less than 1280 bytes (RFC 8200, 5).
    pub(crate) fn set_mtu(&mut self, id: LinkId, mtu: u32) -> Result<(), Error> {
        let link = self.link_mut(id)?;
        let v6 = link.addresses.iter().any(|assigned| !assigned.address.is_v4());
        if mtu < LEAST_MTU || v6 && mtu < MIN_V6 {
            return Err(Error::InvalidInput);
        }
        link.config.mtu = mtu;
        self.changed();
        Ok(())
    }

    /// A link goes down, forgetting its neighbours, or comes up, asking and telling anew.
    pub(crate) fn set_link_up(&mut self, id: LinkId, up: bool, env: &mut Env) -> Result<(), Error> {
        let link = self.link_mut(id)?;
        if link.up == up {
            return Ok(());
        }
        link.up = up;
        if up {
            link.groups.tell_again(env.now);
            link.slaac.solicit_soon(env);
            if let Some(dhcp) = &mut link.dhcp {
                dhcp.start(env);
            }
        } else {
            link.neighbours.flush(env);
        }
        self.changed();
        Ok(())
    }

    /// Assigns an address. Over Ethernet an IPv6 address can be used only when nobody has answered for it (RFC 4862, 5.4).
    ///
    /// Errors: [`Error::AddressInUse`] if some link has it; [`Error::InvalidInput`] if no host can have it, the prefix is too
    /// long, or the link's MTU too small for IPv6.
    pub(crate) fn add_address(&mut self, id: LinkId, address: Address, prefix: u8, env: &mut Env) -> Result<(), Error> {
        let link = self.link(id).ok_or(Error::InvalidInput)?;
        let v4 = address.is_v4();
        let impossible = address.is_unspecified() || address.is_multicast() || address.is_loopback();
        let reserved = address.v4().is_some_and(|v4| v4.octets()[0] == 0 || v4.octets()[0] >= 240);
        let parsed = Prefix::new(address, prefix).ok_or(Error::InvalidInput)?;
        if impossible || reserved || parsed.broadcast() == Some(address) || (!v4 && link.config.mtu < MIN_V6) {
            return Err(Error::InvalidInput);
        }
        let elsewhere = |link: &Link| link.addresses.get(address).is_some();
        if link.addresses.get(address).is_some() || (!address.is_link_local_v6() && self.links.iter().any(elsewhere)) {
            return Err(Error::AddressInUse);
        }
        if !v4 && !address.is_link_local_v6() && matches!(link.config.medium, Medium::Ethernet(_)) {
            self.add_link_local(id, 0, env);
        }
        let (origin, probe) = (AddressOrigin::Manual, !v4);
        let (preferred_until, valid_until) = (Instant::NEVER, Instant::NEVER);
        self.assign(id, Assignment { address, prefix, origin, preferred_until, valid_until, probe, attempt: 0 }, env);
        Ok(())
    }

    /// Assigns an address with whatever belongs to it: its prefix's route, the group that is asked for it.
    pub(super) fn assign(&mut self, id: LinkId, what: Assignment, env: &mut Env) {
        let Ok(link) = self.link_mut(id) else { return };
        // There is nobody to ask where there are no link addresses.
        let probe = what.probe && link.mac().is_some();
        let Some(due) = link.addresses.add(Assignment { probe, ..what }, env) else { return };
        if link.mac().is_some()
            && let Some(group) = solicited_node(what.address)
        {
            link.groups.join(group, env);
        }
        // An address that a router's advertisement has led to says nothing of what is on the link (RFC 5942, 4).
        if let Some(prefix) = Prefix::new(what.address, what.prefix)
            && what.origin != AddressOrigin::Advertised
            && prefix != Prefix::host(what.address)
        {
            self.routes.add(Entry { prefix, gateway: None, link: id, metric: 0, origin: Origin::Connected });
        }
        self.address_due(id, due, env);
    }

    /// Takes an address away; connections that use it are their owners' affair. False if the link doesn't have it.
    pub(crate) fn remove_address(&mut self, id: LinkId, address: Address, env: &mut Env) -> bool {
        let Ok(link) = self.link_mut(id) else { return false };
        let Some(gone) = link.addresses.remove(address) else { return false };
        self.address_gone(id, address, gone.prefix, env);
        true
    }

    fn address_gone(&mut self, id: LinkId, address: Address, prefix: Prefix, env: &mut Env) {
        let Ok(link) = self.link_mut(id) else { return };
        if link.mac().is_some()
            && let Some(group) = solicited_node(address)
        {
            link.groups.leave(group, env);
        }
        let shared = |other: &super::addresses::Assigned| other.prefix == prefix && other.origin != AddressOrigin::Advertised;
        if !link.addresses.iter().any(shared) {
            self.routes.remove(|entry| entry.link == id && entry.prefix == prefix && entry.origin == Origin::Connected);
        }
        self.collect_locals();
    }

    /// Does what is due for the addresses of a link.
    pub(super) fn expire_addresses(&mut self, id: LinkId, env: &mut Env) {
        let Ok(link) = self.link_mut(id) else { return };
        if link.addresses.deadline() > env.now {
            return;
        }
        let mut due = Vec::new();
        link.addresses.expire(env.now, &mut due);
        for each in due {
            self.address_due(id, each, env);
        }
    }

    fn address_due(&mut self, id: LinkId, due: Due, env: &mut Env) {
        match due {
            Due::Probe(address) => self.probe_address(id, address, env),
            Due::Usable(address) => {
                self.collect_locals();
                // Who had the address before may have had another link address, which its neighbours still know.
                match address.v4() {
                    Some(v4) => self.announce(id, v4, env),
                    None => self.advertise_to_all(id, address, env),
                }
                self.dhcp_address_usable(id, address);
            }
            Due::Changed => self.changed(),
            Due::Expired(gone) => self.address_gone(id, gone.address, gone.prefix, env),
        }
    }

    /// Somebody else has a tentative address.
    pub(super) fn address_conflict(&mut self, id: LinkId, address: Address, env: &mut Env) {
        self.changed();
        self.try_another_address(id, address, env);
        self.dhcp_address_taken(id, address, env);
    }

    /// The addresses of a link.
    pub(crate) fn addresses(&self, id: LinkId) -> impl Iterator<Item = LinkAddress> + '_ {
        self.link(id).into_iter().flat_map(|link| link.addresses.iter()).map(|assigned| LinkAddress {
            address: assigned.address,
            prefix: assigned.prefix.length(),
            origin: assigned.origin,
            state: assigned.state,
        })
    }

    /// Adds a route, by way of a gateway or to what is on the link.
    ///
    /// Errors: [`Error::InvalidInput`] if the prefix is too long, the link unknown, or the gateway of another family.
    pub(crate) fn add_route(
        &mut self,
        destination: Address,
        prefix: u8,
        gateway: Option<Address>,
        link: LinkId,
        metric: u32,
    ) -> Result<(), Error> {
        let prefix = Prefix::new(destination, prefix).ok_or(Error::InvalidInput)?;
        let possible = gateway.is_none_or(|gateway| {
            gateway.is_v4() == destination.is_v4()
                && !gateway.is_unspecified()
                && !gateway.is_multicast()
                && !self.is_local(gateway)
        });
        if !possible || self.link(link).is_none() {
            return Err(Error::InvalidInput);
        }
        self.routes.add(Entry { prefix, gateway, link, metric, origin: Origin::Manual });
        self.changed();
        Ok(())
    }

    /// Removes the routes to a prefix that the program added, of one gateway or, if none is named, of all; whether there were
    /// any.
    pub(crate) fn remove_route(&mut self, destination: Address, prefix: u8, gateway: Option<Address>, link: LinkId) -> bool {
        let Some(prefix) = Prefix::new(destination, prefix) else { return false };
        let any = self.routes.remove(|entry| {
            entry.origin == Origin::Manual
                && entry.prefix == prefix
                && entry.link == link
                && (gateway.is_none() || entry.gateway == gateway)
        });
        self.changed();
        any
    }

    /// Wants packets to a group on a link.
    pub(crate) fn join_group(&mut self, id: LinkId, group: Address, env: &mut Env) -> Result<(), Error> {
        if !group.is_multicast() {
            return Err(Error::InvalidInput);
        }
        self.link_mut(id)?.groups.join(group, env);
        Ok(())
    }

    /// Wants them no more.
    pub(crate) fn leave_group(&mut self, id: LinkId, group: Address, env: &mut Env) -> Result<(), Error> {
        let left = self.link_mut(id)?.groups.leave(group, env);
        if left { Ok(()) } else { Err(Error::AddressNotAvailable) }
    }

    /// The neighbours of a link, by address.
    pub(crate) fn neighbours(&self, id: LinkId, now: Instant) -> impl Iterator<Item = Neighbour> + '_ {
        self.link(id).into_iter().flat_map(move |link| link.neighbours.iter(now))
    }

    /// The name servers that a link has been told of.
    pub(crate) fn name_servers(&self, id: LinkId) -> impl Iterator<Item = Address> + '_ {
        self.link(id).into_iter().flat_map(|link| {
            let leased = link.dhcp.iter().flat_map(|dhcp| dhcp.lease()).flat_map(|lease| lease.name_servers.iter().copied());
            link.slaac.dns().chain(leased)
        })
    }
}

impl super::addresses::Assigned {
    /// Whether it is used, or will be.
    pub(crate) fn is_wanted(&self) -> bool {
        self.state != AddressState::Duplicate
    }
}

/// The group that neighbours ask for an IPv6 address (RFC 4291, 2.7.1).
pub(super) fn solicited_node(address: Address) -> Option<Address> {
    let [.., a, b, c] = address.v6()?.octets();
    Some(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c])).into())
}
