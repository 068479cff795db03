//! `ostia::sync` in use: panics, closed ends, greedy tasks, other workers, plain threads.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{drivers, on_each, runtime};
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
fn a_task_that_never_waits_lets_others_run() {
    on_each(|| async {
        type Make = fn() -> Pin<Box<dyn Future<Output = ()>>>;
        let greedy: [Make; 6] = [
            || Box::pin(async { while mpsc_round().await {} }),
            || {
                Box::pin(async {
                    let (sender, mut receiver) = mpsc::unbounded();
                    while sender.send(()).is_ok() {
                        receiver.recv().await;
                    }
                })
            },
            || {
                Box::pin(async {
                    let mutex = Mutex::new(());
                    loop {
                        drop(mutex.lock().await);
                    }
                })
            },
            || {
                Box::pin(async {
                    let lock = RwLock::new(());
                    loop {
                        drop(lock.write().await);
                    }
                })
            },
            || {
                Box::pin(async {
                    let (sender, mut receiver) = broadcast::channel(1);
                    while sender.send(()).is_ok() {
                        receiver.recv().await.expect("open");
                    }
                })
            },
            || {
                Box::pin(async {
                    let (sender, mut receiver) = watch::channel(());
                    while sender.send(()).is_ok() {
                        receiver.changed().await.expect("open");
                    }
                })
            },
        ];
        let mut tasks: Vec<_> = greedy.iter().map(|make| spawn(make())).collect();
        // Without turns for all, this would never end.
        for _ in 0..100 {
            yield_now().await;
        }
        for task in &mut tasks {
            task.abort();
            assert!(task.await.expect_err("it would go on for ever").is_cancelled());
        }
    });
}

async fn mpsc_round() -> bool {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.send(()).await.is_ok() && receiver.recv().await.is_some()
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
