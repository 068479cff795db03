//! The port itself: its records, its loop, and the queue that completions are taken from.

mod cancel;
mod close;
mod events;
mod file_send;
mod finish;
mod receive;
mod send;
mod stream;
mod submit;
mod teardown;

pub use teardown::leaked_requests;

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, fstat};
use rustix::net::{SocketType, sockopt};

use crate::bell::Bell;
use crate::completion::{Completion, Payload};
use crate::config::{Config, DriverKind};
use crate::counters::{Counters, Statistics};
use crate::driver::{Driver, Env};
use crate::features::Features;
use crate::handle::{Handle, Kind, Node, Sock};
use crate::op::OpId;
use crate::pool::Pool;
use crate::remote::{Mailbox, Packet, Remote};
use crate::slab::Slab;
use crate::slot::Slot;
use crate::sys::{Event, Sys};
use crate::syscalls;
use crate::tag::{Tag, TagKind};
use crate::wheel::Wheel;

/// How often pools and queues are looked at for memory to give back.
const COOL_EVERY: Duration = Duration::from_secs(1);

/// Something that [`Port::next`] will turn into a completion.
enum Ready {
    /// A handle has news for its waiting operations.
    Handle(Handle),
    /// The operation in this slot is done.
    Slot(Tag),
    /// Somebody wanted to know; this is the context they gave.
    Notify(u64),
    Packet(Packet),
}

/// A completion port of one thread.
///
/// Post operations with [`submit`](Port::submit), wait with [`wait`](Port::wait), and take completions with
/// [`next`](Port::next) until there are none. The port stays on the thread that made it; other threads reach it
/// through a [`Remote`]. Dropping it cancels what is in flight and waits until the kernel is done with every buffer.
pub struct Port {
    driver: Driver,
    pool: Pool,
    counters: Counters,
    config: Config,
    socks: Slab<Sock>,
    slots: Slab<Slot>,
    nodes: Slab<Node>,
    ready: VecDeque<Ready>,
    timers: Wheel<Tag>,
    events: Vec<Event>,
    /// Handles that found no buffer to receive into.
    dry: Vec<Handle>,
    /// Sends of files that have used up their turn's share.
    unfinished: Vec<Tag>,
    /// Driver requests that have not had their last event.
    in_flight: usize,
    mailbox: Arc<Mailbox>,
    started: Instant,
    now: Instant,
    cooled: Instant,
    /// A listener must be given several accepts, for one can't repeat itself.
    single_accepts: bool,
    _one_thread: PhantomData<*const ()>,
}

impl Port {
    /// A port with default settings.
    ///
    /// # Errors
    /// When neither io_uring nor epoll can be had (no descriptors or memory left).
    pub fn new() -> io::Result<Port> {
        Port::with(Config::default())
    }

    /// A port with these settings.
    ///
    /// # Errors
    /// InvalidInput names a setting that is out of its range; others say why the driver can't be had and what would help.
    pub fn with(config: Config) -> io::Result<Port> {
        config.check()?;
        let bell = Arc::new(Bell::new()?);
        let pool = Pool::new(config.pool, Arc::clone(&bell))?;
        let driver = Driver::new(&config, &bell)?;
        let single_accepts = driver.kind() == DriverKind::IoUring && !driver.features().contains(Features::MULTISHOT_ACCEPT);
        let now = Instant::now();
        Ok(Port {
            driver,
            pool,
            counters: Counters::default(),
            config,
            socks: Slab::new(),
            slots: Slab::new(),
            nodes: Slab::new(),
            ready: VecDeque::new(),
            timers: Wheel::new(),
            events: Vec::new(),
            dry: Vec::new(),
            unfinished: Vec::new(),
            in_flight: 0,
            mailbox: Arc::new(Mailbox::new(bell)),
            started: now,
            now,
            cooled: now,
            single_accepts,
            _one_thread: PhantomData,
        })
    }

    /// Which driver carries the operations out.
    pub fn driver(&self) -> DriverKind {
        self.driver.kind()
    }

