//! How children end, who is told, and what becomes of those that nobody waits for.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ostia::process::{Child, Command, ExitStatus, FailureKind, ProcessError, Stdio};
use ostia::time::{sleep, timeout};
use ostia::{spawn, spawn_on, yield_now};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::common::{alone, drivers, on_each, on_each_with_faults, pattern, poll_once, runtime};
use crate::{MS, cat, gone, kind, read_all, sh, state, within};

#[test]
fn every_way_to_end_is_told() {
    on_each_with_faults(|| async {
        assert!(Command::new("true").status().await.expect("runs").success());
        for code in [0, 1, 7, 127, 255] {
            let status = sh(&format!("exit {code}")).status().await.expect("runs");
            assert_eq!((status.code(), status.signal()), (Some(code), None));
        }
        for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGUSR1] {
            let mut child = Command::new("sleep").arg("1000").spawn().expect("runs");
            child.signal(0).expect("could be sent");
            child.signal(signal).expect("sent");
            let status = child.wait().await.expect("waited");
            assert_eq!((status.code(), status.signal()), (None, Some(signal)));
        }
        // A real-time signal, which has no name.
        let mut child = Command::new("sleep").arg("1000").spawn().expect("runs");
        child.signal(libc::SIGRTMIN() + 3).expect("sent");
        assert_eq!(child.wait().await.expect("waited").signal(), Some(libc::SIGRTMIN() + 3));
        // One that the child deals with.
        let mut child = sh("trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done");
        let mut child = child.stdout(Stdio::piped()).spawn().expect("runs");
        let mut ready = child.stdout.take().expect("a pipe");
        assert_eq!(ready.recv().await.expect("recv").as_deref(), Some(&b"ready\n"[..]));
        child.signal(libc::SIGTERM).expect("sent");
        assert_eq!(child.wait().await.expect("waited").code(), Some(9));
    });
}

#[test]
fn a_wait_may_be_dropped_anywhere_and_asked_again() {
    on_each_with_faults(|| async {
        for polls in 0..6 {
            let mut child = sh("read line; exit 5").stdin(Stdio::piped()).spawn().expect("runs");
            let input = child.stdin.take();
            for _ in 0..polls {
                assert!(poll_once(child.wait()).is_pending());
                assert!(timeout(MS, child.wait()).await.is_err(), "it runs");
                assert_eq!(child.try_wait().expect("asked"), None);
            }
            drop(input);
            // It may end while nobody waits.
            if polls % 2 == 0 {
                gone(child.id().expect("not heard of yet")).await;
            }
            for _ in 0..3 {
                assert_eq!(within(child.wait()).await.expect("waited").code(), Some(5));
                assert_eq!(child.try_wait().expect("asked").and_then(|status| status.code()), Some(5));
            }
            assert_eq!(child.id(), None, "the number may be another's");
        }
        // Asked without ever letting the worker turn.
        let mut child = sh("exit 6").spawn().expect("runs");
        let status = loop {
            if let Some(status) = child.try_wait().expect("asked") {
                break status;
            }
            std::thread::yield_now();
        };
        assert_eq!(status.code(), Some(6));
        assert_eq!(child.wait().await.expect("waited"), status);
    });
}

#[test]
fn a_wait_dropped_at_every_turn_loses_nothing() {
    on_each_with_faults(|| async {
        // The future is dropped after so many turns of the worker, before, while and after the child ends.
        for turns in 0..40 {
            let mut child = sh("exit 4").stdin(Stdio::piped()).spawn().expect("runs");
            {
                let mut waiting = pin!(child.wait());
                for _ in 0..turns {
                    if waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    yield_now().await;
                }
            }
            assert_eq!(within(child.wait()).await.expect("waited").code(), Some(4));
        }
    });
}

