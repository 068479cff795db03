//! The io_uring driver: requests become queue entries, one system call a turn submits them and waits.

mod buffers;
mod datagrams;
mod encode;
pub(crate) mod message;
mod probe;
mod setup;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use io_uring::{cqueue, opcode, squeue, types};
use rustix::fs::{FileType, fstat};

use crate::bell::Bell;
use crate::clock::Patience;
use crate::config::{Config, DriverKind};
use crate::driver::Env;
use crate::driver::open_buffer::OpenBuffer;
use crate::driver::reading::{How, receive};
use crate::features::Features;
use crate::jobs::Jobs;
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::{Tag, TagKind};

use buffers::{BufferRing, Group};
use datagrams::Datagrams;
use setup::Ring;
pub(crate) use setup::explain;
pub use setup::why_not;

/// The report that a zero-copy send was copied (IORING_NOTIF_USAGE_ZC_COPIED).
const ZC_COPIED: i32 = i32::MIN;

pub(crate) struct Uring {
    ring: Ring,
    features: Features,
    /// Entries that found the submission queue full and the kernel unwilling: they go first next time.
    backlog: VecDeque<squeue::Entry>,
    buffers: Option<BufferRing>,
    datagrams: Option<Box<Datagrams>>,
    /// Receives that wait by poll because buffers can't be picked on arrival, and what they read from.
    polled: HashMap<u64, (RawFd, How)>,
    open: OpenBuffer,
    jobs: Jobs,
    bell: Arc<Bell>,
    bell_armed: bool,
    /// Completions set aside because the driver itself is concerned.
    odd: Vec<(Tag, i32, u32)>,
    /// Answers of requests that never went to the ring.
    done: Vec<Event>,
}

impl Uring {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> io::Result<Uring> {
        let features = probe::supported()? & config.features;
        let (ring, features) = Ring::new(config, features)?;
        let buffers = match features.contains(Features::BUFFER_RING) {
            true => Some(BufferRing::new(&ring, &config.pool, Group::Bytes, features.contains(Features::INCREMENTAL_BUFFERS))?),
            false => None,
        };
        if features.contains(Features::MSG_RING) {
            bell.gong().set_ring(ring.fd());
        }
        Ok(Uring {
            ring,
            features,
            backlog: VecDeque::new(),
            buffers,
            datagrams: None,
            polled: HashMap::new(),
            open: OpenBuffer::default(),
            jobs: Jobs::new(config.blocking_threads, &bell),
            bell,
            bell_armed: false,
            odd: Vec::new(),
            done: Vec::new(),
        })
    }

    pub(crate) fn kind(&self) -> DriverKind {
        DriverKind::IoUring
    }

    /// The kernel forgets by itself.
    pub(crate) fn forget(&mut self, _: RawFd) {}

    /// Requests go out with the turn's call, which costs less.
    pub(crate) fn sends_directly(&self) -> bool {
        false
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    #[inline]
    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        if let Sys::SendNow { .. } | Sys::Send { .. } = sys {
            // By far the most frequent.
            return self.push_entry(encode::entry(&sys, self.features).user_data(tag.word()), env);
        }
        self.push_any(tag, sys, env);
    }

