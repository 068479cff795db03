//! The driver of Windows: overlapped requests, whose packets come to a completion port.
//!
//! A request is given to Windows when it is pushed, unlike on io_uring, so a turn is one call that fetches packets. What
//! waits for bytes of a stream is a receive of none (a zero-byte WSARecv): an idle connection has no buffer with Windows.

mod accept;
mod finish;
mod handles;
mod poll;
mod request;
mod start;
mod watch;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_TIMEOUT};
use windows_sys::Win32::System::IO::{CancelIoEx, GetQueuedCompletionStatusEx, OVERLAPPED_ENTRY};

use crate::bell::Bell;
use crate::clock::{Patience, monotonic};
use crate::config::{Config, DriverKind};
use crate::driver::Env;
use crate::driver::open_buffer::OpenBuffer;
use crate::features::Features;
use crate::jobs::Jobs;
use crate::os::descriptor::handle_of;
use crate::os::file::Pipes;
use crate::os::gong::GONG;
use crate::os::thread::millis;
use crate::os::{RawFd, error, raw, syscalls};
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::Tag;

use handles::Handles;
use poll::Afd;
use request::{Extra, NOBODY, Requests, State};

/// How many packets one wait fetches.
const BATCH: usize = 256;

/// How often the silent are looked at, in nanoseconds.
const LOOK: u64 = 1_000_000_000;

pub(crate) struct Iocp {
    requests: Requests,
    handles: Handles,
    /// Events of this turn.
    done: Vec<Event>,
    /// Receives that go on in the next turn.
    again: Vec<u32>,
    /// Those that do so in this one.
    going_on: Vec<u32>,
    packets: Box<[OVERLAPPED_ENTRY; BATCH]>,
    open: OpenBuffer,
    jobs: Jobs,
    bell: Arc<Bell>,
    /// What reads pipes that have something.
    pipes: Pipes,
    /// What polls sockets; made for the first.
    afd: Option<Afd>,
    /// Rooms for addresses that no accept uses now.
    rooms: Vec<Box<[u8]>>,
    /// Where files are that are read and written at their own position, which Windows doesn't keep for overlapped requests.
    positions: HashMap<RawFd, u64>,
    /// How many first bytes an accept waits for; 0: none.
    accept_data: usize,
    /// How long a client may stay silent that is waited for so.
    accept_patience: Duration,
}

impl Iocp {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> Iocp {
        let jobs = Jobs::new(config.blocking_threads, &bell);
        // SAFETY: plain data for which zeroes are valid.
        let packets = Box::new(unsafe { std::mem::zeroed() });
        Iocp {
            requests: Requests::new(),
            handles: Handles::default(),
            done: Vec::new(),
            again: Vec::new(),
            going_on: Vec::new(),
            packets,
            open: OpenBuffer::default(),
            jobs,
            bell,
            pipes: Pipes::default(),
            afd: None,
            rooms: Vec::new(),
            positions: HashMap::new(),
            accept_data: config.accept_data,
            accept_patience: config.accept_patience,
        }
    }

    pub(crate) fn kind(&self) -> DriverKind {
        DriverKind::Iocp
    }

    pub(crate) fn features(&self) -> Features {
        Features::none()
    }

    /// To send is one call; to push a request would be that and a packet.
    pub(crate) fn sends_directly(&self) -> bool {
        true
    }

    pub(crate) fn is_settled(&mut self) -> bool {
        true
    }

    pub(crate) fn datagrams_strained(&self) -> bool {
        false
    }

    /// Whether a poll that succeeds at once makes no packet.
    fn polls_skip(&self) -> bool {
        self.afd.as_ref().is_some_and(|afd| afd.skips)
    }

