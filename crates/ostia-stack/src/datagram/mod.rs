//! Sockets that send and receive packets one by one: UDP, raw IP, and ping.

use crate::address::Address;
use crate::env::Env;
use crate::handle::{Handle, Socket};
use crate::ip::{Ip, LinkId, Packet, Quoted, protocol};
use crate::random::Random;
use crate::slab::Key;
use crate::{Config, Error};

mod ping;
mod raw;
mod socket;
#[cfg(test)]
mod tests;
mod udp;

pub use socket::{Datagram, Destination, Family, Options};

use ping::PingSockets;
use raw::RawSockets;
use socket::Common;
use udp::UdpSockets;

/// Every socket of these kinds.
pub(crate) struct Datagrams {
    udp: UdpSockets,
    raw: RawSockets,
    ping: PingSockets,
}

/// The kind of a handle, with its key.
enum Place {
    Udp(Key),
    Raw(Key),
    Ping(Key),
}

fn place(handle: Handle) -> Result<Place, Error> {
    let key = |kind| handle.key(kind).ok_or(Error::BadHandle);
    match handle.kind() {
        Socket::Udp => key(Socket::Udp).map(Place::Udp),
        Socket::Raw => key(Socket::Raw).map(Place::Raw),
        Socket::Ping => key(Socket::Ping).map(Place::Ping),
        _ => Err(Error::BadHandle),
    }
}

impl Datagrams {
    pub(crate) fn new(config: &Config, random: &mut Random) -> Datagrams {
        Datagrams { udp: UdpSockets::new(config, random), raw: RawSockets::new(), ping: PingSockets::new() }
    }

    /// Takes a packet for these sockets, and gives back what is for somebody else. Raw sockets get copies of all.
    pub(crate) fn input(&mut self, packet: Packet, ip: &mut Ip, env: &mut Env) -> Option<Packet> {
        let copied = self.raw.input(&packet, env);
        match packet.protocol {
            protocol::UDP => self.udp.input(packet, ip, env),
            protocol::ICMP | protocol::ICMPV6 => self.ping.input(packet, env),
            // IP has used it already.
            protocol::IGMP => {}
            protocol::TCP => return Some(packet),
            _ if copied => {}
            _ => return Some(packet),
        }
        None
    }

    /// Whether a raw socket gets copies of the packets of a protocol.
    pub(crate) fn watches(&self, protocol: u8) -> bool {
        self.raw.watches(protocol)
    }

    /// Takes an ICMP error about what these sockets have sent.
    pub(crate) fn error(&mut self, quoted: &Quoted, ip: &mut Ip, env: &mut Env) {
        match quoted.protocol {
            protocol::UDP => self.udp.error(quoted, ip, env),
            protocol::ICMP | protocol::ICMPV6 => self.ping.error(quoted, ip, env),
            _ => env.drop(crate::Reason::IcmpUnmatched),
        }
    }

    /// Makes a UDP socket that is bound to nothing yet.
    pub(crate) fn open_udp(&mut self, family: Family) -> Result<Handle, Error> {
        self.udp.open(family)
    }

    /// Makes a socket of one IP protocol. With `header` its program writes the IP header of what it sends.
    pub(crate) fn open_raw(&mut self, family: Family, protocol: u8, header: bool, ip: &mut Ip) -> Result<Handle, Error> {
        self.raw.open(family, protocol, header, ip)
    }

    /// Makes a socket for echo requests of one family.
    pub(crate) fn open_ping(&mut self, v4: bool, env: &mut Env) -> Result<Handle, Error> {
        self.ping.open(v4, env)
    }

