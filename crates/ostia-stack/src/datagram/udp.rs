//! UDP (RFC 768): who a datagram is for, and sending.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{Ipv4Addr, Ipv6Addr};

use hashbrown::HashTable;
use ostia_wire::Checksum;
use ostia_wire::udp::{self, Udp};
use ostia_wire::{Frame, Malformed};
use siphasher::sip::SipHasher13;

use crate::address::Address;
use crate::datagram::socket::{Common, Datagram, Destination, Family, datagram};
use crate::drops::Reason;
use crate::env::Env;
use crate::handle::{Handle, Socket};
use crate::ip::{Icmp, Ip, LinkId, Packet, Quoted, Refusal, protocol};
use crate::random::Random;
use crate::slab::{Key, Slab};
use crate::tcp::ports::Ports;
use crate::{Config, Error};

/// UDP sockets, at most.
const SOCKETS: usize = 1 << 20;
const ANY_V4: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ANY_V6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// What a socket is found by: its address and port, and if it is connected the peer's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    local: Address,
    port: u16,
    remote: Address,
    remote_port: u16,
}

struct UdpSocket {
    common: Common,
    port: u16,
    groups: Vec<(LinkId, Address)>,
}

impl UdpSocket {
    fn is_member(&self, link: LinkId, group: Address) -> bool {
        self.groups.contains(&(link, group))
    }

    fn is_peer(&self, source: Address, port: u16) -> bool {
        self.common.remote.is_none_or(|remote| remote.address == source && remote.port == port)
    }

    /// The places where it is found: a dual-stack socket without an address has one in each family.
    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let none = |address: Address| if address.is_v4() { ANY_V4.into() } else { ANY_V6.into() };
        let (port, peer) = (self.port, self.common.remote);
        let family = peer.map_or(self.common.family, |peer| if peer.address.is_v4() { Family::V4 } else { Family::V6 });
        let locals: [Option<Address>; 2] = match (self.common.local, family) {
            (Some(local), _) => [Some(local), None],
            (None, Family::V4) => [Some(ANY_V4.into()), None],
            (None, Family::V6) => [Some(ANY_V6.into()), None],
            (None, Family::Dual) => [Some(ANY_V4.into()), Some(ANY_V6.into())],
        };
        locals.into_iter().flatten().map(move |local| match peer {
            Some(peer) => Place { local, port, remote: peer.address, remote_port: peer.port },
            None => Place { local, port, remote: none(local), remote_port: 0 },
        })
    }
}

/// Every UDP socket, found in O(1) by the addresses and ports of a datagram.
pub(crate) struct UdpSockets {
    sockets: Slab<UdpSocket>,
    table: HashTable<(Place, Vec<Key>)>,
    /// Who is bound to a port: for conflicts, and for groups.
    by_port: BTreeMap<u16, Vec<Key>>,
    key: [u8; 16],
    ports: Ports,
}

impl UdpSockets {
    pub(crate) fn new(config: &Config, random: &mut Random) -> UdpSockets {
        UdpSockets {
            sockets: Slab::with_limit(SOCKETS),
            table: HashTable::new(),
            by_port: BTreeMap::new(),
            key: random.key(),
            ports: Ports::new(random.key(), config.ephemeral_ports),
        }
    }

    fn hash(key: &[u8; 16], place: &Place) -> u64 {
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write(place.local.bytes());
        hasher.write(place.remote.bytes());
        hasher.write_u32(u32::from(place.port) << 16 | u32::from(place.remote_port));
        hasher.finish()
    }

    fn at(&self, place: Place) -> &[Key] {
        let hash = UdpSockets::hash(&self.key, &place);
        self.table.find(hash, |(other, _)| *other == place).map_or(&[], |(_, keys)| keys)
    }

    fn enter(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        for place in socket.places() {
            let (hash, secret) = (UdpSockets::hash(&self.key, &place), self.key);
            let entry = self.table.entry(hash, |(other, _)| *other == place, |(other, _)| UdpSockets::hash(&secret, other));
            entry.or_insert_with(|| (place, Vec::new())).into_mut().1.push(key);
        }
    }

