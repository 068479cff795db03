//! What a request costs in user-space instructions and in system calls, counted in lock-step waves.
//!
//! The generator runs on the server's processor with real-time priority, where it may, so that a wave has been sent
//! whole before the server sees any of it: the counts then repeat from run to run.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::load::echo::{Echo, pattern};
use crate::load::http::Get;
use crate::load::udp::{self, Datagrams};
use crate::load::{Generator, Load, Slice};
use crate::machine::{self, FirstInLine};
use crate::perf::SystemCalls;
use crate::server::{Launch, Server};
use crate::target::Target;

/// How long a server under valgrind or strace may take to end.
const ENDING: Duration = Duration::from_secs(120);

/// How many requests to count over.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Requests before counting begins, and in the short run of a difference.
    pub short: usize,
    /// Requests in the long run.
    pub long: usize,
}

impl Effort {
    /// As results are reported.
    pub const FULL: Effort = Effort { short: 2_000, long: 22_000 };
    /// A trial run.
    pub const QUICK: Effort = Effort { short: 256, long: 1_280 };
}

/// What a request is.
#[derive(Clone, Debug)]
pub enum Request {
    /// A message of so many bytes over TCP.
    Echo(usize),
    /// One over UDP.
    Datagram(usize),
    /// A GET of that path, answered with that body.
    Get(&'static str, Rc<[u8]>),
}

/// What to count on.
pub struct Subject<'a> {
    /// The server.
    pub target: Target,
    /// Its executable.
    pub program: &'a Path,
    /// The processor that it shares with the generator.
    pub cpu: usize,
    /// What it is asked.
    pub request: Request,
}

/// User-space instructions per request, in waves of `wave` connections: the difference between a short and a
/// long run under callgrind, divided by the requests between them.
///
/// # Errors
/// valgrind is missing or cannot run the program; the message is meant for a table.
pub fn instructions(subject: &Subject<'_>, wave: usize, effort: Effort) -> Result<f64, String> {
    difference(wave, effort, |requests| {
        let log = NamedTempFile::new().map_err(text)?;
        let profile = NamedTempFile::new().map_err(text)?;
        let wrapper = [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", profile.path().display()),
            format!("--log-file={}", log.path().display()),
        ];
        // A signal that no server handles: valgrind ends the program and writes its totals.
        let counted = run_to_the_end(subject, &wrapper, wave, requests, Signal::USR1).map_err(|error| {
            let log = fs::read_to_string(log.path()).unwrap_or_default();
            killed_by(&log).map_or_else(|| error.clone(), |signal| format!("{error} (under valgrind: {signal})"))
        })?;
        let total = collected(&fs::read_to_string(log.path()).map_err(text)?).ok_or("callgrind printed no total")?;
        Ok((total, counted))
    })
}

