//! The neighbours of one link: their link addresses, whether they are still there, and what waits for them.
//!
//! One machine serves both families. Its states are those of RFC 4861, 7.3.2; ARP fills them as neighbour discovery does,
//! a reply counting as a solicited advertisement that overrides and a request as a solicitation. The table is bounded, and so
//! is what waits; a neighbour in use is the last to be evicted.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use ostia_wire::{Frame, Ipv4, Ipv6, MacAddr};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::time::Instant;

/// Between solicitations (RFC 4861, 10).
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// How long a confirmation lasts, before it is varied (RFC 4861, 10).
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// The longest that a router may ask for (RFC 4861, 6.2.1).
const MAX_REACHABLE_TIME: Duration = Duration::from_secs(3600);
/// How long the transport gets to confirm before a probe is sent (RFC 4861, 10).
const DELAY_FIRST_PROBE: Duration = Duration::from_secs(5);
/// Bytes that wait for all neighbours of a link together, by true size, but for the newest packet to each: whoever invents senders
/// of its own network must not use up the stack's memory.
const LINK_QUEUE: usize = 4 << 20;
/// Solicitations to a group, and probes to the neighbour, before it counts as gone (RFC 4861, 10).
const MAX_SOLICITS: u8 = 3;

/// How much is known of a neighbour (RFC 4861, 7.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NeighbourState {
    /// Asked for, not answered yet.
    Incomplete,
    /// Known to have answered or to have moved a connection forward of late.
    Reachable,
    /// Known once; used without asking until it is needed.
    Stale,
    /// In use again; the transport gets a moment to confirm it.
    Delay,
    /// Asked directly whether it is still there.
    Probe,
    /// Did not answer.
    Failed,
}

/// A neighbour, for display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its IP address.
    pub address: Address,
    /// Its link address, if that is known.
    pub mac: Option<MacAddr>,
    /// How much is known of it.
    pub state: NeighbourState,
    /// Whether it has said that it is a router.
    pub router: bool,
}

/// A question to be sent: who has the target?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Solicit {
    pub(crate) target: Address,
    /// To this neighbour alone; none: to all.
    pub(crate) to: Option<MacAddr>,
}

/// What a neighbour has said of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert {
    pub(crate) target: Address,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) solicited: bool,
    pub(crate) overrides: bool,
    pub(crate) router: bool,
}

/// Packets whose wait is over.
#[derive(Default)]
pub(crate) struct Released {
    pub(crate) mac: Option<MacAddr>,
    /// It was a router, and says that it is none any more.
    pub(crate) resigned: bool,
    pub(crate) frames: VecDeque<Frame>,
}

/// What became of a neighbour that did not answer.
pub(crate) struct Gone {
    pub(crate) address: Address,
    /// What waited for it, as IP packets.
    pub(crate) frames: VecDeque<Frame>,
}

struct Entry {
    address: Address,
    /// All zeros while it isn't known.
    mac: MacAddr,
    state: NeighbourState,
    router: bool,
    /// Used since the hand of the clock came by.
    used: bool,
    /// Solicitations sent in this state.
    sent: u8,
    confirmed: Instant,
    timer: Instant,
    waiting: VecDeque<Frame>,
    /// The true size of what waits.
    queued: usize,
}

impl Entry {
    /// Keeps one more, and gives up the oldest while more waits than there is room for. Of a datagram in fragments all go, for
    /// without one the others are of no use.
    fn keep(&mut self, frame: Frame, room: usize, env: &mut Env) {
        if !env.memory.take(frame.truesize()) {
            return env.drop(Reason::Memory);
        }
        self.queued += frame.truesize();
        self.waiting.push_back(frame);
        while self.queued > room && self.waiting.len() > 1 {
            let Some(datagram) = self.give_up(env) else { continue };
            // An own datagram is cut into fragments that come one after the other.
            while self.waiting.len() > 1 && self.waiting.front().and_then(fragmented) == Some(datagram) {
                self.give_up(env);
            }
        }
    }

    /// Drops the oldest, and says which datagram it was a fragment of.
    fn give_up(&mut self, env: &mut Env) -> Option<Fragmented> {
        let oldest = self.waiting.pop_front()?;
        self.queued -= oldest.truesize();
        env.memory.give(oldest.truesize());
        env.drop(Reason::NeighbourQueue);
        fragmented(&oldest)
    }

