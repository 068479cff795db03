//! Events of the console, raised by the test's own process, which has a console of its own.
#![cfg(windows)]

mod common;

use std::os::windows::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{drivers, runtime};
use ostia::signal::{Signal, SignalKind, interrupt, terminate};
use ostia::{spawn, spawn_on, yield_now};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent};

/// A console without a window.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Runs the test in a process with a console that nobody else has. True in that process.
fn alone(test: &str) -> bool {
    if std::env::var_os("OSTIA_ALONE").is_some() {
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", test, "--nocapture"]).env("OSTIA_ALONE", "1").creation_flags(CREATE_NO_WINDOW);
    let output = again.output().expect("runs");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} failed in a process of its own");
    false
}

/// Has an event come to all processes of the console; whether it could.
fn raise(event: u32) -> bool {
    // SAFETY: plain numbers.
    unsafe { GenerateConsoleCtrlEvent(event, 0) != 0 }
}

#[test]
fn every_waiter_on_every_worker_is_told() {
    if !alone("every_waiter_on_every_worker_is_told") {
        return;
    }
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async move {
            let mut here = Signal::new(SignalKind::Interrupt).expect("a watch");
            let watching = Arc::new(AtomicBool::new(false));
            let there = spawn_on(other, {
                let watching = Arc::clone(&watching);
                move || async move {
                    let mut watch = Signal::new(SignalKind::Interrupt).expect("a watch");
                    watching.store(true, Ordering::SeqCst);
                    watch.recv().await
                }
            });
            while !watching.load(Ordering::SeqCst) {
                yield_now().await;
            }
            assert!(raise(CTRL_C_EVENT));
            here.recv().await.expect("told");
            there.await.expect("no panic").expect("told");

            // None that came between two waits is missed; two may become one.
            assert!(raise(CTRL_C_EVENT) && raise(CTRL_C_EVENT));
            here.recv().await.expect("told");

            let waiting = spawn(interrupt());
            yield_now().await;
            yield_now().await;
            assert!(raise(CTRL_C_EVENT));
            waiting.await.expect("no panic");
        });
    }
}

#[test]
fn to_end_is_asked_by_ctrl_break() {
    const TEST: &str = "to_end_is_asked_by_ctrl_break";
    if std::env::var_os("OSTIA_ALONE").is_none() && common::wine_lacks(TEST, "Ctrl-Break of GenerateConsoleCtrlEvent") {
        alone(TEST);
        return;
    }
    if !alone(TEST) {
        return;
    }
    if common::is_wine() {
        return assert!(!raise(CTRL_BREAK_EVENT), "Wine now has it: take the mark off");
    }
    for driver in drivers() {
        runtime(driver, 1).block_on(async {
            let waiting = spawn(terminate());
            yield_now().await;
            yield_now().await;
            assert!(raise(CTRL_BREAK_EVENT));
            waiting.await.expect("no panic");
        });
    }
}
