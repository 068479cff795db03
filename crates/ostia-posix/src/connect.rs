//! connect(2), shutdown(2) and close(2).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::time::Duration;

use ostia_stack::{Address, How, LinkId, State};

use crate::address::{self, Domain, Given};
use crate::core::Core;
use crate::descriptors::{self, Id};
use crate::socket::{Kind, Socket, Stage, Stream};
use crate::world::Patience;
use crate::{Errno, World};

/// Nobody is the host "any": whoever connects to it means this one (Linux's habit).
pub(crate) fn reachable(domain: Domain, given: Given) -> Given {
    if !given.address.is_unspecified() {
        return given;
    }
    let address: Address = match domain {
        Domain::V4 => Ipv4Addr::LOCALHOST.into(),
        Domain::V6 if given.address.is_v4() => Ipv4Addr::LOCALHOST.into(),
        Domain::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    Given { address, ..given }
}

impl Core {
    /// One attempt of connect(2) on a stream: EAGAIN while the handshake lasts. `begun` becomes true with the call that sends the
    /// SYN.
    fn connect_stream(&mut self, id: Id, name: &[u8], begun: &mut bool) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        match &socket.stage {
            Stage::Listening(_) => return Err(Errno::EISCONN),
            Stage::Stream(stream) if !stream.connecting => return Err(Errno::EISCONN),
            Stage::Fresh => {
                self.open(id, name)?;
                *begun = true;
                return Err(Errno::EAGAIN);
            }
            _ => {}
        }
        match self.state(socket) {
            State::SynSent | State::SynReceived => Err(Errno::EAGAIN),
            State::Closed => {
                let error = self.socket_mut(id)?.error.take().unwrap_or(Errno::ECONNABORTED);
                self.disconnect(id)?;
                Err(error)
            }
            _ => {
                if let Some(stream) = self.socket_mut(id)?.stream_mut() {
                    stream.connecting = false;
                }
                Ok(())
            }
        }
    }

    /// Sends a stream's SYN.
    fn open(&mut self, id: Id, name: &[u8]) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        let domain = socket.domain;
        let given = reachable(domain, address::read(domain, name)?);
        if given.address.is_multicast() {
            return Err(Errno::ENETUNREACH);
        }
        if domain == Domain::V6 && given.address.is_v4() && socket.settings.v6_only {
            return Err(Errno::ENETUNREACH);
        }
        let local = socket.bound.map(|(address, port)| ((!address.is_unspecified()).then_some(address), port));
        let config = self.stack.config();
        let (first, most) = (config.initial_rto, config.max_rto);
        let options = socket.settings.of_opening(self.stack.options(), given.address.is_v4(), first, most);
        let link = u16::try_from(given.scope).ok().and_then(|scope| scope.checked_sub(1)).map(LinkId);
        let link = link.or_else(|| given.address.is_link_local_v6().then_some(self.link));
        let remote = (given.address, given.port);
        let handle = match self.stack.connect_with(remote, local, link, options) {
            // With four numbers that another connection has Linux finds no local port.
            Err(ostia_stack::Error::AddressInUse) => return Err(Errno::EADDRNOTAVAIL),
            opened => opened?,
        };
        let (here, _) = self.stack.addresses(handle)?;
        let socket = self.socket_mut(id)?;
        socket.bound = Some(here);
        socket.stage = Stage::Stream(Stream { handle, read: 0, connecting: true, active: true, remote });
        self.names(handle, id);
        Ok(())
    }

    /// Linux's tcp_disconnect: the stream is as new, but for its options and the port that its program has chosen.
    fn disconnect(&mut self, id: Id) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        let (handle, reuse) = (socket.handle(), socket.settings.reuse_address);
        let open = socket.stream().is_some();
        socket.stage = Stage::Fresh;
        socket.error = None;
        socket.ended = (false, false);
        socket.pulses.state += 1;
        if !socket.port_chosen {
            socket.last_port = socket.bound.take().map_or(socket.last_port, |(_, port)| port);
        }
        if let Some(handle) = handle {
            if open && !matches!(self.stack.state(handle), Ok(State::Closed) | Err(_)) {
                let _ = self.stack.abort(handle);
            }
            self.let_go(handle, reuse);
        }
        Ok(())
    }

    fn shutdown(&mut self, id: Id, how: i32) -> Result<(), Errno> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let socket = self.socket(id)?;
        if let Stage::Datagrams(datagrams) = &socket.stage {
            let connected = datagrams.remote.is_some();
            self.mark_ended(id, read, write)?;
            return if connected { Ok(()) } else { Err(Errno::ENOTCONN) };
        }
        match self.state(socket) {
            State::Closed => {
                self.mark_ended(id, read, write)?;
                Err(Errno::ENOTCONN)
            }
            State::Listen if !read => Ok(()),
            State::Listen | State::SynSent => {
                let bound = self.socket(id)?.bound;
                self.disconnect(id)?;
                // The socket keeps its port while it lives.
                let socket = self.socket_mut(id)?;
                if socket.port_chosen {
                    socket.bound = bound;
                }
                Ok(())
            }
            _ => {
                self.mark_ended(id, read, write)?;
                let handle = self.socket(id)?.handle();
                if let (true, Some(handle)) = (write, handle) {
                    // Twice is once.
                    let _ = self.stack.shutdown(handle, How::Write);
                }
                Ok(())
            }
        }
    }

    fn mark_ended(&mut self, id: Id, read: bool, write: bool) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        socket.ended = (socket.ended.0 | read, socket.ended.1 | write);
        socket.pulses.state += 1;
        self.changes += 1;
        Ok(())
    }

    /// Whether close(2) must still wait: for what is sent to be acknowledged, and the end of the stream with it.
    fn lingers(&self, socket: &Socket) -> bool {
        matches!(self.state(socket), State::FinWait1 | State::Closing | State::LastAck)
    }
}

