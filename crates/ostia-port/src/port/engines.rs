//! Engines on a port: how they come there, their sockets as handles, and the calls on those that are no operations.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::Poll;

use rustix::net::{getpeername, getsockname};

use crate::address::Address;
use crate::buffer::Buffer;
use crate::driver::{Hosting, ip_of};
use crate::engine::{Datagram, Engine, EngineId, OptionName, SocketId, SocketOption, SocketSpec, Spare};
use crate::handle::{Flags, Handle, Kind};
use crate::message::hop_limit_told;
use crate::os::{RawFd, raw};
use crate::port::{Arrival, Port, closed};
use crate::slot::State;

/// Longer buffers are never lent to an engine: they are copied in parts, as there is room. So what an engine keeps beyond its
/// bounds is bounded too.
pub const LENT_MAX: usize = 256 << 10;

impl Port {
    /// Takes an engine in: from now on the port drives it, and waits for its link with everything else. It stays until the
    /// port's end, which waits for what its connections have to send, as long as [`Config::linger`](crate::Config::linger)
    /// says, and resets what is left then.
    pub fn add_engine(&mut self, mut engine: Box<dyn Engine>) -> EngineId {
        engine.attached(self.remote());
        let id = self.driver.host(engine, self.clock.clone());
        self.sends_silently = self.driver.sends_silently();
        id
    }

    /// An engine, to be asked; none if there is none of this name.
    pub fn engine(&self, id: EngineId) -> Option<&dyn Engine> {
        self.driver.hosting()?.engine(id)
    }

    /// An engine, to be changed. What it has to send goes out at the next wait.
    pub fn engine_mut(&mut self, id: EngineId) -> Option<&mut dyn Engine> {
        self.driver.hosting_mut()?.engine_mut(id)
    }

    /// Makes a socket of an engine. Operations on it complete with `key`, until it is closed.
    ///
    /// # Errors
    /// EBADF if there is no such engine; else as [`Engine::open`].
    pub fn open_socket(&mut self, engine: EngineId, spec: SocketSpec, key: u64) -> io::Result<Handle> {
        let number = self.driver.hosting_mut().ok_or_else(closed)?.open(engine, spec)?;
        let kind = match spec {
            SocketSpec::Stream { .. } => Kind::Stream,
            SocketSpec::Listener { .. } => Kind::Listener,
            SocketSpec::Datagram { .. } | SocketSpec::Echo { .. } => Kind::Datagram,
        };
        Ok(self.insert_engine_socket(number, kind, key))
    }

    /// Makes a handle of an engine's socket.
    pub(super) fn insert_engine_socket(&mut self, number: RawFd, kind: Kind, key: u64) -> Handle {
        let handle = self.insert_number(number, kind, key);
        if let Ok(sock) = self.sock_mut(handle) {
            sock.flags.set(Flags::ENGINE);
        }
        handle
    }

    /// Whether a handle is a socket of an engine, and has no descriptor.
    pub fn is_engines(&self, handle: Handle) -> bool {
        self.sock(handle).is_ok_and(|sock| sock.flags.has(Flags::ENGINE))
    }

    /// The address of this end, of a socket of any kind (getsockname(2)).
    ///
    /// # Errors
    /// EBADF for a closed handle; ENOTSOCK.
    pub fn local_addr(&self, handle: Handle) -> io::Result<Address> {
        match self.engines_socket(handle)? {
            Some((engine, id)) => engine.local(id).map(Address::from),
            None => Ok(Address::from(getsockname(self.descriptor(handle)?)?)),
        }
    }

    /// The address of the other end, of a socket of any kind (getpeername(2)).
    ///
    /// # Errors
    /// EBADF for a closed handle; ENOTCONN; ENOTSOCK.
    pub fn peer_addr(&self, handle: Handle) -> io::Result<Address> {
        match self.engines_socket(handle)? {
            Some((engine, id)) => engine.peer(id).map(Address::from),
            None => {
                let peer = getpeername(self.descriptor(handle)?)?;
                peer.map(Address::from).ok_or_else(|| io::Error::from_raw_os_error(raw::ENOTCONN))
            }
        }
    }

