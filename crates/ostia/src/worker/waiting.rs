//! Waiting for handles and operations: how a notification of the port finds the waker of whoever asked.

use std::io;
use std::task::{Context, Poll, Waker};

use ostia_port::Port;

use crate::worker::{Core, FOR_RECEIVE, FOR_SEND, FOR_TASK, Side, Wake};

impl Core {
    /// Whether the waker is the current task's own.
    #[inline]
    pub(super) fn is_current(&self, waker: &Waker) -> bool {
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
        poll: impl FnOnce(&mut Port, u64) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.spend(cx) {
            return Poll::Pending;
        }
        let context = if self.is_current(cx.waker()) {
            FOR_TASK | u64::from(self.current.get())
        } else {
            // Somebody polls with a waker of their own: the notification is to find that one. If there is none, since the
            // answer is there at once, the waker is noted for nothing until the next time or the handle's end.
            let context = handle.to_bits() | if side == Side::Receive { FOR_RECEIVE } else { FOR_SEND };
            self.note_other(context, cx.waker());
            context
        };
        poll(&mut self.port.borrow_mut(), context)
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
    pub(super) fn wake_task(&self, slot: u32) {
        if let Some(waker) = self.tasks.borrow().get(slot) {
            waker.wake_by_ref();
        }
    }
}
