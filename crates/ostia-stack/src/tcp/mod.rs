//! TCP (RFC 9293): connections, half-open ones, TIME-WAITs and listeners, and how segments find them.

mod acknowledge;
mod arrive;
mod calls;
mod congestion;
mod connection;
mod cookie;
mod demux;
mod emit;
mod half_open;
mod handshake;
mod info;
mod isn;
pub(crate) mod limiter;
mod listener;
mod options;
mod out_of_order;
mod path;
mod piece;
pub(crate) mod ports;
mod prune;
mod receive;
mod receive_queue;
mod records;
mod reply;
mod rtt;
mod sack;
mod segment;
mod send_queue;
mod seq;
mod sockets;
mod state;
mod syn_sent;
mod table;
mod time_wait;
mod timers;
mod train;
mod transmit;
mod tuple;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

pub use calls::{How, Readiness};
pub use info::TcpInfo;
pub use listener::{Hook, Incoming, Local, Verdict};
pub use options::{Keepalive, Options};
pub use state::State;
pub(crate) use train::Train;

use connection::{Connection, Context};
use cookie::CookieKeys;
use half_open::HalfOpen;
use limiter::BlurredLimiter;
use listener::{Listener, Listeners};
use ports::Ports;
use table::{Entry, Table};
use time_wait::TimeWait;
use tuple::Tuple;

use crate::env::Env;
use crate::ip::Ip;
use crate::slab::Slab;
use crate::time::Instant;
use crate::trace::Cause;
use crate::wheel::Wheel;

/// TCP's number (RFC 9293, 3.1).
const PROTOCOL: u8 = 6;

/// What a peer takes that says nothing (RFC 9293, 3.7.1 MUST-15).
const DEFAULT_MSS: u16 = 536;
const DEFAULT_MSS_V6: u16 = 1220;

/// The least that is believed: with less, headers would be most of what is sent.
const MIN_MSS: u16 = 88;

/// Octets that timestamps take in a header, with two NOPs to align them (RFC 7323, appendix A).
const TIMESTAMPS_LEN: u16 = 12;

/// Acknowledgments that go at once when a connection begins or has trouble, as in Linux.
const QUICK_ACKS: u8 = 16;

/// How long a cork holds, as in Linux.
const CORK: Duration = Duration::from_millis(200);

/// What a connection is charged for beside what its queues hold.
const CONNECTION_SIZE: usize = size_of::<Connection>() + 64;

/// What a half-open connection and a TIME-WAIT are charged for.
const RECORD_SIZE: usize = 128;

/// All of TCP.
pub(crate) struct Tcp {
    connections: Slab<Box<Connection>>,
    half_opens: Slab<HalfOpen>,
    time_waits: Slab<TimeWait>,
    listeners: Slab<Listener>,
    places: Listeners,
    table: Table,
    /// The connection that was found last, if it is still to be found.
    last: Option<u32>,
    wheel: Wheel,
    /// Connections that may have something to send, each once.
    listed: VecDeque<u32>,
    hash_key: [u8; 16],
    /// For sequence numbers and the offsets of timestamps.
    number_key: [u8; 16],
    ports: Option<Ports>,
    cookies: CookieKeys,
    challenges: BlurredLimiter,
    /// Connections without a program that are not over yet.
    orphans: usize,
    /// Where the search for what can be given up goes on.
    hand: u32,
    /// When a cookie was last sent: only for a while after that an ACK may be one.
    cookie_sent: Instant,
}

impl Tcp {
    pub(crate) fn new(env: &mut Env) -> Tcp {
        let config = &env.config;
        let (connections, time_waits) = (config.connections.min(Entry::PLACES), config.time_waits.min(Entry::PLACES));
        let per_second = config.challenge_acks;
        let ports = config.ephemeral_ports;
        let random = &mut env.random;
        Tcp {
            connections: Slab::with_limit(connections),
            half_opens: Slab::with_limit(Entry::PLACES),
            time_waits: Slab::with_limit(time_waits),
            listeners: Slab::with_limit(Entry::PLACES),
            places: Listeners::new(),
            table: Table::default(),
            last: None,
            wheel: Wheel::new(),
            listed: VecDeque::new(),
            hash_key: random.key(),
            number_key: random.key(),
            ports: Some(Ports::new(random.key(), ports)),
            cookies: CookieKeys::new(random),
            challenges: BlurredLimiter::new(per_second),
            orphans: 0,
            hand: 0,
            cookie_sent: Instant::NEVER,
        }
    }

    /// When something is due: at once if a connection may have something to send.
    pub(crate) fn deadline(&mut self, now: Instant) -> Instant {
        if self.listed.is_empty() { self.wheel.next() } else { now }
    }

