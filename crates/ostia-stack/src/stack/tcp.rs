//! TCP's calls.

use bytes::Bytes;
use ostia_wire::Frame;

use super::Stack;
use crate::address::{Address, SocketAddress};
use crate::error::Error;
use crate::handle::{Handle, Socket};
use crate::ip::LinkId;
use crate::tcp::{Hook, How, Local, Options, Readiness, State, TcpInfo};

impl Stack {
    /// Options of TCP with this stack's defaults.
    pub fn options(&self) -> Options {
        Options::new(&self.env.config)
    }

    /// Listens. `backlog` bounds what [`Config::backlog`](crate::Config::backlog) says.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if somebody listens there; [`Error::AddressNotAvailable`] if the address isn't this host's.
    pub fn listen(&mut self, local: Local, backlog: usize) -> Result<Handle, Error> {
        let options = self.options();
        self.listen_with(local, backlog, options, None)
    }

    /// Listens, with options that accepted connections begin with, and with a hook that decides about SYNs before anything is
    /// kept for them.
    ///
    /// # Errors
    /// As [`listen`](Stack::listen).
    pub fn listen_with(&mut self, local: Local, backlog: usize, options: Options, hook: Option<Hook>) -> Result<Handle, Error> {
        self.tcp.listen(local, backlog, options, hook, &self.ip, &mut self.env)
    }

