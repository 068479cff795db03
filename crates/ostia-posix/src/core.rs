//! What stands behind a world's mutex: the stack, its sockets, and what goes in and out.

use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;

use ostia_stack::{Error, Event, Handle, Instant, Kind, LinkId, SocketAddress, Stack, State, Transmit};
use ostia_wire::Frame;

use crate::Errno;
use crate::descriptors::{self, Descriptors, Id};
use crate::epoll::Epoll;
use crate::ledger::Ledger;
use crate::settings::DATAGRAM_BUFFER;
use crate::socket::{Socket, Stage};
use crate::world::Packet;

/// Packets that wait to be taken, at most; more are lost, as on any link.
const OUT_MOST: usize = 16_384;

/// How often the stack may find that it has something to do at once, within one turn.
const ROUNDS: usize = 4096;

pub(crate) struct Core {
    pub(crate) stack: Stack,
    pub(crate) link: LinkId,
    pub(crate) ledger: Ledger,
    pub(crate) descriptors: Descriptors,
    pub(crate) sockets: HashMap<Id, Socket>,
    pub(crate) epolls: HashMap<Id, Epoll>,
    handles: HashMap<Handle, Id>,
    pub(crate) out: VecDeque<Packet>,
    /// Packets that nobody took in time.
    pub(crate) lost: u64,
    pub(crate) now: Instant,
    /// Goes up with whatever a sleeper may be waiting for.
    pub(crate) changes: u64,
    /// The world is over: whoever sleeps wakes with ECANCELED.
    pub(crate) over: bool,
    next_id: Id,
    /// Where the next search for a free port begins.
    pub(crate) next_port: u16,
    segments: u64,
    spare: Vec<Transmit>,
}

impl Core {
    pub(crate) fn new(mut stack: Stack, link: LinkId, first_port: u16, now: Instant) -> Core {
        let ledger = Ledger::default();
        stack.set_tracer(Some(ledger.tracer()));
        Core {
            stack,
            link,
            ledger,
            descriptors: Descriptors::default(),
            sockets: HashMap::new(),
            epolls: HashMap::new(),
            handles: HashMap::new(),
            out: VecDeque::new(),
            lost: 0,
            now,
            changes: 0,
            over: false,
            next_id: 1,
            next_port: first_port,
            segments: 0,
            spare: Vec::new(),
        }
    }

