//! Two stacks, an Ethernet link and a clock, all in memory, and the two programs that talk over them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ostia_stack::{Address, Config, Error, Handle, Instant, Kind, LinkConfig, LinkId, Local, Medium, Stack, Step};
use ostia_wire::{Frame, MacAddr};

use super::story::{Again, CLIENT, Entry, Host, NAMES, Plan, SERVER, Segment, Sent, Story, What, segment_of_frame};
use crate::args::Closing;
use crate::errors::Failure;

/// How long a frame is on its way.
const DELAY: Duration = Duration::from_millis(10);
/// The longest IP packet on the link: that of Ethernet (RFC 894).
const MTU: u32 = 1500;
/// The port that the server listens on.
const PORT: u16 = 7000;
/// How long the programs wait between what they have done and what they do next, so that one can be told from the other.
const PAUSE: Duration = Duration::from_millis(100);
/// Before the story: time for each host to see that nobody else has its address.
const PRELUDE: Duration = Duration::from_secs(30);
/// A story is over after so long, whatever happens in it: TCP gives up long before.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

type Log = Arc<Mutex<Vec<Entry>>>;

/// One host and its program.
struct Side {
    stack: Stack,
    link: LinkId,
    connection: Option<Handle>,
    received: usize,
    /// The peer's stream has ended.
    ended: bool,
    /// Its program has let go of the connection, or will never have one.
    done: bool,
    /// What the stack had counted when it last sent: retransmissions, timeouts, SYNs again, recoveries.
    counted: [u64; 4],
    /// Behind the last octet that it has sent.
    sent_to: Option<u32>,
}

/// How far the programs have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// The client has asked for a connection.
    Open,
    /// It has sent.
    Send,
    /// Everything has arrived; the end begins at this time.
    Rest(Instant),
    /// The end has begun.
    Close,
}

/// On its way: when it arrives, its place among the frames, to whom.
type OnTheWay = Reverse<(Instant, usize, usize)>;

struct World {
    plan: Plan,
    now: Instant,
    sides: [Side; 2],
    way: BinaryHeap<OnTheWay>,
    frames: Vec<Sent>,
    /// The number of the last frame; none before the story begins.
    number: Option<usize>,
    log: Log,
    act: Act,
}

/// The address of a side.
fn address(side: usize, v6: bool) -> Address {
    let ip: IpAddr = match (side, v6) {
        (CLIENT, false) => [192, 0, 2, 1].into(),
        (_, false) => [192, 0, 2, 2].into(),
        (CLIENT, true) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
        (_, true) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2].into(),
    };
    ip.into()
}

fn mac(side: usize) -> MacAddr {
    // Locally administered, so nobody's (IEEE 802, 8.4).
    MacAddr([0x02, 0, 0, 0, 0, side as u8 + 1])
}

/// A seed for one side.
fn seed(plan: &Plan, side: usize) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
    seed[8] = side as u8;
    seed
}

/// Has it all happen, and tells of it.
///
/// # Errors
/// When a frame is to be lost that is never sent.
pub fn tell(plan: &Plan) -> Result<Story, Failure> {
    let mut world = World::new(plan).map_err(|error| impossible("the hosts can't be set up", error))?;
    world.before();
    let begin = world.now;
    world.open().map_err(|error| impossible("the connection can't be asked for", error))?;
    world.run(begin);
    let last = world.number.unwrap_or(0);
    if let Some(&never) = plan.lose.iter().find(|&&number| number > last) {
        return Err(Failure::usage(
            format!("--lose {never}: there is no such frame, for the story has {last}"),
            "choose a number that stands in brackets in the diagram",
        ));
    }
    Ok(world.story(begin))
}

/// What can't fail has failed.
fn impossible(what: &str, error: Error) -> Failure {
    Failure::new(format!("{what}: {error}"), "report this")
}

impl World {
    fn new(plan: &Plan) -> Result<World, Error> {
        let log = Log::default();
        let side = |number: usize| {
            let mut stack = Stack::new(Config::default(), seed(plan, number));
            let link = stack.add_link(LinkConfig {
                name: NAMES[number].to_owned(),
                medium: Medium::Ethernet(mac(number)),
                mtu: MTU,
                checksum_offload: false,
                gso_max: 0,
            })?;
            stack.add_address(link, address(number, plan.v6), if plan.v6 { 64 } else { 24 })?;
            let (connection, counted) = (None, [0; 4]);
            Ok(Side { stack, link, connection, received: 0, ended: false, done: false, counted, sent_to: None })
        };
        Ok(World {
            plan: plan.clone(),
            now: Instant(1),
            sides: [side(CLIENT)?, side(SERVER)?],
            way: BinaryHeap::new(),
            frames: Vec::new(),
            number: None,
            log,
            act: Act::Open,
        })
    }

