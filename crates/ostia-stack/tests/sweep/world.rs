//! Two stacks with a link between them, and two programs that talk over one connection.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ostia_stack::{
    Address, Config, Error, Handle, How, Instant, Keepalive, Kind, LinkConfig, LinkId, Local, Medium, Socket, Stack, State,
};

use ostia_wire::{Frame, Ipv4, Ipv6, Tcp, TcpOptions};

use crate::capture::Capture;
use crate::link::{Faults, Link, Occurred};
use crate::random::Random;

/// In which order the two sides end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// The side that has opened closes when it has sent and received all.
    OpenerFirst,
    /// The other.
    AccepterFirst,
    /// Each when it has sent all, whatever comes from the other.
    BothAtOnce,
    /// The opener ends its stream before it reads anything; the other sends then.
    HalfClosed,
    /// The opener gives up in the middle.
    Aborted,
    /// The opener closes with data unread.
    Unread,
    /// The link is cut in the middle: both must notice by themselves.
    Cut,
}

pub const ENDINGS: [Ending; 7] = [
    Ending::OpenerFirst,
    Ending::AccepterFirst,
    Ending::BothAtOnce,
    Ending::HalfClosed,
    Ending::Aborted,
    Ending::Unread,
    Ending::Cut,
];

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub faults: Faults,
    pub mtu: u32,
    pub buffer: u32,
    pub bytes: [usize; 2],
    pub ending: Ending,
    pub v6: bool,
    pub options: [bool; 3],
    pub simultaneous: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        // Each fault is absent in some worlds, so that each is also seen alone.
        let mut sometimes = |low: u64, high: u64| if random.chance(6_000) { random.between(low, high) } else { 0 };
        let (loss, reordering) = (sometimes(10, 2_000), sometimes(10, 3_000));
        let (duplication, corruption) = (sometimes(10, 1_000), sometimes(1, 100));
        let burst = (sometimes(1, 100), sometimes(2, 20));
        let jitter = sometimes(1, 50_000_000);
        let rate = sometimes(100_000, 100_000_000);
        let ending = ENDINGS[(seed % 7) as usize];
        let most = if loss > 500 || burst.0 > 30 || rate > 0 && rate < 2_000_000 { 60_000 } else { 400_000 };
        Plan {
            faults: Faults {
                delay: random.between(0, 500_000_000),
                jitter,
                rate,
                queue: random.between(4, 200) as usize,
                loss,
                burst,
                reordering,
                duplication,
                corruption,
            },
            mtu: random.pick(&[576, 1280, 1400, 1500, 4000, 9000]),
            buffer: 2048 << random.between(0, 9),
            bytes: [random.between(1, most) as usize, random.between(1, most) as usize],
            ending,
            v6: random.chance(5_000),
            options: [random.chance(7_000), random.chance(7_000), random.chance(8_000)],
            simultaneous: random.chance(1_000),
        }
    }
}

/// The byte at a place of a side's stream.
fn byte_at(side: usize, at: usize) -> u8 {
    (at as u64).wrapping_mul(0x9e37_79b9).wrapping_add(side as u64 * 77).rotate_right(11) as u8
}

struct Side {
    stack: Stack,
    link: LinkId,
    connection: Option<Handle>,
    listener: Option<Handle>,
    to_send: usize,
    sent: usize,
    received: usize,
    /// The peer's stream has ended.
    ended: bool,
    shut: bool,
    closed: bool,
    error: Option<Error>,
}

/// What came of a world.
pub struct Outcome {
    pub occurred: Occurred,
    pub states: BTreeSet<State>,
    pub failed: Option<Error>,
    pub complete: bool,
    pub virtual_secs: u64,
}

pub struct World {
    plan: Plan,
    now: Instant,
    sides: [Side; 2],
    /// From side 0 to side 1, and back.
    links: [Link; 2],
    states: BTreeSet<State>,
    /// Prints every segment.
    trace: bool,
    capture: Option<Capture>,
}

/// A world that isn't over after so long hangs.
const LIMIT: u64 = 6 * 3600;

const PORT: u16 = 8080;
const OPENER_PORT: u16 = 40_000;

