//! UDP sockets.

use std::io::IoSliceMut;

use ostia_stack::{Destination, Family};

use crate::address::{self, Domain, Given};
use crate::connect::reachable;
use crate::core::Core;
use crate::descriptors::Id;
use crate::messages::Received;
use crate::socket::Datagrams;
use crate::stream::scatter;
use crate::{Errno, Sockaddr};

/// The longest payload (RFC 768), less what an IPv4 header takes.
const LONGEST: usize = 65_535 - 8 - 20;

impl Core {
    fn datagrams(&mut self, id: Id) -> Result<&mut Datagrams, Errno> {
        self.socket_mut(id)?.datagrams_mut().ok_or(Errno::EOPNOTSUPP)
    }

    /// The stack's socket, opened with its first use: by then the program has said which families it is for.
    fn open_datagrams(&mut self, id: Id) -> Result<ostia_stack::Handle, Errno> {
        let socket = self.socket(id)?;
        if let Some(handle) = socket.handle() {
            return Ok(handle);
        }
        let family = match (socket.domain, socket.settings.v6_only) {
            (Domain::V4, _) => Family::V4,
            (Domain::V6, true) => Family::V6,
            (Domain::V6, false) => Family::Dual,
        };
        let handle = self.stack.open_udp(family)?;
        self.datagrams(id)?.handle = Some(handle);
        self.names(handle, id);
        self.apply(id);
        Ok(handle)
    }

    pub(crate) fn bind_datagrams(&mut self, id: Id, given: Given) -> Result<(), Errno> {
        let handle = self.open_datagrams(id)?;
        // A mapped "any" of IPv4 counts as an address of its own in Linux; here it is any of both.
        let local = (!given.address.is_unspecified()).then_some(given.address);
        self.stack.bind(handle, local, given.port)?;
        let (address, port) = self.stack.datagram_local(handle)?;
        let socket = self.socket_mut(id)?;
        let any = socket.domain.any();
        socket.bound = Some((address.unwrap_or(any), port));
        Ok(())
    }

    pub(crate) fn connect_datagrams(&mut self, id: Id, name: &[u8]) -> Result<(), Errno> {
        let domain = self.socket(id)?.domain;
        let to = destination(reachable(domain, address::read(domain, name)?));
        let handle = self.open_datagrams(id)?;
        self.stack.connect_datagram(handle, to)?;
        self.datagrams(id)?.remote = Some(to);
        Ok(())
    }

    pub(crate) fn disconnect_datagrams(&mut self, id: Id) -> Result<(), Errno> {
        let handle = self.open_datagrams(id)?;
        self.stack.disconnect(handle)?;
        self.datagrams(id)?.remote = None;
        Ok(())
    }

    /// Sends a datagram, or with MSG_MORE keeps it until the rest of it comes.
    pub(crate) fn send_datagram(&mut self, id: Id, data: &[u8], flags: i32, name: Option<&[u8]>) -> Result<usize, Errno> {
        let handle = self.open_datagrams(id)?;
        if self.stack.datagram_local(handle)?.1 == 0 {
            // Whatever becomes of it: a socket that sends has a port.
            self.stack.bind(handle, None, 0)?;
        }
        if flags & libc::MSG_OOB != 0 && self.socket(id)?.domain == Domain::V4 {
            return Err(Errno::EOPNOTSUPP);
        }
        if data.len() > 0xffff {
            return Err(Errno::EMSGSIZE);
        }
        let socket = self.socket(id)?;
        let (domain, v6_only) = (socket.domain, socket.settings.v6_only);
        let to = match name {
            Some(name) => Some(named(domain, v6_only, name)?),
            None => None,
        };
        if to.is_some_and(|to| to.port == 0) {
            return Err(Errno::EINVAL);
        }
        let datagrams = self.datagrams(id)?;
        if to.is_none() && datagrams.remote.is_none() && datagrams.gathered.is_none() {
            return Err(Errno::EDESTADDRREQ);
        }
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if socket.ended.1 {
            return Err(Errno::EPIPE);
        }
        let datagrams = self.datagrams(id)?;
        let (mut whole, to) = datagrams.gathered.take().map_or((Vec::new(), to), |(bytes, first)| (bytes, first.or(to)));
        whole.extend_from_slice(data);
        if whole.len() > LONGEST {
            return Err(Errno::EMSGSIZE);
        }
        if flags & libc::MSG_MORE != 0 {
            datagrams.gathered = Some((whole, to));
            return Ok(data.len());
        }
        self.stack.send_to(handle, &whole, to)?;
        Ok(data.len())
    }

    /// The first datagram that was received, as much of it as there is room for.
    pub(crate) fn receive_datagram(
        &mut self,
        id: Id,
        into: &mut [IoSliceMut<'_>],
        flags: i32,
        waits: bool,
    ) -> Result<Received, Errno> {
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let (domain, ended) = (socket.domain, socket.ended.0);
        let datagrams = self.datagrams(id)?;
        let Some(datagram) = datagrams.queue.front() else {
            // Who would wait is told that nothing will come; who wouldn't, only that nothing is there.
            return if ended && waits { Ok(Received::default()) } else { Err(Errno::EAGAIN) };
        };
        let whole = datagram.frame.as_slice();
        let copied = scatter(whole, into);
        let truncated = copied < whole.len();
        let received = Received {
            count: if flags & libc::MSG_TRUNC != 0 { whole.len() } else { copied },
            from: Some(Sockaddr::seen_by(domain, datagram.source, datagram.source_port)),
            flags: if truncated { libc::MSG_TRUNC } else { 0 },
        };
        if flags & libc::MSG_PEEK == 0
            && let Some(datagram) = datagrams.queue.pop_front()
        {
            datagrams.queued = datagrams.queued.saturating_sub(datagram.frame.truesize());
            self.stack.recycle(datagram.frame);
        }
        Ok(received)
    }
}

fn destination(given: Given) -> Destination {
    Destination { address: given.address, port: given.port, zone: u16::try_from(given.scope).unwrap_or(0) }
}

/// Where a name of sendto(2) leads. Sockets of IPv6 take those of IPv4 too; sockets of IPv4 those of no family.
fn named(domain: Domain, v6_only: bool, name: &[u8]) -> Result<Destination, Errno> {
    let family = address::family(name)?;
    let given = match (domain, family) {
        (Domain::V6, libc::AF_INET) if !v6_only => address::read(Domain::V4, name)?,
        (Domain::V4, libc::AF_UNSPEC) => {
            let mut name = name.to_vec();
            name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            address::read(Domain::V4, &name)?
        }
        _ => address::read(domain, name)?,
    };
    Ok(destination(reachable(domain, given)))
}