    /// Takes the oldest connection that waits to be accepted.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if none waits.
    pub fn accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        self.tcp.accept(listener)
    }

    /// Begins to open a connection; [`Connected`](crate::Kind::Connected) or [`Failed`](crate::Kind::Failed) tells what became
    /// of it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if that is no host's address, [`Error::NetworkUnreachable`] if no route leads there, [`Error::AddressNotAvailable`] if no port is left,
    /// [`Error::NoBufferSpace`] at a limit.
    pub fn connect(&mut self, remote: (Address, u16)) -> Result<Handle, Error> {
        let options = self.options();
        self.connect_with(remote, None, None, options)
    }

    /// Begins to open a connection from a certain address or port, over a certain link (link-local addresses need one), with
    /// options.
    ///
    /// # Errors
    /// As [`connect`](Stack::connect), and [`Error::AddressInUse`] if a connection with these four numbers exists.
    pub fn connect_with(
        &mut self,
        remote: (Address, u16),
        local: Option<(Option<Address>, u16)>,
        link: Option<LinkId>,
        options: Options,
    ) -> Result<Handle, Error> {
        let zone = match link {
            Some(link) if remote.0.is_link_local_v6() => link.0.saturating_add(1),
            _ => 0,
        };
        self.tcp.connect(remote, local, zone, options, &mut self.ip, &mut self.env)
    }

    /// Copies data to be sent; answers how many bytes there was room for.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there is no room ([`Writable`](crate::Kind::Writable) will tell), [`Error::BrokenPipe`] after
    /// [`shutdown`](Stack::shutdown) or the connection's end, or what the connection ended with.
    pub fn send(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        self.tcp.send(connection, data, &mut self.env)
    }

    /// Takes data to be sent without copying it; answers how many bytes there was room for.
    ///
    /// # Errors
    /// As [`send`](Stack::send).
    pub fn send_shared(&mut self, connection: Handle, data: Bytes) -> Result<usize, Error> {
        self.tcp.send_shared(connection, data, &mut self.env)
    }

    /// Takes all of the data without copying it, if there is room for any: the send buffer is exceeded by less than its length.
    /// It should have no more than some megabytes.
    ///
    /// # Errors
    /// As [`send`](Stack::send).
    pub fn send_whole(&mut self, connection: Handle, data: Bytes) -> Result<(), Error> {
        self.tcp.send_whole(connection, data, &mut self.env)
    }

    /// Takes all of the data without copying it, be there room for it or not: for a connection that is closed next, whose program has
    /// bounded it in its own way.
    ///
    /// # Errors
    /// As [`send`](Stack::send), but for [`Error::WouldBlock`].
    pub fn send_last(&mut self, connection: Handle, data: Bytes) -> Result<(), Error> {
        self.tcp.send_last(connection, data, &mut self.env)
    }

    /// As [`send_whole`](Stack::send_whole), copying.
    ///
    /// # Errors
    /// As [`send`](Stack::send).
    pub fn send_all(&mut self, connection: Handle, data: &[u8]) -> Result<(), Error> {
        self.tcp.send_all(connection, data, &mut self.env)
    }

    /// Copies data to be sent, the last byte of which is marked as urgent (RFC 6093 advises against new uses).
    ///
    /// # Errors
    /// As [`send`](Stack::send).
    pub fn send_urgent(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        self.tcp.send_urgent(connection, data, &mut self.env)
    }

    /// Copies out what was received; 0 at the end of the peer's stream.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if nothing is there ([`Readable`](crate::Kind::Readable) will tell), or what the connection ended
    /// with, once.
    pub fn recv(&mut self, connection: Handle, into: &mut [u8]) -> Result<usize, Error> {
        self.tcp.recv(connection, into, &mut self.env)
    }

    /// As [`recv`](Stack::recv), at most `room` bytes, which the sink is given piece by piece.
    ///
    /// # Errors
    /// As there.
    pub fn recv_with(&mut self, connection: Handle, room: usize, sink: impl FnMut(&[u8])) -> Result<usize, Error> {
        self.tcp.recv_with(connection, room, &mut self.env, sink)
    }

    /// Takes the next piece of what was received as it came, without copying it; empty at the end of the peer's stream.
    ///
    /// # Errors
    /// As [`recv`](Stack::recv).
    pub fn recv_frame(&mut self, connection: Handle) -> Result<Frame, Error> {
        self.tcp.recv_frame(connection, &mut self.env)
    }

    /// Copies what was received and leaves it there; answers how many bytes.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn peek(&self, connection: Handle, into: &mut [u8]) -> Result<usize, Error> {
        self.tcp.peek(connection, into)
    }

    /// As [`peek`](Stack::peek), at most `room` bytes, which the sink is given piece by piece.
    ///
    /// # Errors
    /// As there.
    pub fn peek_with(&self, connection: Handle, room: usize, sink: impl FnMut(&[u8])) -> Result<usize, Error> {
        self.tcp.peek_with(connection, room, sink)
    }

    /// How many bytes are between what is read next and the end of urgent data; none if none is announced.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn urgent_left(&self, connection: Handle) -> Result<Option<u32>, Error> {
        self.tcp.urgent_left(connection)
    }

    /// Ends this side's stream behind what is queued, or drops what was received, or both.
    ///
    /// # Errors
    /// [`Error::NotConnected`] if the connection is over.
    pub fn shutdown(&mut self, connection: Handle, how: How) -> Result<(), Error> {
        self.tcp.shutdown(connection, how, &mut self.ip, &mut self.env)
    }

    /// Lets go of a socket. What a connection has queued is still sent; if something is unread, it is reset.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn close(&mut self, socket: Handle) -> Result<(), Error> {
        match socket.kind() {
            Socket::Connection | Socket::Listener => self.tcp.close(socket, &mut self.ip, &mut self.env),
            _ => self.datagrams.close(socket, &mut self.ip, &mut self.env),
        }
    }

    /// Ends a connection at once by a reset.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn abort(&mut self, connection: Handle) -> Result<(), Error> {
        self.tcp.abort(connection, &mut self.ip, &mut self.env)
    }

    /// The options of a connection or listener.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn socket_options(&self, socket: Handle) -> Result<Options, Error> {
        self.tcp.options(socket)
    }

    /// Sets the options of a connection or listener; values out of bounds are brought within them.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn set_socket_options(&mut self, socket: Handle, options: Options) -> Result<(), Error> {
        self.tcp.set_options(socket, options, &mut self.ip, &mut self.env)
    }

    /// A connection's figures.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn tcp_info(&self, connection: Handle) -> Result<TcpInfo, Error> {
        self.tcp.info(connection, self.env.now)
    }

    /// A connection's or listener's state.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn state(&self, socket: Handle) -> Result<State, Error> {
        self.tcp.state(socket)
    }

    /// A connection's own and its peer's address and port.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn addresses(&self, connection: Handle) -> Result<(SocketAddress, SocketAddress), Error> {
        self.tcp.addresses(connection)
    }

    /// What calls on a connection would find now. Of what they wouldn't its events tell.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn readiness(&mut self, connection: Handle) -> Result<Readiness, Error> {
        self.tcp.readiness(connection, &self.env.memory)
    }

    /// Whether so much of a connection's send buffer is free that a program which waits for room is told: a third.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn has_room(&self, connection: Handle) -> Result<bool, Error> {
        self.tcp.has_room(connection, &self.env.memory)
    }

    /// Every connection that a program has.
    pub fn connections(&self) -> impl Iterator<Item = Handle> + '_ {
        self.tcp.owned()
    }

    /// Every connection that no program has: those that wait to be accepted, those that were closed, half-open ones and
    /// TIME-WAITs. Each with its state and its addresses, this side's first.
    pub fn unowned(&self) -> impl Iterator<Item = (State, SocketAddress, SocketAddress)> + '_ {
        self.tcp.unowned()
    }

    /// Every listener, with where it listens and how many connections wait there to be accepted.
    pub fn listeners(&self) -> impl Iterator<Item = (Handle, Local, usize)> + '_ {
        self.tcp.listening()
    }

    /// Whether connections that were closed still have something to send, or wait for its acknowledgment. Whoever ends the
    /// stack earlier cuts them off.
    pub fn is_draining(&self) -> bool {
        self.tcp.is_draining()
    }

    /// Ends those by a reset.
    pub fn abort_draining(&mut self) {
        self.tcp.abort_draining(&mut self.ip, &mut self.env);
    }
}
