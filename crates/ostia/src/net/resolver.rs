//! From names to addresses: the host's own resolver, off the worker's thread, a table, or anything else.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use crate::net::FailureKind;
use crate::net::failure::named_as;

/// What [`Resolve::resolve`] gives: not necessarily `Send`, for it is awaited on the worker that asked.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + 'a>>;

/// A way to find a name's addresses.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name, with this port, in the order in which they should be tried; none is a name without
    /// addresses. Dropping the future gives the search up, and must leave nothing undone that a later one needs.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a>;
}

/// Which way names are resolved. Cloning is cheap.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Resolver {
    /// As the host is set up: getaddrinfo(3), run on a thread that may block.
    #[default]
    Host,
    /// By a table alone.
    Table(Arc<HostTable>),
    /// By something of the program's own.
    Custom(Arc<dyn Resolve>),
}

impl Resolver {
    /// One that asks something of the program's own.
    pub fn custom(resolve: impl Resolve) -> Resolver {
        Resolver::Custom(Arc::new(resolve))
    }

    /// The addresses of a name, with this port: at least one. Names that are addresses in digits are themselves.
    ///
    /// Cancelled: the search is given up. That of the host goes on in its thread and its answer is dropped.
    ///
    /// # Errors
    /// [`FailureKind::NameNotFound`] naming the name: it has no address, or the resolver failed and says why;
    /// [`FailureKind::NoNameServer`] if it asks DNS servers and none has answered.
    pub async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let found = match self {
            Resolver::Host => {
                let owned = name.to_owned();
                match crate::spawn_blocking(move || ask_host(&owned, port)).await {
                    Ok(found) => found,
                    Err(error) => Err(io::Error::other(error)),
                }
            }
            Resolver::Table(table) => Ok(table.find(name, port)),
            Resolver::Custom(resolve) => resolve.resolve(name, port).await,
        };
        found_or_named(name, found)
    }
}

/// As [`Resolver::resolve`] with the host's resolver, blocking.
pub(crate) fn resolve_blocking(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    found_or_named(name, ask_host(name, port))
}

fn ask_host(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((name, port).to_socket_addrs()?.collect())
}

fn found_or_named(name: &str, found: io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
    let error = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        Err(error) => error,
    };
    Err(named_as(FailureKind::NameNotFound, "resolve", name, error))
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resolver::Host => f.write_str("Host"),
            Resolver::Table(table) => f.debug_tuple("Table").field(table).finish(),
            Resolver::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// Names and their addresses, as in a hosts file. Names are compared without regard to case and to a dot at their end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostTable(BTreeMap<String, Vec<IpAddr>>);

impl HostTable {
    /// A table without names.
    #[must_use]
    pub fn new() -> HostTable {
        HostTable::default()
    }

    /// Adds addresses of a name, behind those that it has.
    #[must_use]
    pub fn with(mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> HostTable {
        self.0.entry(key(name)).or_default().extend(addresses);
        self
    }

    /// Reads the text of a hosts file (hosts(5)): an address and its names on each line, comments from `#` on.
    ///
    /// # Errors
    /// InvalidData with the number of the first line whose address is none.
    pub fn parse(text: &str) -> io::Result<HostTable> {
        let mut table = HostTable::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next() else { continue };
            let address: IpAddr = address.parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, format!("line {}: '{address}' is no IP address", number + 1))
            })?;
            for name in words {
                table.0.entry(key(name)).or_default().push(address);
            }
        }
        Ok(table)
    }

    fn find(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        let found = self.0.get(&key(name)).map(Vec::as_slice).unwrap_or_default();
        found.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
    }
}

impl From<HostTable> for Resolver {
    fn from(table: HostTable) -> Resolver {
        Resolver::Table(Arc::new(table))
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_reads() {
        let table = HostTable::parse("# none\n127.0.0.1 localhost Harbour # ours\n\n::1\tlocalhost\n").expect("a table");
        let all: Vec<String> = table.find("LOCALHOST.", 7).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["127.0.0.1:7", "[::1]:7"]);
        assert_eq!(table.find("harbour", 1).len(), 1);
        assert!(table.find("elsewhere", 1).is_empty());
        let error = HostTable::parse("\nlocalhost 127.0.0.1").expect_err("no address");
        assert!(error.to_string().starts_with("line 2"));
        assert_eq!(HostTable::new().with("localhost", ["127.0.0.1".parse().expect("ip")]).find("localhost", 0).len(), 1);
    }
}
