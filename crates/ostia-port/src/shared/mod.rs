//! # The shared port: any number of threads, one queue of packets
//!
//! A [`Port`](crate::Port) belongs to one thread. The [`SharedPort`] is the other classic: the I/O completion port as
//! Windows has had it since 1994, on io_uring and epoll. Threads wait on it, each takes a packet, deals with it in plain
//! blocking code, and waits again:
//!
//! ```
//! use ostia_port::{Op, Packet, Payload, SharedPort};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const STOP: u64 = u64::MAX;
//! let port = SharedPort::new()?;
//!
//! let (near, far) = std::os::unix::net::UnixStream::pair()?;
//! let far = port.adopt(far, 7)?; // completion key 7
//! port.submit(Op::Recv { socket: far }, 0)?;
//!
//! std::thread::scope(|scope| {
//!     for _ in 0..2 {
//!         scope.spawn(|| {
//!             while let Ok(Some(done)) = port.wait(None) {
//!                 match (done.key, done.payload) {
//!                     (STOP, _) => break,
//!                     // Received: send it back.
//!                     (7, Payload::Chunk(bytes)) => drop(port.submit(Op::Send { socket: far, data: bytes.into() }, 1)),
//!                     _ => {}
//!                 }
//!             }
//!         });
//!     }
//!     use std::io::{Read, Write};
//!     let mut answer = [0; 5];
//!     (&near).write_all(b"ostia").and_then(|()| (&near).read_exact(&mut answer)).expect("an echo");
//!     assert_eq!(&answer, b"ostia");
//!     for _ in 0..2 {
//!         port.post(Packet { key: STOP, context: 0, result: 0 }).expect("room for it");
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! ## What is promised
//!
//! * **Packets leave first in, first out**, in the order in which they were reaped or posted.
//! * **Waiting threads are released last in, first out**: few threads do the work, with warm caches, and those that are not
//!   needed sleep at the bottom of the stack, where a pool finds them and lets them go.
//! * **At most so many threads run** as [`SharedConfig::concurrency`] says. A thread runs from the packet that it is handed
//!   until it waits again, waits on another port, enters [`SharedPort::blocking`], [leaves](SharedPort::leave), ends, or is
//!   seen asleep in the kernel. When one that had blocked goes on, more run for a while: nobody is stopped, but nobody is
//!   released either until enough of them have come back.
//! * **A thread belongs to the port it last waited on**, and to one only.
//! * **A handle is associated once**, with a completion key that the packets of all its later operations carry; each
//!   operation has a context of its own.
//! * **A thread may come and go as it likes**: what it has submitted is the port's, completes, and is handed to others.
//! * **A cancel is never lost**, nor a packet; none is handed out twice. Only what was submitted
//!   [quietly](SharedPort::submit_quietly) and succeeds has none.
//!
//! The end is announced in one of two ways. *Orderly*: [`post`](SharedPort::post) as many packets of your own as there are
//! threads, and let each thread that takes one go; everything that was queued before is dealt with first. *At once*:
//! [`end`](SharedPort::end), after which every wait answers [`PortEnded`].
//!
//! [`ThreadPool`] is the usual loop with threads that come when packets wait and go when there is nothing to do.
//!
//! ## How it works on Linux
//!
//! No thread of yours ever owns a request of the kernel's, for two reasons that were found by trying: with io_uring's
//! default flags the requests of a thread that ends complete with ECANCELED; with the fast ones (single issuer, deferred task
//! run) nothing completes while the thread that submitted is blocked. So the port inside belongs to a *port thread*, which
//! lives as long as the shared port and does nothing else:
//!
//! ```text
//!   members ── submit, cancel, close ──► intake (bounded) ──► port thread ──► kernel
//!      ▲                                                          │
//!      └──── hand-over, last in first out ◄── packets (FIFO) ◄────┘
//! ```
//!
//! Submitting puts the operation into a queue and makes a system call only if the port thread is asleep and nobody has woken
//! it before. A packet that arrives while fewer threads run than may is handed to the thread that waits at the top of the
//! stack, and only that one is woken. A thread that is done takes the next packet without sleeping. While more packets wait
//! than threads may run, the port thread [gathers](SharedConfig::gather) what comes and goes rather than take a processor
//! from one of them for each.
//!
//! **Who is asleep** is looked at, by the port thread, in /proc/self/task/*thread*/stat, and only while packets wait, as
//! many threads run as may, and there is somebody who could take the packets: first after
//! [`SharedConfig::watch_every`], then as often, 64 threads at most each time. One that was seen asleep counts again when it is seen awake
//! or waits; when nobody looks any more, because no packet waits, it may run uncounted until then. Windows knows at once;
//! where that matters, say `blocking`.
//!
//! **Bounds.** The intake holds [`submissions_max`](SharedConfig::submissions_max) operations. When
//! [`reaped_max`](SharedConfig::reaped_max) packets wait, the port thread reaps no more, and receives that repeat themselves
//! stop at the port's own bounds. Posted packets are refused past [`posted_max`](SharedConfig::posted_max). Operations in
//! flight are yours to bound, as on every port.

