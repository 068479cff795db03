//! The book of who waits for which descriptor, and in which direction.

use std::os::fd::RawFd;

use crate::driver::line::Line;
use crate::os::raw;
use crate::sys::Sys;

/// One descriptor.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) readers: Line,
    pub(crate) writers: Line,
    /// What the system was told last, in the driver's own bits; 0: not registered.
    pub(crate) registered: u32,
    /// Whether this watch is on the list of those whose registration may be out of date.
    pub(crate) dirty: bool,
}

impl Watch {
    /// The events of poll(2) that are waited for: `reads` for whoever reads, `writes` for whoever writes, and what is polled for.
    pub(crate) fn wanted(&self, reads: u32, writes: u32) -> u32 {
        // poll(2) has 16 bits; epoll's own flags stand above them.
        const POLLED: u32 = 0xffff;
        let mut mask = 0;
        for waiting in self.readers.iter().chain(self.writers.iter()) {
            mask |= match waiting.sys {
                // Errors are always reported; naming one keeps the mask from being empty when nothing else is asked for.
                Sys::Poll { events, .. } => events & POLLED | raw::POLLERR as u32,
                _ => 0,
            };
        }
        if self.readers.iter().any(|w| !matches!(w.sys, Sys::Poll { .. })) {
            mask |= reads;
        }
        if self.writers.iter().any(|w| !matches!(w.sys, Sys::Poll { .. })) {
            mask |= writes;
        }
        mask
    }
}

/// All descriptors, by number.
#[derive(Default)]
pub(crate) struct Interests {
    watches: Vec<Option<Box<Watch>>>,
}

impl Interests {
    pub(crate) fn get(&mut self, fd: RawFd) -> Option<&mut Watch> {
        self.watches.get_mut(usize::try_from(fd).ok()?)?.as_deref_mut()
    }

    pub(crate) fn get_or_make(&mut self, fd: RawFd) -> &mut Watch {
        let at = usize::try_from(fd).expect("descriptors in a port are not negative");
        if self.watches.len() <= at {
            self.watches.resize_with(at + 1, || None);
        }
        self.watches[at].get_or_insert_default()
    }

    pub(crate) fn remove(&mut self, fd: RawFd) -> Option<Box<Watch>> {
        self.watches.get_mut(usize::try_from(fd).ok()?)?.take()
    }
}
