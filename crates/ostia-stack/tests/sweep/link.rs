//! A link between two stacks that does to frames what networks do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ostia_stack::Instant;
use ostia_wire::Frame;

use crate::random::Random;

/// What a link does to frames, in ten thousandths where it is a chance.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Nanoseconds from end to end.
    pub delay: u64,
    /// At most so much more, by chance, without changing the order.
    pub jitter: u64,
    /// Bits a second; 0: no bound.
    pub rate: u64,
    /// Frames that wait for the rate, at most.
    pub queue: usize,
    pub loss: u64,
    /// The chance that a burst of losses begins, and how many frames it takes.
    pub burst: (u64, u64),
    pub reordering: u64,
    pub duplication: u64,
    pub corruption: u64,
}

/// How often each fault occurred.
#[derive(Clone, Copy, Default, Debug)]
pub struct Occurred {
    pub sent: u64,
    pub delivered: u64,
    pub lost: u64,
    pub burst_lost: u64,
    pub overflowed: u64,
    pub reordered: u64,
    pub duplicated: u64,
    pub corrupted: u64,
}

impl Occurred {
    pub fn add(&mut self, other: &Occurred) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.burst_lost += other.burst_lost;
        self.overflowed += other.overflowed;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
    }

    pub fn table(&self) -> [(&'static str, u64); 8] {
        [
            ("frames sent", self.sent),
            ("frames delivered", self.delivered),
            ("lost", self.lost),
            ("lost in a burst", self.burst_lost),
            ("dropped by a full queue", self.overflowed),
            ("reordered", self.reordered),
            ("duplicated", self.duplicated),
            ("corrupted", self.corrupted),
        ]
    }
}

/// A burst is over after so many nanoseconds, however few frames it has met.
const BURST: u64 = 500_000_000;

/// One direction of the link.
pub struct Link {
    faults: Faults,
    random: Random,
    /// On the way: when each arrives, in the order of sending where that is the same.
    way: BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>,
    count: u64,
    /// When the last frame in line has been sent.
    busy_until: u64,
    /// When the last one in order arrives.
    last: u64,
    burst_left: u64,
    burst_ends: u64,
    /// Nothing gets through any more.
    pub cut: bool,
    pub occurred: Occurred,
}

impl Link {
    pub fn new(faults: Faults, seed: u64) -> Link {
        Link {
            faults,
            random: Random::new(seed),
            way: BinaryHeap::new(),
            count: 0,
            busy_until: 0,
            last: 0,
            burst_left: 0,
            burst_ends: 0,
            cut: false,
            occurred: Occurred::default(),
        }
    }

    /// Takes a frame; answers what became of it.
    pub fn send(&mut self, frame: &Frame, now: Instant) -> &'static str {
        self.occurred.sent += 1;
        let mut bytes = frame.as_slice().to_vec();
        if self.cut || self.random.chance(self.faults.loss) {
            self.occurred.lost += 1;
            return "lost";
        }
        if self.burst_ends < now.0 {
            self.burst_left = 0;
        }
        if self.burst_left == 0 && self.random.chance(self.faults.burst.0) {
            self.burst_left = self.random.between(1, self.faults.burst.1.max(1));
            self.burst_ends = now.0 + BURST;
        }
        if self.burst_left > 0 {
            self.burst_left -= 1;
            self.occurred.burst_lost += 1;
            return "lost in a burst";
        }
        let time = (bytes.len() as u64 * 8 * 1_000_000_000).checked_div(self.faults.rate).unwrap_or(0);
        let begins = self.busy_until.max(now.0);
        if time > 0 && (begins - now.0) / time.max(1) >= self.faults.queue as u64 {
            self.occurred.overflowed += 1;
            return "dropped by the queue";
        }
        self.busy_until = begins + time;
        if self.random.chance(self.faults.corruption) && !bytes.is_empty() {
            let at = self.random.between(0, bytes.len() as u64 - 1) as usize;
            bytes[at] ^= 1 << self.random.between(0, 7);
            self.occurred.corrupted += 1;
        }
        let mut arrives = self.busy_until + self.faults.delay;
        if self.random.chance(self.faults.reordering) {
            arrives += self.random.between(1, self.faults.delay.max(2_000_000));
            self.occurred.reordered += 1;
        } else {
            arrives = (arrives + self.random.between(0, self.faults.jitter)).max(self.last);
            self.last = arrives;
        }
        if self.random.chance(self.faults.duplication) {
            self.occurred.duplicated += 1;
            let again = arrives + self.random.between(0, self.faults.delay + 1_000_000);
            self.put(again, bytes.clone());
        }
        self.put(arrives, bytes);
        ""
    }

    fn put(&mut self, arrives: u64, bytes: Vec<u8>) {
        self.count += 1;
        self.way.push(Reverse((arrives, self.count, bytes)));
    }

    /// When the next frame arrives.
    pub fn next(&self) -> Instant {
        self.way.peek().map_or(Instant::NEVER, |Reverse((at, _, _))| Instant(*at))
    }

    /// Those that have arrived.
    pub fn arrived(&mut self, now: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        while self.next() <= now {
            let Some(Reverse((_, _, bytes))) = self.way.pop() else { break };
            self.occurred.delivered += 1;
            frames.push(Frame::from_slice(&bytes));
        }
        frames
    }
}
