//! SIGTERM and SIGINT, by which a program is asked to end; on Windows the console's events that stand for them.

use std::cell::RefCell;
use std::io;

use ostia::signal::{Signal, SignalKind};

use crate::errors::Failure;

thread_local! {
    /// What was watched for before, and nobody watches for now.
    static KEPT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Watches for both, from when it is made on: none is missed.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Begins to watch, or goes on with what was [kept](Self::keep). To be called in the runtime.
    ///
    /// # Errors
    /// When no descriptor is left to hear of signals by.
    pub fn watch() -> Result<Stop, Failure> {
        if let Some(kept) = KEPT.take() {
            return Ok(kept);
        }
        let watched = |kind| Signal::new(kind).map_err(|error| Failure::start(&error));
        Ok(Stop { terminate: watched(SignalKind::Terminate)?, interrupt: watched(SignalKind::Interrupt)? })
    }

    /// Waits until either has come since the last wait. Cancel safe.
    ///
    /// # Errors
    /// On another worker.
    pub async fn asked(&mut self) -> io::Result<()> {
        ostia::select! {
            terminated = self.terminate.recv() => terminated,
            interrupted = self.interrupt.recv() => interrupted,
        }
    }

    /// Leaves it to whoever watches next on this thread, so that what comes between is not lost.
    pub fn keep(self) {
        KEPT.set(Some(self));
    }
}
