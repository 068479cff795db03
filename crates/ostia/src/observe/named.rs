//! Names of tasks: given when spawning or later, for spans and reports. Tasks without one do not pay for those with one.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tracing::Span;

use crate::observe::pulse::{Name, Pulse};
use crate::task::{self, JoinHandle};
use crate::{WorkerId, here};

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// Cuts a name to its longest, between two characters.
fn bounded(name: Name) -> Name {
    let end = name.floor_char_boundary(LONGEST);
    match name {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Settings of a task that is about to be spawned.
///
/// ```
/// ostia::block_on(async {
///     let task = ostia::TaskBuilder::new().name("bookkeeper").spawn(async { ostia::task_name() });
///     assert_eq!(task.await.unwrap().as_deref(), Some("bookkeeper"));
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskBuilder {
    name: Option<Name>,
}

impl TaskBuilder {
    /// A task without a name.
    #[must_use]
    pub fn new() -> TaskBuilder {
        TaskBuilder::default()
    }

    /// Names the task; see [`named`] for what that does. Names longer than 64 bytes are cut.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> TaskBuilder {
        self.name = Some(bounded(name.into()));
        self
    }

    /// Starts the task on this worker; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        task::start(self.name, future)
    }

    /// Starts the task on another worker (or this one); see [`spawn_on`](crate::spawn_on).
    #[track_caller]
    pub fn spawn_on<M, F>(self, worker: WorkerId, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        task::ship(worker, self.name, make)
    }

    /// Runs a closure that may block on a thread of the pool; see [`spawn_blocking`](crate::spawn_blocking). Its name is in
    /// the report of a panic.
    #[track_caller]
    pub fn spawn_blocking<T, W>(self, work: W) -> JoinHandle<T>
    where
        W: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        task::block(self.name, work)
    }
}

/// Starts a task with a name on this worker: [`TaskBuilder`] in one call.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn_named<F>(name: impl Into<Cow<'static, str>>, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    TaskBuilder::new().name(name).spawn(future)
}

/// Names the task that polls this future, from its first poll until it is dropped; then the task has the name again that
/// it had before. So a connection's handler can name itself.
///
/// The name is in the log where the task is reported: as one that does not yield
/// ([`Builder::stuck_after`](crate::Builder::stuck_after)), or as one that panicked. While the future is polled, the
/// current span of `tracing` is one of its own, `task` with `name`, `worker` and `number`, at the level DEBUG.
///
/// Names longer than 64 bytes are cut. A name costs the task about 150 bytes. Cancelled, it cancels what it names.
pub fn named<F: Future>(name: impl Into<Cow<'static, str>>, future: F) -> Named<F> {
    Named::new(bounded(name.into()), future)
}

/// The name of the task that the caller runs in; none if it has none, or outside of a runtime.
#[must_use]
pub fn task_name() -> Option<Cow<'static, str>> {
    here::with(|core| core.pulse.name(core.current_number()?)).flatten()
}

pin_project_lite::pin_project! {
    /// The future of [`named`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Named<F> {
        #[pin]
        future: F,
        badge: Badge,
    }
}

impl<F> Named<F> {
    pub(crate) fn new(name: Name, future: F) -> Named<F> {
        Named { future, badge: Badge { name, worn: None, span: None } }
    }
}

impl<F> fmt::Debug for Named<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.badge.name).finish_non_exhaustive()
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.badge.put_on();
        let _entered = this.badge.span.as_ref().map(Span::enter);
        let _fallen = InPanic(&this.badge.name);
        this.future.poll(cx)
    }
}

/// A name, and who has it.
struct Badge {
    name: Name,
    worn: Option<Worn>,
    span: Option<Span>,
}

/// The task that has a name, and the name it had before.
struct Worn {
    pulse: Arc<Pulse>,
    task: u32,
    before: Option<Name>,
}

impl Badge {
    /// Names the current task, if that is not done yet.
    fn put_on(&mut self) {
        here::with(|core| {
            let Some(task) = core.current_number() else { return };
            if self.worn.as_ref().is_some_and(|worn| worn.task == task && Arc::ptr_eq(&worn.pulse, &core.pulse)) {
                return;
            }
            self.take_off();
            let before = core.pulse.set_name(task, Some(self.name.clone()));
            self.worn = Some(Worn { pulse: Arc::clone(&core.pulse), task, before });
            self.span = Some(tracing::debug_span!("task", name = &*self.name, worker = core.id, number = task));
        });
    }

    fn take_off(&mut self) {
        if let Some(Worn { pulse, task, before }) = self.worn.take() {
            pulse.set_name(task, before);
        }
    }
}

impl Drop for Badge {
    fn drop(&mut self) {
        self.take_off();
    }
}

/// Leaves the name for the report of a panic: when that is made, what was polled may be gone.
struct InPanic<'a>(&'a Name);

impl Drop for InPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            here::with(|core| core.note_panic(self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(bounded("short".into()), "short");
        assert_eq!(bounded(Cow::Owned("x".repeat(100))).len(), LONGEST);
        let cut = bounded(Cow::Borrowed("ääääääääääääääääääääääääääääääääxääää"));
        assert_eq!(cut.len(), 64);
        let odd = bounded(Cow::Owned(format!("x{}", "ä".repeat(40))));
        assert_eq!(odd.len(), 63);
    }

    #[test]
    fn a_name_costs_what_its_documentation_says() {
        assert!(size_of::<Named<[u64; 4]>>() - 32 <= 144, "{}", size_of::<Named<[u64; 4]>>());
    }
}
