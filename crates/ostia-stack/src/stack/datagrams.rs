//! The calls of UDP, raw and ping sockets.

use super::Stack;
use crate::address::Address;
use crate::datagram::{Datagram, Destination, Family, Options};
use crate::error::Error;
use crate::handle::Handle;
use crate::ip::LinkId;

impl Stack {
    /// Makes a UDP socket, bound to nothing yet.
    ///
    /// # Errors
    /// [`Error::NoBufferSpace`] if there are too many.
    pub fn open_udp(&mut self, family: Family) -> Result<Handle, Error> {
        self.datagrams.open_udp(family)
    }

    /// Makes a socket of one IP protocol, which gets a copy of every packet of it. With `header` its program writes the IP
    /// header of what it sends.
    ///
    /// # Errors
    /// [`Error::NoBufferSpace`] if there are too many, [`Error::InvalidInput`] for what can't be.
    pub fn open_raw(&mut self, family: Family, protocol: u8, header: bool) -> Result<Handle, Error> {
        self.datagrams.open_raw(family, protocol, header, &mut self.ip)
    }

    /// Makes a socket that sends echo requests and gets the replies; the stack chooses its identifier.
    ///
    /// # Errors
    /// [`Error::NoBufferSpace`] if there are too many.
    pub fn open_ping(&mut self, v4: bool) -> Result<Handle, Error> {
        self.datagrams.open_ping(v4, &mut self.env)
    }

    /// Binds a UDP, raw or ping socket to an own address or to none, and a UDP socket to a port; port 0 lets the stack choose
    /// (RFC 6056).
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::AddressNotAvailable`], or [`Error::InvalidInput`] if it is bound or the address is of
    /// another family.
    pub fn bind(&mut self, socket: Handle, local: Option<Address>, port: u16) -> Result<(), Error> {
        self.datagrams.bind(socket, local, port, &self.ip, &mut self.env)
    }

    /// Names the one peer that a socket talks to: others aren't heard, and ICMP errors about it are told.
    ///
    /// # Errors
    /// Those of looking for a route.
    pub fn connect_datagram(&mut self, socket: Handle, to: Destination) -> Result<(), Error> {
        self.datagrams.connect(socket, to, &self.ip, &mut self.env)
    }

    /// Talks to anybody again.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn disconnect(&mut self, socket: Handle) -> Result<(), Error> {
        self.datagrams.disconnect(socket)
    }

    /// Sends to a destination, or to the peer if none is named. An error that came since the last call is given instead.
    ///
    /// # Errors
    /// [`Error::NotConnected`] without a destination, [`Error::MessageTooLong`], [`Error::PermissionDenied`] for a broadcast that
    /// isn't allowed, [`Error::NoBufferSpace`] while too much waits to be sent, those of looking for a route, and what ICMP told.
    pub fn send_to(&mut self, socket: Handle, bytes: &[u8], to: Option<Destination>) -> Result<(), Error> {
        self.datagrams.send(socket, bytes, to, &mut self.ip, &mut self.env)
    }

    /// Takes what was received first.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there is nothing ([`Readable`](crate::Kind::Readable) will tell), or what ICMP told.
    pub fn receive_from(&mut self, socket: Handle) -> Result<Datagram, Error> {
        self.datagrams.receive(socket, &mut self.env)
    }

    /// The address and port that a UDP, raw or ping socket is bound to.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn datagram_local(&mut self, socket: Handle) -> Result<(Option<Address>, u16), Error> {
        self.datagrams.local(socket)
    }

    /// The peer that it talks to.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn datagram_remote(&mut self, socket: Handle) -> Result<Option<Destination>, Error> {
        self.datagrams.remote(socket)
    }

    /// Octets that it has received and that were not taken.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn datagram_queued(&mut self, socket: Handle) -> Result<usize, Error> {
        self.datagrams.queued(socket)
    }

    /// Its settings.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn datagram_options(&mut self, socket: Handle) -> Result<Options, Error> {
        self.datagrams.options(socket)
    }

    /// Changes its settings.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn set_datagram_options(&mut self, socket: Handle, options: Options) -> Result<(), Error> {
        self.datagrams.set_options(socket, options)
    }

    /// A UDP socket wants what is sent to a group on a link.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for other sockets, [`Error::InvalidInput`] if that is no group.
    pub fn join(&mut self, socket: Handle, link: LinkId, group: Address) -> Result<(), Error> {
        self.datagrams.join(socket, link, group, &mut self.ip, &mut self.env)
    }

    /// And wants it no more.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if it didn't.
    pub fn leave(&mut self, socket: Handle, link: LinkId, group: Address) -> Result<(), Error> {
        self.datagrams.leave(socket, link, group, &mut self.ip, &mut self.env)
    }
}
