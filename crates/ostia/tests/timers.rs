//! Time: never early, limits that cost their future nothing, ticks that don't drift.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{drivers, join, on_each, poll_once, runtime, tcp_pair};
use ostia::time::{Elapsed, interval, now, sleep, sleep_until, timeout};
use ostia::{spawn, spawn_on, workers};

const MS: Duration = Duration::from_millis(1);

#[test]
fn nothing_is_early_and_the_sooner_comes_first() {
    on_each(|| async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [30, 5, 70, 12, 1, 0, 64, 65]
            .into_iter()
            .map(|after| {
                let order = Rc::clone(&order);
                spawn(async move {
                    let start = now();
                    sleep(after * MS).await;
                    assert!(now() - start >= after * MS);
                    order.borrow_mut().push(after);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.borrow(), [0, 1, 5, 12, 30, 64, 65, 70]);
        sleep_until(now() - Duration::from_secs(1)).await;
    });
}

#[test]
fn a_limit_ends_what_takes_too_long_and_nothing_else() {
    on_each(|| async {
        assert_eq!(timeout(MS, std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3), "ready at once counts as ready");
        assert_eq!(timeout(Duration::from_secs(3600), sleep(MS)).await, Ok(()));
        let error: std::io::Error = Elapsed.into();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_limit_set_again_and_again_fires_only_when_nothing_comes() {
    on_each(|| async {
        let (mut one, mut other) = tcp_pair().await;
        let echo = spawn(async move {
            let mut seen = 0;
            // Each wait is shorter than the limit, all together are much longer.
            while let Ok(Ok(Some(chunk))) = timeout(200 * MS, other.recv()).await {
                seen += chunk.len();
                other.send(chunk).await.expect("send");
            }
            (seen, other)
        });
        for _ in 0..40 {
            one.send(&b"tick"[..]).await.expect("send");
            let mut back = 0;
            while back < 4 {
                back += one.recv().await.expect("recv").expect("no end").len();
            }
            sleep(10 * MS).await;
        }
        // Now nothing comes, and `one` stays open: only the limit can end the task.
        let (seen, _other) = echo.await.expect("no panic");
        assert_eq!(seen, 160);
    });
}

#[test]
fn timers_of_one_task_are_apart() {
    on_each(|| async {
        // Two limits in one task, one set anew while the other runs.
        let short = async {
            for _ in 0..20 {
                assert_eq!(timeout(2 * MS, std::future::pending::<()>()).await, Err(Elapsed));
                assert_eq!(timeout(Duration::from_secs(60), async {}).await, Ok(()));
            }
        };
        let long = async {
            let start = now();
            sleep(30 * MS).await;
            now() - start
        };
        let ((), slept) = join(short, long).await;
        assert!(slept >= 30 * MS);
    });
}

#[test]
fn missed_ticks_are_skipped() {
    on_each(|| async {
        let mut ticks = interval(10 * MS);
        let first = ticks.tick().await;
        assert_eq!(ticks.tick().await - first, 10 * MS);
        let blocked = Instant::now();
        while blocked.elapsed() < 35 * MS {
            std::hint::spin_loop();
        }
        ostia::yield_now().await;
        let late = ticks.tick().await;
        let seen = now();
        let next = ticks.tick().await;
        // It was due within a period from the one before, however late that came itself.
        assert!(seen - late >= 25 * MS && next > seen, "one tick for all that were missed");
        for tick in [late, next] {
            assert_eq!((tick - first).as_nanos() % 10_000_000, 0, "and no drift");
        }
    });
}

#[test]
fn ten_thousand_timers_come_and_go() {
    on_each(|| async {
        let tasks: Vec<_> = (0..10_000u32)
            .map(|i| {
                spawn(async move {
                    match i % 3 {
                        0 => timeout(Duration::from_secs(300), sleep(i % 50 * MS)).await.is_ok(),
                        1 => timeout(i % 50 * MS, std::future::pending::<()>()).await.is_err(),
                        _ => timeout(Duration::from_secs(300), ostia::yield_now()).await.is_ok(),
                    }
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.expect("no panic"));
        }
    });
}

/// A timer that was polled on one worker and is awaited on another comes along: not early, not lost, and it wakes the
/// task that waits for it now. It may be dropped there too.
#[test]
fn a_timer_moves_with_its_future() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        runtime.block_on(async {
            let other = workers()[1];
            // Timers count from the beginning of the turn.
            let start = now();
            let mut sleeps: Vec<_> = [40, 0, 20].into_iter().map(|after| (after, Box::pin(sleep(after * MS)))).collect();
            for (_, sleep) in &mut sleeps {
                assert!(poll_once(sleep.as_mut()).is_pending());
            }
            // The one without length fires here before it is moved.
            sleep(2 * MS).await;
            for (after, sleep) in sleeps {
                let ended = spawn_on(other, move || async move {
                    sleep.await;
                    Instant::now()
                });
                assert!(ended.await.expect("no panic") - start >= after * MS);
            }
            for _ in 0..100 {
                let mut long = Box::pin(timeout(Duration::from_secs(3600), std::future::pending::<()>()));
                assert!(poll_once(long.as_mut()).is_pending());
                let polled = spawn_on(other, move || async move {
                    assert!(poll_once(long.as_mut()).is_pending());
                    drop(long);
                });
                polled.await.expect("no panic");
            }
            let dropped = Box::pin(sleep(Duration::from_secs(3600)));
            spawn_on(other, move || async move { drop(dropped) }).await.expect("no panic");
        });
    }
}

/// Its worker has gone: nobody knows any more when it is due.
#[test]
fn a_timer_ends_with_its_worker() {
    for driver in drivers() {
        let mut orphan = Box::pin(sleep(MS));
        runtime(driver, 1).block_on(async { assert!(poll_once(orphan.as_mut()).is_pending()) });
        let error = runtime(driver, 1).block_on(async { spawn(async move { orphan.as_mut().await }).await });
        assert!(error.is_err_and(|error| error.to_string().contains("has ended")));
    }
}