mod config;
mod crew;
mod ended;
mod intake;
mod member;
mod parker;
mod pool;
// Windows has the whole of it; elsewhere it is made of a lock and places to sleep.
#[cfg(not(windows))]
mod queue;
#[cfg(windows)]
#[path = "native.rs"]
mod queue;
mod registry;
mod sleepers;
mod sync;
mod thread;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom), not(windows)))]
mod queue_tests;

pub use config::SharedConfig;
pub use ended::{PortEnded, Refused};
pub use pool::{OnPanic, PoolReport, ThreadPool, ThreadPoolConfig};

use crate::os::OwnedFd;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::completion::{Completion, Payload};
use crate::config::DriverKind;
use crate::counters::Statistics;
use crate::features::Features;
use crate::handle::Handle;
use crate::op::{Op, OpId};
use crate::remote::{Packet, Remote};
use intake::{Intake, IsFirst};
use queue::Queue;
use registry::Registry;
use thread::{Command, Hub, PortThread};

/// A completion port that any number of threads wait on. See [the module's page](self).
///
/// Clones are the same port. When the last one is dropped the port ends: operations in flight are cancelled, and the drop
/// waits until the kernel is done with their buffers (at most [`Config::teardown`](crate::Config::teardown)).
#[derive(Clone)]
pub struct SharedPort(Arc<Owner>);

struct Owner {
    hub: Arc<Hub>,
    remote: Remote,
    driver: DriverKind,
    features: Features,
    concurrency: usize,
    posted_max: usize,
    /// There is a pool.
    pooled: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How busy a [`SharedPort`] is at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Load {
    /// Packets that wait for threads.
    pub packets: usize,
    /// Threads that belong to the port.
    pub members: usize,
    /// Those of them that wait.
    pub waiting: usize,
    /// Those of them that run.
    pub running: usize,
    /// Operations that were submitted and whose last packet has not been reaped.
    pub operations: usize,
    /// Submissions and other commands that the port thread has not taken yet.
    pub commands: usize,
}

impl SharedPort {
    /// A shared port with default settings.
    ///
    /// # Errors
    /// When neither io_uring nor epoll can be had, or no thread.
    pub fn new() -> io::Result<SharedPort> {
        SharedPort::with(SharedConfig::default())
    }

    /// A shared port with these settings.
    ///
    /// # Errors
    /// InvalidInput names a setting that is out of its range; others say why the driver or the port thread can't be had.
    pub fn with(config: SharedConfig) -> io::Result<SharedPort> {
        config.check()?;
        let concurrency = config.limit();
        let posted_max = config.posted_max;
        let hub = Arc::new(Hub {
            packets: Arc::new(Queue::new(concurrency)),
            intake: Intake::new(config.submissions_max, Registry::new()),
        });
        let (ready, made) = sync_channel(1);
        let shared = Arc::clone(&hub);
        let thread = std::thread::Builder::new().name("ostia-port".into()).spawn(move || {
            thread::run(shared, config, move |port| {
                // The other side waits for this.
                let _ = ready.send(port.map(|port| (port.remote(), port.driver(), port.features())));
            });
        })?;
        let (remote, driver, features) =
            made.recv().unwrap_or_else(|_| Err(io::Error::other("the port thread ended before it had a port")))?;
        let (pooled, thread) = (AtomicBool::new(false), Mutex::new(Some(thread)));
        Ok(SharedPort(Arc::new(Owner { hub, remote, driver, features, concurrency, posted_max, pooled, thread })))
    }

