//! Tasks: spawning, joining, aborting, and panics that stay where they belong.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_task::FallibleTask;

use crate::counters::count;
use crate::here;
use crate::inbox::{self, Message};
use crate::net::Network;
use crate::observe::named::Named;
use crate::observe::pulse::Name;
use crate::worker::{Core, NO_TASK};
use crate::{WorkerId, blocking};

/// What is stored with every task: whose it is, and its number there.
pub(crate) struct Meta {
    /// The worker in the upper 24 bits, the task's group there in the lower 8.
    home: u32,
    slot: AtomicU32,
    /// The span that is shown as this task.
    #[cfg(feature = "console")]
    pub(crate) span: Option<tracing::Id>,
}

impl Meta {
    pub(crate) fn new(worker: u32, group: u8) -> Meta {
        Meta {
            home: worker << 8 | u32::from(group),
            slot: AtomicU32::new(NO_TASK),
            #[cfg(feature = "console")]
            span: None,
        }
    }

    #[cfg(feature = "console")]
    pub(crate) fn shown_as(self, span: Option<tracing::Id>) -> Meta {
        Meta { span, ..self }
    }

    #[inline]
    pub(crate) fn worker(&self) -> u32 {
        self.home >> 8
    }

    #[inline]
    pub(crate) fn group(&self) -> u8 {
        self.home as u8
    }

    /// The task's number on its worker; `NO_TASK` until it has got there.
    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.slot() != NO_TASK
    }
}

/// Where a task comes from, which only tokio-console wants to know.
#[cfg(feature = "console")]
pub(crate) use crate::observe::console::Origin;
#[cfg(not(feature = "console"))]
pub(crate) struct Origin;

/// The origin of a task of some kind and name that this function's caller spawns.
macro_rules! origin {
    ($kind:literal, $name:expr) => {{
        #[cfg(feature = "console")]
        let origin = Origin::new($kind, $name);
        #[cfg(not(feature = "console"))]
        let origin = Origin;
        origin
    }};
}
pub(crate) use origin;

/// Puts a task into the span that it is shown as.
#[cfg(feature = "console")]
pub(crate) fn observed<F>(
    meta: Meta,
    worker: Option<u32>,
    future: F,
    origin: Origin,
) -> (Meta, crate::observe::console::Observed<F>) {
    let future = crate::observe::console::Observed::new(future, worker, origin);
    (meta.shown_as(future.id()), future)
}

/// Nobody is shown any task.
#[cfg(not(feature = "console"))]
#[inline]
pub(crate) fn observed<F>(meta: Meta, _: Option<u32>, future: F, _: Origin) -> (Meta, F) {
    (meta, future)
}

pin_project_lite::pin_project! {
    /// A task's future, whose panics become its output, and whose end is booked.
    struct Contained<F> {
        #[pin]
        future: F,
    }

    impl<F> PinnedDrop for Contained<F> {
        fn drop(_this: Pin<&mut Self>) {
            // Futures are dropped by running or dropping their task, which sets the current task.
            here::with(Core::current_ended);
        }
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, JoinError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        // A panicked future is never polled again, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                here::with(|core| core.completed.set(true));
                Poll::Ready(Ok(output))
            }
            Err(payload) => {
                let name = here::with(|core| {
                    core.completed.set(true);
                    count(&core.counters.panicked);
                    core.take_panicked()
                });
                Poll::Ready(Err(JoinError::panicked(payload, name.flatten())))
            }
        }
    }
}

/// Why a task has no output: it panicked, or it was aborted or its worker ended before it completed.
///
/// One that carries a panic and is dropped by a task that nobody awaits reports itself through `tracing::error`.
pub struct JoinError(Option<Box<Panic>>);

struct Panic {
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    message: String,
    /// The task's name.
    name: Option<Name>,
    /// Somebody has received this and will see to it.
    claimed: bool,
}

impl JoinError {
    fn panicked(payload: Box<dyn Any + Send>, name: Option<Name>) -> JoinError {
        let message = payload
            .downcast_ref::<&'static str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(a panic without a message)".to_owned());
        JoinError(Some(Box::new(Panic { payload: Mutex::new(Some(payload)), message, name, claimed: false })))
    }

    /// Whether the task was aborted, or dropped with its worker.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.0.is_some()
    }

    /// What the task panicked with, for `std::panic::resume_unwind`; none if it did not panic or this was taken before.
    #[must_use]
    pub fn take_panic(&mut self) -> Option<Box<dyn Any + Send>> {
        self.0.as_mut()?.payload.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn claimed(mut self) -> JoinError {
        if let Some(panic) = &mut self.0 {
            panic.claimed = true;
        }
        self
    }
}

