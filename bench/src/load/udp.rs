//! Datagrams to echo: connected sockets, each with a few messages under way; what gets lost is sent again and counted.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;

use super::{EVENTS, Load, PATIENCE, Slice, wrong};

/// A message without an answer for this long is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes at the head of each message that number it.
pub const NUMBER: usize = 8;
/// The most that a datagram over IPv4 carries.
pub const LONGEST: usize = 65_507;
/// The lower bits of a number count a peer's messages, those above tell peers apart.
const COUNTING: u32 = 40;

/// What is sent, by how many.
#[derive(Clone)]
pub struct Plan {
    /// Sockets, each of them a peer of the server's.
    pub peers: usize,
    /// Bytes in a message, [`NUMBER`] at least.
    pub size: usize,
    /// Messages that a peer has under way.
    pub window: usize,
    /// The bytes that messages are cut from, as [`pattern`](super::echo::pattern) makes them.
    pub pattern: Rc<[u8]>,
    /// Counts messages that were sent again.
    pub again: Rc<Cell<u64>>,
}

/// Peers of one server.
pub struct Datagrams {
    epoll: rustix::fd::OwnedFd,
    plan: Plan,
    peers: Vec<Peer>,
    message: Vec<u8>,
    scratch: Vec<u8>,
}

struct Peer {
    socket: UdpSocket,
    /// The number of the next message.
    next: u64,
    waiting: Vec<Waiting>,
}

/// A message without an answer so far.
struct Waiting {
    number: u64,
    begun: Instant,
    sent: Instant,
}

impl Datagrams {
    /// Opens the sockets.
    ///
    /// # Errors
    /// A size that no datagram has; what socket(2) and connect(2) say.
    pub fn connect(addr: SocketAddr, plan: Plan) -> io::Result<Datagrams> {
        if !(NUMBER..=LONGEST).contains(&plan.size) {
            let why = format!("messages of {} bytes: {NUMBER} to {LONGEST} are possible", plan.size);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut peers = Vec::with_capacity(plan.peers);
        for index in 0..plan.peers as u64 {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(addr)?;
            socket.set_nonblocking(true)?;
            epoll::add(&epoll, &socket, EventData::new_u64(index), EventFlags::IN)?;
            peers.push(Peer { socket, next: index << COUNTING, waiting: Vec::with_capacity(plan.window) });
        }
        let (message, scratch) = (Vec::with_capacity(plan.size), vec![0; LONGEST]);
        Ok(Datagrams { epoll, plan, peers, message, scratch })
    }

    /// Lays a message out: its number, then bytes that differ from one message to the next.
    fn write(&mut self, number: u64) {
        let Plan { pattern, size, .. } = &self.plan;
        let shifts = pattern.len() - size;
        let shift = (number as usize).wrapping_mul(61) % shifts.max(1);
        self.message.clear();
        self.message.extend_from_slice(&number.to_le_bytes());
        self.message.extend_from_slice(&pattern[shift + NUMBER..shift + size]);
    }

    fn send(&mut self, index: usize, number: u64) -> io::Result<()> {
        self.write(number);
        match self.peers[index].socket.send(&self.message) {
            Ok(_) => Ok(()),
            // No room is a loss like any other.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, index: usize) -> io::Result<()> {
        let now = Instant::now();
        let peer = &mut self.peers[index];
        let number = peer.next;
        peer.next += 1;
        peer.waiting.push(Waiting { number, begun: now, sent: now });
        self.send(index, number)
    }

    /// Takes one answer; true if it was one that is waited for.
    fn receive(&mut self, index: usize, slice: &mut Slice) -> io::Result<Option<bool>> {
        let count = match self.peers[index].socket.recv(&mut self.scratch) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(number) = self.scratch[..count].first_chunk::<NUMBER>().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return Err(wrong("an echo shorter than what was sent"));
        };
        self.write(number);
        let peer = &mut self.peers[index];
        if number >> COUNTING != index as u64 || number >= peer.next || self.scratch[..count] != self.message {
            return Err(wrong("the echo differs from what was sent"));
        }
        // What was sent twice may be answered twice.
        let Some(place) = peer.waiting.iter().position(|waiting| waiting.number == number) else { return Ok(Some(false)) };
        let nanos = peer.waiting.swap_remove(place).begun.elapsed().as_nanos();
        slice.latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        slice.requests += 1;
        Ok(Some(true))
    }

    /// Sends again what has waited for long.
    fn send_again(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for index in 0..self.peers.len() {
            for place in 0..self.peers[index].waiting.len() {
                let waiting = &mut self.peers[index].waiting[place];
                if now - waiting.sent < AGAIN {
                    continue;
                }
                if now - waiting.begun > PATIENCE {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
                }
                waiting.sent = now;
                let number = waiting.number;
                self.plan.again.set(self.plan.again.get() + 1);
                self.send(index, number)?;
            }
        }
        Ok(())
    }

    /// Takes answers until nothing is under way, with new messages until `until`.
    fn finish(&mut self, mut under_way: usize, until: Option<Instant>, slice: &mut Slice) -> io::Result<()> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let patience = Timespec { tv_sec: 0, tv_nsec: AGAIN.as_nanos() as i64 / 2 };
        let mut look = Instant::now() + AGAIN / 2;
        while under_way > 0 {
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&patience)) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let over = until.is_none_or(|until| Instant::now() >= until);
            for event in &events[..count] {
                let index = event.data.u64() as usize;
                // The event comes again for what is left.
                for _ in 0..self.plan.window {
                    match self.receive(index, slice)? {
                        None => break,
                        Some(true) if over => under_way -= 1,
                        Some(true) => self.begin(index)?,
                        Some(false) => {}
                    }
                }
            }
            if Instant::now() >= look {
                self.send_again()?;
                look = Instant::now() + AGAIN / 2;
            }
        }
        Ok(())
    }
}

