//! A worker: one thread's port, timers and tasks, and the loop that turns them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::Runnable;
use ostia_port::{Config, Port, TimerKey, Wheel};

use crate::counters::{Counters, WorkerStatistics, count};
use crate::inbox::{self, Inbox, Message};
use crate::operation::OpState;
use crate::paged::Paged;
use crate::serve::gate::Gate;
use crate::task::{Meta, spawn_here};
use crate::{WorkerId, here};
use crate::net::splice::Pipes;

/// The number of no task.
pub(crate) const NO_TASK: u32 = u32::MAX;
/// How many I/O operations a task may complete in one turn before others have theirs.
const BUDGET: u32 = 128;
/// The most tasks polled before the port is looked after.
const TASKS_PER_TURN: usize = 512;
/// Timers later than this are counted as late.
const LATE: u64 = 5;

/// The tick of no timer.
const NO_TICK: u64 = u64::MAX;

/// Whom a timer wakes, in four bytes: a task by its number, or a waker in `timer_wakers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Target(NonZeroU32);

impl Target {
    #[inline]
    fn task(slot: u32) -> Target {
        Target(NonZeroU32::MIN | slot << 1)
    }

    fn waker(index: u32) -> Target {
        Target(NonZeroU32::MIN.saturating_add(index << 1 | 1))
    }

    /// The task's number; none for a waker.
    #[inline]
    fn as_task(self) -> Option<u32> {
        (self.0.get() & 1 == 1).then_some(self.0.get() >> 1)
    }

    fn as_waker(self) -> u32 {
        (self.0.get() - 2) >> 1
    }
}

/// Whom to wake: a task of this worker by its number, which costs nothing to note, or any waker.
#[derive(Debug)]
pub(crate) enum Wake {
    Task(u32),
    Other(Waker),
}

/// The context of a notification says what it is in its highest byte: the number of a task …
const FOR_TASK: u64 = 0;
/// … or a handle and its direction, for which somebody's waker is noted.
const FOR_RECEIVE: u64 = 1 << 56;
const FOR_SEND: u64 = 2 << 56;

/// Which direction of a handle is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Receive,
    Send,
}

pub(crate) struct Core {
    pub(crate) id: u32,
    pub(crate) port: RefCell<Port>,
    pub(crate) counters: Counters,
    /// Tasks that are to be polled.
    queue: RefCell<VecDeque<Runnable<Meta>>>,
    /// The wakers of all tasks that are alive, by their numbers.
    tasks: RefCell<Paged<Waker>>,
    /// The task that is being polled, its group, and whether its future has said that it is ready.
    current: Cell<u32>,
    /// Where the current task is in memory, which is what its wakers hold.
    current_task: Cell<*const ()>,
    group: Cell<u8>,
    pub(crate) completed: Cell<bool>,
    /// How many operations the current task may still complete in this turn.
    budget: Cell<u32>,
    timers: RefCell<Wheel<Target>>,
    fired: RefCell<Vec<Target>>,
    /// Wakers of timers that are not simply for a task.
    timer_wakers: RefCell<Paged<Waker>>,
    /// No timer is due before this tick.
    next_due: Cell<u64>,
    /// A timer that the current task has just given up: it may set another one.
    parked: Cell<Option<TimerKey>>,
    /// The first tick that is not before now: milliseconds since the port was made.
    next_tick: Cell<u64>,
    /// Operations that are awaited.
    pub(crate) operations: RefCell<Paged<OpState>>,
    /// Who else waits for handles: those that are not simply the current task.
    others: RefCell<HashMap<u64, Waker>>,
    /// Wakers that are to be woken when nothing is borrowed.
    to_wake: RefCell<Vec<Waker>>,
    inbox: Arc<Inbox>,
    messages: RefCell<Vec<Message>>,
    /// The servers whose connections are tasks here, by their group numbers less one.
    groups: RefCell<Vec<Option<Arc<Gate>>>>,
    /// Tasks that are dropped instead of polled: of this group, or all.
    aborting: Cell<Option<Abort>>,
    stop_at: Cell<Option<Instant>>,
    root_ready: Cell<bool>,
    pub(crate) pipes: RefCell<Pipes>,
    /// Whether pipes are at rest, which are to go if they are not needed.
    pub(crate) pipes_rest: Cell<bool>,
    /// All workers of this runtime.
    pub(crate) siblings: RefCell<Arc<[WorkerId]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Abort {
    All,
    Group(u8),
}

impl Core {
    pub(crate) fn new(config: Config) -> io::Result<Core> {
        let port = Port::with(config)?;
        let (id, inbox) = inbox::register(port.remote())?;
        tracing::debug!(worker = id, driver = %port.driver(), features = ?port.features(), "worker made");
        Ok(Core {
            id,
            port: RefCell::new(port),
            counters: Counters::default(),
            queue: RefCell::default(),
            tasks: RefCell::new(Paged::new()),
            current: Cell::new(NO_TASK),
            current_task: Cell::new(std::ptr::null()),
            group: Cell::new(0),
            completed: Cell::new(false),
            budget: Cell::new(BUDGET),
            timers: RefCell::new(Wheel::new()),
            fired: RefCell::default(),
            timer_wakers: RefCell::new(Paged::new()),
            next_due: Cell::new(NO_TICK),
            parked: Cell::new(None),
            next_tick: Cell::new(0),
            operations: RefCell::new(Paged::new()),
            others: RefCell::default(),
            to_wake: RefCell::default(),
            inbox,
            messages: RefCell::default(),
            groups: RefCell::default(),
            aborting: Cell::new(None),
            stop_at: Cell::new(None),
            root_ready: Cell::new(false),
            pipes: RefCell::default(),
            pipes_rest: Cell::new(false),
            siblings: RefCell::new(Arc::from([WorkerId(id)])),
        })
    }

