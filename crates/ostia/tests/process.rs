//! Child processes: every way to end is told, to whoever asks and whenever; nothing is lost, nothing is left behind.

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{alone, drivers, join, on_each, on_each_with_faults, pattern, poll_once, runtime};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use ostia::adapt::Io;
use ostia::codec::{FramedRead, Lines};
use ostia::process::{Child, ChildStdout, Command, ExitStatus, FailureKind, ProcessError, Stdio};
use ostia::time::{sleep, timeout};
use ostia::{spawn, spawn_on, yield_now};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat runs")
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

async fn read_all(pipe: &mut ChildStdout) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = pipe.recv().await.expect("recv") {
        all.extend_from_slice(&chunk);
    }
    all
}

/// The state of a process as proc(5) shows it: `Z` for a zombie; none if there is none.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Waits until there is no such process, not even as a zombie.
async fn gone(pid: u32) {
    within(async {
        while state(pid).is_some() {
            sleep(MS).await;
        }
    })
    .await;
}

/// The descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

fn kind(error: &io::Error) -> FailureKind {
    ProcessError::of(error).unwrap_or_else(|| panic!("not named: {error}")).kind()
}

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
fn megabytes_go_through_and_back_unchanged() {
    on_each_with_faults(|| async {
        const LEN: usize = 3 << 20;
        let mut child = cat();
        let (mut to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let writing = spawn(async move {
            let mut at = 0;
            for round in 0usize.. {
                if at == LEN {
                    break;
                }
                let len = (1 + round * 7919 % 40_000).min(LEN - at);
                if round % 3 == 0 {
                    let (written, back) = to.write_all(pattern(at, len)).await;
                    written.expect("written");
                    assert_eq!(back.len(), len, "the buffer comes back");
                } else {
                    to.send(pattern(at, len)).await.expect("sent");
                }
                at += len;
            }
            // What was accepted goes out though nobody holds the pipe any more.
        });
        let mut got = Vec::new();
        for round in 0usize.. {
            if round.is_multiple_of(2) {
                let Some(chunk) = from.recv().await.expect("recv") else { break };
                got.extend_from_slice(&chunk);
            } else {
                let (read, buffer) = from.read(Vec::with_capacity(1 + round * 31 % 9000)).await;
                if read.expect("read") == 0 {
                    break;
                }
                got.extend_from_slice(&buffer);
            }
        }
        assert!(got == pattern(0, LEN), "{} bytes", got.len());
        writing.await.expect("no panic");
        assert!(child.wait().await.expect("waited").success());
    });
}

#[test]
fn dropped_receives_lose_no_byte() {
    on_each_with_faults(|| async {
        const LEN: usize = 400_000;
        let mut child = cat();
        let (mut to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let writing = spawn(async move {
            for at in (0..LEN).step_by(4000) {
                to.send(pattern(at, 4000)).await.expect("sent");
                if at % 20_000 == 0 {
                    sleep(MS).await;
                }
            }
            to.close().await.expect("closed");
        });
        let mut got = Vec::new();
        for step in 0.. {
            drop(from.recv());
            let read = match step % 5 {
                0 => match poll_once(from.recv()) {
                    Poll::Ready(chunk) => chunk.expect("recv").map(|chunk| chunk.to_vec()),
                    Poll::Pending => continue,
                },
                1 => match poll_once(from.read(Vec::with_capacity(3000))) {
                    Poll::Ready((read, buffer)) => (read.expect("read") > 0).then_some(buffer),
                    Poll::Pending => continue,
                },
                2 => match timeout(Duration::ZERO, from.read(Vec::with_capacity(3000))).await {
                    Ok((read, buffer)) => (read.expect("read") > 0).then_some(buffer),
                    Err(_) => continue,
                },
                3 => match timeout(MS, from.recv()).await {
                    Ok(chunk) => chunk.expect("recv").map(|chunk| chunk.to_vec()),
                    Err(_) => continue,
                },
                _ => {
                    let Some(mut chunk) = within(from.recv()).await.expect("recv") else { break };
                    let front = chunk.split_to(chunk.len() / 2);
                    from.unread(chunk).expect("at home");
                    Some(front.to_vec())
                }
            };
            match read {
                Some(bytes) => got.extend_from_slice(&bytes),
                None => break,
            }
        }
        assert!(got == pattern(0, LEN), "{} bytes", got.len());
        writing.await.expect("no panic");
        assert!(child.wait().await.expect("waited").success());
    });
}

#[test]
fn output_takes_both_pipes_at_once() {
    on_each_with_faults(|| async {
        // More than the pipes hold, in turns: whoever reads one to its end first waits for ever.
        let script =
            "i=0; while [ $i -lt 40 ]; do head -c 20000 /dev/zero; head -c 15000 /dev/zero >&2; i=$((i+1)); done; exit 3";
        let output = within(sh(script).output()).await.expect("gathered");
        assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(3), 800_000, 600_000));

        // The input is empty unless it was set, and the command can be used again.
        let mut twice = Command::new("cat");
        for _ in 0..2 {
            assert_eq!(within(twice.output()).await.expect("gathered").stdout, b"");
        }
        // What is no pipe gives nothing.
        let output = sh("echo out; echo err >&2").stdout(Stdio::null()).output().await.expect("gathered");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b""[..], &b"err\n"[..]));
        // Waiting closes the input first: cat would go on for ever.
        let output = within(cat().wait_with_output()).await.expect("gathered");
        assert!(output.status.success() && output.stdout.is_empty());
        assert!(within(cat().wait()).await.expect("waited").success());
        let status = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).status();
        assert!(within(status).await.expect("waited").success());
    });
}

