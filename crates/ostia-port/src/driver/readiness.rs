//! What the drivers share that are told of readiness (epoll, kqueue): try first, wait after EAGAIN, hand what would block to
//! threads.

use std::mem;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use crate::bell::Bell;
use crate::driver::Env;
use crate::driver::interest::Interests;
use crate::driver::line::{Line, Waiting};
use crate::driver::open_buffer::OpenBuffer;
use crate::driver::reading::{How, receive};
use crate::jobs::Jobs;
use crate::os::{raw, syscalls};
use crate::sys::{CURRENT, Event, Sys};
use crate::tag::Tag;

/// How many connections are accepted from one listener before others have their turn.
const ACCEPTS: usize = 64;

/// Everything of such a driver but the system's way to wait.
pub(crate) struct Readiness {
    pub(crate) interests: Interests,
    /// Watches whose registration may be out of date.
    pub(crate) dirty: Vec<RawFd>,
    /// Events of requests that were answered when they were pushed.
    pub(crate) done: Vec<Event>,
    pub(crate) jobs: Jobs,
    open: OpenBuffer,
}

/// What the system says of a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The events of poll(2), for those who only poll.
    pub(crate) flags: u32,
}

/// What an attempt came to.
enum Tried {
    Done(Event),
    Again,
    /// Only a thread that may block can do it.
    Job,
}

impl Readiness {
    pub(crate) fn new(threads_max: usize, bell: &Arc<Bell>) -> Readiness {
        Readiness {
            interests: Interests::default(),
            dirty: Vec::new(),
            done: Vec::new(),
            jobs: Jobs::new(threads_max, bell),
            open: OpenBuffer::default(),
        }
    }

    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
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
            // After its readiness has been told a connecting socket tells its fate by SO_ERROR.
            Sys::Connect { fd, .. } if polled => (connect_result(fd), None, false),
            Sys::Connect { fd, .. } => {
                syscalls::set_nonblocking(fd, true);
                env.counters.syscalls.add(2);
                // SAFETY: the address is kept by the operation's slot until its event has been taken.
                let result = unsafe { syscalls::attempt(sys) }.unwrap_or(-raw::EINVAL);
                if result == -raw::EAGAIN {
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
            again if again == -raw::EAGAIN || again == -raw::EINPROGRESS || again == -raw::EINTR => Tried::Again,
            // RWF_NOWAIT is news to old kernels and to some devices.
            odd if odd == -raw::EOPNOTSUPP || odd == -raw::ENOSYS => match self.without_nowait(sys, polled) {
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
            return self.done.push(Event::last(waiting.tag, -raw::EAGAIN));
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

    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd) {
        if let Some(watch) = self.interests.get(fd)
            && watch.readers.take_tag(tag).or_else(|| watch.writers.take_tag(tag)).is_some()
        {
            self.done.push(Event::last(tag, -raw::ECANCELED));
            return self.touch(fd);
        }
        self.jobs.cancel(tag, &mut self.done);
    }

    /// A descriptor can't be waited for: whoever waits must not wait for ever. Where it can't be polled at all, what may block
    /// goes to the threads that may; the rest learn of the error.
    pub(crate) fn strand(&mut self, fd: RawFd, errno: i32, unpollable: bool) {
        let Some(mut watch) = self.interests.remove(fd) else { return };
        let stranded: Vec<Waiting> = drain(&mut watch.readers).chain(drain(&mut watch.writers)).collect();
        for Waiting { tag, sys } in stranded {
            if unpollable && matches!(sys, Sys::Read { .. } | Sys::Write { .. } | Sys::Splice { .. }) {
                self.done.extend(self.jobs.push(tag, sys));
            } else if unpollable && let Sys::Poll { events, .. } = sys {
                // A regular file is always ready.
                self.done.push(Event::last(tag, (events & (raw::POLLIN | raw::POLLOUT) as u32) as i32));
            } else {
                self.done.push(Event::last(tag, -errno));
            }
        }
    }

    /// Tries what waits for a descriptor of which the system says `flags` (of poll(2)).
    pub(crate) fn serve(&mut self, fd: RawFd, ready: Ready, out: &mut Vec<Event>, env: &Env<'_>) {
        if ready.readable || self.interests.get(fd).is_some_and(|watch| watch.readers.polls()) {
            self.serve_line(fd, false, ready.flags, out, env);
        }
        if ready.writable {
            self.serve_line(fd, true, ready.flags, out, env);
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
            let hit = flags & (events | (raw::POLLERR | raw::POLLHUP) as u32);
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
        Sys::Poll { fd, events } => (fd, events & raw::POLLOUT as u32 != 0 && events & raw::POLLIN as u32 == 0),
        // A splice waits for whichever end is not ready.
        Sys::Splice { from, to, .. } => {
            let mut ends = [
                raw::pollfd { fd: from, events: raw::POLLIN, revents: 0 },
                raw::pollfd { fd: to, events: raw::POLLOUT, revents: 0 },
            ];
            // SAFETY: two entries.
            unsafe { raw::poll(ends.as_mut_ptr(), 2, 0) };
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
