//! Looking into a runtime while it runs: names of tasks, tasks that never yield, histograms, and samples for exporters.
//!
//! * Tasks can have names: [`spawn_named`](crate::spawn_named), [`TaskBuilder`](crate::TaskBuilder),
//!   [`named`](crate::named). They are in spans and in what is logged of a panic or of a task that blocks its worker.
//! * [`Builder::stuck_after`](crate::Builder::stuck_after) has a task that does not yield named in the log.
//! * [`statistics`](crate::statistics) counts, and [`WorkerStatistics::samples`](crate::WorkerStatistics::samples) gives
//!   the counts names and descriptions for exporters.
//! * [`histograms`] says how long turns and polls take and how late timers are, once
//!   [`Builder::histograms`](crate::Builder::histograms) has switched that on.
//! * With the feature `metrics` all of that goes to the recorder of the crate `metrics`: `publish_every`.
//! * With the feature `console` every task emits the spans and events that tokio-console reads.
//!
//! A task without a name pays for none of this; a worker stores one word per poll for the watchdog.

#[cfg(feature = "console")]
pub(crate) mod console;
mod histogram;
pub(crate) mod named;
#[cfg(feature = "metrics")]
pub(crate) mod publish;
pub(crate) mod pulse;
mod samples;
pub(crate) mod watchdog;

pub(crate) use histogram::Histograms;
pub use histogram::{Histogram, WorkerHistograms, histograms};
#[cfg(feature = "metrics")]
pub use publish::{describe, publish, publish_every};
pub use samples::{Sample, SampleKind};
