//! From waking a task that sleeps on another thread until it runs.

use super::Session;
use crate::cli::Wakes;
use crate::driven::Driven;
use crate::paired::{self, Figure};
use crate::report::Ratio;
use crate::target::{self, Case, Service, Target};

impl Session<'_> {
    /// Each way of waking, each subject with each rival.
    pub fn wakes(&mut self, options: &Wakes) -> Result<(), String> {
        let pairs = self.pairs(Service::Wakes)?;
        for by in &options.by {
            let what = match by.as_str() {
                "channel" => "an mpsc message that a oneshot answers",
                "notify" => "a Notify, answered by another",
                "spawn" => "a task spawned there, and its end",
                _ => return Err(format!("no way of waking called {by:?}: choose channel, notify or spawn")),
            };
            let cases = ["median", "99th percentile"].map(|which| format!("waking another thread by {what}: {which}"));
            for (subject, rival) in &pairs {
                let result = self.waking(subject, rival, by);
                self.paired(&cases, &subject.to_string(), &rival.to_string(), result);
            }
        }
        Ok(())
    }

    fn waking(&mut self, subject: &Target, rival: &Target, by: &str) -> Result<Vec<Ratio>, String> {
        let cpus = format!("{},{}", self.placement.server, self.placement.generator);
        let mut start = |target: &Target| {
            let program = self.programs.get(target)?;
            let args = [target.args, &["--by", by, "--cpus", &cpus]].concat();
            Driven::start(&program, &args)
        };
        let mut own = start(subject).map_err(|error| format!("subject {error}"))?;
        let mut other = start(rival)?;
        let slice = self.effort.slice;
        let goal = target::goal(subject, rival, Case::Wake);
        let figure = |place, goal, decides| Figure { subject: place, rival: place, unit: "µs", goal, decides };
        let figures = [figure(0, goal, true), figure(1, goal.map(|_| target::P99_TOLERANCE), false)];
        let (mut own, mut other) = (|| own.slice(slice, 2), || other.slice(slice, 2));
        paired::compare(&mut own, &mut other, self.effort, &figures)
    }
}
