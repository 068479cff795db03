//! poll(2).

use std::os::fd::RawFd;

use crate::core::Core;
use crate::readiness::{ERR, HUP, IN};
use crate::world::Patience;
use crate::{Errno, World};

/// One of poll(2)'s descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollFd {
    /// Which; a negative one is passed over.
    pub fd: RawFd,
    /// What to wait for: POLLIN and so on. POLLERR, POLLHUP and POLLNVAL are told in any case.
    pub events: i16,
    /// What there is.
    pub revents: i16,
}

impl Core {
    fn look(&mut self, descriptors: &mut [PollFd]) -> usize {
        for polled in descriptors.iter_mut() {
            let wanted = u32::from(polled.events as u16) | ERR | HUP;
            let found = match self.find(polled.fd) {
                _ if polled.fd < 0 => 0,
                Some(id) if self.epolls.contains_key(&id) => {
                    if self.has_events(id) {
                        IN & wanted
                    } else {
                        0
                    }
                }
                Some(id) => self.mask(id) & wanted,
                None => libc::POLLNVAL as u32,
            };
            polled.revents = found as u16 as i16;
        }
        descriptors.iter().filter(|polled| polled.revents != 0).count()
    }
}

impl World {
    /// poll(2) of this world's descriptors; others are POLLNVAL. `timeout` is in milliseconds, below 0 for ever. Answers of how
    /// many there is something to tell.
    ///
    /// # Errors
    /// ECANCELED if the world is over.
    pub fn poll(&self, descriptors: &mut [PollFd], timeout: i32) -> Result<usize, Errno> {
        let outcome = self.block(Patience::of_millis(timeout), |core| match core.look(descriptors) {
            0 => Err(Errno::EAGAIN),
            count => Ok(count),
        });
        match outcome {
            Err(Errno::EAGAIN) => Ok(0),
            outcome => outcome,
        }
    }
}