    fn leave_places(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        for place in socket.places() {
            let hash = UdpSockets::hash(&self.key, &place);
            if let Ok(mut entry) = self.table.find_entry(hash, |(other, _)| *other == place) {
                entry.get_mut().1.retain(|&other| other != key);
                if entry.get().1.is_empty() {
                    entry.remove();
                }
            }
        }
    }

    /// Makes a socket that is bound to nothing.
    pub(crate) fn open(&mut self, family: Family) -> Result<Handle, Error> {
        let unnamed = Handle::new(Socket::Udp, Key { index: u32::MAX, generation: 0 });
        let socket = UdpSocket { common: Common::new(unnamed, family), port: 0, groups: Vec::new() };
        let key = self.sockets.insert(socket).ok_or(Error::NoBufferSpace)?;
        let handle = Handle::new(Socket::Udp, key);
        self.get(key)?.common.handle = handle;
        Ok(handle)
    }

    fn get(&mut self, key: Key) -> Result<&mut UdpSocket, Error> {
        self.sockets.get_mut(key).ok_or(Error::BadHandle)
    }

    /// The part that all kinds of sockets have.
    pub(crate) fn common(&mut self, key: Key) -> Result<&mut Common, Error> {
        self.get(key).map(|socket| &mut socket.common)
    }

    /// The port that a socket is bound to, or 0.
    pub(crate) fn port(&self, key: Key) -> Result<u16, Error> {
        self.sockets.get(key).map(|socket| socket.port).ok_or(Error::BadHandle)
    }

    /// Binds a socket to a port, and to an address unless it takes what comes to any.
    pub(crate) fn bind(&mut self, key: Key, local: Option<Address>, port: u16, ip: &Ip, env: &mut Env) -> Result<(), Error> {
        let local = local.filter(|local| !local.is_unspecified());
        let socket = self.get(key)?;
        if socket.port != 0 {
            return Err(Error::InvalidInput);
        }
        let (family, reuse) = (socket.common.family, socket.common.options.reuse);
        if let Some(local) = local {
            if !family.has(local) {
                return Err(Error::InvalidInput);
            }
            if !ip.is_local(local) && !local.is_multicast() && !ip.is_broadcast(local) {
                return Err(Error::AddressNotAvailable);
            }
        }
        let port = match port {
            0 => {
                let (sockets, by_port) = (&self.sockets, &self.by_port);
                let taken = |port| is_taken(sockets, by_port, local, family, port, false);
                self.ports.choose(0, env.random.u32(), taken).ok_or(Error::AddressNotAvailable)?
            }
            port if is_taken(&self.sockets, &self.by_port, local, family, port, reuse) => return Err(Error::AddressInUse),
            port => port,
        };
        let socket = self.get(key)?;
        socket.port = port;
        socket.common.local = local;
        self.by_port.entry(port).or_default().push(key);
        self.enter(key);
        Ok(())
    }

    /// Names the one peer that a socket talks to. Its own address becomes that which packets go there from.
    pub(crate) fn connect(&mut self, key: Key, to: Destination, ip: &Ip, env: &mut Env) -> Result<(), Error> {
        let common = self.common(key)?;
        let to = common.destination(Some(to))?;
        if to.port == 0 {
            return Err(Error::InvalidInput);
        }
        let route = common.route(to, ip)?;
        let bound = common.local;
        if self.port(key)? == 0 {
            self.bind(key, None, 0, ip, env)?;
        }
        self.leave_places(key);
        let common = self.common(key)?;
        common.remote = Some(to);
        if bound.is_none() {
            common.local = Some(route.source);
        }
        self.enter(key);
        Ok(())
    }

    /// Talks to anybody again. The address that connecting has chosen stays.
    pub(crate) fn disconnect(&mut self, key: Key) -> Result<(), Error> {
        self.get(key)?;
        self.leave_places(key);
        self.common(key)?.remote = None;
        self.enter(key);
        Ok(())
    }

