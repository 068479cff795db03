//! Finding, starting and listening to the `ostia` program.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::DEADLINE;

/// The program under test: `OSTIA_BIN`, else the release build, which is brought up to date.
pub fn ostia() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match env::var_os("OSTIA_BIN") {
        Some(path) => path.into(),
        None => build(&["--release", "-p", "ostia-cli", "--bin", "ostia"], "ostia"),
    })
    .clone()
}

/// Builds one program of the workspace; gives its path.
pub fn build(arguments: &[&str], name: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .arg("build")
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo, which runs this test, can be run");
    assert!(output.status.success(), "{name} does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|message| message["target"]["name"] == name && message["executable"].is_string())
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo says where it put the program")
}

/// Limits under which a program is started.
#[derive(Clone, Copy, Default)]
pub struct Confinement {
    /// At most this many descriptors, soft and hard.
    pub descriptors: Option<u32>,
    /// io_uring_setup(2) fails with this error number.
    pub io_uring_fails: Option<i32>,
    /// As the user `nobody`, for which the tests themselves must run as root.
    pub nobody: bool,
}

impl Confinement {
    /// A command for `program` within these limits. Every wrapper becomes the next
    /// program, so that the process has one id from start to end.
    pub fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut words: Vec<PathBuf> = Vec::new();
        if let Some(limit) = self.descriptors {
            let script = format!("ulimit -n {limit} && exec \"$@\"");
            words.extend(["sh", "-c", script.as_str(), "sh"].map(PathBuf::from));
        }
        if self.nobody {
            let setpriv = "setpriv --reuid=65534 --regid=65534 --clear-groups";
            words.extend(setpriv.split(' ').map(PathBuf::from));
        }
        if let Some(errno) = self.io_uring_fails {
            words.push(env!("CARGO_BIN_EXE_without-io-uring").into());
            words.push(errno.to_string().into());
        }
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

/// A started program whose output is collected as it comes. Dropping it kills the program.
pub struct Process {
    child: Child,
    /// What it has printed on standard output.
    pub output: Lines,
    /// What it has printed on standard error.
    pub errors: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a command with nothing on its standard input.
    pub fn start(command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let output = Lines::default();
        let errors = Lines::default();
        let readers = vec![
            output.collect(child.stdout.take().expect("standard output is a pipe")),
            errors.collect(child.stderr.take().expect("standard error is a pipe")),
        ];
        Process { child, output, errors, readers }
    }

    /// Sends a signal. For a program under Wine SIGINT is Ctrl-C on its console.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), signal).expect("the child has not been waited for");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, with the deadline, and for the rest of the output.
    pub fn wait(mut self) -> Ended {
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("the child can be waited for") {
                Some(status) => break status,
                None if began.elapsed() > DEADLINE => {
                    panic!("still running:\n{}", self.errors.text())
                }
                None => thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("reading lines does not panic");
        }
        Ended { status, output: self.output.text(), errors: self.errors.text() }
    }

    /// How many descriptors the process has open (proc_pid_fd(5)).
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map(Iterator::count).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub output: String,
    /// All of its standard error.
    pub errors: String,
}

/// Lines which a program has printed so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Printed>, Condvar)>);

#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn collect(&self, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().lines.push(line);
                lines.0.1.notify_all();
            }
            lines.lock().ended = true;
            lines.0.1.notify_all();
        })
    }

    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// Waits for a line from which `wanted` makes something; nothing if the output ends
    /// before, or the deadline passes.
    pub fn wait_for<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let began = Instant::now();
        let mut printed = self.lock();
        let mut seen = 0;
        loop {
            for line in &printed.lines[seen..] {
                if let Some(found) = wanted(line) {
                    return Some(found);
                }
            }
            seen = printed.lines.len();
            let left = DEADLINE.checked_sub(began.elapsed())?;
            if printed.ended {
                return None;
            }
            printed = self.0.1.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