    /// Does what is due at a time: sends, and takes note of what has happened.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let mut frames = std::mem::take(&mut self.spare);
        for _ in 0..ROUNDS {
            let more = self.stack.poll_transmit(self.now, &mut frames);
            if !more && self.stack.next_deadline() > self.now {
                break;
            }
        }
        for transmit in frames.drain(..) {
            self.put_out(transmit.frame);
        }
        self.spare = frames;
        while let Some(event) = self.stack.poll_event() {
            self.note(event);
        }
        for local in self.ledger.take_arrived() {
            self.changes += 1;
            if let Some(id) = self.listener_at(local)
                && let Some(socket) = self.sockets.get_mut(&id)
            {
                socket.pulses.input += 1;
            }
        }
        // Data that comes while some is unread makes no event.
        let counters = self.stack.counters();
        let segments = counters.tcp_in_segs + counters.udp_in_datagrams;
        self.changes += u64::from(segments != self.segments);
        self.segments = segments;
    }

    fn put_out(&mut self, frame: Frame) {
        self.changes += 1;
        if self.out.len() >= OUT_MOST {
            self.lost += 1;
            self.stack.recycle(frame);
        } else {
            self.out.push_back(Packet { frame, at: self.now });
        }
    }

    fn note(&mut self, event: Event) {
        self.changes += 1;
        let Some(&id) = self.handles.get(&event.socket) else { return };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        match (event.kind, &socket.stage) {
            (Kind::Readable | Kind::Failed(_), Stage::Datagrams(_)) => self.take_datagrams(id),
            (Kind::Failed(error), _) => {
                socket.fail(error.into());
                self.opened(id);
            }
            (Kind::Writable, _) => socket.pulses.output += 1,
            (Kind::Connected, _) => {
                socket.pulses.state += 1;
                self.opened(id);
            }
            (Kind::Closed | Kind::Drained | Kind::Urgent, _) => socket.pulses.state += 1,
            _ => {}
        }
    }

    /// What held only while the connection was being opened holds no more.
    fn opened(&mut self, id: Id) {
        if self.sockets.get(&id).is_some_and(|socket| socket.settings.syn_count > 0) {
            self.apply(id);
        }
    }

    /// Everything that a UDP socket has received: then the stack tells of each that follows.
    fn take_datagrams(&mut self, id: Id) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let most = socket.settings.receive_buffer.unwrap_or(DATAGRAM_BUFFER) as usize;
        let mut failed = None;
        let Some(datagrams) = socket.datagrams_mut() else { return };
        let Some(handle) = datagrams.handle else { return };
        let mut came = 0;
        loop {
            match self.stack.receive_from(handle) {
                Ok(datagram) => {
                    let size = datagram.frame.truesize();
                    // One is kept however long it is.
                    if datagrams.queued + size > most && !datagrams.queue.is_empty() {
                        datagrams.dropped = datagrams.dropped.saturating_add(1);
                        self.stack.recycle(datagram.frame);
                        continue;
                    }
                    datagrams.queued += size;
                    datagrams.queue.push_back(datagram);
                    came += 1;
                }
                Err(Error::WouldBlock) => break,
                Err(error) => failed = Some(error),
            }
            if matches!(failed, Some(Error::BadHandle)) {
                break;
            }
        }
        socket.pulses.input += came;
        if let Some(error) = failed {
            socket.fail(error.into());
        }
    }

    /// The listener that a connection to an own address waits for.
    pub(crate) fn listener_at(&self, local: SocketAddress) -> Option<Id> {
        let listens = |address: ostia_stack::Address| {
            let found = self.sockets.iter().find(|(_, socket)| {
                matches!(socket.stage, Stage::Listening(_))
                    && socket.bound.is_some_and(|(bound, port)| {
                        port == local.1 && (bound == address || address.is_unspecified() && bound.is_unspecified())
                    })
            });
            found.map(|(&id, _)| id)
        };
        listens(local.0).or_else(|| listens(ostia_stack::Address::UNSPECIFIED))
    }

    /// How many connections wait for a listener.
    pub(crate) fn waiting(&self, listener: Id) -> usize {
        let here = self.ledger.waiting().into_iter().filter(|&(local, _)| self.listener_at(local) == Some(listener));
        here.map(|(_, count)| count).sum()
    }

    /// Adds a socket, and opens a descriptor for it.
    pub(crate) fn add(&mut self, socket: Socket, close_on_exec: bool) -> Result<RawFd, Errno> {
        let id = self.new_id();
        let fd = self.open_descriptor(id, close_on_exec)?;
        if let Some(handle) = socket.handle() {
            self.handles.insert(handle, id);
        }
        self.sockets.insert(id, socket);
        Ok(fd)
    }

    pub(crate) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn open_descriptor(&mut self, id: Id, close_on_exec: bool) -> Result<RawFd, Errno> {
        let (fd, stale) = self.descriptors.open(id, close_on_exec)?;
        if let Some(stale) = stale {
            self.end(stale);
        }
        Ok(fd)
    }

    /// The events of a handle are a socket's.
    pub(crate) fn names(&mut self, handle: Handle, id: Id) {
        self.handles.insert(handle, id);
    }

    /// What a descriptor names, if that is here.
    pub(crate) fn find(&mut self, fd: RawFd) -> Option<Id> {
        match self.descriptors.find(fd) {
            Ok(id) => Some(id),
            Err(stale) => {
                if let Some(stale) = stale {
                    self.end(stale);
                }
                None
            }
        }
    }

    /// The socket that a descriptor names.
    ///
    /// Errors: EBADF, or ENOTSOCK if it is something else.
    pub(crate) fn id(&mut self, fd: RawFd) -> Result<Id, Errno> {
        match self.find(fd) {
            Some(id) if self.sockets.contains_key(&id) => Ok(id),
            Some(_) => Err(Errno::ENOTSOCK),
            None => Err(descriptors::foreign(fd)),
        }
    }

    pub(crate) fn socket(&self, id: Id) -> Result<&Socket, Errno> {
        self.sockets.get(&id).ok_or(Errno::EBADF)
    }

    pub(crate) fn socket_mut(&mut self, id: Id) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&id).ok_or(Errno::EBADF)
    }

    /// A stream's state as Linux has it: once both sides have ended, the socket is closed, and only a record of TIME-WAIT stays.
    pub(crate) fn state(&self, socket: &Socket) -> State {
        match &socket.stage {
            Stage::Listening(_) => State::Listen,
            Stage::Stream(stream) => match self.stack.state(stream.handle) {
                Ok(State::TimeWait) | Err(_) => State::Closed,
                Ok(state) => state,
            },
            Stage::Fresh | Stage::Datagrams(_) => State::Closed,
        }
    }

    /// Tells the stack what a socket's settings mean now.
    pub(crate) fn apply(&mut self, id: Id) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let Some(handle) = socket.handle() else { return };
        let base = self.stack.options();
        // A handle that is gone needs no settings.
        let _ = match &socket.stage {
            Stage::Datagrams(_) => {
                let v4 = socket.domain == crate::address::Domain::V4;
                self.stack.set_datagram_options(handle, socket.settings.of_datagrams(v4))
            }
            Stage::Stream(stream) => {
                let options = socket.settings.of_connection(base, stream.remote.0.is_v4());
                self.stack.set_socket_options(handle, options)
            }
            _ => {
                let options = socket.settings.of_connection(base, socket.domain == crate::address::Domain::V4);
                self.stack.set_socket_options(handle, options)
            }
        };
    }

    /// Lets go of a stream's connection, which ends as close(2) says.
    pub(crate) fn let_go(&mut self, handle: Handle, reuse: bool) {
        if let Ok((local, remote)) = self.stack.addresses(handle) {
            self.ledger.orphaned(local, remote, reuse);
        }
        self.handles.remove(&handle);
        // It may have gone by itself.
        let _ = self.stack.close(handle);
    }

    /// A socket or epoll instance is over.
    pub(crate) fn end(&mut self, id: Id) {
        self.changes += 1;
        self.epolls.remove(&id);
        for epoll in self.epolls.values_mut() {
            epoll.forget(id);
        }
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(handle) = socket.handle() {
            let reuse = socket.settings.reuse_address;
            self.let_go(handle, reuse);
        }
    }
}
