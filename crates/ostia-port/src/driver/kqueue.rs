//! The kqueue driver: how kqueue(2) is told what to watch, and waited for; the rest is [`Readiness`]. Type-checked, and never
//! run yet.
//!
//! Filters are level-triggered, as epoll's are, for a repeating receive goes once a turn. Only who polls for errors alone is
//! told of edges (EV_CLEAR): kqueue has no filter for that, and reports what they don't ask for. Changes travel with the wait,
//! so that they cost no call of their own. The wait's time-out is kevent's own, which counts nanoseconds: an EVFILT_TIMER has
//! no more to give, for its absolute times are of the clock on the wall.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::kqueue::{self, Event as Kevent, EventFilter, EventFlags};
use rustix::io::Errno;

use crate::bell::Bell;
use crate::clock::Patience;
use crate::config::{Config, DriverKind};
use crate::driver::Env;
use crate::driver::readiness::{Readiness, Ready};
use crate::features::Features;
use crate::os::{calls, queue, raw};
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::Tag;

/// How many events one wait fetches, and how many changes go with it: each of them may come back as an error.
const BATCH: usize = 256;
/// The longest wait at once; some systems refuse longer ones. Who still has time waits again.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is registered of a descriptor: reading, level-triggered.
const READ: u32 = 1;
/// Reading by edges, for errors and hang-ups alone.
const READ_EDGES: u32 = 2;
/// Writing, level-triggered.
const WRITE: u32 = 4;

pub(crate) struct Kqueue {
    book: Readiness,
    changes: Vec<Kevent>,
    ready: Vec<Kevent>,
    /// Its gong's queue is the one that the driver waits on.
    bell: Arc<Bell>,
}

