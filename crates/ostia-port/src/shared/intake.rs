//! The way to the port thread: a bounded queue of commands, taken all at once, and the record that is kept under its lock.

use std::sync::PoisonError;

use super::ended::Refused;
use super::sync::{Condvar, Mutex, MutexGuard, lock};

struct State<C, R> {
    commands: Vec<C>,
    /// How many of them count towards the bound.
    counted: usize,
    /// How many threads wait for room.
    waiting: usize,
    open: bool,
    /// What the senders and the port thread both must know.
    registry: R,
}

/// Commands `C` in the order they were sent, and a registry `R` that changes with them.
pub(super) struct Intake<C, R> {
    state: Mutex<State<C, R>>,
    room: Condvar,
    bound: usize,
}

/// Whether the sender must wake the port thread: the commands before this one have been taken. Whoever sent the first
/// that has not been taken does it, and one wake-up is enough for all.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IsFirst(pub(super) bool);

impl<C, R> Intake<C, R> {
    pub(super) fn new(bound: usize, registry: R) -> Intake<C, R> {
        let state = State { commands: Vec::new(), counted: 0, waiting: 0, open: true, registry };
        Intake { state: Mutex::new(state), room: Condvar::new(), bound }
    }

    fn lock(&self) -> MutexGuard<'_, State<C, R>> {
        lock(&self.state)
    }

    /// Sends the command that `make` builds of `item`, if there is room; waits for it if `patient`.
    pub(super) fn send<T, X>(
        &self,
        item: T,
        patient: bool,
        make: impl FnOnce(T, &mut R) -> (C, X),
    ) -> Result<(X, IsFirst), Refused<T>> {
        let mut state = self.lock();
        while state.open && state.counted >= self.bound {
            if !patient {
                return Err(Refused::Full(item));
            }
            state.waiting += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if !state.open {
            return Err(Refused::Ended(item));
        }
        let (command, answer) = make(item, &mut state.registry);
        let first = IsFirst(state.commands.is_empty());
        state.commands.push(command);
        state.counted += 1;
        Ok((answer, first))
    }

    /// Sends the command that `make` builds, full or not: for what must never be lost and is bounded otherwise (an
    /// operation is cancelled once, a handle closed once). None if the intake is closed or `make` finds nothing to send.
    pub(super) fn send_surely(&self, make: impl FnOnce(&mut R) -> Option<C>) -> Option<IsFirst> {
        let mut state = self.lock();
        if !state.open {
            return None;
        }
        let command = make(&mut state.registry)?;
        let first = IsFirst(state.commands.is_empty());
        state.commands.push(command);
        Some(first)
    }

    /// Takes all commands into `out`, which must be empty, after `settle` has told the registry what has happened. False when
    /// no more will come.
    pub(super) fn take(&self, out: &mut Vec<C>, settle: impl FnOnce(&mut R)) -> bool {
        let mut state = self.lock();
        settle(&mut state.registry);
        std::mem::swap(&mut state.commands, out);
        state.counted = 0;
        if state.waiting > 0 {
            self.room.notify_all();
        }
        state.open
    }

    /// Takes no more commands; whoever waits for room is refused. Those that are there are still taken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        self.room.notify_all();
    }

    /// Changes the registry.
    pub(super) fn registry<X>(&self, change: impl FnOnce(&mut R) -> X) -> X {
        change(&mut self.lock().registry)
    }

    /// How many commands wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.lock().commands.len()
    }
}
