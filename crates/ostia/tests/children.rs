//! Child processes on every system: this program itself is the child, and does what a variable tells it. What only Unix has is in
//! `tests/process`.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use common::{drivers, join, on_each, on_each_with_faults, pattern, poll_once, runtime};
use ostia::codec::{FramedRead, Lines};
use ostia::process::{ChildStdout, Command, FailureKind, ProcessError, Stdio};
use ostia::time::timeout;
use ostia::{JoinSet, spawn_on};

const PATIENCE: Duration = Duration::from_secs(60);
/// Tells the child what to do.
const DO: &str = "OSTIA_TEST_CHILD";
/// What the child writes before anything else, behind what the test harness has to say.
const BEGIN: &[u8] = b"the child begins\n";

/// The child; in an ordinary run there is nothing to do.
#[test]
fn child_at_work() {
    let Ok(what) = std::env::var(DO) else { return };
    let (what, number) = what.split_once(' ').expect("what and a number");
    let number: usize = number.parse().expect("a number");
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    out.write_all(BEGIN).and_then(|()| out.flush()).expect("written");
    match what {
        "copy" => drop(std::io::copy(&mut std::io::stdin(), &mut out)),
        "write" => {
            let bytes = pattern(0, number);
            for piece in bytes.chunks(10_000) {
                out.write_all(piece).and_then(|()| err.write_all(piece)).expect("written");
            }
        }
        "read" => drop(std::io::stdin().read_to_end(&mut Vec::new())),
        "lines" => (0..number).for_each(|line| writeln!(out, "line {line}").expect("written")),
        "end" => {}
        other => panic!("what is {other}?"),
    }
    out.flush().expect("written");
    std::process::exit(if what == "end" { number as i32 } else { 0 });
}

fn child(what: &str, number: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "child_at_work", "--nocapture"]).env(DO, format!("{what} {number}"));
    command
}

/// What the child has written, without the harness's words.
fn written(all: &[u8]) -> &[u8] {
    let at = all.windows(BEGIN.len()).position(|window| window == BEGIN).expect("the child has begun");
    &all[at + BEGIN.len()..]
}

async fn read_all(pipe: &mut ChildStdout) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = pipe.recv().await.expect("recv") {
        all.extend_from_slice(&chunk);
    }
    all
}