    /// Which driver carries the operations out.
    #[must_use]
    pub fn driver(&self) -> DriverKind {
        self.0.driver
    }

    /// The io_uring features in use; empty on other drivers.
    #[must_use]
    pub fn features(&self) -> Features {
        self.0.features
    }

    /// How many threads may run.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.0.concurrency
    }

    /// How busy the port is now.
    #[must_use]
    pub fn load(&self) -> Load {
        let census = self.0.hub.packets.census();
        let commands = self.0.hub.intake.len();
        let operations = self.0.hub.intake.registry(|registry| registry.operations());
        let queue::Census { packets, members, waiting, running } = census;
        Load { packets, members, waiting, running, operations, commands }
    }

    /// What the port inside has counted since it was made. Waits for the port thread.
    ///
    /// # Errors
    /// When the port has ended.
    pub fn statistics(&self) -> Result<Statistics, PortEnded> {
        self.ask((), |(), thread| thread.port.statistics()).map_err(|()| self.why_ended())
    }

    // ---- Handles ----

    /// Gives a descriptor to the port and associates it with `key` (CreateIoCompletionPort). Waits for the port thread.
    ///
    /// # Errors
    /// When the descriptor can't be examined (EBADF) or the port has ended (BrokenPipe); the descriptor is then closed.
    pub fn adopt(&self, fd: impl Into<OwnedFd>, key: u64) -> io::Result<Handle> {
        self.ask(fd.into(), move |fd, thread| thread.adopt(fd, key)).unwrap_or_else(|_| Err(self.why_ended().into()))
    }

    /// Associates a handle that an operation has made (an accepted connection, an opened file) with a completion key: the
    /// packets of operations submitted from now on carry it. Until then an accepted connection has its listener's key and an
    /// opened file 0.
    ///
    /// # Errors
    /// AlreadyExists when it has been associated before, be it with the same key; EBADF when it is closed; BrokenPipe when
    /// the port has ended.
    pub fn associate(&self, handle: Handle, key: u64) -> io::Result<()> {
        let mut answer = Ok(());
        let sent = self.0.hub.intake.send_surely(|registry| {
            answer = registry.associate(handle, key);
            answer.is_ok().then_some(Command::Associate { handle, key })
        });
        match sent {
            Some(first) => self.ring(first),
            None if answer.is_ok() => return Err(self.why_ended().into()),
            None => {}
        }
        answer
    }

    /// A second descriptor of the same open file (dup(2)), for socket options and the like. Reading or writing it would
    /// disturb the operations on the handle. Waits for the port thread.
    ///
    /// # Errors
    /// EBADF when the handle is closed; EMFILE; BrokenPipe when the port has ended.
    pub fn duplicate(&self, handle: Handle) -> io::Result<OwnedFd> {
        self.ask((), move |(), thread| thread.duplicate(handle)).unwrap_or_else(|()| Err(self.why_ended().into()))
    }

    /// Closes a handle without a packet, as [`Op::Close`] does with one: sends submitted before go out first, everything else
    /// in flight on it completes with ECANCELED. Never waits; a closed handle is left alone.
    pub fn close(&self, handle: Handle) {
        self.send_surely(|registry| registry.closing(handle).then_some(Command::Close(handle)));
    }

    /// Closes a handle at once: sends that have not gone out are dropped, and the peer of a TCP connection sees a reset.
    /// Never waits.
    pub fn abort(&self, handle: Handle) {
        self.send_surely(|registry| registry.closing(handle).then_some(Command::Abort(handle)));
    }

