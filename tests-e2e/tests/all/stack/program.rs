//! `ostia serve` and `ostia echo` on their own stack.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::space::ip;
use crate::support::case::Case;
use crate::support::process::{Confinement, Ended, Process, ostia};

/// The stack's addresses in most tests; the kernel's side has those that end with 1.
pub const BOTH: [&str; 6] = ["--network", "tun", "--ip", "10.7.0.2/24", "--ip", "fd07::2/64"];

/// Where `ostia serve` listens then.
pub const V4: &str = "http://10.7.0.2:8080";
pub const V6: &str = "http://[fd07::2]:8080";

/// Starts `ostia serve ROOT` with these arguments, whatever becomes of it.
pub fn spawn_serve(case: Case, root: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(ostia());
    command.arg("serve").arg(root).args(["--driver", &case.driver.to_string()]).args(arguments);
    Process::start(&mut command)
}

/// Starts `ostia serve ROOT` with these arguments, and waits until it listens.
pub fn serve(case: Case, root: &Path, arguments: &[&str]) -> Running {
    Running::ready(spawn_serve(case, root, arguments))
}

/// Starts `ostia echo` with these arguments, and waits until it listens.
pub fn echo(case: Case, arguments: &[&str]) -> Running {
    let mut command = Command::new(ostia());
    command.arg("echo").args(["--driver", &case.driver.to_string()]).args(arguments);
    Running::ready(Process::start(&mut command))
}

/// Starts the client of Ostia's own stack of these tests (`src/own_stack.rs`).
pub fn own_stack(arguments: &[&str]) -> Process {
    Process::start(Confinement::default().command(env!("CARGO_BIN_EXE_own-stack")).args(arguments))
}

/// A program that listens on a stack of its own.
pub struct Running {
    /// The process.
    pub process: Process,
}

impl Running {
    /// Waits until the last of its addresses is told.
    pub fn ready(process: Process) -> Running {
        // All are told at once, after the sockets are there: the first line that names an address will do.
        let told = |line: &str| (line.starts_with("http://") || line.starts_with("listening on")).then_some(());
        match process.output.wait_for(told) {
            Some(()) => Running { process },
            None => {
                let Ended { status, errors, .. } = process.wait();
                panic!("it does not listen; {status}:\n{errors}")
            }
        }
    }

    /// SIGTERM; then it must end by itself with exit code 0, and its device be gone.
    pub fn stop(self) -> Ended {
        self.process.signal(Signal::TERM);
        self.ended_well()
    }

    /// Waits for the end, with exit code 0, without a panic and without a device left behind.
    pub fn ended_well(self) -> Ended {
        let ended = self.process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        assert!(!ended.errors.contains("panicked") && !ended.errors.contains("ERROR"), "{}", ended.errors);
        assert!(!ip("link").contains("ostia"), "the device has outlived its program: {}", ip("link"));
        ended
    }

    /// Memory in use, in KiB (proc_pid_status(5)).
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every program has memory");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }
}
