//! Where a world's sockets are from, the kernel or a stack that is an engine of the port, and who is at their other ends.
//!
//! The near side is a handle of the port under test, and moves only when that turns. The peer is a socket of std, or of a
//! second stack which a thread keeps going, or in virtual time the port itself; its calls never wait for the near side.

#[cfg(target_os = "linux")]
mod away;
#[cfg(target_os = "linux")]
pub mod guest;
#[cfg(target_os = "linux")]
pub mod host;

use std::io::{IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use ostia_port::{Handle, Port, os};
#[cfg(target_os = "linux")]
use ostia_port::{Op, SocketOption, SocketSpec};

use super::World;
use super::{peers, system};

/// Which network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    Kernel,
    /// Two stacks joined by a link in memory; the near one is an engine of the port.
    #[cfg(target_os = "linux")]
    Stack,
    /// As that, but the near stack is on another thread's port, and a branch of it is the engine.
    #[cfg(target_os = "linux")]
    Branch,
}

/// A world's network.
pub enum Net {
    Kernel,
    #[cfg(target_os = "linux")]
    Stack {
        engine: ostia_port::EngineId,
        /// Who has the near stack, if the port has a branch of it: it ends before its peer does.
        _away: Option<away::Away>,
        host: host::Host,
    },
}

impl Net {
    /// Gives the port what it needs for sockets of this network.
    pub fn new(network: Network, port: &mut Port) -> Net {
        match network {
            Network::Kernel => {
                let _ = port;
                Net::Kernel
            }
            #[cfg(target_os = "linux")]
            Network::Stack | Network::Branch => {
                use ostia_net::{NetConfig, StackEngine};

                let (here, there) = ostia_link::memory::pair(&ostia_link::MemoryConfig::default());
                let config = NetConfig::new([0x0e; 32]).with_address(near(0).ip(), 24);
                let (near, away): (Box<dyn ostia_port::Engine>, _) = match network {
                    Network::Branch => {
                        let (away, branch) = away::Away::new(here, config);
                        (branch, Some(away))
                    }
                    _ => (Box::new(StackEngine::new(Box::new(here), &config).expect("a stack")), None),
                };
                let engine = port.add_engine(near);
                let (address, prefix) = ([10, 7, 0, 2].into(), 24);
                let host = match port.virtual_time().cloned() {
                    Some(time) => host::Host::on(port, &time, there, address, prefix),
                    None => host::Host::new(there, address, prefix),
                };
                Net::Stack { engine, _away: away, host }
            }
        }
    }
}

/// The near side's address on the link in memory.
#[cfg(target_os = "linux")]
fn near(port: u16) -> SocketAddr {
    ([10, 7, 0, 1], port).into()
}

/// The other end of a connection, closed when dropped.
pub enum Peer {
    Kernel(TcpStream),
    #[cfg(target_os = "linux")]
    Stack(host::Connection),
}

impl Peer {
    /// Writes all of it: so little that it need not wait for the other side.
    pub fn write_all(&mut self, bytes: &[u8]) {
        match self {
            Peer::Kernel(stream) => stream.write_all(bytes).expect("sent"),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => assert_eq!(connection.try_send(bytes), Ok(bytes.len()), "the peer's buffer is full"),
        }
    }

    /// Writes all of it, waiting for the other side, which somebody else turns. Not in virtual time, where nobody else does.
    pub fn write_much(&mut self, bytes: &[u8]) {
        match self {
            Peer::Kernel(stream) => stream.write_all(bytes).expect("sent"),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => {
                let mut sent = 0;
                while sent < bytes.len() {
                    match connection.try_send(&bytes[sent..]) {
                        Ok(count) => sent += count,
                        Err(errno) => {
                            assert_eq!(errno, os::EAGAIN);
                            std::thread::yield_now();
                        }
                    }
                }
            }
        }
    }

    /// Sends what there is room for; EAGAIN if none is.
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize, i32> {
        match self {
            Peer::Kernel(stream) => system::try_send(stream, bytes),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.try_send(bytes),
        }
    }

