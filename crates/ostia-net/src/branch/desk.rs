//! The stack's side of a branch: what is asked by letter is done by the calls that a port would make, and what comes is written
//! down.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use ostia_port::{Buffer, Engine, SocketId, SocketSpec, os};
use ostia_stack::{Error, Handle, Options};

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
    /// Memory that may still be handed over, in octets, or connections; less than nothing where the last was larger than what was
    /// left. And how much that is when nothing is under way.
    credit: isize,
    window: isize,
}

#[derive(Debug)]
enum Kind {
    Listener,
    Datagrams,
    Stream(Stream),
}

#[derive(Debug, Default)]
struct Stream {
    /// What found no room yet.
    unsent: VecDeque<Buffer>,
    /// So much has found room, and is told of when there is more.
    owed: usize,
    /// The branch knows that it is connected.
    announced: bool,
    /// The branch has it for good: it was accepted there, or begun.
    accepted: bool,
    /// The branch knows that the peer has ended its stream.
    ended: bool,
    /// The branch knows that the connection is over.
    over: bool,
    /// Why it is over, as a send has found.
    broken: Option<i32>,
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
        self.line.requests.is_filled() || self.entries.values().any(|entry| matches!(entry.kind, Kind::Stream(_)))
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
    /// A stream that was announced is given nothing before the branch has accepted it: until then its listener may close, and
    /// another one have it.
    fn stream(id: SocketId, announced: bool, options: &Options) -> Entry {
        let window = windows(options).0 as isize;
        let credit = if announced { 0 } else { window };
        Entry { id, kind: Kind::Stream(Stream { announced, accepted: !announced, ..Stream::default() }), credit, window }
    }

    fn as_stream(&mut self) -> Option<&mut Stream> {
        if let Kind::Stream(stream) = &mut self.kind { Some(stream) } else { None }
    }
}

impl StackEngine {
    /// Does what branches have asked for.
    pub(crate) fn read_requests(&mut self) {
        for desk in 0..self.desks.len() {
            // Looked at first: nothing is put into the box after that.
            let gone = self.desks[desk].line.reports.is_abandoned();
            let mut requests = mem::take(&mut self.desks[desk].requests);
            self.desks[desk].line.requests.take(&mut requests);
            for request in requests.drain(..) {
                self.carry_out(desk, request);
            }
            self.desks[desk].requests = requests;
            if gone && !self.desks[desk].entries.is_empty() {
                // It never knew of these: they were on their way.
                self.abort_entries(desk);
            }
        }
    }

