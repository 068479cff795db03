//! Which addresses the stack and the kernel's side of its device have, checked as far as the command line can be.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ostia_link::{HostAddress, HostSide, Route, holder_of, network_of, same_network};

use crate::args::{Cidr, NetworkArgs, NetworkChoice};
use crate::errors::Failure;

/// The stack's address where none is named.
const DEFAULT: Cidr = Cidr { address: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 2)), prefix: 24 };

/// The least MTU of a link with IPv6 (RFC 8200, 5).
const MIN_V6: u32 = 1280;

/// Addresses on both sides.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) ips: Vec<Cidr>,
    pub(super) host: HostSide,
}

impl Plan {
    pub(super) fn new(args: &NetworkArgs) -> Result<Plan, Failure> {
        let device = matches!(args.network, NetworkChoice::Tun(_) | NetworkChoice::Tap(_));
        if args.network == NetworkChoice::Kernel {
            return Plan::of_kernel(args);
        }
        if args.dhcp && matches!(args.network, NetworkChoice::Tun(_)) {
            return Err(Failure::usage(
                "DHCP needs Ethernet frames, which tun has not",
                "use --network tap, or name an address with --ip",
            ));
        }
        let mut ips = args.ips.clone();
        if ips.is_empty() && !args.dhcp {
            if !device {
                return Err(Failure::usage(
                    format!("the stack on {} has no address", args.network),
                    "name one that nobody on that network has with --ip, or use --dhcp",
                ));
            }
            ips.push(DEFAULT);
        }
        for (at, ip) in ips.iter().enumerate() {
            if ips[..at].iter().any(|other| other.address == ip.address) {
                return Err(Failure::usage(format!("--ip {} is there twice", ip.address), "name each address once"));
            }
            if ip.address.is_unspecified() || ip.address.is_multicast() || ip.address.is_loopback() {
                return Err(Failure::usage(
                    format!("--ip {ip} is no address that a host can have"),
                    "use one of a private network, such as 10.7.0.2/24 or fd07::2/64",
                ));
            }
            if network(*ip) == 0 {
                return Err(Failure::usage(
                    format!("the prefix of --ip {ip} is too short: it takes in addresses that no host can have"),
                    "use the prefix of the one network, as in 10.7.0.2/24 or fd07::2/64",
                ));
            }
            if let Some(mtu) = args.mtu.filter(|mtu| ip.address.is_ipv6() && *mtu < MIN_V6) {
                return Err(Failure::usage(
                    format!("--mtu {mtu} is too small for --ip {ip}: IPv6 needs {MIN_V6}"),
                    format!("use {MIN_V6} or more, or IPv4 alone"),
                ));
            }
        }
        if !device && !args.host_ips.is_empty() {
            return Err(Failure::usage("--host-ip is of tun and tap: an interface has its addresses already", "leave it out"));
        }
        if let Some(mtu) = args.mtu.filter(|_| !device) {
            return Err(Failure::usage(
                "--mtu is of tun and tap: an interface has its own already",
                format!("leave it out, or set the interface's: ip link set INTERFACE mtu {mtu}"),
            ));
        }
        let host = if device { host_side(&ips, &args.host_ips)? } else { HostSide::default() };
        Ok(Plan { ips, host })
    }

    /// The kernel's network has its addresses already.
    fn of_kernel(args: &NetworkArgs) -> Result<Plan, Failure> {
        let given = [
            ("--ip", !args.ips.is_empty()),
            ("--gateway", !args.gateways.is_empty()),
            ("--host-ip", !args.host_ips.is_empty()),
            ("--mtu", args.mtu.is_some()),
            ("--dhcp", args.dhcp),
            ("--pcap", args.pcap.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::usage(
                format!("{option} sets Ostia's own stack up, but the network is the kernel's"),
                "name the stack's device too, as in --network tun",
            )),
            None => Ok(Plan { ips: Vec::new(), host: HostSide::default() }),
        }
    }

