//! Invariant 12: the thread pool.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use ostia_port::{Packet, SharedConfig, ThreadPool, ThreadPoolConfig};

use crate::common::{patience, repeat};
use crate::native::{LIMIT, wine_lacks};
use crate::{config, on_every_shared, post, shared, until, until_met};

fn pool(min: usize, max: usize) -> ThreadPoolConfig {
    ThreadPoolConfig { min, max, idle: Duration::from_secs(1000), ..ThreadPoolConfig::default() }
}

/// 12: handlers that block in `blocking` until all of them are there: the pool must grow to so many, and to no more than its
/// maximum.
#[test]
fn s12_it_grows_while_its_threads_block() {
    on_every_shared("s12_it_grows_while_its_threads_block", |engine| {
        const MAX: usize = 6;
        let port = shared(engine, 2);
        let all = Arc::new(Barrier::new(MAX));
        let pool = {
            let all = Arc::clone(&all);
            ThreadPool::start(&port, pool(1, MAX), move |port, _| {
                port.blocking(|| all.wait());
            })
            .expect("a pool")
        };
        // Only if so many handlers block at once does any of them go on.
        for n in 0..3 * MAX as u64 {
            post(&port, n);
        }
        until(&port, "all is dealt with", |load| load.packets == 0 && load.waiting == load.members);
        assert_eq!((pool.threads(), pool.peak()), (MAX, MAX));
        let report = pool.shutdown(patience());
        assert_eq!((report.left, report.panics), (0, 0));
        assert_eq!(port.load().members, 0);
    });
}

/// 12: handlers that sleep without a word are seen, and the pool grows for them too.
#[test]
fn s12_it_grows_while_its_threads_sleep() {
    on_every_shared("s12_it_grows_while_its_threads_sleep", |engine| {
        const MAX: usize = 4;
        let port = shared(engine, 1);
        let all = Arc::new(Barrier::new(MAX));
        let everybody = Arc::clone(&all);
        let pool = ThreadPool::start(&port, pool(0, MAX), move |_, _| {
            everybody.wait();
        })
        .expect("a pool");
        (0..MAX as u64).for_each(|n| post(&port, n));
        until(&port, "all is dealt with", |load| load.packets == 0 && load.waiting == MAX);
        assert_eq!(pool.shutdown(patience()).left, 0);
    });
}

/// 12: threads that only compute don't make it grow past the concurrency.
#[test]
fn s12_busy_threads_do_not_make_it_grow() {
    if wine_lacks("s12_busy_threads_do_not_make_it_grow", LIMIT) {
        return;
    }
    on_every_shared("s12_busy_threads_do_not_make_it_grow", |engine| {
        // Nobody looks who sleeps: on a busy machine a thread may well be found waiting for a page.
        let port = ostia_port::SharedPort::with(SharedConfig { watch_every: None, ..config(engine, 2) }).expect("a port");
        let pool = ThreadPool::start(&port, pool(1, 8), |_, _| {
            (0..500).for_each(|_| std::hint::spin_loop());
        })
        .expect("a pool");
        for n in 0..repeat(3000, 60_000) as u64 {
            post(&port, n);
        }
        until(&port, "all is dealt with", |load| load.packets == 0 && load.waiting == load.members);
        // One more may come when a thread that was made has not yet been seen.
        assert!((1..=3).contains(&pool.peak()), "{} threads", pool.peak());
        pool.shutdown(patience());
    });
}

/// 12: those that are not needed go, down to the minimum, and come again.
#[test]
fn s12_it_shrinks_when_idle_and_grows_again() {
    on_every_shared("s12_it_shrinks_when_idle_and_grows_again", |engine| {
        let port = shared(engine, 4);
        let all = Arc::new(Barrier::new(4));
        let everybody = Arc::clone(&all);
        let settings = ThreadPoolConfig { idle: Duration::from_millis(5), ..pool(1, 4) };
        let pool = ThreadPool::start(&port, settings, move |port, _| {
            port.blocking(|| everybody.wait());
        })
        .expect("a pool");
        for _ in 0..3 {
            (0..4).for_each(|n| post(&port, n));
            until(&port, "packets are dealt with", |load| load.packets == 0 && load.waiting == load.members);
            until_met(|| pool.threads() == 1, || format!("the pool shrinks; {} threads", pool.threads()));
            assert_eq!(pool.peak(), 4);
        }
        assert_eq!(pool.shutdown(patience()).left, 0);
    });
}

/// 12: a panic costs its packet, is counted and reported, and no thread goes for it.
#[test]
fn s12_a_panicking_handler_is_contained() {
    on_every_shared("s12_a_panicking_handler_is_contained", |engine| {
        let port = shared(engine, 2);
        let (heard, messages) = channel();
        let heard = Mutex::new(heard);
        let on_panic: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(move |message: &str| {
            heard.lock().expect("no panic").send(message.to_owned()).expect("alive");
            assert!(!message.contains('7'), "even a reporter may panic");
        });
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&threads);
        let settings = ThreadPoolConfig { on_panic: Some(on_panic), ..pool(2, 2) };
        let pool = ThreadPool::start(&port, settings, move |port, done| {
            seen.lock().expect("no panic").insert(std::thread::current().id());
            match done.context % 3 {
                // Quiet: the panic hook isn't called.
                0 => std::panic::resume_unwind(Box::new(format!("number {}", done.context))),
                1 => port.blocking(|| std::panic::resume_unwind(Box::new("in blocking"))),
                _ => {}
            }
        })
        .expect("a pool");
        (0..30).for_each(|n| post(&port, n));
        until(&port, "all is dealt with", |load| load.packets == 0 && load.waiting == 2);
        assert_eq!((pool.threads(), pool.panics(), pool.peak()), (2, 20, 2));
        assert!(threads.lock().expect("no panic").len() <= 2, "the same threads all along");
        let report = pool.shutdown(patience());
        assert_eq!((report.left, report.panics), (0, 20));
        let messages: Vec<String> = messages.try_iter().collect();
        assert_eq!(messages.len(), 20);
        assert!(messages.iter().any(|m| m == "number 27") && messages.iter().any(|m| m == "in blocking"));
    });
}

