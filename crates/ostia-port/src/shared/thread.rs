//! The port thread: it owns the port, takes commands to it and brings packets back.
//!
//! Its turn: deliver what was reaped and wake members for it, take all commands at once, hand them to the port, wait. No
//! lock is held while it is in the kernel. While members have more to do than they can, turns are gathered: on a machine
//! whose processors all compute, each turn takes one of them away from a member.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::config::SharedConfig;
use super::ended::PortEnded;
use super::intake::Intake;
use super::member::Packets;
use super::parker::Parker;
use super::queue::{Suspect, Wakes};
use super::registry::Registry;
use super::sleepers;
use super::sync::Patience;
use crate::completion::{Completion, Payload};
use crate::handle::{Handle, Kind};
use crate::op::{Op, OpId};
use crate::os::raw;
use crate::port::Port;

/// How long the port thread leaves the kernel alone at most, while too many packets wait.
const STALL: Duration = Duration::from_millis(1);

/// Turns that don't gather after one that has gathered nothing worth its sleep.
const HURRIED: u32 = 32;

/// How often it looks for memory to give back.
const COOL_EVERY: Duration = Duration::from_secs(1);

/// The context of what the port tells nobody in particular.
const NOBODY: u64 = u64::MAX;

/// What members ask of the port thread.
pub(super) enum Command {
    Submit {
        id: OpId,
        op: Op,
        context: u64,
        /// Its success has no packet.
        quiet: bool,
    },
    Cancel(OpId),
    Close(Handle),
    Abort(Handle),
    Associate {
        handle: Handle,
        key: u64,
    },
    /// Anything that has an answer; whoever asked waits for it.
    Ask(Box<dyn FnOnce(&mut PortThread) + Send>),
}

/// What the port thread shares with everybody else.
pub(super) struct Hub {
    pub(super) packets: Packets,
    pub(super) intake: Intake<Command, Registry>,
}

/// An operation that the port has.
struct Flight {
    id: OpId,
    /// The port's own name for it.
    inner: OpId,
    context: u64,
    key: u64,
    quiet: bool,
}

/// What the port thread knows.
pub(super) struct PortThread {
    pub(super) port: Port,
    hub: Arc<Hub>,
    reaped_max: usize,
    watch_every: Duration,
    gather: Duration,
    /// How many threads may run.
    concurrency: usize,
    /// It has just slept to gather.
    gathered: bool,
    /// So many turns are not to gather, because it was no use lately.
    hurried: u32,
    /// By the index of the operation's name.
    flights: Vec<Option<Flight>>,
    /// Keys by the handle's index, each with the handle's generation.
    keys: Vec<(u32, u64)>,
    commands: Vec<Command>,
    reaped: Vec<Completion>,
    /// For the registry: names that have ended, handles that were opened.
    over: Vec<OpId>,
    opened: Vec<Handle>,
    wakes: Wakes,
    suspects: Vec<Suspect>,
    parker: Arc<Parker>,
    cooled: Instant,
}

/// Whatever ends the port thread, a panic included, nobody is left waiting for it.
struct LastWords(Arc<Hub>, PortEnded);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.intake.close();
        self.0.packets.end(self.1);
        // Whoever waits for an answer hears that none will come, and operations give up their buffers.
        let mut left = Vec::new();
        self.0.intake.take(&mut left, |_| ());
    }
}

