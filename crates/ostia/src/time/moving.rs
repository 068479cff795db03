//! Timers that were set on one worker and polled on another: asked for there, and waited for here.
//!
//! Hardly anybody does this, so what it takes stands in one table for all, and costs the others nothing: a timer is plain
//! data that nobody has to drop.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ostia_port::TimerKey;

use crate::sync::oneshot;
use crate::task;

#[derive(Default)]
struct Table {
    last: u64,
    answers: BTreeMap<u64, oneshot::Receiver<Option<Instant>>>,
}

fn table() -> MutexGuard<'static, Table> {
    static TABLE: Mutex<Table> = Mutex::new(Table { last: 0, answers: BTreeMap::new() });
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a timer taken out of its worker's wheel. Gives its number here.
#[cold]
pub(super) fn ask(worker: u32, key: TimerKey) -> u64 {
    let (answer, answered) = oneshot::channel();
    // If that worker has gone, so has the answer.
    task::call(worker, move |core| {
        let _ = answer.send(core.take_timer(key));
    });
    let mut table = table();
    table.last += 1;
    let number = table.last;
    table.answers.insert(number, answered);
    number
}

/// When a timer is due that was asked for; none if it has fired.
///
/// # Panics
/// If its worker has ended before it answered.
#[cold]
pub(super) fn poll(number: u64, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
    let polled = match table().answers.get_mut(&number) {
        Some(answered) => Pin::new(answered).poll(cx),
        None => return Poll::Ready(None),
    };
    let answer = ready!(polled);
    forget(number);
    match answer {
        Ok(due) => Poll::Ready(due),
        Err(_) => panic!("the worker that this timer was set on has ended, and its timers with it"),
    }
}

/// The timer is not wanted any more.
#[cold]
pub(super) fn forget(number: u64) {
    let answered = table().answers.remove(&number);
    drop(answered);
}

/// Takes a timer out of the wheel of a worker that is not this one.
#[cold]
pub(super) fn clear(worker: u32, key: TimerKey) {
    task::call(worker, move |core| {
        let _ = core.take_timer(key);
    });
}