    /// Writes down what there is to be told of a socket, if it is a branch's.
    pub(crate) fn report(&mut self, id: SocketId) {
        if let Some(&Some(owner)) = self.owners.get(id as usize) {
            self.report_on(owner);
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

    /// Resets the connections of all branches.
    pub(crate) fn abort_branches(&mut self) {
        (0..self.desks.len()).for_each(|desk| self.abort_entries(desk));
    }

    fn abort_entries(&mut self, desk: usize) {
        let names: Vec<Name> = self.desks[desk].entries.keys().copied().collect();
        names.into_iter().for_each(|name| self.let_go(Owner { desk, name }, true));
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

    fn take_entry(&mut self, owner: Owner) -> Option<Entry> {
        let entry = self.desks[owner.desk].entries.remove(&owner.name)?;
        self.owners[entry.id as usize] = None;
        Some(entry)
    }

    /// Closes a branch's socket.
    fn let_go(&mut self, owner: Owner, abort: bool) {
        if let Some(entry) = self.take_entry(owner) {
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
            Request::Connect { name, local, options, peer } => self.begin_connecting(of(name), local, *options, peer),
            Request::Send(name, data) => self.take_to_send(of(name), data),
            Request::SendTo(name, data, peer) => self.send_datagram(of(name), &data, peer),
            Request::Taken(name, count) => {
                if let Some(entry) = self.entry(of(name)) {
                    entry.credit += count as isize;
                    if let Some(stream) = entry.as_stream() {
                        stream.accepted = true;
                    }
                    self.report_on(of(name));
                }
            }
            Request::Spent(frame) => self.stack.recycle(frame),
            Request::Shutdown(name, how) => {
                if how != Shutdown::Read {
                    self.send_rest(of(name));
                }
                if let Some(id) = self.entry(of(name)).map(|entry| entry.id) {
                    // It may be over already.
                    let _ = self.shutdown(id, how);
                }
            }
            Request::Set(name, option) => {
                if let Some(id) = self.entry(of(name)).map(|entry| entry.id) {
                    // The branch has checked it.
                    let _ = self.set_option(id, option);
                }
            }
            Request::HandBack(name) => self.hand_back(of(name)),
            Request::Close(name, abort) => self.close_entry(of(name), abort),
        }
    }

    fn answer(&mut self, owner: Owner, question: Question) -> io::Result<Ends> {
        let (id, kind, credit) = match question {
            Question::Open(spec @ SocketSpec::Listener { .. }) => (self.open(spec)?, Kind::Listener, ACCEPTS as isize),
            Question::Open(spec) => (self.open(spec)?, Kind::Datagrams, WINDOW as isize),
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
        let id = match self.open(SocketSpec::Stream { local }) {
            Ok(id) => id,
            Err(error) => return self.write(owner, Report::NotBegun(owner.name, code_of(&error))),
        };
        if let Some(Socket::Stream(stream)) = self.sockets.get_mut(id) {
            stream.options = options;
        }
        self.enter(owner, Entry::stream(id, false, &options));
        match self.connect(id, peer) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.let_go(owner, true);
                self.write(owner, Report::NotBegun(owner.name, code_of(&error)));
            }
            _ => self.report_on(owner),
        }
    }

    /// Has what a branch sends for the stack.
    fn take_to_send(&mut self, owner: Owner, data: Buffer) {
        let Some(stream) = self.entry(owner).and_then(Entry::as_stream) else { return };
        if stream.over {
            // The branch knows, or will.
            return;
        }
        match (stream.unsent.back_mut(), &data) {
            // Many small ones that wait are not to keep a buffer each.
            (Some(Buffer::Vec(last)), Buffer::Vec(more)) if last.capacity() - last.len() >= more.len() => {
                last.extend_from_slice(more);
            }
            _ => stream.unsent.push_back(data),
        }
        self.report_on(owner);
    }

    /// Gives the stack as much of what is unsent as it has room for.
    fn go_on_sending(&mut self, owner: Owner, id: SocketId, room: bool) {
        let Some(stream) = self.entry(owner).and_then(Entry::as_stream) else { return };
        if stream.unsent.is_empty() && (stream.owed == 0 || !room) {
            return;
        }
        let mut queue = mem::take(&mut stream.unsent);
        let (mut taken, mut broken, mut room) = (0, None, room);
        while room && let Some(data) = queue.pop_front() {
            let len = data.len();
            match self.send_lent(id, data) {
                Ok(()) => taken += len,
                Err((error, data)) if error.kind() == io::ErrorKind::WouldBlock => {
                    queue.push_front(data);
                    room = false;
                }
                Err((error, _)) => {
                    broken = Some(code_of(&error));
                    queue.clear();
                }
            }
        }
        // What was sent may have used it up: there is word when there is some again.
        room &= taken == 0 || self.ready(id) & os::POLLOUT != 0;
        let Some(stream) = self.entry(owner).and_then(Entry::as_stream) else { return };
        stream.unsent = queue;
        stream.owed += taken;
        stream.broken = stream.broken.or(broken);
        let told = if room { mem::take(&mut stream.owed) } else { 0 };
        if told > 0 {
            self.write(owner, Report::Room(owner.name, told));
        }
    }

    /// Gives the stack all that is unsent, be there room or not: it is bounded, and what comes behind it is the stack's to do.
    fn send_rest(&mut self, owner: Owner) {
        let Some(entry) = self.entry(owner) else { return };
        let id = entry.id;
        let queue = entry.as_stream().map(|stream| mem::take(&mut stream.unsent)).unwrap_or_default();
        let Some(Socket::Stream(crate::sockets::Stream { handle: Some(handle), .. })) = self.sockets.get(id) else { return };
        let handle = *handle;
        for data in queue {
            // Whether it fails is told by what the connection does next.
            let _ = self.stack.send_last(handle, Bytes::from_owner(data));
        }
    }

    fn send_datagram(&mut self, owner: Owner, data: &[u8], peer: Option<SocketAddr>) {
        let Some(id) = self.entry(owner).map(|entry| entry.id) else { return };
        if let Err(error) = self.send_to(id, data, peer) {
            self.write(owner, Report::Unsent(owner.name, code_of(&error)));
        }
        self.write(owner, Report::Room(owner.name, data.len() + DATAGRAM));
    }

    /// A connection that was not accepted goes to another listener of its place, if there is one.
    fn hand_back(&mut self, owner: Owner) {
        let Some(entry) = self.take_entry(owner) else { return };
        match self.sockets.remove(entry.id).and_then(|socket| socket.handle()) {
            Some(handle) => self.deal_again(handle),
            None => self.close(entry.id, true),
        }
    }

    fn close_entry(&mut self, owner: Owner, abort: bool) {
        let Some(entry) = self.entry(owner) else { return };
        // What was handed over and not read is unread: a peer is told so by a reset (RFC 2525, 2.17).
        let unread = entry.as_stream().is_some() && entry.credit < entry.window;
        if !abort && !unread {
            self.send_rest(owner);
        }
        self.let_go(owner, abort || unread);
    }

    /// Writes down what there is to be told of a socket.
    fn report_on(&mut self, owner: Owner) {
        let Some(entry) = self.entry(owner) else { return };
        let id = entry.id;
        match entry.kind {
            Kind::Listener => self.report_connections(owner, id),
            Kind::Datagrams => self.report_datagrams(owner, id),
            Kind::Stream(_) => self.report_stream(owner, id),
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
            let options = Box::new(options);
            self.write(owner, Report::Accepted { listener: owner.name, name: accepted.name, ends, options });
        }
    }

    fn report_datagrams(&mut self, owner: Owner, id: SocketId) {
        while self.entry(owner).is_some_and(|entry| entry.credit > 0) {
            let report = match self.next_datagram(id) {
                Ok(datagram) => {
                    let peer = crate::calls::socket_addr((datagram.source, datagram.source_port));
                    if let Some(entry) = self.entry(owner) {
                        entry.credit -= (datagram.frame.truesize() + DATAGRAM) as isize;
                    }
                    Report::Datagram(owner.name, datagram.frame, peer, datagram.hop_limit)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => Report::Bounced(owner.name, code_of(&error)),
            };
            self.write(owner, report);
        }
    }

    fn report_stream(&mut self, owner: Owner, id: SocketId) {
        let Some(Socket::Stream(socket)) = self.sockets.get(id) else { return };
        let (progress, handle) = (socket.progress, socket.handle);
        let Some(stream) = self.entry(owner).and_then(Entry::as_stream) else { return };
        if !stream.announced {
            let report = match progress {
                Progress::Connected => self.ends(id).map(|ends| Report::Connected(owner.name, ends)),
                Progress::Failed(error) => Some(Report::Failed(owner.name, code(error))),
                _ => None,
            };
            let Some(report) = report else { return };
            if let Some(stream) = self.entry(owner).and_then(Entry::as_stream) {
                stream.announced = true;
            }
            self.write(owner, report);
        }
        if let (Progress::Connected, Some(handle)) = (progress, handle) {
            let now = self.stack.readiness(handle).unwrap_or_default();
            self.go_on_sending(owner, id, now.writable);
            self.report_received(owner, handle, now.error || now.over);
        }
    }

    /// Hands over what was received, as far as there is credit; of a connection that is gone, all that there is, which its receive
    /// buffer bounds. Then says how it has ended, if it has.
    fn report_received(&mut self, owner: Owner, handle: Handle, gone: bool) {
        loop {
            let Some(Entry { kind: Kind::Stream(stream), credit, .. }) = self.entry(owner) else { return };
            let gone = gone || stream.broken.is_some();
            let may = stream.accepted && (*credit > 0 || gone);
            if stream.over || stream.ended && !gone || !may {
                return;
            }
            let report = match self.stack.recv_frame(handle) {
                Ok(frame) if !frame.is_empty() => {
                    if let Some(entry) = self.entry(owner) {
                        entry.credit -= frame.truesize() as isize;
                    }
                    self.write(owner, Report::Data(owner.name, frame));
                    continue;
                }
                Err(Error::WouldBlock) => return,
                Ok(_) if !gone => Report::Ended(owner.name),
                Ok(_) | Err(Error::NotConnected) => Report::Broken(owner.name, None),
                Err(error) => Report::Broken(owner.name, Some(code(error))),
            };
            let Some(stream) = self.entry(owner).and_then(Entry::as_stream) else { return };
            stream.ended = true;
            stream.over = matches!(report, Report::Broken(..));
            let report = match report {
                Report::Broken(name, None) => Report::Broken(name, stream.broken.take()),
                report => report,
            };
            return self.write(owner, report);
        }
    }
}

/// The code of an error.
fn code_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(os::EIO)
}
