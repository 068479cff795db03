//! `ostia::sync` in use: every future dropped at every moment, panics, closed ends, other workers, plain threads.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use common::{drivers, on_each, poll_once, runtime};
use ostia::sync::mpsc::TrySendError;
use ostia::sync::{Barrier, CancellationToken, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use ostia::{spawn, spawn_blocking, spawn_on, yield_now};

/// What everything here can do besides: a list that fails to compile if it can't.
#[test]
fn what_is_send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>(_: &T) {}
    both::<oneshot::Sender<u8>>();
    both::<oneshot::Receiver<u8>>();
    both::<mpsc::Sender<u8>>();
    both::<mpsc::Receiver<u8>>();
    both::<mpsc::WeakSender<u8>>();
    both::<mpsc::OwnedPermit<u8>>();
    both::<mpsc::Permit<'static, u8>>();
    both::<mpsc::UnboundedSender<u8>>();
    both::<mpsc::UnboundedReceiver<u8>>();
    both::<broadcast::Sender<u8>>();
    both::<broadcast::Receiver<u8>>();
    both::<watch::Sender<u8>>();
    both::<watch::Receiver<u8>>();
    both::<watch::Snapshot<u8>>();
    both::<Mutex<std::cell::Cell<u8>>>();
    both::<ostia::sync::OwnedMutexGuard<u8>>();
    both::<RwLock<u8>>();
    both::<ostia::sync::OwnedRwLockWriteGuard<u8>>();
    both::<ostia::sync::OwnedSemaphorePermit>();
    both::<(Notify, Semaphore, Barrier, CancellationToken)>();
    both::<ostia::sync::OwnedNotified>();

    let (mutex, semaphore, notify) = (Mutex::new(1), Semaphore::new(1), Notify::new());
    send(&mutex.lock());
    send(&semaphore.acquire());
    send(&notify.notified());
    let (sender, mut receiver) = mpsc::channel::<u8>(1);
    send(&sender.send(1));
    send(&receiver.recv());
    let (_, mut receiver) = broadcast::channel::<u8>(1);
    send(&receiver.recv());
    let (_, mut receiver) = watch::channel(1);
    send(&receiver.changed());
    send(&CancellationToken::new().cancelled_owned());
}

/// Fails to compile if `$type` implements `$trait`: then two implementations of `Ambiguous` fit.
macro_rules! is_not {
    ($($type:ty: $trait:ident),* $(,)?) => {$({
        trait Ambiguous<A> { fn check() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + $trait> Ambiguous<u8> for T {}
        <$type as Ambiguous<_>>::check();
    })*};
}

#[test]
fn what_is_not() {
    use std::cell::Cell;
    use std::rc::Rc;
    is_not! {
        mpsc::Sender<Rc<u8>>: Send,
        oneshot::Receiver<Rc<u8>>: Send,
        watch::Receiver<Cell<u8>>: Send,
        Mutex<Rc<u8>>: Sync,
        RwLock<Cell<u8>>: Sync,
        ostia::sync::MutexGuard<'static, Cell<u8>>: Sync,
        ostia::sync::OwnedMutexGuard<Cell<u8>>: Sync,
        ostia::sync::MutexGuard<'static, Rc<u8>>: Send,
        ostia::sync::RwLockReadGuard<'static, Cell<u8>>: Send,
        ostia::JoinSet<Rc<u8>>: Send,
    }
}

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

#[test]
fn a_holder_that_panics_gives_back_what_it_held() {
    on_each(|| async {
        let mutex = Arc::new(Mutex::new(1));
        let semaphore = Arc::new(Semaphore::new(3));
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let (answer, answered) = oneshot::channel::<()>();
        let panicking = spawn({
            let (mutex, semaphore) = (Arc::clone(&mutex), Arc::clone(&semaphore));
            async move {
                let mut value = mutex.lock().await;
                let _permits = semaphore.acquire_many(3).await.expect("open");
                let _room = sender.reserve().await.expect("open");
                let _answer = answer;
                yield_now().await;
                *value = 2;
                panic!("with everything in its hands");
            }
        });
        let waiting = spawn({
            let mutex = Arc::clone(&mutex);
            async move { *mutex.lock().await }
        });
        assert!(panicking.await.expect_err("it panicked").is_panic());
        assert_eq!(waiting.await.expect("no panic"), 2, "no poisoning: the value as it was left");
        assert_eq!(semaphore.available_permits(), 3);
        assert_eq!(receiver.recv().await, None);
        assert!(answered.await.is_err());
    });
}

#[test]
fn an_aborted_task_leaves_the_row() {
    on_each(|| async {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock().await;
        let mut tasks: Vec<_> = (0..10)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                spawn(async move { drop(mutex.lock().await) })
            })
            .collect();
        yield_now().await;
        tasks.iter_mut().step_by(2).for_each(ostia::JoinHandle::abort);
        drop(held);
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_err_and(|error| error.is_cancelled()), number % 2 == 0);
        }
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn a_row_is_served_in_order_and_writers_are_not_starved() {
    on_each(|| async {
        let lock = Arc::new(RwLock::new(Vec::new()));
        let held = lock.read().await;
        let tasks: Vec<_> = (0..12)
            .map(|number| {
                let lock = Arc::clone(&lock);
                spawn(async move {
                    if number % 3 == 0 {
                        lock.write().await.push(number);
                    } else {
                        let seen = lock.read().await;
                        yield_now().await;
                        assert_eq!(seen.len(), number / 3 + 1, "all writers before and none after");
                    }
                })
            })
            .collect();
        yield_now().await;
        drop(held);
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*lock.read().await, [0, 3, 6, 9]);
    });
}

