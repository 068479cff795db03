//! Listeners: their two queues, and who may come in.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

use super::options::Options;
use super::state::State;
use crate::address::Address;
use crate::config::Backlog;
use crate::env::Env;
use crate::slab::Key;
use crate::trace::Step;

/// Where a listener listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Local {
    /// The address; the unspecified one of a family for any of that family, none for any of both.
    pub address: Option<Address>,
    /// The port; 0 for any that nobody else listens on.
    pub port: u16,
}

impl Local {
    /// Tells the tracer that somebody listens here, or nobody any more.
    pub(crate) fn trace_state(&self, from: State, to: State, env: &mut Env) {
        let cause = env.cause;
        let address = self.address.unwrap_or(Address::UNSPECIFIED);
        env.trace(|| Step::State { local: (address, self.port), remote: (Address::UNSPECIFIED, 0), from, to, cause });
    }
}

/// A SYN for which nothing is kept yet, as the accept hook sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// The address and port that the peer wants.
    pub local: (Address, u16),
    /// The peer's.
    pub remote: (Address, u16),
    /// The hop limit or TTL that its packet had left.
    pub hop_limit: u8,
}

/// What an accept hook says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Go on.
    Accept,
    /// As if nothing had come.
    Drop,
    /// Answer with a reset.
    Refuse,
}

/// Decides about SYNs before anything is allocated for them.
pub type Hook = Box<dyn FnMut(&Incoming) -> Verdict + Send>;

/// A listener.
pub(crate) struct Listener {
    pub(crate) local: Local,
    pub(crate) options: Options,
    pub(crate) hook: Option<Hook>,
    backlog: usize,
    /// Half-open connections: how many.
    pub(crate) half_opens: usize,
    /// Those of them whose SYN-ACK was not sent again yet.
    pub(crate) young: usize,
    /// Connections that wait to be accepted, oldest first.
    pub(crate) complete: VecDeque<Key>,
    /// Whether its user was told that some wait.
    pub(crate) told: bool,
}

impl Listener {
    pub(crate) fn new(local: Local, backlog: usize, options: Options, hook: Option<Hook>) -> Listener {
        Listener { local, options, hook, backlog, half_opens: 0, young: 0, complete: VecDeque::new(), told: false }
    }

    /// The bound on complete connections. With [`Backlog::AcceptQueue`] one more than was asked for, as in Linux, so that a
    /// backlog of 0 is of use.
    pub(crate) fn accept_queue_is_full(&self, meaning: Backlog) -> bool {
        match meaning {
            Backlog::SynQueue => false,
            Backlog::Sum => self.complete.len() >= self.backlog.max(1),
            Backlog::AcceptQueue => self.complete.len() > self.backlog,
        }
    }

    /// Whether no other half-open connection may be kept.
    pub(crate) fn syn_queue_is_full(&self, meaning: Backlog, bound: usize) -> bool {
        let complete = if meaning == Backlog::Sum { self.complete.len() } else { 0 };
        self.half_opens + complete >= self.syn_queue(meaning, bound)
    }

    /// The bound on half-open connections.
    fn syn_queue(&self, meaning: Backlog, bound: usize) -> usize {
        match meaning {
            Backlog::SynQueue | Backlog::Sum => self.backlog.max(1),
            Backlog::AcceptQueue => bound,
        }
    }

    /// How often a SYN-ACK is sent again where that is usually `retries` times. As Linux does, half of the SYN queue is kept for
    /// young half-open connections: once more than that is taken, old ones are given up the sooner the more they outnumber the
    /// young, but none before its SYN-ACK was sent again twice.
    pub(crate) fn syn_ack_retries(&self, meaning: Backlog, bound: usize, mut retries: u8) -> u8 {
        let mut young = self.young.saturating_mul(2);
        if self.half_opens > self.syn_queue(meaning, bound).max(8) / 2 {
            while retries > 2 && young <= self.half_opens {
                retries -= 1;
                young = young.saturating_mul(2);
            }
        }
        retries
    }