    /// Until both addresses can be used, and nothing more is said of them.
    fn before(&mut self) {
        let end = self.now + PRELUDE;
        self.exchange();
        while self.step(end) {
            self.exchange();
        }
        self.now = end;
        self.number = Some(0);
        for (number, side) in self.sides.iter_mut().enumerate() {
            // Calls take the time of the last turn.
            side.stack.poll_transmit(end, &mut Vec::new());
            let log = Arc::clone(&self.log);
            side.stack.set_tracer(Some(Box::new(move |at, step| {
                if let Some(what) = what(step) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(Entry { at, side: number, what });
                }
            })));
        }
    }

    fn note(&self, side: usize, what: What) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Entry { at: self.now, side, what });
    }

    fn call(&self, side: usize, call: impl Into<String>) {
        self.note(side, What::Call(call.into()));
    }

    fn open(&mut self) -> Result<(), Error> {
        self.call(SERVER, "listen()");
        self.sides[SERVER].stack.listen(Local { address: None, port: PORT }, 1)?;
        self.call(CLIENT, "connect()");
        let connection = self.sides[CLIENT].stack.connect((address(SERVER, self.plan.v6), PORT))?;
        self.sides[CLIENT].connection = Some(connection);
        Ok(())
    }

    fn run(&mut self, begin: Instant) {
        let limit = begin + LIMIT;
        loop {
            self.exchange();
            self.work();
            self.exchange();
            let over = |side: &Side| side.done && side.stack.census() == (0, 0, 0);
            if self.way.is_empty() && self.sides.iter().all(over) || !self.step(limit) {
                return;
            }
        }
    }

    /// Lets time go on to the next thing that happens; false if that is not before `limit`.
    fn step(&mut self, limit: Instant) -> bool {
        let stacks = self.sides.iter_mut().map(|side| side.stack.next_deadline()).min().unwrap_or(Instant::NEVER);
        let arrival = self.way.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
        let pause = match self.act {
            Act::Rest(until) => until,
            _ => Instant::NEVER,
        };
        let next = stacks.min(arrival).min(pause);
        if !next.is_set() || next > limit {
            return false;
        }
        self.now = next.max(self.now);
        while let Some(&Reverse((at, place, to))) = self.way.peek()
            && at <= self.now
        {
            self.way.pop();
            let Some(frame) = self.frames.get(place).map(|sent| Frame::from_slice(&sent.bytes)) else { continue };
            self.note_frame(to, What::Arrived(place));
            let side = &mut self.sides[to];
            side.stack.input(side.link, [frame], self.now);
        }
        true
    }

    fn note_frame(&self, side: usize, what: What) {
        if self.number.is_some() {
            self.note(side, what);
        }
    }

    /// Puts on the link what the stacks send.
    fn exchange(&mut self) {
        for from in [CLIENT, SERVER] {
            let mut out = Vec::new();
            while self.sides[from].stack.poll_transmit(self.now, &mut out) {}
            let kind = self.sides[from].kind_of_retransmission();
            for transmit in out {
                let bytes = transmit.frame.as_slice().to_vec();
                let number = self.number.map(|number| number + 1);
                self.number = number;
                let lost = number.is_some_and(|number| self.plan.lose.contains(&number));
                let segment = segment_of_frame(&bytes);
                let again =
                    segment.filter(|segment| self.sides[from].has_sent(segment)).map(|_| kind.unwrap_or(Again::Handshake));
                let place = self.frames.len();
                self.frames.push(Sent { number: number.unwrap_or(0), from, at: self.now, lost, again, bytes });
                self.note_frame(from, What::Sent(place));
                if !lost {
                    self.way.push(Reverse((self.now + DELAY, place, 1 - from)));
                }
            }
        }
    }

    /// The programs get to run.
    fn work(&mut self) {
        for side in [CLIENT, SERVER] {
            self.hear(side);
        }
        match self.act {
            Act::Open if self.sides[CLIENT].done => {}
            Act::Open => self.send(),
            Act::Send => {
                let all = self.sides[SERVER].received >= self.plan.text.len();
                if all && self.is_settled() {
                    self.act = Act::Rest(self.now + PAUSE);
                }
            }
            Act::Rest(until) if until <= self.now => {
                self.act = Act::Close;
                match self.plan.close {
                    Closing::Active => self.close(CLIENT),
                    Closing::Passive => self.close(SERVER),
                    Closing::Simultaneous => [CLIENT, SERVER].into_iter().for_each(|side| self.close(side)),
                    Closing::Reset => self.abort(CLIENT),
                }
            }
            Act::Rest(_) | Act::Close => {}
        }
        for side in [CLIENT, SERVER] {
            if self.sides[side].ended && !self.sides[side].done {
                self.close(side);
            }
        }
    }

    /// What the stack tells a program, and what there is to be read.
    fn hear(&mut self, side: usize) {
        while let Some(event) = self.sides[side].stack.poll_event() {
            match event.kind {
                Kind::Acceptable => {
                    if let Ok(connection) = self.sides[side].stack.accept(event.socket) {
                        self.call(side, "accept()");
                        self.sides[side].connection = Some(connection);
                    }
                }
                Kind::Failed(error) if !self.sides[side].done => {
                    self.note(side, What::Failed(error));
                    self.close(side);
                    if side == CLIENT && self.sides[SERVER].connection.is_none() {
                        // Nobody comes any more.
                        self.sides[SERVER].done = true;
                    }
                }
                _ => {}
            }
        }
        let Some(connection) = self.sides[side].connection.filter(|_| !self.sides[side].done) else { return };
        let mut buffer = [0; 4096];
        while !self.sides[side].ended {
            match self.sides[side].stack.recv(connection, &mut buffer) {
                Ok(0) => {
                    self.call(side, "recv() = 0");
                    self.sides[side].ended = true;
                }
                Ok(count) => {
                    self.call(side, format!("recv() = {count}"));
                    self.sides[side].received += count;
                }
                Err(_) => break,
            }
        }
    }

    fn send(&mut self) {
        let Some(connection) = self.sides[CLIENT].connection else { return };
        let text = self.plan.text.clone();
        if self.sides[CLIENT].stack.state(connection) != Ok(ostia_stack::State::Established) {
            return;
        }
        self.call(CLIENT, format!("send({})", text.len()));
        if self.sides[CLIENT].stack.send(connection, &text).is_ok() {
            self.act = Act::Send;
        }
    }

    /// Whether the client knows that all has arrived.
    fn is_settled(&self) -> bool {
        let side = &self.sides[CLIENT];
        let info = side.connection.and_then(|connection| side.stack.tcp_info(connection).ok());
        info.is_some_and(|info| info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
    }

    fn close(&mut self, side: usize) {
        self.end(side, "close()", Stack::close);
    }

    fn abort(&mut self, side: usize) {
        self.end(side, "abort()", Stack::abort);
    }

    fn end(&mut self, side: usize, name: &str, how: impl FnOnce(&mut Stack, Handle) -> Result<(), Error>) {
        let Some(connection) = self.sides[side].connection else { return };
        self.call(side, name);
        // It may have gone by itself: then there is nothing to end.
        let _ = how(&mut self.sides[side].stack, connection);
        self.sides[side].done = true;
    }

    fn story(self, begin: Instant) -> Story {
        let World { plan, sides, frames, log, now, .. } = self;
        let port = |side: usize| {
            let ports =
                frames.iter().filter(|frame| frame.from == side).find_map(|frame| super::headers::source_port(&frame.bytes));
            ports.unwrap_or(if side == SERVER { PORT } else { 0 })
        };
        let host = |side: usize| Host { address: address(side, plan.v6), port: port(side), mac: mac(side) };
        let hosts = [host(CLIENT), host(SERVER)];
        // The tracers hold the log, too.
        drop(sides);
        let entries = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        let delay = u64::try_from(DELAY.as_nanos()).unwrap_or(u64::MAX);
        Story { plan, hosts, begin, end: now, delay, mtu: MTU, entries, frames }
    }
}