#[test]
fn a_slow_receiver_holds_its_senders_up_and_a_gone_one_sends_them_home() {
    on_each(|| async {
        let (sender, mut receiver) = mpsc::channel(2);
        let sent = Arc::new(AtomicUsize::new(0));
        let task = spawn({
            let (sender, sent) = (sender.clone(), Arc::clone(&sent));
            async move {
                for number in 0.. {
                    if let Err(back) = sender.send(number).await {
                        return back.0;
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                }
                unreachable!("the receiver goes first")
            }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!((sent.load(Ordering::SeqCst), sender.try_send(9)), (2, Err(TrySendError::Full(9))));
        assert_eq!(receiver.recv().await, Some(0));
        let closed = sender.clone();
        let closing = spawn(async move { closed.closed().await });
        drop(receiver);
        assert_eq!(task.await.expect("no panic"), sent.load(Ordering::SeqCst));
        closing.await.expect("no panic");
        assert_eq!(sender.try_send(9), Err(TrySendError::Closed(9)));
    });
}

#[test]
fn threads_without_a_runtime_take_part() {
    on_each(|| async {
        let (questions, mut asked) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(1);
        let mutex = Arc::new(Mutex::new(0));
        let barrier = Arc::new(Barrier::new(5));
        let threads: Vec<_> = (0..4u64)
            .map(|number| {
                let (questions, mutex, barrier) = (questions.clone(), Arc::clone(&mutex), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    for i in 0..50 {
                        let (answer, answered) = oneshot::channel();
                        questions.blocking_send((number * i, answer)).expect("open");
                        assert_eq!(answered.blocking_recv(), Ok(number * i + 1));
                        *mutex.blocking_lock() += 1;
                    }
                    drop(questions);
                    barrier.blocking_wait().is_leader()
                })
            })
            .collect();
        drop(questions);
        while let Some((number, answer)) = asked.recv().await {
            yield_now().await;
            answer.send(number + 1).expect("it is waited for");
        }
        let mut leaders = usize::from(barrier.wait().await.is_leader());
        let joining =
            spawn_blocking(move || threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|leader| *leader).count());
        leaders += joining.await.expect("no panic");
        assert_eq!((leaders, *mutex.lock().await), (1, 200));
    });
}

#[test]
#[should_panic(expected = "blocking_recv inside a runtime would stop its worker")]
fn blocking_on_a_worker_is_refused() {
    ostia::block_on(async {
        let (_sender, receiver) = oneshot::channel::<()>();
        let _ = receiver.blocking_recv();
    });
}

#[test]
fn a_token_stops_tasks_on_all_workers() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let workers = runtime.workers();
        runtime.block_on(async {
            let token = CancellationToken::new();
            let (kept, _) = (token.child_token(), token.child_token());
            let tasks: Vec<_> = (0..20)
                .map(|number| {
                    let child = token.child_token();
                    spawn_on(workers[number % 2], move || async move {
                        let endless = std::future::pending::<()>();
                        child.run_until_cancelled(endless).await.is_none()
                    })
                })
                .collect();
            yield_now().await;
            assert_eq!(kept.run_until_cancelled(std::future::ready(5)).await, Some(5));
            drop(token.clone().drop_guard());
            for task in tasks {
                assert!(task.await.expect("no panic"));
            }
            assert!(kept.is_cancelled() && kept.run_until_cancelled(std::future::ready(5)).await.is_none());
        });
    }
}
