//! Invariants 2 and 3 where the system has a completion port of its own. Wine 8 gives out packets, but neither prefers the last
//! thread that waits nor limits how many run; the tests of those two rules are skipped there by name, and the two tests below
//! fail on the day when that is no longer so.

#[cfg(windows)]
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    mpsc::channel,
};

use crate::common::skip;
#[cfg(windows)]
use crate::{on_every_shared, post, shared, take, until};

/// Whether this is Wine.
pub fn is_wine() -> bool {
    #[cfg(windows)]
    let wine = ostia_port::os::wine_version().is_some();
    #[cfg(not(windows))]
    let wine = false;
    wine
}

/// Skips the test `name` under Wine, which does not do what it asks for.
pub fn wine_lacks(name: &str, what: &str) -> bool {
    let lacks = is_wine();
    if lacks {
        skip(name, &format!("Wine 8 does not implement this: {what}"));
    }
    lacks
}

/// What [`wine_lacks`] says of the order of threads.
pub const LIFO: &str = "waiting threads are released last in, first out";
/// And of how many run.
pub const LIMIT: &str = "no more threads run than the concurrency says";

/// 2: Wine releases the first to wait, or anybody. Should this fail, the order is there: take the marks off the tests of it.
#[cfg(windows)]
#[test]
fn s02_wine_has_no_order_of_threads() {
    if !is_wine() {
        return skip("s02_wine_has_no_order_of_threads", "only of interest under Wine");
    }
    on_every_shared("s02_wine_has_no_order_of_threads", |engine| {
        const THREADS: usize = 5;
        let port = shared(engine, THREADS);
        let (report, reports) = channel();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (near, report) = (&port, report.clone());
                scope.spawn(move || {
                    take(near);
                    report.send(thread).expect("heard");
                });
                until(&port, "the thread waits", |load| load.waiting == thread + 1);
            }
            // One packet after the other, so that the order of their reports is that of their release.
            let mut order = Vec::new();
            for n in 0..THREADS as u64 {
                post(&port, n);
                order.push(reports.recv().expect("one was released"));
            }
            assert_ne!(order, [4, 3, 2, 1, 0], "Wine now releases the last to wait: take the marks off");
        });
    });
}

/// 3: more run under Wine than may. Should this fail, the limit is there: take the marks off the tests of it.
#[cfg(windows)]
#[test]
fn s03_wine_knows_no_limit() {
    if !is_wine() {
        return skip("s03_wine_knows_no_limit", "only of interest under Wine");
    }
    on_every_shared("s03_wine_knows_no_limit", |engine| {
        let port = shared(engine, 1);
        let (most, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        (0..2).for_each(|n| post(&port, n));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    take(&port);
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Computing, not blocking, until the other has come, or for long enough to say that it does not.
                    let started = std::time::Instant::now();
                    while most.load(Ordering::SeqCst) < 2 && started.elapsed().as_secs() < 5 {
                        std::hint::spin_loop();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 2, "Wine now limits how many run: take the marks off");
    });
}