    /// That no address of the stack is the host's already, on whatever interface; and that the kernel does not get one by itself in a
    /// network that it is on elsewhere, of which it would lose the other hosts. `device` is what the stack's may be called.
    pub(super) fn check_ours(&self, args: &NetworkArgs, device: Option<&str>) -> io::Result<()> {
        let taken = |what: String| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        for ip in &self.ips {
            if let Some(name) = holder_of(ip.address)? {
                return taken(format!("{} is this host's own address on {name}: use one that nobody has", ip.address));
            }
        }
        let by_itself = if args.host_ips.is_empty() { self.host.addresses.as_slice() } else { &[] };
        for there in by_itself {
            if let Some(name) = network_of(there.address, device)? {
                return taken(format!(
                    "{there} is in the network of {name}, and the kernel would reach no other host there: \
                     use another network for --ip, or --network packet:{name}, or say with --host-ip what the kernel is to have"
                ));
            }
        }
        Ok(())
    }
}

/// What the kernel's side gets: what was asked for, or for each address of the stack another one of its network; where the
/// network has no other, a route.
fn host_side(ips: &[Cidr], asked: &[Cidr]) -> Result<HostSide, Failure> {
    let mut host = HostSide::default();
    let address = |cidr: &Cidr| HostAddress { address: cidr.address, prefix: cidr.prefix, peer: None, no_dad: true };
    host.addresses.extend(asked.iter().map(address));
    for ip in ips {
        if let Some(both) = asked.iter().find(|asked| asked.address == ip.address) {
            return Err(Failure::usage(
                format!("{} can't be the stack's and the kernel's address", both.address),
                "use two of one network for --ip and --host-ip",
            ));
        }
        // By what was asked for, or by what another address of the same network has brought.
        let covered =
            host.addresses.iter().any(|there| there.prefix > 0 && same_network(there.address, ip.address, there.prefix));
        match neighbour(*ip, ips) {
            _ if covered => {}
            Some(other) if asked.is_empty() => host.addresses.push(address(&other)),
            _ => {
                let prefix = if ip.address.is_ipv4() { 32 } else { 128 };
                host.routes.push(Route { network: ip.address, prefix, via: None });
            }
        }
    }
    Ok(host)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The bits of an address that name its network, the others 0.
fn network(ip: Cidr) -> u128 {
    let host_bits = host_bits(ip);
    bits(ip.address).checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0)
}

fn host_bits(ip: Cidr) -> u32 {
    let width: u32 = if ip.address.is_ipv4() { 32 } else { 128 };
    width - u32::from(ip.prefix)
}

