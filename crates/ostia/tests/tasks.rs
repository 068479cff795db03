//! Tasks: joining, aborting, panics, other workers, blocking work, and the account of all at the end.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{drivers, on_each, runtime, stream_pair};
use ostia::{Runtime, WorkerId, spawn, spawn_blocking, spawn_on, yield_now};

#[test]
fn a_task_need_not_be_send_and_gives_its_output() {
    on_each(|| async {
        let shared = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (1..=100)
            .map(|i| {
                let shared = Rc::clone(&shared);
                spawn(async move {
                    yield_now().await;
                    shared.set(shared.get() + i);
                    i
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("no panic");
        }
        assert_eq!((sum, shared.get()), (5050, 5050));
    });
}

#[test]
fn a_panic_stays_in_its_task_and_comes_out_of_the_handle() {
    on_each(|| async {
        let before = ostia::statistics().await[0].tasks.panicked;
        let awaited = spawn(async {
            yield_now().await;
            panic!("shipwreck {}", std::hint::black_box(7))
        });
        let mut error = awaited.await.expect_err("it panicked");
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), "the task panicked: shipwreck 7");
        let payload = error.take_panic().expect("a payload");
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("shipwreck 7"));
        assert!(error.take_panic().is_none());

        spawn(async { panic!("nobody awaits this") }).detach();
        yield_now().await;
        yield_now().await;
        assert_eq!(ostia::statistics().await[0].tasks.panicked, before + 2);
    });
}

#[test]
fn an_aborted_task_is_dropped_and_says_so() {
    struct Flag(Rc<Cell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    on_each(|| async {
        let dropped = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&dropped));
        let mut task = spawn(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        assert!(!task.is_finished());
        task.abort();
        assert!((&mut task).await.expect_err("aborted").is_cancelled());
        assert!(dropped.get(), "awaiting an aborted task waits until it is gone");
        assert!(task.is_finished());

        let mut done = spawn(async { 5 });
        yield_now().await;
        yield_now().await;
        done.abort();
        assert_eq!(done.await.expect("it had completed before"), 5);
    });
}

#[test]
fn tasks_are_shipped_to_other_workers_and_back() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 3);
        let workers = runtime.workers();
        runtime.block_on(async {
            assert_eq!(ostia::workers(), workers);
            for &worker in &workers {
                let there = spawn_on(worker, || async {
                    // Not Send, made and used there.
                    let here = Rc::new(WorkerId::current());
                    yield_now().await;
                    ostia::time::sleep(Duration::from_millis(2)).await;
                    *here
                });
                assert_eq!(there.await.expect("no panic"), Some(worker));
            }
        });
        drop(runtime);
        let gone = spawn_on(workers[1], || async { unreachable!("the worker has gone") });
        assert!(ostia::block_on(gone).expect_err("nobody runs it").is_cancelled());
    }
}

#[test]
fn many_wakes_between_workers_are_never_lost() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async move {
            for round in 0..2000 {
                let there = spawn_on(other, move || async move { round });
                assert_eq!(there.await.expect("no panic"), round);
            }
        });
    }
}

#[test]
fn blocking_work_runs_elsewhere_and_within_its_bound() {
    let mut runtime = Runtime::builder().workers(1).blocking_threads(4).build().expect("a runtime");
    runtime.block_on(async {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let here = std::thread::current().id();
        let tasks: Vec<_> = (0..64)
            .map(|i| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                spawn_blocking(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    (i, std::thread::current().id())
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let (number, thread) = task.await.expect("no panic");
            assert_eq!(number, i);
            assert_ne!(thread, here);
        }
        assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
        let error = spawn_blocking(|| panic!("in the hold")).await.expect_err("it panicked");
        assert_eq!(error.to_string(), "the task panicked: in the hold");
    });
}

#[test]
fn shutdown_accounts_for_every_task() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        let finished = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            for worker in [WorkerId::current().expect("in a runtime"), other] {
                for _ in 0..10 {
                    let finished = Arc::clone(&finished);
                    spawn_on(worker, move || async move {
                        ostia::time::sleep(Duration::from_millis(20)).await;
                        finished.fetch_add(1, Ordering::SeqCst);
                    })
                    .detach();
                }
                for _ in 0..3 {
                    spawn_on(worker, std::future::pending::<()>).detach();
                }
            }
        });
        let report = runtime.shutdown(Duration::from_millis(500));
        assert_eq!(finished.load(Ordering::SeqCst), 20, "those that could end have ended");
        assert_eq!((report.aborted, report.stuck), (6, 0), "{driver:?}");
    }
}

#[test]
fn shutdown_does_not_wait_when_all_have_ended() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async move { spawn_on(other, || async {}).await.expect("no panic") });
        // A deadline of an hour: this test ends only if it isn't waited for.
        assert_eq!(runtime.shutdown(Duration::from_secs(3600)).aborted, 0);
    }
}

#[test]
fn a_greedy_task_lets_others_run() {
    on_each(|| async {
        let (mut one, mut other) = stream_pair();
        let seen = Rc::new(Cell::new(0));
        let counting = Rc::clone(&seen);
        // Everything it awaits is ready at once, for ever; only its budget makes it yield.
        let mut greedy = spawn(async move {
            loop {
                one.send(&b"x"[..]).await.expect("send");
                other.recv().await.expect("recv");
                counting.set(counting.get() + 1);
            }
        });
        while seen.get() < 1000 {
            yield_now().await;
        }
        greedy.abort();
        assert!(greedy.await.expect_err("aborted").is_cancelled());
    });
}

#[test]
#[should_panic(expected = "block_on inside a task")]
fn a_loop_in_a_loop_is_refused() {
    ostia::block_on(async { ostia::block_on(async {}) });
}

#[test]
fn wrong_settings_are_named() {
    let error = Runtime::builder().workers(0).build().expect_err("refused");
    assert!(error.to_string().contains("workers is 0"), "{error}");
}
