//! The load generator: one thread, epoll, each connection sending its next request when the last one is answered.

pub mod echo;
pub mod http;
pub mod udp;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;

/// How long a server may take over one answer before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events taken at once.
const EVENTS: usize = 256;
/// Room for received bytes, shared by all connections.
const SCRATCH: usize = 256 * 1024;

/// One connection's side of a protocol: a request out, its answer in and checked.
pub trait Exchange {
    /// Begins the next request.
    fn begin(&mut self);

    /// Goes as far as the socket lets it, until it would block; true once the answer is complete. `scratch` is room
    /// to receive into, its contents mean nothing.
    ///
    /// # Errors
    /// The socket failed, the peer closed it, or the answer is wrong (`InvalidData`).
    fn advance(&mut self, socket: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<bool>;
}

/// Load on one server, whatever the protocol.
pub trait Load {
    /// Keeps the server busy for `duration`, then lets the requests under way finish.
    ///
    /// # Errors
    /// The server failed, answered wrongly, or stopped answering.
    fn run(&mut self, duration: Duration) -> io::Result<Slice>;

    /// One request from each client, all sent before any answer is awaited. Answers are counted in `slice` as they
    /// come, also if this fails.
    ///
    /// # Errors
    /// As [`Load::run`].
    fn wave(&mut self, slice: &mut Slice) -> io::Result<()>;
}

/// What a stretch of load measured.
#[derive(Debug, Default)]
pub struct Slice {
    /// Answered requests.
    pub requests: u64,
    /// Nanoseconds from request to whole answer, one value a request, at most `u32::MAX`.
    pub latencies: Vec<u32>,
    /// Time from the first request to the last answer.
    pub elapsed: Duration,
}

/// Open connections to one server.
pub struct Generator<E> {
    epoll: rustix::fd::OwnedFd,
    clients: Vec<Client<E>>,
    scratch: Vec<u8>,
}

struct Client<E> {
    socket: TcpStream,
    exchange: E,
    begun: Instant,
    /// A request is under way. Edges may also be reported where none is, and mean nothing then.
    busy: bool,
}

impl<E: Exchange> Generator<E> {
    /// Opens `count` connections, each with the exchange that `exchange` gives it.
    ///
    /// # Errors
    /// A connection could not be opened within 10 s.
    pub fn connect(addr: SocketAddr, count: usize, exchange: impl Fn(usize) -> E) -> io::Result<Generator<E>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let socket = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &socket, EventData::new_u64(index as u64), interest)?;
            clients.push(Client { socket, exchange: exchange(index), begun: Instant::now(), busy: false });
        }
        Ok(Generator { epoll, clients, scratch: vec![0; SCRATCH] })
    }

    /// Keeps every connection busy for `duration`, then lets the requests under way finish.
    ///
    /// # Errors
    /// As [`Exchange::advance`]; `TimedOut` if no answer comes for 30 s.
    pub fn run(&mut self, duration: Duration) -> io::Result<Slice> {
        let mut slice = Slice::default();
        let start = Instant::now();
        let mut under_way = 0;
        for index in 0..self.clients.len() {
            under_way += usize::from(!self.exchange(index, Some(start + duration), &mut slice)?);
        }
        self.finish(under_way, Some(start + duration), &mut slice)?;
        slice.elapsed = start.elapsed();
        Ok(slice)
    }

    /// One request on every connection, all sent before any answer is awaited. Answers are counted in `slice` as
    /// they come, also if this fails.
    ///
    /// # Errors
    /// As [`Generator::run`].
    pub fn wave(&mut self, slice: &mut Slice) -> io::Result<()> {
        let mut under_way = 0;
        for index in 0..self.clients.len() {
            under_way += usize::from(!self.exchange(index, None, slice)?);
        }
        self.finish(under_way, None, slice)
    }

    /// Begins requests on a connection until one is under way or `until` has passed: true, then nothing is.
    fn exchange(&mut self, index: usize, until: Option<Instant>, slice: &mut Slice) -> io::Result<bool> {
        loop {
            let client = &mut self.clients[index];
            client.begun = Instant::now();
            client.exchange.begin();
            client.busy = true;
            if !self.advance(index, slice)? {
                return Ok(false);
            }
            if until.is_none_or(|until| Instant::now() >= until) {
                return Ok(true);
            }
        }
    }

    /// Answers events until nothing is under way, with new requests until `until`.
    fn finish(&mut self, mut under_way: usize, until: Option<Instant>, slice: &mut Slice) -> io::Result<()> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        while under_way > 0 {
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&patience)) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering")),
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                let index = event.data.u64() as usize;
                if !self.advance(index, slice)? {
                    continue;
                }
                let over = until.is_none_or(|until| Instant::now() >= until);
                if over || self.exchange(index, until, slice)? {
                    under_way -= 1;
                }
            }
        }
        Ok(())
    }

    /// Advances one connection; true if that completed the answer to a request under way.
    fn advance(&mut self, index: usize, slice: &mut Slice) -> io::Result<bool> {
        let client = &mut self.clients[index];
        if !client.busy {
            return Ok(false);
        }
        let complete = client.exchange.advance(client.socket.as_fd(), &mut self.scratch)?;
        if complete {
            client.busy = false;
            let nanos = client.begun.elapsed().as_nanos();
            slice.latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
            slice.requests += 1;
        }
        Ok(complete)
    }
}

impl<E: Exchange> Load for Generator<E> {
    fn run(&mut self, duration: Duration) -> io::Result<Slice> {
        Generator::run(self, duration)
    }

    fn wave(&mut self, slice: &mut Slice) -> io::Result<()> {
        Generator::wave(self, slice)
    }
}

/// Sends what fits; 0 if the socket has no room now.
fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Receives what is there; none if nothing is there now.
///
/// # Errors
/// `UnexpectedEof`: the peer has closed the connection.
fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        return match rustix::net::recv(socket, &mut *into, rustix::net::RecvFlags::empty()) {
            Ok((_, 0)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            Ok((_, count)) => Ok(Some(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// An answer that is not what was asked for.
fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answered without asking the socket: what a generator must not count twice.
    struct Instantly;

    impl Exchange for Instantly {
        fn begin(&mut self) {}

        fn advance(&mut self, _: BorrowedFd<'_>, _: &mut [u8]) -> io::Result<bool> {
            Ok(true)
        }
    }

    #[test]
    fn edges_on_idle_connections_mean_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut generator = Generator::connect(listener.local_addr().unwrap(), 3, |_| Instantly).unwrap();
        // Each connection has an edge to report: there is room to send, and here something to receive.
        let mut accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
        accepted.iter_mut().for_each(|stream| stream.write_all(b"unasked").unwrap());
        let mut slice = Slice::default();
        generator.wave(&mut slice).unwrap();
        assert_eq!(slice.requests, 3);
        // Waiting for one more answer sees those edges.
        generator.clients[1].socket.set_nonblocking(false).unwrap();
        generator.clients[1].socket.read_exact(&mut [0; 7]).unwrap();
        generator.clients[1].busy = true;
        generator.finish(1, None, &mut slice).unwrap();
        assert_eq!(slice.requests, 4);
    }
}
