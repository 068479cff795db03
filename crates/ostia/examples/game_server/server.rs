//! The server: one socket, one task, a fixed tick.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ostia::net::{Incoming, UdpSocket};
use ostia::select;
use ostia::sync::CancellationToken;
use ostia::time::{interval, now};

use crate::cookie::Keys;
use crate::protocol::{Answer, DATAGRAM_MOST, Refusal, Request, Snapshot};
use crate::session::{INPUTS_PER_TICK, Session};
use crate::snapshot::delta;
use crate::world::{Arena, World};

/// How many ticks back a client's world may lie to be a baseline. Both sides keep so many.
pub const HISTORY: u32 = 64;
/// With so many players and coins the difference between any two worlds has at most 255 parts.
const CLIENTS_MOST: u16 = 4096;
const COINS_MOST: u16 = 1024;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Ticks in a second, 1 to 1,000.
    pub rate: u16,
    /// How many clients are let in, at most 4,096.
    pub clients: u16,
    /// A client that was not heard for so many ticks is dropped.
    pub patience: u32,
    /// At most 1,024.
    pub coins: u16,
    /// Of the coins' places and of the secret behind cookies.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { rate: 30, clients: 256, patience: 150, coins: 32, seed: 1 }
    }
}

/// What happened, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    pub ticks: u64,
    /// Ticks that began half a period late or later.
    pub late: u64,
    /// Ticks that were left out because one before them was so late.
    pub skipped: u64,
    pub datagrams_in: u64,
    pub bytes_in: u64,
    pub datagrams_out: u64,
    pub bytes_out: u64,
    /// Datagrams that are none of the protocol's.
    pub malformed: u64,
    /// Well-formed ones with a cookie or token that is not theirs, or no longer.
    pub unknown: u64,
    /// Datagrams that the system didn't take; what was in them is made up for by the next snapshot.
    pub unsent: u64,
    pub joined: u64,
    pub refused: u64,
    pub left: u64,
    pub timed_out: u64,
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ticks      {} ({} late, {} skipped)", self.ticks, self.late, self.skipped)?;
        writeln!(f, "received   {} datagrams, {} bytes", self.datagrams_in, self.bytes_in)?;
        writeln!(f, "rejected   {} malformed, {} of nobody's", self.malformed, self.unknown)?;
        writeln!(f, "sent       {} datagrams, {} bytes, {} not taken", self.datagrams_out, self.bytes_out, self.unsent)?;
        write!(f, "clients    {} joined, {} refused, ", self.joined, self.refused)?;
        write!(f, "{} left, {} timed out", self.left, self.timed_out)
    }
}

#[derive(Debug)]
pub struct Server {
    socket: UdpSocket,
    settings: Settings,
    keys: Keys,
    arena: Arena,
    /// In the order of addresses, so that a run is the same whenever its datagrams are.
    sessions: BTreeMap<SocketAddr, Session>,
    /// The last worlds, the newest last.
    history: VecDeque<Rc<World>>,
    statistics: Statistics,
    /// Where datagrams are put together.
    out: Vec<u8>,
}