/// A step, as the story keeps it.
fn what(step: &Step<'_>) -> Option<What> {
    Some(match *step {
        Step::Passes { layer, direction, bytes, .. } => What::Passes { layer, direction, bytes: bytes.to_vec() },
        Step::Dropped { reason } => What::Dropped(reason),
        Step::State { remote, from, to, cause, .. } => What::State { from, to, cause, listener: remote.1 == 0 },
        _ => return None,
    })
}

impl Side {
    /// Why what it sends now is sent again, if it is, by what the stack has counted since it sent last.
    fn kind_of_retransmission(&mut self) -> Option<Again> {
        let counters = self.stack.counters();
        let recoveries = counters.fast_retrans + counters.sack_recovery + counters.reno_recovery;
        let counted = [counters.tcp_retrans_segs, counters.timeouts, counters.syn_retrans, recoveries];
        let before = std::mem::replace(&mut self.counted, counted);
        match [0, 1, 2, 3].map(|at| counted[at] > before[at]) {
            [_, _, true, _] => Some(Again::Handshake),
            [_, true, _, _] => Some(Again::Timeout),
            [_, _, _, true] => Some(Again::Fast),
            [true, ..] => Some(Again::Rest),
            _ => None,
        }
    }

    /// Whether it has sent a segment's octets before; notes that it has now.
    fn has_sent(&mut self, segment: &Segment) -> bool {
        let end = segment.sequence.wrapping_add(segment.sequence_len());
        if segment.sequence_len() == 0 {
            return false;
        }
        // Half of all numbers are before another (RFC 9293, 3.4).
        let before = self.sent_to.is_some_and(|sent_to| segment.sequence.wrapping_sub(sent_to) >> 31 == 1);
        if !before {
            self.sent_to = Some(end);
        }
        before
    }
}