    /// The io_uring features in use; empty on other drivers.
    pub fn features(&self) -> Features {
        self.driver.features()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted since the port was made.
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// The time of the last wait: the clock everything in this turn goes by.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A way to post to this port and to wake it from other threads.
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.mailbox))
    }

    /// Puts a packet into this port's own queue, behind what is there.
    pub fn post(&mut self, packet: Packet) {
        self.ready.push_back(Ready::Packet(packet));
    }

    /// How many operations have been submitted and not taken as completions, and driver requests in flight.
    pub fn outstanding(&self) -> (usize, usize) {
        (self.slots.len(), self.in_flight)
    }

    /// How much memory the pool of receive buffers takes: (bytes resident, buffers leased, buffers ready, bytes copied out).
    pub fn pool_use(&self) -> (usize, usize, usize, usize) {
        (self.pool.resident(), self.pool.leased(), self.driver.buffers_ready(), self.pool.copies.bytes())
    }

    /// Gives a descriptor to the port. Operations on it complete with `key`, until it is closed.
    ///
    /// The port sees what it is (socket, listener, pipe, file) and sets O_NONBLOCK as its driver needs it, which other
    /// holders of the same open file see too.
    ///
    /// # Errors
    /// When the descriptor can't be examined (EBADF).
    pub fn adopt(&mut self, fd: impl Into<OwnedFd>, key: u64) -> io::Result<Handle> {
        let fd = fd.into();
        let kind = kind_of(&fd)?;
        Ok(self.adopt_as(fd, kind, key))
    }

    /// As [`adopt`](Self::adopt) for a descriptor whose kind is known, without the system calls to find out.
    ///
    /// A wrong kind makes operations fail or wait for what never comes; it is not unsafe.
    pub fn adopt_as(&mut self, fd: OwnedFd, kind: Kind, key: u64) -> Handle {
        if matches!(kind, Kind::Listener | Kind::Stream | Kind::Datagram) {
            // io_uring waits by itself and fails early on a non-blocking file; epoll must never be made to wait.
            syscalls::set_nonblocking(fd.as_raw_fd(), self.driver() == DriverKind::Epoll);
        }
        self.insert(fd, kind, key)
    }

    /// Makes the record of a descriptor that is as the driver wants it.
    fn insert(&mut self, fd: OwnedFd, kind: Kind, key: u64) -> Handle {
        let fd = fd.into_raw_fd();
        let index = self.socks.insert_with(|_, generation| Sock::new(generation, fd, kind, key));
        let generation = self.socks.at(index).map_or(0, |sock| sock.generation);
        Handle { index, generation }
    }

    /// The descriptor behind a handle, for socket options and the like. Reading or writing it directly would disturb
    /// the operations on it.
    ///
    /// # Errors
    /// EBADF when the handle is closed.
    pub fn descriptor(&self, handle: Handle) -> io::Result<BorrowedFd<'_>> {
        let sock = self.sock(handle)?;
        // SAFETY: the record keeps the descriptor open, and the borrow of the port keeps the record.
        Ok(unsafe { BorrowedFd::borrow_raw(sock.fd) })
    }

    /// What a handle's descriptor is.
    ///
    /// # Errors
    /// EBADF when the handle is closed.
    pub fn kind(&self, handle: Handle) -> io::Result<Kind> {
        self.sock(handle).map(|sock| sock.kind)
    }

    /// Every handle that is open.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.socks.indices().filter_map(|index| self.socks.at(index).map(|sock| Handle { index, generation: sock.generation }))
    }

    #[inline]
    fn sock(&self, handle: Handle) -> io::Result<&Sock> {
        self.socks.get(handle.index, handle.generation).ok_or_else(closed)
    }

    #[inline]
    fn sock_mut(&mut self, handle: Handle) -> io::Result<&mut Sock> {
        self.socks.get_mut(handle.index, handle.generation).ok_or_else(closed)
    }

    /// Hands a request to the driver.
    #[inline]
    fn push(&mut self, tag: Tag, sys: Sys) {
        self.in_flight += 1;
        self.driver.push(tag, sys, &Env { pool: &self.pool, counters: &self.counters });
    }

    fn push_cancel(&mut self, tag: Tag, fd: i32) {
        self.driver.cancel(tag, fd, &Env { pool: &self.pool, counters: &self.counters });
    }

    /// Submits what was posted and waits until at least one completion can be taken, for `timeout` at most (none: as
    /// long as it takes). Returns at once if completions are waiting already, after submitting. May return with none
    /// to take: after the timeout, a wake-up or a signal.
    ///
    /// # Errors
    /// Only what leaves the port unusable; errors of operations come with their completions.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.pool.collect();
        self.continue_files();
        self.rearm_dry();
        let timeout = self.bounded(timeout);
        let mut events = std::mem::take(&mut self.events);
        let turned = self.driver.turn(timeout, &mut events, &Env { pool: &self.pool, counters: &self.counters });
        self.now = Instant::now();
        for event in events.drain(..) {
            self.on_event(event);
        }
        self.events = events;
        turned?;
        self.mailbox.collect(|packet| self.ready.push_back(Ready::Packet(packet)));
        self.fire_timers();
        if self.now.duration_since(self.cooled) >= COOL_EVERY {
            self.cool();
        }
        Ok(())
    }

    /// The timeout, cut to what timers and unfinished business allow.
    fn bounded(&self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() || !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        // What was done since the last wait may have taken long: a timer that came due meanwhile must not wait again.
        let timer = self
            .timers
            .next_tick()
            .map(|tick| (self.started + Duration::from_millis(tick)).saturating_duration_since(Instant::now()));
        // Handles that wait for buffers are tried again soon, should no chunk come back by then.
        let dry = (!self.dry.is_empty()).then_some(Duration::from_millis(10));
        [timeout, timer, dry].into_iter().flatten().min()
    }

    /// The tick of a moment: the first whole millisecond not before it.
    fn tick_at(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.started).as_nanos().div_ceil(1_000_000) as u64
    }

    fn fire_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let tick = self.now.duration_since(self.started).as_millis() as u64;
        let mut fired = Vec::new();
        self.timers.advance(tick, |tag| fired.push(tag));
        for tag in fired {
            self.on_timer(tag);
        }
    }

    /// Gives back memory that was not needed lately.
    fn cool(&mut self) {
        self.cooled = self.now;
        for (holder, bytes) in self.pool.copies.take_returns() {
            let holder = Tag::from_word(holder);
            if let Some(sock) = self.socks.get_mut(holder.index(), holder.generation()) {
                sock.held = sock.held.saturating_sub(bytes);
            }
        }
        self.driver.cool(&Env { pool: &self.pool, counters: &self.counters });
        if self.ready.is_empty() && self.ready.capacity() > 1024 {
            self.ready.shrink_to(64);
        }
        if self.events.capacity() > 1024 {
            self.events.shrink_to(64);
        }
    }

    /// Takes the next completion, in the order they were reaped; none when all have been taken.
    #[inline]
    pub fn next(&mut self) -> Option<Completion> {
        loop {
            let completion = match self.ready.pop_front()? {
                Ready::Notify(context) => Some(notified(context)),
                Ready::Slot(tag) => self.take_slot(tag),
                Ready::Handle(handle) => self.take_received(handle),
                Ready::Packet(packet) => Some(Completion {
                    id: None,
                    key: packet.key,
                    context: packet.context,
                    result: Ok(packet.result),
                    payload: Payload::None,
                    more: false,
                }),
            };
            if let Some(completion) = completion {
                self.counters.completions.add(1);
                return Some(completion);
            }
        }
    }

    /// Whether completions can be taken without waiting.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn slot_id(&self, index: u32) -> Tag {
        Tag::new(TagKind::Op, index, self.slots.at(index).map_or(0, |slot| slot.generation))
    }
}

fn notified(context: u64) -> Completion {
    Completion { id: None, key: 0, context, result: Ok(0), payload: Payload::None, more: false }
}

/// The error of a handle that is not open.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

fn kind_of(fd: &OwnedFd) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket if sockopt::socket_acceptconn(fd)? => Kind::Listener,
        FileType::Socket if sockopt::socket_type(fd)? == SocketType::STREAM => Kind::Stream,
        FileType::Socket => Kind::Datagram,
        FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Kind::File,
        _ => Kind::Pipe,
    })
}

impl Handle {
    /// The tag of the handle's receiving side.
    #[inline]
    fn receive_tag(self) -> Tag {
        Tag::new(TagKind::Receive, self.index, self.generation)
    }
}

impl OpId {
    fn index(self) -> u32 {
        self.0.index()
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("driver", &self.driver())
            .field("handles", &self.socks.len())
            .field("operations", &self.slots.len())
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
