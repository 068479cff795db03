//! A host's time of day and randomness.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use ostia::{Surroundings, VirtualTime};

use crate::random::Random;
use crate::run::lock;

/// What surrounds the programs of one host.
#[derive(Debug)]
pub(crate) struct HostSurroundings {
    epoch: SystemTime,
    time: VirtualTime,
    random: Mutex<Random>,
}

impl HostSurroundings {
    pub(crate) fn new(epoch: SystemTime, time: VirtualTime, random: Random) -> HostSurroundings {
        HostSurroundings { epoch, time, random: Mutex::new(random) }
    }
}

impl Surroundings for HostSurroundings {
    fn wall(&self) -> SystemTime {
        self.epoch + Duration::from_nanos(self.time.nanos())
    }

    fn fill(&self, bytes: &mut [u8]) {
        lock(&self.random).fill(bytes);
    }
}