    // ---- Operations ----

    /// Submits an operation; its packets will carry `context` and the key of its handle. Any thread may do this, a member or
    /// not, and may end right after. When [`submissions_max`](SharedConfig::submissions_max) operations wait for the port
    /// thread, this waits until it has taken them, which needs no help from members.
    ///
    /// What is wrong with an operation (a closed handle, a buffer without room) comes as its packet, with the buffer.
    ///
    /// # Errors
    /// [`Refused::Ended`] gives the operation back when the port has ended, also while this waits.
    #[expect(clippy::result_large_err, reason = "the operation is given back")]
    pub fn submit(&self, op: Op, context: u64) -> Result<OpId, Refused<Op>> {
        self.submit_patiently(op, context, true, false)
    }

    /// As [`submit`](Self::submit), but without a packet if all goes well: only a failure has one, with `context` (Windows:
    /// an operation whose event has its low bit set, or FILE_SKIP_COMPLETION_PORT_ON_SUCCESS). That spares a thread from
    /// being woken for "it was sent".
    ///
    /// It is so for [`Op::Send`], [`Op::SendZc`], [`Op::SendVectored`], [`Op::Shutdown`], [`Op::Close`] and [`Op::Fsync`]. The
    /// success of any other operation says something (received bytes, how much was written, a handle) and has its packet.
    /// On a stream an [`Op::Send`] has succeeded once the bytes have their place in the handle's send queue, at most
    /// [`unread_max`](crate::Config::unread_max) of them; an error that comes later is told by the packet of the next send,
    /// quiet or not, and as a rule by a receive. Whoever sends more than the peer takes should use `submit` now and then:
    /// its packets are what tells of the peer's pace.
    ///
    /// A cancelled one has its packet with ECANCELED, or none if it had succeeded first; its buffer comes back in the
    /// packet, unless the kernel had it already.
    ///
    /// # Errors
    /// As for `submit`.
    #[expect(clippy::result_large_err, reason = "the operation is given back")]
    pub fn submit_quietly(&self, op: Op, context: u64) -> Result<OpId, Refused<Op>> {
        let quiet = thread::is_said_by_success(&op);
        self.submit_patiently(op, context, true, quiet)
    }

    /// As [`submit`](Self::submit), but never waits.
    ///
    /// # Errors
    /// [`Refused`] gives the operation back when the queue is full or the port has ended.
    #[expect(clippy::result_large_err, reason = "the operation is given back")]
    pub fn try_submit(&self, op: Op, context: u64) -> Result<OpId, Refused<Op>> {
        self.submit_patiently(op, context, false, false)
    }

    #[expect(clippy::result_large_err, reason = "the operation is given back")]
    fn submit_patiently(&self, op: Op, context: u64, patient: bool, quiet: bool) -> Result<OpId, Refused<Op>> {
        let (id, first) = self.0.hub.intake.send(op, patient, |op, registry| {
            if let Some(handle) = thread::closes(&op) {
                registry.closing(handle);
            }
            let id = registry.issue();
            (Command::Submit { id, op, context, quiet }, id)
        })?;
        self.ring(first);
        Ok(id)
    }

    /// Asks for the end of an operation, whoever has submitted it, and however far it has come: a cancel that follows its
    /// submission at once finds it too. Its last packet comes in any case, with ECANCELED, or with its normal result if that
    /// was faster. What cancelling means for each operation is said at [`Op`]. Never waits; an operation that is over is left
    /// alone.
    pub fn cancel(&self, id: OpId) {
        self.send_surely(|registry| registry.cancel(id).then_some(Command::Cancel(id)));
    }

    /// Puts a packet behind those that wait (PostQueuedCompletionStatus). Never waits.
    ///
    /// # Errors
    /// [`Refused`] gives the packet back when [`posted_max`](SharedConfig::posted_max) packets wait or the port has ended.
    pub fn post(&self, packet: Packet) -> Result<(), Refused<Packet>> {
        self.post_within(packet, self.0.posted_max)
    }

