//! The port itself: its records, its loop, and the queue that completions are taken from.

mod accepted;
mod cancel;
mod close;
mod datagram;
mod engines;
mod events;
mod file_send;
mod finish;
mod posted;
mod receive;
mod send;
mod silent;
mod stream;
mod submit;
mod teardown;
mod usual;

pub use accepted::Accepted;
pub(crate) use accepted::Connection;
pub use datagram::Arrival;
pub use engines::LENT_MAX;
pub(crate) use file_send::{Piece, Progress};
pub use teardown::leaked_requests;
pub(crate) use usual::Usual;

use posted::Posted;
use silent::Silent;

use crate::os::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{SocketType, sockopt};

use crate::bell::Bell;
use crate::clock::{Clock, Patience};
use crate::completion::{Completion, Payload};
use crate::config::{Config, DriverChoice, DriverKind};
use crate::counters::{Counters, Statistics};
use crate::driver::{Driver, Env};
use crate::features::Features;
use crate::handle::{Flags, Handle, Kind, Node, Sock};
use crate::op::OpId;
use crate::os::{raw, syscalls};
use crate::pool::Pool;
use crate::remote::{Mailbox, Packet, Remote};
use crate::slab::Slab;
use crate::slot::{Slot, Work};
use crate::sys::{Event, Sys};
use crate::tag::{Tag, TagKind};
use crate::virtual_time::VirtualTime;
use crate::wheel::Wheel;

/// How often pools and queues are looked at for memory to give back, in nanoseconds.
const COOL_EVERY: u64 = 1_000_000_000;

/// How long a handle that found no buffer waits at most before it is tried again, in nanoseconds.
const DRY_PAUSE: u64 = 10_000_000;

/// Something that [`Port::next`] will turn into a completion.
///
/// A handle with news for its waiting operations (a receive tag), an operation that is done (its tag, and its handle's
/// key, for the handle may be gone when the completion is taken), or somebody's context who wanted to know (no tag). What they complete with stays where it is until they are taken.
#[derive(Clone, Copy)]
struct Ready {
    tag: Tag,
    context: u64,
}

impl Ready {
    fn tag(tag: Tag) -> Ready {
        Ready { tag, context: 0 }
    }

    fn notify(context: u64) -> Ready {
        Ready { tag: Tag::NOBODY, context }
    }
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
    /// What is known of files that are sent.
    files: file_send::Known,
    /// Sends of files that have used up their turn's share.
    unfinished: Vec<Tag>,
    /// Driver requests that have not had their last event.
    in_flight: usize,
    mailbox: Arc<Mailbox>,
    clock: Clock,
    /// When memory was last looked at, in nanoseconds of the clock.
    cooled: u64,
    /// Half of the pool was leased when this turn began: what is received now is copied out.
    strained: bool,
    /// A listener must be given several accepts, for one can't repeat itself.
    single_accepts: bool,
    /// Whether datagrams can be received before anybody asks for them.
    receives_ahead: bool,
    /// Whether sends that go out at once need no event.
    sends_silently: bool,
    /// Such sends of this turn, and its number.
    silent: Vec<Silent>,
    posted: Posted,
    silent_turn: u32,
    /// Addresses that came with accepts.
    #[cfg(windows)]
    told: accepted::Told,
    /// Somebody waits for the end of one of them: the next turn must not wait for events.
    hurry: bool,
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
    pub fn with(mut config: Config) -> io::Result<Port> {
        config.check()?;
        let bell = Arc::new(Bell::new()?);
        let pool = Pool::new(config.pool, Arc::clone(&bell))?;
        let clock = match config.driver {
            DriverChoice::Virtual => Clock::of(config.virtual_time.get_or_insert_default().clone()),
            _ => {
                config.virtual_time = None;
                Clock::start()
            }
        };
        let driver = Driver::new(&config, &bell)?;
        let receives_ahead = driver.receives_datagrams();
        let single_accepts = driver.accepts_singly();
        let sends_silently = driver.sends_silently();
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
            files: file_send::Known::new(),
            unfinished: Vec::new(),
            in_flight: 0,
            mailbox: Arc::new(Mailbox::new(bell)),
            clock,
            cooled: 0,
            strained: false,
            single_accepts,
            receives_ahead,
            sends_silently,
            silent: Vec::new(),
            posted: Posted::default(),
            silent_turn: 1,
            #[cfg(windows)]
            told: accepted::Told::default(),
            hurry: false,
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
        self.clock.now()
    }

