//! `JoinSet`: joining in the order of the ends, on other workers and threads, aborting, panics, letting go.

mod common;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{drivers, on_each, poll_once, runtime};
use ostia::sync::{CancellationToken, Semaphore, oneshot};
use ostia::{JoinSet, spawn, yield_now};

/// Counts its drop.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn tasks_are_joined_in_the_order_of_their_ends() {
    on_each(|| async {
        let mut set = JoinSet::new();
        let (mut starts, mut keys) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let (start, started) = oneshot::channel::<()>();
            starts.push(Some(start));
            keys.push(set.spawn(async move {
                let _ = started.await;
                number
            }));
        }
        assert_eq!(set.len(), 4);
        assert!(poll_once(set.join_next()).is_pending());
        for number in [2, 0, 3, 1] {
            drop(starts[number].take());
            let (key, output) = set.join_next_with_key().await.expect("one is left");
            assert_eq!((key, output.expect("no panic")), (keys[number], number));
        }
        assert!(set.is_empty() && set.join_next().await.is_none() && set.try_join_next().is_none());
    });
}

#[test]
fn outputs_need_not_be_send() {
    on_each(|| async {
        let shared = Rc::new(Cell::new(0));
        let mut set = JoinSet::new();
        for number in 1..=10 {
            let shared = Rc::clone(&shared);
            set.spawn(async move {
                yield_now().await;
                shared.set(shared.get() + number);
                shared
            });
        }
        assert_eq!(set.join_all().await.expect("no panic").len(), 10);
        assert_eq!((shared.get(), Rc::strong_count(&shared)), (55, 1));
    });
}

#[test]
fn workers_threads_and_tasks_in_one_set() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for number in 0..100u64 {
                match number % 3 {
                    0 => set.spawn(async move { number }),
                    1 => set.spawn_on(other, move || async move {
                        yield_now().await;
                        number
                    }),
                    _ => set.spawn_blocking(move || number),
                };
            }
            let mut sum = 0;
            while let Some(number) = set.join_next().await {
                sum += number.expect("no panic");
            }
            assert_eq!(sum, 4950);
        });
        drop(runtime);
        let mut set = JoinSet::new();
        set.spawn_on(other, || async { unreachable!("the worker has gone") });
        ostia::block_on(async { assert!(set.join_next().await.expect("one").expect_err("nobody runs it").is_cancelled()) });
    }
}

#[test]
fn a_panic_is_one_tasks_own_affair() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let mut set = JoinSet::new();
            set.spawn(async { panic!("one") });
            set.spawn_on(other, || async { panic!("two") });
            set.spawn_blocking(|| panic!("three"));
            set.spawn(async { 4 });
            let mut said = Vec::new();
            while let Some(result) = set.join_next().await {
                said.push(result.map_or_else(|error| error.to_string(), |number| number.to_string()));
            }
            said.sort();
            assert_eq!(said, ["4", "the task panicked: one", "the task panicked: three", "the task panicked: two"]);
        });
    }
}

#[test]
fn aborting_drops_what_has_not_ended_and_keeps_what_has() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let dropped = Arc::new(AtomicUsize::new(0));
            let mut set = JoinSet::new();
            let endless = |counted: Counted| async move {
                let _counted = counted;
                pending::<u32>().await
            };
            let aborted = set.spawn(endless(Counted(Arc::clone(&dropped))));
            let counted = Counted(Arc::clone(&dropped));
            set.spawn_on(other, move || endless(counted));
            let ended = set.spawn(async { 7 });
            yield_now().await;
            yield_now().await;
            assert!(set.abort(aborted));
            let mut results = Vec::new();
            for _ in 0..2 {
                let (key, result) = set.join_next_with_key().await.expect("two are left");
                results.push((key, result.map_err(|error| error.is_cancelled())));
            }
            results.sort_by_key(|(key, _)| *key);
            assert_eq!(results, [(aborted, Err(true)), (ended, Ok(7))]);
            assert!(!set.abort(aborted), "it was joined");
            set.shutdown().await;
            assert_eq!((set.len(), dropped.load(Ordering::SeqCst)), (0, 2), "shutdown waits until all are gone");
        });
    }
}