    /// The time of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.port.borrow().now()
    }

    pub(crate) fn statistics(&self) -> WorkerStatistics {
        let (pipes_in_use, pipes_at_rest) = self.pipes.borrow().counts();
        WorkerStatistics {
            worker: WorkerId(self.id),
            tasks: self.counters.read(),
            port: self.port.borrow().statistics(),
            tasks_alive: self.tasks_alive(),
            pipes_in_use,
            pipes_at_rest,
            blocking_threads: crate::blocking::threads(),
        }
    }

    pub(crate) fn tasks_alive(&self) -> usize {
        self.tasks.borrow().len()
    }
}

/// Tasks.
impl Core {
    #[inline]
    pub(crate) fn enqueue(&self, runnable: Runnable<Meta>) {
        self.queue.borrow_mut().push_back(runnable);
    }

    /// Gives a task that begins here its number.
    pub(crate) fn adopt_task(&self, runnable: &Runnable<Meta>) -> u32 {
        let slot = self.tasks.borrow_mut().insert(runnable.waker());
        runnable.metadata().set_slot(slot);
        count(&self.counters.spawned);
        slot
    }

    /// The current task's future is being dropped: it is forgotten.
    pub(crate) fn current_ended(&self) {
        let waker = self.tasks.borrow_mut().remove(self.current.get());
        if waker.is_none() {
            return;
        }
        count(&self.counters.ended);
        if !self.completed.get() {
            count(&self.counters.aborted);
        }
        if let Some(gate) = self.gate(self.group.get()) {
            gate.leave(self.id);
        }
    }

    /// Does something that drops futures which are not the current task's.
    pub(crate) fn as_no_task<R>(&self, f: impl FnOnce() -> R) -> R {
        let current = self.current.replace(NO_TASK);
        let task = self.current_task.replace(std::ptr::null());
        let result = f();
        self.current.set(current);
        self.current_task.set(task);
        result
    }