#[test]
fn a_time_limit_ends_the_wait_and_a_kill_the_child() {
    on_each(|| async {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("runs");
        let pid = child.id().expect("runs");
        assert!(timeout(5 * MS, child.wait()).await.is_err());
        let status = within(child.kill()).await.expect("killed");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        gone(pid).await;
        // From now on its number may be another's: nobody is hit.
        child.start_kill().expect("nothing is to be done");
        assert_eq!(child.kill().await.expect("the same again"), status);
        for signal in [0, libc::SIGTERM] {
            let error = child.signal(signal).expect_err("it has ended");
            assert_eq!(kind(&error), FailureKind::Ended);
        }
        // A kill that comes too late changes nothing.
        let mut child = sh("exit 8").spawn().expect("runs");
        let pid = child.id().expect("runs");
        gone(pid).await;
        assert_eq!(child.kill().await.expect("waited").code(), Some(8));
        let error = cat().signal(12_345).expect_err("no signal");
        assert_eq!(ProcessError::of(&error).and_then(ProcessError::raw_os_error), Some(libc::EINVAL));
    });
}

#[test]
fn what_is_dropped_goes_on_and_leaves_no_zombie() {
    on_each_with_faults(|| async {
        // It goes on: it ends only when its input does.
        let mut child = cat();
        let (pid, input, mut output) = (child.id().expect("runs"), child.stdin.take(), child.stdout.take().expect("a pipe"));
        drop(child);
        let mut input = input.expect("a pipe");
        input.send("still there").await.expect("sent");
        let mut back = Vec::new();
        while back.len() < 11 {
            back.extend_from_slice(&within(output.recv()).await.expect("recv").expect("more"));
        }
        assert_eq!(back, b"still there");
        drop(input);
        gone(pid).await;

        let mut pids = Vec::new();
        for round in 0..6 {
            let mut child = sh("exit 1").spawn().expect("runs");
            pids.push(child.id().expect("runs"));
            match round % 3 {
                0 => {}
                1 => drop(timeout(Duration::ZERO, child.wait()).await),
                _ => gone(child.id().expect("not heard of yet")).await,
            }
        }
        for pid in pids {
            gone(pid).await;
        }
        // A future that is dropped does as its child: it goes on.
        let folder = tempfile::tempdir().expect("a folder");
        let (its, mut mine) = io::pipe().expect("a pipe");
        let mut command = sh("read pid; echo $$ >there.new; mv there.new there");
        let gathering = command.stdin(its).current_dir(folder.path()).output();
        assert!(poll_once(gathering).is_pending(), "it waits for a line");
        io::Write::write_all(&mut mine, b"go\n").expect("written");
        let there = folder.path().join("there");
        let pid = within(async {
            loop {
                match std::fs::read_to_string(&there) {
                    Ok(pid) => break pid,
                    Err(_) => sleep(MS).await,
                }
            }
        });
        gone(pid.await.trim().parse().expect("a number")).await;
    });
}

#[test]
fn kill_on_drop_kills_and_reaps() {
    on_each_with_faults(|| async {
        let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("runs");
        let pid = child.id().expect("runs");
        assert!(state(pid).is_some_and(|state| state != 'Z'));
        drop(child);
        gone(pid).await;
        // The futures of `status` and `output` do the same.
        let mut command = sh("echo $$; exec sleep 1000");
        let (mine, its) = io::pipe().expect("a pipe");
        command.kill_on_drop(true).stdout(its);
        assert!(timeout(20 * MS, command.status()).await.is_err());
        drop(command);
        let text = ostia::spawn_blocking(move || io::read_to_string(mine)).await.expect("no panic").expect("read");
        for line in text.lines() {
            gone(line.parse().expect("a number")).await;
        }
        // In a task that is aborted.
        let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("runs");
        let pid = child.id().expect("runs");
        let mut task = spawn(async move {
            let mut child = child;
            child.wait().await
        });
        yield_now().await;
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        gone(pid).await;
        // One that has ended is not another's.
        let mut child = Command::new("true").kill_on_drop(true).spawn().expect("runs");
        assert!(child.wait().await.expect("waited").success());
    });
}

