//! What a stack is set up with: addresses, gateways, who else configures it.

use std::fmt;
use std::io;
use std::net::IpAddr;

use ostia_link::same_network;
use ostia_stack::{Address, Config, LinkId, Stack};

/// The least MTU of a link with IPv6 (RFC 8200, 5).
const MIN_V6: u32 = 1280;

/// How a stack on one link is set up.
#[derive(Clone)]
#[non_exhaustive]
pub struct NetConfig {
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routers for everything that is on no network of the link, one of each family at most. On a link without neighbours
    /// (TUN) none is needed: everything goes to the other end.
    pub gateways: Vec<IpAddr>,
    /// Whether DHCP gives the link an IPv4 address. Ethernet only. Default no.
    pub dhcp: bool,
    /// Whether router advertisements give the link IPv6 addresses. Ethernet only. Default no.
    pub slaac: bool,
    /// Bounds and habits of the stack.
    pub stack: Config,
    /// Where all its randomness comes from: keys, sequence numbers, ports. A secret where peers aren't trusted.
    pub seed: [u8; 32],
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed is nobody's business.
        f.debug_struct("NetConfig")
            .field("addresses", &self.addresses)
            .field("gateways", &self.gateways)
            .field("dhcp", &self.dhcp)
            .field("slaac", &self.slaac)
            .finish_non_exhaustive()
    }
}

impl NetConfig {
    /// Without addresses, with Linux's habits.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> NetConfig {
        let (addresses, gateways) = (Vec::new(), Vec::new());
        NetConfig { addresses, gateways, dhcp: false, slaac: false, stack: Config::default(), seed }
    }

    /// With one more address.
    #[must_use]
    pub fn with_address(mut self, address: IpAddr, prefix: u8) -> NetConfig {
        self.addresses.push((address, prefix));
        self
    }

    /// With a router.
    #[must_use]
    pub fn with_gateway(mut self, gateway: IpAddr) -> NetConfig {
        self.gateways.push(gateway);
        self
    }

    /// Gives a stack's link its addresses and routes.
    pub(crate) fn apply(&self, stack: &mut Stack, link: LinkId, mtu: u32, ethernet: bool) -> io::Result<()> {
        for &(address, prefix) in &self.addresses {
            self.check_address(address, prefix, mtu)?;
            stack.add_address(link, Address::from(address), prefix).map_err(|error| {
                wrong(format!("{address}/{prefix} can't be the stack's address: {error}; use an address that a host can have"))
            })?;
        }
        for &gateway in &self.gateways {
            self.check_gateway(gateway)?;
            add_default(stack, link, Some(gateway), gateway.is_ipv4()).map_err(|error| {
                wrong(format!("{gateway} can't be the gateway: {error}; use the address of a router on the link"))
            })?;
        }
        if !ethernet {
            if self.dhcp || self.slaac {
                return Err(wrong(
                    "DHCP and router advertisements need a link with Ethernet frames: use tap or packet".to_owned(),
                ));
            }
            // Whatever it is, the other end knows.
            for v4 in [true, false] {
                let known = self.gateways.iter().any(|gateway| gateway.is_ipv4() == v4);
                if !known && self.addresses.iter().any(|(address, _)| address.is_ipv4() == v4) {
                    add_default(stack, link, None, v4).map_err(|error| wrong(error.to_string()))?;
                }
            }
        }
        if self.dhcp {
            stack.set_dhcp(link, true).map_err(|error| wrong(error.to_string()))?;
        }
        stack.set_slaac(link, self.slaac);
        Ok(())
    }

    fn check_address(&self, address: IpAddr, prefix: u8, mtu: u32) -> io::Result<()> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            return Err(wrong(format!("{address}/{prefix}: the prefix of such an address has {most} bits at most")));
        }
        if address.is_ipv6() && mtu < MIN_V6 {
            return Err(wrong(format!("an MTU of {mtu} is too small for {address}: IPv6 needs {MIN_V6}")));
        }
        if self.addresses.iter().filter(|(other, _)| *other == address).count() > 1 {
            return Err(wrong(format!("{address} is there twice")));
        }
        Ok(())
    }

    fn check_gateway(&self, gateway: IpAddr) -> io::Result<()> {
        if self.gateways.iter().filter(|other| other.is_ipv4() == gateway.is_ipv4()).count() > 1 {
            let family = if gateway.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(wrong(format!("{gateway}: there can be one gateway for {family} only")));
        }
        if self.addresses.iter().any(|(address, _)| *address == gateway) {
            return Err(wrong(format!("{gateway} is the stack's own address, not a gateway")));
        }
        let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let near = self.addresses.iter().any(|&(address, prefix)| same_network(address, gateway, prefix));
        if !near && !link_local {
            return Err(wrong(format!(
                "the gateway {gateway} is on no network of the stack's addresses: it could not be reached"
            )));
        }
        // Its own name, and everybody in it (RFC 1122, 3.2.1.3); one of two addresses has neither (RFC 3021).
        let is_everybody = |&(address, prefix): &(IpAddr, u8)| match (address, gateway) {
            (IpAddr::V4(_), IpAddr::V4(to)) if prefix < 31 && same_network(address, gateway, prefix) => {
                let host = to.to_bits() & (u32::MAX >> prefix);
                host == 0 || host == u32::MAX >> prefix
            }
            _ => false,
        };
        if self.addresses.iter().any(is_everybody) {
            return Err(wrong(format!("{gateway} is no host's address in the stack's network, and so no gateway's")));
        }
        Ok(())
    }
}

fn add_default(stack: &mut Stack, link: LinkId, gateway: Option<IpAddr>, v4: bool) -> Result<(), ostia_stack::Error> {
    let any: IpAddr = if v4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    stack.add_route(Address::from(any), 0, gateway.map(Address::from), link, 0)
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_of_a_network_of_the_stacks() {
        for (gateway, told) in [
            ("10.7.0.1", ""),
            ("10.7.0.255", "no host's"),
            ("10.7.0.0", "no host's"),
            ("10.8.0.255", ""),
            ("10.8.0.254", "own address"),
            ("10.9.0.1", "could not be reached"),
            ("fd07::", ""),
        ] {
            let config = NetConfig {
                addresses: [("10.7.0.2", 24), ("10.8.0.254", 31), ("fd07::2", 64)]
                    .map(|(ip, prefix)| (ip.parse().expect("an address"), prefix))
                    .into(),
                ..NetConfig::new([1; 32])
            };
            let outcome = config.check_gateway(gateway.parse().expect("an address"));
            match told {
                "" => assert!(outcome.is_ok(), "{gateway}: {outcome:?}"),
                told => assert!(outcome.expect_err(gateway).to_string().contains(told), "{gateway}"),
            }
        }
    }
}
