//! The calls of a port on the stack's sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6};

use bytes::Bytes;
use ostia_port::os::{self, BorrowedFd};
use ostia_port::{
    Buffer, Datagram, Engine, LENT_MAX, OptionName, Remote, SocketId, SocketOption, SocketSpec, Spare, Turned, Woken,
};
use ostia_stack::{Address, Destination, Error, Family, Handle, How, Local, Options, SocketAddress};

use crate::branch::Desk;
use crate::engine::{LINK, StackEngine};
use crate::error::{errno, io_error};
use crate::options;
use crate::sockets::{Progress, Socket, Stream};

/// Ports that are tried for a listener that names none (RFC 6335, 6: the dynamic ones).
const DYNAMIC: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Buffers of up to so many bytes are copied: to keep one costs more.
const COPIED_MAX: usize = 4096;
/// And such chunks, for they are parts of larger buffers that others wait for.
pub(crate) const CHUNK_COPIED_MAX: usize = 16 << 10;

/// What poll(2) says of a stream whose peer has ended it, where the system has a word for it.
pub(crate) const ENDED: i16 = {
    #[cfg(target_os = "linux")]
    let ended = os::POLLRDHUP;
    #[cfg(not(target_os = "linux"))]
    let ended = 0;
    ended
};

/// Where packets to an address go, if it means something on one link only.
fn zone(address: SocketAddr) -> u16 {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() || v6.ip().is_multicast() => LINK.0 + 1,
        _ => 0,
    }
}

pub(crate) fn socket_addr((address, port): SocketAddress) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, u32::from(LINK.0) + 1).into(),
        ip => SocketAddr::new(ip, port),
    }
}

fn specified(ip: IpAddr) -> Option<Address> {
    (!ip.is_unspecified()).then(|| Address::from(ip))
}

impl StackEngine {
    fn alive(&self) -> io::Result<()> {
        if self.gone.is_some() { Err(errno(os::ENETDOWN)) } else { Ok(()) }
    }

    fn stream(&mut self, id: SocketId) -> io::Result<&mut Stream> {
        match self.sockets.get_mut(id) {
            Some(Socket::Stream(stream)) => Ok(stream),
            Some(_) => Err(errno(os::EOPNOTSUPP)),
            None => Err(errno(os::EBADF)),
        }
    }

    /// The stack's connection of a socket.
    fn connection(&mut self, id: SocketId) -> io::Result<Handle> {
        let stream = self.stream(id)?;
        match stream.progress {
            Progress::Connected => stream.handle.ok_or_else(|| errno(os::ENOTCONN)),
            Progress::Connecting => Err(errno(os::EAGAIN)),
            Progress::Unconnected | Progress::Failed(_) => Err(errno(os::ENOTCONN)),
        }
    }

    fn listen(&mut self, local: SocketAddr, backlog: u32, reuse_port: bool) -> io::Result<SocketId> {
        if reuse_port && let Some(id) = self.join_group(local) {
            return Ok(id);
        }
        let options = self.stack.options();
        let mut listen = |port| {
            let place = Local { address: Some(Address::from(local.ip())), port };
            self.stack.listen_with(place, backlog as usize, options, None)
        };
        let (port, listening) = match local.port() {
            0 => DYNAMIC
                .map(|port| (port, listen(port)))
                .find(|(_, listening)| *listening != Err(Error::AddressInUse))
                .unwrap_or((0, Err(Error::AddressInUse))),
            port => (port, listen(port)),
        };
        let handle = listening.map_err(io_error)?;
        let local = SocketAddr::new(local.ip(), port);
        let id = self.sockets.insert(Socket::Listener { handle, local });
        if reuse_port {
            self.groups.found(local, id);
        }
        Ok(id)
    }