#[test]
fn an_output_that_was_there_before_the_abort_is_kept() {
    on_each(|| async {
        let mut set = JoinSet::new();
        set.spawn(async { 7 });
        yield_now().await;
        yield_now().await;
        set.abort_all();
        assert_eq!(set.join_next().await.expect("one").expect("it had ended"), 7);
    });
}

#[test]
fn dropping_the_set_drops_its_tasks() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let gone = Arc::new(Semaphore::new(0));
            struct Tells(Arc<Semaphore>);
            impl Drop for Tells {
                fn drop(&mut self) {
                    self.0.add_permits(1);
                }
            }
            let mut set = JoinSet::new();
            for number in 0..20 {
                let tells = Tells(Arc::clone(&gone));
                let endless = async move {
                    let _tells = tells;
                    pending::<()>().await;
                };
                if number % 2 == 0 {
                    set.spawn(endless)
                } else {
                    set.spawn_on(other, move || endless)
                };
            }
            yield_now().await;
            drop(set);
            let _all = gone.acquire_many(20).await.expect("open");
        });
    }
}

#[test]
fn those_let_go_go_on() {
    on_each(|| async {
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let mut set = JoinSet::new();
        let waiting = stop.clone();
        set.spawn(async move {
            waiting.cancelled().await;
            tell.send(5).expect("it is waited for");
        });
        set.detach_all();
        assert!(set.is_empty() && set.join_next().await.is_none());
        drop(set);
        yield_now().await;
        stop.cancel();
        assert_eq!(told.await, Ok(5));
    });
}

#[test]
fn a_dropped_join_next_loses_no_output() {
    on_each(|| async {
        let mut set = JoinSet::new();
        for number in 0..100u32 {
            set.spawn(async move {
                for _ in 0..number % 7 {
                    yield_now().await;
                }
                assert_ne!(number, 50, "one of them panics");
                number
            });
        }
        let (mut sum, mut panics) = (0, 0);
        while !set.is_empty() {
            ostia::select! {
                Some(result) = set.join_next() => match result {
                    Ok(number) => sum += number,
                    Err(error) => panics += u32::from(error.is_panic()),
                },
                () = yield_now() => {}
            }
        }
        assert_eq!((sum, panics), (4950 - 50, 1));
    });
}

#[test]
fn a_set_can_be_awaited_by_another_task() {
    on_each(|| async {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        let all = spawn(set.join_all()).await.expect("no panic");
        assert_eq!(all.expect("no panic"), [1]);
    });
}

#[test]
fn aborted_tasks_end_in_the_order_of_their_spawning() {
    /// Notes its drop.
    struct Noted(usize, Rc<RefCell<Vec<usize>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    // Those that are about to run have their turn first.
    let order = || (50..100).chain(0..50);
    for drop_the_set in [false, true] {
        on_each(|| async move {
            let ended = Rc::new(RefCell::new(Vec::new()));
            let mut set = JoinSet::new();
            let mut keys = Vec::new();
            for number in 0..100 {
                let noted = Noted(number, Rc::clone(&ended));
                keys.push(set.spawn(async move {
                    let _noted = noted;
                    pending::<()>().await;
                }));
                // Some wait already when they are aborted, and some have not begun.
                if number == 49 {
                    yield_now().await;
                }
            }
            assert!(keys.is_sorted());
            if drop_the_set {
                drop(set);
                while ended.borrow().len() < 100 {
                    yield_now().await;
                }
            } else {
                set.abort_all();
                for number in order() {
                    let (joined, result) = set.join_next_with_key().await.expect("one more");
                    assert_eq!((joined, result.expect_err("aborted").is_cancelled()), (keys[number], true));
                }
            }
            assert!(ended.borrow().iter().copied().eq(order()), "{:?}", ended.borrow());
        });
    }
}