fn address(side: usize, v6: bool) -> Address {
    let text = match (side, v6) {
        (0, false) => "10.0.0.1",
        (_, false) => "10.0.0.2",
        (0, true) => "fd00::1",
        (_, true) => "fd00::2",
    };
    text.parse::<IpAddr>().expect("an address").into()
}

impl World {
    pub fn new(plan: Plan, seed: u64, captured: bool) -> World {
        let capture = captured.then(|| Capture::begin(&format!("sweep-{:?}-{seed}", plan.ending))).flatten();
        let mut random = Random::new(seed ^ 0xabcd);
        let mtu = if plan.v6 { plan.mtu.max(1280) } else { plan.mtu };
        let mut side = |number: usize| {
            let mut config = Config::default();
            (config.timestamps, config.sack, config.window_scaling) = plan.options.into();
            (config.receive_buffer, config.send_buffer) = (plan.buffer, plan.buffer);
            let mut stack = Stack::new(config, random.seed());
            let link = LinkConfig { name: format!("side{number}"), medium: Medium::Ip, mtu, checksum_offload: false, gso_max: 0 };
            let link = stack.add_link(link).expect("a link");
            let prefix = if plan.v6 { 64 } else { 24 };
            stack.add_address(link, address(number, plan.v6), prefix).expect("an address");
            Side {
                stack,
                link,
                connection: None,
                listener: None,
                to_send: plan.bytes[number],
                sent: 0,
                received: 0,
                ended: false,
                shut: false,
                closed: false,
                error: None,
            }
        };
        let mut sides = [side(0), side(1)];
        let links = [Link::new(plan.faults.clone(), seed ^ 1), Link::new(plan.faults.clone(), seed ^ 2)];
        let peer = |number: usize| address(1 - number, plan.v6);
        let mut options = sides[0].stack.options();
        // Who waits for data would never hear that the peer has given up.
        options.keepalive = Some(Keepalive { idle: Duration::from_secs(300), ..Keepalive::default() });
        if plan.simultaneous {
            for (number, side) in sides.iter_mut().enumerate() {
                let (from, to) = if number == 0 { (OPENER_PORT, PORT) } else { (PORT, OPENER_PORT) };
                let connection = side.stack.connect_with((peer(number), to), Some((None, from)), None, options);
                side.connection = Some(connection.expect("a connection"));
            }
        } else {
            sides[1].listener =
                Some(sides[1].stack.listen_with(Local { address: None, port: PORT }, 5, options, None).expect("a listener"));
            let connection = sides[0].stack.connect_with((peer(0), PORT), Some((None, OPENER_PORT)), None, options);
            sides[0].connection = Some(connection.expect("a connection"));
        }
        World {
            plan,
            now: Instant(1_000_000_000),
            sides,
            links,
            states: BTreeSet::new(),
            trace: std::env::var("OSTIA_WORLD").is_ok(),
            capture,
        }
    }

    /// Runs the world to its end.
    pub fn run(mut self) -> Outcome {
        let begin = self.now;
        loop {
            self.exchange();
            for number in 0..2 {
                self.work(number);
            }
            self.note_states();
            self.exchange();
            if self.sides.iter().all(|side| side.closed) && self.is_quiet() {
                break;
            }
            let next = self.next();
            assert!(next.is_set(), "nothing is due, and yet it isn't over: {}", self.describe());
            assert!(next.since(begin).as_secs() < LIMIT, "it goes on and on: {}", self.describe());
            self.now = next.max(self.now);
            let arrived: Vec<_> = self.links.iter_mut().map(|link| link.arrived(self.now)).collect();
            for (direction, frames) in arrived.into_iter().enumerate() {
                let side = &mut self.sides[1 - direction];
                side.stack.input(side.link, frames, self.now);
            }
        }
        self.finish(begin)
    }

    /// Moves what the stacks send onto the link.
    fn exchange(&mut self) {
        for (number, (side, link)) in self.sides.iter_mut().zip(&mut self.links).enumerate() {
            let mut out = Vec::new();
            while side.stack.poll_transmit(self.now, &mut out) {}
            for transmit in out {
                let fate = link.send(&transmit.frame, self.now);
                if let Some(capture) = &mut self.capture {
                    capture.sent(number, self.now, transmit.frame.as_slice(), fate);
                }
                if self.trace {
                    println!("{:?} {number}> {} {fate}", self.now, describe(&transmit.frame));
                }
            }
        }
    }

