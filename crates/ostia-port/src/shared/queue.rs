//! The heart of the shared port: packets first in first out, waiting members last in first out, at most so many running.
//!
//! Everything here happens under one short lock; threads are woken after it has been let go. A packet is not left for
//! whoever comes first: it is handed to the member that is released for it, which from then on counts as running. So the
//! three orders hold whatever the scheduler does with the threads meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ended::{PortEnded, Refused};
use super::parker::Parker;
use super::sync::{Mutex, MutexGuard, Patience, lock};
use crate::remote::Remote;

/// What a member is doing, as far as the queue knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A vacant seat.
    Vacant,
    /// Neither waiting nor dealing with a packet.
    Outside,
    /// On the stack of those that wait.
    Waiting,
    /// A packet was handed to it and it has not got up yet. Counts as running.
    Handed,
    /// Deals with a packet. Counts as running.
    Running,
    /// As `Running`, but has said that it may block.
    Blocked,
    /// As `Running`, but was seen asleep.
    Asleep,
}

/// A member's place in the queue.
struct Seat<T> {
    phase: Phase,
    /// Counts changes of phase, so that what was seen of an earlier one is not taken for this.
    epoch: u32,
    handed: Option<T>,
    parker: Option<Arc<Parker>>,
    /// The kernel's number of the thread.
    thread: i32,
}

struct State<T> {
    packets: VecDeque<T>,
    seats: Vec<Seat<T>>,
    vacant: Vec<u32>,
    /// Who waits, the last to come at the end.
    waiting: Vec<u32>,
    running: usize,
    /// The most that may run.
    limit: usize,
    ended: Option<PortEnded>,
    /// Whom to wake when packets wait and no member does, though one more may run.
    growers: Vec<Arc<Parker>>,
    /// The port thread, to be woken when packets wait and as many run as may: then it looks who is asleep.
    watcher: Option<Remote>,
    /// It has been told, and looks until it says that it doesn't any more.
    watching: bool,
    /// The port thread sleeps until no more than this many packets wait.
    stalled: Option<(usize, Arc<Parker>)>,
}

/// Whom to wake once the lock is let go. Made once by whoever wakes often: it keeps its memory.
#[derive(Default)]
pub(super) struct Wakes {
    /// The usual one needs no vector.
    first: Option<Arc<Parker>>,
    others: Vec<Arc<Parker>>,
    watcher: Option<Remote>,
}

/// A member to look at: its seat, what it was doing, its thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    seat: u32,
    epoch: u32,
    pub(super) thread: i32,
    pub(super) asleep: bool,
}

/// How many members are looked at in one round at most.
const SUSPECTS_MAX: usize = 64;

