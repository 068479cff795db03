//! Channels, locks and signals between tasks, workers and plain threads.
//!
//! | for | there is |
//! |---|---|
//! | one answer | [`oneshot`] |
//! | a queue to one receiver, with a bound or without | [`mpsc`] |
//! | every message to every receiver | [`broadcast`] |
//! | the latest value | [`watch`] |
//! | one at a time | [`Mutex`](mutex), for many readers [`RwLock`](rwlock) |
//! | so many at a time | [`Semaphore`](semaphore) |
//! | waking those who wait for a state kept elsewhere | [`Notify`](notify) |
//! | meeting at a point | [`Barrier`](barrier) |
//! | asking to stop, down a tree | [`CancellationToken`](cancel) |
//!
//! Everything here is `Send` and `Sync` as far as what it carries is, and works between tasks of one worker, between
//! workers, and between workers and plain threads. It needs no runtime: the futures can be polled by any executor, and
//! threads without one have blocking variants. Nothing waits by spinning, and nothing sleeps but in the blocking variants:
//! a lock inside is held for a few instructions, and never while foreign code runs, but where it is said.
//!
//! **Dropping a future loses nothing**, at any await: no message, no permit, no notification. Who is dropped leaves its
//! row; what it had just been handed goes to the next. So all of it can stand in a [`select!`](crate::select), under a
//! [`timeout`](crate::time::timeout), and in a task that is aborted. What is special about one is said there.
//!
//! **Rows are fair**: locks, permits and room in a channel go to those who wait in the order in which they began to, that
//! is, were first polled.
//!
//! **Nobody is starved**: a task for which something here is ready time after time is polled again after the others when
//! it has completed as many operations as a task may in a turn.
//!
//! **A panic** while something is held drops it, as it drops everything: a lock is unlocked, a sender is gone. There is no
//! poisoning; what is behind a lock is as the panic left it.
//!
//! Within one worker, tasks need not be `Send`, and what they share can be an `Rc<RefCell>`: between two awaits nobody else
//! runs.
//!
//! ```
//! use ostia::sync::{Semaphore, mpsc};
//!
//! ostia::block_on(async {
//!     let slots = Semaphore::new(2);
//!     let (sender, mut receiver) = mpsc::channel(16);
//!     // A thread that knows nothing of runtimes.
//!     let thread = std::thread::spawn(move || sender.blocking_send("from afar").unwrap());
//!     let _slot = slots.acquire().await.unwrap();
//!     assert_eq!(receiver.recv().await, Some("from afar"));
//!     thread.join().unwrap();
//! });
//! ```

pub mod barrier;
mod block;
pub mod broadcast;
mod budget;
pub mod cancel;
mod error;
#[cfg(all(test, loom))]
mod models;
pub mod mpsc;
pub mod mutex;
pub mod notify;
pub mod oneshot;
mod permits;
mod primitives;
pub mod rwlock;
pub mod semaphore;
mod waiters;
pub mod watch;

pub use barrier::{Barrier, BarrierWaitResult};
pub use cancel::{CancellationToken, DropGuard};
pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard, TryLockError};
pub use notify::{Notified, Notify, OwnedNotified};
pub use rwlock::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};
