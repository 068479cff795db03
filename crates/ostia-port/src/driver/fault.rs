//! A driver that misbehaves within the rules: short transfers, late and reordered events, dry buffers, cancels that lose.

use crate::os::{BorrowedFd, RawFd, raw};
use std::io;

use rustix::net::{SocketType, sockopt};

use crate::clock::{Clock, Patience};
use crate::config::DriverKind;
use crate::driver::{Driver, Env, Hosting, is_hosted};
use crate::engine::{Engine, EngineId};
use crate::features::Features;
use crate::pool::Pool;
use crate::port::Usual;
use crate::sys::{CURRENT, Event, Sys};
use crate::tag::{Tag, TagKind};

/// Which faults a port injects between itself and its driver, for tests of what stands on it.
///
/// All of them are things that a real system may do: whoever survives them survives the system. The same seed injects
/// the same faults into the same requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Where the choice of faults begins.
    pub seed: u64,
    /// Of 256 transfers, how many are cut short.
    pub short: u8,
    /// Of 256 events, how many are held back for a few turns, and so overtaken by others.
    pub late: u8,
    /// Of 256 receives, how many first find no buffer (ENOBUFS).
    pub dry: u8,
}

impl Faults {
    /// All faults, each often.
    #[must_use]
    pub fn all(seed: u64) -> Faults {
        Faults { seed, short: 96, late: 64, dry: 48 }
    }
}

/// The wrapper.
pub(crate) struct Faulty {
    inner: Driver,
    faults: Faults,
    random: u64,
    /// Events held back, with the turns they still wait.
    held: Vec<(u8, Event)>,
    scratch: Vec<Event>,
}

impl Faulty {
    pub(crate) fn new(inner: Driver, faults: Faults) -> Faulty {
        Faulty { inner, faults, random: faults.seed | 1, held: Vec::new(), scratch: Vec::new() }
    }

    pub(crate) fn host(&mut self, engine: Box<dyn Engine>, clock: Clock) -> EngineId {
        self.inner.host(engine, clock)
    }

    pub(crate) fn hosting(&self) -> Option<&Hosting> {
        self.inner.hosting()
    }

    pub(crate) fn hosting_mut(&mut self) -> Option<&mut Hosting> {
        self.inner.hosting_mut()
    }

    pub(crate) fn kind(&self) -> DriverKind {
        self.inner.kind()
    }

    pub(crate) fn features(&self) -> Features {
        self.inner.features()
    }

    /// A send that is to be cut short is a request.
    pub(crate) fn sends_directly(&self) -> bool {
        false
    }

    pub(crate) fn accepts_are_held(&mut self, tag: Tag) -> bool {
        self.inner.accepts_are_held(tag)
    }

    pub(crate) fn is_settled(&mut self) -> bool {
        true
    }

    pub(crate) fn datagrams_strained(&self) -> bool {
        self.inner.datagrams_strained()
    }

    /// One draw of a xorshift generator.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 24
    }

    fn strikes(&mut self, of_256: u8) -> bool {
        of_256 > 0 && (self.draw() & 0xff) < u64::from(of_256)
    }

    /// Cuts a transfer, unless what it moves has boundaries: no system cuts a datagram in two.
    fn shorten(&mut self, fd: RawFd, len: usize) -> usize {
        if len < 2 || !self.strikes(self.faults.short) {
            return len;
        }
        if is_hosted(fd) {
            let whole = self.hosting().is_some_and(|hosting| hosting.keeps_boundaries(fd));
            return if whole { len } else { 1 + (self.draw() as usize) % (len - 1) };
        }
        // SAFETY: the port keeps the descriptor open while a request names it.
        match sockopt::socket_type(unsafe { BorrowedFd::borrow_raw(fd) }) {
            Ok(kind) if kind != SocketType::STREAM => len,
            _ => 1 + (self.draw() as usize) % (len - 1),
        }
    }

    pub(crate) fn push(&mut self, tag: Tag, mut sys: Sys, env: &Env<'_>) {
        match &mut sys {
            Sys::Send { fd, len, flags, .. } => {
                *flags &= !raw::MSG_WAITALL;
                *len = self.shorten(*fd, *len);
            }
            Sys::Recv { fd, len, .. } | Sys::Read { fd, len, .. } | Sys::Write { fd, len, .. } => *len = self.shorten(*fd, *len),
            Sys::Receive { .. } | Sys::ReceiveMsg { .. } | Sys::ReadPool { .. } if self.strikes(self.faults.dry) => {
                env.counters.buffers_dry.add(1);
                return self.held.push((0, Event::last(tag, -raw::ENOBUFS)));
            }
            _ => {}
        }
        debug_assert!(!matches!(sys, Sys::Read { len: 0, offset: CURRENT, .. }), "a read of nothing looks like end of file");
        self.inner.push(tag, sys, env);
    }

    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd, env: &Env<'_>) {
        // A cancel loses its race whenever the event it was meant to prevent is among those held back.
        self.inner.cancel(tag, fd, env);
    }

    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        _: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        let patience = if self.held.is_empty() { patience } else { Patience::Poll };
        let mut fresh = std::mem::take(&mut self.scratch);
        let turned = self.inner.turn(patience, &mut fresh, None, env);
        // First those whose time has come, then the new ones: an event never overtakes an older one of its own tag.
        let mut kept = Vec::new();
        for (turns, event) in std::mem::take(&mut self.held) {
            let waits_behind = kept.iter().any(|(_, earlier): &(u8, Event)| earlier.tag == event.tag);
            if turns == 0 && !waits_behind { out.push(event) } else { kept.push((turns.saturating_sub(1), event)) }
        }
        self.held = kept;
        for event in fresh.drain(..) {
            let waits_behind = self.held.iter().any(|(_, earlier)| earlier.tag == event.tag);
            if waits_behind || (event.tag.kind() != Some(TagKind::Wake) && self.strikes(self.faults.late)) {
                let turns = (self.draw() % 3) as u8;
                self.held.push((turns, event));
            } else {
                out.push(event);
            }
        }
        self.scratch = fresh;
        turned
    }

    #[cfg(windows)]
    pub(crate) fn meet(&mut self, fd: RawFd) {
        self.inner.meet(fd);
    }

    pub(crate) fn forget(&mut self, fd: RawFd) {
        self.inner.forget(fd);
    }

    pub(crate) fn release(&mut self, fd: RawFd) -> io::Result<()> {
        self.inner.release(fd)
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        self.inner.cool(env);
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.inner.surrender(env);
    }

    pub(crate) fn buffers_needed(&self) -> usize {
        self.inner.buffers_needed()
    }

    pub(crate) fn give_way(&mut self, pool: &Pool) {
        self.inner.give_way(pool);
    }

    pub(crate) fn ready_for_descriptors(&self) -> usize {
        self.inner.ready_for_descriptors()
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        self.inner.buffers_ready()
    }
}
