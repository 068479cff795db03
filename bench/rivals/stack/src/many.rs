//! Many connections between two of Ostia's stacks: what a packet costs when traffic is spread over them, or goes over a few
//! while the others are idle; and how much memory an idle one takes.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use ostia_stack::{Handle, Local};

use crate::pair::{PORT, Pair, SERVER};
use crate::{Failure, processor_time};

/// Connections to one port: fewer than there are ephemeral ports.
const EACH_PORT: usize = 20_000;
/// Connections that are opened at once.
const AT_ONCE: usize = 100;
/// Connections that have their turn together.
const TOGETHER: usize = 10;
/// In so many nanoseconds every connection has its turn once.
const ROUND: u64 = 100_000_000;
/// Two full segments, which are acknowledged at once by one.
const MESSAGE: usize = 2 * 1448;

/// The connections, each with both its ends.
pub struct Many {
    pair: Pair,
    ends: Vec<(Handle, Handle)>,
    listeners: Vec<Handle>,
    /// How many take part; how many of them have had their turn; nanoseconds between turns.
    active: usize,
    next: usize,
    message: Vec<u8>,
    into: Vec<u8>,
}

impl Many {
    /// So many connections, all open.
    pub fn new(count: usize, active: usize) -> Many {
        let pair = Pair::new(1500, |config| {
            config.connections = 1 << 20;
            config.memory = 4 << 30;
        });
        let message = (0..MESSAGE).map(|index| index as u8).collect();
        let mut many =
            Many { pair, ends: Vec::new(), listeners: Vec::new(), active: 0, next: 0, message, into: vec![0; 64 << 10] };
        many.grow(count);
        many.active = active.clamp(1, count);
        many
    }

    /// Opens others until there are so many.
    fn grow(&mut self, count: usize) {
        while self.ends.len() < count {
            let port = PORT + (self.ends.len() / EACH_PORT) as u16;
            let until = count.min((self.ends.len() / EACH_PORT + 1) * EACH_PORT).min(self.ends.len() + AT_ONCE);
            let place = usize::from(port - PORT);
            if self.listeners.len() == place {
                let local = Local { address: None, port };
                self.listeners.push(self.pair.server.stack.listen(local, 2 * AT_ONCE).expect("nobody else listens"));
            }
            let mut opening = HashMap::new();
            for _ in self.ends.len()..until {
                let client = self.pair.client.stack.connect((SERVER.into(), port)).expect("there is a way");
                let (local, _) = self.pair.client.stack.addresses(client).expect("it is there");
                opening.insert(local, client);
            }
            self.pair.now += 1_000_000;
            self.pair.settle();
            while let Ok(server) = self.pair.server.stack.accept(self.listeners[place]) {
                let (_, remote) = self.pair.server.stack.addresses(server).expect("it is there");
                self.ends.push((opening[&remote], server));
            }
            assert_eq!(self.ends.len(), until, "every connection is opened");
            self.drain();
        }
    }

    fn drain(&mut self) {
        while self.pair.client.stack.poll_event().is_some() {}
        while self.pair.server.stack.poll_event().is_some() {}
    }

    /// The next few connections each carry a message one way. How many packets that took.
    fn turn(&mut self) -> u64 {
        let together = TOGETHER.min(self.active);
        self.pair.now += ROUND * together as u64 / self.active as u64;
        let chosen: Vec<usize> = (0..together).map(|index| scattered(self.next + index, self.active)).collect();
        self.next = (self.next + together) % self.active;
        for &index in &chosen {
            let sent = self.pair.client.stack.send(self.ends[index].0, &self.message);
            assert_eq!(sent, Ok(MESSAGE));
        }
        let mut packets = self.pair.forth();
        for &index in &chosen {
            let count = self.pair.server.stack.recv(self.ends[index].1, &mut self.into).expect("it has arrived");
            assert!(self.into[..count] == self.message, "other bytes arrived than were sent");
        }
        packets += self.pair.back();
        for _ in 0..packets {
            let frame = self.pair.server.stack.frame(1500);
            self.pair.client.stack.recycle(frame);
        }
        self.drain();
        packets
    }

    /// Measures for so many milliseconds as each line of standard input says: nanoseconds a packet.
    pub fn obey(&mut self) -> Result<(), Failure> {
        for line in io::stdin().lock().lines() {
            let duration = Duration::from_millis(line?.trim().parse()?);
            let (mut packets, start, begun) = (0, Instant::now(), processor_time());
            while start.elapsed() < duration {
                packets += self.turn();
            }
            println!("{:.3}", (processor_time() - begun).as_nanos() as f64 / packets as f64);
            io::stdout().flush()?;
        }
        Ok(())
    }

    /// So many turns, and how many packets they took: for callgrind.
    pub fn run(&mut self, turns: u64) {
        let packets: u64 = (0..turns).map(|_| self.turn()).sum();
        println!("{packets}");
    }

    /// A message each way on all connections from `first` on, until everything is read and acknowledged and no timer runs.
    fn touch(&mut self, first: usize) {
        let message = &self.message[..1000];
        for ends in self.ends[first..].chunks(TOGETHER) {
            self.pair.now += 1_000_000;
            for &(client, _) in ends {
                assert_eq!(self.pair.client.stack.send(client, message), Ok(message.len()));
            }
            self.pair.settle();
            for &(_, server) in ends {
                assert_eq!(self.pair.server.stack.recv(server, &mut self.into), Ok(message.len()));
                assert_eq!(self.pair.server.stack.send(server, message), Ok(message.len()));
            }
            self.pair.settle();
            for &(client, _) in ends {
                assert_eq!(self.pair.client.stack.recv(client, &mut self.into), Ok(message.len()));
            }
        }
        self.pair.now += 1_000_000_000;
        self.pair.settle();
        self.drain();
        let last = self.pair.client.stack.next_deadline().min(self.pair.server.stack.next_deadline());
        assert!(last > ostia_stack::Instant(self.pair.now + 1_000_000_000), "all timers of connections have stopped");
    }

    /// What one end of a connection takes: bytes allocated, and bytes that the stack counts against its budget.
    pub fn idle(count: usize, allocated: impl Fn() -> usize) -> (f64, f64) {
        let mut many = Many::new(count, count);
        many.touch(0);
        let used = |many: &Many| many.pair.client.stack.memory().used() + many.pair.server.stack.memory().used();
        // The list of ends is the measurement's own.
        let own = |many: &Many| many.ends.capacity() * size_of::<(Handle, Handle)>();
        let before = (allocated() - own(&many), used(&many));
        many.grow(2 * count);
        many.touch(count);
        let after = (allocated() - own(&many), used(&many));
        let each = |more: usize| more as f64 / (2 * count) as f64;
        (each(after.0 - before.0), each(after.1 - before.1))
    }
}

/// The connections in an order without neighbours.
fn scattered(index: usize, count: usize) -> usize {
    // A prime that divides no count of interest.
    (index % count * 7_919) % count
}