    /// Does what is due, and sends what there is to send, at most `budget` segments, and until frames that wait hold `most` bytes;
    /// whether something is left.
    pub(crate) fn poll(&mut self, mut budget: usize, most: usize, ip: &mut Ip, env: &mut Env) -> bool {
        while let Some(token) = self.wheel.expire(env.now) {
            match Entry::of_token(token) {
                Entry::Connection(index) => {
                    env.cause = Cause::Timer;
                    if let Some(connection) = self.connections.at_mut(index) {
                        connection.expire(&mut Context { env, ip, challenges: &mut self.challenges });
                    }
                    self.settle(index, env);
                }
                Entry::HalfOpen(index) => self.half_open_expired(index, ip, env),
                Entry::TimeWait(index) => {
                    env.counters.tw += 1;
                    env.cause = Cause::Timer;
                    self.end_time_wait(index, env);
                }
            }
        }
        // Each is asked once a poll, so that none that has much to send keeps the others waiting.
        for _ in 0..self.listed.len() {
            let room = most.saturating_sub(ip.out.held());
            if budget == 0 || room == 0 {
                break;
            }
            let Some(index) = self.listed.pop_front() else { break };
            let Some(connection) = self.connections.at_mut(index) else { continue };
            connection.facts.listed = false;
            let mut share = budget.min(SHARE).min(room / usize::from(connection.mss.max(1))).max(1);
            let before = share;
            let more = connection.transmit(&mut share, most, &mut Context { env, ip, challenges: &mut self.challenges });
            budget -= before - share;
            if more {
                self.list(index);
            }
            self.rearm(index, env);
        }
        !self.listed.is_empty()
    }

    /// Notes that a connection may have something to send.
    fn list(&mut self, index: u32) {
        if let Some(connection) = self.connections.at_mut(index)
            && !connection.facts.listed
        {
            connection.facts.listed = true;
            self.listed.push_back(index);
        }
    }

    /// After something has happened to a connection: it may send, its timers may have moved, or it may be over. Its timer is
    /// set when it has been asked what it has to send, once for all that has happened until then.
    fn settle(&mut self, index: u32, env: &mut Env) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if !connection.facts.listed {
            connection.facts.listed = true;
            self.listed.push_back(index);
        }
        self.retire(index, env);
    }

    /// Lets go of a connection that is over, or that nothing but the wait is left of; whether it is so.
    fn retire(&mut self, index: u32, env: &mut Env) -> bool {
        let Some(connection) = self.connections.at_mut(index) else { return true };
        connection.trace_state(env);
        if connection.facts.dead {
            self.bury(index, env);
            return true;
        }
        if connection.state == State::TimeWait && connection.facts.closed && !connection.facts.ack_now {
            self.shrink(index, env);
            return true;
        }
        false
    }

    fn rearm(&mut self, index: u32, env: &mut Env) {
        if !self.retire(index, env)
            && let Some(connection) = self.connections.at_mut(index)
        {
            connection.release_if_idle();
            connection.charge(env);
            let deadline = connection.deadline();
            if self.wheel.at(connection.timer) != deadline {
                self.wheel.set(connection.timer, deadline);
            }
        }
    }

    /// Which four-tuple an entry is for.
    fn tuple_of(&self, entry: Entry) -> Option<&Tuple> {
        match entry {
            Entry::Connection(index) => self.connections.at(index).map(|connection| &connection.tuple),
            Entry::HalfOpen(index) => self.half_opens.at(index).map(|half| &half.tuple),
            Entry::TimeWait(index) => self.time_waits.at(index).map(|record| &record.tuple),
        }
    }

    fn find(&mut self, tuple: &Tuple) -> Option<Entry> {
        // Segments come in rows.
        if let Some(index) = self.last
            && self.connections.at(index).is_some_and(|connection| connection.tuple == *tuple)
        {
            return Some(Entry::Connection(index));
        }
        let found = self.table.find(tuple.hash(&self.hash_key), |entry| self.tuple_of(entry) == Some(tuple));
        if let Some(Entry::Connection(index)) = found {
            self.last = Some(index);
        }
        found
    }

    fn enter(&mut self, tuple: &Tuple, entry: Entry) {
        let hash = tuple.hash(&self.hash_key);
        // The table grows while it is borrowed apart from the slabs.
        let mut table = core::mem::take(&mut self.table);
        table.insert(hash, entry, |entry| self.tuple_of(entry).map_or(0, |tuple| tuple.hash(&self.hash_key)));
        self.table = table;
    }

    fn forget(&mut self, tuple: &Tuple, entry: Entry) {
        self.last = None;
        self.table.remove(tuple.hash(&self.hash_key), entry);
    }

    fn replace(&mut self, tuple: &Tuple, entry: Entry, with: Entry) {
        self.last = None;
        self.table.replace(tuple.hash(&self.hash_key), entry, with);
    }

    /// The states of all connections, those without a program among them.
    pub(crate) fn states(&self) -> impl Iterator<Item = State> + '_ {
        self.connections.iter().map(|(_, connection)| connection.state)
    }

    /// How many connections, half-open ones and TIME-WAITs there are.
    pub(crate) fn census(&self) -> (usize, usize, usize) {
        (self.connections.len(), self.half_opens.len(), self.time_waits.len())
    }
}

/// Segments that one connection may send before others have their turn.
const SHARE: usize = 64;