/// All user-space instructions of a program that ends by itself, and what it printed.
///
/// # Errors
/// valgrind is missing or cannot run the program, or the program fails; the message is meant for a table.
pub fn instructions_of(program: &Path, args: &[&str]) -> Result<(u64, String), String> {
    let log = NamedTempFile::new().map_err(text)?;
    let profile = NamedTempFile::new().map_err(text)?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.path().display()))
        .arg(format!("--log-file={}", log.path().display()))
        .arg(program)
        .args(args)
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fails under valgrind: {}", words.lines().next().unwrap_or("without a word")));
    }
    let total = collected(&fs::read_to_string(log.path()).map_err(text)?).ok_or("callgrind printed no total")?;
    Ok((total, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// System calls per request, in waves of `wave` connections: counted by the kernel's tracepoint, or, where that
/// is forbidden, by strace as the difference between a short and a long run.
///
/// # Errors
/// Neither way works; the message is meant for a table.
pub fn system_calls(subject: &Subject<'_>, wave: usize, effort: Effort) -> Result<f64, String> {
    match traced(subject, wave, effort) {
        Err(Trace::Forbidden(why)) => {
            straced(subject, wave, effort).map_err(|error| format!("{error} (and no tracepoint: {why})"))
        }
        Err(Trace::Failed(error)) => Err(error),
        Ok(count) => Ok(count),
    }
}

enum Trace {
    Forbidden(io::Error),
    Failed(String),
}

fn traced(subject: &Subject<'_>, wave: usize, effort: Effort) -> Result<f64, Trace> {
    let server = launch(subject, &[]).start().map_err(Trace::Failed)?;
    let mut generator = generator(subject, &server, wave).map_err(Trace::Failed)?;
    let _first = FirstInLine::take();
    let failed = |error: io::Error| Trace::Failed(format!("failed under load: {error}"));
    waves(&mut *generator, effort.short).map_err(failed)?;
    let counter = SystemCalls::of(server.pid()).map_err(Trace::Forbidden)?;
    let before = counter.read().map_err(failed)?;
    let requests = waves(&mut *generator, effort.long - effort.short).map_err(failed)?;
    let calls = counter.read().map_err(failed)? - before;
    Ok(calls as f64 / requests as f64)
}

fn straced(subject: &Subject<'_>, wave: usize, effort: Effort) -> Result<f64, String> {
    difference(wave, effort, |requests| {
        let log = NamedTempFile::new().map_err(text)?;
        let wrapper = ["strace", "-f", "-c", "-o", &log.path().to_string_lossy()].map(str::to_owned);
        // strace prints its table when what it traces is gone.
        let counted = run_to_the_end(subject, &wrapper, wave, requests, Signal::KILL)?;
        let total = total_calls(&fs::read_to_string(log.path()).map_err(text)?).ok_or("strace printed no total")?;
        Ok((total, counted))
    })
}

/// What one more request costs, from a short and a long run that give a total and the requests behind it.
fn difference(wave: usize, effort: Effort, mut run: impl FnMut(usize) -> Result<(u64, u64), String>) -> Result<f64, String> {
    let (short, few) = run(effort.short.max(wave))?;
    // A server that valgrind was late to stop may have answered many more than asked for.
    let (long, many) = run(few as usize + effort.long - effort.short)?;
    if many <= few {
        return Err("the long run was not longer than the short one".to_owned());
    }
    Ok((long as f64 - short as f64) / (many - few) as f64)
}

/// Runs at least `requests` requests, then signals the server and goes on sending until it has ended, since valgrind
/// may notice the signal late; gives the requests answered altogether.
fn run_to_the_end(
    subject: &Subject<'_>,
    wrapper: &[String],
    wave: usize,
    requests: usize,
    signal: Signal,
) -> Result<u64, String> {
    let mut server = launch(subject, wrapper).start()?;
    let mut generator = generator(subject, &server, wave)?;
    let mut slice = Slice::default();
    let first = FirstInLine::take();
    while slice.requests < requests as u64 {
        generator.wave(&mut slice).map_err(|error| {
            let words = server.last_words().map(|line| format!(": {line}")).unwrap_or_default();
            format!("failed under load: {error}{words}")
        })?;
    }
    let target = machine::family(server.pid()).pop().unwrap_or(server.pid());
    let pid = rustix::process::Pid::from_raw(target as i32).ok_or("no process to signal")?;
    rustix::process::kill_process(pid, signal).map_err(|error| format!("cannot be signalled: {error}"))?;
    let deadline = Instant::now() + ENDING;
    while generator.wave(&mut slice).is_ok() {
        if Instant::now() >= deadline {
            return Err("does not end when asked to".to_owned());
        }
    }
    drop(first);
    match server.ended_within(ENDING) {
        Ok(true) => Ok(slice.requests),
        Ok(false) => Err("does not end when asked to".to_owned()),
        Err(error) => Err(text(error)),
    }
}

fn launch<'a>(subject: &Subject<'a>, wrapper: &'a [String]) -> Launch<'a> {
    Launch { target: subject.target, program: subject.program, root: None, cpu: subject.cpu, wrapper }
}

fn generator(subject: &Subject<'_>, server: &Server, wave: usize) -> Result<Box<dyn Load>, String> {
    let addr = server.addr();
    let load = || -> io::Result<Box<dyn Load>> {
        Ok(match &subject.request {
            &Request::Echo(size) => {
                let pattern = pattern(size);
                Box::new(Generator::connect(addr, wave, |index| Echo::new(pattern.clone(), size, index))?)
            }
            &Request::Datagram(size) => {
                let plan = udp::Plan { peers: wave, size, window: 1, pattern: pattern(size), again: Rc::default() };
                Box::new(Datagrams::connect(addr, plan)?)
            }
            Request::Get(path, body) => Box::new(Generator::connect(addr, wave, |_| Get::new(path, body.clone()))?),
        })
    };
    load().map_err(|error| format!("cannot be reached: {error}"))
}

/// Waves until at least `requests` requests were answered; gives how many were.
fn waves(generator: &mut dyn Load, requests: usize) -> io::Result<u64> {
    let mut slice = Slice::default();
    while slice.requests < requests as u64 {
        generator.wave(&mut slice)?;
    }
    Ok(slice.requests)
}

/// The total in callgrind's log: `==7== Collected : 123`.
fn collected(log: &str) -> Option<u64> {
    let rest = log.lines().find_map(|line| line.split_once("Collected :"))?.1;
    rest.split_whitespace().next()?.parse().ok()
}

/// The signal that ended the program, as valgrind's log names it: `... of signal 11 (SIGSEGV)`.
fn killed_by(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("Process terminating"))?;
    line.rsplit_once('(')?.1.strip_suffix(')')
}

/// The calls in the last line of `strace -c`: percentage, seconds, microseconds a call, calls, perhaps errors, and
/// `total`.
fn total_calls(table: &str) -> Option<u64> {
    let line = table.lines().rfind(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn text(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_in_what_the_tools_print() {
        let log = "==12== Events    : Ir\n==12== Collected : 8123456\n==12==\n==12== I   refs:      8,123,456\n";
        assert_eq!(collected(log), Some(8_123_456));
        assert_eq!(collected("==12== killed"), None);
        let killed = "==12== Process terminating with default action of signal 11 (SIGSEGV)\n==12==  Access\n";
        assert_eq!(killed_by(killed), Some("SIGSEGV"));
        assert_eq!(killed_by(log), None);
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000000           0         4           read\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.001000          12        80         3 total\n";
        assert_eq!(total_calls(table), Some(80));
        assert_eq!(total_calls(&table.replace("         3 total", "           total")), Some(80));
        assert_eq!(total_calls(""), None);
    }

    #[test]
    fn a_difference_leaves_out_what_both_runs_share() {
        // Each run answers more than it was asked for.
        let answered = |requests: usize| requests as u64 + 90_000;
        let cost = difference(64, Effort::QUICK, |requests| {
            let count = answered(requests);
            Ok((5_000_000 + 300 * count, count))
        });
        assert_eq!(cost, Ok(300.0));
        assert!(difference(64, Effort::QUICK, |_| Ok((1, 1))).is_err());
    }
}