    #[inline]
    fn run_task(&self, runnable: Runnable<Meta>) {
        let meta = runnable.metadata();
        let mut slot = meta.slot();
        if slot == NO_TASK {
            slot = self.adopt_task(&runnable);
        }
        let group = meta.group();
        let task = runnable.into_raw();
        // SAFETY: `into_raw` has just given this up.
        let runnable: Runnable<Meta> = unsafe { Runnable::from_raw(task) };
        self.current.set(slot);
        self.current_task.set(task.as_ptr());
        self.group.set(group);
        self.budget.set(BUDGET);
        self.completed.set(false);
        match self.aborting.get() {
            Some(abort) if abort == Abort::All || abort == Abort::Group(group) => drop(runnable),
            _ => {
                count(&self.counters.polls);
                runnable.run();
            }
        }
        self.turn_over();
        self.current.set(NO_TASK);
        self.current_task.set(std::ptr::null());
        self.group.set(0);
    }

    /// Polls the tasks that are to be polled now; those that they wake come next time.
    fn run_tasks(&self) -> usize {
        let ready = self.queue.borrow().len().min(TASKS_PER_TURN);
        for _ in 0..ready {
            let Some(runnable) = self.queue.borrow_mut().pop_front() else { break };
            self.run_task(runnable);
        }
        ready
    }

    /// Whether the current task may complete one more operation; else it is polled again after the others.
    #[inline]
    pub(crate) fn spend(&self, cx: &Context<'_>) -> bool {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                true
            }
            None => {
                count(&self.counters.budget_spent);
                cx.waker().wake_by_ref();
                false
            }
        }
    }

    /// Drops all tasks.
    fn abort_all(&self) {
        self.aborting.set(Some(Abort::All));
        // Dropping one may spawn others, which may go on so; the bound ends that.
        for _ in 0..64 {
            if self.tasks_alive() == 0 && self.queue.borrow().is_empty() {
                break;
            }
            self.wake_all();
            while self.run_tasks() > 0 {}
        }
    }

    /// Drops the tasks of a group.
    pub(crate) fn abort_group(&self, group: u8) {
        self.aborting.set(Some(Abort::Group(group)));
        self.wake_all();
    }

    /// Has every task polled once.
    pub(crate) fn wake_all(&self) {
        self.tasks.borrow().iter().for_each(Waker::wake_by_ref);
    }

    /// A number for the connections of a server; 0 if 255 servers run here already.
    pub(crate) fn join_group(&self, gate: Arc<Gate>) -> u8 {
        let mut groups = self.groups.borrow_mut();
        let free = groups.iter().position(Option::is_none).unwrap_or(groups.len());
        if free >= 255 {
            return 0;
        }
        if free == groups.len() {
            groups.push(None);
        }
        groups[free] = Some(gate);
        free as u8 + 1
    }

    /// The server is done here; its number may be used again.
    pub(crate) fn leave_group(&self, group: u8) {
        if let Some(place) = self.groups.borrow_mut().get_mut(usize::from(group).wrapping_sub(1)) {
            *place = None;
        }
        if self.aborting.get() == Some(Abort::Group(group)) {
            self.aborting.set(None);
        }
    }

    /// As [`leave_group`](Self::leave_group), once the last connection here has ended.
    pub(crate) fn leave_group_when_empty(&self, group: u8) {
        if self.gate(group).is_none_or(|gate| gate.live_on(self.id) == 0) {
            self.leave_group(group);
        } else {
            let leaving = spawn_here(self, 0, async move {
                loop {
                    crate::time::sleep(Duration::from_millis(10)).await;
                    if here::with(|core| core.gate(group).is_none_or(|gate| gate.live_on(core.id) == 0)).unwrap_or(true) {
                        break;
                    }
                }
                here::with(|core| core.leave_group(group));
            });
            leaving.1.detach();
        }
    }

    fn gate(&self, group: u8) -> Option<Arc<Gate>> {
        if group == 0 {
            return None;
        }
        self.groups.borrow().get(usize::from(group) - 1)?.clone()
    }

    /// Whether the server that the current task's connection belongs to is being stopped.
    #[inline]
    pub(crate) fn current_stopping(&self) -> bool {
        let group = usize::from(self.group.get());
        group != 0 && self.groups.borrow().get(group - 1).is_some_and(|gate| gate.as_ref().is_some_and(|g| g.is_stopping()))
    }
}

