//! The stack's side of a branch: what is asked by letter is done by the calls that a port would make, and what comes is written
//! down.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use ostia_port::{Buffer, Engine, SocketId, SocketSpec, os};
use ostia_stack::{Error, Options};

use super::letters::{ACCEPTS, DATAGRAM, Ends, Line, Name, Question, Report, Request, WINDOW, windows};
use super::{Branch, Table};
use crate::engine::StackEngine;
use crate::error::{code, errno};
use crate::sockets::{Progress, Socket};

/// Who has a socket, if a branch does: which, and how it is called there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    desk: usize,
    name: Name,
}

/// What a stack keeps of a branch.
#[derive(Debug)]
pub(crate) struct Desk {
    line: Arc<Line>,
    entries: Table<Entry>,
    /// How many names were made here.
    made: u64,
    out: Vec<Report>,
    requests: Vec<Request>,
    told_down: bool,
}

/// A branch's socket.
#[derive(Debug)]
struct Entry {
    id: SocketId,
    kind: Kind,
    /// Octets that may still be handed over, or connections; and how many that were when nothing was under way.
    credit: usize,
    window: usize,
}

#[derive(Debug)]
enum Kind {
    Listener,
    Datagrams,
    Stream {
        /// What found no room yet.
        unsent: VecDeque<Buffer>,
        /// So much has found room, and is told of when there is more.
        owed: usize,
        /// The branch knows that it is connected.
        announced: bool,
        /// Nothing more is handed over.
        ended: bool,
        /// The branch knows that the connection is over.
        over: bool,
        /// Its stream ends behind what is unsent.
        shut: bool,
        /// It is closed behind what is unsent: the branch has forgotten it.
        closing: bool,
    },
}

impl Desk {
    /// A branch, and the stack's side of it.
    pub(crate) fn open(options: Options) -> (Desk, Branch) {
        let line = Line::new();
        let branch = Branch::new(Arc::clone(&line), options);
        let (entries, out, requests) = (Table::default(), Vec::new(), Vec::new());
        (Desk { line, entries, made: 0, out, requests, told_down: false }, branch)
    }

    /// The stack's port.
    pub(crate) fn attached(&self, remote: ostia_port::Remote) {
        self.line.requests.belongs_to(remote);
    }

    /// Whether the branch has connections, or something of it is still to be read.
    pub(crate) fn is_busy(&self) -> bool {
        self.line.requests.is_filled() || self.entries.values().any(|entry| matches!(entry.kind, Kind::Stream { .. }))
    }

    /// Whether the branch has gone, and all that it had.
    pub(crate) fn is_vacant(&self) -> bool {
        self.line.reports.is_abandoned() && !self.line.requests.is_filled() && self.entries.is_empty()
    }

    /// Puts what there is to be told into the branch's box.
    pub(crate) fn tell(&mut self) {
        self.line.reports.put(&mut self.out);
    }

    fn new_name(&mut self) -> Name {
        self.made += 1;
        Name(self.made * 2 + 1)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.line.requests.abandon();
        self.line.reports.ring();
    }
}

impl Entry {
    fn stream(id: SocketId, announced: bool, options: &Options) -> Entry {
        let kind =
            Kind::Stream { unsent: VecDeque::new(), owed: 0, announced, ended: false, over: false, shut: false, closing: false };
        let window = windows(options).0;
        Entry { id, kind, credit: window, window }
    }
}

impl StackEngine {
    /// Does what branches have asked for.
    pub(crate) fn read_requests(&mut self) {
        for at in 0..self.desks.len() {
            let mut requests = mem::take(&mut self.desks[at].requests);
            self.desks[at].line.requests.take(&mut requests);
            for request in requests.drain(..) {
                self.carry_out(at, request);
            }
            self.desks[at].requests = requests;
        }
    }

    /// Writes down what there is to be told of these sockets, as far as they are branches'.
    pub(crate) fn report(&mut self, sockets: &[SocketId]) {
        for &id in sockets {
            if let Some(&Some(owner)) = self.owners.get(id as usize) {
                self.report_on(owner);
            }
        }
    }

