//! Statistics and histograms for whatever recorder the application has installed behind the crate `metrics`.
//!
//! Each worker publishes what is its own, and keeps what it has published: however often and by whomever publishing is
//! asked for, nothing is counted twice, and a worker that ends publishes what is left.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::counters::WorkerStatistics;
use crate::observe::histogram::{Histogram, WorkerHistograms};
use crate::observe::samples::SampleKind;
use crate::task::{self, JoinHandle};
use crate::worker::Core;
use crate::{here, time};

/// How many values of a histogram are given out between two turns: a recorder may want each by itself.
const VALUES_PER_TURN: u64 = 4096;

/// Name, unit, description, what one is of the published unit, and where it is.
type Family =
    (&'static str, Unit, &'static str, f64, fn(&WorkerHistograms) -> &Histogram, fn(&mut WorkerHistograms) -> &mut Histogram);

const NANO: f64 = 1e-9;
const HISTOGRAMS: [Family; 4] = [
    (
        "ostia_worker_turn_seconds",
        Unit::Seconds,
        "From the end of one wait for the port to the beginning of the next.",
        NANO,
        |all| &all.turn,
        |all| &mut all.turn,
    ),
    ("ostia_worker_turn_tasks", Unit::Count, "Tasks that were polled in a turn.", 1.0, |all| &all.tasks, |all| &mut all.tasks),
    (
        "ostia_worker_poll_seconds",
        Unit::Seconds,
        "How long a task took before it yielded.",
        NANO,
        |all| &all.poll,
        |all| &mut all.poll,
    ),
    (
        "ostia_worker_timer_lateness_seconds",
        Unit::Seconds,
        "By how much the first timer was late, of the turns in which timers fired.",
        NANO,
        |all| &all.lateness,
        |all| &mut all.lateness,
    ),
];

/// What a worker has published.
#[derive(Default)]
pub(crate) struct Published {
    counters: Vec<u64>,
    histograms: WorkerHistograms,
}

/// Tells the recorder what everything means. [`publish_every`] does so itself.
pub fn describe() {
    for sample in WorkerStatistics::default().samples() {
        match sample.kind {
            SampleKind::Counter => describe_counter!(sample.name, sample.help),
            SampleKind::Gauge => describe_gauge!(sample.name, sample.help),
        }
    }
    for (name, unit, help, ..) in HISTOGRAMS {
        describe_histogram!(name, unit, help);
    }
}

/// Publishes, once, what every worker of this runtime has counted since it last did: each number of
/// [`WorkerStatistics::samples`] under its name, with the label `worker`, and the histograms if
/// [`Builder::histograms`](crate::Builder::histograms) has switched them on.
///
/// Install the recorder first: what is published before is lost. A worker that has published once does so again when it
/// ends, so that counters are complete. Values of histograms are the middles of their buckets, at most an eighth off.
///
/// Cancelled: what was published stays so, the rest comes with the next call.
pub async fn publish() {
    for worker in crate::workers() {
        // A worker that has ended has published its last.
        let _ = task::spawn_on(worker, publish_here).await;
    }
}

async fn publish_here() {
    here::with(Core::publish_counters);
    while here::with(|core| core.publish_histograms(VALUES_PER_TURN)).unwrap_or(false) {
        task::yield_now().await;
    }
}

/// Describes, then [publishes](publish) at once and after every interval, until the task is aborted or the runtime ends.
///
/// # Panics
/// Outside of a runtime.
pub fn publish_every(interval: Duration) -> JoinHandle<()> {
    describe();
    crate::spawn_named("metrics", async move {
        loop {
            publish().await;
            time::sleep(interval).await;
        }
    })
}

impl Core {
    fn publish_counters(&self) {
        let mut published = self.published.borrow_mut();
        let published = published.get_or_insert_default();
        let worker = self.id.to_string();
        let samples: Vec<_> = self.statistics().samples().collect();
        published.counters.resize(samples.len(), 0);
        for (sample, before) in samples.into_iter().zip(&mut published.counters) {
            match sample.kind {
                SampleKind::Counter => {
                    counter!(sample.name, "worker" => worker.clone()).increment(sample.value - *before);
                    *before = sample.value;
                }
                SampleKind::Gauge if sample.of_process => gauge!(sample.name).set(sample.value as f64),
                SampleKind::Gauge => gauge!(sample.name, "worker" => worker.clone()).set(sample.value as f64),
            }
        }
    }

    /// Gives out up to `most` values of the histograms; whether there may be more.
    fn publish_histograms(&self, most: u64) -> bool {
        let Some(histograms) = &self.histograms else { return false };
        let mut published = self.published.borrow_mut();
        let published = published.get_or_insert_default();
        let now = histograms.read(self.id);
        let mut left = most;
        for (name, _, _, unit, of, of_mut) in HISTOGRAMS {
            let handle = histogram!(name, "worker" => self.id.to_string());
            let give = |value: u64, count: u64| handle.record_many(value as f64 * unit, count as usize);
            left -= of(&now).catch_up(of_mut(&mut published.histograms), left, give);
        }
        left == 0
    }

    /// The worker is about to end: what it has counted since it last published, if it ever did.
    pub(crate) fn publish_last(&self) {
        if self.published.borrow().is_some() {
            self.publish_counters();
            self.publish_histograms(u64::MAX);
        }
    }
}