/// Waiting for handles.
impl Core {
    /// Whether the waker is the current task's own.
    #[inline]
    fn is_current(&self, waker: &Waker) -> bool {
        // The address of a task that lives is in no other waker.
        std::ptr::eq(self.current_task.get(), waker.data())
    }

    /// Polls the port for something on a handle. If it is pending, the notification wakes the caller's waker.
    #[inline]
    pub(crate) fn poll_handle<T>(
        &self,
        cx: &Context<'_>,
        handle: ostia_port::Handle,
        side: Side,
        mut poll: impl FnMut(&mut Port, u64) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.spend(cx) {
            return Poll::Pending;
        }
        let result = poll(&mut self.port.borrow_mut(), FOR_TASK | u64::from(self.current.get()));
        if result.is_pending() && !self.is_current(cx.waker()) {
            // Somebody polls with a waker of their own: the notification is to find that one.
            let context = handle.to_bits() | if side == Side::Receive { FOR_RECEIVE } else { FOR_SEND };
            self.note_other(context, cx.waker());
            return poll(&mut self.port.borrow_mut(), context);
        }
        result
    }

    #[cold]
    fn note_other(&self, context: u64, waker: &Waker) {
        let mut others = self.others.borrow_mut();
        if !others.get(&context).is_some_and(|noted| noted.will_wake(waker)) {
            let old = others.insert(context, waker.clone());
            // A waker may do anything when it is dropped: nothing may be borrowed then.
            drop(others);
            drop(old);
        }
    }

    /// Nobody waits for this handle any more.
    #[inline]
    pub(crate) fn forget_handle(&self, handle: ostia_port::Handle) {
        if self.others.borrow().is_empty() {
            return;
        }
        for side in [FOR_RECEIVE, FOR_SEND] {
            let old = self.others.borrow_mut().remove(&(handle.to_bits() | side));
            drop(old);
        }
    }

    /// How to wake whoever polls now.
    #[inline]
    pub(crate) fn wake_for(&self, waker: &Waker) -> Wake {
        if self.is_current(waker) { Wake::Task(self.current.get()) } else { Wake::Other(waker.clone()) }
    }

    /// Whether `wake` would wake whoever polls now.
    #[inline]
    pub(crate) fn would_wake(&self, wake: &Wake, waker: &Waker) -> bool {
        match wake {
            Wake::Task(slot) => *slot == self.current.get() && self.is_current(waker),
            Wake::Other(noted) => noted.will_wake(waker),
        }
    }

    #[inline]
    pub(crate) fn wake(&self, wake: Wake) {
        match wake {
            Wake::Task(slot) => self.wake_task(slot),
            Wake::Other(waker) => waker.wake(),
        }
    }

    /// Wakes a task by its number. That may be another's by now, which is then polled for nothing.
    #[inline]
    fn wake_task(&self, slot: u32) {
        if let Some(waker) = self.tasks.borrow().get(slot) {
            waker.wake_by_ref();
        }
    }
}

/// Timers.
impl Core {
    /// Sets a timer for whoever polls now.
    #[inline]
    pub(crate) fn set_timer(&self, after: Duration, waker: &Waker) -> TimerKey {
        // Rounded up twice: never early.
        let millis = after.as_secs().saturating_mul(1000).saturating_add(u64::from(after.subsec_nanos().div_ceil(1_000_000)));
        let tick = self.next_tick.get().saturating_add(millis);
        let mut timers = self.timers.borrow_mut();
        if let Some(parked) = self.parked.take() {
            // The usual case: one operation is done, the next has the same time limit.
            match timers.postpone(parked, tick) {
                Some(target) if target.as_task() == Some(self.current.get()) && self.is_current(waker) => return parked,
                _ => drop(timers),
            }
            self.remove_timer(parked);
            timers = self.timers.borrow_mut();
        }
        self.next_due.set(self.next_due.get().min(tick));
        timers.insert(tick, self.target(waker))
    }

