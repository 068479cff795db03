//! A worker's tasks: numbered, queued, polled within their budgets, dropped, and counted into and out of servers.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use async_task::Runnable;

use crate::counters::count;
use crate::here;
use crate::observe::Histograms;
use crate::serve::gate::Gate;
use crate::task::{Meta, spawn_here};
use crate::worker::{Abort, BUDGET, Core, NO_TASK, TASKS_PER_TURN};

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

    // Always, for it is called in two places and the compiler would make it a function.
    #[inline(always)]
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
        self.pulse.begin(slot);
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
    pub(super) fn run_tasks(&self) -> usize {
        let ready = self.queue.borrow().len().min(TASKS_PER_TURN);
        for _ in 0..ready {
            let Some(runnable) = self.queue.borrow_mut().pop_front() else { break };
            self.run_task(runnable);
        }
        ready
    }

    /// As [`run_tasks`](Self::run_tasks), where somebody wants to know how long that takes.
    #[cold]
    pub(super) fn run_tasks_timed(&self, histograms: &Histograms) {
        let ready = self.queue.borrow().len().min(TASKS_PER_TURN);
        for _ in 0..ready {
            let Some(runnable) = self.queue.borrow_mut().pop_front() else { break };
            let began = Instant::now();
            self.run_task(runnable);
            histograms.polled(began);
        }
        histograms.tasks(ready);
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
    pub(super) fn abort_all(&self) {
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

    pub(super) fn gate(&self, group: u8) -> Option<Arc<Gate>> {
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