impl Drop for Panic {
    fn drop(&mut self) {
        if !self.claimed {
            tracing::error!(name = self.name.as_deref(), panic = %self.message, "a task that nobody awaits has panicked");
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some(Panic { message, name: Some(name), .. }) => write!(f, "the task '{name}' panicked: {message}"),
            Some(Panic { message, .. }) => write!(f, "the task panicked: {message}"),
            None => f.write_str("the task was cancelled before it completed"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

type Spawned<T> = FallibleTask<Result<T, JoinError>, Meta>;

/// A task's other end: await it for the task's output, or abort the task. Dropping it lets the task go on by itself.
///
/// Awaiting is cancel safe: dropping the await and awaiting again loses nothing. A panic in the task comes out as an
/// error here and nowhere else.
#[must_use = "dropping a JoinHandle lets the task go on; say so with detach()"]
pub struct JoinHandle<T>(State<T>);

type Cancelling<T> = Pin<Box<dyn Future<Output = Option<Result<T, JoinError>>> + Send>>;

enum State<T> {
    Running(Spawned<T>),
    Aborting(Cancelling<T>),
    Ended,
}

impl<T> JoinHandle<T> {
    fn new(task: Spawned<T>) -> JoinHandle<T> {
        JoinHandle(State::Running(task))
    }

    /// Lets the task go on by itself. A panic in it is reported through `tracing::error` and counted.
    pub fn detach(self) {}

    /// Whether the task has completed, panicked or been aborted.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            State::Running(task) => task.is_finished(),
            State::Aborting(_) => false,
            State::Ended => true,
        }
    }
}

impl<T: Send + 'static> JoinHandle<T> {
    /// Has the task dropped at its next turn, unless it completes first. Awaiting the handle then tells when that has
    /// happened: with an error that [`is_cancelled`](JoinError::is_cancelled), or with the output after all.
    ///
    /// A closure of [`spawn_blocking`](crate::spawn_blocking) that has begun is not interrupted.
    pub fn abort(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, State::Ended) {
            State::Running(task) => {
                let mut cancelling = Box::pin(task.cancel());
                // The first poll asks for the end; a result is there already if the task was.
                match cancelling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => State::Aborting(cancelling),
                    Poll::Ready(output) => State::Aborting(Box::pin(std::future::ready(output))),
                }
            }
            other => other,
        };
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let State::Running(task) = std::mem::replace(&mut self.0, State::Ended) {
            task.detach();
        }
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let output = match &mut self.0 {
            State::Running(task) => Pin::new(task).poll(cx),
            State::Aborting(cancelling) => cancelling.as_mut().poll(cx),
            State::Ended => Poll::Ready(None),
        };
        output.map(|output| {
            self.0 = State::Ended;
            output.unwrap_or(Err(JoinError(None))).map_err(JoinError::claimed)
        })
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// Starts a task on this worker. It runs beside the caller from the worker's next turn on; it need not be `Send`.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    start(None, future)
}

/// As [`spawn`], perhaps with a name.
#[track_caller]
pub(crate) fn start<F>(name: Option<Name>, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let origin = origin!("task", name.as_ref());
    match Network::inherited() {
        None => start_as(name, future, origin),
        Some(network) => start_as(name, network.scope(Box::pin(future) as Local<F::Output>), origin),
    }
}

/// A future whose type nobody knows any more, so that what is rarely needed is compiled once and not for every task.
type Local<T> = Pin<Box<dyn Future<Output = T>>>;

#[track_caller]
fn start_as<F>(name: Option<Name>, future: F, origin: Origin) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    here::worker(|core| {
        let meta = Meta::new(core.id, 0);
        JoinHandle::new(match name {
            Some(name) => {
                let (meta, future) = observed(meta, Some(core.id), Named::new(name, future), origin);
                spawn_raw(core, meta, future).1
            }
            None => {
                let (meta, future) = observed(meta, Some(core.id), future, origin);
                spawn_raw(core, meta, future).1
            }
        })
    })
}

/// Starts a task of a group on this worker; gives its number there.
#[cfg_attr(feature = "console", track_caller)]
pub(crate) fn spawn_here<F>(core: &Core, group: u8, future: F) -> (u32, Spawned<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (meta, future) = observed(Meta::new(core.id, group), Some(core.id), future, origin!("task", None));
    spawn_raw(core, meta, future)
}

/// As [`spawn_here`], in the scope of a network that the caller may be outside of.
pub(crate) fn spawn_within<F>(core: &Core, group: u8, network: Option<Network>, future: F) -> Spawned<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    match network {
        None => spawn_here(core, group, future).1,
        Some(network) => spawn_here(core, group, network.scope(Box::pin(future) as Local<F::Output>)).1,
    }
}

/// Starts a task on this worker as it is.
pub(crate) fn spawn_raw<F>(core: &Core, meta: Meta, future: F) -> (u32, Spawned<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
{
    let builder = async_task::Builder::new().metadata(meta);
    // SAFETY: the future is 'static. It need not be Send: `schedule` brings every runnable to the worker it is spawned
    // on, which alone runs or drops runnables that have begun, and with them futures. The schedule function borrows
    // nothing, and is Send and Sync. A waker is the task's own and goes by its reference count.
    let (runnable, task) = unsafe { builder.spawn_unchecked(move |_| Contained { future }, here::schedule) };
    let slot = core.adopt_task(&runnable);
    core.enqueue(runnable);
    (slot, task.fallible())
}

pin_project_lite::pin_project! {
    /// A task on its way to another worker: what makes its future, which is made there.
    #[project = ShippedView]
    enum Shipped<M, F> {
        Packed { make: Option<M> },
        Unpacked { #[pin] future: F },
    }
}

impl<M: FnOnce() -> F, F: Future> Future for Shipped<M, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match self.as_mut().project() {
                ShippedView::Unpacked { future } => return future.poll(cx),
                ShippedView::Packed { make } => {
                    let Some(make) = make.take() else { return Poll::Pending };
                    let future = make();
                    self.set(Shipped::Unpacked { future });
                }
            }
        }
    }
}