#[test]
fn a_child_outlives_its_runtime_and_is_reaped_by_the_next() {
    if !alone("waiting::a_child_outlives_its_runtime_and_is_reaped_by_the_next") {
        return;
    }
    for driver in drivers() {
        let mut first = runtime(driver, 1);
        let (mut kept, dropped, killed) = first.block_on(async {
            let kept = sh("read line; exit 3").stdin(Stdio::piped()).spawn().expect("runs");
            let dropped = Command::new("sleep").arg("1000").spawn().expect("runs");
            let killed = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("runs");
            (kept, dropped, killed)
        });
        let (dropped_pid, killed_pid) = (dropped.id().expect("runs"), killed.id().expect("runs"));
        let report = first.shutdown(Duration::ZERO);
        assert_eq!(report.aborted, 0, "children are no tasks");
        // The worker closed the input with everything else; the child ends, and nobody is there to be told.
        assert!(kept.stdin.is_some());
        assert!(state(kept.id().expect("not heard of")).is_some(), "a zombie by now, or soon: its status is kept for us");
        drop(killed);
        // Waiting needs a worker; asking does not.
        match poll_once(kept.wait()) {
            Poll::Ready(Err(error)) => assert_eq!(kind(&error), FailureKind::NoRuntime),
            other => panic!("{other:?}"),
        }
        assert_eq!(runtime(driver, 1).block_on(within(kept.wait())).expect("waited").code(), Some(3));

        kill_process(Pid::from_raw(dropped_pid as i32).expect("a pid"), Signal::TERM).expect("killed");
        while state(dropped_pid) != Some('Z') {
            std::thread::yield_now();
        }
        // Left behind where no worker is: the next child that is started takes it along.
        drop(dropped);
        assert_eq!(state(dropped_pid), None, "reaped at once, for it had ended");
        let running = runtime(driver, 1).block_on(async { Command::new("sleep").arg("1000").spawn().expect("runs") });
        let pid = running.id().expect("runs");
        drop(running);
        assert!(state(pid).is_some(), "it goes on");
        kill_process(Pid::from_raw(pid as i32).expect("a pid"), Signal::TERM).expect("killed");
        runtime(driver, 1).block_on(async {
            assert!(Command::new("true").status().await.expect("runs").success());
            gone(pid).await;
            gone(killed_pid).await;
        });

        // A task that is dropped with its worker takes its child with it.
        let mut ending = runtime(driver, 1);
        let pid = ending.block_on(async {
            let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("runs");
            let pid = child.id().expect("runs");
            spawn(async move { child.wait().await }).detach();
            yield_now().await;
            pid
        });
        assert_eq!(ending.shutdown(Duration::ZERO).aborted, 1, "the task that waits");
        runtime(driver, 1).block_on(async {
            assert!(Command::new("true").status().await.expect("runs").success());
            gone(pid).await;
        });
    }
}

#[test]
fn a_status_survives_the_worker_that_watched() {
    for driver in drivers() {
        // The child ends about when the worker does.
        for round in 0..30u64 {
            let mut short = runtime(driver, 1);
            let mut child = short.block_on(async { sh("exit 2").spawn().expect("runs") });
            std::thread::sleep(Duration::from_micros(round * 100));
            drop(short);
            let status: ExitStatus = runtime(driver, 1).block_on(within(child.wait())).expect("waited");
            assert_eq!(status.code(), Some(2));
        }
    }
}

#[test]
fn a_hundred_children_at_once() {
    on_each(|| async {
        let mut children: Vec<Child> =
            (0..100).map(|n| sh(&format!("read line; exit {n}")).stdin(Stdio::piped()).spawn().expect("runs")).collect();
        let pids: BTreeSet<u32> = children.iter().filter_map(Child::id).collect();
        assert_eq!(pids.len(), 100);
        let waiting: Vec<_> = children
            .drain(..)
            .enumerate()
            .map(|(n, mut child)| {
                spawn(async move {
                    assert_eq!(child.wait().await.expect("waited").code(), Some(n as i32));
                })
            })
            .collect();
        for wait in waiting {
            within(wait).await.expect("no panic");
        }
        for pid in pids {
            assert_eq!(state(pid), None);
        }
    });
}

