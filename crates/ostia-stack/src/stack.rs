//! The stack as its user sees it: frames in, frames out, sockets, events.

use alloc::vec::Vec;

use bytes::Bytes;
use ostia_wire::Frame;

use crate::address::Address;
use crate::config::Config;
use crate::counters::Counters;
use crate::drops::Drops;
use crate::env::Env;
use crate::error::Error;
use crate::event::Event;
use crate::handle::Handle;
use crate::ip::{Input, Ip, LinkConfig, LinkId, Refusal, Transmit, protocol};
use crate::memory::Budget;
use crate::tcp::{Hook, How, Local, Options, State, Tcp, TcpInfo};
use crate::time::Instant;

/// Segments that one call of [`Stack::poll_transmit`] sends of connections, at most.
const BUDGET: usize = 1024;

/// How often packets to the host's own addresses may be answered by others within one call.
const ROUNDS: usize = 64;

/// A TCP/IP stack. It has neither a clock nor a socket nor a thread: whoever drives it gives it frames and the time, and asks
/// it for frames and events. Calls on sockets take the time of the last [`input`](Stack::input) or
/// [`poll_transmit`](Stack::poll_transmit); what they cause to be sent comes out of the next `poll_transmit`.
pub struct Stack {
    env: Env,
    ip: Ip,
    tcp: Tcp,
}

impl Stack {
    /// A stack without links. All its randomness comes from the seed: keys, sequence numbers, ports, jitter. With the same seed
    /// and the same calls it does the same, so a seed must be secret where peers aren't trusted.
    pub fn new(config: Config, seed: [u8; 32]) -> Stack {
        let mut env = Env::new(config, seed);
        let tcp = Tcp::new(&mut env);
        let ip = Ip::new(&env.config, &mut env.random);
        Stack { env, ip, tcp }
    }

    /// Frames have arrived on a link. `now` is the present; a frame whose device noted a time has its own.
    pub fn input(&mut self, link: LinkId, frames: impl IntoIterator<Item = Frame>, now: Instant) {
        self.set_time(now);
        for frame in frames {
            let input = self.ip.input(link, frame, &mut self.env);
            self.dispatch(input);
        }
    }

    /// Does what is due, and appends the frames that are to be sent, in order. True if there is more to send at once.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<Transmit>) -> bool {
        self.set_time(now);
        self.ip.turn(&mut self.env);
        let mut more = false;
        for _ in 0..ROUNDS {
            more = self.tcp.poll(BUDGET, &mut self.ip, &mut self.env);
            if !self.take_local() {
                break;
            }
        }
        out.extend(self.ip.out.drain(..));
        more
    }

    /// When [`poll_transmit`](Stack::poll_transmit) has something to do next, if nothing arrives before;
    /// [`Instant::NEVER`] if nothing is due.
    pub fn next_deadline(&mut self) -> Instant {
        if !self.ip.out.is_empty() {
            return self.env.now;
        }
        self.tcp.deadline(self.env.now).min(self.ip.deadline(&self.env))
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.env.events.pop()
    }

    fn set_time(&mut self, now: Instant) {
        debug_assert!(now >= self.env.now, "time goes forward");
        self.env.now = self.env.now.max(now);
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Packet(packet) if packet.protocol == protocol::TCP => self.tcp.input(packet, &mut self.ip, &mut self.env),
            Input::Packet(packet) => {
                self.ip.refuse(&packet, Refusal::Protocol, &mut self.env);
            }
            Input::Error(quoted) => self.tcp.error(&quoted, &mut self.ip, &mut self.env),
            Input::None => {}
        }
    }

    /// Packets from this host to itself; whether there were any.
    fn take_local(&mut self) -> bool {
        let mut any = false;
        while let Some(input) = self.ip.next_local(&mut self.env) {
            any = true;
            self.dispatch(input);
        }
        any
    }

    /// What has happened since the stack was made.
    pub fn counters(&self) -> &Counters {
        &self.env.counters
    }

    /// Packets that were dropped, by reason.
    pub fn drops(&self) -> &Drops {
        &self.env.drops
    }

    /// Memory that packets and peers make the stack keep.
    pub fn memory(&self) -> &Budget {
        &self.env.memory
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.env.config
    }

    /// Changes the configuration. Bounds hold from now on; what was agreed on with peers stays.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.env.config);
    }

    /// How many connections, half-open connections and TIME-WAITs there are.
    pub fn census(&self) -> (usize, usize, usize) {
        self.tcp.census()
    }

    /// The states of all connections, those that their programs have closed among them; half-open ones and TIME-WAITs stand in
    /// the [`census`](Stack::census).
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.tcp.states()
    }

    /// Makes new keys for SYN cookies. Those sent before are taken for two minutes more.
    pub fn rotate_cookie_keys(&mut self) {
        self.tcp.rotate_cookie_keys(&mut self.env);
    }

    /// Options with this stack's defaults.
    pub fn options(&self) -> Options {
        Options::new(&self.env.config)
    }
}

/// Links, addresses and routes.
impl Stack {
    /// Adds a link.
    pub fn add_link(&mut self, config: LinkConfig) -> LinkId {
        self.ip.add_link(config, &mut self.env)
    }

    /// Changes a link's MTU, in bytes of IP packet. Connections adapt at once.
    pub fn set_mtu(&mut self, link: LinkId, mtu: u32) {
        self.ip.set_mtu(link, mtu);
    }

    /// Gives the host an address on a link.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if no host can have that address, or the prefix is too long.
    pub fn add_address(&mut self, link: LinkId, address: Address, prefix: u8) -> Result<(), Error> {
        self.ip.add_address(link, address, prefix, &mut self.env)
    }

    /// Adds a route: destinations that share the first `prefix` bits go out on `link`, to `gateway` if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the prefix is too long, the families differ, or there is no such link.
    pub fn add_route(&mut self, destination: Address, prefix: u8, gateway: Option<Address>, link: LinkId) -> Result<(), Error> {
        self.ip.add_route(destination, prefix, gateway, link, 0)
    }
}

/// TCP.
impl Stack {
    /// Listens. `backlog` bounds what [`Config::backlog`] says.
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
    pub fn listen_with(
        &mut self,
        local: Local,
        backlog: usize,
        options: Options,
        hook: Option<Hook>,
    ) -> Result<Handle, Error> {
        self.tcp.listen(local, backlog, options, hook, &self.ip)
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
    /// [`Error::NetworkUnreachable`] if no route leads there, [`Error::AddressNotAvailable`] if no port is left,
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

    /// Lets go of a connection or listener. What a connection has queued is still sent; if something is unread, it is reset.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn close(&mut self, socket: Handle) -> Result<(), Error> {
        self.tcp.close(socket, &mut self.ip, &mut self.env)
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
    pub fn addresses(&self, connection: Handle) -> Result<((Address, u16), (Address, u16)), Error> {
        self.tcp.addresses(connection)
    }
}
