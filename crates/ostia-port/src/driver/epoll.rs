//! The epoll driver: try first, wait for readiness after EAGAIN, hand what would block to threads.

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
use crate::driver::interest::{Interests, Line, Waiting};
use crate::driver::open_buffer::OpenBuffer;
use crate::driver::reading::{How, receive};
use crate::features::Features;
use crate::jobs::Jobs;
use crate::os::syscalls;
use crate::port::Usual;
use crate::sys::{CURRENT, Event, Sys};
use crate::tag::Tag;

/// How many ready descriptors one wait fetches.
const BATCH: usize = 256;
/// How many connections are accepted from one listener before others have their turn.
const ACCEPTS: usize = 64;
/// The bell's place among the descriptors that epoll reports.
const BELL: u64 = u64::MAX;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    interests: Interests,
    /// Watches whose registration may be out of date.
    dirty: Vec<RawFd>,
    /// Events of requests that were answered when they were pushed.
    done: Vec<Event>,
    ready: Vec<epoll::Event>,
    open: OpenBuffer,
    jobs: Jobs,
    bell: Arc<Bell>,
}

/// What an attempt came to.
enum Tried {
    Done(Event),
    Again,
    /// Only a thread that may block can do it.
    Job,
}

impl Epoll {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> io::Result<Epoll> {
        let epoll = ep::create(epoll::CreateFlags::CLOEXEC)?;
        // Every strike is an edge, so the bell need not be emptied.
        ep::add(&epoll, bell.gong().fd(), epoll::EventData::new_u64(BELL), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let jobs = Jobs::new(config.blocking_threads, &bell);
        Ok(Epoll {
            epoll,
            interests: Interests::default(),
            dirty: Vec::new(),
            done: Vec::new(),
            ready: Vec::with_capacity(BATCH),
            open: OpenBuffer::default(),
            jobs,
            bell,
        })
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
        match self.attempt(tag, &sys, false, env) {
            Tried::Done(event) => {
                let again = event.more;
                self.done.push(event);
                if again {
                    self.wait_for(Waiting { tag, sys });
                }
            }
            Tried::Again => self.wait_for(Waiting { tag, sys }),
            Tried::Job => {
                env.counters.blocking_jobs.add(1);
                self.done.extend(self.jobs.push(tag, sys));
            }
        }
    }

    /// Tries once, without waiting.
    fn attempt(&mut self, tag: Tag, sys: &Sys, polled: bool, env: &Env<'_>) -> Tried {
        let (result, chunk, again) = match *sys {
            Sys::ReceiveMsg { .. } => unreachable!("datagrams are not received ahead here"),
            Sys::Receive { fd } | Sys::ReadPool { fd } => {
                env.counters.syscalls.add(1);
                let how = if matches!(sys, Sys::Receive { .. }) { How::Socket } else { How::Pipe { polled } };
                match receive(&mut self.open, tag, fd, how, env.pool) {
                    Ok(event) => (event.result, event.chunk, event.result > 0),
                    Err(errno) => (-errno, None, false),
                }
            }
            // After epoll has said so a connecting socket tells its fate by SO_ERROR.
            Sys::Connect { fd, .. } if polled => (connect_result(fd), None, false),
            Sys::Connect { fd, .. } => {
                syscalls::set_nonblocking(fd, true);
                env.counters.syscalls.add(2);
                // SAFETY: the address is kept by the operation's slot until its event has been taken.
                let result = unsafe { syscalls::attempt(sys) }.unwrap_or(-libc::EINVAL);
                if result == -libc::EAGAIN {
                    // A Unix socket's way to say that the backlog is full; to poll it says nothing.
                    return Tried::Job;
                }
                (result, None, false)
            }
            _ => {
                // SAFETY: the operation's slot keeps what `sys` points to until its last event has been taken.
                let Some(result) = (unsafe { syscalls::attempt(sys) }) else { return Tried::Job };
                env.counters.syscalls.add(1);
                (result, None, matches!(sys, Sys::Accept { multi: true, .. }) && result >= 0)
            }
        };
        match result {
            again if again == -libc::EAGAIN || again == -libc::EINPROGRESS || again == -libc::EINTR => Tried::Again,
            // RWF_NOWAIT is news to old kernels and to some devices.
            odd if odd == -libc::EOPNOTSUPP || odd == -libc::ENOSYS => match self.without_nowait(sys, polled) {
                Some(result) => Tried::Done(Event::last(tag, result)),
                None if polled || !can_poll(sys) => Tried::Job,
                None => Tried::Again,
            },
            result => Tried::Done(Event { chunk, more: again, ..Event::last(tag, result) }),
        }
    }

