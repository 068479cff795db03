//! The kernel's side of a device: its MTU, addresses and routes, set when the link is opened and taken back when it is dropped.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::netlink::{Address, Interface, Netlink, Request};
use crate::config::{HostAddress, HostSide, Route, bits, same_network};
use crate::error::Error;

/// How often, and how long after the last time, is looked whether the kernel takes packets to an address: 200 ms at most.
const SETTLING_TRIES: usize = 400;
const SETTLING_PAUSE: Duration = Duration::from_micros(500);

/// The interface that has an address of this host, in the network namespace of the calling thread; `None` if there is none. An
/// address that the stack is to have must be none of the host's: the kernel would keep what is for it. Link-local addresses of IPv6
/// are nobody's in this sense: they mean something on their own link only.
///
/// # Errors
/// The kernel does not tell.
pub fn holder_of(address: IpAddr) -> Result<Option<String>, Error> {
    if is_link_local(address) {
        return Ok(None);
    }
    let failed = |error| Error::system("reading the addresses of this host", error);
    let mut netlink = Netlink::open().map_err(failed)?;
    let all = netlink.addresses().map_err(failed)?;
    let Some(holder) = all.iter().find(|other| other.address == address) else { return Ok(None) };
    netlink.name(holder.interface).map(Some).map_err(failed)
}