/// 12: the shutdown deals with what was queued before it, stops at the deadline, and says who is left; that one goes when
/// its handler returns.
#[test]
fn s12_the_shutdown_has_a_deadline() {
    on_every_shared("s12_the_shutdown_has_a_deadline", |engine| {
        let port = shared(engine, 2);
        let handled = Arc::new(AtomicUsize::new(0));
        let (go, gone) = channel::<()>();
        let (gone, count) = (Mutex::new(gone), Arc::clone(&handled));
        let pool_of_three = ThreadPool::start(&port, pool(3, 3), move |port, done| {
            count.fetch_add(1, Ordering::SeqCst);
            if done.context == 0 {
                port.blocking(|| gone.lock().expect("no panic").recv()).expect("told to go on");
            }
        })
        .expect("a pool");
        let other = ThreadPool::start(&port, pool(1, 1), |_, _| ()).err().expect("one pool at a time");
        assert_eq!(other.kind(), ErrorKind::AlreadyExists);
        (0..50).for_each(|n| post(&port, n));
        let report = pool_of_three.shutdown(Duration::from_millis(50));
        assert!(report.left >= 1, "one is held up");
        until(&port, "the others have gone", |load| load.members == 1);
        assert_eq!(handled.load(Ordering::SeqCst), 50, "all that came before the stop");
        go.send(()).expect("heard");
        until(&port, "the last has gone", |load| load.members == 0 && load.packets == 0);
        let mut next = None;
        until_met(
            || {
                next = ThreadPool::start(&port, pool(1, 1), |_, _| ()).ok();
                next.is_some()
            },
            || "room for another pool".into(),
        );
        assert_eq!(next.expect("started").shutdown(patience()).left, 0);
    });
}

/// 12: a stop while threads come and go: all end, and no exit packet is left for strangers.
#[test]
fn s12_stopping_while_it_grows_and_shrinks() {
    on_every_shared("s12_stopping_while_it_grows_and_shrinks", |engine| {
        for round in 0..repeat(20, 1000) as u64 {
            let port = shared(engine, 4);
            let settings = ThreadPoolConfig { idle: Duration::from_millis(1), ..pool(round as usize % 2, 8) };
            let pool = ThreadPool::start(&port, settings, |port, done| {
                if done.context % 3 == 0 {
                    port.blocking(std::thread::yield_now);
                }
            })
            .expect("a pool");
            for n in 0..round * 5 % 200 {
                post(&port, n);
            }
            if round % 3 == 0 {
                drop(pool);
                // There is room for another when all its threads have gone.
                // That one is waited for, so that its own exit packets are not among the rest.
                let next = || match ThreadPool::start(&port, self::pool(0, 1), |_, _| ()) {
                    Ok(next) => next.shutdown(patience()).left == 0,
                    Err(_) => false,
                };
                until_met(next, || "the end of a dropped pool".into());
            } else {
                assert_eq!(pool.shutdown(patience()).left, 0);
            }
            let rest = port.load().packets as u64;
            // A pool without a thread may be stopped before it has made one; exit packets never outlast it.
            for _ in 0..rest {
                let done = port.wait(Some(Duration::ZERO)).expect("not ended").expect("it waits");
                assert_ne!(done.key, ThreadPool::EXIT_KEY);
            }
        }
    });
}

/// 12: the end of the port ends the pool; exit packets pass a full queue.
#[test]
fn s12_the_ports_end_is_the_pools() {
    on_every_shared("s12_the_ports_end_is_the_pools", |engine| {
        let port = ostia_port::SharedPort::with(SharedConfig { posted_max: 1, ..config(engine, 1) }).expect("a port");
        let blocked = Arc::new(Barrier::new(2));
        let both = Arc::clone(&blocked);
        let held = ThreadPool::start(&port, pool(1, 1), move |_, _| {
            both.wait();
            both.wait();
        })
        .expect("a pool");
        post(&port, 1);
        blocked.wait();
        post(&port, 2);
        assert!(port.post(Packet { key: 0, context: 3, result: 0 }).is_err(), "full");
        assert!(held.shutdown(Duration::ZERO).left == 1);
        blocked.wait();
        // The second packet, then the exit packet behind it.
        blocked.wait();
        blocked.wait();
        until(&port, "the thread has gone", |load| load.members == 0);

        let port = shared(engine, 2);
        let pool = ThreadPool::start(&port, pool(3, 5), |_, _| ()).expect("a pool");
        port.end();
        until_met(|| pool.threads() == 0, || "the pool's end".into());
        assert_eq!(pool.shutdown(patience()).left, 0);
    });
}

/// 12: settings that can't be are named.
#[test]
fn s12_wrong_settings_are_named() {
    on_every_shared("s12_wrong_settings_are_named", |engine| {
        let port = shared(engine, 1);
        for settings in [pool(3, 2), pool(0, 0), ThreadPoolConfig { idle: Duration::ZERO, ..pool(1, 1) }] {
            let error = ThreadPool::start(&port, settings, |_, _| ()).err().expect("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        drop(ThreadPool::start(&port, pool(1, 1), |_, _| ()).expect("none of them took the port's place"));
    });
}
