//! Requests that say what they ask for, and the latencies of the usual ones apart from those of the rare ones.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::work::{HEAD, REQUEST, Work};
use crate::load::echo::{Echo, pattern};
use crate::load::{Exchange, Generator};

/// One request in so many is a rare one, where there are rare ones.
const RARE: u32 = 100;

/// What requests ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Most of them.
    pub usual: Work,
    /// One in a hundred.
    pub rare: Option<Work>,
}

impl Mixture {
    /// Whether some of them block their thread.
    pub fn blocks(self) -> bool {
        self.usual.blocks() || self.rare.is_some_and(Work::blocks)
    }
}

/// The load of one cell.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What requests ask for.
    pub mixture: Mixture,
    /// Connections, each with one request under way.
    pub connections: usize,
}

/// A loaded server's generator.
pub struct Loaded {
    generator: Generator<Ask>,
    /// Latencies of the usual requests, in nanoseconds.
    usual: Rc<RefCell<Vec<u32>>>,
}

/// What a slice measured.
pub struct Slice {
    /// Answered requests, rare ones included.
    pub requests: u64,
    /// Latencies of the usual ones, in nanoseconds.
    pub latencies: Vec<u32>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Loaded {
    /// Opens the connections.
    ///
    /// # Errors
    /// One could not be opened.
    pub fn connect(addr: SocketAddr, load: Load) -> io::Result<Loaded> {
        let usual = Rc::default();
        let pattern = pattern(REQUEST);
        let ask = |index| Ask::new(load.mixture, pattern.clone(), index, Rc::clone(&usual));
        let generator = Generator::connect(addr, load.connections, ask)?;
        Ok(Loaded { generator, usual })
    }

    /// Loads the server for so long, and until what is under way has been answered.
    ///
    /// # Errors
    /// As [`Generator::run`].
    pub fn run(&mut self, duration: Duration) -> io::Result<Slice> {
        let slice = self.generator.run(duration)?;
        Ok(Slice { requests: slice.requests, latencies: self.usual.take(), elapsed: slice.elapsed })
    }
}

/// One connection's requests.
struct Ask {
    mixture: Mixture,
    /// Bytes behind the head, as of an echo.
    body: Rc<[u8]>,
    /// Counts requests down to the next rare one.
    until_rare: u32,
    random: u32,
    message: [u8; REQUEST],
    rare: bool,
    begun: Instant,
    sent: usize,
    received: usize,
    usual: Rc<RefCell<Vec<u32>>>,
}

impl Ask {
    fn new(mixture: Mixture, body: Rc<[u8]>, index: usize, usual: Rc<RefCell<Vec<u32>>>) -> Ask {
        // Connections must not send their rare requests together: each begins elsewhere in its hundred.
        let until_rare = (index as u32).wrapping_mul(37) % RARE;
        Ask {
            mixture,
            body,
            until_rare,
            random: (index as u32).wrapping_mul(0x9e37_79b9) | 1,
            message: [0; REQUEST],
            rare: false,
            begun: Instant::now(),
            sent: REQUEST,
            received: REQUEST,
            usual,
        }
    }

    /// What the next request asks for.
    fn next(&mut self) -> Work {
        self.rare = false;
        let Some(rare) = self.mixture.rare else { return self.mixture.usual };
        if self.until_rare > 0 {
            self.until_rare -= 1;
            return self.mixture.usual;
        }
        // Between 50 and 150 requests lie between two rare ones, so that connections don't fall into step.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.until_rare = RARE / 2 - 1 + self.random % (RARE + 1);
        self.rare = true;
        rare
    }
}

impl Exchange for Ask {
    fn begin(&mut self) {
        let head = self.next().head();
        let start = self.random as usize % (self.body.len() - REQUEST);
        self.message.copy_from_slice(&self.body[start..start + REQUEST]);
        self.message[..HEAD].copy_from_slice(&head);
        self.random = self.random.rotate_left(5).wrapping_add(0x6d2b_79f5) | 1;
        (self.sent, self.received) = (0, 0);
        self.begun = Instant::now();
    }

    fn advance(&mut self, socket: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<bool> {
        let done = Echo::exchange(&self.message, &mut self.sent, &mut self.received, socket, scratch)?;
        if done && !self.rare {
            self.usual.borrow_mut().push(u32::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    const USUAL: Work = Work { rounds: 1, sleep_us: 0 };
    const LONG: Work = Work { rounds: 0, sleep_us: 2 };

    #[test]
    fn one_in_a_hundred_is_rare() {
        let mixture = Mixture { usual: USUAL, rare: Some(LONG) };
        let mut rare = 0;
        for index in 0..64 {
            let mut ask = Ask::new(mixture, pattern(REQUEST), index, Rc::default());
            rare += (0..2_000).filter(|_| ask.next() == LONG).count();
        }
        assert!((1_152..=1_408).contains(&rare), "{rare} of 128,000");
    }

    #[test]
    fn requests_arrive_whole_and_only_usual_ones_are_timed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut rare, mut all) = ([0; REQUEST], 0_u64, 0_u64);
            while stream.read_exact(&mut request).is_ok() {
                rare += u64::from(Work::of(&request) == Some(LONG));
                all += 1;
                stream.write_all(&request).unwrap();
            }
            (rare, all)
        });
        let mixture = Mixture { usual: USUAL, rare: Some(LONG) };
        let mut loaded = Loaded::connect(addr, Load { mixture, connections: 1 }).unwrap();
        let slice = loaded.run(Duration::from_millis(20)).unwrap();
        drop(loaded);
        let (rare, all) = server.join().unwrap();
        assert_eq!((slice.requests, slice.latencies.len() as u64), (all, all - rare));
    }
}