    /// Everything that waits, which is no longer the table's.
    fn take(&mut self, table: &mut usize, env: &mut Env) -> VecDeque<Frame> {
        *table -= self.queued;
        env.memory.give(core::mem::take(&mut self.queued));
        core::mem::take(&mut self.waiting)
    }

    fn knows(&self) -> bool {
        !matches!(self.state, NeighbourState::Incomplete | NeighbourState::Failed)
    }
}

/// The datagram that a fragment is of: addresses, protocol and identification.
type Fragmented = (Address, Address, u8, u32);

/// Which one that is, of an IP packet; none of a whole one.
fn fragmented(frame: &Frame) -> Option<Fragmented> {
    let bytes = frame.as_slice();
    if let Ok(header) = Ipv4::parse(bytes) {
        let (source, destination) = (Address::from(header.source()), Address::from(header.destination()));
        return header.is_fragment().then(|| (source, destination, header.protocol(), header.identification().into()));
    }
    let header = Ipv6::parse(bytes).ok()?;
    let fragment = header.upper().ok()?.fragment?;
    Some((header.source().into(), header.destination().into(), fragment.next_header, fragment.identification))
}

/// The cache of one link.
pub(crate) struct Neighbours {
    entries: Vec<Entry>,
    index: BTreeMap<Address, u32>,
    timers: BTreeSet<(Instant, u32)>,
    /// The true size of all that waits.
    queued: usize,
    /// The entry used last: most packets of a host go to one router.
    last: usize,
    /// Where the search for one to evict goes on.
    hand: usize,
    reachable_time: Duration,
    retrans_timer: Duration,
}

impl Neighbours {
    pub(crate) fn new(env: &mut Env) -> Neighbours {
        let mut new = Neighbours {
            entries: Vec::new(),
            index: BTreeMap::new(),
            timers: BTreeSet::new(),
            queued: 0,
            last: 0,
            hand: 0,
            reachable_time: REACHABLE_TIME,
            retrans_timer: RETRANS_TIMER,
        };
        new.set_times(Some(REACHABLE_TIME), None, env);
        new
    }

    /// What a router says of the times, if it does (RFC 4861, 6.3.4); the reachable time is varied by half (6.3.2).
    pub(crate) fn set_times(&mut self, reachable: Option<Duration>, retrans: Option<Duration>, env: &mut Env) {
        if let Some(reachable) = reachable {
            let base = u64::try_from(reachable.min(MAX_REACHABLE_TIME).as_nanos()).unwrap_or(u64::MAX);
            self.reachable_time = Duration::from_nanos(base / 2 + env.random.below(base.max(1)));
        }
        if let Some(retrans) = retrans {
            // A forged advertisement must neither flood the link nor make it fall silent.
            self.retrans_timer = retrans.clamp(Duration::from_millis(100), Duration::from_secs(10));
        }
    }

    fn find(&mut self, address: Address) -> Option<usize> {
        if self.entries.get(self.last).is_some_and(|entry| entry.address == address) {
            return Some(self.last);
        }
        self.last = *self.index.get(&address)? as usize;
        Some(self.last)
    }

    /// The link address to send to now, and what is to be asked on the side.
    pub(crate) fn lookup(&mut self, address: Address, env: &Env) -> Option<MacAddr> {
        let at = self.find(address)?;
        let reachable_time = self.reachable_time;
        let entry = self.entries.get_mut(at)?;
        entry.used = true;
        match entry.state {
            NeighbourState::Reachable if env.now.since(entry.confirmed) < reachable_time => Some(entry.mac),
            NeighbourState::Reachable | NeighbourState::Stale => {
                entry.state = NeighbourState::Delay;
                entry.sent = 0;
                let mac = entry.mac;
                self.set_timer(at, env.now + DELAY_FIRST_PROBE);
                Some(mac)
            }
            NeighbourState::Delay | NeighbourState::Probe => Some(entry.mac),
            NeighbourState::Incomplete | NeighbourState::Failed => None,
        }
    }