fn kind(error: &std::io::Error) -> FailureKind {
    ProcessError::of(error).unwrap_or_else(|| panic!("not named: {error}")).kind()
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

#[test]
fn what_goes_in_comes_out() {
    on_each_with_faults(|| async {
        let mut child = child("copy", 0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawns");
        let (mut to, mut from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let data = pattern(0, 300_000);
        let sending = async {
            for piece in data.chunks(7_000) {
                to.send(piece.to_vec()).await.expect("sent");
            }
            to.close().await.expect("closed");
        };
        let ((), all) = within(join(sending, read_all(&mut from))).await;
        assert!(written(&all) == data, "{} bytes", all.len());
        assert!(within(child.wait()).await.expect("status").success());
    });
}

#[test]
fn receives_that_are_dropped_lose_nothing() {
    on_each_with_faults(|| async {
        let mut child = child("write", 100_000).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("spawns");
        let mut from = child.stdout.take().expect("piped");
        let mut all = Vec::new();
        loop {
            if let std::task::Poll::Ready(Ok(Some(chunk))) = poll_once(from.recv()) {
                all.extend_from_slice(&chunk);
            }
            match within(from.recv()).await.expect("recv") {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => break,
            }
        }
        assert!(written(&all) == pattern(0, 100_000));
        assert!(within(child.wait()).await.expect("status").success());
    });
}

#[test]
fn how_a_child_has_ended_is_told_again_and_again() {
    on_each_with_faults(|| async {
        let mut child = child("end", 7).stdout(Stdio::null()).spawn().expect("spawns");
        assert!(child.id().is_some());
        // Dropped waits lose nothing.
        let _ = poll_once(child.wait());
        let _ = timeout(Duration::ZERO, child.wait()).await;
        let status = within(child.wait()).await.expect("status");
        assert_eq!(status.code(), Some(7));
        assert_eq!(within(child.wait()).await.expect("again"), status);
        assert_eq!(child.try_wait().expect("again"), Some(status));
        assert_eq!(child.id(), None);
        child.start_kill().expect("nothing happens to one that has ended");
        let status = within(self::child("end", 0).stdout(Stdio::null()).status()).await.expect("status");
        assert!(status.success());
    });
}

#[test]
fn output_is_gathered_from_both_pipes_and_bounded() {
    on_each_with_faults(|| async {
        let output = within(child("write", 200_000).output()).await.expect("output");
        assert!(output.status.success());
        assert!(written(&output.stdout) == pattern(0, 200_000) && output.stderr == pattern(0, 200_000));
        let error = within(child("write", 200_000).output_limit(50_000).output()).await.expect_err("too much");
        assert_eq!((kind(&error), error.kind()), (FailureKind::TooMuchOutput, ErrorKind::FileTooLarge));
    });
}

#[test]
fn a_child_is_killed_when_asked_or_when_dropped() {
    on_each(|| async {
        let mut child = child("read", 0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("spawns");
        assert_eq!(child.try_wait().expect("runs"), None);
        // Its input stays open: it ends by nothing else.
        let input = child.stdin.take();
        let status = within(child.kill()).await.expect("killed");
        assert!(!status.success());
        if cfg!(windows) {
            assert_eq!(status.code(), Some(1));
        }
        drop(input);

        let mut command = self::child("read", 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("spawns");
        let (input, mut from) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut all = Vec::new();
        while !all.ends_with(BEGIN) {
            all.extend_from_slice(&within(from.recv()).await.expect("recv").expect("it has begun"));
        }
        drop(child);
        // It has the other end open until it has gone.
        assert!(within(from.recv()).await.expect("recv").is_none());
        drop(input);
    });
}

#[test]
fn a_dropped_child_goes_on() {
    on_each(|| async {
        let mut child = child("copy", 0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawns");
        let (mut to, mut from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        drop(child);
        to.send("still there").await.expect("sent");
        drop(to);
        assert_eq!(written(&within(read_all(&mut from)).await), b"still there");
    });
}

#[test]
fn writing_to_one_that_has_gone_fails() {
    on_each(|| async {
        let mut child = child("end", 0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("spawns");
        let mut to = child.stdin.take().expect("piped");
        within(child.wait()).await.expect("status");
        let mut refused = None;
        for _ in 0..1000 {
            if let Err(error) = to.write_all(vec![1; 10_000]).await.0 {
                refused = Some(error.kind());
                break;
            }
        }
        assert_eq!(refused, Some(ErrorKind::BrokenPipe));
    });
}

#[test]
fn many_at_once_are_told_apart_on_whatever_worker() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for number in 0..30 {
                all.spawn(async move {
                    let mut child = child("end", number).stdout(Stdio::null()).spawn().expect("spawns");
                    // Waited for elsewhere.
                    let there = spawn_on(other, move || async move { child.wait().await });
                    assert_eq!(there.await.expect("no panic").expect("status").code(), Some(number as i32));
                });
            }
            within(all.join_all()).await.expect("no panic");
        });
    }
}

#[test]
fn lines_are_read_and_one_child_feeds_another() {
    on_each(|| async {
        let mut child = child("lines", 2_000).stdout(Stdio::piped()).spawn().expect("spawns");
        let mut lines = FramedRead::new(child.stdout.take().expect("piped"), Lines::new(1000));
        let (mut count, mut begun) = (0, false);
        while let Some(line) = within(lines.next()).await.expect("a line") {
            if begun {
                assert_eq!(line, format!("line {count}"));
                count += 1;
            }
            begun |= line.as_bytes() == BEGIN.trim_ascii_end();
        }
        assert_eq!(count, 2_000);
        assert!(within(child.wait()).await.expect("status").success());

        let mut first = self::child("write", 50_000).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("spawns");
        let from = first.stdout.take().expect("piped");
        let mut second = self::child("copy", 0);
        second.stdin(Stdio::try_from(from).expect("handed over")).stdout(Stdio::piped());
        let mut copying = second.spawn().expect("spawns");
        drop(second);
        let all = within(read_all(&mut copying.stdout.take().expect("piped"))).await;
        assert!(written(written(&all)) == pattern(0, 50_000), "{} bytes", all.len());
    });
}

#[test]
fn errors_name_the_program_and_a_remedy() {
    on_each(|| async {
        for (mut command, wanted) in [
            (Command::new("no-such-program-of-ostia"), FailureKind::NotFound),
            (Command::new(std::env::temp_dir().join("no/such/program")), FailureKind::NotFound),
            (Command::new("a\0b"), FailureKind::NulByte),
        ] {
            let error = command.spawn().expect_err("not started");
            let known = ProcessError::of(&error).expect("named");
            assert_eq!(known.kind(), wanted, "{error}");
            assert!(error.to_string().contains(known.remedy()) && !known.remedy().is_empty(), "{error}");
        }
        let error = child("end", 0).current_dir(std::env::temp_dir().join("no/such/folder")).spawn().expect_err("not started");
        assert_eq!(kind(&error), FailureKind::BadDirectory, "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("text.exe");
        std::fs::write(&text, "This is no program.").expect("written");
        let error = Command::new(&text).spawn().expect_err("not started");
        let wanted = if cfg!(windows) { FailureKind::NotExecutable } else { FailureKind::NoPermission };
        assert_eq!(kind(&error), wanted, "{error}");
    });
}