    fn port(&self) -> HANDLE {
        self.bell.gong().port()
    }

    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        match sys {
            Sys::Shutdown { .. } | Sys::Close { .. } => {
                if let Sys::Close { fd } = sys {
                    self.forget(fd);
                }
                env.counters.syscalls.add(1);
                // SAFETY: these have no pointers.
                let result = unsafe { syscalls::attempt(&sys) }.unwrap_or(-raw::EINVAL);
                self.done.push(Event::last(tag, result));
            }
            Sys::Open { .. } | Sys::Statx { .. } | Sys::Fsync { .. } | Sys::Warm { .. } | Sys::FutexWait { .. } => {
                self.push_job(tag, sys, env);
            }
            // There is no such thing.
            Sys::Splice { .. } => self.done.push(Event::last(tag, -raw::EOPNOTSUPP)),
            Sys::ReceiveMsg { .. } | Sys::SendNow { .. } | Sys::SendToNow { .. } => {
                unreachable!("only for drivers that say that they can")
            }
            _ => self.begin(tag, sys, env),
        }
    }

    fn push_job(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        env.counters.blocking_jobs.add(1);
        self.done.extend(self.jobs.push(tag, sys));
    }

    pub(crate) fn cancel(&mut self, tag: Tag, _: RawFd, _: &Env<'_>) {
        // Several accepts have one name: a cancel meets one that none has met yet, and that nobody has connected to if there is one.
        let waits = self.accept_data > 0;
        let free = self.requests.find(tag, |request| !request.cancelled && !(waits && request.silent_for() != NOBODY));
        let Some(index) = free.or_else(|| self.requests.find(tag, |request| !request.cancelled)) else {
            self.jobs.cancel(tag, &mut self.done);
            return;
        };
        let request = self.requests.get(index);
        request.cancelled = true;
        if request.state == State::Again {
            self.again.retain(|&other| other != index);
            return self.end(index, -raw::ECANCELED);
        }
        if let Extra::Process { .. } = request.extra {
            return self.stop_watching(index);
        }
        let handle = match (&request.extra, &self.afd) {
            (Extra::Poll(_), Some(afd)) => afd.handle(),
            _ => handle_of(start::target(&request.sys)),
        };
        // If there is nothing to cancel any more, the packet is on its way.
        // SAFETY: the handle is open while a request names it, and the OVERLAPPED is that of one which Windows has.
        unsafe { CancelIoEx(handle, request.overlapped()) };
    }

    /// A request ends with an event, and its place is free.
    fn end(&mut self, index: u32, result: i32) {
        let tag = self.requests.get(index).tag;
        self.requests.remove(index);
        self.done.push(Event::last(tag, result));
    }

    /// Gets to know a handle before any request is made of it. What is wrong with it the first request tells.
    pub(crate) fn meet(&mut self, fd: RawFd) {
        let _ = self.handles.know(fd, self.port());
    }

    /// The handle leaves this driver other than by being closed by a request.
    pub(crate) fn forget(&mut self, fd: RawFd) {
        self.handles.forget(fd);
        self.positions.remove(&fd);
    }

    pub(crate) fn release(&mut self, fd: RawFd) -> io::Result<()> {
        self.handles.release(fd)?;
        self.positions.remove(&fd);
        Ok(())
    }

    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        _: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        self.jobs.collect(&mut self.done);
        std::mem::swap(&mut self.again, &mut self.going_on);
        for at in 0..self.going_on.len() {
            self.go_on_receiving(self.going_on[at], env);
        }
        self.going_on.clear();
        // Those who connect and stay silent are looked at each second.
        let patience = if self.awaits_first_bytes() { patience.min(Patience::Until(monotonic() + LOOK)) } else { patience };
        let idle = patience != Patience::Poll && self.done.is_empty() && self.again.is_empty();
        let sleeps = idle && self.bell.lie_down();
        let waited = self.wait(if sleeps { patience.left() } else { Some(Duration::ZERO) }, env);
        if idle && self.bell.get_up() {
            env.counters.wakeups.add(1);
        }
        let count = waited?;
        self.jobs.collect(&mut self.done);
        for at in 0..count {
            let packet = self.packets[at];
            if packet.lpCompletionKey == GONG {
                continue;
            }
            // SAFETY: every packet but the gong's is of a request of this driver.
            let index = unsafe { Requests::of_packet(packet.lpOverlapped) };
            self.requests.out -= 1;
            let bytes = packet.dwNumberOfBytesTransferred;
            // SAFETY: Windows is done with it, since its packet has come.
            let status = unsafe { (*packet.lpOverlapped).Internal } as i32;
            self.finish(index, if status >= 0 { Ok(bytes) } else { Err((error::of_status(status), bytes)) }, env);
        }
        out.append(&mut self.done);
        Ok(())
    }

    /// Fetches packets; answers how many.
    fn wait(&mut self, timeout: Option<Duration>, env: &Env<'_>) -> io::Result<usize> {
        env.counters.syscalls.add(1);
        env.counters.turns.add(1);
        let mut count = 0;
        // SAFETY: the packets are as many as is said.
        let fetched = unsafe {
            GetQueuedCompletionStatusEx(self.port(), self.packets.as_mut_ptr(), BATCH as u32, &mut count, millis(timeout), 0)
        };
        match fetched {
            0 if error::last() == WAIT_TIMEOUT => Ok(0),
            0 => Err(io::Error::last_os_error()),
            _ => Ok(count as usize),
        }
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        env.pool.cool();
        self.hurry_the_silent();
        self.rooms.truncate(self.rooms.len().div_ceil(2));
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.open.close(env.pool);
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        usize::from(self.open.is_open())
    }
}
