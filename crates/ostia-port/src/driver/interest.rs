//! The book of who waits for which descriptor, and in which direction.

use std::os::fd::RawFd;

use crate::os::raw;
use crate::sys::Sys;
use crate::tag::Tag;

/// A request that met EAGAIN.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) tag: Tag,
    pub(crate) sys: Sys,
}

/// One direction of one descriptor: the first waiter inline, for there is seldom a second.
#[derive(Default)]
pub(crate) struct Line {
    first: Option<Waiting>,
    rest: Vec<Waiting>,
}

impl Line {
    pub(crate) fn push(&mut self, waiting: Waiting) {
        if self.first.is_none() { self.first = Some(waiting) } else { self.rest.push(waiting) }
    }

    pub(crate) fn front(&self) -> Option<Waiting> {
        self.first
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let next = if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) };
        std::mem::replace(&mut self.first, next)
    }

    /// Whether somebody here only polls, perhaps for events of the other direction too.
    pub(crate) fn polls(&self) -> bool {
        self.first.iter().chain(&self.rest).any(|w| matches!(w.sys, Sys::Poll { .. }))
    }

    pub(crate) fn take_tag(&mut self, tag: Tag) -> Option<Waiting> {
        if self.first.is_some_and(|w| w.tag == tag) {
            return self.pop();
        }
        let at = self.rest.iter().position(|w| w.tag == tag)?;
        Some(self.rest.remove(at))
    }
}

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
        for waiting in
            self.readers.front().iter().chain(&self.readers.rest).chain(&self.writers.front()).chain(&self.writers.rest)
        {
            mask |= match waiting.sys {
                // Errors are always reported; naming one keeps the mask from being empty when nothing else is asked for.
                Sys::Poll { events, .. } => events & POLLED | raw::POLLERR as u32,
                _ => 0,
            };
        }
        if self.readers.first.iter().chain(&self.readers.rest).any(|w| !matches!(w.sys, Sys::Poll { .. })) {
            mask |= reads;
        }
        if self.writers.first.iter().chain(&self.writers.rest).any(|w| !matches!(w.sys, Sys::Poll { .. })) {
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
