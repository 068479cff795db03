//! What UDP, raw and ping sockets have in common: what was received, what went wrong, how packets are sent.

use alloc::collections::VecDeque;

use ostia_wire::Frame;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::event::Kind;
use crate::handle::Handle;
use crate::ip::{Head, Ip, LinkId, Packet, Route};
use crate::{Error, Instant};

/// A buffer that is so many times as long as what is in it is not kept.
const WASTE: usize = 4;

/// Which addresses a socket uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Family {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both, while it is bound to no address.
    Dual,
}

impl Family {
    /// Whether an address is of it.
    pub(crate) fn has(self, address: Address) -> bool {
        match self {
            Family::V4 => address.is_v4(),
            Family::V6 => !address.is_v4(),
            Family::Dual => true,
        }
    }
}

/// Something received, with what its headers said.
#[derive(Debug)]
pub struct Datagram {
    /// UDP's and ping's payload; a raw socket's whole packet, from the IP header on.
    pub frame: Frame,
    /// Who sent it.
    pub source: Address,
    /// From which port; of an echo reply its sequence number, of a raw packet 0.
    pub source_port: u16,
    /// To which of this host's addresses, or to which group.
    pub destination: Address,
    /// By which link it came.
    pub link: LinkId,
    /// The TTL or hop limit with which it arrived.
    pub hop_limit: u8,
    /// The DSCP and the congestion marks.
    pub traffic_class: u8,
    /// When it arrived at the device, in the stack's time; of the turn in which it came, if the device doesn't say.
    pub arrived: Instant,
}

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destination {
    /// To which address.
    pub address: Address,
    /// To which port; for an echo request its sequence number, for a raw socket nothing.
    pub port: u16,
    /// On which link, as its number plus one, where the address means something on one link only; else 0.
    pub zone: u16,
}

/// Settings of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The TTL or hop limit; none: the stack's.
    pub hop_limit: Option<u8>,
    /// That of packets to groups. 1.
    pub multicast_hop_limit: u8,
    /// The DSCP and congestion marks.
    pub traffic_class: u8,
    /// Whether packets must not be fragmented: longer ones than the path takes are then an error. False.
    pub dont_fragment: bool,
    /// Whether it may send to all of a network. False.
    pub broadcast: bool,
    /// Whether others may have the same address and port, and share what comes. False.
    pub reuse: bool,
    /// Whether errors about what it has sent are told even while it isn't connected. False; ping sockets are always told.
    pub errors: bool,
    /// The bytes that it keeps unread, at most, by true size; none: the stack's bound.
    pub buffer: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hop_limit: None,
            multicast_hop_limit: 1,
            traffic_class: 0,
            dont_fragment: false,
            broadcast: false,
            reuse: false,
            errors: false,
            buffer: None,
        }
    }
}

/// The common part of a socket.
pub(crate) struct Common {
    pub(crate) handle: Handle,
    pub(crate) family: Family,
    pub(crate) options: Options,
    /// The address that it is bound to.
    pub(crate) local: Option<Address>,
    pub(crate) remote: Option<Destination>,
    queue: VecDeque<Datagram>,
    queued: usize,
    /// Whether its user knows that there is something.
    told: bool,
    error: Option<Error>,
    /// The way to where it sent last.
    route: Option<(Destination, Route)>,
}

impl Common {
    pub(crate) fn new(handle: Handle, family: Family) -> Common {
        Common {
            handle,
            family,
            options: Options::default(),
            local: None,
            remote: None,
            queue: VecDeque::new(),
            queued: 0,
            told: false,
            error: None,
            route: None,
        }
    }

    /// Keeps something received, if there is room.
    pub(crate) fn deliver(&mut self, mut datagram: Datagram, env: &mut Env) -> bool {
        // A short packet must not hold a device's large buffer.
        if datagram.frame.truesize() > datagram.frame.len() * WASTE + 2 * Frame::HEADROOM {
            let meta = datagram.frame.meta;
            datagram.frame = Frame::from_slice(datagram.frame.as_slice());
            datagram.frame.meta = meta;
        }
        let size = cost(&datagram);
        let bound = self.options.buffer.unwrap_or(env.config.datagram_buffer);
        // One is kept however long it is, so that a small bound doesn't make the socket deaf.
        if self.queued + size > bound && !self.queue.is_empty() {
            env.drop(Reason::SocketQueue);
            return false;
        }
        if !env.memory.take(size) {
            env.drop(Reason::Memory);
            return false;
        }
        self.queued += size;
        self.queue.push_back(datagram);
        if !self.told {
            self.told = true;
            env.events.push(self.handle, Kind::Readable);
        }
        true
    }

