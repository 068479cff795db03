//! The watchdog: one thread for all workers that are watched, which names tasks that do not yield in the log.
//!
//! It reads no worker's clock and stops nobody: it looks at each worker's [`Pulse`] a few times per limit. The same task
//! in the same turn, seen again and again for the limit, is a task that has not yielded for at least that long.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::observe::pulse::{Beat, Name, Pulse};
use crate::os::Thread;

/// How many looks there are per limit, which is then overshot by two parts of so many at most.
const LOOKS: u32 = 4;
/// The shortest and the longest time between two looks.
const PERIOD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));

struct Watch {
    workers: Vec<Watched>,
    /// The thread is there.
    running: bool,
    next_key: u64,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { workers: Vec::new(), running: false, next_key: 0 });
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker that is watched, and what was seen of it.
struct Watched {
    key: u64,
    worker: u32,
    thread: Thread,
    pulse: Arc<Pulse>,
    limit: Duration,
    seen: Beat,
    /// For how long that has been seen.
    held: Duration,
    /// For how long it is to be seen before it is reported.
    report_at: Duration,
    /// The name in the last report, if there was one since the worker moved on.
    reported: Option<Option<Name>>,
}

/// Keeps a worker watched.
#[derive(Debug)]
pub(crate) struct Registration(u64);

impl Drop for Registration {
    fn drop(&mut self) {
        lock().workers.retain(|watched| watched.key != self.0);
        CHANGED.notify_one();
    }
}

/// Watches the calling thread's worker. The thread of the watchdog is made for the first and ends after the last.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn watch(worker: u32, pulse: &Arc<Pulse>, limit: Duration) -> io::Result<Registration> {
    let mut watch = lock();
    if !watch.running {
        thread::Builder::new().name("ostia-watchdog".into()).spawn(run)?;
        watch.running = true;
    }
    let key = watch.next_key;
    watch.next_key += 1;
    watch.workers.push(Watched {
        key,
        worker,
        thread: Thread::current(),
        pulse: Arc::clone(pulse),
        limit,
        seen: Beat::AT_REST,
        held: Duration::ZERO,
        report_at: limit,
        reported: None,
    });
    CHANGED.notify_one();
    Ok(Registration(key))
}

fn period(limit: Duration) -> Duration {
    (limit / LOOKS).clamp(PERIOD.0, PERIOD.1)
}

fn run() {
    let mut watch = lock();
    let mut last = Instant::now();
    loop {
        let Some(period) = watch.workers.iter().map(|watched| period(watched.limit)).min() else {
            watch.running = false;
            return;
        };
        (watch, _) = CHANGED.wait_timeout(watch, period).unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // A process that was stopped, or a machine that stood still, is nobody's fault: only what this thread saw counts.
        let passed = now.duration_since(last).min(period * 2);
        last = now;
        let reports: Vec<Report> = watch.workers.iter_mut().filter_map(|watched| watched.look(passed)).collect();
        if !reports.is_empty() {
            // Whoever writes the log may make a runtime or end one, which takes the lock.
            drop(watch);
            reports.iter().for_each(Report::log);
            watch = lock();
        }
    }
}

impl Watched {
    /// Looks at the worker, some time after the last look.
    fn look(&mut self, passed: Duration) -> Option<Report> {
        let beat = self.pulse.beat();
        if beat != self.seen {
            let before = std::mem::replace(&mut self.seen, beat);
            let held = std::mem::take(&mut self.held);
            self.thread.begins();
            self.report_at = self.limit;
            let name = self.reported.take()?;
            return Some(self.report(before.task()?, name, held, false));
        }
        let task = beat.task()?;
        self.held += passed;
        if self.held < self.report_at {
            return None;
        }
        let name = self.pulse.name(task);
        if self.pulse.beat() != beat {
            // It has just moved on, and the name may be another task's.
            return None;
        }
        self.report_at = self.held.saturating_mul(2);
        if self.reported.is_none() {
            self.pulse.count_stuck();
        }
        self.reported = Some(name.clone());
        Some(self.report(task, name, self.held, true))
    }

    fn report(&self, task: u32, name: Option<Name>, held: Duration, still: bool) -> Report {
        let doing = still.then(|| self.thread.doing(held));
        Report { worker: self.worker, task, name, held, doing }
    }
}

/// What goes to the log.
struct Report {
    worker: u32,
    task: u32,
    name: Option<Name>,
    held: Duration,
    /// What the thread is doing; none if the task has yielded.
    doing: Option<&'static str>,
}

impl Report {
    fn log(&self) {
        let Report { worker, task, held, .. } = *self;
        let name = self.name.as_deref();
        match self.doing {
            Some(doing) => tracing::warn!(
                worker,
                task,
                name,
                ?held,
                doing,
                "a task does not yield, and its worker does nothing else: let it await, or use spawn_blocking"
            ),
            None => tracing::warn!(worker, task, name, ?held, "a task that did not yield has yielded at last"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watched(limit: Duration) -> Watched {
        Watched {
            key: 0,
            worker: 3,
            thread: Thread::current(),
            pulse: Arc::default(),
            limit,
            seen: Beat::AT_REST,
            held: Duration::ZERO,
            report_at: limit,
            reported: None,
        }
    }

    #[test]
    fn a_poll_is_reported_at_its_limit_then_at_doubled_times_and_once_when_it_is_over() {
        let mut watched = watched(4 * SECOND);
        watched.pulse.set_name(9, Some("anchor".into()));
        watched.pulse.begin(9);
        let still: Vec<_> = (0..40).filter_map(|second| watched.look(SECOND).map(|report| (second, report))).collect();
        let when: Vec<_> = still.iter().map(|(second, report)| (*second, report.held.as_secs())).collect();
        assert_eq!(when, [(4, 4), (8, 8), (16, 16), (32, 32)], "the first look only begins to count");
        assert!(still.iter().all(|(_, report)| report.name.as_deref() == Some("anchor") && report.doing.is_some()));
        assert_eq!(watched.pulse.stuck(), 1, "one task, however long");
        watched.pulse.rest();
        let over = watched.look(SECOND).expect("a last report");
        assert!((over.task, over.name.as_deref(), over.doing) == (9, Some("anchor"), None));
        assert_eq!(over.held, 39 * SECOND);
        assert!((0..40).all(|_| watched.look(SECOND).is_none()), "a worker at rest is left alone");
    }

    #[test]
    fn polls_that_follow_each_other_are_not_one() {
        let mut watched = watched(2 * SECOND);
        for count in 0..100 {
            watched.pulse.turn(count);
            watched.pulse.begin(9);
            assert!(watched.look(SECOND).is_none());
        }
        assert_eq!(watched.pulse.stuck(), 0);
    }

    #[test]
    fn looks_are_neither_too_many_nor_too_few() {
        assert_eq!(period(Duration::from_secs(5)), Duration::from_millis(1250));
        assert_eq!(period(Duration::from_nanos(1)), PERIOD.0);
        assert_eq!(period(Duration::from_secs(3600)), PERIOD.1);
    }
}