impl World {
    /// connect(2). On a datagram socket it names the peer; a name of AF_UNSPEC takes it back.
    ///
    /// # Errors
    /// EINPROGRESS and EALREADY if the socket doesn't wait, or SO_SNDTIMEO is up; EISCONN; what the handshake failed with;
    /// ECONNABORTED if that has been told; EADDRNOTAVAIL, ENETUNREACH; EINVAL, EAFNOSUPPORT of a bad name; EBADF, ENOTSOCK.
    pub fn connect(&self, fd: RawFd, name: &[u8]) -> Result<(), Errno> {
        let family = address::family(name)?;
        let (id, patience) = {
            let mut inside = self.enter();
            let id = inside.id(fd)?;
            let socket = inside.socket(id)?;
            let kind = socket.kind();
            let patience = Patience::of(socket.nonblocking, socket.settings.send_timeout);
            match (kind, family) {
                (Kind::Datagram, libc::AF_UNSPEC) => return inside.disconnect_datagrams(id),
                (Kind::Datagram, _) => return inside.connect_datagrams(id, name),
                (Kind::Stream, libc::AF_UNSPEC) => return inside.disconnect(id),
                (Kind::Stream, _) => (id, patience),
            }
        };
        let mut begun = false;
        match self.block(patience, |core| core.connect_stream(id, name, &mut begun)) {
            Err(Errno::EAGAIN) if begun => Err(Errno::EINPROGRESS),
            Err(Errno::EAGAIN) => Err(Errno::EALREADY),
            outcome => outcome,
        }
    }

    /// shutdown(2). What has been received can still be read after SHUT_RD, as in Linux.
    ///
    /// # Errors
    /// ENOTCONN, EINVAL of another `how`, EBADF, ENOTSOCK.
    pub fn shutdown(&self, fd: RawFd, how: i32) -> Result<(), Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        inside.shutdown(id, how)
    }

    /// close(2), of sockets and of epoll instances. With SO_LINGER it waits until the peer has everything, or the time is up.
    ///
    /// # Errors
    /// EBADF if the descriptor isn't one of this world's.
    pub fn close_fd(&self, fd: RawFd) -> Result<(), Errno> {
        let lingering = {
            let mut inside = self.enter();
            let Some(id) = inside.find(fd) else { return Err(Errno::EBADF) };
            // The number is free at once, whatever becomes of the connection.
            inside.descriptors.close(fd);
            let linger = match inside.sockets.get(&id) {
                Some(socket) if socket.stream().is_some() && inside.unread(socket) == 0 => {
                    socket.settings.linger.filter(|&seconds| seconds > 0).zip(socket.handle())
                }
                _ => None,
            };
            let Some((seconds, handle)) = linger else {
                inside.end(id);
                return Ok(());
            };
            let _ = inside.stack.shutdown(handle, How::Write);
            (id, Duration::from_secs(seconds.into()))
        };
        let (id, time) = lingering;
        // However it ends, the rest happens in the background.
        let _ = self.block(Patience::For(time), |core| match core.sockets.get(&id) {
            Some(socket) if core.lingers(socket) => Err(Errno::EAGAIN),
            _ => Ok(()),
        });
        self.enter().end(id);
        Ok(())
    }

    /// Whether a descriptor is one of this world's.
    pub fn has(&self, fd: RawFd) -> bool {
        self.enter().find(fd).is_some()
    }

    /// Why a call on a descriptor fails that is none of this world's: ENOTSOCK if it is open, else EBADF.
    pub fn foreign(fd: RawFd) -> Errno {
        descriptors::foreign(fd)
    }
}
