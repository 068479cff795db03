//! Echo requests: send bytes, receive the same bytes, compare every one.

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::{Exchange, receive, send, wrong};

/// How far the starting points of successive messages lie apart, so that an answer to an earlier message shows.
const STEP: usize = 61;
/// Distinct starting points.
const SHIFTS: usize = 251;

/// The bytes that messages of one size are cut from, shared by all connections.
pub fn pattern(size: usize) -> Rc<[u8]> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let bytes = (0..size + SHIFTS).map(|_| {
        // xorshift64 (Marsaglia 2003): no short period for a message to repeat.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.collect()
}

/// One connection's echo requests.
pub struct Echo {
    pattern: Rc<[u8]>,
    size: usize,
    shift: usize,
    sent: usize,
    received: usize,
}

impl Echo {
    /// Messages of `size` bytes, at least 1, cut from the `pattern` of that size; `index` tells connections apart.
    pub fn new(pattern: Rc<[u8]>, size: usize, index: usize) -> Echo {
        Echo { pattern, size, shift: index * 7 % SHIFTS, sent: size, received: size }
    }
}

impl Exchange for Echo {
    fn begin(&mut self) {
        self.shift = (self.shift + STEP) % SHIFTS;
        self.sent = 0;
        self.received = 0;
    }

    fn advance(&mut self, socket: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<bool> {
        let message = &self.pattern[self.shift..self.shift + self.size];
        Echo::exchange(message, &mut self.sent, &mut self.received, socket, scratch)
    }
}

impl Echo {
    /// Sends what is left of `message` and receives what is left of its echo, as far as the socket lets; true once that
    /// is whole.
    ///
    /// # Errors
    /// As [`Exchange::advance`].
    pub fn exchange(
        message: &[u8],
        sent: &mut usize,
        received: &mut usize,
        socket: BorrowedFd<'_>,
        scratch: &mut [u8],
    ) -> io::Result<bool> {
        let size = message.len();
        if *sent < size {
            let first = *sent == 0;
            *sent += send(socket, &message[*sent..])?;
            // Sent in one go, so no answer can be there yet: its arrival raises an event of its own.
            if first && *sent == size {
                return Ok(false);
            }
        }
        while *received < size {
            let want = (size - *received).min(scratch.len());
            let Some(count) = receive(socket, &mut scratch[..want])? else {
                return Ok(false);
            };
            if scratch[..count] != message[*received..*received + count] {
                return Err(wrong("the echo differs from what was sent"));
            }
            *received += count;
            if *received > *sent {
                return Err(wrong("the echo is longer than what was sent"));
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::super::{Generator, Slice};
    use super::*;

    /// Serves `count` connections one thread each, passing every chunk through `answer`.
    fn server(count: usize, answer: fn(&mut [u8])) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let connections: Vec<_> = (0..count)
                .map(|_| {
                    let (stream, _) = listener.accept().unwrap();
                    thread::spawn(move || serve(stream, answer))
                })
                .collect();
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        (addr, serving)
    }

    fn serve(mut stream: TcpStream, answer: fn(&mut [u8])) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer(&mut buffer[..count]);
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }

    fn generator(addr: SocketAddr, count: usize, size: usize) -> Generator<Echo> {
        let pattern = pattern(size);
        Generator::connect(addr, count, |index| Echo::new(pattern.clone(), size, index)).unwrap()
    }

    #[test]
    fn every_request_is_answered_and_timed() {
        for size in [1, 64, 16 * 1024, 600_000] {
            let (addr, serving) = server(3, |_| {});
            let mut generator = generator(addr, 3, size);
            for _ in 0..2 {
                let slice = generator.run(Duration::from_millis(20)).unwrap();
                assert!(slice.requests >= 3, "{size}: {}", slice.requests);
                assert_eq!(slice.latencies.len() as u64, slice.requests);
                assert!(slice.elapsed >= Duration::from_millis(20));
            }
            drop(generator);
            serving.join().unwrap();
        }
    }

    #[test]
    fn a_wave_is_one_request_a_connection() {
        let (addr, serving) = server(5, |_| {});
        let mut generator = generator(addr, 5, 64);
        let mut slice = Slice::default();
        for _ in 0..7 {
            generator.wave(&mut slice).unwrap();
        }
        assert_eq!(slice.requests, 35);
        drop(generator);
        serving.join().unwrap();
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let (addr, serving) = server(1, |bytes| *bytes.last_mut().unwrap() ^= 1);
        let error = generator(addr, 1, 64).run(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        serving.join().unwrap();
    }

    #[test]
    fn a_server_that_closes_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(generator(addr, 1, 64).run(Duration::from_millis(20)).is_err());
        serving.join().unwrap();
    }

    #[test]
    fn successive_messages_differ() {
        let pattern = pattern(64);
        let mut echo = Echo::new(pattern.clone(), 64, 0);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..SHIFTS {
            echo.begin();
            assert!(seen.insert(pattern[echo.shift..echo.shift + 64].to_vec()));
        }
    }
}
