//! bind(2): who may have which address and port.
//!
//! The stack knows listeners and connections; that a stream is bound before it is either, only this crate knows.

use std::net::IpAddr;
use std::os::fd::RawFd;

use ostia_stack::Address;

use crate::address::{self, Domain};
use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::{Kind, Socket, Stage};
use crate::{Errno, Sockaddr, World};

/// What one stream wants or has.
#[derive(Clone, Copy)]
struct Claim {
    address: Address,
    port: u16,
    v6_only: bool,
    reuse_address: bool,
    reuse_port: bool,
    listens: bool,
}

impl Claim {
    fn of(socket: &Socket, (address, port): (Address, u16)) -> Claim {
        let settings = &socket.settings;
        Claim {
            address,
            port,
            v6_only: settings.v6_only,
            reuse_address: settings.reuse_address,
            reuse_port: settings.reuse_port,
            listens: matches!(socket.stage, Stage::Listening(_)),
        }
    }

    /// Whether there is an address that belongs to both: an unspecified one stands for all of its family, that of IPv6 for both
    /// families unless its socket is for IPv6 alone.
    fn overlaps(&self, other: &Claim) -> bool {
        let covers =
            |any: &Claim, one: Address| any.address.is_unspecified() && (any.takes(one) || one.is_v4() == any.address.is_v4());
        self.port == other.port && (self.address == other.address || covers(self, other.address) || covers(other, self.address))
    }

    /// Whether an unspecified address stands for that one too.
    fn takes(&self, one: Address) -> bool {
        match self.address.is_v4() {
            true => one.is_v4(),
            false => !one.is_v4() || !self.v6_only,
        }
    }

    /// Linux's inet_csk_bind_conflict: two that share a port both say so, and the one that has it already doesn't listen, or both
    /// say so of listeners too.
    fn conflicts(&self, other: &Claim) -> bool {
        let shared = self.reuse_address && other.reuse_address && !other.listens;
        let grouped = self.reuse_port && other.reuse_port;
        self.overlaps(other) && !shared && !grouped
    }
}

impl Core {
    /// Whether a stream can't have an address and port.
    pub(crate) fn is_taken(&self, id: Id, wanted: (Address, u16)) -> bool {
        let Some(socket) = self.sockets.get(&id) else { return false };
        let claim = Claim::of(socket, wanted);
        let others = self.sockets.iter().filter(|&(&other, socket)| other != id && socket.kind() == Kind::Stream);
        let mut claims = others.filter_map(|(_, socket)| socket.bound.map(|bound| Claim::of(socket, bound)));
        if claims.any(|other| claim.conflicts(&other)) {
            return true;
        }
        self.ledger.orphan_blocks(wanted.1, |(address, port), reuse_address| {
            let (v6_only, reuse_port, listens) = (false, false, false);
            let orphan = Claim { address, port, v6_only, reuse_address, reuse_port, listens };
            claim.conflicts(&orphan)
        })
    }

