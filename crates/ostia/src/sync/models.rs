//! Models of what threads share, run by loom through every order in which they may meet:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p ostia --release --lib sync
//! ```
//!
//! In that build the module's locks and atomics are loom's (`primitives.rs`), and its other unit tests are left out, for
//! they run outside of a model. Each model is small: loom's work grows exponentially with its threads and steps. They check
//! that nobody waits for ever (loom reports a deadlock), that what is handed over is handed over once, that a dropped future
//! leaves nothing behind, and that what was written before is seen after.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::sync::permits::Permits;
use crate::sync::{Barrier, CancellationToken, Notify, Semaphore, broadcast, mpsc, oneshot, watch};

/// At most this many switches that no thread asked for: enough for every known bug of this kind, and it ends.
const PREEMPTIONS: usize = 3;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(run);
}

/// Polls once, with nobody's waker; a future that is not ready is dropped.
fn poll_and_drop<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Something that only who has the permit may touch: loom finds two who do, and one who does not see the other's change.
struct Guarded {
    permits: Permits,
    value: UnsafeCell<usize>,
}

// SAFETY: the value is touched by who has the one permit; that this is so is what the models check.
unsafe impl Sync for Guarded {}
// SAFETY: a number.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Guarded> {
        Arc::new(Guarded { permits: Permits::new(1), value: UnsafeCell::new(0) })
    }

    fn add_one_and_release(&self) {
        // SAFETY: the caller has the permit; loom checks it.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.permits.release(1);
    }

    fn sum(&self) -> usize {
        assert_eq!((self.permits.waiting(), self.permits.available()), (0, 1), "nothing is left behind");
        // SAFETY: the threads have been joined.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn a_permit_is_had_by_one_at_a_time() {
    model(|| {
        let shared = Guarded::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    block_on(shared.permits.acquire(1)).expect("open");
                    shared.add_one_and_release();
                })
            })
            .collect();
        block_on(shared.permits.acquire(1)).expect("open");
        shared.add_one_and_release();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(shared.sum(), 3);
    });
}

#[test]
fn who_gives_up_passes_the_permit_on() {
    model(|| {
        let shared = Guarded::new();
        shared.permits.try_acquire(1).expect("free");
        let giving_up = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if poll_and_drop(shared.permits.acquire(1)).is_ready() {
                    shared.add_one_and_release();
                    return 1;
                }
                0
            })
        };
        let waiting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                block_on(shared.permits.acquire(1)).expect("open");
                shared.add_one_and_release();
            })
        };
        shared.add_one_and_release();
        let lucky = giving_up.join().expect("no panic");
        waiting.join().expect("no panic");
        assert_eq!(shared.sum(), 2 + lucky);
    });
}

#[test]
fn closing_a_semaphore_reaches_all_who_wait_and_loses_no_permit() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let waiting = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || block_on(semaphore.acquire_many(2)).is_ok())
        };
        let adding = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || semaphore.add_permits(1))
        };
        semaphore.close();
        waiting.join().expect("it got an answer");
        adding.join().expect("no panic");
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn many_and_one_are_both_served() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let threads: Vec<_> = [2, 1]
            .into_iter()
            .map(|count| {
                let semaphore = Arc::clone(&semaphore);
                thread::spawn(move || drop(block_on(semaphore.acquire_many(count)).expect("open")))
            })
            .collect();
        drop(block_on(semaphore.acquire()).expect("open"));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_notification_is_heard_with_what_was_written_before() {
    model(|| {
        let shared = Arc::new((Notify::new(), AtomicUsize::new(0)));
        let notifying: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.notify_one();
                })
            })
            .collect();
        // Two notifications may be one permit; whoever hears the last one sees both.
        while shared.1.load(Ordering::Relaxed) < 2 {
            block_on(shared.0.notified());
        }
        notifying.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(shared.0.waiting(), 0);
    });
}

#[test]
fn a_notification_for_who_gives_up_goes_to_another() {
    model(|| {
        let notify = Arc::new(Notify::new());
        let giving_up = {
            let notify = Arc::clone(&notify);
            thread::spawn(move || poll_and_drop(notify.notified()).is_ready())
        };
        let waiting = {
            let notify = Arc::clone(&notify);
            thread::spawn(move || block_on(notify.notified()))
        };
        notify.notify_one();
        if giving_up.join().expect("no panic") {
            notify.notify_one();
        }
        waiting.join().expect("no panic");
        assert_eq!(notify.waiting(), 0);
    });
}

#[test]
fn notifying_all_reaches_who_has_a_future_and_has_looked() {
    model(|| {
        let shared = Arc::new((Notify::new(), AtomicUsize::new(0)));
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let notified = shared.0.notified();
                    if shared.1.load(Ordering::Relaxed) == 0 {
                        block_on(notified);
                        assert_eq!(shared.1.load(Ordering::Relaxed), 1);
                    }
                })
            })
            .collect();
        shared.1.store(1, Ordering::Relaxed);
        shared.0.notify_waiters();
        waiting.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(shared.0.waiting(), 0);
    });
}