#[test]
fn children_of_two_workers() {
    for driver in drivers() {
        let mut both = runtime(driver, 2);
        let workers = both.workers();
        both.block_on(async move {
            // Each worker has children of its own, at the same time.
            let there = spawn_on(workers[1], || async {
                for n in 0..20 {
                    let output = within(sh(&format!("echo {n}; exit {n}")).output()).await.expect("runs");
                    assert_eq!((output.status.code(), output.stdout), (Some(n), format!("{n}\n").into_bytes()));
                }
            });
            for n in 0..20 {
                assert_eq!(sh(&format!("exit {n}")).status().await.expect("runs").code(), Some(n));
            }
            within(there).await.expect("no panic");

            // A child may be waited for anywhere; its pipes are at home.
            let mut child = spawn_on(workers[1], || async { cat() }).await.expect("no panic");
            let mut output = child.stdout.take().expect("a pipe");
            let input = child.stdin.as_mut().expect("a pipe");
            assert!(input.send("x").await.is_err() && output.recv().await.is_err());
            assert!(output.into_owned_fd().is_err());
            assert!(timeout(MS, child.kill()).await.is_ok_and(|status| status.is_ok()) || child.wait().await.is_ok());
            // And by a thread that is no worker, where another watches it.
            let mut child = spawn_on(workers[1], || async { sh("exit 7").spawn().expect("runs") }).await.expect("no panic");
            let status = std::thread::spawn(move || {
                loop {
                    if let Poll::Ready(status) = poll_once(child.wait()) {
                        return status.expect("waited");
                    }
                    std::thread::sleep(MS);
                }
            });
            let status = ostia::spawn_blocking(move || status.join().expect("no panic")).await.expect("no panic");
            assert_eq!(status.code(), Some(7));
            // Dropped elsewhere: its input is closed at home, after what it was sent, and it is reaped there.
            let mut child = spawn_on(workers[1], || async {
                let mut child = cat();
                child.stdin.as_mut().expect("a pipe").send(pattern(0, 300_000)).await.expect("accepted");
                child
            })
            .await
            .expect("no panic");
            let pid = child.id().expect("runs");
            drop(child.stdin.take());
            let output = child.stdout.take().expect("a pipe");
            drop(child);
            let all = spawn_on(workers[1], move || async move {
                let mut output = output;
                read_all(&mut output).await
            });
            assert!(within(all).await.expect("no panic") == pattern(0, 300_000));
            gone(pid).await;
        });
    }
}

#[test]
fn a_child_that_others_reap_is_told_as_lost() {
    if !alone("waiting::a_child_that_others_reap_is_told_as_lost") {
        return;
    }
    for driver in drivers() {
        runtime(driver, 1).block_on(async {
            let mut child = sh("exit 1").spawn().expect("runs");
            let pid = child.id().expect("not heard of yet");
            // The worker does not turn meanwhile.
            while state(pid) != Some('Z') {
                std::thread::yield_now();
            }
            assert!(wait(WaitOptions::empty()).expect("a child").is_some_and(|(reaped, _)| reaped.as_raw_pid() as u32 == pid));
            for _ in 0..3 {
                assert_eq!(kind(&within(child.wait()).await.expect_err("lost")), FailureKind::ReapedByOthers);
                assert_eq!(kind(&child.try_wait().expect_err("lost")), FailureKind::ReapedByOthers);
            }
            assert_eq!(child.id(), None);
            child.start_kill().expect("nobody is hit");
            assert_eq!(kind(&child.signal(libc::SIGTERM).expect_err("nobody is there")), FailureKind::Ended);

            // Where SIGCHLD is ignored the system reaps children at once, and nobody learns how they have ended.
            // SAFETY: ignoring a signal installs no code.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            let ended = match sh("exit 1").spawn() {
                Ok(mut child) => within(child.wait()).await.map(drop),
                Err(error) => Err(error),
            };
            // SAFETY: as above.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
            assert_eq!(kind(&ended.expect_err("lost")), FailureKind::ReapedByOthers);
        });
    }
}