/// See the file's head.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
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
    fn add(&mut self, parker: &Arc<Parker>) {
        let parker = Arc::clone(parker);
        match self.first {
            None => self.first = Some(parker),
            Some(_) => self.others.push(parker),
        }
    }

    /// Wakes them all. To be called without the lock.
    #[inline]
    pub(super) fn go(&mut self) {
        if let Some(parker) = self.first.take() {
            parker.unpark();
            self.others.drain(..).for_each(|parker| parker.unpark());
        }
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

impl<T> State<T> {
    fn set_phase(&mut self, seat: u32, phase: Phase) {
        let seat = &mut self.seats[seat as usize];
        seat.phase = phase;
        seat.epoch = seat.epoch.wrapping_add(1);
    }

    /// The member no longer deals with a packet.
    fn rest(&mut self, seat: u32) {
        if self.seats[seat as usize].phase == Phase::Running {
            self.running -= 1;
        }
        self.set_phase(seat, Phase::Outside);
    }

    /// Takes up to `max` packets for a member that doesn't wait, if one more may run.
    fn take(&mut self, seat: u32, max: usize, out: &mut impl FnMut(T)) -> usize {
        if self.running >= self.limit || self.packets.is_empty() {
            return 0;
        }
        self.running += 1;
        self.set_phase(seat, Phase::Running);
        self.take_more(max, out)
    }

    fn take_more(&mut self, max: usize, out: &mut impl FnMut(T)) -> usize {
        let count = self.packets.len().min(max);
        self.packets.drain(..count).for_each(out);
        count
    }

    /// Hands packets to members as long as packets and members wait and one more may run.
    fn release(&mut self, wakes: &mut Wakes) {
        while self.running < self.limit
            && !self.packets.is_empty()
            && let Some(seat) = self.waiting.pop()
        {
            self.running += 1;
            self.set_phase(seat, Phase::Handed);
            let packet = self.packets.pop_front();
            let seat = &mut self.seats[seat as usize];
            seat.handed = packet;
            if let Some(parker) = &seat.parker {
                wakes.add(parker);
            }
        }
        self.call_for_help(wakes);
    }

    /// Packets wait: if one more may run, a pool can grow; if not, somebody who counts as running may be asleep.
    fn call_for_help(&mut self, wakes: &mut Wakes) {
        if self.starves() {
            self.growers.iter().for_each(|grower| wakes.add(grower));
        } else if self.is_worth_watching() && !self.watching {
            self.watching = self.watcher.is_some();
            wakes.watcher.clone_from(&self.watcher);
        }
    }

    /// Packets wait for members, not the other way round.
    fn starves(&self) -> bool {
        !self.packets.is_empty() && self.waiting.is_empty() && self.running < self.limit
    }

    /// Packets wait because as many run as may, and there is somebody who could take them.
    fn is_worth_watching(&self) -> bool {
        !self.packets.is_empty()
            && self.running >= self.limit
            && self.running > 0
            && !(self.waiting.is_empty() && self.growers.is_empty())
    }

    /// Wakes the port thread if it has waited for this much room.
    fn end_stall(&mut self, wakes: &mut Wakes) {
        let waiting = self.packets.len();
        if let Some((_, parker)) = self.stalled.take_if(|(few, _)| waiting <= *few) {
            wakes.add(&parker);
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn new(limit: usize) -> Queue<T> {
        Queue {
            state: Mutex::new(State {
                packets: VecDeque::new(),
                seats: Vec::new(),
                vacant: Vec::new(),
                waiting: Vec::new(),
                running: 0,
                limit,
                ended: None,
                growers: Vec::new(),
                watcher: None,
                watching: false,
                stalled: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    /// A thread becomes a member: it gets a seat.
    pub(super) fn join(&self, parker: Arc<Parker>, thread: i32) -> u32 {
        let mut state = self.lock();
        if let Some(index) = state.vacant.pop() {
            state.set_phase(index, Phase::Outside);
            let seat = &mut state.seats[index as usize];
            (seat.parker, seat.thread) = (Some(parker), thread);
            return index;
        }
        state.seats.push(Seat { phase: Phase::Outside, epoch: 0, handed: None, parker: Some(parker), thread });
        (state.seats.len() - 1) as u32
    }

    /// A member goes: it ends, or waits on another port from now on. It must not be waiting here.
    pub(super) fn leave(&self, seat: u32) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.rest(seat);
        state.set_phase(seat, Phase::Vacant);
        state.seats[seat as usize].parker = None;
        state.vacant.push(seat);
        state.release(&mut wakes);
        drop(state);
        wakes.go();
    }

    /// Takes up to `max` packets (at least 1) for a member, which from here on counts as waiting, and with a packet as
    /// running; answers how many, 0 when the time is over. `parker` is the one that it joined with.
    pub(super) fn wait(
        &self,
        seat: u32,
        parker: &Parker,
        max: usize,
        timeout: Option<Duration>,
        mut out: impl FnMut(T),
    ) -> Result<usize, PortEnded> {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.rest(seat);
        if let Some(ended) = state.ended {
            return Err(ended);
        }
        let taken = state.take(seat, max, &mut out);
        if taken > 0 {
            // What is left is for other members, if more may run.
            state.call_for_help(&mut wakes);
            state.end_stall(&mut wakes);
            drop(state);
            wakes.go();
            return Ok(taken);
        }
        // Only those who will sleep read the clock.
        let patience = Patience::of(timeout);
        if patience == Patience::None {
            return Ok(0);
        }
        state.set_phase(seat, Phase::Waiting);
        state.waiting.push(seat);
        // With somebody to take them, packets that wait may be worth a look at who runs.
        state.call_for_help(&mut wakes);
        drop(state);
        wakes.go();
        self.sleep(seat, parker, max, patience, &mut out)
    }

    /// The rest of `wait`, for those who have found nothing and stand on the stack.
    fn sleep(
        &self,
        seat: u32,
        parker: &Parker,
        max: usize,
        patience: Patience,
        out: &mut impl FnMut(T),
    ) -> Result<usize, PortEnded> {
        loop {
            let woken = parker.park(patience);
            let mut state = self.lock();
            match state.seats[seat as usize].phase {
                Phase::Handed => {
                    state.set_phase(seat, Phase::Running);
                    if let Some(packet) = state.seats[seat as usize].handed.take() {
                        out(packet);
                    }
                    let more = state.take_more(max - 1, out);
                    let mut wakes = Wakes::default();
                    state.end_stall(&mut wakes);
                    drop(state);
                    wakes.go();
                    return Ok(1 + more);
                }
                Phase::Waiting if !woken => {
                    // Those that time out have usually waited longest, and stand in front.
                    let place = state.waiting.iter().position(|&other| other == seat);
                    place.map(|place| state.waiting.remove(place));
                    state.set_phase(seat, Phase::Outside);
                    return Ok(0);
                }
                // A wake that was meant for an earlier wait.
                Phase::Waiting => {}
                _ => return Err(state.ended.unwrap_or(PortEnded::CLOSED)),
            }
        }
    }

    /// The port thread's visit: appends what it has reaped and releases members for it. Answers how many more packets may
    /// come before `bound` of them wait, and whether it should watch who is asleep. After the end packets are dropped.
    pub(super) fn deliver(&self, packets: &mut Vec<T>, bound: usize, wakes: &mut Wakes) -> (usize, bool) {
        let mut state = self.lock();
        // It is here, not asleep.
        state.stalled = None;
        if state.ended.is_none() && !packets.is_empty() {
            state.packets.extend(packets.drain(..));
            state.release(wakes);
        }
        let answer = (bound.saturating_sub(state.packets.len()), state.watching);
        drop(state);
        // It has been told by the answer.
        wakes.watcher = None;
        wakes.go();
        packets.clear();
        answer
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
        state.release(&mut wakes);
        drop(state);
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

    /// A running member is about to block: another may run meanwhile. True if it counted as running, and
    /// [`unblock`](Self::unblock) is to follow.
    pub(super) fn block(&self, seat: u32) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        match state.seats[seat as usize].phase {
            Phase::Running => state.running -= 1,
            Phase::Asleep => {}
            _ => return false,
        }
        state.set_phase(seat, Phase::Blocked);
        state.release(&mut wakes);
        drop(state);
        wakes.go();
        true
    }

    /// It goes on. Nobody is stopped for it: until the next wait of somebody more may run than the limit says.
    pub(super) fn unblock(&self, seat: u32) {
        let mut state = self.lock();
        // Whoever has waited in between is counted anew already.
        if state.seats[seat as usize].phase == Phase::Blocked {
            state.running += 1;
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
        let waiting = std::mem::take(&mut state.waiting);
        for seat in waiting {
            state.set_phase(seat, Phase::Outside);
            if let Some(parker) = &state.seats[seat as usize].parker {
                wakes.add(parker);
            }
        }
        std::mem::take(&mut state.growers).iter().for_each(|grower| wakes.add(grower));
        if let Some((_, parker)) = state.stalled.take() {
            wakes.add(&parker);
        }
        state.watcher = None;
        drop(state);
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
        Census {
            packets: state.packets.len(),
            members: state.seats.len() - state.vacant.len(),
            waiting: state.waiting.len(),
            running: state.running,
        }
    }

    /// From now on `grower` is woken when packets wait for members.
    pub(super) fn add_grower(&self, grower: Arc<Parker>) {
        self.lock().growers.push(grower);
    }

    /// No more so.
    pub(super) fn remove_grower(&self, grower: &Arc<Parker>) {
        self.lock().growers.retain(|other| !Arc::ptr_eq(other, grower));
    }

    /// Whether packets wait, no member does, and one more may run.
    pub(super) fn is_starving(&self) -> bool {
        self.lock().starves()
    }

    /// From now on `watcher` is woken when somebody should look who is asleep.
    pub(super) fn set_watcher(&self, watcher: Remote) {
        self.lock().watcher = Some(watcher);
    }

    /// Gives back memory that a burst has left.
    pub(super) fn cool(&self) {
        let mut state = self.lock();
        if state.packets.is_empty() && state.packets.capacity() > 1024 {
            state.packets.shrink_to(64);
        }
    }

    /// Whom to look at; none, and the watch is over, when it would help nobody.
    pub(super) fn suspects(&self, out: &mut Vec<Suspect>) {
        out.clear();
        let mut state = self.lock();
        state.watching = state.is_worth_watching();
        if state.watching {
            // Those that hold the places first, then those that may have woken.
            for phase in [Phase::Running, Phase::Asleep] {
                let those = state.seats.iter().zip(0..).filter(|(seat, _)| seat.phase == phase);
                let asleep = phase == Phase::Asleep;
                let suspect =
                    |(seat, index): (&Seat<T>, u32)| Suspect { seat: index, epoch: seat.epoch, thread: seat.thread, asleep };
                out.extend(those.map(suspect).take(SUSPECTS_MAX - out.len()));
            }
        }
    }

    /// Takes what was seen: who sleeps doesn't count as running, who has woken does again.
    pub(super) fn judge(&self, seen: &[Suspect]) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        for suspect in seen {
            let seat = &state.seats[suspect.seat as usize];
            // Whoever has waited or ended since is somebody else.
            if seat.epoch != suspect.epoch {
                continue;
            }
            match (seat.phase, suspect.asleep) {
                (Phase::Running, true) => {
                    state.running -= 1;
                    state.set_phase(suspect.seat, Phase::Asleep);
                }
                (Phase::Asleep, false) => {
                    state.running += 1;
                    state.set_phase(suspect.seat, Phase::Running);
                }
                _ => {}
            }
        }
        state.release(&mut wakes);
        drop(state);
        wakes.go();
    }
}
