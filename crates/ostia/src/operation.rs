//! Operations of the port as futures: posted at once, awaited for their completion, cancelled or kept when dropped.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ostia_port::{Chunk, Completion, Handle, Op, OpId, Payload, Port};

use crate::here;
use crate::worker::{Core, Wake};

/// What is known of an operation that somebody awaits, or did.
pub(crate) enum OpState {
    /// In flight; whom to wake.
    Waiting(Option<Wake>),
    Done(Completion),
    /// Nobody awaits it any more.
    Left(Leftover),
    /// Nobody ever awaits it: this is called with its completion, or dropped with the worker.
    Then(Then),
}

/// What is to be done with a completion. The port is in use meanwhile: whoever is to be woken goes into the vector.
pub(crate) type Then = Box<dyn FnOnce(Completion, &mut Vec<Waker>)>;

/// What is to be done with the completion of an operation that nobody awaits any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leftover {
    /// Nothing: it may complete or be cancelled.
    Drop,
    /// Bytes received past `from` in its buffer go back to the handle.
    Unread { handle: Handle, from: usize },
}

/// An operation that was posted on this worker's port.
#[derive(Debug)]
pub(crate) struct Operation {
    worker: u32,
    slot: u32,
    id: OpId,
    keep: bool,
    leftover: Leftover,
    finished: bool,
    _one_thread: PhantomData<*const ()>,
}

impl Core {
    /// Posts an operation. Dropping the future cancels it.
    pub(crate) fn operate(&self, op: Op) -> Operation {
        let slot = self.operations.borrow_mut().insert(OpState::Waiting(None));
        let id = self.port.borrow_mut().submit(op, u64::from(slot));
        let worker = self.id;
        Operation { worker, slot, id, keep: false, leftover: Leftover::Drop, finished: false, _one_thread: PhantomData }
    }

    /// Posts an operation that nobody awaits. It is not cancelled before the worker's end.
    pub(crate) fn operate_then(&self, op: Op, then: Then) {
        let slot = self.operations.borrow_mut().insert(OpState::Then(then));
        self.port.borrow_mut().submit(op, u64::from(slot));
    }

    /// Keeps a completion for whoever awaits it, or does what they left to do.
    pub(crate) fn operation_done(&self, port: &mut Port, completion: Completion, wake: &mut Vec<Waker>) {
        let mut operations = self.operations.borrow_mut();
        let slot = completion.context as u32;
        match operations.get_mut(slot) {
            Some(state @ OpState::Waiting(_)) => {
                let waiting = std::mem::replace(state, OpState::Done(completion));
                drop(operations);
                match waiting {
                    OpState::Waiting(Some(Wake::Other(waker))) => wake.push(waker),
                    OpState::Waiting(Some(task)) => self.wake(task),
                    _ => {}
                }
            }
            Some(OpState::Left(leftover)) => {
                let leftover = *leftover;
                operations.remove(slot);
                drop(operations);
                if let Leftover::Unread { .. } = leftover {
                    self.left_reads.set(self.left_reads.get() - 1);
                }
                clean_up(port, completion.payload, leftover);
            }
            Some(OpState::Then(_)) => {
                let state = operations.remove(slot);
                drop(operations);
                if let Some(OpState::Then(then)) = state {
                    then(completion, wake);
                }
            }
            _ => {}
        }
    }
}

/// What arrived for somebody who has gone stays with its handle; what was made for them is closed.
fn clean_up(port: &mut Port, payload: Payload, leftover: Leftover) {
    match (payload, leftover) {
        (Payload::Handle(handle), _) => port.close(handle),
        (Payload::Buffer(buffer), Leftover::Unread { handle, from }) if buffer.len() > from => {
            // A handle that is closed by now has nobody who could miss the bytes.
            let _ = port.unread(handle, Chunk::from(buffer[from..].to_vec()));
        }
        _ => {}
    }
}

impl Operation {
    /// Lets the operation go on when the future is dropped.
    pub(crate) fn kept(mut self) -> Operation {
        self.keep = true;
        self
    }

    /// Puts received bytes back to `handle` if the future is dropped before it has given them out.
    pub(crate) fn unreading(mut self, handle: Handle, from: usize) -> Operation {
        self.leftover = Leftover::Unread { handle, from };
        self
    }
}

impl Future for Operation {
    type Output = io::Result<Completion>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = here::home(self.worker, |core| {
            let mut operations = core.operations.borrow_mut();
            match operations.get_mut(self.slot) {
                Some(OpState::Waiting(wake)) => {
                    let old = match wake {
                        Some(wake) if core.would_wake(wake, cx.waker()) => None,
                        _ => wake.replace(core.wake_for(cx.waker())),
                    };
                    drop(operations);
                    drop(old);
                    Ok(None)
                }
                _ => match operations.remove(self.slot) {
                    Some(OpState::Done(completion)) => Ok(Some(completion)),
                    _ => Err(io::Error::other("an operation was polled after its completion")),
                },
            }
        });
        match polled {
            Ok(None) => Poll::Pending,
            Ok(Some(completion)) => {
                self.finished = true;
                Poll::Ready(Ok(completion))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let abandoned = here::home(self.worker, |core| {
            let mut operations = core.operations.borrow_mut();
            let state = match operations.get_mut(self.slot) {
                Some(state @ OpState::Waiting(_)) => std::mem::replace(state, OpState::Left(self.leftover)),
                _ => OpState::Left(Leftover::Drop),
            };
            let state = match state {
                OpState::Left(_) => operations.remove(self.slot),
                state => Some(state),
            };
            drop(operations);
            let mut port = core.port.borrow_mut();
            match state {
                Some(OpState::Done(completion)) => clean_up(&mut port, completion.payload, self.leftover),
                Some(OpState::Waiting(wake)) => {
                    if let Leftover::Unread { .. } = self.leftover {
                        core.left_reads.set(core.left_reads.get() + 1);
                    }
                    if !self.keep {
                        port.cancel(self.id);
                    }
                    drop(port);
                    drop(wake);
                }
                _ => {}
            }
            Ok(())
        });
        // Off its worker an operation can't be reached: it completes there, and its record waits for the worker's end.
        drop(abandoned);
    }
}

/// Posts an operation on the current worker and awaits its completion.
///
/// # Errors
/// Outside of a runtime.
pub(crate) fn post(op: Op) -> io::Result<Operation> {
    match here::with(|core| core.operate(op)) {
        Some(operation) => Ok(operation),
        None => Err(here::elsewhere()),
    }
}

/// Posts an operation on the worker that an object belongs to, which must be this one.
///
/// # Errors
/// On another worker.
pub(crate) fn post_home(worker: u32, op: Op) -> io::Result<Operation> {
    here::home(worker, |core| Ok(core.operate(op)))
}