    fn next(&mut self) -> Instant {
        let stacks = self.sides.iter_mut().map(|side| side.stack.next_deadline()).min().unwrap_or(Instant::NEVER);
        self.links.iter().map(Link::next).fold(stacks, Instant::min)
    }

    fn is_quiet(&mut self) -> bool {
        self.next() == Instant::NEVER
    }

    /// What a program does when it gets to run.
    fn work(&mut self, number: usize) {
        let (ending, now_cut) = (self.plan.ending, self.sides[0].sent * 2 > self.plan.bytes[0]);
        if ending == Ending::Cut && now_cut {
            for link in &mut self.links {
                link.cut = true;
            }
        }
        let side = &mut self.sides[number];
        while let Some(event) = side.stack.poll_event() {
            if let Kind::Failed(error) = event.kind
                && event.socket.kind() == Socket::Connection
            {
                side.error = Some(error);
            }
        }
        if let (None, Some(listener)) = (side.connection, side.listener)
            && let Ok(connection) = side.stack.accept(listener)
        {
            side.connection = Some(connection);
        }
        let Some(connection) = side.connection else {
            // Nobody ever comes once the other side has given up.
            let other_failed = self.sides[1 - number].closed;
            let side = &mut self.sides[number];
            if other_failed && !side.closed {
                side.close_listener();
                side.closed = true;
            }
            return;
        };
        if side.closed {
            return;
        }
        let leaves_unread = number == 0 && (ending == Ending::Unread || ending == Ending::HalfClosed && !side.shut);
        if !leaves_unread {
            side.read(number, connection);
        }
        if !(ending == Ending::HalfClosed && number == 1 && !side.ended) {
            side.write(number, connection);
        }
        let all_sent = side.sent == side.to_send;
        let done = match ending {
            _ if side.error.is_some() => true,
            Ending::OpenerFirst | Ending::AccepterFirst => {
                let first = usize::from(ending == Ending::AccepterFirst);
                if number == first { all_sent && side.received == self.plan.bytes[1 - number] } else { all_sent && side.ended }
            }
            Ending::BothAtOnce => {
                side.shut(connection, all_sent);
                all_sent && side.ended
            }
            Ending::HalfClosed => {
                side.shut(connection, all_sent);
                all_sent && side.ended
            }
            Ending::Aborted if number == 0 => side.sent * 2 >= side.to_send,
            Ending::Unread if number == 0 => {
                let mut byte = [0];
                side.stack.peek(connection, &mut byte) == Ok(1)
            }
            Ending::Aborted | Ending::Unread => side.ended,
            Ending::Cut => side.ended && all_sent,
        };
        if done {
            let result = match ending {
                Ending::Aborted if number == 0 => side.stack.abort(connection),
                _ => side.stack.close(connection),
            };
            result.expect("an open handle");
            side.close_listener();
            side.closed = true;
        }
    }

    fn note_states(&mut self) {
        for side in &self.sides {
            let (_, half_open, time_waits) = side.stack.census();
            if half_open > 0 {
                self.states.insert(State::SynReceived);
            }
            if time_waits > 0 {
                self.states.insert(State::TimeWait);
            }
            for handle in [side.connection, side.listener].into_iter().flatten() {
                self.states.insert(side.stack.state(handle).unwrap_or(State::Closed));
            }
            self.states.extend(side.stack.states());
        }
    }

    fn describe(&self) -> String {
        let sides = self.sides.iter().map(|side| {
            let state = side.connection.map(|connection| side.stack.tcp_info(connection));
            format!(
                "sent {}/{}, received {}, ended {}, closed {}, error {:?}, states {:?}, {state:?}",
                side.sent,
                side.to_send,
                side.received,
                side.ended,
                side.closed,
                side.error,
                side.stack.states().collect::<Vec<_>>()
            )
        });
        format!("at {:?}: {}; plan {:?}", self.now, sides.collect::<Vec<_>>().join(" | "), self.plan)
    }

