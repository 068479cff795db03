//! The heart of the shared port on Windows, where the system has had one since 1994: packets first in first out, threads
//! last in first out, at most so many running, and who blocks is known at once, whatever it blocks on.
//!
//! A packet stands in a queue here, and a *token* for it in the completion port. Whoever is handed a token may take the packet
//! in front. So packets need no memory of their own, keep their order, and can be dropped at the end; and which thread runs
//! is for Windows to say. What is counted here is only told, never decided upon.
//!
//! Run under Wine 8 so far, which neither limits how many run nor prefers the last to wait.

use std::collections::VecDeque;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED_ENTRY, PostQueuedCompletionStatus,
};

use super::ended::{PortEnded, Refused};
use super::parker::Parker;
use super::sync::{Patience, lock};
use crate::os::thread::millis;
use crate::remote::Remote;

/// The completion key of a token.
const TOKEN: usize = 0;
/// Of the packet that says that there are no more. Whoever takes it posts it again, for the next.
const END: usize = 1;

/// The most tokens that one wait takes.
const BATCH: usize = 64;

/// What a member is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A vacant seat.
    Vacant,
    /// Neither waiting nor dealing with a packet.
    Outside,
    Waiting,
    /// Deals with a packet.
    Running,
    /// As `Running`, but has said that it may block.
    Blocked,
}

struct State<T> {
    packets: VecDeque<T>,
    seats: Vec<Phase>,
    vacant: Vec<u32>,
    waiting: usize,
    running: usize,
    ended: Option<PortEnded>,
    /// Whom to wake when packets wait and no member does.
    growers: Vec<Arc<Parker>>,
    /// The port thread sleeps until no more than this many packets wait.
    stalled: Option<(usize, Arc<Parker>)>,
}

/// See the file's head.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    port: OwnedHandle,
}

/// Whom to wake once the lock is let go.
#[derive(Default)]
pub(super) struct Wakes(Vec<Arc<Parker>>);

/// A member to look at. Windows looks by itself: there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) thread: i32,
    pub(super) asleep: bool,
}

/// What a queue holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) packets: usize,
    pub(super) members: usize,
    pub(super) waiting: usize,
    pub(super) running: usize,
}

impl Wakes {
    fn go(&mut self) {
        self.0.drain(..).for_each(|parker| parker.unpark());
    }
}

impl<T> State<T> {
    fn set_phase(&mut self, seat: u32, phase: Phase) {
        let old = std::mem::replace(&mut self.seats[seat as usize], phase);
        self.running -= usize::from(old == Phase::Running);
        self.waiting -= usize::from(old == Phase::Waiting);
        self.running += usize::from(phase == Phase::Running);
        self.waiting += usize::from(phase == Phase::Waiting);
    }

    /// Packets wait and no member does: Windows has nobody to release, should one that runs block.
    fn starves(&self) -> bool {
        !self.packets.is_empty() && self.waiting == 0 && self.ended.is_none()
    }

    fn call_for_help(&self, wakes: &mut Wakes) {
        if self.starves() {
            wakes.0.extend(self.growers.iter().cloned());
        }
    }

    /// Wakes the port thread if it has waited for this much room.
    fn end_stall(&mut self, wakes: &mut Wakes) {
        let waiting = self.packets.len();
        if let Some((_, parker)) = self.stalled.take_if(|(few, _)| waiting <= *few) {
            wakes.0.push(parker);
        }
    }
}