/// Runs the port on this thread until the intake is closed. `ready` hears of the port, or why there is none.
pub(super) fn run(hub: Arc<Hub>, config: SharedConfig, ready: impl FnOnce(io::Result<&Port>)) {
    // Should it panic, that is what is said.
    let mut last_words = LastWords(Arc::clone(&hub), PortEnded::failed(&io::Error::from_raw_os_error(raw::EIO)));
    let concurrency = config.limit();
    let port = match Port::with(config.port) {
        Ok(port) => port,
        Err(error) => return ready(Err(error)),
    };
    if config.watch_every.is_some() {
        hub.packets.set_watcher(port.remote());
    }
    ready(Ok(&port));
    let mut thread = PortThread {
        cooled: port.now(),
        port,
        hub,
        reaped_max: config.reaped_max,
        watch_every: config.watch_every.unwrap_or(Duration::MAX),
        gather: config.gather,
        concurrency,
        gathered: false,
        hurried: 0,
        flights: Vec::new(),
        keys: Vec::new(),
        commands: Vec::new(),
        reaped: Vec::new(),
        over: Vec::new(),
        opened: Vec::new(),
        wakes: Wakes::default(),
        suspects: Vec::new(),
        parker: Arc::new(Parker::new()),
    };
    last_words.1 = match thread.serve() {
        Ok(()) => PortEnded::CLOSED,
        Err(error) => PortEnded::failed(&error),
    };
    // Waits are ended before the port drains, which may take a while.
    drop(last_words);
}

impl PortThread {
    /// Turn after turn, until no more commands can come.
    fn serve(&mut self) -> io::Result<()> {
        let mut room = self.reaped_max;
        let mut next_look = None;
        loop {
            self.reap(room);
            // The registry first: a member that is handed an accepted connection may associate it at once.
            let (over, opened) = (&mut self.over, &mut self.opened);
            let open = self.hub.intake.take(&mut self.commands, |registry| {
                over.drain(..).for_each(|id| registry.expire(id));
                // Not yet associated: the key is the listener's for now.
                opened.drain(..).for_each(|handle| registry.opened(handle, None));
            });
            if !open {
                // Whoever waits for an answer must not wait for the port's end.
                self.commands.clear();
                return Ok(());
            }
            let worth_gathering = self.is_worth_gathering();
            let watching;
            (room, watching) = self.hub.packets.deliver(&mut self.reaped, self.reaped_max, &mut self.wakes);
            self.obey();
            next_look = self.watch(watching, next_look);
            self.cool();
            if room == 0 && self.port.has_ready() {
                self.stall()?;
            } else if worth_gathering && self.reaped_max - room > self.concurrency {
                self.gather()?;
            } else {
                match next_look {
                    Some(moment) => self.port.wait_until(moment)?,
                    None => self.port.wait(None)?,
                }
            }
        }
    }

    /// Takes completions from the port, as far as there is room for them.
    fn reap(&mut self, room: usize) {
        while self.reaped.len() < room
            && let Some(done) = self.port.next()
        {
            let packet = self.packet(done);
            self.reaped.extend(packet);
        }
    }

    /// Gives a completion the names that members know; none if nobody is to hear of it.
    fn packet(&mut self, mut done: Completion) -> Option<Completion> {
        // That there is room again, after a quiet send had found none: it has long become an operation that waits for it.
        done.id?;
        // The context that the port knows is the index of the operation's name.
        let place = done.context as usize;
        let Some(flight) = self.flights.get(place).and_then(Option::as_ref) else {
            debug_assert!(false, "a completion of nobody's operation");
            return Some(done);
        };
        let unheard = flight.quiet && done.result.is_ok();
        (done.id, done.context, done.key) = (Some(flight.id), flight.context, flight.key);
        if let Payload::Handle(handle) = done.payload {
            let key = flight.key;
            self.set_key(handle, key);
            self.opened.push(handle);
        }
        if !done.more {
            let flight = self.flights[place].take();
            self.over.extend(flight.map(|flight| flight.id));
        }
        // What is dropped here is the operation's own buffer.
        (!unheard).then_some(done)
    }