/// The interface on whose network an address is, other than `but`, in the network namespace of the calling thread; `None` if there is
/// none. A device that gives the kernel an address of the same network takes the other hosts there away from it. Link-local
/// networks of IPv6 are on every link, and don't count.
///
/// # Errors
/// The kernel does not tell.
pub fn network_of(address: IpAddr, but: Option<&str>) -> Result<Option<String>, Error> {
    let failed = |error| Error::system("reading the addresses of this host", error);
    let mut netlink = Netlink::open().map_err(failed)?;
    for there in netlink.addresses().map_err(failed)? {
        let is_network = (1..bits(there.address)).contains(&there.prefix) && !is_link_local(there.address);
        if is_network && same_network(there.address, address, there.prefix) {
            let name = netlink.name(there.interface).map_err(failed)?;
            if but != Some(name.as_str()) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// A device as the kernel sees it.
#[derive(Debug)]
pub(super) struct Host {
    netlink: Netlink,
    name: String,
    interface: Interface,
    /// What takes back what was set, in the order of setting; where all goes with the device, what removes that.
    undo: Vec<Request>,
    persistent: bool,
}

impl Host {
    /// Looks an interface up. When this is dropped a persistent one gets back what it had, and another is removed. (It would go
    /// with its descriptor, but a child that another thread is just forking may have that open for a moment more.)
    pub(super) fn open(name: &str, persistent: bool) -> Result<Host, Error> {
        let mut netlink = Netlink::open().map_err(|error| Error::system("opening a netlink socket", error))?;
        let interface = find(&mut netlink, name)?;
        let undo = if persistent { Vec::new() } else { vec![Request::delete(interface.index)] };
        Ok(Host { netlink, name: name.to_owned(), interface, undo, persistent })
    }

    /// What the kernel says of it.
    pub(super) fn interface(&self) -> Interface {
        self.interface
    }

    /// Whether addresses and routes are ones that can be.
    pub(super) fn check(side: &HostSide) -> Result<(), Error> {
        for address in &side.addresses {
            let why = if address.address.is_unspecified() || address.address.is_multicast() {
                "it is no address of one host"
            } else if address.prefix > bits(address.address) {
                "its prefix is longer than the address"
            } else if address.peer.is_some_and(|peer| peer.is_ipv4() != address.address.is_ipv4()) {
                "its peer's is of the other family"
            } else {
                continue;
            };
            return Err(Error::Address { address: address.to_string(), why });
        }
        for route in &side.routes {
            let why = if route.prefix > bits(route.network) {
                "its prefix is longer than the address"
            } else if behind_prefix(route) {
                "the address has bits behind its prefix"
            } else if route.via.is_some_and(|via| via.is_ipv4() != route.network.is_ipv4()) {
                "its next hop is of the other family"
            } else if side.down {
                "a device that is down has no routes"
            } else {
                continue;
            };
            return Err(Error::Address { address: format!("the route to {route}"), why });
        }
        Ok(())
    }

    /// Sets what is not so already.
    pub(super) fn set_up(&mut self, mtu: Option<u32>, side: &HostSide) -> Result<(), Error> {
        let (index, before) = (self.interface.index, self.interface);
        let name = self.name.clone();
        if let Some(mtu) = mtu.filter(|mtu| *mtu != before.mtu) {
            let what = format!("the MTU of {name} to {mtu}");
            let prepare = format!("ip link set {name} mtu {mtu}");
            self.apply(&what, prepare, &Request::set_mtu(index, mtu), Request::set_mtu(index, before.mtu))?;
        }
        let there = match side.addresses.is_empty() {
            true => Vec::new(),
            false => self.netlink.addresses().map_err(|error| Error::system("reading the addresses of this host", error))?,
        };
        for address in &side.addresses {
            // Its own comes first, for a link-local address may be on others too.
            let same = |other: &&Address| other.address == address.address;
            let ours = there.iter().filter(same).find(|other| other.interface == index);
            match ours.or_else(|| there.iter().find(same)) {
                // One that means something on its own link only can be there on each.
                Some(other) if other.interface != index && is_link_local(address.address) => self.address(address)?,
                Some(other) if other.interface != index => {
                    let name = self.netlink.name(other.interface).unwrap_or_else(|_| other.interface.to_string());
                    return Err(Error::AddressTaken { address: format!("{}/{}", other.address, other.prefix), name });
                }
                // Set beforehand, by whoever made the device.
                Some(other) if other.prefix == address.prefix => {}
                _ => self.address(address)?,
            }
        }
        if !side.down && !before.up {
            let prepare = format!("ip link set {name} up");
            self.apply(&format!("{name} up"), prepare, &Request::set_up(index, true), Request::set_up(index, false))?;
        }
        side.routes.iter().try_for_each(|route| self.route(route))?;
        self.settle(side);
        self.interface = find(&mut self.netlink, &name)?;
        Ok(())
    }

    /// Waits until packets to the IPv6 addresses are taken, which a kernel thread sees to a moment after the device is up, so
    /// that answers to the first packets aren't lost. For those that are first asked about on the link, nobody waits.
    fn settle(&mut self, side: &HostSide) {
        let addresses = side.addresses.iter().filter(|address| address.address.is_ipv6() && address.no_dad && !side.down);
        for address in addresses {
            for _ in 0..SETTLING_TRIES {
                if self.netlink.is_local(address.address).unwrap_or(false) {
                    break;
                }
                std::thread::sleep(SETTLING_PAUSE);
            }
        }
    }

    fn address(&mut self, address: &HostAddress) -> Result<(), Error> {
        let request = |add| {
            let HostAddress { address, prefix, peer, no_dad } = *address;
            Request::address(add, self.interface.index, address, prefix, peer, no_dad)
        };
        let (add, delete) = (request(true), request(false));
        let what = format!("the address {address} of {}", self.name);
        let prepare = format!("ip address add {address} dev {}", self.name);
        self.apply(&what, prepare, &add, delete).map_err(|error| match code(&error) {
            Some(Errno::EXIST) => Error::AddressTaken { address: address.to_string(), name: self.name.clone() },
            // IPv6 is switched off here, or went when the MTU fell below what it needs.
            Some(Errno::ACCESS | Errno::OPNOTSUPP | Errno::AFNOSUPPORT) if address.address.is_ipv6() => Error::Address {
                address: address.to_string(),
                why: "IPv6 is switched off on this host or device (sysctl net.ipv6.conf)",
            },
            _ => error,
        })
    }

    fn route(&mut self, route: &Route) -> Result<(), Error> {
        let request = |add| Request::route(add, self.interface.index, route.network, route.prefix, route.via);
        let (add, delete) = (request(true), request(false));
        let what = format!("the route to {route} through {}", self.name);
        let prepare = format!("ip route add {route} dev {}", self.name);
        self.apply(&what, prepare, &add, delete).map_err(|error| match code(&error) {
            Some(Errno::EXIST) => Error::RouteTaken { route: route.to_string() },
            Some(Errno::NETUNREACH | Errno::HOSTUNREACH) => Error::Address {
                address: format!("the route to {route}"),
                why: "no address of the device has its next hop on its network",
            },
            _ => error,
        })
    }

    fn apply(&mut self, what: &str, prepare: String, request: &Request, undo: Request) -> Result<(), Error> {
        match self.netlink.request(request) {
            Ok(()) => {
                if self.persistent {
                    self.undo.push(undo);
                }
                Ok(())
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {
                Err(Error::SetUpDenied { what: what.to_owned(), prepare })
            }
            Err(error) => Err(Error::system(format!("setting {what}"), error)),
        }
    }
}

/// Looks an interface up by name.
pub(super) fn find(netlink: &mut Netlink, name: &str) -> Result<Interface, Error> {
    netlink.interface(name).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NODEV) => Error::NoInterface { name: name.to_owned() },
        _ => Error::system(format!("looking for the interface {name}"), error),
    })
}

/// The system's reason, of an error that has no better one.
fn code(error: &Error) -> Option<Errno> {
    match error {
        Error::System { source, .. } => io::Error::raw_os_error(source).map(Errno::from_raw_os_error),
        _ => None,
    }
}

/// Whether an address is one of its link only (RFC 4291, 2.5.6), which other interfaces may have too.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn behind_prefix(route: &Route) -> bool {
    match route.network {
        IpAddr::V4(v4) => v4.to_bits().checked_shl(route.prefix.into()).is_some_and(|rest| rest != 0),
        IpAddr::V6(v6) => v6.to_bits().checked_shl(route.prefix.into()).is_some_and(|rest| rest != 0),
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for request in self.undo.iter().rev() {
            // It may be gone already, by somebody else's hand or with the device.
            let _ = self.netlink.request(request);
        }
    }
}