    /// Puts the letters of all branches into their boxes.
    pub(crate) fn tell_branches(&mut self) {
        let gone = self.gone.is_some();
        for desk in &mut self.desks {
            if gone && !mem::replace(&mut desk.told_down, true) {
                desk.out.push(Report::Down);
            }
            desk.tell();
        }
    }

    /// Resets what branches have closed and that is not sent.
    pub(crate) fn abort_branches(&mut self) {
        for at in 0..self.desks.len() {
            let names: Vec<Name> = self.desks[at].entries.keys().copied().collect();
            names.into_iter().for_each(|name| self.let_go(Owner { desk: at, name }, true));
        }
    }

    fn entry(&mut self, owner: Owner) -> Option<&mut Entry> {
        self.desks[owner.desk].entries.get_mut(&owner.name)
    }

    fn write(&mut self, owner: Owner, report: Report) {
        self.desks[owner.desk].out.push(report);
    }

    fn enter(&mut self, owner: Owner, entry: Entry) {
        let at = entry.id as usize;
        if self.owners.len() <= at {
            self.owners.resize(at + 1, None);
        }
        self.owners[at] = Some(owner);
        self.desks[owner.desk].entries.insert(owner.name, entry);
    }

    /// Closes a branch's socket.
    fn let_go(&mut self, owner: Owner, abort: bool) {
        if let Some(entry) = self.desks[owner.desk].entries.remove(&owner.name) {
            self.owners[entry.id as usize] = None;
            self.close(entry.id, abort);
        }
    }

    fn ends(&self, id: SocketId) -> Option<Ends> {
        Some(Ends { local: self.local(id).ok()?, peer: self.peer(id).ok() })
    }

    fn carry_out(&mut self, desk: usize, request: Request) {
        let of = |name| Owner { desk, name };
        match request {
            Request::Ask { name, question, answer } => {
                let answered = self.answer(of(name), question);
                // Who doesn't wait any more says by another letter what is to become of it.
                let _ = answer.send(answered);
            }
            Request::Connect { name, local, options, peer } => self.begin_connecting(of(name), local, options, peer),
            Request::Send(name, data) => {
                if let Some(Entry { kind: Kind::Stream { unsent, .. }, .. }) = self.entry(of(name)) {
                    unsent.push_back(data);
                    self.go_on_sending(of(name));
                }
            }
            Request::SendTo(name, data, peer) => self.send_datagram(of(name), &data, peer),
            Request::Taken(name, count) => {
                if let Some(entry) = self.entry(of(name)) {
                    entry.credit += count;
                    self.report_on(of(name));
                }
            }
            Request::Spent(frame) => self.stack.recycle(frame),
            Request::Shutdown(name, how) => self.shut_down(of(name), how),
            Request::Set(name, option) => {
                if let Some(id) = self.entry(of(name)).map(|entry| entry.id) {
                    // The branch has checked it.
                    let _ = self.set_option(id, option);
                }
            }
            Request::Close(name, abort) => self.close_entry(of(name), abort),
        }
    }

    fn answer(&mut self, owner: Owner, question: Question) -> io::Result<Ends> {
        let (id, kind, credit) = match question {
            Question::Open(spec @ SocketSpec::Listener { .. }) => (self.open(spec)?, Kind::Listener, ACCEPTS),
            Question::Open(spec) => (self.open(spec)?, Kind::Datagrams, WINDOW),
            Question::Connect(peer) => {
                let id = self.entry(owner).map(|entry| entry.id).ok_or_else(|| errno(os::EBADF))?;
                self.connect(id, peer)?;
                return self.ends(id).ok_or_else(|| errno(os::EBADF));
            }
        };
        self.enter(owner, Entry { id, kind, credit, window: credit });
        // Something may have come between the opening and the entry.
        self.to_wake.push(id);
        self.ends(id).ok_or_else(|| errno(os::EBADF))
    }

