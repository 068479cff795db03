//! Where something listens or is reached, as people write it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ostia_port::Address;

use crate::net::failure::naming;
use crate::net::{Network, resolver, unix};

/// An address as it stands on a command line: `HOST:PORT`, `[::1]:80`, `unix:/path`, `unix:@name`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name that a resolver knows, and a port.
    Name(String, u16),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A Unix socket's name in the abstract namespace, which no file system knows, up to 107 bytes.
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// The addresses behind it, in the order of the host's resolver. Blocks while a name is resolved; others don't.
    ///
    /// # Errors
    /// As the resolver says; for a path that is too long for a socket address.
    pub fn resolve(&self) -> io::Result<Vec<Address>> {
        match self {
            Endpoint::Ip(ip) => Ok(vec![Address::from(*ip)]),
            Endpoint::Unix(path) => Ok(vec![unix::address(path)?]),
            Endpoint::Abstract(name) => match unix::abstract_address(name) {
                Ok(address) => Ok(vec![address]),
                Err(error) => Err(naming("use the name", self, error)),
            },
            Endpoint::Name(name, port) => Ok(resolver::resolve_blocking(name, *port)?.into_iter().map(Address::from).collect()),
        }
    }

    /// As [`resolve`](Self::resolve) with the resolver of the [current](Network::current) network, without blocking the
    /// worker. Cancelled: as [`Resolver::resolve`](crate::net::Resolver::resolve).
    ///
    /// # Errors
    /// As for `resolve`.
    pub async fn resolve_async(&self) -> io::Result<Vec<Address>> {
        Network::current().resolve(self).await
    }

    /// Whether it is a Unix socket's, by path or by name.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self, Endpoint::Unix(_) | Endpoint::Abstract(_))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("'unix:' needs a path, such as unix:/run/ostia.sock".into()),
                path if path.len() > 107 => Err(format!("'{path}' is longer than the 107 bytes of a socket's path")),
                path if path.contains('\0') => Err("a socket's path can't hold a NUL".into()),
                "@" => Err("'unix:@' needs a name, such as unix:@ostia".into()),
                path if path.starts_with('@') => Ok(Endpoint::Abstract(path.as_bytes()[1..].to_vec())),
                path => Ok(Endpoint::Unix(path.into())),
            };
        }
        if let Ok(ip) = text.parse() {
            return Ok(Endpoint::Ip(ip));
        }
        let wrong = || format!("'{text}' is no address: use HOST:PORT, [IPv6]:PORT or unix:/path");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let port: u16 = port.parse().map_err(|_| format!("'{port}' in '{text}' is no port: use 0 to 65535"))?;
        if plain { Ok(Endpoint::Name(host.to_owned(), port)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(ip) => ip.fmt(f),
            Endpoint::Name(name, port) => write!(f, "{name}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(ip: SocketAddr) -> Endpoint {
        Endpoint::Ip(ip)
    }
}

/// The endpoint that [resolves](Endpoint::resolve) to exactly this address: what `local_addr` of a listener gives, to be
/// written down or connected to.
///
/// # Errors
/// InvalidInput for an address that nobody can connect to or listen on, for which there is no endpoint: that of an unnamed
/// Unix socket, or of a family other than IP and Unix.
impl TryFrom<Address> for Endpoint {
    type Error = io::Error;

    fn try_from(address: Address) -> io::Result<Endpoint> {
        if let Some(ip) = address.ip() {
            return Ok(Endpoint::Ip(ip));
        }
        if let Some(path) = unix::path_of(&address) {
            return Ok(Endpoint::Unix(path));
        }
        match unix::abstract_name_of(&address) {
            Some(name) => Ok(Endpoint::Abstract(name)),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no endpoint for the address {address}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_writes_itself() {
        for text in ["127.0.0.1:80", "[::1]:8080", "localhost:0", "unix:/run/x.sock", "unix:@hidden", "a-b.example:443"] {
            assert_eq!(text.parse::<Endpoint>().map(|e| e.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_address_has_the_endpoint_that_resolves_to_it() {
        for text in ["192.0.2.1:53", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address = Address::from(text.parse::<SocketAddr>().expect(text));
            assert_eq!(Endpoint::try_from(address.clone()).expect(text).resolve().expect(text), [address]);
        }
    }

    #[test]
    #[cfg(windows)]
    fn what_this_system_lacks_is_said() {
        for text in ["unix:/run/x.sock", "unix:@hidden"] {
            let error = text.parse::<Endpoint>().expect(text).resolve().expect_err("there are none");
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("no Unix sockets"), "{error}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_address_has_the_endpoint_that_resolves_to_it() {
        let long = "x".repeat(107);
        for name in ["a", "with spaces and \u{e9}", long.as_str()] {
            for address in [Address::unix(name).expect(name), Address::unix_abstract(name).expect(name)] {
                let endpoint = Endpoint::try_from(address.clone()).expect(name);
                assert!(endpoint.is_unix());
                assert_eq!(endpoint.resolve().expect(name), [address]);
            }
        }
        let (unnamed, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let unnamed = crate::net::socket::local(std::os::fd::AsFd::as_fd(&unnamed)).expect("an address");
        assert_eq!(Endpoint::try_from(unnamed).expect_err("unnamed").kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in
            ["", "localhost", "localhost:70000", ":80", "unix:", "unix:@", "::1:80", "a b:80", "http://x:80", "[::1]", "x:-1"]
        {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(!error.is_empty());
        }
        assert!(format!("unix:/{}", "x".repeat(200)).parse::<Endpoint>().is_err());
    }
}
