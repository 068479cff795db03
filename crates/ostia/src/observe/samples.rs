//! A worker's statistics as samples with names and descriptions: what exporters of every kind go through.

use std::borrow::Cow;

use crate::counters::{TaskStatistics, WorkerStatistics};

/// What a sample is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SampleKind {
    /// It only grows, from the worker's beginning.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One number of a worker's statistics, as an exporter shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// Its name, in Prometheus' alphabet: `ostia_worker_polls_total`, `ostia_port_bytes_sent_total`.
    pub name: Cow<'static, str>,
    /// What it says, in one sentence.
    pub help: Cow<'static, str>,
    /// Whether it only grows.
    pub kind: SampleKind,
    /// The number.
    pub value: u64,
    /// Whether it is the whole process's and no worker's own.
    pub of_process: bool,
}

impl WorkerStatistics {
    /// Every number with its name and description. The names and their order are the same for all workers.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let gauge = |name: &'static str, help: &'static str, value: usize| Sample {
            name: name.into(),
            help: help.into(),
            kind: SampleKind::Gauge,
            value: value as u64,
            of_process: false,
        };
        let counter = |name: String, help: Cow<'static, str>, value| Sample {
            name: name.into(),
            help,
            kind: SampleKind::Counter,
            value,
            of_process: false,
        };
        let gauges = [
            gauge("ostia_worker_tasks", "Tasks that live.", self.tasks_alive),
            gauge("ostia_worker_pipes_used", "Pipes in use for splicing.", self.pipes_in_use),
            gauge("ostia_worker_pipes_resting", "Pipes kept for splicing.", self.pipes_at_rest),
            Sample {
                of_process: true,
                ..gauge("ostia_blocking_threads", "Threads for work that may block.", self.blocking_threads)
            },
        ];
        let tasks = TaskStatistics::DESCRIPTIONS.iter().zip(self.tasks.iter());
        let tasks = tasks.map(move |(help, (name, value))| {
            counter(format!("ostia_worker_{name}_total"), Cow::Borrowed(help.trim_ascii_start()), value)
        });
        let port = self.port.iter().map(move |(name, value)| {
            let help = format!("Of the worker's completion port: {}.", name.replace('_', " "));
            counter(format!("ostia_port_{name}_total"), help.into(), value)
        });
        gauges.into_iter().chain(tasks).chain(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_counter_is_there() {
        let statistics = WorkerStatistics::default();
        let samples: Vec<_> = statistics.samples().collect();
        let mut names: Vec<_> = samples.iter().map(|sample| sample.name.clone()).collect();
        assert_eq!(names.len(), 4 + statistics.tasks.iter().count() + statistics.port.iter().count());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), samples.len());
        for sample in &samples {
            assert!(sample.help.ends_with('.') && !sample.help.starts_with(' '), "{sample:?}");
            assert_eq!(sample.name.ends_with("_total"), sample.kind == SampleKind::Counter, "{sample:?}");
        }
    }
}
