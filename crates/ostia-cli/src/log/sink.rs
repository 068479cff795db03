//! Where lines go: a bounded queue and the thread that empties it into a file, a pipe or a terminal.
//!
//! Whoever logs hands lines over and never waits for a disk. What comes while [`BACKLOG`] bytes wait is dropped and counted,
//! and the log says how many lines that were. A write that fails (a full disk) is told of once on standard error, counted,
//! and tried again every second; it ends nothing.

use super::rotate::LogFile;
use crate::args::LogFormat;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Most bytes that wait to be written.
pub const BACKLOG: usize = 1 << 20;
/// How long after a failed write the next is tried.
const RETRY: Duration = Duration::from_secs(1);
/// How long after a pipe was full the next write is tried.
const FULL_PIPE: Duration = Duration::from_millis(10);

/// What a sink has done, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were dropped, because they came too fast or could not be written.
    pub dropped: u64,
    /// Writes and replacements of the file that failed.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Lines dropped that the log has not told of yet.
    lost: u64,
    /// The file is to be opened anew.
    reopen: bool,
    /// No more lines will come.
    closed: bool,
    /// Nothing will be written any more.
    stopped: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code that could panic runs under the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that lines go to. Clones are the same place.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.name).finish()
    }
}

enum Target {
    File(Box<LogFile>),
    Stream(Box<dyn Write + Send>),
}

impl Sink {
    /// Starts the thread that writes to a file.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn to_file(file: LogFile, format: LogFormat) -> io::Result<Sink> {
        let name = file.path().display().to_string();
        Sink::start(Target::File(Box::new(file)), &name, format)
    }

    /// Starts the thread that writes to a stream. It ends when the reader has gone; lines are then dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn to_stream(stream: impl Write + Send + 'static, name: &str, format: LogFormat) -> io::Result<Sink> {
        Sink::start(Target::Stream(Box::new(stream)), name, format)
    }

    fn start(target: Target, name: &str, format: LogFormat) -> io::Result<Sink> {
        let sink = Sink { shared: Arc::default(), name: name.into() };
        let writer = Writer {
            shared: sink.shared.clone(),
            name: sink.name.clone(),
            target,
            json: format == LogFormat::Json,
            batch: Vec::new(),
            at: 0,
            failing: false,
        };
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        Ok(sink)
    }

    /// Hands lines over, each ended by a newline. Never waits for them to be written.
    pub fn push(&self, bytes: &[u8], lines: u64) {
        let mut pending = self.shared.lock();
        if pending.stopped || pending.bytes.len() + bytes.len() > BACKLOG {
            pending.lost += lines;
            self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
        } else {
            pending.bytes.extend_from_slice(bytes);
        }
        drop(pending);
        self.shared.changed.notify_all();
    }

    /// Has the file opened anew before the next line.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_all();
    }

    /// Writes what is left and ends the thread; gives up after `patience`.
    pub fn finish(&self, patience: Duration) {
        let mut pending = self.shared.lock();
        pending.closed = true;
        self.shared.changed.notify_all();
        let _ = self.shared.changed.wait_timeout_while(pending, patience, |pending| !pending.stopped);
    }

    /// Where lines go.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { written, dropped, failures, .. } = &*self.shared;
        Counts { written: read(written), dropped: read(dropped), failures: read(failures) }
    }
}

