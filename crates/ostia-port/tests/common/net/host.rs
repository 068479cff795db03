//! A host at the other end of a link in memory: a stack that a thread of its own keeps going, as the kernel does its own.
//!
//! Its calls never wait for the port under test, and it makes progress whether that turns or not. But where time is virtual no
//! thread could be waited for: the clock would jump over what that is about to do. There the port itself keeps the host going,
//! as an engine of its own ([`guest`](super::guest)), by the same clock.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ostia_link::{Link, Memory};
use ostia_port::{Port, Remote, VirtualTime, os};
use ostia_stack::{
    Address, Config, Destination, Error, Family, Handle, How, LinkConfig, LinkId, Local, Medium, Options, Stack, State, Transmit,
};

use super::guest::Guest;

/// How long the thread sleeps at most.
const NAP: Duration = Duration::from_secs(1);

/// The host; its thread, if it has one, ends with it.
pub struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    address: IpAddr,
    next_port: Cell<u16>,
}

/// What the thread shares with everybody who has a socket.
pub struct Shared {
    inside: Mutex<Inside>,
    poke: Arc<Poke>,
}

/// Wakes the thread.
#[derive(Default)]
struct Poke {
    poked: Mutex<bool>,
    changed: Condvar,
}

struct Inside {
    stack: Stack,
    link: Memory,
    id: LinkId,
    out: Vec<Transmit>,
    sent: usize,
    clock: Clock,
    ended: bool,
}

/// What time it is for the host.
enum Clock {
    Since(Instant),
    Virtual(VirtualTime),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Poke {
    fn poke(&self) {
        *lock(&self.poked) = true;
        self.changed.notify_one();
    }

    fn wait(&self, most: Duration) {
        let poked = lock(&self.poked);
        let (mut poked, _) =
            self.changed.wait_timeout_while(poked, most, |poked| !*poked).unwrap_or_else(PoisonError::into_inner);
        *poked = false;
    }
}

impl Inside {
    fn now(&self) -> ostia_stack::Instant {
        ostia_stack::Instant(match &self.clock {
            Clock::Since(started) => u64::try_from(started.elapsed().as_nanos()).expect("centuries"),
            Clock::Virtual(time) => time.nanos(),
        })
    }

    /// Takes in what has come, does what is due and sends; answers when there is more to do, if no frame comes before.
    fn turn(&mut self) -> Option<ostia_stack::Instant> {
        let now = self.now();
        let room = self.link.facts().frame_room();
        let mut frames = Vec::new();
        loop {
            let mut frame = self.stack.frame(room);
            // A link that is gone is as good as silent: the port under test has ended before its peers.
            if !matches!(self.link.receive(&mut frame), Ok(true)) {
                self.stack.recycle(frame);
                break;
            }
            frames.push(frame);
        }
        self.stack.input(self.id, frames, now);
        loop {
            if !self.flush() {
                // The link wakes whoever turns the host when it takes some again.
                return None;
            }
            let more = self.stack.poll_transmit(now, &mut self.out);
            if self.out.is_empty() && !more {
                break;
            }
        }
        while self.stack.poll_event().is_some() {}
        Some(self.stack.next_deadline()).filter(|deadline| deadline.is_set())
    }

    /// As [`turn`](Self::turn); how long the thread may sleep.
    fn nap(&mut self) -> Duration {
        let deadline = self.turn();
        deadline.map_or(NAP, |deadline| deadline.since(self.now()).min(NAP))
    }

    /// Gives the link what it takes; whether that was all.
    fn flush(&mut self) -> bool {
        while let Some(transmit) = self.out.get(self.sent) {
            if matches!(self.link.transmit(&transmit.frame), Ok(false)) {
                return false;
            }
            self.sent += 1;
        }
        self.sent = 0;
        self.out.drain(..).for_each(|transmit| self.stack.recycle(transmit.frame));
        true
    }
}

impl Shared {
    /// Calls the stack, and sends what comes of it.
    fn call<T>(&self, what: impl FnOnce(&mut Stack) -> T) -> T {
        let mut inside = lock(&self.inside);
        let result = what(&mut inside.stack);
        inside.turn();
        drop(inside);
        // There may be a new deadline.
        self.poke.poke();
        result
    }

    /// A turn that a port asks for; when it is to ask again.
    pub fn turn(&self) -> Option<u64> {
        lock(&self.inside).turn().map(|deadline| deadline.0)
    }

    /// Has the link wake a port.
    pub fn be_woken_by_link(&self, remote: Remote) {
        lock(&self.inside).link.set_wake(Some(Arc::new(move || remote.wake())));
    }
}

impl Host {
    /// A host with this address at its end of a link, with a thread of its own.
    pub fn new(link: Memory, address: IpAddr, prefix: u8) -> Host {
        let mut host = Host::still(link, address, prefix, Clock::Since(Instant::now()));
        let bell = Arc::clone(&host.shared.poke);
        lock(&host.shared.inside).link.set_wake(Some(Arc::new(move || bell.poke())));
        let run = Arc::clone(&host.shared);
        host.thread = Some(thread::spawn(move || {
            loop {
                let mut inside = lock(&run.inside);
                if inside.ended {
                    break;
                }
                let nap = inside.nap();
                drop(inside);
                run.poke.wait(nap);
            }
        }));
        host
    }

    /// The same in virtual time: the port whose clock that is keeps it going.
    pub fn on(port: &mut Port, time: &VirtualTime, link: Memory, address: IpAddr, prefix: u8) -> Host {
        let host = Host::still(link, address, prefix, Clock::Virtual(time.clone()));
        port.add_engine(Box::new(Guest(Arc::clone(&host.shared))));
        host
    }

