//! A client's socket, and what may go wrong on the way, from a seed.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ostia::net::{Incoming, UdpSocket};

use crate::protocol::DATAGRAM_MOST;
use crate::seeded::Seeded;

/// What becomes of datagrams, in each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// So many in a hundred are lost.
    pub lost: u32,
    /// So many in a hundred go out twice.
    pub doubled: u32,
    /// So many in a hundred go out after the next one.
    pub swapped: u32,
}

#[derive(Debug)]
pub struct Wire {
    socket: UdpSocket,
    incoming: Incoming,
    trouble: Trouble,
    chance: Seeded,
    held: Option<Vec<u8>>,
    pub lost: u64,
}

impl Wire {
    /// A socket that hears `server` alone.
    pub fn to(server: SocketAddr, trouble: Trouble, seed: u64) -> io::Result<Wire> {
        let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(server)?;
        let incoming = Incoming::with_capacity(DATAGRAM_MOST + 1);
        Ok(Wire { socket, incoming, trouble, chance: Seeded::new(seed ^ 0x7769_7265), held: None, lost: 0 })
    }

    /// Sends, or lets something happen. Cancelled: it may have been sent.
    pub async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.chance.chance(self.trouble.lost) {
            self.lost += 1;
            return Ok(());
        }
        if self.held.is_none() && self.chance.chance(self.trouble.swapped) {
            self.held = Some(datagram.to_vec());
            return Ok(());
        }
        let twice = self.chance.chance(self.trouble.doubled).then(|| datagram.to_vec());
        for datagram in [Some(datagram.to_vec()), self.held.take(), twice].into_iter().flatten() {
            lenient(self.socket.send(datagram).await.0)?;
        }
        Ok(())
    }

    /// The next datagram that arrives. Cancel safe.
    pub async fn recv(&mut self) -> io::Result<&[u8]> {
        loop {
            let received = lenient(self.socket.recv_msg(&mut self.incoming).await)?;
            let lost = received.is_some() && self.chance.chance(self.trouble.lost);
            self.lost += u64::from(lost);
            if received.is_some() && !lost {
                return Ok(self.incoming.data());
            }
        }
    }
}

/// That nobody listens at the other end may change: it counts as a loss.
fn lenient<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        result => result.map(Some),
    }
}