    /// A read or write of a pipe or device that can't be asked not to wait, once poll says that it will not.
    fn without_nowait(&self, sys: &Sys, polled: bool) -> Option<i32> {
        let sys = match *sys {
            Sys::Read { offset: CURRENT, .. } => *sys,
            // A pipe that polls writable takes PIPE_BUF bytes without waiting; more might wait.
            Sys::Write { fd, ptr, len, offset: CURRENT } => Sys::Write { fd, ptr, len: len.min(4096), offset: CURRENT },
            _ => return None,
        };
        // SAFETY: as for the request itself; the length is not larger.
        polled.then(|| unsafe { syscalls::carry_out(&sys) })
    }

    fn wait_for(&mut self, waiting: Waiting) {
        let Some((fd, writes)) = direction(&waiting.sys) else {
            return self.done.push(Event::last(waiting.tag, -libc::EAGAIN));
        };
        let watch = self.interests.get_or_make(fd);
        if writes {
            watch.writers.push(waiting)
        } else {
            watch.readers.push(waiting)
        }
        self.touch(fd);
    }

    fn touch(&mut self, fd: RawFd) {
        if let Some(watch) = self.interests.get(fd)
            && !mem::replace(&mut watch.dirty, true)
        {
            self.dirty.push(fd);
        }
    }

    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd, _: &Env<'_>) {
        if let Some(watch) = self.interests.get(fd)
            && watch.readers.take_tag(tag).or_else(|| watch.writers.take_tag(tag)).is_some()
        {
            self.done.push(Event::last(tag, -libc::ECANCELED));
            return self.touch(fd);
        }
        self.jobs.cancel(tag, &mut self.done);
    }

    /// Brings epoll's registrations up to date; several changes between two waits cost one call or none.
    fn register(&mut self, env: &Env<'_>) {
        for fd in mem::take(&mut self.dirty) {
            let Some(watch) = self.interests.get(fd) else { continue };
            watch.dirty = false;
            let wanted = watch.wanted();
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
                    // Not pollable (a regular file, EPERM) or no room for the watch (ENOMEM, ENOSPC): the waiters
                    // must not wait for ever. Files go to the threads that may block; the rest learn of the error.
                    watch.registered = 0;
                    let stranded: Vec<Waiting> = drain(&mut watch.readers).chain(drain(&mut watch.writers)).collect();
                    self.interests.remove(fd);
                    for Waiting { tag, sys } in stranded {
                        if error == rustix::io::Errno::PERM
                            && matches!(sys, Sys::Read { .. } | Sys::Write { .. } | Sys::Splice { .. })
                        {
                            self.done.extend(self.jobs.push(tag, sys));
                        } else if error == rustix::io::Errno::PERM
                            && let Sys::Poll { events, .. } = sys
                        {
                            // A regular file is always ready.
                            self.done.push(Event::last(tag, (events & (libc::POLLIN | libc::POLLOUT) as u32) as i32));
                        } else {
                            self.done.push(Event::last(tag, -error.raw_os_error()));
                        }
                    }
                }
            }
            if wanted == 0 {
                self.interests.remove(fd);
            }
        }
    }

    /// Ends the watch of a descriptor that is about to be closed.
    pub(crate) fn forget(&mut self, fd: RawFd) {
        let Some(watch) = self.interests.remove(fd) else { return };
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
        self.jobs.collect(&mut self.done);
        let idle = patience != Patience::Poll && self.done.is_empty();
        let sleeps = idle && self.bell.lie_down();
        // Answered requests first: they came first.
        out.append(&mut self.done);
        let waited = self.wait(if sleeps { patience.left() } else { Some(Duration::ZERO) }, env);
        if idle && self.bell.get_up() {
            env.counters.wakeups.add(1);
        }
        waited?;
        self.jobs.collect(out);
        let ready = mem::take(&mut self.ready);
        for event in &ready {
            // The struct is packed on some systems: copy, never refer.
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                BELL => {}
                fd => self.serve(fd as RawFd, flags.bits(), out, env),
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

    /// Tries what waits for a descriptor that has become ready.
    fn serve(&mut self, fd: RawFd, flags: u32, out: &mut Vec<Event>, env: &Env<'_>) {
        const BROKEN: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let readable = flags & (BROKEN | (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI) as u32) != 0;
        if readable || self.interests.get(fd).is_some_and(|watch| watch.readers.polls()) {
            self.serve_line(fd, false, flags, out, env);
        }
        if flags & (BROKEN | libc::EPOLLOUT as u32) != 0 {
            self.serve_line(fd, true, flags, out, env);
        }
    }

    fn serve_line(&mut self, fd: RawFd, writes: bool, flags: u32, out: &mut Vec<Event>, env: &Env<'_>) {
        let Some(watch) = self.interests.get(fd) else { return };
        let mut line = mem::take(if writes { &mut watch.writers } else { &mut watch.readers });
        let mut kept = Line::default();
        let mut elsewhere = Line::default();
        let mut ended = false;
        while let Some(waiting) = line.pop() {
            let repeats = self.serve_one(&waiting, flags, out, env);
            let splices = repeats && matches!(waiting.sys, Sys::Splice { .. });
            ended |= !repeats || splices;
            if splices {
                // It may be the other end that isn't ready now.
                elsewhere.push(waiting);
            } else if repeats {
                kept.push(waiting);
            }
        }
        let watch = self.interests.get_or_make(fd);
        *(if writes { &mut watch.writers } else { &mut watch.readers }) = kept;
        if ended {
            self.touch(fd);
        }
        drain(&mut elsewhere).for_each(|waiting| self.wait_for(waiting));
    }

    /// Tries one waiting request; true if it goes on waiting.
    fn serve_one(&mut self, waiting: &Waiting, flags: u32, out: &mut Vec<Event>, env: &Env<'_>) -> bool {
        let Waiting { tag, sys } = *waiting;
        if let Sys::Poll { events, .. } = sys {
            let hit = flags & (events | (libc::EPOLLERR | libc::EPOLLHUP) as u32);
            if hit != 0 {
                out.push(Event::last(tag, hit as i32));
            }
            return hit == 0;
        }
        // A repeating receive goes once a turn, so that one hot descriptor can't starve the rest; accepting goes on
        // for a while, for connections come in bursts.
        let rounds = if matches!(sys, Sys::Accept { multi: true, .. }) { ACCEPTS } else { 1 };
        for _ in 0..rounds {
            match self.attempt(tag, &sys, true, env) {
                Tried::Again => return true,
                Tried::Done(event) => {
                    let more = event.more;
                    out.push(event);
                    if !more {
                        return false;
                    }
                }
                Tried::Job => {
                    self.done.extend(self.jobs.push(tag, sys));
                    return false;
                }
            }
        }
        true
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        env.pool.cool();
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.open.close(env.pool);
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        usize::from(self.open.is_open())
    }
}

fn drain(line: &mut Line) -> impl Iterator<Item = Waiting> + '_ {
    std::iter::from_fn(|| line.pop())
}