    fn open_datagram(&mut self, local: SocketAddr) -> io::Result<SocketId> {
        let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
        let handle = self.stack.open_udp(family).map_err(io_error)?;
        if let Err(error) = self.stack.bind(handle, specified(local.ip()), local.port()) {
            // It was there a moment ago.
            let _ = self.stack.close(handle);
            return Err(io_error(error));
        }
        Ok(self.insert_datagram(handle, local.is_ipv6()))
    }

    fn insert_datagram(&mut self, handle: Handle, v6: bool) -> SocketId {
        let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let local = SocketAddr::new(any, 0);
        let id = self.sockets.insert(Socket::Datagram { handle, held: None, v6, local, peer: None });
        self.note_addresses(id);
        id
    }

    /// Takes down what a socket of datagrams is bound and connected to, now that it may have changed.
    fn note_addresses(&mut self, id: SocketId) {
        let Some(Socket::Datagram { handle, local, peer, .. }) = self.sockets.get_mut(id) else { return };
        if let Ok((address, port)) = self.stack.datagram_local(*handle) {
            *local = address.map_or(SocketAddr::new(local.ip(), port), |address| socket_addr((address, port)));
        }
        *peer = self.stack.datagram_remote(*handle).ok().flatten().map(|to| socket_addr((to.address, to.port)));
    }

    /// Takes the next datagram, held or not.
    pub(crate) fn next_datagram(&mut self, id: SocketId) -> io::Result<ostia_stack::Datagram> {
        let Some(Socket::Datagram { handle, held, .. }) = self.sockets.get_mut(id) else { return Err(errno(os::EOPNOTSUPP)) };
        match held.take() {
            Some(held) => held.map_err(io_error),
            None => self.stack.receive_from(*handle).map_err(io_error),
        }
    }

    /// The options of a stream, connected or not.
    pub(crate) fn options(&self, id: SocketId) -> io::Result<Options> {
        match self.sockets.get(id) {
            Some(Socket::Stream(Stream { handle: None, options, .. })) => Ok(*options),
            Some(Socket::Stream(Stream { handle: Some(handle), .. }) | Socket::Listener { handle, .. }) => {
                self.stack.socket_options(*handle).map_err(io_error)
            }
            Some(Socket::Datagram { .. }) => Err(errno(os::ENOPROTOOPT)),
            None => Err(errno(os::EBADF)),
        }
    }

    /// Takes a whole buffer to be sent, if there is room for any of it.
    pub(crate) fn send_lent(&mut self, id: SocketId, data: Buffer) -> Result<(), (io::Error, Buffer)> {
        let connection = match self.alive().and_then(|()| self.connection(id)) {
            Ok(connection) => connection,
            Err(error) => return Err((error, data)),
        };
        // Asked first, for what is refused is to be given back.
        match self.stack.readiness(connection) {
            Ok(now) if now.writable => {}
            Ok(_) => return Err((errno(os::EAGAIN), data)),
            Err(error) => return Err((io_error(error), data)),
        }
        // A chunk keeps all of the buffer that it is a part of.
        let copied = if matches!(data, Buffer::Chunk(_)) { CHUNK_COPIED_MAX } else { COPIED_MAX };
        let sent = match data.len() {
            len if len <= copied => self.stack.send_all(connection, &data),
            _ => self.stack.send_whole(connection, Bytes::from_owner(data)),
        };
        // It was writable just now.
        sent.map_err(|error| (io_error(error), Buffer::default()))
    }

    fn set_datagram_option(&mut self, handle: Handle, option: SocketOption) -> io::Result<()> {
        let mut options = self.stack.datagram_options(handle).map_err(io_error)?;
        match option {
            SocketOption::HopLimit(hops) => options.hop_limit = Some(hops),
            SocketOption::ReceiveBuffer(bytes) => options.buffer = Some(bytes),
            // Datagrams are sent at once.
            SocketOption::SendBuffer(_) => {}
            _ => return Err(errno(os::ENOPROTOOPT)),
        }
        self.stack.set_datagram_options(handle, options).map_err(io_error)
    }
}