    /// Keeps a packet for a neighbour that isn't known, and says what is to be asked. The queue is bounded: the newest packet
    /// replaces the oldest (RFC 4861, 7.2.2), and always waits (RFC 1122, 2.3.2.2).
    pub(crate) fn wait(&mut self, address: Address, frame: Frame, env: &mut Env) -> Option<Solicit> {
        let mut solicit = None;
        let at = match self.find(address) {
            Some(at) => at,
            None => match self.insert(address, env) {
                Some(at) => at,
                None => {
                    env.drop(Reason::NeighbourQueue);
                    return None;
                }
            },
        };
        let retrans = self.retrans_timer;
        let entry = self.entries.get_mut(at)?;
        let others = self.queued - entry.queued;
        entry.keep(frame, env.config.neighbour_queue.min(LINK_QUEUE.saturating_sub(others)), env);
        self.queued = others + entry.queued;
        if entry.state == NeighbourState::Failed || entry.sent == 0 {
            entry.state = NeighbourState::Incomplete;
            entry.sent = 1;
            solicit = Some(Solicit { target: address, to: None });
            self.set_timer(at, env.now + retrans);
        }
        solicit
    }

    /// A neighbour has shown its link address without being asked: a solicitation, an ARP request, a router's advertisement
    /// (RFC 4861, 7.2.3 and 6.3.4). An entry is made if there is none: an answer to it will be sent soon.
    pub(crate) fn seen(&mut self, address: Address, mac: MacAddr, router: Option<bool>, env: &mut Env) -> Released {
        let Some(at) = self.find(address).or_else(|| self.insert(address, env)) else { return Released::default() };
        let Some(entry) = self.entries.get_mut(at) else { return Released::default() };
        if let Some(router) = router {
            entry.router = router;
        }
        if entry.knows() && entry.mac == mac {
            return Released::default();
        }
        entry.mac = mac;
        self.become_known(at, NeighbourState::Stale, env)
    }

    /// A neighbour's advertisement (RFC 4861, 7.2.5), or an ARP reply. One about nobody of interest is passed over.
    pub(crate) fn advertised(&mut self, advert: Advert, env: &mut Env) -> Released {
        let none = Released::default();
        let Some(at) = self.find(advert.target) else { return none };
        let Some(entry) = self.entries.get_mut(at) else { return none };
        if !entry.knows() {
            let Some(mac) = advert.mac else { return none };
            if entry.state == NeighbourState::Failed && !advert.solicited {
                return none;
            }
            entry.mac = mac;
            entry.router = advert.router;
            let state = if advert.solicited { NeighbourState::Reachable } else { NeighbourState::Stale };
            return self.become_known(at, state, env);
        }
        let other = advert.mac.filter(|&mac| mac != entry.mac);
        if other.is_some() && !advert.overrides {
            if entry.state == NeighbourState::Reachable {
                self.become_known(at, NeighbourState::Stale, env);
            }
            return none;
        }
        let resigned = core::mem::replace(&mut entry.router, advert.router) && !advert.router;
        let state = entry.state;
        if let Some(mac) = other {
            entry.mac = mac;
        }
        let state = match (advert.solicited, other) {
            (true, _) => NeighbourState::Reachable,
            (false, Some(_)) => NeighbourState::Stale,
            (false, None) => state,
        };
        Released { resigned, ..self.become_known(at, state, env) }
    }

    /// The transport knows that packets get there (RFC 4861, 7.3.1).
    #[inline]
    pub(crate) fn confirm(&mut self, address: Address, env: &Env) {
        let Some(at) = self.find(address) else { return };
        let Some(entry) = self.entries.get_mut(at) else { return };
        if !entry.knows() {
            return;
        }
        entry.state = NeighbourState::Reachable;
        entry.confirmed = env.now;
        if entry.timer.is_set() {
            self.set_timer(at, Instant::NEVER);
        }
    }

    /// Nothing that is sent there seems to arrive: it is asked for once more is sent.
    pub(crate) fn doubt(&mut self, address: Address) {
        let entry = self.find(address).and_then(|at| self.entries.get_mut(at));
        if let Some(entry) = entry
            && entry.state == NeighbourState::Reachable
        {
            entry.state = NeighbourState::Stale;
        }
    }