impl<T> Queue<T> {
    /// A queue of which so many threads may run at once.
    ///
    /// # Panics
    /// If Windows has no memory for a completion port.
    pub(super) fn new(limit: usize) -> Queue<T> {
        Queue {
            state: Mutex::new(State {
                packets: VecDeque::new(),
                seats: Vec::new(),
                vacant: Vec::new(),
                waiting: 0,
                running: 0,
                ended: None,
                growers: Vec::new(),
                stalled: None,
            }),
            port: completion_port(limit),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    fn post(&self, key: usize) {
        // Fails only for want of memory; the packet's turn then comes with the next token.
        // SAFETY: the packet refers to nothing.
        unsafe { PostQueuedCompletionStatus(self.port.as_raw_handle(), 0, key, std::ptr::null()) };
    }

    /// A thread becomes a member: it gets a seat.
    pub(super) fn join(&self, _: Arc<Parker>, _: i32) -> u32 {
        let mut state = self.lock();
        if let Some(index) = state.vacant.pop() {
            state.set_phase(index, Phase::Outside);
            return index;
        }
        state.seats.push(Phase::Outside);
        (state.seats.len() - 1) as u32
    }

    /// A member goes: it ends, or waits on another port from now on. It must not be waiting here.
    pub(super) fn leave(&self, seat: u32) {
        let mut state = self.lock();
        state.set_phase(seat, Phase::Vacant);
        state.vacant.push(seat);
        drop(state);
        belong_nowhere();
    }

    /// Takes up to `max` packets (at least 1) for a member, which from here on counts as waiting, and with a packet as
    /// running; answers how many, 0 when the time is over.
    pub(super) fn wait(
        &self,
        seat: u32,
        _: &Parker,
        max: usize,
        timeout: Option<Duration>,
        mut out: impl FnMut(T),
    ) -> Result<usize, PortEnded> {
        let mut state = self.lock();
        if let Some(ended) = state.ended {
            state.set_phase(seat, Phase::Outside);
            return Err(ended);
        }
        state.set_phase(seat, Phase::Waiting);
        drop(state);
        let patience = Patience::of(timeout);
        loop {
            let (tokens, ends) = self.tokens(max.min(BATCH), patience.left());
            if ends {
                self.post(END);
            }
            let mut wakes = Wakes::default();
            let mut state = self.lock();
            if let Some(ended) = state.ended {
                state.set_phase(seat, Phase::Outside);
                return Err(ended);
            }
            let count = tokens.min(state.packets.len());
            if count == 0 {
                if patience.left().is_some_and(|left| left.is_zero()) {
                    state.set_phase(seat, Phase::Outside);
                    return Ok(0);
                }
                continue;
            }
            state.set_phase(seat, Phase::Running);
            state.packets.drain(..count).for_each(&mut out);
            state.call_for_help(&mut wakes);
            state.end_stall(&mut wakes);
            drop(state);
            wakes.go();
            return Ok(count);
        }
    }

    /// Waits for tokens; answers how many, and whether the end has been announced.
    fn tokens(&self, max: usize, left: Option<Duration>) -> (usize, bool) {
        // SAFETY: plain data for which zeroes are valid.
        let mut entries = unsafe { std::mem::zeroed::<[OVERLAPPED_ENTRY; BATCH]>() };
        let count = fetch(self.port.as_raw_handle(), &mut entries[..max], left);
        let tokens = entries[..count].iter().filter(|entry| entry.lpCompletionKey == TOKEN).count();
        (tokens, tokens < count)
    }

    /// The port thread's visit: appends what it has reaped and releases members for it. Answers how many more packets may
    /// come before `bound` of them wait, and that it need not watch anybody. After the end packets are dropped.
    pub(super) fn deliver(&self, packets: &mut Vec<T>, bound: usize, wakes: &mut Wakes) -> (usize, bool) {
        let mut state = self.lock();
        // It is here, not asleep.
        state.stalled = None;
        let mut tokens = 0;
        if state.ended.is_none() {
            tokens = packets.len();
            state.packets.extend(packets.drain(..));
            state.call_for_help(wakes);
        }
        let room = bound.saturating_sub(state.packets.len());
        drop(state);
        (0..tokens).for_each(|_| self.post(TOKEN));
        wakes.go();
        packets.clear();
        (room, false)
    }

    /// Appends a packet if fewer than `bound` wait; else gives it back.
    pub(super) fn push(&self, packet: T, bound: usize) -> Result<(), Refused<T>> {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if state.ended.is_some() {
            return Err(Refused::Ended(packet));
        }
        if state.packets.len() >= bound {
            return Err(Refused::Full(packet));
        }
        state.packets.push_back(packet);
        state.call_for_help(&mut wakes);
        drop(state);
        self.post(TOKEN);
        wakes.go();
        Ok(())
    }

    /// Asks that `parker` be woken when no more than `few` packets wait; false if that is so already.
    pub(super) fn stall(&self, few: usize, parker: &Arc<Parker>) -> bool {
        let mut state = self.lock();
        let full = state.packets.len() > few && state.ended.is_none();
        state.stalled = full.then(|| (few, Arc::clone(parker)));
        full
    }

    /// A running member may block: Windows would see it do so, and releases another for it already now. True if it counted as
    /// running, and [`unblock`](Self::unblock) is to follow.
    pub(super) fn block(&self, seat: u32) -> bool {
        let mut state = self.lock();
        if state.seats[seat as usize] != Phase::Running {
            return false;
        }
        state.set_phase(seat, Phase::Blocked);
        drop(state);
        belong_nowhere();
        true
    }

    /// It goes on. Windows counts it again when it next waits; until then more may run than the limit says.
    pub(super) fn unblock(&self, seat: u32) {
        let mut state = self.lock();
        if state.seats[seat as usize] == Phase::Blocked {
            state.set_phase(seat, Phase::Running);
        }
    }

    /// Ends the queue: every wait, present and to come, answers `why`; packets that wait are dropped, and none comes again.
    pub(super) fn end(&self, why: PortEnded) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(why);
        let packets = std::mem::take(&mut state.packets);
        wakes.0.append(&mut state.growers);
        wakes.0.extend(state.stalled.take().map(|(_, parker)| parker));
        drop(state);
        self.post(END);
        wakes.go();
        drop(packets);
    }

    /// Why the queue has ended, if it has.
    pub(super) fn ended(&self) -> Option<PortEnded> {
        self.lock().ended
    }

    /// What is there now.
    pub(super) fn census(&self) -> Census {
        let state = self.lock();
        let members = state.seats.len() - state.vacant.len();
        Census { packets: state.packets.len(), members, waiting: state.waiting, running: state.running }
    }

    /// From now on `grower` is woken when packets wait for members.
    pub(super) fn add_grower(&self, grower: Arc<Parker>) {
        self.lock().growers.push(grower);
    }

    /// No more so.
    pub(super) fn remove_grower(&self, grower: &Arc<Parker>) {
        self.lock().growers.retain(|other| !Arc::ptr_eq(other, grower));
    }

    /// Whether packets wait and no member does.
    pub(super) fn is_starving(&self) -> bool {
        self.lock().starves()
    }

    /// Windows sees by itself who is asleep.
    pub(super) fn set_watcher(&self, _: Remote) {}

    /// Gives back memory that a burst has left.
    pub(super) fn cool(&self) {
        let mut state = self.lock();
        if state.packets.is_empty() && state.packets.capacity() > 1024 {
            state.packets.shrink_to(64);
        }
    }

    /// Nobody need be looked at.
    pub(super) fn suspects(&self, out: &mut Vec<Suspect>) {
        out.clear();
    }

    /// Nobody has been.
    pub(super) fn judge(&self, _: &[Suspect]) {}
}

/// A completion port that lets so many threads run.
fn completion_port(limit: usize) -> OwnedHandle {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    // SAFETY: no handle is associated.
    let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, std::ptr::null_mut(), 0, limit) };
    assert!(!port.is_null(), "no completion port: {}", std::io::Error::last_os_error());
    // SAFETY: made just now.
    unsafe { OwnedHandle::from_raw_handle(port) }
}

/// Takes packets out of a completion port.
fn fetch(port: HANDLE, entries: &mut [OVERLAPPED_ENTRY], left: Option<Duration>) -> usize {
    let mut count = 0;
    // SAFETY: there is room for as many entries as is said.
    let fetched =
        unsafe { GetQueuedCompletionStatusEx(port, entries.as_mut_ptr(), entries.len() as u32, &mut count, millis(left), 0) };
    if fetched == 0 { 0 } else { count as usize }
}

/// This thread belongs to no queue from now on: it waits, for no time, on a port that never has anything. A thread counts as
/// running for the port that it last waited on, and for no other.
fn belong_nowhere() {
    static NOWHERE: OnceLock<OwnedHandle> = OnceLock::new();
    // SAFETY: plain data for which zeroes are valid.
    let mut entry = unsafe { std::mem::zeroed::<[OVERLAPPED_ENTRY; 1]>() };
    fetch(NOWHERE.get_or_init(|| completion_port(0)).as_raw_handle(), &mut entry, Some(Duration::ZERO));
}