    /// Receives what is there; EAGAIN if nothing is.
    pub fn try_recv(&self, into: &mut [u8]) -> Result<usize, i32> {
        match self {
            Peer::Kernel(stream) => system::try_recv(stream, into),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.try_recv(into),
        }
    }

    /// Takes what is there, without waiting; false at the end of the stream.
    pub fn drain(&self, into: &mut Vec<u8>) -> bool {
        let mut scratch = [0u8; 16 << 10];
        loop {
            match self.try_recv(&mut scratch) {
                Ok(0) => return false,
                Ok(count) => into.extend_from_slice(&scratch[..count]),
                Err(os::EAGAIN) => return true,
                Err(os::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Its own address.
    pub fn local_addr(&self) -> SocketAddr {
        match self {
            Peer::Kernel(stream) => stream.local_addr().expect("address"),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.local_addr(),
        }
    }

    /// Ends this side's stream.
    pub fn end(&self) {
        match self {
            Peer::Kernel(stream) => stream.shutdown(Shutdown::Write).expect("half-closed"),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.end(),
        }
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        match self {
            Peer::Kernel(stream) => peers::reset(stream),
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.reset(),
        }
    }
}

/// A listener on the other side.
pub enum FarListener {
    Kernel(TcpListener),
    #[cfg(target_os = "linux")]
    Stack(host::Listener),
}

impl FarListener {
    pub fn address(&self) -> SocketAddr {
        match self {
            FarListener::Kernel(listener) => listener.local_addr().expect("address"),
            #[cfg(target_os = "linux")]
            FarListener::Stack(listener) => listener.address,
        }
    }
}

/// A socket of datagrams on the other side.
pub enum FarDatagrams {
    Kernel(UdpSocket),
    #[cfg(target_os = "linux")]
    Stack(host::Datagrams),
}

impl FarDatagrams {
    pub fn address(&self) -> SocketAddr {
        match self {
            FarDatagrams::Kernel(socket) => socket.local_addr().expect("address"),
            #[cfg(target_os = "linux")]
            FarDatagrams::Stack(socket) => socket.address,
        }
    }

    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) {
        match self {
            FarDatagrams::Kernel(socket) => {
                socket.send_to(bytes, to).expect("sent");
            }
            #[cfg(target_os = "linux")]
            FarDatagrams::Stack(socket) => socket.send_to(bytes, to),
        }
    }
}

impl World {
    /// Two ends of a connection.
    pub fn pair(&mut self, key: u64) -> (Handle, Peer) {
        match &self.net {
            Net::Kernel => {
                let (near, far) = peers::tcp_pair();
                (self.port.adopt(near, key).expect("adopts"), Peer::Kernel(far))
            }
            #[cfg(target_os = "linux")]
            Net::Stack { .. } => {
                let listener = self.far_listener();
                self.connected_to(&listener, None, key)
            }
        }
    }

    /// A connection of the near side with itself: both ends are handles of the port.
    pub fn both_ends(&mut self, key: u64) -> (Handle, Handle) {
        match &self.net {
            Net::Kernel => {
                let (left, right) = peers::tcp_pair();
                (self.port.adopt(left, key).expect("adopts"), self.port.adopt(right, key).expect("adopts"))
            }
            #[cfg(target_os = "linux")]
            Net::Stack { .. } => {
                let (listener, to) = self.listener(key);
                let (_, accepted) = self.submit(Op::Accept { listener });
                let left = self.unconnected(key);
                let connected = self.run(Op::Connect { socket: left, address: to.into() });
                connected.result.expect("connects");
                let right = self.take(accepted).payload.into_handle().expect("a connection");
                self.port.close(listener);
                (left, right)
            }
        }
    }

    /// A connection that holds little of what the near side sends: it soon waits for the reader.
    pub fn narrow_pair(&mut self, key: u64) -> (Handle, Peer) {
        match &self.net {
            Net::Kernel => {
                let (near, far) = peers::narrow_pair();
                (self.port.adopt(near, key).expect("adopts"), Peer::Kernel(far))
            }
            #[cfg(target_os = "linux")]
            Net::Stack { host, .. } => {
                let listener = FarListener::Stack(host.listen(|options| options.receive_buffer = 8 << 10));
                self.connected_to(&listener, Some(SocketOption::SendBuffer(16 << 10)), key)
            }
        }
    }

    /// A connection whose near side holds little unread: the peer soon waits for the reader.
    pub fn narrow_reader(&mut self, key: u64) -> (Handle, Peer) {
        match &self.net {
            Net::Kernel => {
                let (far, near) = peers::narrow_pair();
                (self.port.adopt(near, key).expect("adopts"), Peer::Kernel(far))
            }
            #[cfg(target_os = "linux")]
            Net::Stack { host, .. } => {
                let listener = FarListener::Stack(host.listen(|options| options.send_buffer = 16 << 10));
                self.connected_to(&listener, Some(SocketOption::ReceiveBuffer(8 << 10)), key)
            }
        }
    }

    /// A narrow connection that takes no more from the near side.
    pub fn full_pair(&mut self, key: u64) -> (Handle, Peer) {
        if self.net_is_kernels() {
            let (near, far) = peers::narrow_pair();
            while system::try_send(&near, &[0; 4096]).is_ok() {}
            return (self.port.adopt(near, key).expect("adopts"), Peer::Kernel(far));
        }
        let (handle, peer) = self.narrow_pair(key);
        let mut refused = 0;
        self.until("a connection that is full", |world| {
            // What was taken goes out with the turns, and makes room until the peer's window is closed.
            let taken = world.port.try_send_slices(handle, &[IoSlice::new(&[0; 4096])]);
            refused = if taken.is_pending() { refused + 1 } else { 0 };
            refused == 20
        });
        (handle, peer)
    }

    fn net_is_kernels(&self) -> bool {
        matches!(self.net, Net::Kernel)
    }

    /// Connects a socket of the stack, set up so, to the peer.
    #[cfg(target_os = "linux")]
    fn connected_to(&mut self, listener: &FarListener, option: Option<SocketOption>, key: u64) -> (Handle, Peer) {
        let socket = self.unconnected(key);
        if let Some(option) = option {
            self.port.set_option(socket, option).expect("an option");
        }
        let connected = self.run(Op::Connect { socket, address: listener.address().into() });
        connected.result.expect("connects");
        (socket, self.far_accept(listener))
    }

    /// A stream socket that is to be connected.
    pub fn unconnected(&mut self, key: u64) -> Handle {
        match &self.net {
            Net::Kernel => {
                let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
                self.port.adopt(socket.expect("a socket"), key).expect("adopts")
            }
            #[cfg(target_os = "linux")]
            Net::Stack { engine, .. } => {
                self.port.open_socket(*engine, SocketSpec::Stream { local: None }, key).expect("a socket")
            }
        }
    }

    /// A listener, and its address.
    pub fn listener(&mut self, key: u64) -> (Handle, SocketAddr) {
        match &self.net {
            Net::Kernel => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
                let address = listener.local_addr().expect("address");
                (self.port.adopt(listener, key).expect("adopts"), address)
            }
            #[cfg(target_os = "linux")]
            Net::Stack { engine, .. } => {
                let spec = SocketSpec::Listener { local: near(0), backlog: 128, reuse_port: false };
                let listener = self.port.open_socket(*engine, spec, key).expect("listens");
                (listener, self.port.local_addr(listener).expect("bound").ip().expect("of IP"))
            }
        }
    }

    /// A client of the listener at this address. It is connected when the listener's side has done its part.
    pub fn client(&self, to: SocketAddr) -> Peer {
        match &self.net {
            Net::Kernel => Peer::Kernel(TcpStream::connect(to).expect("the backlog has room")),
            #[cfg(target_os = "linux")]
            Net::Stack { host, .. } => Peer::Stack(host.connect(to)),
        }
    }

    /// As [`client`](Self::client), and connected.
    pub fn connected_client(&mut self, to: SocketAddr) -> Peer {
        let client = self.client(to);
        self.until("a connection", |_| match &client {
            Peer::Kernel(_) => true,
            #[cfg(target_os = "linux")]
            Peer::Stack(connection) => connection.is_connected(),
        });
        client
    }

    /// Listens on the other side.
    pub fn far_listener(&mut self) -> FarListener {
        match &self.net {
            Net::Kernel => FarListener::Kernel(TcpListener::bind("127.0.0.1:0").expect("loopback")),
            #[cfg(target_os = "linux")]
            Net::Stack { host, .. } => FarListener::Stack(host.listen(|_| {})),
        }
    }

    /// Takes a connection on the other side.
    #[track_caller]
    pub fn far_accept(&mut self, listener: &FarListener) -> Peer {
        let mut accepted = None;
        self.until("a connection to be accepted", |_| {
            accepted = match listener {
                FarListener::Kernel(listener) => Some(Peer::Kernel(listener.accept().expect("accepts").0)),
                #[cfg(target_os = "linux")]
                FarListener::Stack(listener) => listener.accept().map(Peer::Stack),
            };
            accepted.is_some()
        });
        accepted.expect("until returned")
    }

    /// A socket of datagrams, and its address; with an only peer if one is named.
    pub fn datagrams(&mut self, key: u64, peer: Option<SocketAddr>) -> (Handle, SocketAddr) {
        match &self.net {
            Net::Kernel => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
                if let Some(peer) = peer {
                    socket.connect(peer).expect("connects");
                }
                let address = socket.local_addr().expect("address");
                (self.port.adopt(socket, key).expect("adopts"), address)
            }
            #[cfg(target_os = "linux")]
            Net::Stack { engine, .. } => {
                let socket = self.port.open_socket(*engine, SocketSpec::Datagram { local: near(0) }, key).expect("a socket");
                if let Some(peer) = peer {
                    self.port.connect_socket(socket, peer).expect("connects");
                }
                (socket, self.port.local_addr(socket).expect("bound").ip().expect("of IP"))
            }
        }
    }

    /// A socket of datagrams on the other side.
    pub fn far_datagrams(&self) -> FarDatagrams {
        match &self.net {
            Net::Kernel => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
                socket.set_read_timeout(Some(super::patience())).expect("SO_RCVTIMEO");
                FarDatagrams::Kernel(socket)
            }
            #[cfg(target_os = "linux")]
            Net::Stack { host, .. } => FarDatagrams::Stack(host.datagrams()),
        }
    }

