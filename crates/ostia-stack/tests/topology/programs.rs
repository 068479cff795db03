//! What the programs on the hosts do: streams that are checked byte by byte, datagrams, pings.

use std::time::Duration;

use ostia_stack::{Address, Datagram, Destination, Error, Family, Handle, How, Kind, Local, Socket};

use crate::office::{A, B, Office};

/// The byte at a place of a side's stream.
pub fn byte_at(side: usize, at: usize) -> u8 {
    (at as u64).wrapping_mul(0x9e37_79b9).wrapping_add(side as u64 * 77).rotate_right(11) as u8
}

/// One end of a stream.
pub struct Half {
    pub host: usize,
    pub connection: Option<Handle>,
    listener: Option<Handle>,
    to_send: usize,
    pub sent: usize,
    pub received: usize,
    pub ended: bool,
    shut: bool,
    pub error: Option<Error>,
}

/// A TCP connection from A to B, over which each sends so many bytes.
pub struct Stream {
    pub halves: [Half; 2],
}

impl Stream {
    pub fn new(office: &mut Office, v6: bool, port: u16, bytes: [usize; 2]) -> Stream {
        let to = office.address(B, v6).expect("an address");
        let listener = office.net.stacks[B].listen(Local { address: None, port }, 4).expect("a listener");
        let opener = office.net.stacks[A].connect((to, port)).expect("a route");
        let half = |host: usize, to_send| Half {
            host,
            connection: None,
            listener: None,
            to_send,
            sent: 0,
            received: 0,
            ended: false,
            shut: false,
            error: None,
        };
        let mut halves = [half(A, bytes[0]), half(B, bytes[1])];
        halves[0].connection = Some(opener);
        halves[1].listener = Some(listener);
        Stream { halves }
    }

    /// The programs get to run; whether both have all, or one has failed.
    pub fn work(&mut self, office: &mut Office) -> bool {
        for (number, half) in self.halves.iter_mut().enumerate() {
            half.work(number, office);
        }
        self.halves.iter().all(|half| half.ended && half.shut) || self.halves.iter().any(|half| half.error.is_some())
    }

    /// Whether both streams have arrived whole, and in order.
    pub fn is_whole(&self) -> bool {
        let [a, b] = &self.halves;
        a.received == b.to_send && b.received == a.to_send && self.halves.iter().all(|half| half.error.is_none() && half.ended)
    }

    /// Lets go of everything.
    pub fn close(self, office: &mut Office) {
        for half in self.halves {
            let stack = &mut office.net.stacks[half.host];
            for handle in [half.connection, half.listener].into_iter().flatten() {
                stack.close(handle).expect("open");
            }
        }
    }

    /// Transfers all, closes, and waits until nothing is left.
    pub fn finish(mut self, office: &mut Office) {
        let done = office.run(Duration::from_secs(600), |office| self.work(office));
        let halves = self.halves.iter().map(|half| (half.sent, half.received, half.error)).collect::<Vec<_>>();
        assert!(done && self.is_whole(), "{halves:?}");
        self.close(office);
    }
}

impl Half {
    fn work(&mut self, number: usize, office: &mut Office) {
        let stack = &mut office.net.stacks[self.host];
        while let Some(event) = stack.poll_event() {
            if let (Kind::Failed(error), Socket::Connection) = (event.kind, event.socket.kind()) {
                self.error.get_or_insert(error);
            }
        }
        if let (None, Some(listener)) = (self.connection, self.listener) {
            self.connection = stack.accept(listener).ok();
        }
        let Some(connection) = self.connection else { return };
        let mut buffer = [0; 8 << 10];
        while !self.ended {
            match stack.recv(connection, &mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    for (at, &byte) in buffer[..count].iter().enumerate() {
                        assert_eq!(byte, byte_at(1 - number, self.received + at), "byte {} is another", self.received + at);
                    }
                    self.received += count;
                }
                Err(_) => break,
            }
        }
        while self.sent < self.to_send {
            let count = (self.to_send - self.sent).min(4000);
            let data: Vec<u8> = (self.sent..self.sent + count).map(|at| byte_at(number, at)).collect();
            match stack.send(connection, &data) {
                Ok(count) => self.sent += count,
                Err(_) => break,
            }
        }
        if self.sent == self.to_send && !self.shut {
            self.shut = stack.shutdown(connection, How::Write).is_ok();
        }
    }
}

/// A destination on no particular link.
pub fn to(address: Address, port: u16) -> Destination {
    Destination { address, port, zone: 0 }
}

/// A UDP socket of a host, bound to a port.
pub fn udp(office: &mut Office, host: usize, port: u16) -> Handle {
    let stack = &mut office.net.stacks[host];
    let socket = stack.open_udp(Family::Dual).expect("a socket");
    stack.bind(socket, None, port).expect("a free port");
    socket
}

/// Waits for a datagram, or an error.
pub fn receive(office: &mut Office, host: usize, socket: Handle, limit: Duration) -> Result<Datagram, Error> {
    let mut found = Err(Error::WouldBlock);
    office.run(limit, |office| {
        found = office.net.stacks[host].receive_from(socket);
        !matches!(found, Err(Error::WouldBlock))
    });
    found
}

/// Pings an address: the reply's hop limit, or what went wrong.
pub fn ping(office: &mut Office, from: usize, address: Address, sequence: u16, hop_limit: Option<u8>) -> Result<u8, Error> {
    let stack = &mut office.net.stacks[from];
    let socket = stack.open_ping(address.is_v4()).expect("a socket");
    let mut options = stack.datagram_options(socket).expect("open");
    options.hop_limit = hop_limit;
    stack.set_datagram_options(socket, options).expect("open");
    let sent = stack.send_to(socket, b"are you there?", Some(to(address, sequence)));
    let answer = sent.and_then(|()| receive(office, from, socket, Duration::from_secs(20)));
    office.net.stacks[from].close(socket).expect("open");
    answer.map(|datagram| {
        assert_eq!(
            (datagram.frame.as_slice(), datagram.source, datagram.source_port),
            (&b"are you there?"[..], address, sequence)
        );
        datagram.hop_limit
    })
}