    #[inline(never)]
    fn push_any(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        let entry = match sys {
            Sys::Receive { fd } if self.buffers.is_none() => return self.push_polled(tag, fd, How::Socket, env),
            Sys::ReadPool { fd }
                if !self.features.contains(Features::MULTISHOT_READ) || self.buffers.is_none() || !is_pipe(fd) =>
            {
                return self.push_polled(tag, fd, How::Pipe { polled: true }, env);
            }
            Sys::ReceiveMsg { fd } => match self.receive_datagrams(fd) {
                Ok(entry) => entry,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EOPNOTSUPP);
                    return self.done.push(Event::last(tag, -errno));
                }
            },
            Sys::Warm { .. } => return self.push_job(tag, sys, env),
            Sys::FutexWait { .. } if !self.features.contains(Features::FUTEX) => return self.push_job(tag, sys, env),
            _ => encode::entry(&sys, self.features),
        };
        self.push_entry(entry.user_data(tag.word()), env);
    }

    /// The entry that receives datagrams again and again. The kernel reads its header when it takes the entry.
    fn receive_datagrams(&mut self, fd: RawFd) -> io::Result<squeue::Entry> {
        let datagrams = match &mut self.datagrams {
            Some(datagrams) => datagrams,
            none => none.insert(Box::new(Datagrams::new(&self.ring, &self.bell)?)),
        };
        Ok(opcode::RecvMsgMulti::new(types::Fd(fd), &raw const *datagrams.header, Group::Datagrams.number()).build())
    }

    fn push_job(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        env.counters.blocking_jobs.add(1);
        self.done.extend(self.jobs.push(tag, sys));
    }

    fn push_polled(&mut self, tag: Tag, fd: RawFd, how: How, env: &Env<'_>) {
        self.polled.insert(tag.word(), (fd, how));
        let poll = opcode::PollAdd::new(types::Fd(fd), (libc::POLLIN | libc::POLLRDHUP) as u32).build();
        self.push_entry(poll.user_data(tag.word()), env);
    }

    #[inline]
    fn push_entry(&mut self, entry: squeue::Entry, env: &Env<'_>) {
        // SAFETY: the port keeps what the entry points to until its last event has been taken (see `Sys`).
        if self.backlog.is_empty() && unsafe { self.ring.push(&entry) } {
            return;
        }
        self.push_slowly(entry, env);
    }

    #[cold]
    fn push_slowly(&mut self, entry: squeue::Entry, env: &Env<'_>) {
        env.counters.submission_full.add(1);
        self.backlog.push_back(entry);
        let _ = self.ring.enter(0, Patience::Poll, env);
        self.flush_backlog();
    }

    fn flush_backlog(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: as in `push_entry`.
            if !unsafe { self.ring.push(entry) } {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Whether the kernel has taken every entry, and all their completions could be seen.
    pub(crate) fn is_settled(&mut self) -> bool {
        self.backlog.is_empty() && self.ring.is_settled()
    }

    pub(crate) fn cancel(&mut self, tag: Tag, _: RawFd, env: &Env<'_>) {
        if self.jobs.in_flight() > 0 && self.jobs.cancel(tag, &mut self.done) {
            return;
        }
        let mut entry = opcode::AsyncCancel::new(tag.word()).build().user_data(Tag::NOBODY.word());
        if self.features.contains(Features::SKIP_SUCCESS) {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        }
        self.push_entry(entry, env);
    }

    #[inline]
    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        usual: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        if let Some(buffers) = &mut self.buffers {
            buffers.refill(env.pool);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.refill();
        }
        if !self.bell_armed {
            self.arm_bell(env);
        }
        if !self.backlog.is_empty() {
            self.flush_backlog();
        }
        self.jobs.collect(&mut self.done);
        if !self.done.is_empty() {
            out.append(&mut self.done);
        }

        let idle = out.is_empty() && self.backlog.is_empty() && patience != Patience::Poll && !self.ring.has_completions();
        let sleeps = idle && self.bell.lie_down();
        let waited = self.ring.enter(u32::from(sleeps), patience, env);
        if idle && self.bell.get_up() {
            env.counters.wakeups.add(1);
        }
        env.counters.turns.add(1);
        waited?;
        self.reap(out, usual, env);
        self.jobs.collect(out);
        Ok(())
    }

    /// Keeps one poll on the bell's eventfd, for threads that have no ring to send a message from.
    fn arm_bell(&mut self, env: &Env<'_>) {
        self.bell_armed = true;
        let poll = opcode::PollAdd::new(types::Fd(self.bell.gong().fd().as_raw_fd()), libc::POLLIN as u32).build();
        self.push_entry(poll.user_data(Tag::WAKE.word()), env);
    }

    fn reap(&mut self, out: &mut Vec<Event>, mut usual: Option<&mut Usual<'_>>, env: &Env<'_>) {
        // The bulk, with the queue's head published once.
        let mut odd = false;
        let Uring { ring, buffers, datagrams, polled, odd: aside, .. } = self;
        for entry in ring.completions() {
            let (tag, result, flags) = (Tag::from_word(entry.user_data()), entry.result(), entry.flags());
            let kind = tag.kind();
            if let Some(usual) = &mut usual {
                let dealt_with = match (kind, buffers.as_mut(), cqueue::buffer_select(flags)) {
                    (Some(TagKind::Receive), Some(buffers), Some(id))
                        if result > 0 && cqueue::more(flags) && Group::of(id) == Group::Bytes =>
                    {
                        usual.received(tag, result as usize, || buffers.taken(id, result as u32, cqueue::buffer_more(flags), env))
                    }
                    _ => false,
                };
                if dealt_with {
                    continue;
                }
            }
            if matches!(kind, Some(TagKind::Receive | TagKind::Op | TagKind::Silent | TagKind::Close)) && polled.is_empty() {
                event_of(buffers, datagrams, tag, result, flags, out, env);
            } else {
                odd = true;
                aside.push((tag, result, flags));
            }
        }
        if odd {
            for (tag, result, flags) in std::mem::take(&mut self.odd) {
                self.on_odd_completion(tag, result, flags, out, env);
            }
        }
    }

    /// Completions that are the driver's own business, or may be.
    fn on_odd_completion(&mut self, tag: Tag, result: i32, flags: u32, out: &mut Vec<Event>, env: &Env<'_>) {
        match tag.kind() {
            Some(TagKind::Nobody) | None => return,
            Some(TagKind::Wake) => {
                // A message from another thread has this tag too, with an index; only the eventfd needs care.
                if tag.index() == 0 {
                    self.bell_armed = false;
                    self.bell.gong().hush();
                }
                return;
            }
            Some(_) => {}
        }
        if !self.polled.is_empty()
            && let Some(&(fd, how)) = self.polled.get(&tag.word())
        {
            return self.on_polled(tag, result, fd, how, out, env);
        }
        event_of(&mut self.buffers, &mut self.datagrams, tag, result, flags, out, env);
    }

    /// Poll said that a receive will find something (or failed).
    fn on_polled(&mut self, tag: Tag, result: i32, fd: RawFd, how: How, out: &mut Vec<Event>, env: &Env<'_>) {
        if result < 0 {
            self.polled.remove(&tag.word());
            return out.push(Event::last(tag, result));
        }
        env.counters.syscalls.add(1);
        match receive(&mut self.open, tag, fd, how, env.pool) {
            Err(libc::EAGAIN | libc::EINTR) => self.push_polled(tag, fd, how, env),
            received => {
                self.polled.remove(&tag.word());
                out.push(received.unwrap_or_else(|errno| Event::last(tag, -errno)));
            }
        }
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        // Only while the kernel can't be filling a buffer that this side takes for empty: it fills them in calls of this
        // thread, and no completion of such a call may be unseen.
        let quiet = self.features.contains(Features::SINGLE_ISSUER | Features::DEFER_TASKRUN) && !self.ring.has_unseen();
        if let Some(buffers) = &mut self.buffers {
            buffers.cool(env.pool, quiet);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.cool(quiet);
        }
        env.pool.cool();
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.open.close(env.pool);
        if let Some(buffers) = self.buffers.take() {
            buffers.surrender(&self.ring, env.pool);
        }
        if let Some(datagrams) = self.datagrams.take() {
            datagrams.surrender(&self.ring);
        }
    }

    /// Whether datagrams should be copied out rather than kept where they are: half of their buffers are in use.
    pub(crate) fn datagrams_strained(&self) -> bool {
        self.datagrams.as_ref().is_some_and(|datagrams| datagrams.pool.strained())
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        self.buffers.as_ref().map_or(usize::from(self.open.is_open()), BufferRing::ready)
    }
}

