//! Bytes to children and from them: whole, in order, bounded, whatever is dropped and whoever ends early.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::task::Poll;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use ostia::adapt::Io;
use ostia::codec::{FramedRead, Lines};
use ostia::process::{Command, FailureKind, Stdio};
use ostia::spawn;
use ostia::time::{sleep, timeout};

use crate::common::{join, on_each, on_each_with_faults, pattern, poll_once};
use crate::{MS, cat, gone, kind, read_all, sh, within};

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