#[test]
fn output_is_bounded_and_says_so() {
    on_each(|| async {
        let mut exact = Command::new("head");
        exact.args(["-c", "5000", "/dev/zero"]).output_limit(5000);
        assert_eq!(exact.output().await.expect("just enough").stdout.len(), 5000);
        let mut any = Command::new("head");
        any.args(["-c", "300000", "/dev/zero"]).output_limit(usize::MAX);
        assert_eq!(any.output().await.expect("any number").stdout.len(), 300_000);

        for script in ["cat /dev/zero", "cat /dev/zero >&2"] {
            let mut endless = sh(&format!("exec {script}"));
            endless.output_limit(100_000).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = endless.spawn().expect("runs");
            let pid = child.id().expect("runs");
            let error = within(child.wait_with_output()).await.expect_err("too much");
            assert_eq!((kind(&error), error.kind()), (FailureKind::TooMuchOutput, io::ErrorKind::FileTooLarge));
            assert!(error.to_string().contains("keep the output of sh: it has written more than 100000 bytes"), "{error}");
            gone(pid).await;
        }
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
        assert_eq!(within(output.recv()).await.expect("recv").as_deref(), Some(&b"still there"[..]));
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
        let (mine, its) = std::io::pipe().expect("a pipe");
        command.kill_on_drop(true).stdout(its);
        assert!(timeout(20 * MS, command.status()).await.is_err());
        drop(command);
        let text = ostia::spawn_blocking(move || std::io::read_to_string(mine)).await.expect("no panic").expect("read");
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
    if !alone("a_child_outlives_its_runtime_and_is_reaped_by_the_next") {
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

        rustix::process::kill_process(
            rustix::process::Pid::from_raw(dropped_pid as i32).expect("a pid"),
            rustix::process::Signal::TERM,
        )
        .expect("killed");
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
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).expect("a pid"), rustix::process::Signal::TERM)
            .expect("killed");
        runtime(driver, 1).block_on(async {
            assert!(Command::new("true").status().await.expect("runs").success());
            gone(pid).await;
            gone(killed_pid).await;
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
fn early_ends_are_errors_and_not_deaths() {
    on_each_with_faults(|| async {
        // The child closes its input and lives on.
        let mut child =
            sh("exec <&-; echo closed; exec sleep 1000").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
        let mut output = child.stdout.take().expect("a pipe");
        assert_eq!(within(output.recv()).await.expect("recv").as_deref(), Some(&b"closed\n"[..]));
        let input = child.stdin.as_mut().expect("a pipe");
        let error = within(async {
            loop {
                if let Err(error) = input.send(vec![0; 1000]).await {
                    break error;
                }
                if let Err(error) = input.flush().await {
                    break error;
                }
            }
        })
        .await;
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let (written, back) = input.write_all(vec![1; 10]).await;
        assert_eq!((written.expect_err("broken").kind(), back.len()), (io::ErrorKind::BrokenPipe, 10));
        assert_eq!(child.stdin.take().expect("a pipe").close().await.expect_err("broken").kind(), io::ErrorKind::BrokenPipe);
        child.kill().await.expect("killed");

        // A reader that goes away is told to the child by SIGPIPE, which it has as the system set it.
        let mut child = Command::new("cat").arg("/dev/zero").stdout(Stdio::piped()).spawn().expect("runs");
        drop(child.stdout.take());
        assert_eq!(within(child.wait()).await.expect("waited").signal(), Some(libc::SIGPIPE));
    });
}

#[test]
fn a_slow_child_gets_all_of_its_input() {
    on_each(|| async {
        // It begins to read long after the pipe was dropped, and nothing of what was accepted is missing.
        let mut child = sh("sleep 0.2; exec cat");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
        let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut sent = 0;
        while let Poll::Ready(accepted) = poll_once(input.send(pattern(sent, 10_000))) {
            accepted.expect("sent");
            sent += 10_000;
        }
        assert!(sent > 65_536, "the pipe and the queue are full: {sent}");
        drop(input);
        assert!(within(read_all(&mut output)).await == pattern(0, sent));
        assert!(child.wait().await.expect("waited").success());

        // One that never reads and ends takes nobody with it.
        let mut child = Command::new("sleep").arg("0.05").stdin(Stdio::piped()).spawn().expect("runs");
        let mut input = child.stdin.take().expect("a pipe");
        while poll_once(input.send(vec![0; 50_000])).is_ready() {}
        drop(input);
        assert!(within(child.wait()).await.expect("waited").success());
    });
}

#[test]
fn surroundings_are_as_set() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let mut command = sh("pwd; echo $0 $1 \"$A$B$C\"; echo ${HOME-none}");
        command
            .args(["zero", "one"])
            .current_dir(&folder)
            .env_clear()
            .env("A", "a")
            .envs([("B", "b"), ("C", "c")])
            .env_remove("C");
        let output = command.output().await.expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\nzero one ab\nnone\n", folder.display()));
        assert_eq!(command.as_std().get_args().count(), 4);

        let output = Command::new("sh").arg0("renamed").args(["-c", "read line </proc/$$/cmdline; echo ${line%%-c*}"]).output();
        assert!(output.await.expect("runs").stdout.starts_with(b"renamed"));

        // A group of its own is named by its number.
        let mut child = Command::new("sleep").arg("1000").process_group(0).kill_on_drop(true).spawn().expect("runs");
        let pid = rustix::process::Pid::from_raw(child.id().expect("runs") as i32);
        assert_eq!(rustix::process::getpgid(pid).ok(), pid);
        child.kill().await.expect("killed");

        // Files and descriptors.
        let path = folder.join("file");
        std::fs::write(&path, "from a file").expect("written");
        let out = std::fs::File::create(folder.join("copy")).expect("made");
        let mut command = Command::new("cat");
        command.stdin(std::fs::File::open(&path).expect("opens")).stdout(out);
        assert!(command.status().await.expect("runs").success());
        assert_eq!(std::fs::read_to_string(folder.join("copy")).expect("read"), "from a file");

        // The standard library's command, there and back.
        let mut command = Command::from(std::process::Command::new("sh"));
        command.as_std_mut().args(["-c", "echo $0", "std"]);
        assert_eq!(command.output().await.expect("runs").stdout, b"std\n");
        assert_eq!(command.into_std().get_program(), "sh");
    });
}

#[test]
fn users_and_groups_are_changed_or_refused() {
    on_each(|| async {
        let mut command = sh("echo $(id -u):$(id -g)");
        command.uid(65_534).gid(65_534);
        match command.output().await {
            Ok(output) => assert_eq!(output.stdout, b"65534:65534\n"),
            Err(error) => {
                assert!(!rustix::process::getuid().is_root());
                assert_eq!(kind(&error), FailureKind::NoPermission);
            }
        }
    });
}

#[test]
fn a_pipeline_of_children() {
    on_each(|| async {
        let mut first = sh("echo one; echo two").stdout(Stdio::piped()).spawn().expect("runs");
        let mut second = Command::new("cat");
        second.stdin(Stdio::try_from(first.stdout.take().expect("a pipe")).expect("untouched"));
        let output = within(second.output()).await.expect("runs");
        assert_eq!(output.stdout, b"one\ntwo\n");
        assert!(first.wait().await.expect("waited").success());
        // The other way: the reader first, what it reads from is given to another.
        let mut reader = cat();
        let mut input = reader.stdin.take().expect("a pipe");
        input.send("before ").await.expect("sent");
        input.flush().await.expect("written");
        let mut writer = sh("echo behind");
        writer.stdout(Stdio::try_from(input).expect("nothing is under way"));
        assert!(writer.status().await.expect("runs").success());
        drop(writer);
        assert_eq!(within(reader.wait_with_output()).await.expect("gathered").stdout, b"before behind\n");

        // A pipe that is being read can't be handed on.
        let mut child = cat();
        let mut output = child.stdout.take().expect("a pipe");
        assert!(timeout(MS, output.recv()).await.is_err());
        assert_eq!(Stdio::try_from(output).expect_err("in use").kind(), io::ErrorKind::ResourceBusy);
        let mut input = child.stdin.take().expect("a pipe");
        while poll_once(input.send(vec![0; 100_000])).is_ready() {}
        assert_eq!(input.into_owned_fd().expect_err("in use").kind(), io::ErrorKind::ResourceBusy);
        child.kill().await.expect("killed");
    });
}

#[test]
fn other_libraries_and_codecs_use_the_pipes() {
    on_each_with_faults(|| async {
        let mut child = cat();
        let (mut to, mut from) = (Io::new(child.stdin.take().expect("a pipe")), Io::new(child.stdout.take().expect("a pipe")));
        let data = pattern(0, 500_000);
        let (written, read) = join(
            async {
                to.write_all(&data).await?;
                // Closing is what lets cat come to its end.
                to.close().await?;
                assert_eq!(to.write(b"x").await.expect_err("closed").kind(), io::ErrorKind::BrokenPipe);
                io::Result::Ok(())
            },
            async {
                let mut all = Vec::new();
                from.read_to_end(&mut all).await.map(|_| all)
            },
        )
        .await;
        written.expect("written");
        assert!(read.expect("read") == data);
        assert!(within(child.wait()).await.expect("waited").success());

        let mut child = sh("echo a line; echo another; printf last").stdout(Stdio::piped()).spawn().expect("runs");
        let mut lines = FramedRead::new(child.stdout.take().expect("a pipe"), Lines::default());
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("a line") {
            all.push(line);
        }
        assert_eq!(all, ["a line", "another", "last"]);
        assert!(child.wait().await.expect("waited").success());
    });
}

#[test]
fn errors_name_the_program_and_the_remedy() {
    // A child that another test starts would hold a program open for writing for a moment.
    if !alone("errors_name_the_program_and_the_remedy") {
        return;
    }
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, contents: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, contents).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            path
        };
        let plain = file("plain", "echo", 0o644);
        let orphaned = file("orphaned", "#!/no/such/interpreter\n", 0o755);
        let garbage = file("garbage", "\x7f neither script nor binary", 0o755);
        let busy = file("busy", "", 0o755);
        std::fs::copy("/bin/true", &busy).expect("copied");
        let _writing = std::fs::File::options().append(true).open(&busy).expect("opens");
        let command = |program: &dyn AsRef<std::ffi::OsStr>| Command::new(program.as_ref());
        let mut here = command(&"true");
        here.current_dir(folder.path().join("missing"));
        let mut in_file = command(&"true");
        in_file.current_dir(&plain);
        let mut long = command(&"true");
        long.arg("x".repeat(4 << 20));
        let table = [
            (command(&"no-such-program-anywhere"), FailureKind::NotFound, io::ErrorKind::NotFound, "install it"),
            (command(&"/no/such/path"), FailureKind::NotFound, io::ErrorKind::NotFound, "PATH"),
            (command(&plain), FailureKind::NoPermission, io::ErrorKind::PermissionDenied, "chmod +x"),
            (command(&folder.path()), FailureKind::NoPermission, io::ErrorKind::PermissionDenied, "chmod"),
            (command(&orphaned), FailureKind::NoInterpreter, io::ErrorKind::NotFound, "first line"),
            (command(&garbage), FailureKind::NotExecutable, io::Error::from_raw_os_error(libc::ENOEXEC).kind(), "#!/bin/sh"),
            (command(&busy), FailureKind::BeingWritten, io::ErrorKind::ExecutableFileBusy, "close the file"),
            (here, FailureKind::BadDirectory, io::ErrorKind::NotFound, "make the directory"),
            (in_file, FailureKind::BadDirectory, io::ErrorKind::NotADirectory, "make the directory"),
            (long, FailureKind::TooLong, io::ErrorKind::ArgumentListTooLong, "standard input"),
            (command(&"nul\0byte"), FailureKind::NulByte, io::ErrorKind::InvalidInput, "NUL"),
        ];
        for (mut command, want, outer, remedy) in table {
            let error = command.spawn().expect_err("refused");
            let text = error.to_string();
            let known = ProcessError::of(&error).unwrap_or_else(|| panic!("not named: {text}"));
            assert_eq!((known.kind(), error.kind()), (want, outer), "{text}");
            assert!(text.starts_with("cannot run ") && text.contains(known.program()) && text.contains(remedy), "{text}");
            assert_eq!(command.status().await.expect_err("refused").to_string(), text);
            assert_eq!(command.output().await.expect_err("refused").to_string(), text);
        }
    });
    let error = Command::new("true").spawn().expect_err("no worker");
    assert_eq!(kind(&error), FailureKind::NoRuntime);
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
fn no_descriptor_leaks_into_or_out_of_us() {
    if !alone("no_descriptor_leaks_into_or_out_of_us") {
        return;
    }
    const LIST: &str = "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let list =
        |bytes: &[u8]| -> BTreeSet<u32> { String::from_utf8_lossy(bytes).lines().filter_map(|line| line.parse().ok()).collect() };
    // What children of this process have anyway, before there is a runtime.
    let before = std::process::Command::new("sh").args(["-c", LIST]).output().expect("runs");
    let usual = list(&before.stdout);
    for driver in drivers() {
        runtime(driver, 1).block_on(async {
            let _others: Vec<Child> = (0..5)
                .map(|_| {
                    let mut command = Command::new("cat");
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
                    command.spawn().expect("runs")
                })
                .collect();
            let output = sh(LIST).output().await.expect("runs");
            assert_eq!(list(&output.stdout), usual, "a child has descriptors of ours");
        });
        let (mut quiet, mut counts) = (runtime(driver, 1), Vec::new());
        for _ in 0..3 {
            quiet.block_on(async {
                for round in 0..20 {
                    let mut child = cat();
                    let pid = child.id().expect("runs");
                    child.stdin.as_mut().expect("a pipe").send("data").await.expect("sent");
                    match round % 4 {
                        0 => drop(child.wait_with_output().await.expect("gathered")),
                        1 => drop(child.kill().await.expect("killed")),
                        2 => drop(poll_once(child.wait())),
                        _ => drop(child),
                    }
                    gone(pid).await;
                    assert!(Command::new("no-such-program-anywhere").spawn().is_err());
                }
                // Closing takes a turn or two.
                sleep(20 * MS).await;
            });
            counts.push(descriptors());
        }
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{counts:?}");
    }
}

