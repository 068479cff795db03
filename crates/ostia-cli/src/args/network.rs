//! The arguments that choose a network.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

/// What carries a program's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkChoice {
    /// The operating system's network.
    #[default]
    Kernel,
    /// Ostia's own stack on a TUN device, of this name if one is given.
    Tun(Option<String>),
    /// Ostia's own stack on a TAP device.
    Tap(Option<String>),
    /// Ostia's own stack on an interface that is there.
    Packet(String),
}

impl FromStr for NetworkChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<NetworkChoice, String> {
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind, Some(name.to_owned())),
            None => (text, None),
        };
        match (kind, name) {
            (_, Some(name)) if name.is_empty() => Err(format!("'{text}' lacks the name behind the colon")),
            ("kernel", None) => Ok(NetworkChoice::Kernel),
            ("tun", name) => Ok(NetworkChoice::Tun(name)),
            ("tap", name) => Ok(NetworkChoice::Tap(name)),
            ("packet", Some(interface)) => Ok(NetworkChoice::Packet(interface)),
            ("packet", None) => Err("packet needs an interface, as in packet:eth0".to_owned()),
            _ => Err("not a network: write kernel, tun, tun:NAME, tap, tap:NAME or packet:INTERFACE".to_owned()),
        }
    }
}

impl fmt::Display for NetworkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkChoice::Kernel => f.write_str("kernel"),
            NetworkChoice::Tun(None) => f.write_str("tun"),
            NetworkChoice::Tun(Some(name)) => write!(f, "tun:{name}"),
            NetworkChoice::Tap(None) => f.write_str("tap"),
            NetworkChoice::Tap(Some(name)) => write!(f, "tap:{name}"),
            NetworkChoice::Packet(interface) => write!(f, "packet:{interface}"),
        }
    }
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many of its bits name the network.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| format!("'{address}' is no IP address: write 10.7.0.2/24"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            "" if text.contains('/') => None,
            "" => Some(most),
            digits => digits.parse().ok().filter(|prefix| *prefix <= most),
        };
        let prefix = prefix.ok_or_else(|| format!("the length of the prefix in '{text}' must be 0 to {most}"))?;
        Ok(Cidr { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether a device leaves large packets and checksums undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Offload {
    /// As far as the kernel has it
    #[default]
    On,
    /// Every packet stands for itself
    Off,
}

/// Which network, and how it is set up.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// What carries the bytes: kernel, or Ostia's own TCP/IP stack on tun, tun:NAME, tap, tap:NAME or packet:INTERFACE
    #[arg(long, value_name = "NETWORK", default_value_t)]
    pub network: NetworkChoice,

    /// An address of the stack with its network's prefix; repeat for more
    /// [default: 10.7.0.2/24 on tun and tap]
    #[arg(long = "ip", value_name = "IP/PREFIX")]
    pub ips: Vec<Cidr>,

    /// The router for what is on no network of the stack's; one of each family
    #[arg(long = "gateway", value_name = "IP")]
    pub gateways: Vec<IpAddr>,

    /// An address of the kernel's side of the device; repeat for more
    /// [default: for each --ip the first other one of its network]
    #[arg(long = "host-ip", hide_short_help = true, value_name = "IP/PREFIX")]
    pub host_ips: Vec<Cidr>,

    /// The longest IP packet, in bytes [default: the device's, 1500 if it is new]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65_535))]
    pub mtu: Option<u32>,

    /// Have the stack's address from DHCP (tap and packet)
    #[arg(long)]
    pub dhcp: bool,

    /// A DNS server that names are asked of over this network; repeat for more
    /// [default: those that DHCP names, else the host's own resolver]
    #[arg(long = "dns", value_name = "IP[:PORT]", value_parser = name_server)]
    pub dns: Vec<SocketAddr>,

    /// Whether the device may hand over super-segments and partial checksums
    #[arg(long, hide_short_help = true, value_enum, value_name = "WHEN", default_value_t)]
    pub offload: Offload,

    /// Write every packet to this file, in pcapng
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// A name server's address; its port is 53 unless it is named.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let ip = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    let server = ip.ok().or_else(|| text.parse().ok()).or_else(bracketed);
    server
        .filter(|server| server.port() != 0 && !server.ip().is_unspecified())
        .ok_or_else(|| "not the address of a name server: write an IP address, such as 192.0.2.53, or one with a port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read_and_write_themselves() {
        for text in ["kernel", "tun", "tun:x", "tap", "tap:ostia0", "packet:eth0"] {
            assert_eq!(text.parse::<NetworkChoice>().expect(text).to_string(), text);
        }
        for text in ["", "tun:", "packet", "packet:", "wire", "kernel:x"] {
            assert!(text.parse::<NetworkChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn name_servers_have_a_port() {
        for (text, read) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("fd07::53", "[fd07::53]:53"),
            ("[fd07::53]", "[fd07::53]:53"),
            ("[fd07::53]:5353", "[fd07::53]:5353"),
        ] {
            assert_eq!(name_server(text).expect(text).to_string(), read);
        }
        for text in ["", "ns.example", "192.0.2.53:0", "192.0.2.53:65536", "0.0.0.0", "[fd07::53", ":53"] {
            assert!(name_server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_prefixes() {
        for text in ["10.7.0.2/24", "fd07::2/64", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Cidr>().expect(text).to_string(), text);
        }
        assert_eq!("10.7.0.2".parse::<Cidr>().map(|cidr| cidr.prefix), Ok(32));
        for text in ["10.7.0.2/33", "10.7.0.2/", "10.7.0/24", "fd07::2/129", "x/8", "10.7.0.2/-1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
