//! `ostia::sync`: every future dropped at every moment of its life; what it was handed must go to the next, and nothing of it
//! may be left behind.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::poll_once;
use ostia::sync::{Barrier, CancellationToken, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};

/// When a future is dropped: the moments between which its state changes.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Moment {
    /// It was made and never polled.
    Fresh,
    /// It waits for its turn, which has not come.
    Waiting,
    /// It was handed what it waits for, woken, and not polled again.
    Handed,
    /// It was polled and gave its output, which is dropped.
    Done,
}

const MOMENTS: [Moment; 4] = [Moment::Fresh, Moment::Waiting, Moment::Handed, Moment::Done];

/// A future that will be dropped at a moment.
struct Victim<'a, T> {
    future: Option<Pin<Box<dyn Future<Output = T> + 'a>>>,
    moment: Moment,
}

impl<'a, T> Victim<'a, T> {
    fn new(moment: Moment, future: impl Future<Output = T> + 'a) -> Victim<'a, T> {
        let mut victim = Victim { future: Some(Box::pin(future)), moment };
        if moment >= Moment::Waiting {
            assert!(victim.poll().is_pending(), "{moment:?}");
        }
        victim
    }

    fn poll(&mut self) -> Poll<T> {
        let future = self.future.as_mut().expect("it lives");
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Just before the event that it waits for.
    fn before(&mut self) {
        if self.moment <= Moment::Waiting {
            self.future = None;
        }
    }

    /// Just after it; gives the output if it was to come to that.
    fn after(&mut self) -> Option<T> {
        let output = match self.moment {
            Moment::Done => match self.poll() {
                Poll::Ready(output) => Some(output),
                Poll::Pending => panic!("it was handed what it waited for"),
            },
            _ => None,
        };
        self.future = None;
        output
    }
}

fn pending<T>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn ready<T>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("who comes next must get what the dropped one leaves"),
    }
}

fn drop_mutex(moment: Moment) {
    let mutex = Mutex::new(0);
    let held = mutex.try_lock().expect("free");
    let mut victim = Victim::new(moment, mutex.lock());
    let mut next = Box::pin(mutex.lock());
    assert!(pending(&mut next));
    victim.before();
    drop(held);
    drop(victim.after());
    drop(ready(&mut next));
    assert!(mutex.try_lock().is_ok());
}

fn drop_reader(moment: Moment) {
    let lock = RwLock::new(0);
    let held = lock.try_write().expect("free");
    let mut victim = Victim::new(moment, lock.read());
    let mut next = Box::pin(lock.write());
    assert!(pending(&mut next));
    victim.before();
    drop(held);
    drop(victim.after());
    drop(ready(&mut next));
    assert!(lock.try_write().is_ok());
}

fn drop_writer(moment: Moment) {
    let lock = RwLock::new(0);
    let held = lock.try_read().expect("free");
    let mut victim = Victim::new(moment, lock.write());
    let mut readers = [Box::pin(lock.read()), Box::pin(lock.read())];
    if moment != Moment::Fresh {
        assert!(readers.iter_mut().all(pending), "a writer that waits holds later readers up");
    }
    victim.before();
    drop(held);
    drop(victim.after());
    drop(readers.each_mut().map(ready));
    assert!(lock.try_write().is_ok());
}

fn drop_acquire_many(moment: Moment) {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire_many(2).expect("three");
    let mut victim = Victim::new(moment, semaphore.acquire_many(3));
    let mut next = Box::pin(semaphore.acquire_many(3));
    assert!(pending(&mut next));
    victim.before();
    drop(held);
    drop(victim.after());
    drop(ready(&mut next));
    assert_eq!(semaphore.available_permits(), 3);
}

fn drop_acquire_owned(moment: Moment) {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.try_acquire().expect("one");
    let mut victim = Victim::new(moment, Arc::clone(&semaphore).acquire_owned());
    let mut next = Box::pin(semaphore.acquire());
    assert!(pending(&mut next));
    victim.before();
    drop(held);
    drop(victim.after());
    drop(ready(&mut next));
    assert_eq!((semaphore.available_permits(), Arc::strong_count(&semaphore)), (1, 1));
}

fn drop_notified(moment: Moment) {
    let notify = Notify::new();
    let mut victim = Victim::new(moment, notify.notified());
    let mut next = Box::pin(notify.notified());
    assert!(pending(&mut next));
    victim.before();
    notify.notify_one();
    if victim.after().is_some() {
        notify.notify_one();
    }
    ready(&mut next);
    assert!(poll_once(notify.notified()).is_pending(), "no notification too many");
}

fn drop_barrier(moment: Moment) {
    let barrier = Barrier::new(2);
    let mut victim = Victim::new(moment, barrier.wait());
    victim.before();
    if moment >= Moment::Handed {
        assert!(poll_once(barrier.wait()).is_ready());
    }
    let _ = victim.after();
    let mut one = Box::pin(barrier.wait());
    assert!(pending(&mut one));
    assert!(poll_once(barrier.wait()).is_ready());
    ready(&mut one);
}

