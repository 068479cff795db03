//! Tasks that belong together: spawned into a set, joined in the order in which they end, aborted with it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::WorkerId;
use crate::task::{self, JoinError, JoinHandle};

/// A set of tasks whose outputs are of one type.
///
/// [`join_next`](Self::join_next) gives the outputs in the order in which the tasks end. Dropping the set aborts those that
/// have not ended, so no task of a set outlives it, unless it was [let go](Self::detach_all): they are dropped on their
/// workers at their next turn, those of one worker in the order in which they were spawned (of which those come first that
/// were about to run). A closure of [`spawn_blocking`](Self::spawn_blocking) that has begun runs to its end.
///
/// A task that panics gives an error and harms nobody else. Outputs that nobody has taken are dropped with the set.
///
/// A set of outputs that are not `Send` can be used for tasks of its own worker, and stays there.
///
/// ```
/// use ostia::JoinSet;
///
/// ostia::block_on(async {
///     let mut set = JoinSet::new();
///     for number in 0..10u64 {
///         set.spawn(async move { number * number });
///     }
///     let mut sum = 0;
///     while let Some(square) = set.join_next().await {
///         sum += square.unwrap();
///     }
///     assert_eq!(sum, 285);
/// });
/// ```
pub struct JoinSet<T> {
    /// In the order of spawning, in which they are aborted: the same in every run of a program.
    tasks: BTreeMap<TaskKey, JoinHandle<()>>,
    next: u64,
    ended: Arc<Mutex<Ended<T>>>,
    /// One that has ended without output; its handle is about to say why.
    failing: Option<(TaskKey, JoinHandle<()>)>,
}

/// Names a task within its [`JoinSet`]. Keys are ordered as the tasks were spawned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TaskKey(u64);

/// What the tasks leave for their set.
struct Ended<T> {
    /// In the order of their ends: who, and its output, if it came to that.
    queue: VecDeque<(TaskKey, Option<T>)>,
    waker: Option<Waker>,
}

fn lock<T>(ended: &Mutex<Ended<T>>) -> MutexGuard<'_, Ended<T>> {
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Goes with a task and reports its end, whichever it is: an output, or the drop of this.
struct Report<T> {
    key: TaskKey,
    to: Option<Arc<Mutex<Ended<T>>>>,
}

impl<T> Report<T> {
    fn end(&mut self, output: Option<T>) {
        let Some(to) = self.to.take() else { return };
        let mut ended = lock(&to);
        ended.queue.push_back((self.key, output));
        let waker = ended.waker.take();
        drop(ended);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

pin_project_lite::pin_project! {
    /// A task's future, whose output goes to its set.
    struct Reporting<F: Future> {
        // Before the report: a future that is dropped is gone when that is heard of.
        #[pin]
        future: Option<F>,
        report: Report<F::Output>,
    }
}

impl<F: Future> Future for Reporting<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        // What the task held is gone when its end is heard of.
        this.future.set(None);
        this.report.end(Some(output));
        Poll::Ready(())
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> JoinSet<T> {
        let ended = Arc::new(Mutex::new(Ended { queue: VecDeque::new(), waker: None }));
        JoinSet { tasks: BTreeMap::new(), next: 0, ended, failing: None }
    }

    /// How many tasks there are whose end was not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len() + usize::from(self.failing.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn report(&mut self) -> Report<T> {
        let key = TaskKey(self.next);
        self.next += 1;
        Report { key, to: Some(Arc::clone(&self.ended)) }
    }