impl Engine for StackEngine {
    fn open(&mut self, spec: SocketSpec) -> io::Result<SocketId> {
        self.alive()?;
        match spec {
            SocketSpec::Stream { local } => {
                let options = self.stack.options();
                let stream = Stream { handle: None, local, options, progress: Progress::Unconnected, ended: false };
                Ok(self.sockets.insert(Socket::Stream(stream)))
            }
            SocketSpec::Listener { local, backlog, reuse_port } => self.listen(local, backlog, reuse_port),
            SocketSpec::Datagram { local } => self.open_datagram(local),
            SocketSpec::Echo { v6 } => {
                let handle = self.stack.open_ping(!v6).map_err(io_error)?;
                Ok(self.insert_datagram(handle, v6))
            }
            _ => Err(errno(os::EOPNOTSUPP)),
        }
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let Some(Socket::Listener { handle, .. }) = self.sockets.get(listener) else { return Err(errno(os::EINVAL)) };
        let handle = *handle;
        self.alive()?;
        let accepted = match self.take_dealt(listener) {
            Some(dealt) => dealt,
            None => self.stack.accept(handle).map_err(io_error)?,
        };
        let options = self.stack.options();
        let stream = Stream { handle: Some(accepted), local: None, options, progress: Progress::Connected, ended: false };
        Ok(self.sockets.insert(Socket::Stream(stream)))
    }

    fn connect(&mut self, id: SocketId, peer: SocketAddr) -> io::Result<()> {
        self.alive()?;
        if let Some(Socket::Datagram { handle, .. }) = self.sockets.get(id) {
            let to = Destination { address: Address::from(peer.ip()), port: peer.port(), zone: zone(peer) };
            self.stack.connect_datagram(*handle, to).map_err(io_error)?;
            self.note_addresses(id);
            return Ok(());
        }
        let stream = self.stream(id)?;
        match stream.progress {
            Progress::Connecting => return Err(errno(os::EAGAIN)),
            Progress::Failed(error) => return Err(io_error(error)),
            // Told of once; then there is nothing more to be told.
            Progress::Connected => return Ok(()),
            Progress::Unconnected => {}
        }
        let (local, options) = (stream.local.map(|local| (specified(local.ip()), local.port())), stream.options);
        let remote = (Address::from(peer.ip()), peer.port());
        let link = (zone(peer) != 0).then_some(LINK);
        let handle = self.stack.connect_with(remote, local, link, options).map_err(io_error)?;
        let stream = self.stream(id)?;
        (stream.handle, stream.progress) = (Some(handle), Progress::Connecting);
        self.sockets.name(handle, id);
        Err(errno(os::EAGAIN))
    }

