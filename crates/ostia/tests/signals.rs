//! Signals, raised by the test's own process.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{drivers, runtime};
use ostia::signal::{Signal, SignalKind, hangup, interrupt, terminate};
use ostia::{spawn, spawn_on, yield_now};
use rustix::process::{Signal as Raw, getpid, kill_process};

#[test]
fn every_waiter_on_every_worker_is_told() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async move {
            let mut here = Signal::new(SignalKind::Hangup).expect("a watch");
            let watching = Arc::new(AtomicBool::new(false));
            let there = spawn_on(other, {
                let watching = Arc::clone(&watching);
                move || async move {
                    let mut watch = Signal::new(SignalKind::Hangup).expect("a watch");
                    watching.store(true, Ordering::SeqCst);
                    watch.recv().await
                }
            });
            while !watching.load(Ordering::SeqCst) {
                yield_now().await;
            }
            kill_process(getpid(), Raw::HUP).expect("kill");
            here.recv().await.expect("told");
            there.await.expect("no panic").expect("told");

            // None that came between two waits is missed. Two may become one, and need not: kill(2) lets
            // another thread take the second after the first has been told.
            kill_process(getpid(), Raw::HUP).expect("kill");
            kill_process(getpid(), Raw::HUP).expect("kill");
            here.recv().await.expect("told");

            for (signal, number) in [(0, Raw::INT), (1, Raw::TERM), (2, Raw::HUP)] {
                let waiting = spawn(async move {
                    match signal {
                        0 => interrupt().await,
                        1 => terminate().await,
                        _ => hangup().await,
                    }
                });
                yield_now().await;
                yield_now().await;
                kill_process(getpid(), number).expect("kill");
                waiting.await.expect("no panic");
            }
        });
    }
}