    /// Takes what was received first.
    pub(crate) fn receive(&mut self, env: &mut Env) -> Result<Datagram, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(datagram) = self.queue.pop_front() else {
            self.told = false;
            return Err(Error::WouldBlock);
        };
        let size = cost(&datagram);
        self.queued -= size;
        env.memory.give(size);
        Ok(datagram)
    }

    /// Octets that were received and not taken.
    pub(crate) fn unread(&self) -> usize {
        self.queue.iter().map(|datagram| datagram.frame.len()).sum()
    }

    /// Something went wrong: told at once, and again by the next call.
    pub(crate) fn fail(&mut self, error: Error, env: &mut Env) {
        if self.error.replace(error).is_none() {
            env.events.push(self.handle, Kind::Failed(error));
        }
    }

    /// What went wrong since the last call.
    pub(crate) fn take_error(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Gives back the memory of what wasn't read.
    pub(crate) fn close(&mut self, env: &mut Env) {
        env.memory.give(self.queued);
        self.queued = 0;
        self.queue.clear();
    }

    /// Where a packet goes that was not told where.
    pub(crate) fn destination(&self, to: Option<Destination>) -> Result<Destination, Error> {
        let to = to.or(self.remote).ok_or(Error::NotConnected)?;
        if !self.family.has(to.address) || self.local.is_some_and(|local| local.is_v4() != to.address.is_v4()) {
            return Err(Error::InvalidInput);
        }
        Ok(to)
    }

    /// Whether it has sent there last: only then an error about that is believed.
    pub(crate) fn sends_to(&self, address: Address, port: u16) -> bool {
        let is = |to: &Destination| to.address == address && to.port == port;
        self.remote.as_ref().is_some_and(is) || self.route.as_ref().is_some_and(|(to, _)| is(to))
    }

    /// The way to a destination, looked up only when it isn't known or doesn't hold any more.
    pub(crate) fn route(&mut self, to: Destination, ip: &Ip) -> Result<Route, Error> {
        if let Some((known, route)) = &self.route
            && *known == to
            && ip.is_current(route)
        {
            return Ok(*route);
        }
        // A socket bound to a group or to all of a network sends from an address of the link.
        let source = self.local.filter(|&local| ip.is_local(local));
        if !self.options.broadcast && ip.is_broadcast(to.address) {
            return Err(Error::PermissionDenied);
        }
        let route = ip.route(to.address, source, to.zone)?;
        self.route = Some((to, route));
        Ok(route)
    }

    /// Sends a transport packet.
    pub(crate) fn send(
        &self,
        route: &Route,
        to: Address,
        protocol: u8,
        frame: Frame,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        let header = if to.is_v4() { 20 } else { 40 };
        let length = frame.len() + header;
        let longest = 65_535 + if to.is_v4() { 0 } else { 40 };
        let fits = length <= ip.path_mtu(route) as usize;
        if length > longest || (self.options.dont_fragment && !fits) {
            return Err(Error::MessageTooLong);
        }
        if ip.out.is_full(&env.memory) {
            return Err(Error::NoBufferSpace);
        }
        let hop_limit = match to.is_multicast() {
            true => self.options.multicast_hop_limit,
            false => self.options.hop_limit.unwrap_or(env.config.hop_limit),
        };
        let head = Head {
            source: route.source,
            destination: to,
            protocol,
            hop_limit,
            traffic_class: self.options.traffic_class,
            flow_label: 0,
            // While it fits, the path may say that it doesn't (RFC 1191, 3); what doesn't is fragmented here.
            dont_fragment: fits && (to.is_v4() || self.options.dont_fragment),
        };
        ip.transmit(route, &head, frame, env);
        Ok(())
    }
}

fn cost(datagram: &Datagram) -> usize {
    datagram.frame.truesize() + size_of::<Datagram>() - size_of::<Frame>()
}

/// What a packet's headers say, with a frame of its own.
pub(crate) fn datagram(packet: &Packet, frame: Frame, source_port: u16, env: &Env) -> Datagram {
    let arrived = match frame.meta.arrived {
        0 => env.now,
        arrived => Instant(arrived),
    };
    Datagram {
        frame,
        source: packet.source,
        source_port,
        destination: packet.destination,
        link: packet.link,
        hop_limit: packet.hop_limit,
        traffic_class: packet.traffic_class,
        arrived,
    }
}