    /// Hands the commands to the port.
    fn obey(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::Submit { id, op, context, quiet } => self.submit(id, op, context, quiet),
                Command::Cancel(id) => {
                    let flight = self.flights.get(id.0.index() as usize).and_then(Option::as_ref);
                    if let Some(flight) = flight.filter(|flight| flight.id == id) {
                        self.port.cancel(flight.inner);
                    }
                }
                Command::Close(handle) => self.port.close(handle),
                Command::Abort(handle) => self.port.abort(handle),
                Command::Associate { handle, key } => self.set_key(handle, key),
                Command::Ask(ask) => ask(self),
            }
        }
        // The same memory serves the next turn.
        self.commands = commands;
        if !self.over.is_empty() {
            // Quiet sends that are over already: the next turn may be far.
            let over = &mut self.over;
            self.hub.intake.registry(|registry| over.drain(..).for_each(|id| registry.expire(id)));
        }
        if self.commands.capacity() > 4096 {
            self.commands.shrink_to(64);
        }
    }

    fn submit(&mut self, id: OpId, mut op: Op, context: u64, quiet: bool) {
        if quiet && self.sends_at_once(&mut op) {
            self.over.push(id);
            return;
        }
        let place = id.0.index() as usize;
        let key = handle_of(&op).map_or(0, |handle| self.key(handle));
        let inner = self.port.submit(op, place as u64);
        if self.flights.len() <= place {
            self.flights.resize_with(place + 1, || None);
        }
        self.flights[place] = Some(Flight { id, inner, context, key, quiet });
    }

    /// Leaves the bytes of a quiet send to the port, which then has no completion for it: one wait of the port serves to
    /// send and to sleep. False if there is something to tell: no room, or an error, which the operation will meet again.
    fn sends_at_once(&mut self, op: &mut Op) -> bool {
        let Op::Send { socket, data } = op else { return false };
        // An error stays with the handle: on a stream it is the end, but a datagram's concerns that one alone.
        if !matches!(self.port.kind(*socket), Ok(Kind::Stream)) {
            return false;
        }
        let mut bytes = Some(std::mem::take(data));
        let sent = self.port.poll_send(*socket, &mut bytes, NOBODY);
        *data = bytes.unwrap_or_default();
        matches!(sent, Poll::Ready(Ok(())))
    }

    fn key(&self, handle: Handle) -> u64 {
        self.keys.get(handle.index()).filter(|(generation, _)| *generation == handle.generation).map_or(0, |(_, key)| *key)
    }

    fn set_key(&mut self, handle: Handle, key: u64) {
        if self.keys.len() <= handle.index() {
            self.keys.resize(handle.index() + 1, (0, 0));
        }
        self.keys[handle.index()] = (handle.generation, key);
    }

    /// Gives a descriptor to the port and its key to the handle.
    pub(super) fn adopt(&mut self, fd: crate::os::OwnedFd, key: u64) -> io::Result<Handle> {
        let handle = self.port.adopt(fd, key)?;
        self.set_key(handle, key);
        self.hub.intake.registry(|registry| registry.opened(handle, Some(key)));
        Ok(handle)
    }

    /// A second descriptor of a handle's open file.
    pub(super) fn duplicate(&self, handle: Handle) -> io::Result<crate::os::OwnedFd> {
        // The port keeps a descriptor that is being closed until nothing uses it.
        if !self.hub.intake.registry(|registry| registry.is_open(handle)) {
            return Err(io::Error::from_raw_os_error(raw::EBADF));
        }
        self.port.descriptor(handle)?.try_clone_to_owned()
    }

    /// Looks who is asleep, if it is time; answers when to look next.
    fn watch(&mut self, watching: bool, next_look: Option<Instant>) -> Option<Instant> {
        let moment = match next_look {
            // Packets that are taken within this time are not worth a look.
            None => return watching.then(|| self.port.now() + self.watch_every),
            Some(moment) if self.port.now() < moment => return next_look,
            Some(moment) => moment,
        };
        self.hub.packets.suspects(&mut self.suspects);
        if self.suspects.is_empty() {
            return None;
        }
        sleepers::look(&mut self.suspects);
        self.hub.packets.judge(&self.suspects);
        Some(moment.max(self.port.now()) + self.watch_every)
    }

    /// Members are far behind: gives them time, for what the port has ready would make its wait return at once. What is in
    /// flight goes on at a turn each [`STALL`].
    fn stall(&mut self) -> io::Result<()> {
        if self.hub.packets.stall(self.reaped_max / 2, &self.parker) {
            self.parker.park(Patience::of(Some(STALL)));
        }
        self.port.wait(Some(Duration::ZERO))
    }

    /// Whether this turn, of which the news are known, may gather: not one that finds nothing new, for that sleeps in the
    /// kernel and costs nothing, and not when members are so long at work that nothing came together lately.
    fn is_worth_gathering(&mut self) -> bool {
        if std::mem::take(&mut self.gathered) && self.commands.len() < 2 {
            self.hurried = HURRIED;
        }
        if self.gather.is_zero() || (self.reaped.is_empty() && self.commands.is_empty()) {
            return false;
        }
        let hurried = self.hurried > 0;
        self.hurried = self.hurried.saturating_sub(1);
        !hurried
    }

    /// Members have enough to do: hands the kernel what they have asked for, then lets more of that, and of what arrives,
    /// come together.
    fn gather(&mut self) -> io::Result<()> {
        self.port.wait(Some(Duration::ZERO))?;
        if !self.port.has_ready() && self.hub.packets.stall(self.concurrency, &self.parker) {
            self.parker.park(Patience::of(Some(self.gather)));
            self.gathered = true;
        }
        Ok(())
    }

    fn cool(&mut self) {
        let now = self.port.now();
        if now - self.cooled < COOL_EVERY {
            return;
        }
        self.cooled = now;
        self.hub.packets.cool();
        if self.reaped.capacity() > 1024 {
            self.reaped.shrink_to(64);
        }
    }
}