#[test]
fn running_out_of_descriptors_is_told_and_leaves_nobody() {
    if !alone("running_out_of_descriptors_is_told_and_leaves_nobody") {
        return;
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for driver in drivers() {
        let limit = getrlimit(Resource::Nofile);
        runtime(driver, 1).block_on(async {
            // Names are resolved and libraries loaded before it gets tight.
            assert!(cat().wait_with_output().await.expect("gathered").status.success());
            sleep(20 * MS).await;
            setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limit.maximum }).expect("setrlimit");
            let mut filling = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                filling.push(file);
            }
            for room in 0..14 {
                filling.truncate(filling.len() - usize::from(room > 0));
                let mut command = sh("read line; exit 3");
                match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
                    Err(error) => assert_eq!(kind(&error), FailureKind::DescriptorLimit, "{error}"),
                    Ok(mut child) => {
                        let pid = child.id().expect("runs");
                        let input = child.stdin.take();
                        // There was room for the child and none for its watch: that can be had later.
                        let waited = timeout(20 * MS, child.wait()).await;
                        if let Ok(Err(error)) = &waited {
                            assert_eq!(kind(error), FailureKind::DescriptorLimit, "{error}");
                        }
                        drop(input);
                        drop(child.stdout.take());
                        sleep(5 * MS).await;
                        let status = within(async {
                            loop {
                                if let Ok(status) = child.wait().await {
                                    break status;
                                }
                            }
                        });
                        assert_eq!(status.await.code(), Some(3));
                        gone(pid).await;
                    }
                }
            }
        });
        setrlimit(Resource::Nofile, limit).expect("setrlimit");
    }
}