impl Load for Datagrams {
    fn run(&mut self, duration: Duration) -> io::Result<Slice> {
        let mut slice = Slice::default();
        let start = Instant::now();
        for index in 0..self.peers.len() {
            for _ in 0..self.plan.window {
                self.begin(index)?;
            }
        }
        self.finish(self.peers.len() * self.plan.window, Some(start + duration), &mut slice)?;
        slice.elapsed = start.elapsed();
        Ok(slice)
    }

    fn wave(&mut self, slice: &mut Slice) -> io::Result<()> {
        for index in 0..self.peers.len() {
            self.begin(index)?;
        }
        self.finish(self.peers.len(), None, slice)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, JoinHandle};

    use super::super::echo::pattern;
    use super::*;

    /// Echoes what `answer` lets through, until a message of one byte comes.
    fn server(mut answer: impl FnMut(&mut Vec<u8>) -> usize + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let mut buffer = vec![0; LONGEST];
            loop {
                let (count, from) = socket.recv_from(&mut buffer).unwrap();
                if count == 1 {
                    return;
                }
                let mut message = buffer[..count].to_vec();
                for _ in 0..answer(&mut message) {
                    socket.send_to(&message, from).unwrap();
                }
            }
        });
        (addr, serving)
    }

    fn end((addr, serving): (SocketAddr, JoinHandle<()>)) {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0], addr).unwrap();
        serving.join().unwrap();
    }

    fn load(addr: SocketAddr, peers: usize, size: usize, window: usize) -> Datagrams {
        let plan = Plan { peers, size, window, pattern: pattern(size), again: Rc::default() };
        Datagrams::connect(addr, plan).unwrap()
    }

    #[test]
    fn every_message_is_answered_and_timed() {
        let running = server(|_| 1);
        for (size, window) in [(8, 1), (64, 1), (1_200, 4), (LONGEST, 1)] {
            let mut load = load(running.0, 3, size, window);
            let slice = load.run(Duration::from_millis(20)).unwrap();
            assert!(slice.requests >= 3 * window as u64, "{size}: {}", slice.requests);
            assert_eq!(slice.latencies.len() as u64, slice.requests);
            assert!(load.peers.iter().all(|peer| peer.waiting.is_empty()));
        }
        end(running);
    }

    #[test]
    fn what_is_lost_is_sent_again_and_what_is_answered_twice_counts_once() {
        let mut count = 0;
        let running = server(move |_| {
            count += 1;
            [0, 1, 2][count % 3]
        });
        let mut load = load(running.0, 2, 64, 1);
        let mut slice = Slice::default();
        for _ in 0..3 {
            load.wave(&mut slice).unwrap();
        }
        assert_eq!(slice.requests, 6);
        assert!(load.plan.again.get() > 0);
        drop(load);
        end(running);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        for place in [0, 5, 8, 63] {
            let running = server(move |message| {
                message[place] ^= 1;
                1
            });
            // Of two messages under way the one may not pass for the other.
            let error = load(running.0, 1, 64, 1).wave(&mut Slice::default()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{place}");
            end(running);
        }
    }

    #[test]
    fn a_server_that_is_gone_is_noticed() {
        let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(load(addr, 1, 64, 1).run(Duration::from_millis(20)).is_err());
    }

    #[test]
    fn sizes_that_no_datagram_has_are_refused() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9));
        for size in [7, LONGEST + 1] {
            let plan = Plan { peers: 1, size, window: 1, pattern: pattern(size), again: Rc::default() };
            assert!(Datagrams::connect(addr, plan).is_err());
        }
    }
}
