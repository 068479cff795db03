//! Links, addresses, routes, and what configures them.

use super::Stack;
use crate::address::Address;
use crate::error::Error;
use crate::ip::{Lease, LinkAddress, LinkConfig, LinkId, Neighbour};

impl Stack {
    /// Adds a link, which is up.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if its MTU is less than IPv4 needs (68 bytes), [`Error::NoBufferSpace`] if there are too many.
    pub fn add_link(&mut self, config: LinkConfig) -> Result<LinkId, Error> {
        self.ip.add_link(config, &mut self.env)
    }

    /// Changes a link's MTU, in bytes of IP packet. Connections adapt with their next segment.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such link, or the MTU is less than 68 bytes, or than 1280 where the link has an IPv6
    /// address (RFC 8200, 5).
    pub fn set_mtu(&mut self, link: LinkId, mtu: u32) -> Result<(), Error> {
        self.ip.set_mtu(link, mtu)
    }

    /// A link has gone down, and its neighbours are forgotten; or it has come up.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such link.
    pub fn set_link_up(&mut self, link: LinkId, up: bool) -> Result<(), Error> {
        self.ip.set_link_up(link, up, &mut self.env)
    }

    /// Gives the host an address on a link. On Ethernet an IPv6 address is used once nobody else claims it (RFC 4862, 5.4).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if no host can have it, the prefix is too long, or the MTU too small for IPv6 (RFC 8200, 5);
    /// [`Error::AddressInUse`] if a link has it.
    pub fn add_address(&mut self, link: LinkId, address: Address, prefix: u8) -> Result<(), Error> {
        self.ip.add_address(link, address, prefix, &mut self.env)
    }

    /// Takes an address away; false if the link doesn't have it. Connections that use it are their owners' affair.
    pub fn remove_address(&mut self, link: LinkId, address: Address) -> bool {
        self.ip.remove_address(link, address, &mut self.env)
    }

    /// The addresses of a link, however it has come by them.
    pub fn link_addresses(&self, link: LinkId) -> impl Iterator<Item = LinkAddress> + '_ {
        self.ip.addresses(link)
    }

    /// Adds a route: destinations that share the first `prefix` bits go out on `link`, to `gateway` if there is one. Of routes
    /// with the same prefix the one with the lowest metric is taken.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the prefix is too long, the families differ, or there is no such link.
    pub fn add_route(
        &mut self,
        destination: Address,
        prefix: u8,
        gateway: Option<Address>,
        link: LinkId,
        metric: u32,
    ) -> Result<(), Error> {
        self.ip.add_route(destination, prefix, gateway, link, metric)
    }

    /// Removes what [`add_route`](Stack::add_route) added, of one gateway or, if none is named, of all; whether there was any.
    pub fn remove_route(&mut self, destination: Address, prefix: u8, gateway: Option<Address>, link: LinkId) -> bool {
        self.ip.remove_route(destination, prefix, gateway, link)
    }

    /// Has a link configured by DHCP (RFC 2131), or no more.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such link, or it isn't Ethernet.
    pub fn set_dhcp(&mut self, link: LinkId, on: bool) -> Result<(), Error> {
        self.ip.set_dhcp(link, on, &mut self.env)
    }

    /// What DHCP has given a link.
    pub fn dhcp_lease(&self, link: LinkId) -> Option<&Lease> {
        self.ip.dhcp_lease(link)
    }

    /// Has a link take addresses and routers from router advertisements (RFC 4862), or no more.
    pub fn set_slaac(&mut self, link: LinkId, on: bool) {
        self.ip.set_slaac(link, on, &mut self.env);
    }

    /// The name servers that a link was told of.
    pub fn name_servers(&self, link: LinkId) -> impl Iterator<Item = Address> + '_ {
        self.ip.name_servers(link)
    }

    /// Wants packets to a group on a link.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if that is no group, or there is no such link.
    pub fn join_group(&mut self, link: LinkId, group: Address) -> Result<(), Error> {
        self.ip.join_group(link, group, &mut self.env)
    }

    /// Wants them no more.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if it didn't.
    pub fn leave_group(&mut self, link: LinkId, group: Address) -> Result<(), Error> {
        self.ip.leave_group(link, group, &mut self.env)
    }

    /// The neighbours of a link, by address.
    pub fn neighbours(&self, link: LinkId) -> impl Iterator<Item = Neighbour> + '_ {
        self.ip.neighbours(link, self.env.now)
    }
}
