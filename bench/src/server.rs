//! Running a target: started on its processor, awaited until it listens, ended when dropped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::machine;
use crate::nginx;
use crate::target::{Program, ROOT, Target};

/// How long a server may take to start, a hundredfold of that under valgrind.
const START: Duration = Duration::from_secs(10);
/// How long a server may take to end when asked to.
const END: Duration = Duration::from_secs(3);

/// How to start a server.
pub struct Launch<'a> {
    /// What to start.
    pub target: Target,
    /// Its executable.
    pub program: &'a Path,
    /// The directory whose files it serves, where it serves files.
    pub root: Option<&'a Path>,
    /// The processor it runs on.
    pub cpu: usize,
    /// A program, with arguments, that runs it: valgrind or strace. Empty for none.
    pub wrapper: &'a [String],
}

/// A running server.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    graceful: bool,
    errors: File,
    /// nginx's own files, removed once it has ended.
    _home: Option<TempDir>,
}

impl Launch<'_> {
    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// It ended early or did not come up; the message carries the last line it wrote to standard error.
    pub fn start(&self) -> Result<Server, String> {
        self.try_start().map_err(|error| format!("does not start: {error}"))
    }

    fn try_start(&self) -> io::Result<Server> {
        let (args, addr, home) = match self.target.program {
            Program::Nginx { cache } => {
                let home = nginx::Home::new(self.root.unwrap_or(Path::new(".")), cache)?;
                (home.args(), Some(home.addr), Some(home.directory))
            }
            _ => (self.args(), None, None),
        };
        let mut errors = tempfile::tempfile()?;
        let mut line = self.wrapper.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
        line.push(self.program.into());
        line.extend(args.into_iter().map(Into::into));
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let cpu = self.cpu;
        // SAFETY: both are single system calls, allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                machine::pin(cpu)?;
                // Nothing started here outlives the measurement, whichever way that ends.
                Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?)
            });
        }
        let mut child = command.spawn()?;
        let limit = if self.wrapper.is_empty() { START } else { START * 100 };
        let found = match addr {
            Some(addr) => await_listener(&mut child, addr, limit),
            None => await_line(&mut child, limit),
        };
        let graceful = home.is_some();
        match found {
            Ok(addr) => Ok(Server { child, addr, graceful, errors, _home: home }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(match last_line(&mut errors) {
                    Some(line) => io::Error::new(error.kind(), format!("{error}: {line}")),
                    None => error,
                })
            }
        }
    }

    fn args(&self) -> Vec<String> {
        let root = self.root.unwrap_or(Path::new(".")).to_string_lossy();
        self.target.args.iter().map(|arg| if *arg == ROOT { root.to_string() } else { (*arg).to_string() }).collect()
    }
}

impl Server {
    /// Starts a program that says where it listens, on whichever processors this thread may use.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn start_unbound(program: &Path, args: &[String]) -> Result<Server, String> {
        let start = || -> io::Result<Server> {
            let mut errors = tempfile::tempfile()?;
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
            // SAFETY: a single system call, allowed between fork and exec.
            unsafe {
                command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?));
            }
            let mut child = command.spawn()?;
            match await_line(&mut child, START) {
                Ok(addr) => Ok(Server { child, addr, graceful: false, errors, _home: None }),
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    Err(io::Error::new(error.kind(), format!("{error}: {}", last_line(&mut errors).unwrap_or_default())))
                }
            }
        };
        start().map_err(|error| format!("does not start: {error}"))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process that was started: the server itself, or what runs it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that the server and its children have had.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        // A child may end between being listed and being asked.
        let mut times = machine::family(self.pid()).into_iter().map(machine::cpu_time);
        let own = times.next().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::NotFound)))?;
        Ok(times.flatten().fold(own, |sum, time| sum + time))
    }

    /// Resident memory of the server and its children, in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let mut sizes = machine::family(self.pid()).into_iter().map(machine::resident);
        let own = sizes.next().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::NotFound)))?;
        Ok(sizes.flatten().fold(own, |sum, size| sum + size))
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits until the process that was started has ended; false if it has not after `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }

    /// The last line the server wrote to standard error, if any.
    pub fn last_words(&mut self) -> Option<String> {
        last_line(&mut self.errors)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx has to end its worker itself.
        if self.graceful && self.signal(Signal::TERM).is_ok() && self.ended_within(END).unwrap_or(false) {
            return;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the line that says where the server listens, then goes on reading in the background so that the server
/// never blocks on a full pipe.
fn await_line(child: &mut Child, limit: Duration) -> io::Result<SocketAddr> {
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
    let (found, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // Nobody may be waiting any more; the pipe is emptied all the same.
        let _ = lines.find_map(|line| address(&line)).map(|addr| found.send(addr));
        drop(found);
        lines.for_each(drop);
    });
    wait.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => io::Error::new(io::ErrorKind::TimedOut, "it does not say where it listens"),
        mpsc::RecvTimeoutError::Disconnected => io::Error::other("it ended without saying where it listens"),
    })
}

/// The address in a line like `listening on 127.0.0.1:80` or `http://127.0.0.1:80/`.
fn address(line: &str) -> Option<SocketAddr> {
    let words = line.split_whitespace();
    let mut bare = words.map(|word| {
        let word = word.split_once("://").map_or(word, |(_, rest)| rest);
        word.split('/').next().unwrap_or(word).trim_end_matches([',', ';', '.'])
    });
    bare.find_map(|word| word.parse().ok())
}

/// Waits until something listens at an address.
fn await_listener(child: &mut Child, addr: SocketAddr, limit: Duration) -> io::Result<SocketAddr> {
    let deadline = Instant::now() + limit;
    loop {
        match TcpStream::connect(addr) {
            Ok(_) => return Ok(addr),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn last_line(file: &mut File) -> Option<String> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(1 << 20).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TARGETS;

    fn launch<'a>(program: &'a Path, wrapper: &'a [String]) -> Launch<'a> {
        let cpu = machine::Placement::choose().unwrap().server;
        Launch { target: TARGETS[2], program, root: None, cpu, wrapper }
    }

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn addresses_are_found_in_lines() {
        let v4: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for line in ["listening on 127.0.0.1:8080", "http://127.0.0.1:8080/", "serving . at http://127.0.0.1:8080/, go"] {
            assert_eq!(address(line), Some(v4), "{line}");
        }
        assert_eq!(address("listening on [::1]:80"), "[::1]:80".parse().ok());
        for line in ["", "hello", "version 1.2.3.4", "listening on unix:/run/x"] {
            assert_eq!(address(line), None, "{line}");
        }
    }

    #[test]
    fn a_server_that_fails_says_why() {
        let wrapper = shell("echo 'port taken' >&2; exit 3");
        let error = launch(Path::new("ignored"), &wrapper).start().err().unwrap();
        assert!(error.starts_with("does not start") && error.ends_with("port taken"), "{error}");
        let error = launch(Path::new("/nonexistent/server"), &[]).start().err().unwrap();
        assert!(error.contains("os error 2"), "{error}");
    }

    #[test]
    fn a_server_that_starts_is_ended_when_dropped() {
        let wrapper = shell("echo listening on 127.0.0.1:9; exec sleep 600");
        let server = launch(Path::new("ignored"), &wrapper).start().unwrap();
        assert_eq!(server.addr().port(), 9);
        assert!(server.resident().unwrap() > 0);
        assert!(server.cpu_time().is_ok());
        let pid = server.pid();
        drop(server);
        assert!(machine::cpu_time(pid).is_err());
    }
}