/// One direction of a descriptor.
#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Kqueue {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> Kqueue {
        let book = Readiness::new(config.blocking_threads, &bell);
        Kqueue { book, changes: Vec::new(), ready: Vec::with_capacity(BATCH), bell }
    }

    pub(crate) fn kind(&self) -> DriverKind {
        DriverKind::Kqueue
    }

    pub(crate) fn features(&self) -> Features {
        Features::none()
    }

    /// To send is one call; to push a request would be more.
    pub(crate) fn sends_directly(&self) -> bool {
        true
    }

    pub(crate) fn is_settled(&mut self) -> bool {
        true
    }

    pub(crate) fn datagrams_strained(&self) -> bool {
        false
    }

    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        if let Sys::Close { fd } = sys {
            self.forget(fd);
        }
        self.book.push(tag, sys, env);
    }

    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd, _: &Env<'_>) {
        self.book.cancel(tag, fd);
    }

    /// Lists the changes that bring the queue's registrations up to date.
    fn register(&mut self) {
        for fd in mem::take(&mut self.book.dirty) {
            let Some(watch) = self.book.interests.get(fd) else { continue };
            watch.dirty = false;
            let wanted = filters(watch.wanted(raw::POLLIN as u32, raw::POLLOUT as u32));
            // What fails comes back as an event, and takes the watch away.
            let registered = mem::replace(&mut watch.registered, wanted);
            for (side, mask) in [(Side::Read, READ | READ_EDGES), (Side::Write, WRITE)] {
                if registered & mask == wanted & mask {
                    continue;
                }
                if registered & mask != 0 {
                    self.changes.push(removed(fd, side));
                }
                if wanted & mask != 0 {
                    self.changes.push(added(fd, side, wanted & READ_EDGES != 0));
                }
            }
            if wanted == 0 {
                self.book.interests.remove(fd);
            }
        }
    }

    /// Ends the watch of a descriptor that is about to be closed.
    pub(crate) fn forget(&mut self, fd: RawFd) {
        let Some(watch) = self.book.interests.remove(fd) else { return };
        for (side, mask) in [(Side::Read, READ | READ_EDGES), (Side::Write, WRITE)] {
            if watch.registered & mask != 0 {
                // Still open: the close comes after this.
                let _ = queue::change(self.bell.gong().fd(), &[removed(fd, side)]);
            }
        }
    }

    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        _: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        self.register();
        self.book.jobs.collect(&mut self.book.done);
        let idle = patience != Patience::Poll && self.book.done.is_empty();
        let sleeps = idle && self.bell.lie_down();
        // Answered requests first: they came first.
        out.append(&mut self.book.done);
        let waited = self.wait(if sleeps { patience.left() } else { Some(Duration::ZERO) }, env);
        if idle && self.bell.get_up() {
            env.counters.wakeups.add(1);
        }
        waited?;
        self.book.jobs.collect(out);
        let ready = mem::take(&mut self.ready);
        for event in &ready {
            match event.filter() {
                EventFilter::Read(fd) | EventFilter::Write(fd) if event.flags().contains(EventFlags::ERROR) => {
                    self.refused(fd, event);
                }
                EventFilter::Read(fd) => self.serve(fd, Side::Read, out, env),
                EventFilter::Write(fd) => self.serve(fd, Side::Write, out, env),
                // The bell.
                _ => {}
            }
        }
        self.ready = ready;
        out.append(&mut self.book.done);
        Ok(())
    }

    /// Makes the changes and waits. More changes than fit into one call go ahead of it by calls that don't wait.
    fn wait(&mut self, timeout: Option<Duration>, env: &Env<'_>) -> io::Result<()> {
        self.ready.clear();
        env.counters.turns.add(1);
        let mut changes = mem::take(&mut self.changes);
        let mut rest = changes.as_slice();
        while rest.len() > BATCH {
            self.ask(&rest[..BATCH], Some(Duration::ZERO), env)?;
            rest = &rest[BATCH..];
        }
        // What is ready already must not wait for more.
        let timeout = if self.ready.is_empty() { timeout.map(|timeout| timeout.min(WAIT_MAX)) } else { Some(Duration::ZERO) };
        self.ask(rest, timeout, env)?;
        changes.clear();
        self.changes = changes;
        Ok(())
    }

    fn ask(&mut self, changes: &[Kevent], timeout: Option<Duration>, env: &Env<'_>) -> io::Result<()> {
        env.counters.syscalls.add(1);
        self.ready.reserve(BATCH);
        let room = rustix::buffer::spare_capacity(&mut self.ready);
        // SAFETY: the port keeps descriptors open until `Sys::Close`, which takes them out of the queue first.
        match unsafe { kqueue::kevent(self.bell.gong().fd(), changes, room, timeout) } {
            // Interrupted, it has made the changes all the same (kevent(2)).
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A change that could not be made. A filter that is no longer there need not be removed; but who waits for one that can't
    /// be added must not wait for ever.
    fn refused(&mut self, fd: RawFd, event: &Kevent) {
        if !event.udata().is_null() {
            return;
        }
        let errno = event.data() as i32;
        if let Some(watch) = self.book.interests.get(fd) {
            // The other direction may have been taken.
            let registered = mem::take(&mut watch.registered);
            for (side, mask) in [(Side::Read, READ | READ_EDGES), (Side::Write, WRITE)] {
                if registered & mask != 0 {
                    let _ = queue::change(self.bell.gong().fd(), &[removed(fd, side)]);
                }
            }
        }
        // So say some devices which kqueue doesn't know; anything else is want of memory.
        let unpollable = [raw::EINVAL, raw::ENODEV, raw::ENXIO, raw::EOPNOTSUPP, raw::EPERM].contains(&errno);
        self.book.strand(fd, errno, unpollable);
    }

    /// Tries what waits for a descriptor that has become ready.
    fn serve(&mut self, fd: RawFd, side: Side, out: &mut Vec<Event>, env: &Env<'_>) {
        let Some(watch) = self.book.interests.get(fd) else { return };
        // Who only polls is told what poll(2) says: a filter's word for it would be less exact.
        let flags = if watch.readers.polls() || watch.writers.polls() {
            env.counters.syscalls.add(1);
            let events = watch.wanted(0, 0);
            calls::poll(fd, events).max(0) as u32
        } else {
            0
        };
        let (readable, writable) = match side {
            Side::Read => (true, false),
            Side::Write => (false, true),
        };
        let broken = flags & (raw::POLLERR | raw::POLLHUP) as u32 != 0;
        self.book.serve(fd, Ready { readable: readable || broken, writable: writable || broken, flags }, out, env);
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        self.book.cool(env);
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.book.surrender(env);
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        self.book.buffers_ready()
    }
}

/// The filters that tell of events of poll(2).
fn filters(events: u32) -> u32 {
    let reads = events & (raw::POLLIN | raw::POLLRDNORM) as u32 != 0;
    let writes = events & (raw::POLLOUT | raw::POLLWRNORM) as u32 != 0;
    match (reads, writes) {
        (true, true) => READ | WRITE,
        (true, false) => READ,
        (false, true) => WRITE,
        (false, false) if events != 0 => READ_EDGES,
        (false, false) => 0,
    }
}

fn filter(fd: RawFd, side: Side) -> EventFilter {
    match side {
        Side::Read => EventFilter::Read(fd),
        Side::Write => EventFilter::Write(fd),
    }
}

fn added(fd: RawFd, side: Side, edges: bool) -> Kevent {
    let edges = if edges { EventFlags::CLEAR } else { EventFlags::empty() };
    Kevent::new(filter(fd, side), EventFlags::ADD | edges, ptr::null_mut())
}

/// Marked, so that it is known for what it is if it fails.
fn removed(fd: RawFd, side: Side) -> Kevent {
    Kevent::new(filter(fd, side), EventFlags::DELETE, ptr::without_provenance_mut(1))
}