    /// Sends a datagram, whole or not at all.
    pub(crate) fn send(
        &mut self,
        key: Key,
        bytes: &[u8],
        to: Option<Destination>,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        self.common(key)?.take_error()?;
        if self.port(key)? == 0 {
            self.bind(key, None, 0, ip, env)?;
        }
        let socket = self.get(key)?;
        let to = socket.common.destination(to)?;
        if to.port == 0 {
            return Err(Error::InvalidInput);
        }
        let length = udp::HEADER_LEN + bytes.len();
        if length > 65_535 {
            return Err(Error::MessageTooLong);
        }
        let route = socket.common.route(to, ip)?;
        let mut frame = Frame::from_slice(bytes);
        let header = frame.push_front(udp::HEADER_LEN);
        udp::emit(header, socket.port, to.port, bytes.len());
        let checksum = udp::partial_checksum(header, route.source.ip(), to.address.ip(), length);
        frame.meta.checksum = checksum;
        socket.common.send(&route, to.address, protocol::UDP, frame, ip, env)?;
        env.counters.udp_out_datagrams += 1;
        Ok(())
    }

    /// A socket wants what is sent to a group on a link.
    pub(crate) fn join(&mut self, key: Key, link: LinkId, group: Address, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        let socket = self.get(key)?;
        if !socket.common.family.has(group) {
            return Err(Error::InvalidInput);
        }
        if socket.is_member(link, group) {
            return Err(Error::AddressInUse);
        }
        ip.join_group(link, group, env)?;
        socket.groups.push((link, group));
        Ok(())
    }

    /// And wants it no more.
    pub(crate) fn leave(&mut self, key: Key, link: LinkId, group: Address, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        let socket = self.get(key)?;
        let at = socket.groups.iter().position(|&member| member == (link, group)).ok_or(Error::AddressNotAvailable)?;
        socket.groups.swap_remove(at);
        ip.leave_group(link, group, env)
    }

    /// Ends a socket.
    pub(crate) fn close(&mut self, key: Key, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        self.get(key)?;
        self.leave_places(key);
        let Some(mut socket) = self.sockets.remove(key) else { return Err(Error::BadHandle) };
        socket.common.close(env);
        for (link, group) in socket.groups {
            // The link may have gone; then there is nobody to tell.
            let _ = ip.leave_group(link, group, env);
        }
        if let Some(keys) = self.by_port.get_mut(&socket.port) {
            keys.retain(|&other| other != key);
            if keys.is_empty() {
                self.by_port.remove(&socket.port);
            }
        }
        Ok(())
    }

    /// A datagram for this host.
    pub(crate) fn input(&mut self, packet: Packet, ip: &mut Ip, env: &mut Env) {
        let (source_port, port, length) = match self.check(&packet) {
            Ok(found) => found,
            Err(reason) => {
                env.counters.udp_in_errors += 1;
                return env.drop(reason);
            }
        };
        if !packet.unicast {
            return self.input_group(packet, source_port, port, length, env);
        }
        let Some(key) = self.find(&packet, source_port, port) else {
            env.counters.udp_no_ports += 1;
            env.drop(Reason::NoSocket);
            return ip.refuse(&packet, Refusal::Port, env);
        };
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let (head, mut frame) = split(packet);
        frame.truncate(length);
        frame.pull(udp::HEADER_LEN);
        let size = usize::from(frame.meta.gso_size);
        if size == 0 || frame.len() <= size {
            take(&mut socket.common, datagram(&head, frame, source_port, env), env);
            return;
        }
        // The device has put datagrams of one flow together: each is received by itself.
        for part in frame.as_slice().chunks(size) {
            let mut part = Frame::from_slice(part);
            part.meta.arrived = frame.meta.arrived;
            take(&mut socket.common, datagram(&head, part, source_port, env), env);
        }
    }

    fn check(&self, packet: &Packet) -> Result<(u16, u16, usize), Reason> {
        let header = Udp::parse(packet.frame.as_slice()).map_err(|malformed| match malformed {
            Malformed::Checksum => Reason::Checksum,
            _ => Reason::Malformed,
        })?;
        if packet.frame.meta.checksum == Checksum::Unverified
            && !header.verify_checksum(packet.source.ip(), packet.destination.ip())
        {
            return Err(Reason::Checksum);
        }
        Ok((header.source_port(), header.destination_port(), udp::HEADER_LEN + header.payload().len()))
    }