    /// Waits for the next task to end: its output, or why there is none. None if the set is empty. Cancel safe.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        std::future::poll_fn(|cx| self.poll_join_next(cx)).await.map(|(_, result)| result)
    }

    /// As [`join_next`](Self::join_next), and says which task it was. Cancel safe.
    pub async fn join_next_with_key(&mut self) -> Option<(TaskKey, Result<T, JoinError>)> {
        std::future::poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next_with_key`](Self::join_next_with_key), for futures written by hand.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TaskKey, Result<T, JoinError>)>> {
        loop {
            if let Some((key, handle)) = &mut self.failing {
                let Poll::Ready(result) = Pin::new(handle).poll(cx) else { return Poll::Pending };
                let key = *key;
                self.failing = None;
                match result {
                    Err(error) => return Poll::Ready(Some((key, Err(error)))),
                    // It ended well, without an output: only a task that nobody spawned can.
                    Ok(()) => continue,
                }
            }
            if self.tasks.is_empty() {
                return Poll::Ready(None);
            }
            let mut ended = lock(&self.ended);
            let Some((key, output)) = ended.queue.pop_front() else {
                let old = match &ended.waker {
                    Some(waker) if waker.will_wake(cx.waker()) => None,
                    _ => ended.waker.replace(cx.waker().clone()),
                };
                drop(ended);
                drop(old);
                return Poll::Pending;
            };
            drop(ended);
            let Some(handle) = self.tasks.remove(&key) else { continue };
            match output {
                Some(output) => {
                    // The task is past its output, with nothing left to do.
                    handle.detach();
                    return Poll::Ready(Some((key, Ok(output))));
                }
                None => self.failing = Some((key, handle)),
            }
        }
    }

    /// The end of a task that has ended; none if none has.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        match self.poll_join_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some((_, result))) => Some(result),
            _ => None,
        }
    }

    /// Waits for all tasks and gives their outputs, in the order of their ends. At the first that has none the others are
    /// aborted, and its error is the result. Cancelled: all are aborted.
    ///
    /// # Errors
    /// If a task panicked or was aborted.
    pub async fn join_all(mut self) -> Result<Vec<T>, JoinError> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            outputs.push(result?);
        }
        Ok(outputs)
    }

    /// Aborts a task, if it has not ended; its end is then joined as any other. Whether it was of this set.
    pub fn abort(&mut self, key: TaskKey) -> bool {
        self.tasks.get_mut(&key).map(JoinHandle::abort).is_some()
    }

    /// Aborts all tasks that have not ended, in the order of their spawning; they stay in the set until
    /// joined. Those of one worker end in this order, but for those that were about to run: they have their turn first.
    pub fn abort_all(&mut self) {
        self.tasks.values_mut().for_each(JoinHandle::abort);
    }

    /// Aborts all tasks and waits until all are gone; closures of [`spawn_blocking`](Self::spawn_blocking) that have begun,
    /// until they have ended. Outputs and panics are dropped.
    ///
    /// Cancelled: all are aborted, and some may not have been waited for.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Lets all tasks go on by themselves, and empties the set. Their outputs are dropped.
    pub fn detach_all(&mut self) {
        std::mem::take(&mut self.tasks).into_values().for_each(JoinHandle::detach);
        self.failing = None;
        // What they report from now on, nobody reads.
        self.ended = Arc::new(Mutex::new(Ended { queue: VecDeque::new(), waker: None }));
    }
}

impl<T: 'static> JoinSet<T> {
    /// Starts a task on this worker; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> TaskKey
    where
        F: Future<Output = T> + 'static,
    {
        let report = self.report();
        let key = report.key;
        self.tasks.insert(key, task::spawn(Reporting { future: Some(future), report }));
        key
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Starts a task on another worker; see [`spawn_on`](crate::spawn_on).
    pub fn spawn_on<M, F>(&mut self, worker: WorkerId, make: M) -> TaskKey
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let report = self.report();
        let key = report.key;
        let make = move || Reporting { future: Some(make()), report };
        self.tasks.insert(key, task::spawn_on(worker, make));
        key
    }

    /// Runs a closure that may block on a thread of the pool; see [`spawn_blocking`](crate::spawn_blocking).
    pub fn spawn_blocking<F>(&mut self, work: F) -> TaskKey
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let mut report = self.report();
        let key = report.key;
        let work = move || {
            let output = work();
            report.end(Some(output));
        };
        self.tasks.insert(key, task::spawn_blocking(work));
        key
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}