    /// Takes a datagram on the other side; it and its sender.
    #[track_caller]
    pub fn far_receive(&mut self, socket: &FarDatagrams) -> (Vec<u8>, SocketAddr) {
        let mut received = None;
        self.until("a datagram", |_| {
            received = match socket {
                FarDatagrams::Kernel(socket) => {
                    let mut into = [0u8; 2000];
                    let (count, sender) = socket.recv_from(&mut into).expect("arrives");
                    Some((into[..count].to_vec(), sender))
                }
                #[cfg(target_os = "linux")]
                FarDatagrams::Stack(socket) => socket.receive(),
            };
            received.is_some()
        });
        received.expect("until returned")
    }

    /// Reads at the peer until `into` holds `len` bytes, or the stream has ended.
    #[track_caller]
    pub fn read_up_to(&mut self, peer: &Peer, into: &mut Vec<u8>, len: usize) {
        match peer {
            Peer::Kernel(stream) => peers::read_up_to(stream, into, len),
            #[cfg(target_os = "linux")]
            Peer::Stack(_) => self.until("bytes at the peer, or the end", |_| {
                let mut scratch = [0u8; 16 << 10];
                while into.len() < len {
                    let want = scratch.len().min(len - into.len());
                    match peer.try_recv(&mut scratch[..want]) {
                        Err(os::EAGAIN) => return false,
                        Ok(0) | Err(_) => return true,
                        Ok(count) => into.extend_from_slice(&scratch[..count]),
                    }
                }
                true
            }),
        }
    }

    /// Whether a handle is not closed.
    pub fn is_open(&self, handle: Handle) -> bool {
        self.port.kind(handle).is_ok()
    }
}