    /// A host that nobody keeps going yet.
    fn still(link: Memory, address: IpAddr, prefix: u8, clock: Clock) -> Host {
        let facts = link.facts();
        let config = LinkConfig {
            name: facts.name.clone(),
            medium: Medium::Ip,
            mtu: facts.mtu,
            checksum_offload: facts.checksum_offload,
            gso_max: facts.max_gso,
        };
        let mut seed = [0x5e; 32];
        seed[..8].copy_from_slice(&crate::common::seed().to_le_bytes());
        let mut stack = Stack::new(Config::default(), seed);
        let id = stack.add_link(config).expect("a link");
        stack.add_address(id, Address::from(address), prefix).expect("an address");
        let inside = Inside { stack, link, id, out: Vec::new(), sent: 0, clock, ended: false };
        let shared = Arc::new(Shared { inside: Mutex::new(inside), poke: Arc::default() });
        Host { shared, thread: None, address, next_port: Cell::new(2000) }
    }

    /// Its address with a port.
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Begins a connection.
    pub fn connect(&self, to: SocketAddr) -> Connection {
        let remote = (Address::from(to.ip()), to.port());
        let handle = self.shared.call(|stack| stack.connect(remote)).expect("a route");
        Connection { shared: Arc::clone(&self.shared), handle: Some(handle) }
    }

    /// Listens; connections have the stack's options, but for these changes.
    pub fn listen(&self, change: impl FnOnce(&mut Options)) -> Listener {
        // To a stack port 0 is every port: it has to be named.
        let port = self.next_port.get();
        self.next_port.set(port + 1);
        let handle = self.shared.call(|stack| {
            let mut options = stack.options();
            change(&mut options);
            let local = Local { address: Some(Address::from(self.address)), port };
            stack.listen_with(local, 128, options, None).expect("listens")
        });
        Listener { shared: Arc::clone(&self.shared), handle, address: self.at(port) }
    }

    /// Opens a socket of datagrams.
    pub fn datagrams(&self) -> Datagrams {
        let (handle, port) = self.shared.call(|stack| {
            let handle = stack.open_udp(Family::V4).expect("a socket");
            stack.bind(handle, Some(Address::from(self.address)), 0).expect("a port");
            (handle, stack.datagram_local(handle).expect("bound").1)
        });
        Datagrams { shared: Arc::clone(&self.shared), handle, address: self.at(port) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        lock(&self.shared.inside).ended = true;
        self.shared.poke.poke();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the peer's thread panicked");
        }
    }
}

fn errno(error: Error) -> i32 {
    match error {
        Error::WouldBlock => os::EAGAIN,
        Error::ConnectionReset => os::ECONNRESET,
        Error::ConnectionRefused => os::ECONNREFUSED,
        Error::BrokenPipe => os::EPIPE,
        Error::NotConnected => os::ENOTCONN,
        other => panic!("an error that the tests expect nowhere: {other}"),
    }
}

/// A connection, closed when dropped.
pub struct Connection {
    shared: Arc<Shared>,
    handle: Option<Handle>,
}

impl Connection {
    fn call<T>(&self, what: impl FnOnce(&mut Stack, Handle) -> T) -> T {
        let handle = self.handle.expect("until it is dropped");
        self.shared.call(|stack| what(stack, handle))
    }

    /// Whether both sides know of each other.
    pub fn is_connected(&self) -> bool {
        self.call(|stack, handle| stack.state(handle)) == Ok(State::Established)
    }

    /// Its own address.
    pub fn local_addr(&self) -> SocketAddr {
        let ((address, port), _) = self.call(|stack, handle| stack.addresses(handle)).expect("a connection");
        SocketAddr::new(address.ip(), port)
    }

    /// Receives what is there; EAGAIN if nothing is.
    pub fn try_recv(&self, into: &mut [u8]) -> Result<usize, i32> {
        self.call(|stack, handle| stack.recv(handle, into)).map_err(errno)
    }

    /// Sends what there is room for; EAGAIN if none is.
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize, i32> {
        self.call(|stack, handle| stack.send(handle, bytes)).map_err(errno)
    }

    /// Ends this side's stream.
    pub fn end(&self) {
        self.call(|stack, handle| stack.shutdown(handle, How::Write)).expect("half-closed");
    }

    /// Breaks off.
    pub fn reset(mut self) {
        let handle = self.handle.take().expect("until it is dropped");
        self.shared.call(|stack| stack.abort(handle)).expect("aborted");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            // It may have ended and gone by itself.
            let _ = self.shared.call(|stack| stack.close(handle));
        }
    }
}

/// A listener, closed when dropped.
pub struct Listener {
    shared: Arc<Shared>,
    handle: Handle,
    pub address: SocketAddr,
}

impl Listener {
    /// Takes a connection, if one is there.
    pub fn accept(&self) -> Option<Connection> {
        let handle = self.shared.call(|stack| stack.accept(self.handle)).ok()?;
        Some(Connection { shared: Arc::clone(&self.shared), handle: Some(handle) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.shared.call(|stack| stack.close(self.handle));
    }
}

/// A socket of datagrams, closed when dropped.
pub struct Datagrams {
    shared: Arc<Shared>,
    handle: Handle,
    pub address: SocketAddr,
}

impl Datagrams {
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) {
        let to = Destination { address: Address::from(to.ip()), port: to.port(), zone: 0 };
        self.shared.call(|stack| stack.send_to(self.handle, bytes, Some(to))).expect("sent");
    }

    /// A datagram and its sender, if one has come.
    pub fn receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let datagram = self.shared.call(|stack| stack.receive_from(self.handle)).ok()?;
        let from = SocketAddr::new(datagram.source.ip(), datagram.source_port);
        Some((datagram.frame.as_slice().to_vec(), from))
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        let _ = self.shared.call(|stack| stack.close(self.handle));
    }
}
