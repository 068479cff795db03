//! SYNs from everywhere against one of Ostia's stacks: whether others still get through, and what one costs.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use ostia_stack::{Config, Handle, Instant, Local, Stack};
use ostia_wire::{Flags, Frame, Ipv4Emit, TcpEmit, TcpOptions, Timestamps, tcp};

use crate::pair::{CLIENT, PORT, Pair, SERVER, Side};
use crate::processor_time;

/// SYNs that arrive at once, where their cost is measured.
const BATCH: u64 = 200;
/// Nanoseconds from one batch to the next.
const STEP: u64 = 1_000_000;
/// Steps that a flood takes.
const STEPS: u64 = 1_000;
/// Connections that others open meanwhile, and what each carries.
const LEGITIMATE: usize = 100;
const BYTES: usize = 1 << 20;
/// What the server's stack may keep.
const BUDGET: usize = 16 << 20;

/// What a SYN meets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Queues {
    /// Room in the SYN queue for all of them, in measurements of cost; otherwise the usual queues.
    Open,
    /// A full SYN queue.
    Full,
    /// An accept queue that is full because the program accepts late.
    Late,
}

impl FromStr for Queues {
    type Err = String;

    fn from_str(name: &str) -> Result<Queues, String> {
        match name {
            "open" => Ok(Queues::Open),
            "full" => Ok(Queues::Full),
            "late" => Ok(Queues::Late),
            _ => Err("choose open, full or late".to_owned()),
        }
    }
}

#[derive(Clone, Copy)]
pub struct Plan {
    pub syns: u64,
    pub cookies: bool,
    pub state: Queues,
}

/// xorshift64* (Vigna 2016), seeded: the same flood every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// A SYN as Linux sends them, from a random address of an eighth of the Internet, and port.
fn syn(random: &mut Random, mut frame: Frame) -> Frame {
    let (who, what) = (random.next(), random.next());
    let source = Ipv4Addr::from(0x4000_0000 | (who as u32 & 0x1fff_ffff));
    let header = TcpEmit {
        source_port: 1024 | (who >> 32) as u16,
        destination_port: PORT,
        sequence: what as u32,
        flags: Flags::SYN,
        window: 64_240,
        options: TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: (what >> 32) as u32, echo: 0 }),
            ..TcpOptions::default()
        },
        ..TcpEmit::default()
    };
    let len = header.header_len();
    header.emit(frame.push_front(len));
    tcp::finish_checksum(frame.as_mut_slice(), source.into(), SERVER.into());
    let emit = Ipv4Emit {
        source,
        destination: SERVER,
        protocol: 6,
        ttl: 55,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        options: &[],
    };
    emit.emit(frame.push_front(20), len);
    frame
}

/// What became of the others.
pub struct Outcome {
    /// Connections that carried all their bytes.
    pub served: usize,
    /// SYNs that they had to send again.
    pub again: u64,
    /// The most memory that the server's stack kept.
    pub peak: usize,
    /// What it kept when all timers had run out.
    pub left: usize,
    /// Seconds until the last was served, as the stacks have it.
    pub seconds: f64,
}