/// The descriptor a request waits for, and whether it waits to write.
fn direction(sys: &Sys) -> Option<(RawFd, bool)> {
    Some(match *sys {
        Sys::Accept { fd, .. }
        | Sys::Receive { fd }
        | Sys::ReceiveMsg { fd }
        | Sys::Recv { fd, .. }
        | Sys::RecvMsg { fd, .. }
        | Sys::Read { fd, .. }
        | Sys::ReadPool { fd } => (fd, false),
        Sys::Connect { fd, .. }
        | Sys::Send { fd, .. }
        | Sys::SendNow { fd, .. }
        | Sys::SendToNow { fd, .. }
        | Sys::SendZc { fd, .. }
        | Sys::SendMsg { fd, .. }
        | Sys::Write { fd, .. } => (fd, true),
        Sys::WaitPid { fd } => (fd, false),
        Sys::Poll { fd, events } => (fd, events & libc::POLLOUT as u32 != 0 && events & libc::POLLIN as u32 == 0),
        // A splice waits for whichever end is not ready.
        Sys::Splice { from, to, .. } => {
            let mut ends = [
                libc::pollfd { fd: from, events: libc::POLLIN, revents: 0 },
                libc::pollfd { fd: to, events: libc::POLLOUT, revents: 0 },
            ];
            // SAFETY: two entries.
            unsafe { libc::poll(ends.as_mut_ptr(), 2, 0) };
            if ends[0].revents == 0 { (from, false) } else { (to, true) }
        }
        Sys::Fsync { .. }
        | Sys::Open { .. }
        | Sys::Statx { .. }
        | Sys::Warm { .. }
        | Sys::Shutdown { .. }
        | Sys::Close { .. }
        | Sys::FutexWait { .. } => return None,
    })
}

fn can_poll(sys: &Sys) -> bool {
    matches!(*sys, Sys::Read { offset: CURRENT, .. } | Sys::Write { offset: CURRENT, .. } | Sys::ReadPool { .. })
}

fn connect_result(fd: RawFd) -> i32 {
    // SAFETY: the port keeps the descriptor open while a request on it is in flight.
    match rustix::net::sockopt::socket_error(unsafe { BorrowedFd::borrow_raw(fd) }) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) | Err(error) => -error.raw_os_error(),
    }
}
