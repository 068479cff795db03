//! Running a program: its output shown as it comes and counted, with an end put to it when it hangs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::tally::Printed;

/// Runs a command with inherited output.
pub fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: {:?} did not start: {error}", command.get_program());
            false
        }
    }
}

/// Runs a test runner; copies its output to `out`, counts what it reports, and hands it to `kill` after `limit`, which
/// ends it and whatever it has started. The flag is whether it ended by itself and well.
pub fn counted(
    command: &mut Command,
    limit: Duration,
    kill: impl FnOnce(u32) + Send + 'static,
    out: &mut impl Write,
) -> (Printed, bool) {
    let mut printed = Printed::default();
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("xtask: {:?} did not start: {error}", command.get_program());
            return (printed, false);
        }
    };
    let watch = Watch::over(&child, limit, kill);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            show(out, &line);
            printed.line(&String::from_utf8_lossy(&line));
        }
    }
    let status = wait(&mut child);
    let in_time = watch.end();
    if !in_time {
        println!("xtask: killed after {} s", limit.as_secs());
    }
    (printed, in_time && status.is_some_and(|s| s.success()))
}

fn show(out: &mut impl Write, line: &[u8]) {
    // A closed standard output (`| head`) is no reason to stop testing.
    let _ = out.write_all(line).and_then(|()| {
        out.write_all(
            b"
",
        )
    });
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    child.wait().map_err(|error| eprintln!("xtask: waiting failed: {error}")).ok()
}

/// A thread that ends a process tree unless it is told in time that the process is done.
struct Watch {
    done: mpsc::Sender<()>,
    thread: thread::JoinHandle<bool>,
}

impl Watch {
    fn over(child: &Child, limit: Duration, kill: impl FnOnce(u32) + Send + 'static) -> Watch {
        let (done, told) = mpsc::channel();
        let pid = child.id();
        let thread = thread::spawn(move || match told.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => {
                kill(pid);
                false
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        });
        Watch { done, thread }
    }

    /// Whether the process was left to end by itself.
    fn end(self) -> bool {
        // The thread is gone if it has already killed: then there is nobody to tell.
        let _ = self.done.send(());
        self.thread.join().unwrap_or(false)
    }
}

/// Kills a process and its descendants, found by the parents that /proc names (proc_pid_stat(5)).
pub fn kill_tree(root: u32) {
    let parents = parents();
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(parents.iter().filter(|p| p.1 == parent).map(|p| p.0));
        next += 1;
    }
    for pid in doomed {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parent_in_stat(&stat)?))
        })
        .collect()
}

/// The parent in a line of /proc/PID/stat; the program's name before it may hold blanks and brackets.
fn parent_in_stat(stat: &str) -> Option<u32> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_past_any_name() {
        assert_eq!(parent_in_stat("12 (a) b) c) S 7 12 12"), Some(7));
        assert_eq!(parent_in_stat("garbage"), None);
    }

    #[test]
    fn output_is_counted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'test result: ok. 3 passed; 0 failed;'"]);
        let mut shown = Vec::new();
        // What is shown must not reach this test's own output: it would be counted again.
        let (printed, well) = counted(&mut command, Duration::from_secs(60), kill_tree, &mut shown);
        let mut expected = Printed::default();
        expected.line("test result: ok. 3 passed; 0 failed;");
        assert!(well);
        assert_eq!(printed, expected);
        assert_eq!(shown, b"test result: ok. 3 passed; 0 failed;\n");
    }

    #[test]
    fn a_hanging_runner_and_its_children_are_ended() {
        let mut command = Command::new("sh");
        // The grandchild holds the pipe open: reading ends only if it is killed too.
        command.args(["-c", "sleep 600 & sleep 600; true"]);
        let (_, well) = counted(&mut command, Duration::from_millis(200), kill_tree, &mut std::io::sink());
        assert!(!well);
    }
}