/// Starts a task on another worker (or this one): `make` travels there and makes the future, which need not be `Send`.
///
/// If that worker has ended, awaiting gives an error that [`is_cancelled`](JoinError::is_cancelled).
#[cfg_attr(feature = "console", track_caller)]
pub fn spawn_on<M, F>(worker: WorkerId, make: M) -> JoinHandle<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    ship(worker, None, make)
}

/// As [`spawn_on`], perhaps with a name.
#[cfg_attr(feature = "console", track_caller)]
pub(crate) fn ship<M, F>(worker: WorkerId, name: Option<Name>, make: M) -> JoinHandle<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let origin = origin!("task", name.as_ref());
    match Network::inherited() {
        None => ship_as(worker, name, make, origin),
        Some(network) => {
            let make = Box::new(move || Box::pin(make()) as Local<F::Output>);
            let make = make as Box<dyn FnOnce() -> Local<F::Output> + Send>;
            ship_as(worker, name, move || network.scope(make()), origin)
        }
    }
}

fn ship_as<M, F>(worker: WorkerId, name: Option<Name>, make: M, origin: Origin) -> JoinHandle<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let shipped = Shipped::Packed { make: Some(make) };
    match name {
        // SAFETY: until it is polled `shipped` holds only `make`, which is Send; its name may be dropped anywhere too.
        Some(name) => unsafe { send_off(worker, Named::new(name, shipped), origin) },
        // SAFETY: as above.
        None => unsafe { send_off(worker, shipped, origin) },
    }
}

/// Starts a task on another worker.
///
/// # Safety
/// Until it is polled for the first time, `future` must be one that any thread may drop.
unsafe fn send_off<F>(worker: WorkerId, future: F, origin: Origin) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let (meta, future) = observed(Meta::new(worker.0, 0), Some(worker.0), future, origin);
    let builder = async_task::Builder::new().metadata(meta);
    // SAFETY: as in `spawn_raw`; until the task has begun on its worker it may be dropped anywhere, says the caller.
    let (runnable, task) = unsafe { builder.spawn_unchecked(move |_| Contained { future }, here::schedule) };
    runnable.schedule();
    JoinHandle::new(task.fallible())
}

/// Runs a closure that may block on a thread of a bounded pool, whose idle threads end. Past the bound closures wait
/// for their turn (see [`Builder::blocking_threads`](crate::Builder::blocking_threads)). In a simulation (a runtime on the
/// [virtual driver](crate::DriverChoice::Virtual)) it is run by the worker itself, as a task: no other thread has a part there.
///
/// Dropping the handle lets the closure run; [`abort`](JoinHandle::abort) prevents one that has not begun.
#[cfg_attr(feature = "console", track_caller)]
pub fn spawn_blocking<T, F>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    block(None, work)
}

/// As [`spawn_blocking`], perhaps with a name.
#[cfg_attr(feature = "console", track_caller)]
pub(crate) fn block<T, F>(name: Option<Name>, work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if let Some(worker) = here::with(|core| core.simulated.then_some(core.id)).flatten() {
        // A thread would do it at a moment that nobody can foresee; and that a task blocks is nobody's loss while time stands still.
        return ship(WorkerId(worker), name, move || async move { work() });
    }
    let origin = origin!("blocking", name.as_ref());
    let network = Network::inherited();
    let work = move || match network {
        None => work(),
        Some(network) => network.within(work),
    };
    let future = async move { catch_unwind(AssertUnwindSafe(work)).map_err(|payload| JoinError::panicked(payload, name)) };
    let (meta, future) = observed(Meta::new(0, 0), None, future, origin);
    let builder = async_task::Builder::new().metadata(meta);
    let (runnable, task) = builder.spawn(move |_| future, blocking::schedule);
    runnable.schedule();
    JoinHandle::new(task.fallible())
}

/// Lets other tasks run, and the port be looked after, before going on.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sends a closure to a worker; false if that has gone.
pub(crate) fn call(worker: u32, what: impl FnOnce(&Core) + Send + 'static) -> bool {
    inbox::send(worker, Message::Call(Box::new(what))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_costs_no_memory() {
        assert_eq!(size_of::<Contained<[u64; 5]>>(), 40);
        assert!(size_of::<Result<(), JoinError>>() <= 16);
        #[cfg(not(feature = "console"))]
        assert_eq!(size_of::<Meta>(), 8);
    }
}
