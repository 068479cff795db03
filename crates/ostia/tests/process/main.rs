//! Child processes: every way to end is told, to whoever asks and whenever; nothing is lost, nothing is left behind.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
mod pipes;
mod starting;
mod waiting;

use std::future::Future;
use std::io;
use std::time::Duration;

use ostia::process::{Child, ChildStdout, Command, FailureKind, ProcessError, Stdio};
use ostia::time::{sleep, timeout};

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
