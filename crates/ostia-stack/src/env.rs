//! What every part of the stack needs while it works.

use crate::config::Config;
use crate::counters::Counters;
use crate::drops::{Drops, Reason};
use crate::event::Events;
use crate::ip::LinkId;
use crate::memory::Budget;
use crate::pool::Pool;
use crate::random::Random;
use crate::time::Instant;
use crate::trace::{Cause, Direction, Layer, Step, Tracer};

/// The time, the bounds, the counters, and the queue of events.
pub(crate) struct Env {
    pub(crate) config: Config,
    /// The time of the call that is being carried out.
    pub(crate) now: Instant,
    pub(crate) counters: Counters,
    pub(crate) drops: Drops,
    pub(crate) memory: Budget,
    pub(crate) events: Events,
    pub(crate) random: Random,
    pub(crate) pool: Pool,
    /// What is being dealt with, for the tracer.
    pub(crate) cause: Cause,
    tracer: Option<Tracer>,
}

impl Env {
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Env {
        let (memory, pool) = (Budget::new(config.memory), Pool::new(config.memory));
        Env {
            config,
            now: Instant::default(),
            counters: Counters::default(),
            drops: Drops::default(),
            memory,
            events: Events::default(),
            random: Random::new(seed),
            pool,
            cause: Cause::Timer,
            tracer: None,
        }
    }

    /// A packet goes no farther.
    pub(crate) fn drop(&mut self, reason: Reason) {
        self.drops.count(reason);
        self.trace(|| Step::Dropped { reason });
    }

    /// Tells the tracer of a step, if there is one; else the step isn't even made.
    #[inline]
    pub(crate) fn trace<'a>(&mut self, step: impl FnOnce() -> Step<'a>) {
        if let Some(tracer) = &mut self.tracer {
            tracer(self.now, &step());
        }
    }

    /// Tells the tracer that a packet passes a layer.
    #[inline]
    pub(crate) fn passes(&mut self, layer: Layer, direction: Direction, link: Option<LinkId>, bytes: &[u8]) {
        self.trace(|| Step::Passes { layer, direction, link, bytes });
    }

    /// Sets who sees every step, or that nobody does.
    pub(crate) fn set_tracer(&mut self, tracer: Option<Tracer>) {
        self.tracer = tracer;
    }
}