    /// Sets an option of an engine's socket.
    ///
    /// # Errors
    /// EBADF for a closed handle; EOPNOTSUPP for one that has a descriptor, whose options are the system's to set; else as
    /// [`Engine::set_option`].
    pub fn set_option(&mut self, handle: Handle, option: SocketOption) -> io::Result<()> {
        let (engine, id) = self.engine_of(handle)?;
        engine.set_option(id, option)
    }

    /// Asks for an option of an engine's socket.
    ///
    /// # Errors
    /// As for [`set_option`](Self::set_option).
    pub fn option(&self, handle: Handle, name: OptionName) -> io::Result<SocketOption> {
        match self.engines_socket(handle)? {
            Some((engine, id)) => engine.option(id, name),
            None => Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP)),
        }
    }

    /// Names the only peer of an engine's socket of datagrams (connect(2)).
    ///
    /// # Errors
    /// As for [`set_option`](Self::set_option), and as [`Engine::connect`].
    pub fn connect_socket(&mut self, handle: Handle, peer: SocketAddr) -> io::Result<()> {
        let (engine, id) = self.engine_of(handle)?;
        engine.connect(id, peer)
    }

    /// Ends one or both directions of an engine's socket at once (shutdown(2)); what the engine has taken still goes out.
    ///
    /// # Errors
    /// As for [`set_option`](Self::set_option), and as [`Engine::shutdown`].
    pub fn shutdown_socket(&mut self, handle: Handle, how: Shutdown) -> io::Result<()> {
        let (engine, id) = self.engine_of(handle)?;
        engine.shutdown(id, how)
    }

    /// Which engine a handle is of, and what that calls it; none for what has a descriptor.
    ///
    /// # Errors
    /// EBADF for a closed handle.
    pub fn engines_socket(&self, handle: Handle) -> io::Result<Option<(&dyn Engine, SocketId)>> {
        let sock = self.sock(handle)?;
        if !sock.flags.has(Flags::ENGINE) {
            return Ok(None);
        }
        if sock.flags.has(Flags::SHUT) {
            // Its number may be another socket's by now.
            return Err(closed());
        }
        self.driver.hosting().and_then(|hosting| hosting.of_ref(sock.fd)).map(Some).ok_or_else(closed)
    }

    fn engine_of(&mut self, handle: Handle) -> io::Result<(&mut dyn Engine, SocketId)> {
        let sock = self.sock(handle)?;
        let (fd, hosted) = (sock.fd, sock.flags.has(Flags::ENGINE));
        if sock.flags.has(Flags::SHUT) {
            return Err(closed());
        }
        if !hosted {
            return Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP));
        }
        self.driver.hosting_mut().and_then(|hosting| hosting.of(fd)).ok_or_else(closed)
    }

    /// As [`try_send_slices`](Port::try_send_slices), of an engine's socket with nothing queued.
    pub(super) fn send_slices_by_engine(&mut self, handle: Handle, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.counters.operations.add(1);
        let mut sent = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let (engine, id) = self.engine_of(handle)?;
            match engine.send(id, slice, false) {
                Ok(taken) => {
                    sent += taken;
                    if taken < slice.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let sock = self.sock_mut(handle)?;
                    sock.note_send_error(error.raw_os_error().unwrap_or(0));
                    if sent == 0 {
                        return Poll::Ready(Err(error));
                    }
                    // An error that came after some had gone meets the next call.
                    break;
                }
            }
        }
        if sent == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Poll::Pending;
        }
        self.counters.bytes_sent.add(sent as u64);
        Poll::Ready(Ok(sent))
    }

    /// As [`poll_send`](Port::poll_send) without bytes, of an engine's socket with nothing queued: whether there is room.
    pub(super) fn poll_room_of_engine(&mut self, handle: Handle, context: u64) -> Poll<io::Result<()>> {
        let (engine, id) = self.engine_of(handle)?;
        if engine.ready(id) & raw::POLLOUT != 0 {
            return Poll::Ready(Ok(()));
        }
        self.await_writable(handle, context);
        Poll::Pending
    }

    /// As [`poll_send`](Port::poll_send), of an engine's socket with nothing queued: the engine's own queue is the only one, and it
    /// keeps the buffer itself.
    pub(super) fn lend_to_engine(
        &mut self,
        handle: Handle,
        bytes: Buffer,
        data: &mut Option<Buffer>,
        context: u64,
    ) -> Poll<io::Result<()>> {
        let len = bytes.len();
        let (engine, id) = self.engine_of(handle)?;
        let (error, bytes) = match engine.send_buffer(id, bytes) {
            Ok(()) => {
                self.counters.operations.add(1);
                self.counters.bytes_sent.add(len as u64);
                return Poll::Ready(Ok(()));
            }
            Err(refused) => refused,
        };
        if error.kind() != io::ErrorKind::WouldBlock {
            if let (Some(errno), Ok(sock)) = (error.raw_os_error(), self.sock_mut(handle)) {
                sock.send_error = errno as u16;
                sock.note_send_error(errno);
            }
            return Poll::Ready(Err(error));
        }
        if len > LENT_MAX {
            // In parts, as there is room.
            self.counters.operations.add(1);
            let index = self.accepted_send(handle, bytes, State::Queued, 0);
            self.queue_send(handle, index);
            return Poll::Ready(Ok(()));
        }
        *data = Some(bytes);
        self.await_writable(handle, context);
        Poll::Pending
    }

    /// As [`try_recv_msg`](Port::try_recv_msg), of an engine's socket.
    pub(super) fn receive_by_engine(
        &mut self,
        handle: Handle,
        data: &mut Vec<u8>,
        control: Option<&mut Vec<u8>>,
        flags: i32,
    ) -> Poll<io::Result<Arrival>> {
        self.counters.operations.add(1);
        let peek = flags & raw::MSG_PEEK != 0;
        let datagrams = self.sock(handle)?.kind == Kind::Datagram;
        let (engine, id) = self.engine_of(handle)?;
        let mut spare = Spare::new(data.spare_capacity_mut());
        let room = spare.room();
        let received = match datagrams {
            true => engine.recv_from(id, &mut spare, peek),
            false => {
                let filled = |spare: &Spare<'_>| Datagram { len: spare.filled(), peer: None, hop_limit: None };
                engine.recv(id, &mut spare, peek).map(|()| filled(&spare))
            }
        };
        let filled = spare.filled();
        let Datagram { len, peer, hop_limit } = match received {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        // SAFETY: the spare has filled so many bytes from its start.
        unsafe { data.set_len(data.len() + filled) };
        self.counters.bytes_received.add(filled as u64);
        if let (Some(control), Some(peer), Some(hops)) = (control, peer, hop_limit) {
            let told = hop_limit_told(peer.is_ipv6(), hops);
            if told.len() <= control.capacity() - control.len() {
                control.extend_from_slice(&told);
            }
        }
        let flags = if len > room { raw::MSG_TRUNC } else { 0 };
        Poll::Ready(Ok(Arrival { len, peer: peer.map(Address::from), flags }))
    }

    /// As [`try_send_msg`](Port::try_send_msg), of an engine's socket.
    pub(super) fn send_by_engine(
        &mut self,
        handle: Handle,
        data: &[u8],
        peer: Option<&Address>,
        control: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.counters.operations.add(1);
        if !control.is_empty() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP)));
        }
        let peer: Option<SocketAddr> = peer.map(ip_of).transpose()?;
        let datagrams = self.sock(handle)?.kind == Kind::Datagram;
        let (engine, id) = self.engine_of(handle)?;
        let sent = match datagrams {
            true => engine.send_to(id, data, peer).map(|()| data.len()),
            false => engine.send(id, data, false),
        };
        match sent {
            Ok(sent) => {
                self.counters.bytes_sent.add(sent as u64);
                Poll::Ready(Ok(sent))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// shutdown(2) of the receiving direction, which waits for no sends.
    pub(super) fn shut_down_receiving(&mut self, handle: Handle) -> i64 {
        let done = self.shutdown_socket(handle, Shutdown::Read);
        done.map_or_else(|error| -i64::from(error.raw_os_error().unwrap_or(raw::EIO)), |()| 0)
    }

    /// Lets go of an engine's socket whose record is gone, unless that has been done.
    pub(super) fn drop_engine_socket(&mut self, number: RawFd, shut: bool) {
        if let Some(hosting) = self.driver.hosting_mut()
            && !shut
        {
            hosting.close(number);
        }
    }

    /// What serves the sockets of engines, if there are any.
    pub(super) fn hosting(&mut self) -> Option<&mut Hosting> {
        self.driver.hosting_mut()
    }
}
