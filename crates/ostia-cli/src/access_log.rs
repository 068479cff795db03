//! The access log: one line a request, in the Common Log Format, written by a thread of its own.
//!
//! A worker appends lines to a buffer of its own and hands them on in batches; it never waits for
//! the terminal, the pipe or the disk that they go to. When that falls behind by more than
//! [`BACKLOG`] bytes, lines are dropped, and the log says how many.

use crate::http::response::{Clock, Status};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait to be written.
pub const BACKLOG: usize = 1 << 20;

/// A worker hands its lines on when they have come to this many bytes.
const BATCH: usize = 8 << 10;

/// What a line tells.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who asked: an IP address, or `unix:`.
    pub peer: &'a str,
    /// The request line as it was received, whole or not.
    pub line: &'a [u8],
    /// The answer.
    pub status: Status,
    /// Bytes of content sent.
    pub bytes: u64,
}

/// Appends one line: `PEER - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 5`.
///
/// In the request line, quotes and backslashes are escaped with a backslash, and every byte that
/// isn't printable ASCII is written as `\xNN`, so that no request can forge a line or reach a
/// terminal with control sequences.
pub fn format(record: &Record<'_>, clock: &Clock, out: &mut Vec<u8>) {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let date = clock.text();
    out.extend_from_slice(record.peer.as_bytes());
    out.extend_from_slice(b" - - [");
    for (part, after) in [(&date[5..7], &b"/"[..]), (&date[8..11], b"/"), (&date[12..16], b":"), (&date[17..25], b"")] {
        out.extend_from_slice(part);
        out.extend_from_slice(after);
    }
    out.extend_from_slice(b" +0000] \"");
    escape(record.line, out);
    let _ = writeln!(out, "\" {} {}", record.status.code(), record.bytes);
}

fn escape(line: &[u8], out: &mut Vec<u8>) {
    for &byte in line {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lost: u64,
    /// No more lines will come.
    closed: bool,
    /// Nothing will be written any more.
    stopped: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code that could panic runs under the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of the whole program: owns the writing thread.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Starts the thread that writes to `to`. It ends when writing fails, as when the reader of a
    /// pipe has gone; lines are then dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(to: impl Write + Send + 'static) -> std::io::Result<AccessLog> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(&theirs, to))?;
        Ok(AccessLog { shared })
    }

    /// A face of the log for one worker.
    pub fn worker(&self) -> WorkerLog {
        WorkerLog { shared: self.shared.clone(), buffer: Vec::with_capacity(2 * BATCH), lines: 0 }
    }

    /// Writes what is left and ends the thread; gives up after `patience`.
    pub fn finish(&self, patience: Duration) {
        let mut pending = self.shared.lock();
        pending.closed = true;
        self.shared.changed.notify_all();
        let _ = self.shared.changed.wait_timeout_while(pending, patience, |pending| !pending.stopped);
    }
}

fn write(shared: &Shared, mut to: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let mut pending = shared.lock();
        while pending.bytes.is_empty() && pending.lost == 0 && !pending.closed {
            pending = shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut bytes, &mut pending.bytes);
        let lost = std::mem::take(&mut pending.lost);
        let closed = pending.closed;
        drop(pending);
        let mut written = to.write_all(&bytes);
        if lost > 0 {
            written = written.and_then(|()| writeln!(to, "{lost} lines lost: the log was not read fast enough"));
        }
        let failed = written.and_then(|()| to.flush()).is_err();
        let done = closed && bytes.is_empty() && lost == 0;
        bytes.clear();
        if failed || done {
            shared.lock().stopped = true;
            return shared.changed.notify_all();
        }
    }
}

/// One worker's lines. What is not handed on when it is dropped is handed on then.
#[derive(Debug)]
pub struct WorkerLog {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    lines: u64,
}

impl WorkerLog {
    /// Adds a line; hands all on when they have come to a batch. Says whether lines are left that
    /// [`WorkerLog::flush`] must be called for within a moment.
    pub fn add(&mut self, record: &Record<'_>, clock: &Clock) -> bool {
        format(record, clock, &mut self.buffer);
        self.lines += 1;
        if self.buffer.len() >= BATCH {
            self.flush();
        }
        self.lines > 0
    }

    /// Hands all lines on. Never waits for them to be written.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        let mut pending = self.shared.lock();
        if pending.stopped {
            // Nobody reads them.
        } else if pending.bytes.len() + self.buffer.len() > BACKLOG {
            pending.lost += self.lines;
        } else {
            pending.bytes.extend_from_slice(&self.buffer);
        }
        drop(pending);
        self.shared.changed.notify_one();
        self.buffer.clear();
        self.lines = 0;
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::mpsc;

    fn clock() -> Clock {
        let mut clock = Clock::default();
        clock.set(784_111_777);
        clock
    }

    fn record(line: &[u8]) -> Record<'_> {
        Record { peer: "::1", line, status: Status::Ok, bytes: 5 }
    }

    /// Passes each write on; the sender of `gate` decides when it returns, and with what.
    struct Gated {
        written: mpsc::Sender<Vec<u8>>,
        gate: mpsc::Receiver<io::Result<()>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            self.gate.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (AccessLog, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
        let (written, seen) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        (AccessLog::start(Gated { written, gate }).unwrap(), seen, open)
    }

    #[test]
    fn a_line_has_the_common_format() {
        let mut out = Vec::new();
        format(&record(b"GET / HTTP/1.1"), &clock(), &mut out);
        assert_eq!(out, b"::1 - - [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1\" 200 5\n");
    }

    #[test]
    fn no_request_can_forge_a_line() {
        let mut out = Vec::new();
        format(&record(b"GET /\"\\\r\n\x1b[2J\xff\0\x7f"), &clock(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#""GET /\"\\\x0D\x0A\x1B[2J\xFF\x00\x7F" 200"#), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn all_lines_arrive_in_order() {
        let (log, seen, open) = gated();
        drop(open);
        let mut worker = log.worker();
        for n in 0..1000 {
            worker.add(&record(format!("GET /{n}").as_bytes()), &clock());
        }
        drop(worker);
        log.finish(Duration::from_secs(60));
        let text = String::from_utf8(seen.iter().flatten().collect()).unwrap();
        let names: Vec<_> = text.lines().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect();
        assert_eq!(names, (0..1000).map(|n| format!("GET /{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_never_stops_the_worker() {
        let (log, seen, open) = gated();
        let mut worker = log.worker();
        assert!(worker.add(&record(b"first"), &clock()));
        worker.flush();
        // The writer now hangs in its first write.
        assert!(String::from_utf8(seen.recv().unwrap()).unwrap().contains("first"));
        let line = vec![b'x'; 1000];
        for _ in 0..2000 {
            worker.add(&record(&line), &clock());
        }
        drop(worker);
        drop(open);
        log.finish(Duration::from_secs(60));
        let text = String::from_utf8(seen.iter().flatten().collect()).unwrap();
        let kept = text.matches("xxx\"").count();
        let lost: usize = text.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(kept + lost, 2000);
        assert!(lost > 900 && text.len() < BACKLOG + 1000);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_trouble() {
        let (log, seen, open) = gated();
        open.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let mut worker = log.worker();
        worker.add(&record(b"first"), &clock());
        worker.flush();
        seen.recv().unwrap();
        drop(worker);
        log.finish(Duration::from_secs(60));
        assert_eq!(seen.iter().count(), 0);
    }
}
