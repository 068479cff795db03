//! The epoll driver: how epoll(7) is told what to watch, and waited for; the rest is [`Readiness`].

use std::io;
use std::mem;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::event::{Timespec, epoll as ep};

use crate::bell::Bell;
use crate::clock::Patience;
use crate::config::{Config, DriverKind};
use crate::driver::Env;
use crate::driver::readiness::{Readiness, Ready};
use crate::features::Features;
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::Tag;

/// How many ready descriptors one wait fetches.
const BATCH: usize = 256;
/// The bell's place among the descriptors that epoll reports.
const BELL: u64 = u64::MAX;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    book: Readiness,
    ready: Vec<epoll::Event>,
    bell: Arc<Bell>,
}

impl Epoll {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> io::Result<Epoll> {
        let epoll = ep::create(epoll::CreateFlags::CLOEXEC)?;
        // Every strike is an edge, so the bell need not be emptied.
        ep::add(&epoll, bell.gong().fd(), epoll::EventData::new_u64(BELL), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let book = Readiness::new(config.blocking_threads, &bell);
        Ok(Epoll { epoll, book, ready: Vec::with_capacity(BATCH), bell })
    }

    pub(crate) fn kind(&self) -> DriverKind {
        DriverKind::Epoll
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

    /// Brings epoll's registrations up to date; several changes between two waits cost one call or none.
    fn register(&mut self, env: &Env<'_>) {
        for fd in mem::take(&mut self.book.dirty) {
            let Some(watch) = self.book.interests.get(fd) else { continue };
            watch.dirty = false;
            let wanted = watch.wanted((libc::EPOLLIN | libc::EPOLLRDHUP) as u32, libc::EPOLLOUT as u32);
            if wanted == watch.registered {
                continue;
            }
            // SAFETY: the port keeps the descriptor open until `Sys::Close`, which forgets the watch first.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
            let (data, flags) = (epoll::EventData::new_u64(fd as u64), epoll::EventFlags::from_bits_retain(wanted));
            let told = match (watch.registered, wanted) {
                (_, 0) => ep::delete(&self.epoll, borrowed),
                (0, _) => ep::add(&self.epoll, borrowed, data, flags),
                _ => ep::modify(&self.epoll, borrowed, data, flags),
            };
            env.counters.syscalls.add(1);
            match told {
                Ok(()) => watch.registered = wanted,
                Err(error) => {
                    // Not pollable (a regular file, EPERM) or no room for the watch (ENOMEM, ENOSPC).
                    self.book.strand(fd, error.raw_os_error(), error == rustix::io::Errno::PERM);
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
        if watch.registered != 0 {
            // SAFETY: still open: the close comes after this.
            let _ = ep::delete(&self.epoll, unsafe { BorrowedFd::borrow_raw(fd) });
        }
    }

    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        _: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        self.register(env);
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
            // The struct is packed on some systems: copy, never refer.
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                BELL => {}
                fd => self.book.serve(fd as RawFd, ready_of(flags.bits()), out, env),
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>, env: &Env<'_>) -> io::Result<()> {
        self.ready.clear();
        env.counters.syscalls.add(1);
        env.counters.turns.add(1);
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs().min(1 << 31) as i64, tv_nsec: t.subsec_nanos().into() });
        match ep::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
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

fn ready_of(flags: u32) -> Ready {
    const BROKEN: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
    Ready {
        readable: flags & (BROKEN | (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI) as u32) != 0,
        writable: flags & (BROKEN | libc::EPOLLOUT as u32) != 0,
        flags,
    }
}
