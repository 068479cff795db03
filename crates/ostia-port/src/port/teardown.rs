//! The end of a port: everything is cancelled and reaped before any memory goes, or the memory is not freed at all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Patience;
use crate::driver::Env;
use crate::handle::{Flags, Handle};
use crate::os::{FromRawFd, OwnedFd, raw};
use crate::port::Port;
use crate::slab::Slab;
use crate::slot::{Slot, State, Work, ZeroCopy};

/// How long one turn of the teardown waits, in nanoseconds.
const TURN: u64 = 50_000_000;

/// How many turns the last polls may take to end.
const LAST_TURNS: usize = 20;

impl Port {
    /// Cancels everything in flight and waits until the driver has answered for all of it, or the deadline is past.
    /// True if nothing is in flight any more.
    fn drain(&mut self) -> bool {
        let started = self.clock.fresh();
        while self.in_flight > 0 || !self.unfinished.is_empty() || !self.silent.is_empty() || !self.posted.is_empty() {
            self.cancel_all(self.since(started) > self.config.teardown / 2);
            self.unfinished.clear();
            self.pool.collect();
            let turned = self.turn(Patience::Until(self.clock.moment() + TURN));
            if turned.is_err() || self.since(started) >= self.config.teardown {
                break;
            }
        }
        self.in_flight == 0 && self.silent.is_empty() && self.posted.is_empty()
    }

    fn since(&self, moment: Instant) -> Duration {
        self.clock.fresh().saturating_duration_since(moment)
    }

    /// Asks for the end of every request. Asked again each turn: a request may have begun after the first time.
    ///
    /// A zero-copy send that has gone out whole is left to the peer's acknowledgement, until this is `pressing`; one that
    /// was cut off is ended with its connection, for a peer that doesn't read would keep its memory for ever.
    fn cancel_all(&mut self, pressing: bool) {
        let handles: Vec<Handle> = self.handles().collect();
        for handle in handles {
            let Some(sock) = self.socks.get_mut(handle.index, handle.generation) else { continue };
            sock.flags.set(Flags::CLOSING);
            sock.flags.clear(Flags::INTEREST | Flags::QUEUED);
            // Sends that are still queued fail instead of starting.
            sock.send_error = raw::ECANCELED as u16;
            if sock.flags.has(Flags::ARMED) {
                let (fd, times) = (sock.fd, sock.accepts.max(1));
                for _ in 0..times {
                    self.push_cancel(handle.receive_tag(), fd);
                }
            }
        }
        let in_flight: Vec<u32> =
            self.slots.indices().filter(|&i| self.slots.at(i).is_some_and(|slot| slot.state == State::InFlight)).collect();
        for index in in_flight {
            if let Some(Slot { handle: Some(handle), result, work: Work::Send { data, zc }, .. }) = self.slots.at(index)
                && *zc != ZeroCopy::No
            {
                let whole = *result == data.len() as i64;
                if whole && !pressing {
                    continue;
                }
                let handle = *handle;
                self.reset_when_closed(handle);
            }
            self.cancel_slot(index);
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.mailbox.close();
        if self.drain() {
            // The kernel is done with every buffer: now descriptors and memory may go.
            self.end_engines();
            self.driver.surrender(&Env { pool: &self.pool, counters: &self.counters });
            let handles: Vec<Handle> = self.handles().collect();
            handles.into_iter().for_each(|handle| self.drop_handle(handle));
            return;
        }
        self.cut_engines_off();
        let (_, leaked) = self.outstanding();
        self.counters.leaked.add(leaked as u64);
        LEAKED.fetch_add(leaked, Ordering::Relaxed);
        // Some requests are still the kernel's (a disk or a device that doesn't answer). Their memory is never freed:
        // the slots with their buffers here, the pool because buffers of it are still out.
        let slots = Box::new(std::mem::replace(&mut self.slots, Slab::new()));
        let silent = Box::new(std::mem::take(&mut self.silent));
        let posted = Box::new(std::mem::take(&mut self.posted));
        // Kept where leak checkers see that it is meant.
        let rows = [Box::into_raw(silent) as usize, Box::into_raw(posted) as usize];
        let kept = [Box::into_raw(slots) as usize, self.pool.address()].into_iter().chain(rows);
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
    }
}

impl Port {
    /// Resets the connections of engines, for there is no time left for more.
    fn cut_engines_off(&mut self) {
        if self.hosting().is_none() {
            return;
        }
        let handles: Vec<Handle> = self.handles().filter(|&handle| self.is_engines(handle)).collect();
        handles.into_iter().for_each(|handle| self.drop_handle(handle));
        self.hosting().into_iter().for_each(|hosting| hosting.abort_all());
        let _ = self.turn(Patience::Poll);
    }

    /// Closes the sockets of engines, and waits until what they have to send is sent: nobody else will do it. What is not
    /// acknowledged within the linger time is reset.
    fn end_engines(&mut self) {
        if self.hosting().is_none() {
            return;
        }
        let handles: Vec<Handle> = self.handles().filter(|&handle| self.is_engines(handle)).collect();
        handles.into_iter().for_each(|handle| self.drop_handle(handle));
        let started = self.clock.fresh();
        while self.hosting().is_some_and(|hosting| hosting.is_draining()) {
            if self.since(started) >= self.config.linger {
                self.hosting().into_iter().for_each(|hosting| hosting.abort_all());
                break;
            }
            if self.turn(Patience::Until(self.clock.moment() + TURN)).is_err() {
                break;
            }
        }
        // The last segments go out.
        let _ = self.turn(Patience::Poll);
        for _ in 0..LAST_TURNS {
            let env = Env { pool: &self.pool, counters: &self.counters };
            let free = self.driver.hosting_mut().is_none_or(|hosting| hosting.let_go_of_links(&env));
            if free || self.turn(Patience::Until(self.clock.moment() + TURN)).is_err() {
                break;
            }
        }
    }

    /// Closes the descriptor of a handle on which nothing is in flight, and frees its record and what it had received.
    fn drop_handle(&mut self, handle: Handle) {
        self.discard_received(handle);
        if let Some(sock) = self.socks.remove(handle.index) {
            if sock.flags.has(Flags::ENGINE) {
                return self.drop_engine_socket(sock.fd, sock.flags.has(Flags::SHUT));
            }
            // SAFETY: the record owned the descriptor and is gone; SHUT means close(2) has been done.
            let fd = (!sock.flags.has(Flags::SHUT)).then(|| unsafe { OwnedFd::from_raw_fd(sock.fd) });
            drop(fd);
        }
    }
}

static LEAKED: AtomicUsize = AtomicUsize::new(0);

/// Where the slots and pools are that were never freed.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// How many requests the ports of this process have left with the kernel when their teardown's deadline was past. Their
/// memory was leaked, for the kernel might still write to it.
pub fn leaked_requests() -> usize {
    LEAKED.load(Ordering::Relaxed)
}
