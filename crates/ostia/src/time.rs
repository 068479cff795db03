//! Time: sleeping, time limits and intervals, to the millisecond, on the worker's timer wheel.
//!
//! Nothing here fires early; how late depends on what else the worker has to do. The clock is the turn's: every timer set
//! in one turn of the loop counts from the same [`now`].

mod moving;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use ostia_port::TimerKey;

use crate::here;
use crate::net::Network;
use crate::worker::Core;

/// The time at which the present turn of this worker's loop began. Outside of a runtime, the time.
#[must_use]
pub fn now() -> Instant {
    here::with(|core| core.now()).unwrap_or_else(Instant::now)
}

/// The time of day: the system's; in a simulation, its host's. For what is shown or written down, not for measuring.
#[must_use]
pub fn wall() -> SystemTime {
    match Network::surroundings() {
        Some(surroundings) => surroundings.wall(),
        None => SystemTime::now(),
    }
}

/// A timer in its states. It is set when it is first polled, so one that isn't needed costs nothing.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// To be set this long from when it is first polled.
    Fresh {
        secs: u64,
        nanos: u32,
    },
    /// In the wheel of this worker.
    Set {
        worker: u32,
        key: TimerKey,
    },
    /// Polled on another worker than the one it is set on, which is asked for it.
    Moving(u64),
    Fired,
}

impl Timer {
    #[inline]
    fn new(after: Duration) -> Timer {
        // A Duration leaves no room beside it for what this is.
        Timer::Fresh { secs: after.as_secs(), nanos: after.subsec_nanos() }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        here::worker(|core| match *self {
            Timer::Fresh { secs, nanos } => {
                // Rounded up to milliseconds.
                let part = u64::from(nanos.div_ceil(1_000_000));
                let millis = secs.saturating_mul(1000).saturating_add(part);
                *self = Timer::Set { worker: core.id, key: core.set_timer(millis, cx.waker()) };
                Poll::Pending
            }
            Timer::Set { worker, key } if worker == core.id => {
                if core.renew_timer(key, cx.waker()) {
                    return Poll::Pending;
                }
                *self = Timer::Fired;
                Poll::Ready(())
            }
            Timer::Fired => Poll::Ready(()),
            _ => self.poll_elsewhere(core, cx),
        })
    }

    /// Brings a timer to this worker from the one it is set on.
    #[cold]
    fn poll_elsewhere(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        if let Timer::Set { worker, key } = *self {
            *self = Timer::Moving(moving::ask(worker, key));
        }
        let Timer::Moving(number) = *self else { return Poll::Ready(()) };
        match ready!(moving::poll(number, cx)) {
            Some(due) => {
                *self = Timer::new(due.saturating_duration_since(core.now()));
                self.poll(cx)
            }
            None => {
                *self = Timer::Fired;
                Poll::Ready(())
            }
        }
    }

    #[inline]
    fn clear(&mut self) {
        match *self {
            Timer::Fresh { .. } | Timer::Fired => {}
            Timer::Set { worker, key } if here::with(|core| core.clear_own_timer(worker, key)) == Some(true) => {}
            _ => self.clear_elsewhere(),
        }
    }

    #[cold]
    #[inline(never)]
    fn clear_elsewhere(&mut self) {
        match *self {
            Timer::Set { worker, key } => moving::clear(worker, key),
            Timer::Moving(number) => moving::forget(number),
            Timer::Fresh { .. } | Timer::Fired => {}
        }
    }
}

/// Waits for at least this long. Cancel safe.
///
/// Polled on one worker and then on another, it takes its timer along, by way of a message.
///
/// # Panics
/// When polled outside of a runtime; or on another worker, when the one that polled it first has ended.
pub fn sleep(duration: Duration) -> Sleep {
    // A duration of nothing still lets others run once.
    Sleep(Timer::new(duration))
}

/// Waits until this moment or later. Cancel safe.
///
/// # Panics
/// When polled outside of a runtime.
pub fn sleep_until(moment: Instant) -> Sleep {
    sleep(moment.saturating_duration_since(now()))
}

/// The future of [`sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Gives `future` this long. At the end of it the future is dropped and the result is [`Elapsed`].
///
/// The timer is set only when the future is pending at its first poll. Cancel safe if `future` is. A future that is ready
/// and late at once counts as ready.
#[inline]
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future, timer: Timer::new(limit) }
}

/// Gives `future` until this moment; else as [`timeout`].
pub fn timeout_at<F: Future>(moment: Instant, future: F) -> Timeout<F> {
    timeout(moment.saturating_duration_since(now()), future)
}

pin_project_lite::pin_project! {
    /// The future of [`timeout`].
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        timer: Timer,
    }

    impl<F> PinnedDrop for Timeout<F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().timer.clear();
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.timer.poll(cx).map(|()| Err(Elapsed)),
        }
    }
}

/// The time that [`timeout`] gave is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time for this is over")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// A tick every `period`, the first at once.
///
/// Ticks that were missed because the task came late are skipped: the next one is at the next multiple of the period
/// from the start, so ticks never come in bursts and never drift.
///
/// # Panics
/// If the period is zero.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { period, next: now(), timer: Timer::Fired }
}

/// Ticks in regular distance; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Instant,
    /// Set while somebody waits for the next tick.
    timer: Timer,
}

impl Interval {
    /// Waits for the next tick and gives the moment it was due. Cancel safe: the tick stays due.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick), for futures written by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let due = self.next;
        while due > now() {
            if let Timer::Fired = self.timer {
                self.timer = Timer::new(due.saturating_duration_since(now()));
            }
            ready!(self.timer.poll(cx));
        }
        let late = now().saturating_duration_since(due).as_nanos();
        let missed = late / self.period.as_nanos();
        let periods = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.next = due.checked_add(self.period.saturating_mul(periods)).unwrap_or(due);
        Poll::Ready(due)
    }

    /// The distance between ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        self.timer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_two_words() {
        assert!(size_of::<Timer>() <= 16, "{}", size_of::<Timer>());
        assert!(size_of::<Timeout<[u32; 3]>>() <= 32);
    }
}