    /// The time now, whatever has passed since the last wait.
    pub fn fresh_now(&self) -> Instant {
        self.clock.fresh()
    }

    /// The clock of a port on the [virtual driver](DriverChoice::Virtual); none on others, which go by the system's.
    pub fn virtual_time(&self) -> Option<&VirtualTime> {
        self.config.virtual_time.as_ref()
    }

    /// A way to post to this port and to wake it from other threads.
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.mailbox))
    }

    /// Puts a packet into this port's own queue, behind what is there.
    pub fn post(&mut self, packet: Packet) {
        let index = self.new_slot(None, Work::Packet(packet), packet.context);
        self.complete(index, packet.result as i64);
    }

    /// How many operations have been submitted and not taken as completions, and driver requests in flight.
    pub fn outstanding(&self) -> (usize, usize) {
        let silent = self.silent_sends();
        (self.slots.len() + silent, self.in_flight + silent)
    }

    /// How many accepts are with the kernel on a listener: one that repeats itself, or as many as the load asks for.
    ///
    /// # Errors
    /// EBADF when the handle is closed.
    pub fn accepts_posted(&self, listener: Handle) -> io::Result<usize> {
        let sock = self.sock(listener)?;
        Ok(if self.single_accepts { sock.accepts.into() } else { sock.flags.has(Flags::ARMED).into() })
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
        let kind = crate::os::descriptor::kind_of(&fd)?;
        Ok(self.adopt_as(fd, kind, key))
    }

    /// As [`adopt`](Self::adopt) for a descriptor whose kind is known, without the system calls to find out.
    ///
    /// A wrong kind makes operations fail or wait for what never comes; it is not unsafe.
    pub fn adopt_as(&mut self, fd: OwnedFd, kind: Kind, key: u64) -> Handle {
        if matches!(kind, Kind::Listener | Kind::Stream | Kind::Datagram) {
            // io_uring waits by itself and fails early on a non-blocking file; the others must never be made to wait.
            syscalls::set_nonblocking(fd.as_raw_fd(), self.driver() != DriverKind::IoUring);
        }
        if kind == Kind::Datagram {
            syscalls::ignore_unreachable(fd.as_raw_fd());
        }
        #[cfg(windows)]
        if matches!(kind, Kind::Datagram | Kind::File) {
            self.driver.meet(fd.as_raw_fd());
        }
        let packets = kind == Kind::Listener && sockopt::socket_type(&fd).is_ok_and(|kind| kind != SocketType::STREAM);
        let handle = self.insert(fd, kind, key);
        if packets && let Some(sock) = self.socks.get_mut(handle.index, handle.generation) {
            sock.flags.set(Flags::PACKETS);
        }
        handle
    }

    /// What the connections of a listening socket are.
    fn accepts(&self, listener: Handle) -> Kind {
        let packets = self.sock(listener).is_ok_and(|sock| sock.flags.has(Flags::PACKETS));
        if packets { Kind::Datagram } else { Kind::Stream }
    }

    /// Makes the record of a descriptor that is as the driver wants it.
    fn insert(&mut self, fd: OwnedFd, kind: Kind, key: u64) -> Handle {
        self.insert_number(fd.into_raw_fd(), kind, key)
    }

    /// Makes the record of what a number stands for.
    fn insert_number(&mut self, fd: RawFd, kind: Kind, key: u64) -> Handle {
        let index = self.socks.insert_with(|_, generation| Sock::new(generation, fd, kind, key));
        if kind == Kind::Pipe
            && let Some(sock) = self.socks.at_mut(index)
        {
            sock.flags.set(Flags::WRITES);
        }
        let generation = self.socks.at(index).map_or(0, |sock| sock.generation);
        Handle { index, generation }
    }

    /// The descriptor behind a handle, for socket options and the like. Reading or writing it directly would disturb
    /// the operations on it.
    ///
    /// # Errors
    /// EBADF when the handle is closed; EOPNOTSUPP for a socket of an engine, which has none.
    pub fn descriptor(&self, handle: Handle) -> io::Result<BorrowedFd<'_>> {
        let sock = self.sock(handle)?;
        if sock.flags.has(Flags::ENGINE) {
            return Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP));
        }
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
        self.push_uncounted(tag, sys);
    }

    #[inline]
    fn push_uncounted(&mut self, tag: Tag, sys: Sys) {
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
        self.wait_for(match timeout {
            None => Patience::Forever,
            Some(Duration::ZERO) => Patience::Poll,
            Some(timeout) => {
                let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
                Patience::Until(self.clock.moment().saturating_add(nanos))
            }
        })
    }

    /// As [`wait`](Self::wait), until a moment; one that is past doesn't wait at all.
    ///
    /// # Errors
    /// As for `wait`.
    pub fn wait_until(&mut self, moment: Instant) -> io::Result<()> {
        self.wait_for(Patience::Until(self.clock.moment_at(moment)))
    }

    fn wait_for(&mut self, patience: Patience) -> io::Result<()> {
        self.pool.collect();
        // What stands ready can all be lent in one turn: that must not be the last there is.
        let leased = self.pool.leased();
        self.strained =
            leased >= self.config.pool.buffers / 2 || leased + self.driver.buffers_needed() >= self.config.pool.buffers;
        self.continue_files();
        self.rearm_dry();
        let patience = self.bounded(patience);
        self.hurry = false;
        self.turn(patience)?;
        if self.mailbox.waits() {
            let mailbox = Arc::clone(&self.mailbox);
            mailbox.collect(|packet| self.post(packet));
        }
        if !self.timers.is_empty() {
            self.fire_timers();
        }
        if self.clock.nanos() - self.cooled >= COOL_EVERY {
            self.cool();
        }
        Ok(())
    }

    /// One turn of the driver, and what came of it.
    #[inline]
    fn turn(&mut self, patience: Patience) -> io::Result<()> {
        let env = Env { pool: &self.pool, counters: &self.counters };
        let mut usual = Usual { socks: &mut self.socks, ready: &mut self.ready, counters: &self.counters };
        let usual = if self.strained { None } else { Some(&mut usual) };
        let turned = self.driver.turn(patience, &mut self.events, usual, &env);
        self.clock.read();
        if !self.events.is_empty() {
            self.on_events();
        }
        if !self.silent.is_empty() {
            self.settle();
        }
        if !self.posted.is_empty() {
            self.settle_posted();
        }
        turned
    }

    #[inline(never)]
    fn on_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        events.drain(..).for_each(|event| self.on_event(event));
        self.events = events;
    }

    /// The patience, cut to what timers and unfinished business allow.
    #[inline]
    fn bounded(&self, patience: Patience) -> Patience {
        if !self.ready.is_empty() || !self.unfinished.is_empty() || self.hurry {
            return Patience::Poll;
        }
        let mut patience = patience;
        if !self.timers.is_empty()
            && let Some(tick) = self.timers.next_tick()
        {
            patience = patience.min(Patience::Until(self.clock.moment_of(tick)));
        }
        if !self.dry.is_empty() {
            // Handles that wait for buffers are tried again soon, should no chunk come back by then.
            patience = patience.min(Patience::Until(self.clock.moment() + DRY_PAUSE));
        }
        patience
    }

    fn fire_timers(&mut self) {
        let mut fired = Vec::new();
        self.timers.advance(self.clock.tick(), |tag| fired.push(tag));
        for tag in fired {
            self.on_timer(tag);
        }
    }

    /// Gives back memory that was not needed lately.
    fn cool(&mut self) {
        self.cooled = self.clock.nanos();
        for (holder, bytes) in self.pool.copies.take_returns() {
            let holder = Tag::from_word(holder);
            if let Some(sock) = self.socks.get_mut(holder.index(), holder.generation()) {
                sock.held = sock.held.saturating_sub(bytes);
            }
        }
        if self.single_accepts {
            self.cool_accepts();
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
    #[expect(clippy::should_implement_trait, reason = "an iterator would borrow the port while completions are dealt with")]
    pub fn next(&mut self) -> Option<Completion> {
        loop {
            let Ready { tag, context } = self.ready.pop_front()?;
            let completion = match tag.kind() {
                Some(TagKind::Op) => self.take_slot(tag, context),
                Some(TagKind::Receive) => self.take_received(Handle { index: tag.index(), generation: tag.generation() }),
                _ => Some(Completion { id: None, key: 0, context, result: Ok(0), payload: Payload::None, more: false }),
            };
            if let Some(completion) = completion {
                self.counters.completions.add(1);
                return Some(completion);
            }
        }
    }

    /// Takes the next completion if it is a mere notification, as the `poll_` calls ask for, and answers its context.
    /// This is [`next`](Self::next) without the making of a [`Completion`].
    #[inline]
    pub fn next_notification(&mut self) -> Option<u64> {
        let Ready { tag, context } = *self.ready.front()?;
        if tag != Tag::NOBODY {
            return None;
        }
        self.ready.pop_front();
        self.counters.completions.add(1);
        Some(context)
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

/// The error of a handle that is not open.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(raw::EBADF)
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
