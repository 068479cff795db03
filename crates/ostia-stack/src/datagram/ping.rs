//! Sockets that send ICMP echo requests and get the replies. The stack chooses the identifier, so that no two see each other's.

use alloc::collections::BTreeMap;

use ostia_wire::Frame;
use ostia_wire::icmpv4::{HEADER_LEN, Icmpv4Emit};
use ostia_wire::icmpv6::Icmpv6Emit;

use crate::Error;
use crate::datagram::socket::{Common, Destination, Family, datagram};
use crate::drops::Reason;
use crate::env::Env;
use crate::handle::{Handle, Socket};
use crate::ip::{Icmp, Ip, Packet, Quoted, protocol};
use crate::slab::{Key, Slab};

/// Identifiers are 16 bits in each family; this many sockets leave enough of them to be found at random.
const SOCKETS: usize = 1 << 15;

struct PingSocket {
    common: Common,
    identifier: u16,
}

/// Every ping socket.
pub(crate) struct PingSockets {
    sockets: Slab<PingSocket>,
    /// By family (IPv4: true) and identifier.
    by_identifier: BTreeMap<(bool, u16), Key>,
}

impl PingSockets {
    pub(crate) fn new() -> PingSockets {
        PingSockets { sockets: Slab::with_limit(SOCKETS), by_identifier: BTreeMap::new() }
    }

    /// Makes a socket of one family.
    pub(crate) fn open(&mut self, v4: bool, env: &mut Env) -> Result<Handle, Error> {
        let mut identifier = env.random.u32() as u16;
        while self.by_identifier.contains_key(&(v4, identifier)) {
            identifier = identifier.wrapping_add(1);
        }
        let unnamed = Handle::new(Socket::Ping, Key { index: u32::MAX, generation: 0 });
        let family = if v4 { Family::V4 } else { Family::V6 };
        let key = self.sockets.insert(PingSocket { common: Common::new(unnamed, family), identifier });
        let key = key.ok_or(Error::NoBufferSpace)?;
        let handle = Handle::new(Socket::Ping, key);
        self.common(key)?.handle = handle;
        self.by_identifier.insert((v4, identifier), key);
        Ok(handle)
    }

    /// The part that all kinds of sockets have.
    pub(crate) fn common(&mut self, key: Key) -> Result<&mut Common, Error> {
        self.sockets.get_mut(key).map(|socket| &mut socket.common).ok_or(Error::BadHandle)
    }

    /// Sends an echo request; the destination's port is its sequence number.
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
        let to = socket.common.destination(to)?;
        if bytes.len() > 65_535 - HEADER_LEN {
            return Err(Error::MessageTooLong);
        }
        let route = socket.common.route(to, ip)?;
        let mut frame = Frame::from_slice(bytes);
        frame.push_front(HEADER_LEN).fill(0);
        let message = frame.as_mut_slice();
        let number = match (route.source.v6(), to.address.v6()) {
            (Some(source), Some(destination)) => {
                Icmpv6Emit::echo_request(socket.identifier, to.port).emit(message, source, destination);
                protocol::ICMPV6
            }
            _ => {
                Icmpv4Emit::echo_request(socket.identifier, to.port).emit(message);
                protocol::ICMP
            }
        };
        env.counters.icmp_out_msgs += 1;
        socket.common.send(&route, to.address, number, frame, ip, env)
    }

    /// Ends a socket.
    pub(crate) fn close(&mut self, key: Key, env: &mut Env) -> Result<(), Error> {
        let mut socket = self.sockets.remove(key).ok_or(Error::BadHandle)?;
        socket.common.close(env);
        self.by_identifier.remove(&(socket.common.family == Family::V4, socket.identifier));
        Ok(())
    }

    /// An echo reply, whose checksum has been checked; of other messages nothing is made here.
    pub(crate) fn input(&mut self, mut packet: Packet, env: &mut Env) {
        let &[kind, _, _, _, a, b, c, d, ..] = packet.frame.as_slice() else { return };
        let v4 = packet.source.is_v4();
        if kind != if v4 { 0 } else { 129 } {
            return;
        }
        let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let key = self.by_identifier.get(&(v4, identifier));
        let Some(socket) = key.and_then(|&key| self.sockets.get_mut(key)) else { return env.drop(Reason::NoSocket) };
        let common = &mut socket.common;
        let stranger = common.remote.is_some_and(|remote| remote.address != packet.source && !remote.address.is_multicast());
        if stranger || common.local.is_some_and(|local| local != packet.destination) {
            return env.drop(Reason::NoSocket);
        }
        let mut frame = core::mem::take(&mut packet.frame);
        frame.pull(HEADER_LEN);
        common.deliver(datagram(&packet, frame, sequence, env), env);
    }

    /// An error about an echo request that was sent.
    pub(crate) fn error(&mut self, quoted: &Quoted, ip: &mut Ip, env: &mut Env) {
        let key = self.by_identifier.get(&(quoted.local.is_v4(), quoted.local_port));
        let socket = key.and_then(|&key| self.sockets.get_mut(key));
        let Some(socket) = socket.filter(|socket| socket.common.sends_to(quoted.remote, quoted.remote_port)) else {
            return env.drop(Reason::IcmpUnmatched);
        };
        if let Icmp::PacketTooBig(mtu) = quoted.what {
            ip.learn_path_mtu(quoted.remote, mtu, env);
            if !socket.common.options.dont_fragment {
                return;
            }
        }
        if quoted.what != Icmp::SourceQuench {
            socket.common.fail(quoted.what.error(), env);
        }
    }
}
