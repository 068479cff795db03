//! A driver around another: beside the descriptors of the kernel it serves the sockets of engines.
//!
//! A request on a descriptor goes to the driver inside, untouched. One on an engine's socket is tried at once, and again
//! whenever the engine says that it is worth it, as a driver does that is told of readiness. The links of engines are waited
//! for by polls of the driver inside: one wait for everything.

mod attempt;
mod sockets;

pub(crate) use attempt::ip_of;
pub(crate) use sockets::{is_hosted, number_of};

use std::io;
use std::mem;

use attempt::{Tried, writes};
use sockets::{Sockets, place_of};

use crate::clock::{Clock, Patience};
use crate::config::DriverKind;
use crate::driver::line::{Line, Waiting};
use crate::driver::open_buffer::OpenBuffer;
use crate::driver::{Driver, Env};
use crate::engine::{Engine, EngineId, SocketId, SocketSpec, Woken};
use crate::features::Features;
use crate::os::{AsRawFd, RawFd, raw};
use crate::pool::Pool;
use crate::port::Usual;
use crate::slab::NONE;
use crate::sys::{Event, Sys};
use crate::tag::{Tag, TagKind};

/// How many receives of one socket are carried out before others have their turn.
const SHARE: usize = 16;

/// The wrapper.
pub(crate) struct Hosting {
    /// The driver inside; taken out never, but put in after the making.
    inner: Option<Driver>,
    clock: Clock,
    engines: Vec<Host>,
    sockets: Sockets,
    /// Sockets whose waiting requests are to be tried.
    due: Vec<u32>,
    /// Events of requests that were answered outside of a turn.
    done: Vec<Event>,
    open: OpenBuffer,
    /// What is received while the pool is dry goes through here.
    spill: Vec<u8>,
    woken: Woken,
    /// Links are waited for no more.
    ending: bool,
}

/// An engine.
struct Host {
    engine: Box<dyn Engine>,
    /// Where its sockets are, by their names.
    names: Vec<u32>,
    /// Polls of its link that are under way, to read and to write.
    polling: [bool; 2],
    /// There are, or may be, frames to be received.
    readable: bool,
}

impl Host {
    fn name(&mut self, id: SocketId, place: u32) {
        let at = id as usize;
        if self.names.len() <= at {
            self.names.resize(at + 1, NONE);
        }
        self.names[at] = place;
    }
}

impl Hosting {
    /// To be completed by [`enclose`](Self::enclose).
    pub(crate) fn new(clock: Clock) -> Hosting {
        Hosting {
            inner: None,
            clock,
            engines: Vec::new(),
            sockets: Sockets::default(),
            due: Vec::new(),
            done: Vec::new(),
            open: OpenBuffer::default(),
            spill: Vec::new(),
            woken: Woken::default(),
            ending: false,
        }
    }

    pub(crate) fn enclose(&mut self, inner: Driver) {
        self.inner = Some(inner);
    }

    fn inner(&self) -> &Driver {
        self.inner.as_ref().expect("enclosed right after the making")
    }

    fn inner_mut(&mut self) -> &mut Driver {
        self.inner.as_mut().expect("enclosed right after the making")
    }

    pub(crate) fn add(&mut self, engine: Box<dyn Engine>) -> EngineId {
        let readable = engine.link().is_none();
        self.engines.push(Host { engine, names: Vec::new(), polling: [false; 2], readable });
        EngineId(self.engines.len() as u32 - 1)
    }

    pub(crate) fn engine(&self, id: EngineId) -> Option<&dyn Engine> {
        self.engines.get(id.0 as usize).map(|host| &*host.engine)
    }

    pub(crate) fn engine_mut(&mut self, id: EngineId) -> Option<&mut dyn Engine> {
        self.engines.get_mut(id.0 as usize).map(|host| &mut *host.engine)
    }