    /// Checks that everything is as it must be at the end.
    fn finish(mut self, begin: Instant) -> Outcome {
        if let Some(capture) = self.capture.take() {
            capture.end();
        }
        let mut occurred = Occurred::default();
        for link in &self.links {
            occurred.add(&link.occurred);
        }
        for side in &self.sides {
            assert_eq!(side.stack.census(), (0, 0, 0), "records are left: {}", self.describe());
            assert_eq!(side.stack.memory().used(), 0, "memory is left: {}", self.describe());
        }
        let failed = self.sides.iter().find_map(|side| side.error);
        let complete = (0..2).all(|number| self.sides[number].received == self.plan.bytes[1 - number]);
        self.judge(complete);
        let virtual_secs = self.now.since(begin).as_secs();
        Outcome { occurred, states: self.states, failed, complete, virtual_secs }
    }

    /// Each stream has arrived whole, or the programs know why not.
    fn judge(&self, complete: bool) {
        let errors = [self.sides[0].error, self.sides[1].error];
        let timed_out = errors.contains(&Some(Error::TimedOut));
        match self.plan.ending {
            Ending::OpenerFirst | Ending::AccepterFirst | Ending::BothAtOnce | Ending::HalfClosed => {
                // With so many losses an opening may time out, or a last acknowledgment not get through.
                assert!(complete || timed_out || errors != [None, None], "incomplete without a word: {}", self.describe());
                if !complete {
                    let lossy = self.plan.faults.loss + self.plan.faults.burst.0 > 0;
                    assert!(lossy, "a path that loses nothing failed: {}", self.describe());
                }
            }
            Ending::Aborted | Ending::Unread => {
                let told = [
                    None,
                    Some(Error::ConnectionReset),
                    Some(Error::TimedOut),
                    Some(Error::BrokenPipe),
                    Some(Error::ConnectionRefused),
                ];
                assert!(errors.iter().all(|error| told.contains(error)), "{errors:?}: {}", self.describe());
            }
            Ending::Cut => {
                assert!(timed_out || complete, "a cut wire went unnoticed: {}", self.describe());
            }
        }
    }
}

/// A segment in a line, as tcpdump has it.
fn describe(frame: &Frame) -> String {
    let bytes = frame.as_slice();
    let payload = match bytes.first().map(|byte| byte >> 4) {
        Some(4) => Ipv4::parse(bytes).map(|packet| packet.payload()),
        _ => Ipv6::parse(bytes).map(|packet| packet.payload()),
    };
    match payload.and_then(Tcp::parse) {
        Ok(tcp) => format!(
            "{} seq {} len {} ack {} win {} {:?}",
            tcp.flags(),
            tcp.sequence(),
            tcp.payload().len(),
            tcp.acknowledgment(),
            tcp.window(),
            TcpOptions::parse(tcp.option_bytes()).map(|options| options.sack)
        ),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

impl Side {
    fn read(&mut self, number: usize, connection: Handle) {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stack.recv(connection, &mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(count) => {
                    for (at, &byte) in buffer[..count].iter().enumerate() {
                        assert_eq!(byte, byte_at(1 - number, self.received + at), "byte {} is another", self.received + at);
                    }
                    self.received += count;
                }
                Err(Error::WouldBlock) => break,
                Err(error) => {
                    self.error.get_or_insert(error);
                    break;
                }
            }
        }
    }

    fn write(&mut self, number: usize, connection: Handle) {
        while self.sent < self.to_send && !self.shut {
            let count = (self.to_send - self.sent).min(5000);
            let data: Vec<u8> = (self.sent..self.sent + count).map(|at| byte_at(number, at)).collect();
            match self.stack.send(connection, &data) {
                Ok(count) => self.sent += count,
                Err(Error::WouldBlock) => break,
                Err(error) => {
                    self.error.get_or_insert(error);
                    break;
                }
            }
        }
    }

    fn shut(&mut self, connection: Handle, when: bool) {
        if when && !self.shut {
            self.shut = true;
            // It may have failed meanwhile; then an error says so.
            let _ = self.stack.shutdown(connection, How::Write);
        }
    }

    fn close_listener(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.stack.close(listener).expect("an open listener");
        }
    }
}
