//! Waking a port's thread from others: a flag that makes needless system calls rare, and what the system has behind it.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::os::gong::Gong;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

/// One per port. Rung by any thread, heard by the port's own.
///
/// The port goes to sleep only by [`Bell::lie_down`], which fails when the bell has been rung since it was last
/// heard, so no ring is lost; and only the ring that finds the port asleep pays for a system call.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    gong: Gong,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Bell> {
        Ok(Bell { state: AtomicU8::new(AWAKE), gong: Gong::new()? })
    }

    /// What wakes the port out of its sleep.
    pub(crate) fn gong(&self) -> &Gong {
        &self.gong
    }

    /// Marks the bell as rung. True if its port was asleep: then the caller must strike.
    #[must_use]
    fn touch(&self) -> bool {
        self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP
    }

    /// Rings, with a system call only if the port sleeps.
    pub(crate) fn ring(&self) {
        if self.touch() {
            self.gong.strike();
        }
    }

    /// Before a wait: false if somebody rang since the port last heard, and it must not sleep.
    pub(crate) fn lie_down(&self) -> bool {
        self.state.swap(ASLEEP, Ordering::SeqCst) != RUNG
    }

    /// After a wait: true if somebody rang meanwhile.
    pub(crate) fn get_up(&self) -> bool {
        self.state.swap(AWAKE, Ordering::SeqCst) == RUNG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ring_that_finds_the_port_asleep_strikes() {
        let bell = Bell::new().expect("a bell");
        assert!(!bell.touch(), "awake: no strike needed");
        assert!(!bell.lie_down(), "rung before: must not sleep");
        assert!(bell.get_up() || bell.lie_down(), "heard");
        bell.get_up();
        assert!(bell.lie_down(), "nothing rang since");
        assert!(bell.touch(), "asleep: the first ring strikes");
        assert!(!bell.touch(), "the second need not");
        assert!(bell.get_up(), "and the port hears it");
    }
}
