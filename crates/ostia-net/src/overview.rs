//! What there is to see of a network: its link, addresses and neighbours, its sockets as `ss -ti` shows them, and its counters.

use std::net::SocketAddr;

use ostia_link::{Medium, Statistics};
use ostia_stack::{LinkAddress, Neighbour, Socket as Kind, SocketAddress, State, TcpInfo};
use ostia_wire::MacAddr;

use crate::engine::{LINK, StackEngine, Timeliness};
use crate::sockets::Socket;

/// What a socket speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Echo requests of ICMP.
    Icmp,
}

impl Protocol {
    /// The name that `ss` has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
        }
    }
}

/// One socket, or a connection without one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SocketView {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its state; of a socket without connections, [`State::Established`] if it has one peer, and else [`State::Closed`].
    pub state: State,
    /// This end.
    pub local: SocketAddr,
    /// The other end, if there is one.
    pub peer: Option<SocketAddr>,
    /// Octets received and not read; of a listener, connections that wait to be accepted.
    pub receive_queue: u64,
    /// Octets sent and not acknowledged, and those not sent yet.
    pub send_queue: u64,
    /// The connection's figures; none of a listener, and none of what no program has.
    pub info: Option<TcpInfo>,
}

/// The link of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LinkView {
    /// Its name.
    pub name: String,
    /// What its frames start with.
    pub medium: Medium,
    /// The longest IP packet, in octets.
    pub mtu: u32,
    /// The stack's address on it, where there are such.
    pub mac: Option<MacAddr>,
    /// Why it carries nothing any more, if it doesn't.
    pub gone: Option<String>,
    /// What has gone over it, and what it dropped.
    pub statistics: Statistics,
}

/// A network at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// The link.
    pub link: LinkView,
    /// The stack's addresses.
    pub addresses: Vec<LinkAddress>,
    /// Who is known on the link.
    pub neighbours: Vec<Neighbour>,
    /// Listeners, connections that a program has, sockets without connections, and what no program has: connections that wait to
    /// be accepted, those that were closed, half-open ones and TIME-WAITs.
    pub sockets: Vec<SocketView>,
    /// Connections in all, half-open ones, and TIME-WAITs.
    pub census: (usize, usize, usize),
    /// What has happened, under the names that `nstat` shows, without what never happened.
    pub counters: Vec<(&'static str, u64)>,
    /// Packets dropped by the stack, by reason, without those that never happened.
    pub drops: Vec<(&'static str, u64)>,
    /// Bytes of memory in use, the most that were, and those that may be.
    pub memory: (usize, usize, usize),
    /// How the turns kept to their times.
    pub timeliness: Timeliness,
}

fn address((address, port): SocketAddress) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl StackEngine {
    /// What there is to see now.
    pub fn overview(&mut self) -> Overview {
        let mut sockets = self.listeners();
        sockets.extend(self.connections());
        sockets.extend(self.datagrams());
        sockets.extend(self.stack.unowned().map(|(state, local, peer)| SocketView {
            protocol: Protocol::Tcp,
            state,
            local: address(local),
            peer: Some(address(peer)),
            receive_queue: 0,
            send_queue: 0,
            info: None,
        }));
        let drops = self.stack.drops().iter().map(|(reason, count)| (reason.as_str(), count));
        let memory = self.stack.memory();
        Overview {
            link: self.link_view(),
            addresses: self.stack.link_addresses(LINK).collect(),
            neighbours: self.stack.neighbours(LINK).collect(),
            sockets,
            census: self.stack.census(),
            counters: self.stack.counters().iter().filter(|(_, count)| *count > 0).collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            memory: (memory.used(), memory.peak(), memory.limit()),
            timeliness: self.timeliness(),
        }
    }

    fn link_view(&self) -> LinkView {
        let facts = self.link.facts();
        LinkView {
            name: facts.name.clone(),
            medium: facts.medium,
            mtu: facts.mtu,
            mac: facts.mac,
            gone: self.gone.as_ref().map(ToString::to_string),
            statistics: self.link.statistics(),
        }
    }

    fn listeners(&self) -> Vec<SocketView> {
        let view = |(handle, local, waiting): (ostia_stack::Handle, ostia_stack::Local, usize)| {
            // The program's words: the stack listens on any address of both families.
            let asked = self.sockets.named(handle).and_then(|id| match self.sockets.get(id) {
                Some(Socket::Listener { local, .. }) => Some(*local),
                _ => None,
            });
            let any = std::net::IpAddr::from([0; 16]);
            let local = SocketAddr::new(local.address.map_or(any, |address| address.ip()), local.port);
            SocketView {
                protocol: Protocol::Tcp,
                state: State::Listen,
                local: asked.unwrap_or(local),
                peer: None,
                receive_queue: octets(waiting),
                send_queue: 0,
                info: None,
            }
        };
        self.stack.listeners().map(view).collect()
    }

    fn connections(&self) -> Vec<SocketView> {
        let view = |handle| {
            let (local, peer) = self.stack.addresses(handle).ok()?;
            let mut unread = 0;
            let _ = self.stack.peek_with(handle, usize::MAX, |bytes| unread += bytes.len());
            let info = self.stack.tcp_info(handle).ok();
            let under_way =
                |info: &TcpInfo| info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_acked) + u64::from(info.tcpi_notsent_bytes);
            Some(SocketView {
                protocol: Protocol::Tcp,
                state: self.stack.state(handle).ok()?,
                local: address(local),
                peer: Some(address(peer)),
                receive_queue: octets(unread),
                send_queue: info.as_ref().map_or(0, under_way),
                info,
            })
        };
        self.stack.connections().filter(|handle| handle.kind() == Kind::Connection).filter_map(view).collect()
    }

    fn datagrams(&mut self) -> Vec<SocketView> {
        let ids: Vec<_> = self.sockets.ids().collect();
        let mut views = Vec::new();
        for id in ids {
            let Some(Socket::Datagram { handle, held, local, peer, .. }) = self.sockets.get(id) else { continue };
            let (handle, held) =
                (*handle, held.as_ref().and_then(|held| held.as_ref().ok()).map_or(0, |datagram| datagram.frame.len()));
            let mut view = SocketView {
                protocol: if handle.kind() == Kind::Ping { Protocol::Icmp } else { Protocol::Udp },
                state: if peer.is_some() { State::Established } else { State::Closed },
                local: *local,
                peer: *peer,
                receive_queue: octets(held),
                send_queue: 0,
                info: None,
            };
            view.receive_queue += octets(self.stack.datagram_queued(handle).unwrap_or_default());
            views.push(view);
        }
        views
    }
}