    fn target(&self, waker: &Waker) -> Target {
        if self.is_current(waker) {
            Target::task(self.current.get())
        } else {
            Target::waker(self.timer_wakers.borrow_mut().insert(waker.clone()))
        }
    }

    /// Makes a timer wake whoever polls now; false if it has fired.
    #[inline]
    pub(crate) fn renew_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(target) = timers.get_mut(key) else { return false };
        let same = match target.as_task() {
            Some(slot) => slot == self.current.get() && self.is_current(waker),
            None => self.timer_wakers.borrow().get(target.as_waker()).is_some_and(|noted| noted.will_wake(waker)),
        };
        if !same {
            let old = std::mem::replace(target, self.target(waker));
            drop(timers);
            self.forget_target(old);
        }
        true
    }

    fn forget_target(&self, target: Target) {
        if target.as_task().is_none() {
            let waker = self.timer_wakers.borrow_mut().remove(target.as_waker());
            drop(waker);
        }
    }

    /// Gives a timer up. It stays in the wheel until the current task's turn is over, for the next one to take over.
    #[inline]
    pub(crate) fn clear_timer(&self, key: TimerKey) {
        if self.current.get() != NO_TASK && self.parked.get().is_none() {
            self.parked.set(Some(key));
        } else {
            self.remove_timer(key);
        }
    }

    fn remove_timer(&self, key: TimerKey) {
        let target = self.timers.borrow_mut().remove(key);
        if let Some(target) = target {
            self.forget_target(target);
        }
    }

    /// The current task has been polled: a timer that it gave up and did not take over goes.
    #[inline]
    fn turn_over(&self) {
        if let Some(parked) = self.parked.take() {
            self.remove_timer(parked);
        }
    }

    #[cold]
    fn fire_timers(&self, tick: u64) {
        let mut timers = self.timers.borrow_mut();
        if tick - self.next_due.get() > LATE {
            count(&self.counters.late_turns);
        }
        let mut fired = self.fired.take();
        timers.advance(tick, |target| fired.push(target));
        self.next_due.set(timers.next_tick().unwrap_or(NO_TICK));
        drop(timers);
        self.counters.timers_fired.set(self.counters.timers_fired.get() + fired.len() as u64);
        for target in fired.drain(..) {
            match target.as_task() {
                Some(slot) => self.wake_task(slot),
                None => {
                    let waker = self.timer_wakers.borrow_mut().remove(target.as_waker());
                    waker.into_iter().for_each(Waker::wake);
                }
            }
        }
        self.fired.replace(fired);
    }
}

/// The loop.
impl Core {
    /// Waits for the port as long as nothing else is to be done, and wakes those whom its completions concern.
    fn wait(&self) -> io::Result<()> {
        count(&self.counters.turns);
        let mut port = self.port.borrow_mut();
        if !self.queue.borrow().is_empty() || self.root_ready.get() || self.inbox.is_full() {
            port.wait(Some(Duration::ZERO))?;
        } else if let Some(stop) = self.stop_at.get() {
            let tick = Duration::from_millis(self.next_due.get());
            let timer = tick.saturating_sub(Duration::from_nanos(port.nanos()));
            port.wait(Some(timer.min(stop.saturating_duration_since(Instant::now()))))?;
        } else if self.next_due.get() != NO_TICK {
            port.wait_until_tick(self.next_due.get())?;
        } else {
            port.wait(None)?;
        }
        let nanos = port.nanos();
        self.next_tick.set(nanos.div_ceil(1_000_000));
        loop {
            while let Some(context) = port.next_notification() {
                if context < FOR_RECEIVE {
                    self.wake_task(context as u32);
                } else {
                    self.to_wake.borrow_mut().extend(self.others.borrow_mut().remove(&context));
                }
            }
            let Some(completion) = port.next() else { break };
            if completion.id.is_some() {
                self.operation_done(&mut port, completion, &mut self.to_wake.borrow_mut());
            }
        }
        if self.pipes_rest.get() {
            self.pipes_rest.set(self.pipes.borrow_mut().cool(nanos, &mut port));
        }
        drop(port);
        if !self.to_wake.borrow().is_empty() {
            let mut to_wake = self.to_wake.take();
            to_wake.drain(..).for_each(Waker::wake);
            self.to_wake.replace(to_wake);
        }
        if nanos / 1_000_000 >= self.next_due.get() {
            self.fire_timers(nanos / 1_000_000);
        }
        Ok(())
    }

