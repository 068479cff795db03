//! What programs ask of TCP, by handle.

use alloc::boxed::Box;

use bytes::Bytes;
use ostia_wire::Frame;

use super::calls::{How, Readiness};
use super::connection::{Connection, Context};
use super::info::TcpInfo;
use super::listener::{Hook, Listener, Local};
use super::options::Options;
use super::state::State;
use super::table::Entry;
use super::tuple::Tuple;
use super::{CONNECTION_SIZE, Tcp, isn};
use crate::address::{Address, SocketAddress};
use crate::env::Env;
use crate::error::Error;
use crate::handle::{Handle, Socket};
use crate::ip::Ip;
use crate::memory::Budget;
use crate::slab::Key;
use crate::time::Instant;
use crate::trace::{Cause, Direction, Layer};

impl Tcp {
    /// RFC 9293, 3.9.1.1, passive OPEN.
    pub(crate) fn listen(
        &mut self,
        local: Local,
        backlog: usize,
        options: Options,
        hook: Option<Hook>,
        ip: &Ip,
        env: &mut Env,
    ) -> Result<Handle, Error> {
        if local.address.is_some_and(|address| !address.is_unspecified() && !ip.is_local(address)) {
            return Err(Error::AddressNotAvailable);
        }
        if self.places.is_taken(&local) {
            return Err(Error::AddressInUse);
        }
        let listener = Listener::new(local, backlog, options.bounded(), hook);
        let key = self.listeners.insert(listener).ok_or(Error::NoBufferSpace)?;
        self.places.insert(local, key);
        env.cause = Cause::Call("listen");
        local.trace_state(State::Closed, State::Listen, env);
        Ok(Handle::new(Socket::Listener, key))
    }