/// The first host address of an address's network that is none of the stack's own, if there is one.
fn neighbour(ip: Cidr, ours: &[Cidr]) -> Option<Cidr> {
    let size = 1_u128.checked_shl(host_bits(ip))?;
    // A network of two addresses has no others to spare for its own name (RFC 3021, RFC 6164).
    let hosts = match size {
        1 => return None,
        2 => 0..=1,
        _ if ip.address.is_ipv4() => 1..=size - 2,
        _ => 1..=size - 1,
    };
    // No more of them are passed over than the stack has.
    let address = hosts.map(|host| network(ip) + host).find(|one| ours.iter().all(|ours| bits(ours.address) != *one))?;
    let address = match ip.address {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(address).ok()?).into(),
        IpAddr::V6(_) => Ipv6Addr::from(address).into(),
    };
    Some(Cidr { address, prefix: ip.prefix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        let all = ["ostia", "serve", "."].iter().chain(words);
        match crate::args::Cli::try_parse_from(all).expect("parses").command {
            crate::args::Command::Serve(serve) => Plan::new(&serve.common.network),
            other => panic!("{other:?}"),
        }
    }

    fn host(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let host = plan(words).expect("a plan").host;
        (host.addresses.iter().map(ToString::to_string).collect(), host.routes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_kernel_gets_another_address_of_the_same_network() {
        for (ip, other) in [
            ("10.7.0.2/24", "10.7.0.1/24"),
            ("10.7.0.1/24", "10.7.0.2/24"),
            ("10.7.0.9/31", "10.7.0.8/31"),
            ("10.7.0.8/31", "10.7.0.9/31"),
            ("fd07::2/64", "fd07::1/64"),
            ("fd07::1/127", "fd07::/127"),
        ] {
            assert_eq!(host(&["--network", "tun", "--ip", ip]), (vec![other.to_owned()], vec![]), "{ip}");
        }
        assert_eq!(host(&["--network", "tun"]).0, ["10.7.0.1/24"]);
        assert_eq!(host(&["--network", "tun", "--ip", "192.0.2.1"]), (vec![], vec!["192.0.2.1/32".to_owned()]));
        let asked = ["--network", "tap", "--ip", "10.7.0.9/24", "--ip", "192.0.2.1/24", "--host-ip", "10.7.0.7/24"];
        assert_eq!(host(&asked), (vec!["10.7.0.7/24".to_owned()], vec!["192.0.2.1/32".to_owned()]));
    }

    #[test]
    fn several_addresses_of_one_network_have_one_neighbour_that_is_none_of_them() {
        for (ips, addresses, routes) in [
            (&["10.7.0.2/24", "10.7.0.3/24"][..], &["10.7.0.1/24"][..], &[][..]),
            (&["10.7.0.2/24", "10.7.0.1/24"], &["10.7.0.3/24"], &[]),
            (&["10.7.0.2/24", "10.8.0.2/24"], &["10.7.0.1/24", "10.8.0.1/24"], &[]),
            (&["fd07::2/64", "fd07::1/64", "fd07::3/64"], &["fd07::4/64"], &[]),
            (&["10.7.0.8/31", "10.7.0.9/31"], &[], &["10.7.0.8/32", "10.7.0.9/32"]),
            (&["10.7.0.1/30", "10.7.0.2/30"], &[], &["10.7.0.1/32", "10.7.0.2/32"]),
        ] {
            let mut words = vec!["--network", "tun"];
            ips.iter().for_each(|ip| words.extend(["--ip", *ip]));
            let (found, leading) = host(&words);
            assert_eq!(
                (found, leading),
                (addresses.iter().map(ToString::to_string).collect(), routes.iter().map(ToString::to_string).collect())
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, told) in [
            (&["--network", "tun", "--ip", "10.7.0.2/24", "--ip", "10.7.0.2/16"][..], "twice"),
            (&["--network", "tun", "--ip", "224.0.0.1/24"], "no address that a host can have"),
            (&["--network", "tun", "--ip", "fd07::2/64", "--mtu", "1279"], "IPv6 needs 1280"),
            (&["--network", "tun", "--ip", "10.7.0.2/0"], "too short"),
            (&["--network", "tun", "--ip", "10.7.0.2/4"], "too short"),
            (&["--network", "tap", "--ip", "fd07::2/0"], "too short"),
            (&["--network", "tun", "--dhcp"], "Ethernet"),
            (&["--network", "packet:eth0", "--ip", "10.7.0.2/24", "--mtu", "1400"], "--mtu"),
            (&["--network", "packet:eth0"], "has no address"),
            (&["--network", "packet:eth0", "--ip", "10.7.0.2/24", "--host-ip", "10.7.0.1/24"], "--host-ip"),
            (&["--network", "tun", "--ip", "10.7.0.2/24", "--host-ip", "10.7.0.2/24"], "stack's and the kernel's"),
            (&["--ip", "10.7.0.2/24"], "the network is the kernel's"),
            (&["--dhcp"], "the network is the kernel's"),
        ] {
            let failure = plan(words).expect_err(told);
            assert!(failure.what.contains(told) && failure.code == 2 && !failure.remedy.is_empty(), "{words:?}: {failure:?}");
        }
    }
}