fn drop_send(moment: Moment) {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(Arc::new(0)).expect("room");
    let value = Arc::new(1);
    let mut victim = Victim::new(moment, sender.send(Arc::clone(&value)));
    let mut next = Box::pin(sender.send(Arc::new(2)));
    assert!(pending(&mut next));
    victim.before();
    assert_eq!(receiver.try_recv().as_deref(), Ok(&0));
    let sent = victim.after().is_some();
    if sent {
        assert_eq!(receiver.try_recv().as_deref(), Ok(&1));
    }
    ready(&mut next).expect("open");
    assert_eq!(receiver.try_recv().as_deref(), Ok(&2));
    assert_eq!((Arc::strong_count(&value), receiver.capacity(), receiver.len()), (1, 1, 0));
}

fn drop_reserve(moment: Moment) {
    let (sender, mut receiver) = mpsc::channel(2);
    sender.try_send(0).expect("room");
    let mut victim = Victim::new(moment, sender.reserve_many(2));
    let mut next = Box::pin(sender.clone().reserve_owned());
    assert_eq!(pending(&mut next), moment != Moment::Fresh);
    victim.before();
    assert_eq!(receiver.try_recv(), Ok(0));
    drop(victim.after());
    if moment != Moment::Fresh {
        drop(ready(&mut next).expect("open"));
    }
    drop(next);
    assert_eq!((sender.capacity(), sender.strong_count()), (2, 1));
}

fn drop_recv(moment: Moment) {
    let (sender, mut receiver) = mpsc::channel(4);
    let mut victim = Victim::new(moment, receiver.recv());
    victim.before();
    sender.try_send(1).expect("room");
    let got = victim.after().flatten();
    drop(victim);
    sender.try_send(2).expect("room");
    let all: Vec<_> = got.into_iter().chain(std::iter::from_fn(|| receiver.try_recv().ok())).collect();
    assert_eq!((all, sender.capacity()), (vec![1, 2], 4));
}

fn drop_recv_many(moment: Moment) {
    let (sender, mut receiver) = mpsc::unbounded();
    let mut into = Vec::new();
    let mut victim = Victim::new(moment, receiver.recv_many(&mut into, 2));
    victim.before();
    (1..=3).for_each(|number| sender.send(number).expect("open"));
    victim.after();
    drop(victim);
    into.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
    assert_eq!(into, [1, 2, 3]);
}

fn drop_oneshot(moment: Moment) {
    let (sender, mut receiver) = oneshot::channel();
    let mut victim = Victim::new(moment, &mut receiver);
    victim.before();
    sender.send(1).expect("open");
    let got = victim.after().transpose().expect("sent");
    drop(victim);
    assert_eq!(got.or_else(|| receiver.try_recv().ok()), Some(1));
}

fn drop_broadcast(moment: Moment) {
    let (sender, mut receiver) = broadcast::channel(4);
    let mut victim = Victim::new(moment, receiver.recv());
    victim.before();
    sender.send(1).expect("a receiver");
    let got = victim.after().transpose().expect("sent");
    drop(victim);
    assert_eq!(got.or_else(|| receiver.try_recv().ok()), Some(1));
    assert!(receiver.is_empty());
}

fn drop_changed(moment: Moment) {
    let (sender, mut receiver) = watch::channel(0);
    let mut victim = Victim::new(moment, receiver.changed());
    victim.before();
    sender.send(1).expect("a receiver");
    let seen = victim.after().is_some();
    drop(victim);
    assert_eq!(receiver.has_changed(), Ok(!seen));
}

fn drop_cancelled(moment: Moment) {
    let token = CancellationToken::new();
    let child = token.child_token();
    let mut victim = Victim::new(moment, child.cancelled());
    let mut next = Box::pin(child.cancelled());
    assert!(pending(&mut next));
    victim.before();
    token.cancel();
    victim.after();
    ready(&mut next);
}

#[test]
fn futures_dropped_at_every_moment_lose_nothing() {
    type Row = (&'static str, fn(Moment));
    let table: [Row; 15] = [
        ("Mutex::lock", drop_mutex),
        ("RwLock::read", drop_reader),
        ("RwLock::write", drop_writer),
        ("Semaphore::acquire_many", drop_acquire_many),
        ("Semaphore::acquire_owned", drop_acquire_owned),
        ("Notify::notified", drop_notified),
        ("Barrier::wait", drop_barrier),
        ("mpsc::Sender::send", drop_send),
        ("mpsc::Sender::reserve_many", drop_reserve),
        ("mpsc::Receiver::recv", drop_recv),
        ("mpsc::UnboundedReceiver::recv_many", drop_recv_many),
        ("oneshot::Receiver", drop_oneshot),
        ("broadcast::Receiver::recv", drop_broadcast),
        ("watch::Receiver::changed", drop_changed),
        ("CancellationToken::cancelled", drop_cancelled),
    ];
    for (name, run) in table {
        for moment in MOMENTS {
            eprintln!("{name} dropped when {moment:?}");
            run(moment);
        }
    }
}