    fn common(&mut self, handle: Handle) -> Result<&mut Common, Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.common(key),
            Place::Raw(key) => self.raw.common(key),
            Place::Ping(key) => self.ping.common(key),
        }
    }

    /// Binds a socket to an own address, or to none, and a UDP socket to a port; port 0 lets the stack choose.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::InvalidInput`] if it is bound or the address
    /// is of another family, [`Error::BadHandle`].
    pub(crate) fn bind(
        &mut self,
        handle: Handle,
        local: Option<Address>,
        port: u16,
        ip: &Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        if let Place::Udp(key) = place(handle)? {
            return self.udp.bind(key, local, port, ip, env);
        }
        let common = self.common(handle)?;
        let local = local.filter(|local| !local.is_unspecified());
        if local.is_some_and(|local| !common.family.has(local)) {
            return Err(Error::InvalidInput);
        }
        if local.is_some_and(|local| !ip.is_local(local)) {
            return Err(Error::AddressNotAvailable);
        }
        common.local = local;
        Ok(())
    }

    /// Names the one peer that a socket talks to: others are not heard, and errors about it are told.
    pub(crate) fn connect(&mut self, handle: Handle, to: Destination, ip: &Ip, env: &mut Env) -> Result<(), Error> {
        if let Place::Udp(key) = place(handle)? {
            return self.udp.connect(key, to, ip, env);
        }
        let common = self.common(handle)?;
        let to = common.destination(Some(to))?;
        common.route(to, ip)?;
        common.remote = Some(to);
        Ok(())
    }

    /// Talks to anybody again.
    pub(crate) fn disconnect(&mut self, handle: Handle) -> Result<(), Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.disconnect(key),
            _ => {
                self.common(handle)?.remote = None;
                Ok(())
            }
        }
    }

    /// Sends to a destination, or to the peer if none is named. An error that came since the last call is given instead.
    ///
    /// Errors: [`Error::NotConnected`] if there is no destination, [`Error::MessageTooLong`], [`Error::PermissionDenied`] for
    /// a broadcast that isn't allowed, [`Error::NoBufferSpace`] while too much waits to be sent, those of looking for a route,
    /// and what ICMP has told.
    pub(crate) fn send(
        &mut self,
        handle: Handle,
        bytes: &[u8],
        to: Option<Destination>,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.send(key, bytes, to, ip, env),
            Place::Raw(key) => self.raw.send(key, bytes, to, ip, env),
            Place::Ping(key) => self.ping.send(key, bytes, to, ip, env),
        }
    }

    /// Takes what was received first. [`Error::WouldBlock`] if there is nothing: then the next [`crate::Kind::Readable`] tells.
    pub(crate) fn receive(&mut self, handle: Handle, env: &mut Env) -> Result<Datagram, Error> {
        self.common(handle)?.receive(env)
    }

    /// The address and port that a socket is bound to.
    pub(crate) fn local(&mut self, handle: Handle) -> Result<(Option<Address>, u16), Error> {
        let port = match place(handle)? {
            Place::Udp(key) => self.udp.port(key)?,
            _ => 0,
        };
        Ok((self.common(handle)?.local, port))
    }

    /// The peer that a socket talks to.
    pub(crate) fn remote(&mut self, handle: Handle) -> Result<Option<Destination>, Error> {
        Ok(self.common(handle)?.remote)
    }

    /// Octets that wait to be received.
    pub(crate) fn queued(&mut self, handle: Handle) -> Result<usize, Error> {
        Ok(self.common(handle)?.unread())
    }

    /// A socket's settings.
    pub(crate) fn options(&mut self, handle: Handle) -> Result<Options, Error> {
        Ok(self.common(handle)?.options)
    }

    /// Other settings from now on.
    pub(crate) fn set_options(&mut self, handle: Handle, options: Options) -> Result<(), Error> {
        self.common(handle)?.options = options;
        Ok(())
    }

    /// A UDP socket wants what is sent to a group on a link.
    pub(crate) fn join(&mut self, handle: Handle, link: LinkId, group: Address, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.join(key, link, group, ip, env),
            _ => Err(Error::NotSupported),
        }
    }

    /// And wants it no more.
    pub(crate) fn leave(
        &mut self,
        handle: Handle,
        link: LinkId,
        group: Address,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.leave(key, link, group, ip, env),
            _ => Err(Error::NotSupported),
        }
    }

    /// Ends a socket; what it hasn't read is gone.
    pub(crate) fn close(&mut self, handle: Handle, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        match place(handle)? {
            Place::Udp(key) => self.udp.close(key, ip, env),
            Place::Raw(key) => self.raw.close(key, ip, env),
            Place::Ping(key) => self.ping.close(key, env),
        }
    }
}