    fn recv(&mut self, id: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<()> {
        let connection = self.connection(id)?;
        if peek {
            let count = self.stack.peek_with(connection, into.room(), |bytes| {
                into.put(bytes);
            });
            if count.map_err(io_error)? > 0 {
                return Ok(());
            }
            // The end, an error, or nothing yet: none of them can be taken away.
        }
        let room = into.room();
        let received = self.stack.recv_with(connection, room, |bytes| {
            into.put(bytes);
        });
        match received {
            Ok(_) => Ok(()),
            // It has ended, and why was told before.
            Err(Error::NotConnected) => Ok(()),
            Err(Error::WouldBlock) if self.stream(id)?.ended => Ok(()),
            Err(Error::WouldBlock) if self.gone.is_some() => Err(errno(os::ENETDOWN)),
            Err(error) => Err(io_error(error)),
        }
    }

    fn send(&mut self, id: SocketId, data: &[u8], more: bool) -> io::Result<usize> {
        // What follows soon is sent at the end of the turn, with this.
        let _ = more;
        self.alive()?;
        let connection = self.connection(id)?;
        self.stack.send(connection, data).map_err(io_error)
    }

    fn send_buffer(&mut self, id: SocketId, data: Buffer) -> Result<(), (io::Error, Buffer)> {
        if data.len() > LENT_MAX {
            return Err((errno(os::EAGAIN), data));
        }
        self.send_lent(id, data)
    }

    fn recv_from(&mut self, id: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<Datagram> {
        let datagram = match self.next_datagram(id) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.gone.is_some() => {
                return Err(errno(os::ENETDOWN));
            }
            other => other?,
        };
        into.put(datagram.frame.as_slice());
        let peer = socket_addr((datagram.source, datagram.source_port));
        let told = Datagram { len: datagram.frame.len(), peer: Some(peer), hop_limit: Some(datagram.hop_limit) };
        match self.sockets.get_mut(id) {
            Some(Socket::Datagram { held, .. }) if peek => *held = Some(Ok(datagram)),
            _ => self.stack.recycle(datagram.frame),
        }
        Ok(told)
    }

    fn send_to(&mut self, id: SocketId, data: &[u8], peer: Option<SocketAddr>) -> io::Result<()> {
        self.alive()?;
        let Some(Socket::Datagram { handle, v6, .. }) = self.sockets.get(id) else { return Err(errno(os::EOPNOTSUPP)) };
        if peer.is_some_and(|peer| peer.is_ipv6() != *v6) {
            return Err(errno(os::EINVAL));
        }
        let to = peer.map(|peer| Destination { address: Address::from(peer.ip()), port: peer.port(), zone: zone(peer) });
        match self.stack.send_to(*handle, data, to) {
            // As the network itself may lose it.
            Err(Error::NoBufferSpace) => Ok(()),
            sent => sent.map_err(io_error),
        }
    }

    fn shutdown(&mut self, id: SocketId, how: Shutdown) -> io::Result<()> {
        let connection = self.connection(id)?;
        let how = match how {
            Shutdown::Read => How::Read,
            Shutdown::Write => How::Write,
            Shutdown::Both => How::Both,
        };
        self.stack.shutdown(connection, how).map_err(io_error)?;
        if how != How::Write {
            self.stream(id)?.ended = true;
        }
        // Whoever waits to receive, or for the end, finds it now.
        self.to_wake.push(id);
        Ok(())
    }

    fn close(&mut self, id: SocketId, abort: bool) {
        if self.leave_group(id) {
            return;
        }
        let Some(socket) = self.sockets.remove(id) else { return };
        let Some(handle) = socket.handle() else { return };
        // It may have ended and gone by itself.
        let _ = match socket {
            Socket::Stream(_) if abort => self.stack.abort(handle),
            _ => self.stack.close(handle),
        };
    }

    fn ready(&mut self, id: SocketId) -> i16 {
        let broken = if self.gone.is_some() { os::POLLERR } else { 0 };
        let ready = match self.sockets.get_mut(id) {
            None => os::POLLERR,
            Some(Socket::Stream(Stream { progress: Progress::Unconnected, .. })) => os::POLLOUT | os::POLLHUP,
            Some(Socket::Stream(Stream { progress: Progress::Failed(_), .. })) => {
                os::POLLIN | os::POLLOUT | ENDED | os::POLLERR | os::POLLHUP
            }
            Some(Socket::Stream(Stream { handle: Some(handle), ended, .. })) => match self.stack.readiness(*handle) {
                Ok(now) => {
                    let bit = |holds: bool, bit: i16| if holds { bit } else { 0 };
                    bit(now.readable || *ended, os::POLLIN)
                        | bit(now.writable, os::POLLOUT)
                        | bit(now.ended || *ended, ENDED)
                        | bit(now.hung_up, os::POLLHUP)
                        | bit(now.error, os::POLLERR)
                }
                Err(_) => os::POLLERR | os::POLLHUP | ENDED,
            },
            Some(Socket::Stream(_)) => os::POLLERR,
            Some(Socket::Listener { handle, .. }) => {
                let handle = *handle;
                let waits =
                    self.groups.has_dealt(id) || self.stack.listeners().any(|(other, _, waiting)| other == handle && waiting > 0);
                if waits { os::POLLIN } else { 0 }
            }
            Some(Socket::Datagram { handle, held, .. }) => {
                if held.is_none() {
                    // An error is told once: here it is only seen.
                    *held = match self.stack.receive_from(*handle) {
                        Err(Error::WouldBlock) => None,
                        received => Some(received),
                    };
                }
                match held {
                    Some(Ok(_)) => os::POLLIN | os::POLLOUT,
                    Some(Err(_)) => os::POLLIN | os::POLLOUT | os::POLLERR,
                    None => os::POLLOUT,
                }
            }
        };
        ready | broken
    }

    fn local(&self, id: SocketId) -> io::Result<SocketAddr> {
        match self.sockets.get(id).ok_or_else(|| errno(os::EBADF))? {
            Socket::Listener { local, .. } => Ok(*local),
            Socket::Stream(Stream { handle: Some(handle), .. }) => {
                self.stack.addresses(*handle).map(|(local, _)| socket_addr(local)).map_err(io_error)
            }
            Socket::Stream(stream) => Ok(stream.local.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())),
            Socket::Datagram { local, .. } => Ok(*local),
        }
    }