/// Lets the flood go on while others open connections.
pub fn siege(plan: Plan) -> Outcome {
    let mut pair = Pair::new(1500, |config| {
        config.syn_cookies = plan.cookies;
        config.memory = BUDGET;
    });
    // The clients' own memory is not what is measured.
    pair.client = Side::new(CLIENT, 1500, Config::default());
    pair.server.stack.add_route(Ipv4Addr::UNSPECIFIED.into(), 0, None, pair.server.link, 0).expect("a route");
    let backlog = if plan.state == Queues::Late { 2 } else { 128 };
    let listener = pair.server.stack.listen(Local { address: None, port: PORT }, backlog).expect("nobody else listens");
    let mut random = Random(0x5eed);
    let (mut sent, mut served, mut looks) = (0, 0, 0);
    let mut clients: Vec<(Handle, usize)> = Vec::new();
    let mut servers: Vec<(Handle, usize)> = Vec::new();
    let (payload, mut into, mut out) = (vec![7; BYTES], vec![0; 64 << 10], Vec::new());
    let begun = pair.now;
    // Without cookies the last may have to wait until the bogus ones have timed out.
    while served < LEGITIMATE && pair.now - begun < 300_000_000_000 {
        pair.now += if sent < plan.syns { STEP } else { 10 * STEP };
        let now = Instant(pair.now);
        if clients.len() < LEGITIMATE && sent >= plan.syns / LEGITIMATE as u64 * clients.len() as u64 {
            clients.push((pair.client.stack.connect(Pair::target()).expect("there is a way"), 0));
        }
        let batch = plan.syns.div_ceil(STEPS).min(plan.syns - sent);
        sent += batch;
        let stack = &mut pair.server.stack;
        let flood: Vec<Frame> = (0..batch).map(|_| syn(&mut random, Frame::new(0))).collect();
        stack.input(pair.server.link, flood, now);
        if pair.now >= looks {
            // A program that accepts late looks 14 to 20 times a second only.
            looks = pair.now + if plan.state == Queues::Late { 50_000_000 + random.next() % 20_000_000 } else { 0 };
            while let Ok(connection) = stack.accept(listener) {
                servers.push((connection, 0));
            }
        }
        servers.retain_mut(|(connection, count)| {
            loop {
                match stack.recv(*connection, &mut into) {
                    Ok(0) => {
                        assert_eq!(*count, BYTES, "all bytes of a connection arrive");
                        served += 1;
                        stack.close(*connection).expect("it is there");
                        break false;
                    }
                    Ok(more) => *count += more,
                    Err(_) => break true,
                }
            }
        });
        for (connection, count) in &mut clients {
            while *count < BYTES
                && let Ok(more) = pair.client.stack.send(*connection, &payload[*count..])
            {
                *count += more;
                if *count == BYTES {
                    let _ = pair.client.stack.shutdown(*connection, ostia_stack::How::Write);
                }
            }
        }
        pair.forth();
        // What goes to those that don't exist is lost.
        while pair.server.stack.poll_transmit(now, &mut out) {}
        let to_client = out.drain(..).map(|transmit| transmit.frame).filter(|frame| is_to(frame, CLIENT));
        pair.client.stack.input(pair.client.link, to_client.collect::<Vec<_>>(), now);
        while pair.client.stack.poll_event().is_some() {}
        while pair.server.stack.poll_event().is_some() {}
    }
    let seconds = (pair.now - begun) as f64 / 1e9;
    let (peak, again) = (pair.server.stack.memory().peak(), pair.client.stack.counters().syn_retrans);
    for _ in 0..2_000 {
        pair.now += 1_000_000_000;
        while pair.server.stack.poll_transmit(Instant(pair.now), &mut out) {}
        out.clear();
    }
    Outcome { served, again, peak, left: pair.server.stack.memory().used(), seconds }
}

fn is_to(frame: &Frame, address: Ipv4Addr) -> bool {
    frame.as_slice().get(16..20) == Some(&address.octets()[..])
}

/// A stack, and what the flood needs to hit it.
pub struct Cost {
    stack: Stack,
    link: ostia_stack::LinkId,
    random: Random,
    now: u64,
    out: Vec<ostia_stack::Transmit>,
    /// Whether the SYNs are made but not given to the stack: for the difference.
    pub dry: bool,
}

impl Cost {
    pub fn new(plan: Plan) -> Cost {
        let pair = Pair::new(1500, |config| {
            config.syn_cookies = plan.cookies;
            config.syn_queue = if plan.state == Queues::Open { 1 << 24 } else { 1 };
            config.memory = 4 << 30;
        });
        let (mut side, mut client) = (pair.server, pair.client);
        side.stack.add_route(Ipv4Addr::UNSPECIFIED.into(), 0, None, side.link, 0).expect("a route");
        side.stack.listen(Local { address: None, port: PORT }, 1).expect("nobody else listens");
        let mut cost =
            Cost { stack: side.stack, link: side.link, random: Random(0x5eed), now: pair.now, out: Vec::new(), dry: false };
        if plan.state == Queues::Late {
            let mut frames = Vec::new();
            for _ in 0..3 {
                let _ = client.stack.connect(Pair::target());
                cost.now += STEP;
                client.stack.poll_transmit(Instant(cost.now), &mut frames);
                let link = cost.link;
                cost.stack.input(link, frames.drain(..).map(|transmit| transmit.frame), Instant(cost.now));
                cost.stack.poll_transmit(Instant(cost.now), &mut frames);
                client.stack.input(client.link, frames.drain(..).map(|transmit| transmit.frame), Instant(cost.now));
                client.stack.poll_transmit(Instant(cost.now), &mut frames);
                cost.stack.input(link, frames.drain(..).map(|transmit| transmit.frame), Instant(cost.now));
            }
        }
        // The one place in the queue, and what else happens once.
        cost.batch();
        cost
    }

    /// A batch of SYNs; the processor time that the stack took for them.
    pub fn batch(&mut self) -> Duration {
        let Cost { stack, link, random, now, out, dry } = self;
        *now += STEP;
        let frames: Vec<Frame> = (0..BATCH).map(|_| syn(random, stack.frame(0))).collect();
        let begun = processor_time();
        if *dry {
            frames.into_iter().for_each(|frame| stack.recycle(frame));
            return Duration::ZERO;
        }
        stack.input(*link, frames, Instant(*now));
        stack.poll_transmit(Instant(*now), out);
        let took = processor_time() - begun;
        out.drain(..).for_each(|transmit| stack.recycle(transmit.frame));
        took
    }

    /// Nanoseconds that each of so many SYNs costs.
    pub fn nanos(&mut self, syns: u64) -> f64 {
        let batches = (syns / BATCH).max(1);
        let total: Duration = (0..batches).map(|_| self.batch()).sum();
        total.as_nanos() as f64 / (batches * BATCH) as f64
    }
}