/// The handle whose key an operation's packets carry.
fn handle_of(op: &Op) -> Option<Handle> {
    Some(match op {
        Op::Accept { listener } | Op::AcceptMulti { listener } => *listener,
        Op::Connect { socket, .. }
        | Op::Recv { socket }
        | Op::RecvMulti { socket }
        | Op::RecvInto { socket, .. }
        | Op::Send { socket, .. }
        | Op::SendZc { socket, .. }
        | Op::SendVectored { socket, .. }
        | Op::RecvMsg { socket, .. }
        | Op::SendMsg { socket, .. }
        | Op::SendFile { socket, .. }
        | Op::Shutdown { socket, .. } => *socket,
        Op::Read { file, .. }
        | Op::Write { file, .. }
        | Op::ReadAt { file, .. }
        | Op::WriteAt { file, .. }
        | Op::ReadMulti { file }
        | Op::Fsync { file, .. } => *file,
        Op::Splice { from, .. } => *from,
        Op::Close { handle } | Op::Poll { handle, .. } => *handle,
        Op::Statx { file, .. } => (*file)?,
        Op::Open { .. } | Op::Timeout { .. } | Op::WaitPid { .. } | Op::FutexWait { .. } | Op::FutexWake { .. } => return None,
    })
}

/// The handle that an operation closes.
pub(super) fn closes(op: &Op) -> Option<Handle> {
    if let Op::Close { handle } = op { Some(*handle) } else { None }
}

/// Whether an operation that succeeds has said all with that: it has done everything it was asked for, and brings nothing
/// but its own buffer. A write may be short and a receive brings bytes: they are not among these.
pub(super) fn is_said_by_success(op: &Op) -> bool {
    matches!(
        op,
        Op::Send { .. } | Op::SendZc { .. } | Op::SendVectored { .. } | Op::Shutdown { .. } | Op::Close { .. } | Op::Fsync { .. }
    )
}

/// Operations and packets travel between threads.
const _: fn() = || {
    fn travels<T: Send>() {}
    travels::<Completion>();
    travels::<Command>();
    travels::<Op>();
};
