//! The virtual driver: nothing waits. Files are read and written on the spot, time jumps to the next thing that is to happen,
//! and the kernel's sockets don't exist.
//!
//! It is for simulations, whose networks are engines ([`hosting`](super::hosting)): what a program does is then a function of
//! its own text and of what the engines' links do, and is the same each time. Requests on files are carried out when they are
//! pushed, in order, while the clock stands still.

use std::io;
use std::sync::Arc;

use crate::bell::Bell;
use crate::clock::Patience;
use crate::config::DriverKind;
use crate::driver::Env;
use crate::features::Features;
use crate::os::raw;
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::Tag;
use crate::virtual_time::VirtualTime;

/// So many turns without time going on mean that it never will: a task wakes itself for ever.
const STILL_MAX: u64 = 2_000_000;

/// The driver.
pub(crate) struct Simulated {
    time: VirtualTime,
    bell: Arc<Bell>,
    done: Vec<Event>,
    /// When the last turn was, and how many turns there have been at that time.
    last: u64,
    still: u64,
}

impl Simulated {
    pub(crate) fn new(time: VirtualTime, bell: Arc<Bell>) -> Simulated {
        let last = time.nanos();
        Simulated { time, bell, done: Vec::new(), last, still: 0 }
    }

    pub(crate) fn kind(&self) -> DriverKind {
        DriverKind::Virtual
    }

    pub(crate) fn features(&self) -> Features {
        Features::none()
    }

    pub(crate) fn sends_directly(&self) -> bool {
        false
    }

    pub(crate) fn is_settled(&mut self) -> bool {
        true
    }

    pub(crate) fn datagrams_strained(&self) -> bool {
        false
    }

    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        env.counters.syscalls.add(1);
        self.done.push(Event::last(tag, carry_out(&sys)));
    }

    /// Every request is over when it has been pushed.
    pub(crate) fn cancel(&mut self, _: Tag, _: crate::os::RawFd, _: &Env<'_>) {}

    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        _: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        env.counters.turns.add(1);
        // It never sleeps: a ring that comes after this keeps the next turn from going on.
        let rung = self.bell.get_up();
        let idle = self.done.is_empty() && patience != Patience::Poll && !rung;
        out.append(&mut self.done);
        if idle {
            let limit = if let Patience::Until(moment) = patience { Some(moment) } else { None };
            if !self.time.advance(limit) {
                return Err(io::Error::other(
                    "nothing can happen any more: all wait, no timer is set, and nothing is on its way",
                ));
            }
        }
        let now = self.time.nanos();
        self.still = if now == self.last { self.still + 1 } else { 0 };
        self.last = now;
        if self.still > STILL_MAX {
            return Err(io::Error::other(format!("time stands still: {STILL_MAX} turns since it last went on, at {now} ns")));
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self, _: crate::os::RawFd) {}

    pub(crate) fn cool(&mut self, _: &Env<'_>) {}

    pub(crate) fn surrender(&mut self, _: &Env<'_>) {}

    pub(crate) fn buffers_ready(&self) -> usize {
        0
    }
}

/// Does what is asked for now, if it is about a file.
#[cfg(unix)]
fn carry_out(sys: &Sys) -> i32 {
    let answers_at_once = match *sys {
        Sys::Open { .. } | Sys::Statx { .. } | Sys::Fsync { .. } | Sys::Close { .. } => true,
        Sys::Read { fd, .. } | Sys::Write { fd, .. } | Sys::Warm { fd, .. } | Sys::Poll { fd, .. } => is_file(fd),
        _ => false,
    };
    if !answers_at_once {
        return -raw::EOPNOTSUPP;
    }
    // SAFETY: whoever pushes a request keeps alive what its pointers reach, as `Sys` says; it is over before this returns.
    unsafe { crate::os::syscalls::carry_out(sys) }
}

/// A file of Windows is opened so that its requests are answered later, and only a completion port hears of that.
#[cfg(windows)]
fn carry_out(sys: &Sys) -> i32 {
    match *sys {
        // SAFETY: as `Sys` says.
        Sys::Open { .. } | Sys::Statx { .. } | Sys::Fsync { .. } | Sys::Close { .. } => unsafe {
            crate::os::syscalls::carry_out(sys)
        },
        _ => -raw::EOPNOTSUPP,
    }
}

/// Whether reading never waits for anybody.
#[cfg(unix)]
fn is_file(fd: crate::os::RawFd) -> bool {
    // SAFETY: the port keeps the descriptor open while a request names it.
    let stat = rustix::fs::fstat(unsafe { crate::os::BorrowedFd::borrow_raw(fd) });
    stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode as _) == rustix::fs::FileType::RegularFile)
}