    fn post_within(&self, packet: Packet, bound: usize) -> Result<(), Refused<Packet>> {
        let Packet { key, context, result } = packet;
        let done = Completion { id: None, key, context, result: Ok(result), payload: Payload::None, more: false };
        self.0.hub.packets.push(done, bound).map_err(|refused| refused.map(|_| packet))
    }

    // ---- Waiting ----

    /// Takes the next packet, and waits for one for `timeout` at most (none: as long as it takes; zero: not at all). None
    /// when the time is over (GetQueuedCompletionStatus).
    ///
    /// From here on this thread belongs to this port. It waits on top of those that wait already, and while as many threads
    /// run as may it waits even if there are packets.
    ///
    /// # Errors
    /// When the port has ended; packets that were waiting are gone then.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Completion>, PortEnded> {
        let mut packet = None;
        member::wait(&self.0.hub.packets, 1, timeout, |done| packet = Some(done))?;
        Ok(packet)
    }

    /// As [`wait`](Self::wait), but takes up to `max` packets that wait already, and appends them to `out`
    /// (GetQueuedCompletionStatusEx); answers how many. With a `max` of 0 it does nothing.
    ///
    /// # Errors
    /// As for `wait`.
    pub fn wait_batch(&self, out: &mut Vec<Completion>, max: usize, timeout: Option<Duration>) -> Result<usize, PortEnded> {
        if max == 0 {
            return Ok(0);
        }
        member::wait(&self.0.hub.packets, max, timeout, |done| out.push(done))
    }

    /// Runs `work`, which may block: meanwhile this thread doesn't count as running, and another may be released in its
    /// place. On a thread that doesn't count as running on this port it is only run.
    pub fn blocking<R>(&self, work: impl FnOnce() -> R) -> R {
        let _back_afterwards = member::block(&self.0.hub.packets);
        work()
    }

    /// This thread no longer belongs to the port, and doesn't count as running, though it lives on. Needless before it ends
    /// or waits on another port.
    pub fn leave(&self) {
        member::leave(&self.0.hub.packets);
    }

    // ---- The end ----

    /// Ends the port for all its clones: every wait, present and to come, answers [`PortEnded`], packets that wait are
    /// dropped, nothing is taken any more, and operations in flight are cancelled. Doesn't wait for that: dropping the last
    /// clone does.
    pub fn end(&self) {
        self.0.end();
    }

    /// Whether the port has ended, and why.
    #[must_use]
    pub fn ended(&self) -> Option<PortEnded> {
        self.0.hub.packets.ended()
    }

    fn why_ended(&self) -> PortEnded {
        self.ended().unwrap_or(PortEnded::CLOSED)
    }

    /// Wakes the port thread for a command that is the first it has not taken.
    #[inline]
    fn ring(&self, first: IsFirst) {
        if first.0 {
            self.0.remote.wake();
        }
    }

    fn send_surely(&self, make: impl FnOnce(&mut Registry) -> Option<Command>) {
        if let Some(first) = self.0.hub.intake.send_surely(make) {
            self.ring(first);
        }
    }

    /// Has the port thread do something with `item` and waits for the answer; gives nothing back if the port has ended.
    fn ask<T: Send + 'static, A: Send + 'static>(
        &self,
        item: T,
        work: impl FnOnce(T, &mut PortThread) -> A + Send + 'static,
    ) -> Result<A, ()> {
        let (answer, answered) = sync_channel(1);
        let sent = self.0.hub.intake.send(item, true, |item, _| {
            let ask = move |thread: &mut PortThread| drop(answer.send(work(item, thread)));
            (Command::Ask(Box::new(ask)), ())
        });
        let ((), first) = sent.map_err(drop)?;
        self.ring(first);
        answered.recv().map_err(drop)
    }
}

impl Owner {
    fn end(&self) {
        self.hub.intake.close();
        self.hub.packets.end(PortEnded::CLOSED);
        self.remote.wake();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the port thread has been reported by its own message.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for SharedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedPort").field("driver", &self.driver()).field("load", &self.load()).finish_non_exhaustive()
    }
}
