//! Timers, beside inserts into a hash map.

use std::hash::RandomState;

use super::Session;
use crate::cli::Timers as TimersOptions;
use crate::machine;
use crate::paired::{self, Figure, Slice};
use crate::target;
use crate::timers::{Entries, FIGURES, Fast, Sleeps, Timers};

impl Session<'_> {
    /// The wheel and the runtime, each beside both kinds of map.
    pub fn timers(&mut self, options: &TimersOptions) -> Result<(), String> {
        machine::pin(self.placement.server).map_err(|error| error.to_string())?;
        let armed = options.armed as usize;
        let mut wheel = Timers::new(armed);
        self.held_against_maps("wheel", armed, Some(target::TIMER_GOAL), &mut || wheel.slice());
        drop(wheel);
        match Sleeps::new(armed) {
            Ok(mut sleeps) => self.held_against_maps("ostia::time::sleep", armed, None, &mut || sleeps.slice()),
            Err(error) => self.held_against_maps("ostia::time::sleep", armed, None, &mut || Err(error.clone())),
        }
        Ok(())
    }

    fn held_against_maps(&mut self, name: &str, armed: usize, goal: Option<f64>, slice: &mut Slice<'_>) {
        let figures = |goal| [0, 1, 2].map(|subject| Figure { subject, rival: 0, unit: "ns", goal, decides: true });
        let cases = FIGURES.map(|what| format!("{name}: one timer {what}, of {armed} beside an insert into a hash map"));
        let mut usual = Entries::<RandomState>::new(armed);
        let result = paired::compare(slice, &mut || usual.slice(), self.effort, &figures(goal));
        self.paired(&cases, name, "HashMap, SipHash", result);
        drop(usual);
        let mut fast = Entries::<Fast>::new(armed);
        // The goal is for the standard library's own map.
        let result = paired::compare(slice, &mut || fast.slice(), self.effort, &figures(None));
        self.paired(&cases, name, "HashMap, one multiplication", result);
    }
}