    /// Makes a socket of an engine; its number.
    pub(crate) fn open(&mut self, id: EngineId, spec: SocketSpec) -> io::Result<RawFd> {
        let host = self.engines.get_mut(id.0 as usize).ok_or_else(|| io::Error::from_raw_os_error(raw::EBADF))?;
        let socket = host.engine.open(spec)?;
        let datagrams = matches!(spec, SocketSpec::Datagram { .. } | SocketSpec::Echo { .. });
        let place = self.sockets.insert(id.0, socket, datagrams);
        host.name(socket, place);
        Ok(number_of(place))
    }

    /// The engine of a socket, and what that calls it.
    pub(crate) fn of(&mut self, fd: RawFd) -> Option<(&mut dyn Engine, SocketId)> {
        let socket = self.sockets.get(place_of(fd))?;
        let (engine, id) = (socket.engine as usize, socket.id);
        self.engines.get_mut(engine).map(|host| (&mut *host.engine, id))
    }

    /// As [`of`](Self::of), to ask only.
    pub(crate) fn of_ref(&self, fd: RawFd) -> Option<(&dyn Engine, SocketId)> {
        let socket = self.sockets.get(place_of(fd))?;
        self.engines.get(socket.engine as usize).map(|host| (&*host.engine, socket.id))
    }

    /// Whether what moves over a socket of an engine keeps its boundaries.
    pub(crate) fn keeps_boundaries(&self, fd: RawFd) -> bool {
        self.sockets.get(place_of(fd)).is_some_and(|socket| socket.datagrams)
    }