    /// The one socket that a datagram to one of our addresses is for: connected to its sender, else bound to its address, else
    /// to none. Sockets that share a place share the senders.
    fn find(&self, packet: &Packet, source_port: u16, port: u16) -> Option<Key> {
        let any: Address = if packet.destination.is_v4() { ANY_V4.into() } else { ANY_V6.into() };
        let exact = Place { local: packet.destination, port, remote: packet.source, remote_port: source_port };
        let bound = Place { remote: any, remote_port: 0, ..exact };
        let open = Place { local: any, ..bound };
        for place in [exact, bound, open] {
            match self.at(place) {
                [] => {}
                &[one] => return Some(one),
                keys => return keys.get(UdpSockets::hash(&self.key, &exact) as usize % keys.len()).copied(),
            }
        }
        None
    }

    /// A datagram to a group or to all: for every socket that wants it.
    fn input_group(&mut self, packet: Packet, source_port: u16, port: u16, length: usize, env: &mut Env) {
        let group = packet.destination;
        let keys = self.by_port.get(&port).map_or(&[][..], |keys| keys);
        let mut any = false;
        let (head, mut frame) = split(packet);
        frame.truncate(length);
        frame.pull(udp::HEADER_LEN);
        for &key in keys {
            let Some(socket) = self.sockets.get_mut(key) else { continue };
            let common = &socket.common;
            let member = !group.is_multicast() || socket.groups.contains(&(head.link, group));
            let bound = common.local.is_none_or(|local| local == group);
            if member && bound && common.family.has(group) && socket.is_peer(head.source, source_port) {
                any = true;
                take(&mut socket.common, datagram(&head, frame.clone(), source_port, env), env);
            }
        }
        if !any {
            env.counters.udp_no_ports += 1;
            env.drop(Reason::NoSocket);
        }
    }

    /// An error about a datagram that was sent.
    pub(crate) fn error(&mut self, quoted: &Quoted, ip: &mut Ip, env: &mut Env) {
        let place =
            Place { local: quoted.local, port: quoted.local_port, remote: quoted.remote, remote_port: quoted.remote_port };
        let any: Address = if quoted.local.is_v4() { ANY_V4.into() } else { ANY_V6.into() };
        let bound = Place { remote: any, remote_port: 0, ..place };
        let open = Place { local: any, ..bound };
        let keys: Vec<Key> = [place, bound, open].into_iter().flat_map(|place| self.at(place)).copied().collect();
        let mut any = false;
        for key in keys {
            let Some(socket) = self.sockets.get_mut(key) else { continue };
            let common = &mut socket.common;
            if !common.sends_to(quoted.remote, quoted.remote_port) {
                continue;
            }
            any = true;
            if let Icmp::PacketTooBig(mtu) = quoted.what {
                ip.learn_path_mtu(quoted.remote, mtu, env);
                // What may be fragmented is from now on; only who forbids it has to know.
                if !common.options.dont_fragment {
                    continue;
                }
            }
            if quoted.what != Icmp::SourceQuench && (common.remote.is_some() || common.options.errors) {
                common.fail(quoted.what.error(), env);
            }
        }
        if !any {
            env.drop(Reason::IcmpUnmatched);
        }
    }
}

/// A packet's bytes, and what it says beside them.
fn split(mut packet: Packet) -> (Packet, Frame) {
    let frame = core::mem::take(&mut packet.frame);
    (packet, frame)
}

fn take(common: &mut Common, datagram: Datagram, env: &mut Env) {
    match common.deliver(datagram, env) {
        true => env.counters.udp_in_datagrams += 1,
        false => env.counters.udp_rcvbuf_errors += 1,
    }
}

/// Whether another socket has the port, on an address that this one would have too.
fn is_taken(
    sockets: &Slab<UdpSocket>,
    by_port: &BTreeMap<u16, Vec<Key>>,
    local: Option<Address>,
    family: Family,
    port: u16,
    reuse: bool,
) -> bool {
    let others = by_port.get(&port).map_or(&[][..], |keys| keys).iter().filter_map(|&key| sockets.get(key));
    others.into_iter().any(|other| {
        let same = match (local, other.common.local) {
            (Some(a), Some(b)) => a == b,
            (Some(a), None) => other.common.family.has(a),
            (None, Some(b)) => family.has(b),
            (None, None) => family == other.common.family || family == Family::Dual || other.common.family == Family::Dual,
        };
        same && !(reuse && other.common.options.reuse)
    })
}
