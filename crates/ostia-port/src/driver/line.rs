//! Who waits for one direction of one descriptor or socket, first come, first served.

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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let next = if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) };
        std::mem::replace(&mut self.first, next)
    }

    /// Whether somebody here only polls, perhaps for events of the other direction too.
    pub(crate) fn polls(&self) -> bool {
        self.iter().any(|w| matches!(w.sys, Sys::Poll { .. }))
    }

    pub(crate) fn take_tag(&mut self, tag: Tag) -> Option<Waiting> {
        if self.first.is_some_and(|w| w.tag == tag) {
            return self.pop();
        }
        let at = self.rest.iter().position(|w| w.tag == tag)?;
        Some(self.rest.remove(at))
    }
}