    /// Whether an engine still sends for connections that have no handle any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.engines.iter().any(|host| host.engine.is_draining())
    }

    pub(crate) fn abort_all(&mut self) {
        self.engines.iter_mut().for_each(|host| host.engine.abort_all());
    }

    /// Stops waiting for links; whether nothing waits for one any more. A poll that a ring is left with keeps its device open
    /// for a while after the ring is closed, and whoever wants the device next would find it in use.
    pub(crate) fn let_go_of_links(&mut self, env: &Env<'_>) -> bool {
        self.ending = true;
        let mut waits = false;
        for at in 0..self.engines.len() {
            let Some(fd) = self.engines[at].engine.link().map(|link| link.as_raw_fd()) else { continue };
            for side in (0..2).filter(|&side| self.engines[at].polling[side]).collect::<Vec<usize>>() {
                waits = true;
                self.inner_mut().cancel(Tag::new(TagKind::Link, at as u32, side as u32), fd, env);
            }
        }
        !waits
    }

    pub(crate) fn kind(&self) -> DriverKind {
        self.inner().kind()
    }

    pub(crate) fn features(&self) -> Features {
        self.inner().features()
    }

    pub(crate) fn sends_directly(&self) -> bool {
        self.inner().sends_directly()
    }

    pub(crate) fn reads_at_once(&self) -> bool {
        self.inner().reads_at_once()
    }

    pub(crate) fn is_settled(&mut self) -> bool {
        self.inner_mut().is_settled()
    }

    pub(crate) fn accepts_are_held(&mut self, tag: Tag) -> bool {
        self.inner_mut().accepts_are_held(tag)
    }

    pub(crate) fn datagrams_strained(&self) -> bool {
        self.inner().datagrams_strained()
    }

    // Apart, so that the way of those who have no engine stays as short as it was.
    #[inline(never)]
    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        match sys.fd() {
            Some(fd) if is_hosted(fd) => self.begin(fd, Waiting { tag, sys }, env),
            _ => self.inner_mut().push(tag, sys, env),
        }
    }

    /// Begins a request on an engine's socket: behind those that wait already.
    fn begin(&mut self, fd: RawFd, waiting: Waiting, env: &Env<'_>) {
        if let Sys::Close { .. } = waiting.sys {
            self.close(fd);
            return self.done.push(Event::last(waiting.tag, 0));
        }
        let place = place_of(fd);
        // Who only polls is in nobody's way, nor has to wait for others.
        let polls = |waiting: &Waiting| matches!(waiting.sys, Sys::Poll { .. });
        let waits = |line: &Line| !polls(&waiting) && line.iter().any(|other| !polls(other));
        let (behind, writes) = match self.sockets.get(place) {
            Some(socket) if writes(&waiting.sys) => (waits(&socket.writers), true),
            Some(socket) => (waits(&socket.readers), false),
            None => return self.done.push(Event::last(waiting.tag, -raw::EBADF)),
        };
        let tried = if behind { Tried::Again } else { self.attempt(&waiting, env) };
        match tried {
            Tried::Done(event) if !event.more => return self.done.push(event),
            Tried::Done(event) => {
                self.done.push(event);
                self.call_up(place);
            }
            Tried::Again => {}
        }
        if let Some(socket) = self.sockets.get_mut(place) {
            if writes { socket.writers.push(waiting) } else { socket.readers.push(waiting) }
        }
    }

    /// Has what waits for a socket tried soon.
    fn call_up(&mut self, place: u32) {
        if let Some(socket) = self.sockets.get_mut(place)
            && !mem::replace(&mut socket.due, true)
        {
            self.due.push(place);
        }
    }

    /// Lets go of an engine's socket.
    pub(crate) fn close(&mut self, fd: RawFd) {
        let Some(socket) = self.sockets.remove(place_of(fd)) else { return };
        let host = &mut self.engines[socket.engine as usize];
        host.names[socket.id as usize] = NONE;
        host.engine.close(socket.id, false);
    }

    // Apart, so that the way of those who have no engine stays as short as it was.
    #[inline(never)]
    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd, env: &Env<'_>) {
        if !is_hosted(fd) {
            return self.inner_mut().cancel(tag, fd, env);
        }
        if let Some(socket) = self.sockets.get_mut(place_of(fd))
            && socket.readers.take_tag(tag).or_else(|| socket.writers.take_tag(tag)).is_some()
        {
            return self.done.push(Event::last(tag, -raw::ECANCELED));
        }
        // A piece of a file may be read for it.
        self.inner_mut().cancel(tag, fd, env);
    }

    // Apart, so that the way of those who have no engine stays as short as it was.
    #[inline(never)]
    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        usual: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        let mut patience = patience;
        let mut busy = false;
        for at in 0..self.engines.len() {
            let host = &mut self.engines[at];
            let turned = host.engine.transmit(self.clock.nanos(), &mut self.woken);
            if let Some(deadline) = turned.deadline {
                patience = patience.min(Patience::Until(self.clock.moment_of_nanos(deadline)));
            }
            busy |= turned.more || host.readable;
            self.note_woken(at);
            self.watch_link(at, turned.blocked, env);
        }
        self.serve(env);
        out.append(&mut self.done);
        if busy || !out.is_empty() || !self.due.is_empty() {
            patience = Patience::Poll;
        }
        let turned = self.inner_mut().turn(patience, out, usual, env);
        self.clock.read();
        out.retain(|event| !self.is_link_event(event));
        for at in 0..self.engines.len() {
            let host = &mut self.engines[at];
            if host.readable || host.engine.link().is_none() {
                host.readable = host.engine.receive(self.clock.nanos(), &mut self.woken);
                self.note_woken(at);
            }
        }
        self.serve(env);
        out.append(&mut self.done);
        turned
    }

    /// The sockets that an engine has named are to be tried.
    fn note_woken(&mut self, at: usize) {
        let mut woken = mem::take(&mut self.woken);
        for id in woken.0.drain(..) {
            match self.engines[at].names.get(id as usize) {
                Some(&place) if place != NONE => self.call_up(place),
                _ => {}
            }
        }
        self.woken = woken;
    }

    /// Has the driver inside wait for an engine's link.
    fn watch_link(&mut self, at: usize, blocked: bool, env: &Env<'_>) {
        let host = &mut self.engines[at];
        let Some(fd) = host.engine.link().map(|link| link.as_raw_fd()) else { return };
        let wanted = [!host.readable, blocked];
        for (side, events) in [raw::POLLIN, raw::POLLOUT].into_iter().enumerate() {
            if wanted[side] && !self.ending && !mem::replace(&mut self.engines[at].polling[side], true) {
                let tag = Tag::new(TagKind::Link, at as u32, side as u32);
                self.inner_mut().push(tag, Sys::Poll { fd, events: events as u32 }, env);
            }
        }
    }

    /// Whether an event is of a link's poll; if so, it is taken note of.
    fn is_link_event(&mut self, event: &Event) -> bool {
        if event.tag.kind() != Some(TagKind::Link) {
            return false;
        }
        let side = event.tag.generation() as usize & 1;
        if let Some(host) = self.engines.get_mut(event.tag.index() as usize) {
            host.polling[side] = false;
            // A poll that has failed is told by what the read says.
            host.readable |= side == 0;
        }
        true
    }

    /// Tries what waits for the sockets that are due.
    fn serve(&mut self, env: &Env<'_>) {
        let mut due = mem::take(&mut self.due);
        for place in due.drain(..) {
            let Some(socket) = self.sockets.get_mut(place) else { continue };
            socket.due = false;
            for writes in [false, true] {
                if self.serve_line(place, writes, env) {
                    self.call_up(place);
                }
            }
        }
        // Keeps the allocation.
        due.append(&mut self.due);
        self.due = due;
    }

    /// Tries one line, first come, first served; whether it could go on.
    fn serve_line(&mut self, place: u32, writes: bool, env: &Env<'_>) -> bool {
        let Some(socket) = self.sockets.get_mut(place) else { return false };
        let mut line = mem::take(if writes { &mut socket.writers } else { &mut socket.readers });
        let mut kept = Line::default();
        let (mut stuck, mut share) = (false, SHARE);
        while let Some(waiting) = line.pop() {
            let polls = matches!(waiting.sys, Sys::Poll { .. });
            // What repeats itself goes on until it would wait.
            loop {
                if share == 0 || stuck && !polls {
                    break kept.push(waiting);
                }
                let Tried::Done(event) = self.attempt(&waiting, env) else {
                    stuck |= !polls;
                    break kept.push(waiting);
                };
                // A receive may bring a whole buffer.
                share = share.saturating_sub(if matches!(waiting.sys, Sys::Receive { .. }) { 4 } else { 1 });
                let more = event.more;
                self.done.push(event);
                if !more {
                    break;
                }
            }
        }
        if let Some(socket) = self.sockets.get_mut(place) {
            *(if writes { &mut socket.writers } else { &mut socket.readers }) = kept;
        }
        share == 0
    }

    pub(crate) fn forget(&mut self, fd: RawFd) {
        if !is_hosted(fd) {
            self.inner_mut().forget(fd);
        }
    }

    pub(crate) fn release(&mut self, fd: RawFd) -> io::Result<()> {
        if is_hosted(fd) {
            // A stack is one worker's.
            return Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP));
        }
        self.inner_mut().release(fd)
    }

    #[cfg(windows)]
    pub(crate) fn meet(&mut self, fd: RawFd) {
        self.inner_mut().meet(fd);
    }

    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        self.inner_mut().cool(env);
    }

    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        self.open.close(env.pool);
        self.inner_mut().surrender(env);
    }

    /// One for this wrapper, and for the driver inside what stands ready there, or one.
    pub(crate) fn buffers_needed(&self) -> usize {
        self.inner().buffers_ready().max(1) + 1
    }

    pub(crate) fn give_way(&mut self, pool: &Pool) {
        self.open.close(pool);
    }

    pub(crate) fn ready_for_descriptors(&self) -> usize {
        self.inner().buffers_ready()
    }

    pub(crate) fn buffers_ready(&self) -> usize {
        self.inner().buffers_ready() + usize::from(self.open.is_open())
    }
}