    fn begin_connecting(&mut self, owner: Owner, local: Option<SocketAddr>, options: Options, peer: SocketAddr) {
        let opened = self.open(SocketSpec::Stream { local });
        let id = match opened {
            Ok(id) => id,
            Err(error) => return self.write(owner, Report::Failed(owner.name, code_of(&error))),
        };
        if let Some(Socket::Stream(stream)) = self.sockets.get_mut(id) {
            stream.options = options;
        }
        self.enter(owner, Entry::stream(id, false, &options));
        match self.connect(id, peer) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.write(owner, Report::Failed(owner.name, code_of(&error)));
            }
            _ => self.report_on(owner),
        }
    }

    /// Gives the stack as much of what is unsent as it has room for, and does what waits behind it.
    fn go_on_sending(&mut self, owner: Owner) {
        let Some(Entry { id, kind: Kind::Stream { unsent, .. }, .. }) = self.entry(owner) else { return };
        let (id, mut queue) = (*id, mem::take(unsent));
        let (mut taken, mut broken) = (0, None);
        while let Some(data) = queue.pop_front() {
            let len = data.len();
            match self.send_lent(id, data) {
                Ok(()) => taken += len,
                Err((error, data)) if error.kind() == io::ErrorKind::WouldBlock => {
                    queue.push_front(data);
                    break;
                }
                Err((error, _)) => {
                    broken = Some(error);
                    queue.clear();
                }
            }
        }
        let sent = queue.is_empty();
        let room = self.ready(id) & os::POLLOUT != 0;
        let Some(Entry { kind: Kind::Stream { unsent, owed, shut, closing, ended, over, .. }, .. }) = self.entry(owner) else {
            return;
        };
        *unsent = queue;
        *owed += taken;
        let told = if room { mem::take(owed) } else { 0 };
        let (closing, shut) = (*closing, mem::replace(shut, *shut && !sent));
        if broken.is_some() {
            (*ended, *over) = (true, true);
        }
        if closing {
            if sent {
                self.let_go(owner, false);
            }
            return;
        }
        match broken {
            Some(error) => self.write(owner, Report::Broken(owner.name, Some(code_of(&error)))),
            None if shut && sent => {
                // It may be over already.
                let _ = self.shutdown(id, Shutdown::Write);
            }
            None => {}
        }
        if told > 0 {
            self.write(owner, Report::Room(owner.name, told));
        }
    }

    fn send_datagram(&mut self, owner: Owner, data: &[u8], peer: Option<SocketAddr>) {
        let Some(id) = self.entry(owner).map(|entry| entry.id) else { return };
        if let Err(error) = self.send_to(id, data, peer) {
            self.write(owner, Report::Unsent(owner.name, code_of(&error)));
        }
        self.write(owner, Report::Room(owner.name, data.len() + DATAGRAM));
    }

    fn shut_down(&mut self, owner: Owner, how: Shutdown) {
        let Some(Entry { id, kind: Kind::Stream { unsent, shut, ended, .. }, .. }) = self.entry(owner) else { return };
        let id = *id;
        if how != Shutdown::Write {
            *ended = true;
        }
        let waits = !unsent.is_empty() && how != Shutdown::Read;
        *shut |= waits;
        let now = match (waits, how) {
            (true, Shutdown::Both) => Shutdown::Read,
            (true, _) => return,
            (false, how) => how,
        };
        // It may be over already.
        let _ = self.shutdown(id, now);
    }

    fn close_entry(&mut self, owner: Owner, abort: bool) {
        let Some(entry) = self.entry(owner) else { return };
        let mut abort = abort;
        if let Kind::Stream { unsent, closing, .. } = &mut entry.kind {
            // What was handed over and not read is unread: then a peer is told so by a reset (RFC 2525, 2.17).
            abort |= entry.credit < entry.window;
            *closing = true;
            if !unsent.is_empty() && !abort {
                return;
            }
        }
        self.let_go(owner, abort);
    }

    /// Writes down what there is to be told of a socket.
    fn report_on(&mut self, owner: Owner) {
        let Some(entry) = self.entry(owner) else { return };
        let id = entry.id;
        match entry.kind {
            Kind::Listener => self.report_connections(owner, id),
            Kind::Datagrams => self.report_datagrams(owner, id),
            Kind::Stream { .. } => self.report_stream(owner, id),
        }
    }

    fn report_connections(&mut self, owner: Owner, listener: SocketId) {
        while self.entry(owner).is_some_and(|entry| entry.credit > 0) {
            let Ok(id) = self.accept(listener) else { return };
            let Some(ends) = self.ends(id) else {
                self.close(id, true);
                continue;
            };
            if let Some(entry) = self.entry(owner) {
                entry.credit -= 1;
            }
            let options = self.options(id).unwrap_or_else(|_| self.stack.options());
            let accepted = Owner { desk: owner.desk, name: self.desks[owner.desk].new_name() };
            self.enter(accepted, Entry::stream(id, true, &options));
            self.write(owner, Report::Accepted { listener: owner.name, name: accepted.name, ends, options });
            // Its first bytes may be here already.
            self.report_on(accepted);
        }
    }

    fn report_datagrams(&mut self, owner: Owner, id: SocketId) {
        while self.entry(owner).is_some_and(|entry| entry.credit >= DATAGRAM) {
            let report = match self.next_datagram(id) {
                Ok(datagram) => {
                    let peer = crate::calls::socket_addr((datagram.source, datagram.source_port));
                    if let Some(entry) = self.entry(owner) {
                        entry.credit = entry.credit.saturating_sub(datagram.frame.len() + DATAGRAM);
                    }
                    Report::Datagram(owner.name, datagram.frame, peer, datagram.hop_limit)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => Report::Unsent(owner.name, code_of(&error)),
            };
            self.write(owner, report);
        }
    }

    fn report_stream(&mut self, owner: Owner, id: SocketId) {
        let Some(Socket::Stream(stream)) = self.sockets.get(id) else { return };
        let (progress, handle) = (stream.progress, stream.handle);
        let Some(Entry { kind: Kind::Stream { announced, closing, .. }, .. }) = self.entry(owner) else { return };
        let (told, closing) = (mem::replace(announced, true), *closing);
        match progress {
            Progress::Connected if !told => {
                if let Some(ends) = self.ends(id) {
                    self.write(owner, Report::Connected(owner.name, ends));
                }
            }
            Progress::Connected => {}
            Progress::Failed(error) if !told => return self.write(owner, Report::Failed(owner.name, code(error))),
            _ => {
                if let Some(Entry { kind: Kind::Stream { announced, .. }, .. }) = self.entry(owner) {
                    *announced = told;
                }
                return;
            }
        }
        let Some(handle) = handle else { return };
        self.go_on_sending(owner);
        if closing {
            return;
        }
        // What a connection that is over has left is bounded by its receive buffer.
        let gone = self.stack.readiness(handle).is_ok_and(|now| now.error || now.hung_up);
        loop {
            let Some(Entry { kind: Kind::Stream { ended, over, .. }, credit, .. }) = self.entry(owner) else { return };
            if *over || *ended && !gone || *credit == 0 && !gone {
                return;
            }
            let report = match self.stack.recv_frame(handle) {
                Ok(frame) if !frame.is_empty() => {
                    if let Some(entry) = self.entry(owner) {
                        entry.credit = entry.credit.saturating_sub(frame.len());
                    }
                    self.write(owner, Report::Data(owner.name, frame));
                    continue;
                }
                Err(Error::WouldBlock) => return,
                Ok(_) if !gone => Report::Ended(owner.name),
                Ok(_) | Err(Error::NotConnected) => Report::Broken(owner.name, None),
                Err(error) => Report::Broken(owner.name, Some(code(error))),
            };
            if let Some(Entry { kind: Kind::Stream { ended, over, .. }, .. }) = self.entry(owner) {
                *ended = true;
                *over = matches!(report, Report::Broken(..));
            }
            return self.write(owner, report);
        }
    }
}

/// The code of an error.
fn code_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(os::EIO)
}
