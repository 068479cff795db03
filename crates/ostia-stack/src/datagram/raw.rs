//! Sockets of one IP protocol: they get a copy of every packet of it, with the IP header, and send with or without their own.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ostia_wire::Frame;

use crate::Error;
use crate::datagram::socket::{Common, Destination, Family, datagram};
use crate::env::Env;
use crate::handle::{Handle, Socket};
use crate::ip::{Ip, Packet, protocol};
use crate::slab::{Key, Slab};

/// Raw sockets, at most.
const SOCKETS: usize = 1024;
/// Bytes of an ICMPv6 message before and with its checksum.
const CHECKSUM_END: usize = 4;

struct RawSocket {
    common: Common,
    protocol: u8,
    /// Its program writes the IP header itself.
    header: bool,
}

/// Every raw socket.
pub(crate) struct RawSockets {
    sockets: Slab<RawSocket>,
    by_protocol: BTreeMap<u8, Vec<Key>>,
}

impl RawSockets {
    pub(crate) fn new() -> RawSockets {
        RawSockets { sockets: Slab::with_limit(SOCKETS), by_protocol: BTreeMap::new() }
    }

    /// Makes a socket of one protocol and family; with `header` its program writes the IP header of what it sends.
    pub(crate) fn open(&mut self, family: Family, protocol: u8, header: bool, ip: &mut Ip) -> Result<Handle, Error> {
        let unnamed = Handle::new(Socket::Raw, Key { index: u32::MAX, generation: 0 });
        let key = self.sockets.insert(RawSocket { common: Common::new(unnamed, family), protocol, header });
        let key = key.ok_or(Error::NoBufferSpace)?;
        let handle = Handle::new(Socket::Raw, key);
        self.common(key)?.handle = handle;
        self.by_protocol.entry(protocol).or_default().push(key);
        self.tell(ip);
        Ok(handle)
    }

    /// Tells IP which protocols are wanted.
    fn tell(&self, ip: &mut Ip) {
        let mut wanted = [0u64; 4];
        for &protocol in self.by_protocol.keys() {
            wanted[usize::from(protocol / 64)] |= 1 << (protocol % 64);
        }
        ip.set_raw(wanted);
    }

    /// The part that all kinds of sockets have.
    pub(crate) fn common(&mut self, key: Key) -> Result<&mut Common, Error> {
        self.sockets.get_mut(key).map(|socket| &mut socket.common).ok_or(Error::BadHandle)
    }

    /// Sends a packet: what is behind the IP header, or all of it.
    pub(crate) fn send(
        &mut self,
        key: Key,
        bytes: &[u8],
        to: Option<Destination>,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Error> {
        let socket = self.sockets.get_mut(key).ok_or(Error::BadHandle)?;
        socket.common.take_error()?;
        if bytes.len() > 65_535 {
            return Err(Error::MessageTooLong);
        }
        // A port means nothing here, so that it must not make the same destination two.
        let to = Destination { port: 0, ..socket.common.destination(to)? };
        let route = socket.common.route(to, ip)?;
        let mut frame = Frame::from_slice(bytes);
        if socket.header {
            if ip.out.is_full(&env.memory) {
                return Err(Error::NoBufferSpace);
            }
            return ip.transmit_whole(&route, frame, env);
        }
        // Nobody but who knows the source address can compute this checksum (RFC 3542, 3.1).
        if socket.protocol == protocol::ICMPV6
            && frame.len() >= CHECKSUM_END
            && let (Some(source), Some(destination)) = (route.source.v6(), to.address.v6())
        {
            ostia_wire::icmpv6::finish_checksum(frame.as_mut_slice(), source, destination);
        }
        socket.common.send(&route, to.address, socket.protocol, frame, ip, env)
    }

    /// Ends a socket.
    pub(crate) fn close(&mut self, key: Key, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        let mut socket = self.sockets.remove(key).ok_or(Error::BadHandle)?;
        socket.common.close(env);
        if let Some(keys) = self.by_protocol.get_mut(&socket.protocol) {
            keys.retain(|&other| other != key);
            if keys.is_empty() {
                self.by_protocol.remove(&socket.protocol);
            }
        }
        self.tell(ip);
        Ok(())
    }

    /// Whether a socket gets copies of the packets of a protocol.
    pub(crate) fn watches(&self, protocol: u8) -> bool {
        self.by_protocol.contains_key(&protocol)
    }

    /// Gives a copy of a packet to every socket that wants it; whether there was one.
    pub(crate) fn input(&mut self, packet: &Packet, env: &mut Env) -> bool {
        let Some(keys) = self.by_protocol.get(&packet.protocol) else { return false };
        let mut any = false;
        for &key in keys {
            let Some(socket) = self.sockets.get_mut(key) else { continue };
            let common = &mut socket.common;
            let stranger = common.remote.is_some_and(|remote| remote.address != packet.source);
            if !common.family.has(packet.source) || stranger || common.local.is_some_and(|local| local != packet.destination) {
                continue;
            }
            any = true;
            let mut frame = packet.frame.clone();
            frame.push_front(usize::from(packet.header_len));
            common.deliver(datagram(packet, frame, 0, env), env);
        }
        any
    }
}