    /// Takes the oldest complete connection.
    pub(crate) fn accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let key = listener.key(Socket::Listener).ok_or(Error::BadHandle)?;
        let listener = self.listeners.get_mut(key).ok_or(Error::BadHandle)?;
        let Some(key) = listener.complete.pop_front() else {
            listener.told = false;
            return Err(Error::WouldBlock);
        };
        let connection = self.connections.get_mut(key).ok_or(Error::WouldBlock)?;
        connection.listener = None;
        connection.facts.owned = true;
        Ok(connection.handle())
    }

    /// RFC 9293, 3.9.1.1, active OPEN: the SYN goes out with the next poll.
    pub(crate) fn connect(
        &mut self,
        remote: (Address, u16),
        local: Option<(Option<Address>, u16)>,
        zone: u16,
        options: Options,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<Handle, Error> {
        let (address, port) = remote;
        // RFC 9293, 3.9.1.1 MUST-46.
        if port == 0 || address.is_unspecified() || address.is_multicast() || ip.is_broadcast(address) {
            return Err(Error::InvalidInput);
        }
        let (source, wanted) = local.unwrap_or((None, 0));
        let route = ip.route(address, source, zone)?;
        let mut tuple = Tuple { local: route.source, remote: address, local_port: wanted, remote_port: port, zone };
        if wanted == 0 {
            tuple.local_port = self.choose_port(&tuple, env)?;
        } else if self.find(&tuple).is_some() || tuple.is_land() {
            return Err(Error::AddressInUse);
        }
        if !env.memory.take(CONNECTION_SIZE) {
            return Err(Error::NoBufferSpace);
        }
        let iss = isn::isn(&self.number_key, &tuple.bytes(), env.now);
        let offset = isn::timestamp_offset(&self.number_key, &tuple.bytes());
        let connection = Connection::active(tuple, iss, offset, options.bounded(), env);
        let Some(key) = self.connections.insert(Box::new(connection)) else {
            env.memory.give(CONNECTION_SIZE);
            return Err(Error::NoBufferSpace);
        };
        let entry = Entry::Connection(key.index);
        let timer = self.wheel.insert(entry.token(), Instant::NEVER);
        let Some(connection) = self.connections.at_mut(key.index) else { return Err(Error::BadHandle) };
        (connection.key, connection.timer) = (key, timer);
        let handle = connection.handle();
        env.cause = Cause::Call("connect");
        connection.trace_state(env);
        self.enter(&tuple, entry);
        self.list(key.index);
        env.counters.tcp_active_opens += 1;
        Ok(handle)
    }

    /// A local port that nobody has with that peer, nor listens on (RFC 6056).
    fn choose_port(&mut self, tuple: &Tuple, env: &mut Env) -> Result<u16, Error> {
        let destination = Tuple { local_port: 0, ..*tuple }.hash(&self.hash_key);
        // Taken out while the others are looked at.
        let mut ports = self.ports.take().ok_or(Error::AddressNotAvailable)?;
        let chosen = ports.choose(destination, env.random.u32(), |port| {
            let tuple = Tuple { local_port: port, ..*tuple };
            self.find(&tuple).is_some()
                || tuple.is_land()
                || self.places.is_taken(&Local { address: None, port })
                || self.places.is_taken(&Local { address: Some(tuple.local.unspecified()), port })
                || self.places.is_taken(&Local { address: Some(tuple.local), port })
        });
        self.ports = Some(ports);
        chosen.ok_or(Error::AddressNotAvailable)
    }

    fn key_of(&self, handle: Handle) -> Result<Key, Error> {
        let key = handle.key(Socket::Connection).ok_or(Error::BadHandle)?;
        // One that has been closed may live on, but its name names nothing any more.
        match self.connections.get(key) {
            Some(connection) if connection.facts.owned => Ok(key),
            _ => Err(Error::BadHandle),
        }
    }

    fn connection(&self, handle: Handle) -> Result<&Connection, Error> {
        let key = self.key_of(handle)?;
        self.connections.get(key).map(|connection| &**connection).ok_or(Error::BadHandle)
    }

    /// Does something with a connection; it may have something to send afterwards.
    fn with<T>(
        &mut self,
        handle: Handle,
        ip: &mut Ip,
        env: &mut Env,
        name: &'static str,
        work: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> Result<T, Error> {
        let key = self.key_of(handle)?;
        env.cause = Cause::Call(name);
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let result = work(connection, &mut Context { env, ip, challenges: &mut self.challenges });
        self.settle(key.index, env);
        Ok(result)
    }

    pub(crate) fn send(&mut self, handle: Handle, data: &[u8], env: &mut Env) -> Result<usize, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let count = connection.send(data, env)?;
        env.passes(Layer::Socket, Direction::Down, None, &data[..count]);
        self.list(key.index);
        Ok(count)
    }

    pub(crate) fn send_shared(&mut self, handle: Handle, data: Bytes, env: &mut Env) -> Result<usize, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let count = connection.send_shared(data, env)?;
        self.list(key.index);
        Ok(count)
    }

    pub(crate) fn send_whole(&mut self, handle: Handle, data: Bytes, env: &mut Env) -> Result<(), Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        connection.send_whole(data, env)?;
        self.list(key.index);
        Ok(())
    }

    pub(crate) fn send_last(&mut self, handle: Handle, data: Bytes, env: &mut Env) -> Result<(), Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        connection.send_last(data, env)?;
        self.list(key.index);
        Ok(())
    }

    pub(crate) fn send_all(&mut self, handle: Handle, data: &[u8], env: &mut Env) -> Result<(), Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        connection.send_all(data, env)?;
        self.list(key.index);
        Ok(())
    }

    pub(crate) fn send_urgent(&mut self, handle: Handle, data: &[u8], env: &mut Env) -> Result<usize, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let count = connection.send_urgent(data, env)?;
        self.list(key.index);
        Ok(count)
    }

    pub(crate) fn recv(&mut self, handle: Handle, into: &mut [u8], env: &mut Env) -> Result<usize, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let count = connection.recv(into, env)?;
        env.passes(Layer::Socket, Direction::Up, None, &into[..count]);
        if connection.facts.ack_now {
            self.list(key.index);
        }
        Ok(count)
    }

    pub(crate) fn recv_with(
        &mut self,
        handle: Handle,
        room: usize,
        env: &mut Env,
        sink: impl FnMut(&[u8]),
    ) -> Result<usize, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let count = connection.recv_with(room, env, sink)?;
        if connection.facts.ack_now {
            self.list(key.index);
        }
        Ok(count)
    }

    pub(crate) fn recv_frame(&mut self, handle: Handle, env: &mut Env) -> Result<Frame, Error> {
        let key = self.key_of(handle)?;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        let frame = connection.recv_frame(env)?;
        if connection.facts.ack_now {
            self.list(key.index);
        }
        Ok(frame)
    }

    pub(crate) fn peek(&self, handle: Handle, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.connection(handle)?.received.peek(into))
    }

    pub(crate) fn peek_with(&self, handle: Handle, room: usize, sink: impl FnMut(&[u8])) -> Result<usize, Error> {
        Ok(self.connection(handle)?.received.peek_with(room, sink))
    }

    pub(crate) fn urgent_left(&self, handle: Handle) -> Result<Option<u32>, Error> {
        Ok(self.connection(handle)?.urgent_left())
    }

    pub(crate) fn shutdown(&mut self, handle: Handle, how: How, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        self.with(handle, ip, env, "shutdown", |connection, context| connection.shutdown(how, context))?
    }

    pub(crate) fn abort(&mut self, handle: Handle, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        self.disown(handle, ip, env, "abort", Connection::abort)
    }

    pub(crate) fn close(&mut self, handle: Handle, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        match handle.kind() {
            Socket::Listener => self.close_listener(handle, ip, env),
            _ => self.disown(handle, ip, env, "close", Connection::close),
        }
    }

    fn disown(
        &mut self,
        handle: Handle,
        ip: &mut Ip,
        env: &mut Env,
        name: &'static str,
        end: impl FnOnce(&mut Connection, &mut Context<'_>),
    ) -> Result<(), Error> {
        let key = self.key_of(handle)?;
        env.cause = Cause::Call(name);
        self.orphans += 1;
        let connection = self.connections.get_mut(key).ok_or(Error::BadHandle)?;
        (connection.facts.owned, connection.facts.closed) = (false, true);
        end(connection, &mut Context { env, ip, challenges: &mut self.challenges });
        self.bound_orphans(key.index, ip, env);
        self.settle(key.index, env);
        Ok(())
    }

    /// Those that nobody has accepted are reset; those half open are forgotten, and reset should they answer.
    fn close_listener(&mut self, handle: Handle, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        let key = handle.key(Socket::Listener).ok_or(Error::BadHandle)?;
        let listener = self.listeners.remove(key).ok_or(Error::BadHandle)?;
        env.cause = Cause::Call("close");
        listener.local.trace_state(State::Listen, State::Closed, env);
        self.places.remove(&listener.local);
        let halves: alloc::vec::Vec<u32> =
            self.half_opens.iter().filter(|(_, half)| half.listener == key).map(|(half, _)| half.index).collect();
        for index in halves {
            self.drop_half_open(index, State::Closed, env);
        }
        for key in listener.complete {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.listener = None;
            connection.facts.closed = true;
            self.orphans += 1;
            connection.abort(&mut Context { env, ip, challenges: &mut self.challenges });
            self.settle(key.index, env);
        }
        Ok(())
    }

    pub(crate) fn readiness(&mut self, handle: Handle, memory: &Budget) -> Result<Readiness, Error> {
        let key = self.key_of(handle)?;
        Ok(self.connections.get_mut(key).ok_or(Error::BadHandle)?.readiness(memory))
    }

    pub(crate) fn has_room(&self, handle: Handle, memory: &Budget) -> Result<bool, Error> {
        let key = self.key_of(handle)?;
        Ok(self.connections.get(key).ok_or(Error::BadHandle)?.has_room(memory))
    }

    /// Every connection that a program has.
    pub(crate) fn owned(&self) -> impl Iterator<Item = Handle> + '_ {
        self.connections.iter().filter(|(_, connection)| connection.facts.owned).map(|(_, connection)| connection.handle())
    }

    /// What no program has: each with its state and its addresses, this side's first.
    pub(crate) fn unowned(&self) -> impl Iterator<Item = (State, SocketAddress, SocketAddress)> + '_ {
        let connections = self.connections.iter().filter(|(_, connection)| !connection.facts.owned);
        let connections = connections.map(|(_, connection)| (connection.state, &connection.tuple));
        let half_opens = self.half_opens.iter().map(|(_, half_open)| (State::SynReceived, &half_open.tuple));
        let time_waits = self.time_waits.iter().map(|(_, time_wait)| (State::TimeWait, &time_wait.tuple));
        let all = connections.chain(half_opens).chain(time_waits);
        all.map(|(state, tuple)| (state, (tuple.local, tuple.local_port), (tuple.remote, tuple.remote_port)))
    }

    /// Every listener, with where it listens and how many connections wait to be accepted.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (Handle, Local, usize)> + '_ {
        let told =
            |(key, listener): (Key, &Listener)| (Handle::new(Socket::Listener, key), listener.local, listener.complete.len());
        self.listeners.iter().map(told)
    }

    /// Connections that their programs have closed and that still have something to send, or wait for its acknowledgment.
    fn draining(&self) -> impl Iterator<Item = Key> + '_ {
        use State::{CloseWait, Closing, Established, FinWait1, LastAck, SynReceived};
        let drains = |connection: &Connection| {
            let sends = matches!(connection.state, SynReceived | Established | FinWait1 | CloseWait | Closing | LastAck);
            sends && connection.facts.closed && !connection.facts.owned && !connection.facts.dead
        };
        self.connections.iter().filter(move |(_, connection)| drains(connection)).map(|(key, _)| key)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining().next().is_some()
    }

    /// Resets those, for nobody will see to them any more.
    pub(crate) fn abort_draining(&mut self, ip: &mut Ip, env: &mut Env) {
        env.cause = Cause::Call("abort");
        let keys: alloc::vec::Vec<Key> = self.draining().collect();
        for key in keys {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.abort(&mut Context { env, ip, challenges: &mut self.challenges });
            self.settle(key.index, env);
        }
    }

    pub(crate) fn options(&self, handle: Handle) -> Result<Options, Error> {
        match handle.key(Socket::Listener) {
            Some(key) => self.listeners.get(key).map(|listener| listener.options).ok_or(Error::BadHandle),
            None => Ok(self.connection(handle)?.options),
        }
    }

    pub(crate) fn set_options(&mut self, handle: Handle, options: Options, ip: &mut Ip, env: &mut Env) -> Result<(), Error> {
        match handle.key(Socket::Listener) {
            Some(key) => {
                self.listeners.get_mut(key).ok_or(Error::BadHandle)?.options = options.bounded();
                Ok(())
            }
            None => {
                self.with(handle, ip, env, "setsockopt", |connection, context| connection.set_options(options, context.env.now))
            }
        }
    }

    pub(crate) fn info(&self, handle: Handle, now: Instant) -> Result<TcpInfo, Error> {
        Ok(self.connection(handle)?.info(now))
    }

    pub(crate) fn state(&self, handle: Handle) -> Result<State, Error> {
        match handle.key(Socket::Listener) {
            Some(key) => self.listeners.get(key).map(|_| State::Listen).ok_or(Error::BadHandle),
            None => Ok(self.connection(handle)?.state),
        }
    }

    /// This side's and the peer's address and port.
    pub(crate) fn addresses(&self, handle: Handle) -> Result<(SocketAddress, SocketAddress), Error> {
        let tuple = &self.connection(handle)?.tuple;
        Ok(((tuple.local, tuple.local_port), (tuple.remote, tuple.remote_port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::{Host, addr};

    #[test]
    fn a_port_can_be_listened_on_while_a_connection_of_it_is_opened() {
        let mut host = Host::tun();
        let mut tcp = Tcp::new(&mut host.env);
        let options = Options::new(&host.env.config);
        let remote = (addr("192.0.2.2"), 80);
        let opened = tcp.connect(remote, Some((None, 5000)), 0, options, &mut host.ip, &mut host.env).expect("a connection");
        let local = Local { address: None, port: 5000 };
        assert!(tcp.listen(local, 1, options, None, &host.ip, &mut host.env).is_ok());
        assert_eq!(tcp.state(opened), Ok(State::SynSent));
        assert_eq!(tcp.listen(local, 1, options, None, &host.ip, &mut host.env), Err(Error::AddressInUse));
    }

    #[test]
    fn any_address_is_of_one_family_or_of_both() {
        let mut host = Host::tun();
        let mut tcp = Tcp::new(&mut host.env);
        let options = Options::new(&host.env.config);
        let mut listen = |address: Option<&str>| {
            let local = Local { address: address.map(addr), port: 80 };
            let listening = tcp.listen(local, 1, options, None, &host.ip, &mut host.env).expect("listens");
            listening.key(Socket::Listener)
        };
        let (v4, v6, both) = (listen(Some("0.0.0.0")), listen(Some("::")), listen(None));
        assert_eq!((tcp.places.find(addr("192.0.2.1"), 80), tcp.places.find(addr("2001:db8::1"), 80)), (v4, v6));
        tcp.places.remove(&Local { address: Some(addr("0.0.0.0")), port: 80 });
        assert_eq!(tcp.places.find(addr("192.0.2.1"), 80), both);
    }

    #[test]
    fn nobody_connects_to_a_group_or_to_everybody() {
        let mut host = Host::tun();
        let mut tcp = Tcp::new(&mut host.env);
        let options = Options::new(&host.env.config);
        for to in ["224.0.0.1", "255.255.255.255", "192.0.2.255", "0.0.0.0", "ff02::1", "::"] {
            let connected = tcp.connect((addr(to), 80), None, 0, options, &mut host.ip, &mut host.env);
            assert_eq!(connected, Err(Error::InvalidInput), "{to}");
        }
        assert!(tcp.connect((addr("192.0.2.2"), 80), None, 0, options, &mut host.ip, &mut host.env).is_ok());
    }
}