/// Whether a descriptor is a pipe. Of other devices that are read in sequence some (inotify) never complete a read that
/// repeats itself.
fn is_pipe(fd: RawFd) -> bool {
    // SAFETY: the port keeps the descriptor open while a request on it is in flight.
    fstat(unsafe { BorrowedFd::borrow_raw(fd) }).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Makes the event of a completion.
#[inline]
fn event_of(
    buffers: &mut Option<BufferRing>,
    datagrams: &mut Option<Box<Datagrams>>,
    tag: Tag,
    result: i32,
    flags: u32,
    out: &mut Vec<Event>,
    env: &Env<'_>,
) {
    // A splice that a cancel interrupts lets the kernel's own ERESTARTSYS and its kin out.
    let result = if (-516..=-512).contains(&result) { -libc::EINTR } else { result };
    let mut event = Event { more: cqueue::more(flags), ..Event::last(tag, result) };
    if cqueue::notif(flags) {
        event.notice = true;
        event.result = i32::from(result == ZC_COPIED);
    } else if let Some(buffers) = buffers
        && let Some(id) = cqueue::buffer_select(flags)
    {
        // A failed receive may name a buffer that it did not use: only what carries bytes counts.
        if result > 0 {
            event.chunk = match (Group::of(id), datagrams) {
                (Group::Datagrams, Some(datagrams)) => {
                    datagrams.taken(id, result as u32, env.counters).map(|part| datagrams.pool.chunk(part))
                }
                _ => buffers.taken(id, result as u32, cqueue::buffer_more(flags), env).map(|part| env.pool.chunk(part)),
            };
        }
    } else if result == -libc::ENOBUFS
        && let Some(buffers) = buffers
    {
        env.counters.buffers_dry.add(1);
        if !datagrams.as_mut().is_some_and(|datagrams| datagrams.ran_dry()) {
            buffers.ran_dry();
        }
    }
    out.push(event);
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.features.contains(Features::MSG_RING) {
            self.bell.gong().set_ring(-1);
        }
    }
}
