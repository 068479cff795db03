//! Which connections the stack has, learnt from its tracer: how many wait to be accepted, and which ports are still in use.
//!
//! The stack tells only that a listener has something, and forgets to whom a connection belonged when its program closes it. A
//! poll of a listener and a bind over a TIME-WAIT need to know more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostia_stack::{SocketAddress, State, Step, Tracer};

/// This side's address and port, and the peer's.
type Tuple = (SocketAddress, SocketAddress);

/// What is known of a connection.
struct Entry {
    /// The peer has opened it.
    passive: bool,
    /// It waits in an accept queue.
    waits: bool,
    /// Nobody has it any more; this is the SO_REUSEADDR of who had.
    orphan: Option<bool>,
}

#[derive(Default)]
struct Book {
    live: HashMap<Tuple, Entry>,
    /// Connections that wait to be accepted, by this side's address and port.
    waiting: HashMap<SocketAddress, usize>,
    /// Where some have begun to wait since the last look.
    arrived: Vec<SocketAddress>,
}

/// Shared with the stack's tracer, which writes it; read between calls of the stack.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

impl Book {
    fn step(&mut self, local: SocketAddress, remote: SocketAddress, from: State, to: State) {
        if remote.1 == 0 && remote.0.is_unspecified() {
            // A listener's own.
            return;
        }
        let tuple = (local, remote);
        if matches!(to, State::Closed | State::Listen) {
            if self.live.remove(&tuple).is_some_and(|entry| entry.waits) {
                self.leave(local);
            }
            return;
        }
        let passive = from == State::Listen;
        let entry = self.live.entry(tuple).or_insert(Entry { passive, waits: false, orphan: None });
        if entry.passive && from == State::SynReceived && !entry.waits {
            entry.waits = true;
            *self.waiting.entry(local).or_insert(0) += 1;
            self.arrived.push(local);
        }
    }

    fn leave(&mut self, local: SocketAddress) {
        if let Some(count) = self.waiting.get_mut(&local) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&local);
            }
        }
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the ledger while the stack works.
    pub(crate) fn tracer(&self) -> Tracer {
        let ledger = self.clone();
        Box::new(move |_, step| {
            if let Step::State { local, remote, from, to, .. } = *step {
                ledger.book().step(local, remote, from, to);
            }
        })
    }

    /// A connection has been accepted.
    pub(crate) fn accepted(&self, local: SocketAddress, remote: SocketAddress) {
        let mut book = self.book();
        if let Some(entry) = book.live.get_mut(&(local, remote))
            && std::mem::take(&mut entry.waits)
        {
            // The next change of its state must not make it wait again.
            entry.passive = false;
            book.leave(local);
        }
    }

    /// A connection's program has let go of it.
    pub(crate) fn orphaned(&self, local: SocketAddress, remote: SocketAddress, reuse: bool) {
        if let Some(entry) = self.book().live.get_mut(&(local, remote)) {
            entry.orphan = Some(reuse);
        }
    }

    /// Where connections wait to be accepted, and how many.
    pub(crate) fn waiting(&self) -> Vec<(SocketAddress, usize)> {
        self.book().waiting.iter().map(|(&local, &count)| (local, count)).collect()
    }

    /// Where connections have begun to wait since the last call.
    pub(crate) fn take_arrived(&self) -> Vec<SocketAddress> {
        std::mem::take(&mut self.book().arrived)
    }

    /// Whether a connection without a program is in the way of who wants a port.
    pub(crate) fn orphan_blocks(&self, port: u16, blocks: impl Fn(SocketAddress, bool) -> bool) -> bool {
        let book = self.book();
        let mut orphans = book.live.iter().filter_map(|((local, _), entry)| entry.orphan.map(|reuse| (*local, reuse)));
        orphans.any(|(local, reuse)| local.1 == port && blocks(local, reuse))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const fn at(last: u8, port: u16) -> (Ipv4Addr, u16) {
        (Ipv4Addr::new(10, 0, 0, last), port)
    }

    fn tuple(remote_port: u16) -> Tuple {
        let ((here, port), (there, _)) = (at(1, 80), at(2, 0));
        ((here.into(), port), (there.into(), remote_port))
    }

    fn walk(ledger: &Ledger, tuple: Tuple, states: &[State]) {
        for pair in states.windows(2) {
            ledger.book().step(tuple.0, tuple.1, pair[0], pair[1]);
        }
    }

    #[test]
    fn what_peers_open_waits_until_it_is_accepted_or_over() {
        let ledger = Ledger::default();
        let count = |ledger: &Ledger| ledger.waiting().iter().map(|(_, count)| count).sum::<usize>();
        walk(&ledger, tuple(1), &[State::Listen, State::SynReceived]);
        assert_eq!(count(&ledger), 0, "half open");
        walk(&ledger, tuple(1), &[State::SynReceived, State::Established, State::CloseWait]);
        walk(&ledger, tuple(2), &[State::Listen, State::SynReceived, State::Established]);
        walk(&ledger, tuple(3), &[State::Closed, State::SynSent, State::Established]);
        assert_eq!((count(&ledger), ledger.take_arrived().len()), (2, 2));
        ledger.accepted(tuple(1).0, tuple(1).1);
        walk(&ledger, tuple(1), &[State::CloseWait, State::LastAck]);
        assert_eq!((count(&ledger), ledger.take_arrived().len()), (1, 0));
        walk(&ledger, tuple(2), &[State::Established, State::Closed]);
        assert_eq!(count(&ledger), 0);
    }

    #[test]
    fn who_has_let_go_is_in_the_way_until_it_is_over() {
        let ledger = Ledger::default();
        walk(&ledger, tuple(1), &[State::Closed, State::SynSent, State::Established]);
        assert!(!ledger.orphan_blocks(80, |_, _| true));
        ledger.orphaned(tuple(1).0, tuple(1).1, true);
        assert!(ledger.orphan_blocks(80, |_, reuse| reuse));
        assert!(!ledger.orphan_blocks(81, |_, _| true));
        walk(&ledger, tuple(1), &[State::Established, State::TimeWait, State::Closed]);
        assert!(!ledger.orphan_blocks(80, |_, _| true));
    }
}
