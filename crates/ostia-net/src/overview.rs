//! What there is to see of a network: its sockets, as `ss -ti` shows them, and what was dropped.

use std::net::SocketAddr;

use ostia_stack::{Socket, State, TcpInfo};

use crate::engine::StackEngine;

/// One socket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketView {
    /// Its state.
    pub state: State,
    /// This end.
    pub local: SocketAddr,
    /// The other end; none of a listener.
    pub peer: Option<SocketAddr>,
    /// Octets received and not read; of a listener, connections that wait to be accepted.
    pub receive_queue: u32,
    /// The connection's figures; none of a listener.
    pub info: Option<TcpInfo>,
}

/// A network at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Overview {
    /// Listeners, then connections that have a program.
    pub sockets: Vec<SocketView>,
    /// Connections in all, half-open ones, and TIME-WAITs.
    pub census: (usize, usize, usize),
    /// Packets dropped, by reason, without those that never happened.
    pub drops: Vec<(&'static str, u64)>,
}

impl StackEngine {
    /// What there is to see now.
    pub fn overview(&self) -> Overview {
        let address = |(address, port): ostia_stack::SocketAddress| SocketAddr::new(address.ip(), port);
        let any = std::net::IpAddr::from([0; 16]);
        let listeners = self.stack.listeners().map(|(_, local, waiting)| SocketView {
            state: State::Listen,
            local: SocketAddr::new(local.address.map_or(any, |address| address.ip()), local.port),
            peer: None,
            receive_queue: u32::try_from(waiting).unwrap_or(u32::MAX),
            info: None,
        });
        let connections = self.stack.connections().filter(|handle| handle.kind() == Socket::Connection);
        let connections = connections.filter_map(|handle| {
            let (local, peer) = self.stack.addresses(handle).ok()?;
            let mut unread = 0u32;
            let _ = self.stack.peek_with(handle, usize::MAX, |bytes| unread += bytes.len() as u32);
            Some(SocketView {
                state: self.stack.state(handle).ok()?,
                local: address(local),
                peer: Some(address(peer)),
                receive_queue: unread,
                info: self.stack.tcp_info(handle).ok(),
            })
        });
        let sockets = listeners.chain(connections).collect();
        let drops = self.stack.drops().iter().filter(|(_, count)| *count > 0);
        let drops = drops.map(|(reason, count)| (reason.as_str(), count)).collect();
        Overview { sockets, census: self.stack.census(), drops }
    }
}