    #[inline]
    fn read_inbox(&self) {
        if !self.inbox.is_full() {
            return;
        }
        let mut messages = self.messages.take();
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Run(runnable) => {
                    count(&self.counters.wakes_remote);
                    self.enqueue(runnable);
                }
                Message::Call(what) => what(self),
                Message::Close(handle) => self.close(handle),
                Message::Stop(at) => self.stop_at.set(Some(at)),
            }
        }
        self.messages.replace(messages);
    }

    /// Closes a handle and forgets who waited for it.
    pub(crate) fn close(&self, handle: ostia_port::Handle) {
        self.forget_handle(handle);
        self.port.borrow_mut().close(handle);
    }

    /// Turns the loop until `done`.
    fn turn_until(&self, mut done: impl FnMut() -> bool) -> io::Result<()> {
        loop {
            self.read_inbox();
            self.run_tasks();
            if done() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Turns the loop until `future` is ready. To be called on the thread that has entered this worker.
    pub(crate) fn drive<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        // The future is on this stack and can't be a task; a task stands in for it and gives it its waker.
        let (slot, proxy) = spawn_here(
            self,
            0,
            std::future::poll_fn(|_| {
                here::with(|core| core.root_ready.set(true));
                Poll::<()>::Pending
            }),
        );
        let Some(waker) = self.tasks.borrow().get(slot).cloned() else {
            return Err(io::Error::other("the worker has lost a task that it has just made"));
        };
        let mut output = None;
        let turned = self.turn_until(|| {
            if self.root_ready.take() {
                self.current.set(slot);
                self.current_task.set(waker.data());
                self.budget.set(BUDGET);
                if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    output = Some(ready);
                }
                self.turn_over();
                self.current.set(NO_TASK);
                self.current_task.set(std::ptr::null());
            }
            output.is_some()
        });
        drop(proxy);
        self.run_tasks();
        turned?;
        output.ok_or_else(|| io::Error::other("the loop has ended before its future"))
    }

    /// Turns the loop of a worker that has no future of its own, until it is stopped and its tasks have ended or the
    /// time for that is over.
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.turn_until(|| match self.stop_at.get() {
            None => false,
            Some(at) => self.tasks_alive() == 0 || self.now() >= at || Instant::now() >= at,
        })
    }

    /// Turns the loop until all tasks have ended or a moment has come.
    pub(crate) fn drain(&self, until: Instant) -> io::Result<()> {
        self.stop_at.set(Some(until));
        self.serve()
    }

    /// Ends the worker: tasks that are left are dropped, nobody reaches it any more. How many were dropped.
    pub(crate) fn finish(&self) -> u64 {
        let before = self.counters.aborted.get();
        self.abort_all();
        inbox::unregister(self.id);
        self.read_inbox();
        while self.run_tasks() > 0 {}
        let dropped = self.counters.aborted.get() - before;
        tracing::debug!(worker = self.id, ended = self.counters.ended.get(), dropped, "worker ended");
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_or_the_other() {
        assert_eq!(size_of::<Option<Target>>(), 4);
        for number in [0, 1, 77, (1 << 31) - 2] {
            assert_eq!(Target::task(number).as_task(), Some(number));
            assert_eq!(Target::waker(number).as_task(), None);
            assert_eq!(Target::waker(number).as_waker(), number);
        }
    }

    #[test]
    fn whom_to_wake_fits_a_waker() {
        assert_eq!(size_of::<Wake>(), 16);
    }
}