    /// A half-open connection, whose SYN-ACK was sent again so often, is half-open no more.
    pub(crate) fn forget_half_open(&mut self, retries: u8) {
        self.half_opens -= 1;
        self.young -= usize::from(retries == 0);
    }
}

/// From addresses and ports to listeners.
pub(crate) struct Listeners {
    places: HashMap<Local, Key, core::hash::BuildHasherDefault<SipHasher13>>,
}

impl Listeners {
    pub(crate) fn new() -> Listeners {
        // Peers can't choose what is in this table, so its hash needs no secret key.
        Listeners { places: HashMap::default() }
    }

    /// Adds one; false if that place is taken.
    pub(crate) fn insert(&mut self, local: Local, key: Key) -> bool {
        self.places.try_insert(local, key).is_ok()
    }

    pub(crate) fn remove(&mut self, local: &Local) {
        self.places.remove(local);
    }

    pub(crate) fn is_taken(&self, local: &Local) -> bool {
        self.places.contains_key(local)
    }

    /// Who listens there: the most exact first, so an address goes before any address, and a port before any port.
    pub(crate) fn find(&self, address: Address, port: u16) -> Option<Key> {
        let exact = [Some(address), Some(address.unspecified()), None].into_iter();
        let mut order =
            exact.clone().map(|address| Local { address, port }).chain(exact.map(|address| Local { address, port: 0 }));
        order.find_map(|local| self.places.get(&local)).copied()
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::config::{Config, Profile};

    fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    #[test]
    fn the_most_exact_listener_is_found() {
        let here = Address::from(Ipv4Addr::new(10, 0, 0, 1));
        let other = Address::from(Ipv4Addr::new(10, 0, 0, 2));
        let mut listeners = Listeners::new();
        assert_eq!(listeners.find(here, 80), None);
        for (index, address, port) in [(0, None, 0), (1, Some(here), 0), (2, None, 80), (3, Some(here), 80)] {
            assert!(listeners.insert(Local { address, port }, key(index)));
        }
        assert!(!listeners.insert(Local { address: None, port: 80 }, key(9)));
        let found = |address, port| listeners.find(address, port).map(|key| key.index);
        assert_eq!((found(here, 80), found(other, 80), found(here, 81), found(other, 81)), (Some(3), Some(2), Some(1), Some(0)));
    }

    #[test]
    fn a_backlog_has_three_meanings() {
        let options = Options::new(&Config::new(Profile::Linux));
        let mut listener = Listener::new(Local { address: None, port: 1 }, 2, options, None);
        listener.half_opens = 2;
        assert!(listener.syn_queue_is_full(Backlog::SynQueue, 100));
        assert!(listener.syn_queue_is_full(Backlog::Sum, 100));
        assert!(!listener.syn_queue_is_full(Backlog::AcceptQueue, 100));
        listener.half_opens = 0;
        listener.complete.extend([key(0), key(1)]);
        assert!(!listener.accept_queue_is_full(Backlog::SynQueue));
        assert!(listener.accept_queue_is_full(Backlog::Sum));
        assert!(!listener.accept_queue_is_full(Backlog::AcceptQueue), "Linux lets one more in");
        listener.complete.push_back(key(2));
        assert!(listener.accept_queue_is_full(Backlog::AcceptQueue));
    }

    #[test]
    fn old_half_open_connections_make_room_for_young_ones() {
        let options = Options::new(&Config::new(Profile::Linux));
        let mut listener = Listener::new(Local { address: None, port: 1 }, 2, options, None);
        let mut retries = |half_opens, young| {
            (listener.half_opens, listener.young) = (half_opens, young);
            listener.syn_ack_retries(Backlog::AcceptQueue, 100, 5)
        };
        assert_eq!([retries(50, 0), retries(51, 0), retries(51, 26), retries(51, 25), retries(51, 12)], [5, 2, 5, 4, 3]);
        assert_eq!(listener.syn_ack_retries(Backlog::AcceptQueue, 100, 1), 1, "never more often than usual");
        (listener.half_opens, listener.young) = (4, 0);
        assert_eq!(listener.syn_ack_retries(Backlog::SynQueue, 0, 5), 5, "a short queue is seldom half empty");
    }
}