impl Server {
    /// Takes an address. Nothing is answered before [`run`](Self::run).
    pub fn bind(address: SocketAddr, settings: Settings) -> io::Result<Server> {
        let rate = settings.rate.clamp(1, 1000);
        Ok(Server {
            socket: UdpSocket::bind(address)?,
            settings: Settings { rate, clients: settings.clients.min(CLIENTS_MOST), ..settings },
            keys: Keys::new(settings.seed, 10 * u32::from(rate)),
            arena: Arena::new(settings.coins.min(COINS_MOST), settings.seed),
            sessions: BTreeMap::new(),
            history: VecDeque::with_capacity(HISTORY as usize),
            statistics: Statistics::default(),
            out: Vec::with_capacity(DATAGRAM_MOST),
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Plays until it is told to stop; `observe` sees the world after every tick.
    pub async fn run(mut self, stop: &CancellationToken, mut observe: impl FnMut(&World)) -> io::Result<Statistics> {
        let period = Duration::from_secs(1) / u32::from(self.settings.rate);
        let mut ticks = interval(period);
        // A byte more than any datagram of the protocol, so that longer ones are seen to be.
        let mut incoming = Incoming::with_capacity(DATAGRAM_MOST + 1);
        let mut before = None;
        loop {
            let due = {
                // One timer a tick, not one a datagram.
                let mut tick = pin!(ticks.tick());
                loop {
                    select! {
                        // In this order: a flood must hold neither of these up.
                        biased;
                        () = stop.cancelled() => break None,
                        due = &mut tick => break Some(due),
                        received = self.socket.recv_msg(&mut incoming) => {
                            received?;
                            self.receive(&incoming);
                        }
                    }
                }
            };
            let Some(due) = due else { break };
            let late = now().saturating_duration_since(due);
            self.statistics.late += u64::from(late >= period / 2);
            if let Some(before) = before.replace(due) {
                let passed = due.saturating_duration_since(before).as_nanos() / period.as_nanos();
                self.statistics.skipped += passed.saturating_sub(1) as u64;
            }
            self.tick();
            observe(&self.arena.world);
        }
        for (to, session) in std::mem::take(&mut self.sessions) {
            self.answer(to, &Answer::Goodbye { token: session.token });
        }
        Ok(self.statistics)
    }

    fn now(&self) -> u32 {
        self.arena.world.tick
    }

    fn receive(&mut self, incoming: &Incoming) {
        let Some(from) = incoming.from().and_then(ostia::Address::ip) else { return };
        self.statistics.datagrams_in += 1;
        self.statistics.bytes_in += incoming.whole_len() as u64;
        match Request::decode(incoming.data()).filter(|_| !incoming.is_truncated()) {
            None => self.statistics.malformed += 1,
            Some(Request::Hello { nonce }) => {
                let cookie = self.keys.cookie(from, nonce, self.now());
                self.answer(from, &Answer::Challenge { nonce, cookie });
            }
            Some(Request::Join { nonce, cookie }) => self.join(from, nonce, cookie),
            Some(Request::Inputs { token, ack, first, inputs }) => {
                let tick = self.now();
                match self.sessions.get_mut(&from).filter(|session| session.token == token) {
                    Some(session) => session.take(tick, ack, first, &inputs),
                    None => self.statistics.unknown += 1,
                }
            }
            Some(Request::Leave { token }) => {
                if self.sessions.get(&from).is_some_and(|session| session.token == token) {
                    self.statistics.left += 1;
                    self.forget(from);
                } else {
                    self.statistics.unknown += 1;
                }
            }
        }
    }

    fn join(&mut self, from: SocketAddr, nonce: u64, cookie: u64) {
        let tick = self.now();
        if !self.keys.is_good(cookie, from, nonce, tick) {
            self.statistics.unknown += 1;
            return;
        }
        let known = self.sessions.get(&from).is_some_and(|session| session.nonce == nonce);
        if !known {
            // A client that has begun anew, at the same address: it has shown that it receives there.
            self.forget(from);
            let Some(player) = self.free_player() else {
                self.statistics.refused += 1;
                self.answer(from, &Answer::Refused { nonce, why: Refusal::Full });
                return;
            };
            self.statistics.joined += 1;
            self.arena.enter(player);
            self.sessions.insert(from, Session::new(self.keys.token(from, nonce, tick), nonce, player, tick));
        }
        let Some(session) = self.sessions.get(&from) else { return };
        let (token, player, rate) = (session.token, session.player, self.settings.rate);
        self.answer(from, &Answer::Welcome { nonce, token, player, rate });
    }

    fn free_player(&self) -> Option<u16> {
        (1..=self.settings.clients).find(|player| !self.arena.world.entities.contains_key(player))
    }

    fn forget(&mut self, client: SocketAddr) {
        if let Some(session) = self.sessions.remove(&client) {
            self.arena.leave(session.player);
        }
    }

    fn tick(&mut self) {
        self.statistics.ticks += 1;
        for session in self.sessions.values_mut() {
            for _ in 0..INPUTS_PER_TICK {
                let Some(input) = session.next_input() else { break };
                self.arena.apply(session.player, input);
            }
        }
        let (tick, patience) = (self.now(), self.settings.patience);
        let silent = |session: &Session| tick.saturating_sub(session.heard) > patience;
        let gone: Vec<SocketAddr> = self.sessions.iter().filter(|(_, session)| silent(session)).map(|(at, _)| *at).collect();
        self.statistics.timed_out += gone.len() as u64;
        gone.into_iter().for_each(|client| self.forget(client));
        self.arena.finish_tick();
        self.send_snapshots();
    }

    fn send_snapshots(&mut self) {
        let world = Rc::new(self.arena.world.clone());
        if self.history.len() == HISTORY as usize {
            self.history.pop_front();
        }
        self.history.push_back(Rc::clone(&world));
        let hash = world.hash();
        let empty = Rc::new(World::default());
        // Most clients have the same baseline: what is different is worked out once for all of them.
        let mut deltas: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
        let mut out = std::mem::take(&mut self.out);
        for (to, session) in &self.sessions {
            // Ticks follow each other without gaps: the newest world is the last.
            let back = (world.tick - session.acked) as usize;
            let base = self.history.len().checked_sub(back + 1).and_then(|at| self.history.get(at)).unwrap_or(&empty);
            let parts = deltas.entry(base.tick).or_insert_with(|| delta(base, &world));
            for (part, body) in parts.iter().enumerate() {
                let snapshot = Snapshot {
                    token: session.token,
                    tick: world.tick,
                    baseline: base.tick,
                    hash,
                    applied: session.applied,
                    part: part as u8,
                    parts: parts.len() as u8,
                    body,
                };
                Answer::Snapshot(snapshot).encode(&mut out);
                send(&self.socket, &mut self.statistics, &out, *to);
            }
        }
        self.out = out;
    }

    fn answer(&mut self, to: SocketAddr, answer: &Answer<'_>) {
        let mut out = std::mem::take(&mut self.out);
        answer.encode(&mut out);
        send(&self.socket, &mut self.statistics, &out, to);
        self.out = out;
    }
}

/// Now or never: a snapshot that waited would be out of date.
fn send(socket: &UdpSocket, statistics: &mut Statistics, datagram: &[u8], to: SocketAddr) {
    match socket.try_send_to(datagram, to) {
        Ok(()) => {
            statistics.datagrams_out += 1;
            statistics.bytes_out += datagram.len() as u64;
        }
        // No room, or no way to this one client: the others don't mind.
        Err(_) => statistics.unsent += 1,
    }
}