    fn peer(&self, id: SocketId) -> io::Result<SocketAddr> {
        match self.sockets.get(id).ok_or_else(|| errno(os::EBADF))? {
            Socket::Stream(Stream { handle: Some(handle), progress: Progress::Connected, .. }) => {
                self.stack.addresses(*handle).map(|(_, peer)| socket_addr(peer)).map_err(|_| errno(os::ENOTCONN))
            }
            Socket::Datagram { peer: Some(peer), .. } => Ok(*peer),
            _ => Err(errno(os::ENOTCONN)),
        }
    }

    fn set_option(&mut self, id: SocketId, option: SocketOption) -> io::Result<()> {
        if let Some(Socket::Datagram { handle, .. }) = self.sockets.get(id) {
            let handle = *handle;
            return self.set_datagram_option(handle, option);
        }
        let mut options = self.options(id)?;
        options::set(&mut options, option)?;
        match self.sockets.get_mut(id) {
            Some(Socket::Stream(Stream { handle: None, options: kept, .. })) => {
                *kept = options;
                Ok(())
            }
            Some(socket) => match socket.handle() {
                Some(handle) => self.stack.set_socket_options(handle, options).map_err(io_error),
                None => Err(errno(os::EBADF)),
            },
            None => Err(errno(os::EBADF)),
        }
    }

    fn option(&self, id: SocketId, name: OptionName) -> io::Result<SocketOption> {
        options::get(&self.options(id)?, name)
    }

    #[cfg(unix)]
    fn link(&self) -> Option<BorrowedFd<'_>> {
        if self.gone.is_some() { None } else { self.link.descriptor() }
    }

    #[cfg(not(unix))]
    fn link(&self) -> Option<BorrowedFd<'_>> {
        // Links of this system are in memory.
        None
    }

    fn attached(&mut self, remote: Remote) {
        self.be_of(remote);
    }

    fn receive(&mut self, now: u64, woken: &mut Woken) -> bool {
        self.take_in(now, woken)
    }

    fn transmit(&mut self, now: u64, woken: &mut Woken) -> Turned {
        self.send_out(now, woken)
    }

    fn branch(&mut self) -> Option<Box<dyn Engine + Send>> {
        Some(Box::new(self.new_branch()))
    }

    fn is_draining(&self) -> bool {
        self.gone.is_none() && (self.stack.is_draining() || self.desks.iter().any(Desk::is_busy))
    }

    fn abort_all(&mut self) {
        self.abort_branches();
        self.stack.abort_draining();
    }
}