    /// A port that nobody has.
    pub(crate) fn choose_port(&mut self, id: Id, address: Address) -> Result<u16, Errno> {
        let (low, high) = self.stack.config().ephemeral_ports;
        for _ in low..=high {
            let port = self.next_port.clamp(low, high);
            self.next_port = if port >= high { low } else { port + 1 };
            let exclusive = |core: &Core| {
                // One that is chosen is shared with nobody, whatever they say.
                let bound = core.sockets.values().filter(|socket| socket.kind() == Kind::Stream);
                bound.filter_map(|socket| socket.bound).all(|(_, taken)| taken != port)
            };
            if exclusive(self) && !self.is_taken(id, (address, port)) {
                return Ok(port);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// Whether this host can be reached by an address.
    pub(crate) fn is_own(&self, address: Address) -> bool {
        address.is_loopback() || self.stack.link_addresses(self.link).any(|own| own.address == address)
    }

    fn bind(&mut self, id: Id, name: &[u8]) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        let (domain, kind, v6_only) = (socket.domain, socket.kind(), socket.settings.v6_only);
        let given = match (domain, address::read(domain, name)) {
            // Linux takes "any" of no family for that of IPv4.
            (Domain::V4, Err(Errno::EAFNOSUPPORT)) if name[..2] == [0, 0] && name[4..8] == [0; 4] => {
                let [high, low] = [name[2], name[3]];
                address::Given { address: domain.any(), port: u16::from_be_bytes([high, low]), scope: 0 }
            }
            (_, given) => given?,
        };
        let mapped = domain == Domain::V6 && given.address.is_v4();
        if mapped && v6_only {
            return Err(Errno::EINVAL);
        }
        let group = given.address.is_multicast();
        if kind == Kind::Stream && group && domain == Domain::V6 {
            return Err(Errno::EINVAL);
        }
        if kind == Kind::Stream && !given.address.is_unspecified() && !group && !self.is_own(given.address) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let socket = self.socket(id)?;
        if socket.bound.is_some() || !matches!(socket.stage, Stage::Fresh | Stage::Datagrams(_)) {
            return Err(Errno::EINVAL);
        }
        if kind == Kind::Datagram {
            return self.bind_datagrams(id, given);
        }
        let port = match given.port {
            0 => self.choose_port(id, given.address)?,
            port if self.is_taken(id, (given.address, port)) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        let socket = self.socket_mut(id)?;
        socket.bound = Some((given.address, port));
        socket.port_chosen = true;
        Ok(())
    }

    /// An address and port that a stream hasn't been given by bind(2): any, and one that is free.
    pub(crate) fn bind_to_any(&mut self, id: Id) -> Result<(Address, u16), Errno> {
        if let Some(bound) = self.socket(id)?.bound {
            return Ok(bound);
        }
        let address = self.socket(id)?.domain.any();
        let port = self.choose_port(id, address)?;
        self.socket_mut(id)?.bound = Some((address, port));
        Ok((address, port))
    }
}

impl World {
    /// bind(2).
    ///
    /// # Errors
    /// EADDRINUSE; EADDRNOTAVAIL if the address isn't the host's; EINVAL if the socket is bound already or the name too short;
    /// EAFNOSUPPORT; EBADF, ENOTSOCK.
    pub fn bind(&self, fd: RawFd, name: &[u8]) -> Result<(), Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        inside.bind(id, name)
    }

    /// getsockname(2).
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    pub fn getsockname(&self, fd: RawFd) -> Result<Sockaddr, Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        let socket = inside.socket(id)?;
        let (domain, bound, handle) = (socket.domain, socket.bound, socket.handle());
        let last = (domain.any(), socket.last_port);
        let (address, port) = match (&socket.stage, handle) {
            (Stage::Stream(_), Some(handle)) => match inside.stack.addresses(handle) {
                Ok((local, _)) => local,
                Err(_) => bound.unwrap_or(last),
            },
            (Stage::Datagrams(_), Some(handle)) => {
                let (address, port) = inside.stack.datagram_local(handle)?;
                (address.unwrap_or_else(|| domain.any()), port)
            }
            _ => bound.unwrap_or(last),
        };
        Ok(name(domain, address, port))
    }

    /// getpeername(2).
    ///
    /// # Errors
    /// ENOTCONN while there is no peer; EBADF, ENOTSOCK.
    pub fn getpeername(&self, fd: RawFd) -> Result<Sockaddr, Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        let socket = inside.socket(id)?;
        let (address, port) = match &socket.stage {
            Stage::Stream(stream) => match inside.state(socket) {
                ostia_stack::State::Closed | ostia_stack::State::SynSent => return Err(Errno::ENOTCONN),
                _ => stream.remote,
            },
            Stage::Datagrams(datagrams) => {
                let remote = datagrams.remote.ok_or(Errno::ENOTCONN)?;
                (remote.address, remote.port)
            }
            _ => return Err(Errno::ENOTCONN),
        };
        Ok(name(socket.domain, address, port))
    }
}

/// An address as a socket sees it; the unspecified one of IPv4 stays unmapped, as in Linux.
fn name(domain: Domain, address: Address, port: u16) -> Sockaddr {
    match (domain, address.ip()) {
        (Domain::V6, IpAddr::V4(v4)) if v4.is_unspecified() => Sockaddr::new(Domain::V6.any().ip(), port),
        _ => Sockaddr::seen_by(domain, address, port),
    }
}