    /// Does what is due: asks again, and gives up those that did not answer.
    pub(crate) fn expire(&mut self, env: &mut Env, ask: &mut Vec<Solicit>, gone: &mut Vec<Gone>) {
        while let Some(&(at, slot)) = self.timers.first()
            && at <= env.now
        {
            let slot = slot as usize;
            self.set_timer(slot, Instant::NEVER);
            let retrans = self.retrans_timer;
            let Some(entry) = self.entries.get_mut(slot) else { continue };
            match entry.state {
                NeighbourState::Delay => {
                    entry.state = NeighbourState::Probe;
                    entry.sent = 0;
                }
                NeighbourState::Incomplete | NeighbourState::Probe => {}
                _ => continue,
            }
            if entry.sent < MAX_SOLICITS {
                entry.sent += 1;
                let to = entry.knows().then_some(entry.mac);
                ask.push(Solicit { target: entry.address, to });
                self.set_timer(slot, env.now + retrans);
            } else {
                entry.state = NeighbourState::Failed;
                entry.sent = 0;
                entry.used = false;
                let frames = entry.take(&mut self.queued, env);
                gone.push(Gone { address: entry.address, frames });
            }
        }
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |&(at, _)| at)
    }

    /// Forgets everybody, as when the link goes down.
    pub(crate) fn flush(&mut self, env: &mut Env) {
        for entry in &mut self.entries {
            for _ in entry.take(&mut self.queued, env) {
                env.drop(Reason::NoNeighbour);
            }
        }
        self.entries.clear();
        self.index.clear();
        self.timers.clear();
        (self.last, self.hand) = (0, 0);
    }

    /// Whether a neighbour was asked and did not answer.
    pub(crate) fn has_failed(&self, address: Address) -> bool {
        let at = self.index.get(&address).and_then(|&at| self.entries.get(at as usize));
        at.is_some_and(|entry| entry.state == NeighbourState::Failed)
    }

    /// Everybody, by address.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = Neighbour> + '_ {
        let entries = self.index.values().filter_map(|&at| self.entries.get(at as usize));
        entries.map(move |entry| {
            let late = entry.state == NeighbourState::Reachable && now.since(entry.confirmed) >= self.reachable_time;
            Neighbour {
                address: entry.address,
                mac: entry.knows().then_some(entry.mac),
                state: if late { NeighbourState::Stale } else { entry.state },
                router: entry.router,
            }
        })
    }

    fn become_known(&mut self, at: usize, state: NeighbourState, env: &mut Env) -> Released {
        let Some(entry) = self.entries.get_mut(at) else { return Released::default() };
        entry.state = state;
        if state == NeighbourState::Reachable {
            entry.confirmed = env.now;
        }
        let frames = entry.take(&mut self.queued, env);
        let mac = Some(entry.mac);
        if matches!(state, NeighbourState::Reachable | NeighbourState::Stale) {
            entry.sent = 0;
            self.set_timer(at, Instant::NEVER);
        }
        Released { mac, resigned: false, frames }
    }

    fn set_timer(&mut self, slot: usize, at: Instant) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        if entry.timer.is_set() {
            self.timers.remove(&(entry.timer, slot as u32));
        }
        entry.timer = at;
        if at.is_set() {
            self.timers.insert((at, slot as u32));
        }
    }

    fn insert(&mut self, address: Address, env: &mut Env) -> Option<usize> {
        let entry = Entry {
            address,
            mac: MacAddr([0; 6]),
            state: NeighbourState::Incomplete,
            router: false,
            used: false,
            sent: 0,
            confirmed: Instant::default(),
            timer: Instant::NEVER,
            waiting: VecDeque::new(),
            queued: 0,
        };
        let at = if self.entries.len() < env.config.neighbours {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let at = self.victim()?;
            self.set_timer(at, Instant::NEVER);
            let place = self.entries.get_mut(at)?;
            for _ in place.take(&mut self.queued, env) {
                env.drop(Reason::NeighbourQueue);
            }
            self.index.remove(&place.address);
            *place = entry;
            at
        };
        self.index.insert(address, at as u32);
        self.last = at;
        Some(at)
    }

    /// Whom to evict: the first, going round, that was not used since the last round.
    fn victim(&mut self) -> Option<usize> {
        for _ in 0..self.entries.len() * 2 {
            let at = self.hand;
            self.hand = (at + 1) % self.entries.len();
            let entry = self.entries.get_mut(at)?;
            if !core::mem::take(&mut entry.used) {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