/// The thread's part.
struct Writer {
    shared: Arc<Shared>,
    name: Arc<str>,
    target: Target,
    json: bool,
    /// Lines taken from the queue, written up to `at`.
    batch: Vec<u8>,
    at: usize,
    /// The last write failed.
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (closed, reopen, lost) = self.take();
            if reopen {
                self.reopen();
            }
            if lost > 0 {
                self.tell_of(lost);
            }
            let paused = match self.write() {
                Ok(()) => None,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return self.stop(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(FULL_PIPE),
                Err(error) => {
                    self.failed("write to", &error);
                    Some(RETRY)
                }
            };
            match paused {
                // A last try has failed, or all is written.
                Some(RETRY) if closed => return self.stop(),
                Some(pause) => self.rest(pause),
                None if closed && self.shared.lock().bytes.is_empty() => return self.stop(),
                None => {}
            }
        }
    }

    /// Waits for something to do, and takes lines if none are left of before.
    fn take(&mut self) -> (bool, bool, u64) {
        let mut pending = self.shared.lock();
        let unwritten = self.at < self.batch.len();
        while !unwritten && pending.bytes.is_empty() && pending.lost == 0 && !pending.closed && !pending.reopen {
            pending = self.shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let mut lost = 0;
        if !unwritten {
            self.at = 0;
            self.batch.clear();
            std::mem::swap(&mut self.batch, &mut pending.bytes);
            lost = std::mem::take(&mut pending.lost);
        }
        (pending.closed, std::mem::take(&mut pending.reopen), lost)
    }

    fn write(&mut self) -> io::Result<()> {
        while self.at < self.batch.len() {
            let rest = &self.batch[self.at..];
            let taken = match &mut self.target {
                Target::File(file) => file.write(rest, SystemTime::now())?,
                Target::Stream(stream) => match stream.write(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(taken) => taken,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    Err(error) => return Err(error),
                },
            };
            let lines = memchr::memchr_iter(b'\n', &rest[..taken]).count() as u64;
            self.shared.written.fetch_add(lines, Ordering::Relaxed);
            self.at += taken;
        }
        if let Target::Stream(stream) = &mut self.target {
            stream.flush()?;
        }
        if std::mem::take(&mut self.failing) {
            eprintln!("warning: the log {} can be written again", self.name);
        }
        Ok(())
    }

    fn tell_of(&mut self, lost: u64) {
        let _ = match self.json {
            true => writeln!(
                self.batch,
                "{{\"time\":\"{}\",\"type\":\"log\",\"level\":\"warn\",\"message\":\"{lost} lines lost: the log could not be written fast enough\",\"lost\":{lost}}}",
                humantime::format_rfc3339_seconds(SystemTime::now())
            ),
            false => writeln!(self.batch, "{lost} lines lost: the log could not be written fast enough"),
        };
    }

    fn reopen(&mut self) {
        let Target::File(file) = &mut self.target else { return };
        if !file.is_whole() {
            // The line that a failed write has cut comes first; once written, it is asked again.
            self.shared.lock().reopen = true;
        } else if let Err(error) = file.reopen() {
            self.failed("reopen", &error);
        }
    }

    /// Tells once; until it works again, further failures are only counted.
    fn failed(&mut self, what: &str, error: &io::Error) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            eprintln!("warning: cannot {what} the log {}: {error}; trying again, and counting lines that are lost", self.name);
        }
    }

    /// Waits; when everything is to end, only for a pipe.
    fn rest(&self, pause: Duration) {
        let pending = self.shared.lock();
        if pending.closed {
            drop(pending);
            return std::thread::sleep(pause.min(FULL_PIPE));
        }
        let _ = self.shared.changed.wait_timeout_while(pending, pause, |pending| !pending.closed);
    }

    fn stop(&mut self) {
        let mut pending = self.shared.lock();
        let lines = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let left = lines(&self.batch[self.at..]) + lines(&pending.bytes);
        self.shared.dropped.fetch_add(left, Ordering::Relaxed);
        pending.bytes = Vec::new();
        pending.stopped = true;
        drop(pending);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    #[cfg(unix)]
    use crate::log::rotate::Policy;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Passes each write on.
    pub(crate) struct Passing(pub(crate) mpsc::Sender<Vec<u8>>);

    impl Write for Passing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
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

    fn gated() -> (Sink, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
        let (written, seen) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        (Sink::to_stream(Gated { written, gate }, "test", LogFormat::Pretty).unwrap(), seen, open)
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_stops_nobody() {
        let (sink, seen, open) = gated();
        sink.push(b"first\n", 1);
        // The writer now hangs in its first write.
        assert_eq!(seen.recv().unwrap(), b"first\n");
        let line = [&[b'x'; 999][..], b"\n"].concat();
        for _ in 0..2000 {
            sink.push(&line, 1);
        }
        drop(open);
        sink.finish(PATIENCE);
        let text = String::from_utf8(seen.iter().flatten().collect()).unwrap();
        let kept = text.matches("xxx\n").count() as u64;
        let lost: u64 = text.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(kept + lost, 2000);
        assert!(lost > 900 && text.len() < BACKLOG + 1000);
        assert_eq!(sink.counts(), Counts { written: 2 + kept, dropped: lost, failures: 0 });
    }

    #[test]
    fn a_reader_that_has_gone_is_no_trouble() {
        let (sink, seen, open) = gated();
        open.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        sink.push(b"first\n", 1);
        seen.recv().unwrap();
        sink.finish(PATIENCE);
        assert_eq!(seen.iter().count(), 0);
        sink.push(b"second\n", 1);
        assert_eq!(sink.counts().dropped, 2);
    }

    #[test]
    fn a_full_pipe_and_a_failed_write_are_tried_again() {
        let (sink, seen, open) = gated();
        open.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        open.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        drop(open);
        sink.push(b"first\n", 1);
        for _ in 0..3 {
            assert_eq!(seen.recv().unwrap(), b"first\n");
        }
        sink.finish(PATIENCE);
        assert_eq!(sink.counts(), Counts { written: 1, dropped: 0, failures: 1 });
    }

    #[cfg(unix)]
    #[test]
    fn a_full_disk_is_counted_and_does_not_hold_the_end_up() {
        let policy = Policy { size: 0, age: Duration::ZERO, keep: 0 };
        let sink = Sink::to_file(LogFile::open("/dev/full".as_ref(), policy).unwrap(), LogFormat::Json).unwrap();
        sink.push(b"a\nb\n", 2);
        sink.finish(PATIENCE);
        let counts = sink.counts();
        assert!(counts.failures > 0);
        assert_eq!((counts.written, counts.dropped), (0, 2));
    }
}