#[test]
fn one_value_gets_there_or_comes_back() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let sending = thread::spawn(move || sender.send(7).is_ok());
        let first = poll_and_drop(&mut receiver);
        let received = match first {
            Poll::Ready(result) => result,
            Poll::Pending => block_on(receiver),
        };
        assert_eq!(received, Ok(7));
        assert!(sending.join().expect("no panic"));
    });
    model(|| {
        let (sender, receiver) = oneshot::channel::<Arc<()>>();
        let value = Arc::new(());
        let sending = {
            let value = Arc::clone(&value);
            thread::spawn(move || sender.send(value).map_err(|error| error.0).err())
        };
        drop(receiver);
        drop(sending.join().expect("no panic"));
        assert_eq!(Arc::strong_count(&value), 1);
    });
    model(|| {
        let (mut sender, receiver) = oneshot::channel::<()>();
        let dropping = thread::spawn(move || drop(receiver));
        block_on(sender.closed());
        dropping.join().expect("no panic");
    });
}

#[test]
fn a_bounded_channel_loses_nothing_and_wakes_who_waits_for_room() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel(1);
        let second = sender.clone();
        let threads = [
            thread::spawn(move || block_on(sender.send(1)).expect("open")),
            thread::spawn(move || block_on(second.send(2)).expect("open")),
        ];
        let mut sum = 0;
        while let Some(number) = block_on(receiver.recv()) {
            sum += number;
        }
        assert_eq!((sum, receiver.capacity()), (3, 1));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn a_dropped_receiver_gives_every_message_back_or_drops_it() {
    model(|| {
        let (sender, receiver) = mpsc::channel(1);
        // With this one alive, the channel is not dropped, nor anything that lies in it.
        let _kept = sender.clone();
        let value = Arc::new(());
        let sending = {
            let value = Arc::clone(&value);
            thread::spawn(move || {
                let _ = block_on(sender.send(Arc::clone(&value)));
                assert!(block_on(sender.send(value)).is_err(), "there is room for one");
            })
        };
        drop(receiver);
        sending.join().expect("no panic");
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn closing_waits_for_what_was_reserved() {
    model(|| {
        let (sender, mut receiver) = mpsc::channel(2);
        // With this one alive, the end of the thread's sender is no news.
        let _kept = sender.clone();
        let using = thread::spawn(move || {
            let (Ok(used), Ok(unused)) = (sender.try_reserve(), sender.try_reserve()) else { return 0 };
            used.send(5);
            drop(unused);
            5
        });
        receiver.close();
        let mut sum = 0;
        while let Some(number) = block_on(receiver.recv()) {
            sum += number;
        }
        assert_eq!(sum, using.join().expect("no panic"));
    });
}

#[test]
fn an_unbounded_channel_loses_nothing() {
    model(|| {
        let (sender, mut receiver) = mpsc::unbounded();
        let second = sender.clone();
        let threads =
            [thread::spawn(move || sender.send(1).expect("open")), thread::spawn(move || second.send(2).expect("open"))];
        let mut sum = 0;
        while let Some(number) = block_on(receiver.recv()) {
            sum += number;
        }
        assert_eq!(sum, 3);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn a_broadcast_is_received_or_counted_as_missed() {
    model(|| {
        let (sender, mut receiver) = broadcast::channel(1);
        let sending = thread::spawn(move || {
            for number in 0..2u64 {
                sender.send(number).expect("a receiver");
            }
        });
        let mut seen = 0;
        loop {
            match block_on(receiver.recv()) {
                Ok(_) => seen += 1,
                Err(broadcast::RecvError::Lagged(missed)) => seen += missed,
                Err(broadcast::RecvError::Closed) => break,
            }
        }
        assert_eq!(seen, 2);
        sending.join().expect("no panic");
    });
}

#[test]
fn a_broadcast_goes_with_the_last_who_had_not_had_it() {
    model(|| {
        let (sender, mut one) = broadcast::channel(1);
        let other = sender.subscribe();
        let value = Arc::new(());
        sender.send(Arc::clone(&value)).expect("receivers");
        let dropping = thread::spawn(move || drop(other));
        drop(one.try_recv().expect("it is there"));
        dropping.join().expect("no panic");
        assert_eq!((Arc::strong_count(&value), sender.receiver_count()), (1, 1));
    });
}

#[test]
fn the_last_change_of_a_watched_value_is_seen() {
    model(|| {
        let (sender, mut receiver) = watch::channel(0);
        let sending = thread::spawn(move || {
            for number in 1..=2 {
                sender.send(number).expect("a receiver");
            }
        });
        let mut last = 0;
        while block_on(receiver.changed()).is_ok() {
            last = *receiver.borrow_and_update();
        }
        assert_eq!(last, 2);
        sending.join().expect("no panic");
    });
}

#[test]
fn a_barrier_forgets_those_who_give_up() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let giving_up = {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                let _ = poll_and_drop(barrier.wait());
            })
        };
        let _ = poll_and_drop(barrier.wait());
        giving_up.join().expect("no panic");
        // Whether they met or not, the next two do, and nobody of before is counted.
        let mut first = pin!(barrier.wait());
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(block_on(barrier.wait()).is_leader());
        assert!(!block_on(first).is_leader());
    });
}

#[test]
fn cancelling_reaches_a_child_that_is_made_meanwhile() {
    model(|| {
        let root = CancellationToken::new();
        let below = {
            let root = root.clone();
            thread::spawn(move || {
                let child = root.child_token();
                let grandchild = child.child_token();
                drop(child);
                block_on(grandchild.cancelled());
            })
        };
        root.cancel();
        below.join().expect("no panic");
    });
}
