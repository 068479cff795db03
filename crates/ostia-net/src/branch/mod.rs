//! Branches: a stack lives on one port, and serves those of other threads by letters.
//!
//! A [`Branch`] is an engine too. What it is asked for it passes on, what the stack has for it comes by letters, and so its calls
//! never wait, but for the opening of sockets that are no streams, which has an answer to wait for. What is received moves over
//! in the frames that it came in, what is sent in the buffers that it was handed over in; both are bounded for each socket
//! (`WINDOW`), so that back-pressure reaches the peer.
//!
//! `letters.rs` is what is written, `calls.rs` the branch's side, `desk.rs` the stack's.

mod calls;
mod desk;
mod letters;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use ostia_port::os;
use ostia_port::{SocketId, Woken};
use ostia_stack::Options;
use ostia_wire::Frame;

pub(crate) use desk::{Desk, Owner};

use crate::error::errno;
use letters::{Ends, Line, Name, Question, Report, Request, WINDOW, windows};

/// How long an answer is waited for: the stack's thread gives it in its next turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names are numbers in turn, made on this machine: to spread them is enough.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Table<T> = HashMap<Name, T, BuildHasherDefault<Spread>>;

/// A stack's sockets for the port of another thread: see [`StackEngine`](crate::StackEngine) and
/// [`Engine::branch`](ostia_port::Engine::branch).
pub(crate) struct Branch {
    line: Arc<Line>,
    sockets: Vec<Option<Socket>>,
    free: Vec<SocketId>,
    names: Table<SocketId>,
    /// How many names were made here.
    made: u64,
    /// What a stream's options are at first.
    options: Options,
    out: Vec<Request>,
    incoming: Vec<Report>,
    /// Sockets of which something was taken in this turn.
    read: Vec<SocketId>,
    to_wake: Woken,
    /// The network is down, or its stack has gone.
    down: bool,
}

/// A socket of a branch.
struct Socket {
    name: Name,
    /// So much was taken and not told of. It is told of once it is so much.
    taken: usize,
    quantum: usize,
    kind: Kind,
}

enum Kind {
    Stream(Stream),
    /// With the connections that were not accepted yet.
    Listener {
        local: SocketAddr,
        options: Options,
        waiting: VecDeque<SocketId>,
    },
    Datagrams(Datagrams),
}

struct Datagrams {
    ends: Ends,
    /// With their senders and hop limits.
    arrived: VecDeque<(Frame, SocketAddr, u8)>,
    room: usize,
    /// Why the last one could not be sent, until the next one is to be.
    unsent: Option<i32>,
    /// What ICMP has told last, until somebody receives.
    bounced: Option<i32>,
}

struct Stream {
    progress: Progress,
    /// Where it is to come from, or comes from.
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    options: Options,
    received: VecDeque<Frame>,
    /// So much may be sent before there is word; less than nothing where a buffer was longer than the room.
    room: isize,
    /// Nothing comes behind what is received.
    ended: bool,
    /// This side wants no more: what doesn't come counts as the end.
    deaf: bool,
    /// This side has ended its stream.
    shut: bool,
    /// The connection is over.
    over: bool,
    /// Why, until somebody has been told.
    error: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unconnected,
    /// As that, once somebody has been told why.
    Refused(i32),
    Connecting,
    Connected,
    Failed(i32),
}

impl Branch {
    fn new(line: Arc<Line>, options: Options) -> Branch {
        Branch {
            line,
            sockets: Vec::new(),
            free: Vec::new(),
            names: Table::default(),
            made: 0,
            options,
            out: Vec::new(),
            incoming: Vec::new(),
            read: Vec::new(),
            to_wake: Woken::default(),
            down: false,
        }
    }

    fn new_name(&mut self) -> Name {
        self.made += 1;
        Name(self.made * 2)
    }

    fn insert(&mut self, name: Name, kind: Kind) -> SocketId {
        let quantum = match &kind {
            Kind::Stream(stream) => windows(&stream.options).0 / 4,
            Kind::Listener { .. } => 1,
            Kind::Datagrams(_) => WINDOW / 4,
        };
        let socket = Some(Socket { name, taken: 0, quantum, kind });
        let id = match self.free.pop() {
            Some(id) => {
                self.sockets[id as usize] = socket;
                id
            }
            None => {
                self.sockets.push(socket);
                self.sockets.len() as SocketId - 1
            }
        };
        self.names.insert(name, id);
        id
    }

    fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.sockets.get_mut(id as usize)?.take()?;
        self.names.remove(&socket.name);
        self.free.push(id);
        Some(socket)
    }

    fn socket(&mut self, id: SocketId) -> io::Result<&mut Socket> {
        self.sockets.get_mut(id as usize).and_then(Option::as_mut).ok_or_else(|| errno(os::EBADF))
    }

    fn alive(&self) -> io::Result<()> {
        if self.down { Err(errno(os::ENETDOWN)) } else { Ok(()) }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, name: Name, question: Question) -> io::Result<Ends> {
        self.alive()?;
        let opens = matches!(question, Question::Open(_));
        let (answer, answered) = sync_channel(1);
        self.out.push(Request::Ask { name, question, answer });
        self.line.requests.put(&mut self.out);
        match answered.recv_timeout(PATIENCE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(errno(os::ENETDOWN)),
            Err(RecvTimeoutError::Timeout) => {
                if opens {
                    // Should it be made after all, nobody wants it.
                    self.out.push(Request::Close(name, true));
                }
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the worker that has the stack has not answered within {PATIENCE:?}: something keeps its thread"),
                ))
            }
        }
    }

    /// So much of a socket was taken. Once it is worth a letter, its stack is to know at the end of the turn.
    fn note_taken(&mut self, id: SocketId, count: usize) {
        let Ok(socket) = self.socket(id) else { return };
        let before = socket.taken;
        socket.taken += count;
        if before < socket.quantum && socket.taken >= socket.quantum {
            self.read.push(id);
        }
    }

    /// Puts what there is to be told into the stack's box.
    fn tell(&mut self) {
        for id in std::mem::take(&mut self.read) {
            self.tell_taken(id);
        }
        self.line.requests.put(&mut self.out);
    }

    fn tell_taken(&mut self, id: SocketId) {
        let Ok(socket) = self.socket(id) else { return };
        if let (name, taken @ 1..) = (socket.name, std::mem::take(&mut socket.taken)) {
            self.out.push(Request::Taken(name, taken));
        }
    }

    /// Everybody is to find out that the network is down.
    fn go_down(&mut self) {
        self.down = true;
        let ids = self.sockets.iter().enumerate().filter(|(_, socket)| socket.is_some()).map(|(id, _)| id as SocketId);
        ids.for_each(|id| self.to_wake.push(id));
    }

    /// Reads what the stack has written.
    fn read_reports(&mut self, woken: &mut Woken) {
        let mut incoming = std::mem::take(&mut self.incoming);
        self.line.reports.take(&mut incoming);
        for report in incoming.drain(..) {
            if let Some(id) = self.note(report) {
                woken.push(id);
            }
        }
        self.incoming = incoming;
        if !self.down && self.line.requests.is_abandoned() {
            self.go_down();
        }
        woken.append(&mut self.to_wake);
    }

    /// Takes note of a report; the socket that it is about, if that is still there.
    fn note(&mut self, report: Report) -> Option<SocketId> {
        let name = match &report {
            Report::Accepted { listener: name, .. }
            | Report::Connected(name, _)
            | Report::Failed(name, _)
            | Report::NotBegun(name, _)
            | Report::Data(name, _)
            | Report::Ended(name)
            | Report::Broken(name, _)
            | Report::Room(name, _)
            | Report::Datagram(name, ..)
            | Report::Unsent(name, _)
            | Report::Bounced(name, _) => *name,
            Report::Down => {
                self.go_down();
                return None;
            }
        };
        let Some(&id) = self.names.get(&name) else {
            match report {
                // The listener has been closed meanwhile.
                Report::Accepted { name, .. } => self.out.push(Request::HandBack(name)),
                Report::Data(_, frame) | Report::Datagram(_, frame, ..) => self.out.push(Request::Spent(frame)),
                _ => {}
            }
            return None;
        };
        if let Report::Accepted { name, ends, options, .. } = report {
            let accepted = self.insert(name, Kind::Stream(Stream::connected(ends, *options)));
            if let Ok(Socket { kind: Kind::Listener { waiting, .. }, .. }) = self.socket(id) {
                waiting.push_back(accepted);
            }
            return Some(id);
        }
        let socket = self.socket(id).ok()?;
        match (&mut socket.kind, report) {
            (Kind::Stream(stream), Report::Data(_, frame)) => {
                if let Some(frame) = stream.keep(frame) {
                    self.note_taken(id, frame.truesize());
                    self.out.push(Request::Spent(frame));
                }
            }
            (Kind::Stream(stream), report) => stream.note(report),
            (Kind::Datagrams(datagrams), report) => datagrams.note(report),
            (Kind::Listener { .. }, _) => {}
        }
        Some(id)
    }
}

impl Stream {
    fn new(local: Option<SocketAddr>, options: Options) -> Stream {
        Stream {
            progress: Progress::Unconnected,
            local,
            peer: None,
            options,
            received: VecDeque::new(),
            room: windows(&options).1 as isize,
            ended: false,
            deaf: false,
            shut: false,
            over: false,
            error: None,
        }
    }

    fn connected(ends: Ends, options: Options) -> Stream {
        let mut stream = Stream::new(Some(ends.local), options);
        (stream.progress, stream.peer) = (Progress::Connected, ends.peer);
        stream
    }

    /// Keeps what was received; gives back a frame whose bytes were few and found room behind the last ones.
    fn keep(&mut self, frame: Frame) -> Option<Frame> {
        match self.received.back_mut() {
            Some(last) if frame.len() < frame.truesize() / 4 && last.tailroom() >= frame.len() => {
                last.extend(frame.as_slice());
                Some(frame)
            }
            _ => {
                self.received.push_back(frame);
                None
            }
        }
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Connected(_, ends) => {
                (self.progress, self.local, self.peer) = (Progress::Connected, Some(ends.local), ends.peer);
            }
            Report::Failed(_, code) => self.progress = Progress::Failed(code),
            Report::NotBegun(_, code) => self.progress = Progress::Refused(code),
            Report::Ended(_) => self.ended = true,
            Report::Broken(_, code) => {
                (self.over, self.ended) = (true, true);
                self.error = self.error.or(code);
            }
            Report::Room(_, count) => self.room += count as isize,
            _ => {}
        }
    }

    /// That there is, or was, a connection.
    fn ready(&self) -> io::Result<()> {
        match self.progress {
            Progress::Connected => Ok(()),
            Progress::Connecting => Err(errno(os::EAGAIN)),
            Progress::Unconnected | Progress::Refused(_) | Progress::Failed(_) => Err(errno(os::ENOTCONN)),
        }
    }

    /// That more can be sent.
    fn check_sending(&mut self) -> io::Result<()> {
        self.ready()?;
        if let Some(code) = self.error.take() {
            return Err(errno(code));
        }
        if self.over || self.shut {
            return Err(errno(os::EPIPE));
        }
        if self.room <= 0 { Err(errno(os::EAGAIN)) } else { Ok(()) }
    }
}

impl Datagrams {
    fn new(ends: Ends) -> Datagrams {
        Datagrams { ends, arrived: VecDeque::new(), room: WINDOW, unsent: None, bounced: None }
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Datagram(_, frame, peer, hop_limit) => self.arrived.push_back((frame, peer, hop_limit)),
            Report::Room(_, count) => self.room += count,
            Report::Unsent(_, code) => self.unsent = Some(code),
            Report::Bounced(_, code) => self.bounced = Some(code),
            _ => {}
        }
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        for id in 0..self.sockets.len() as SocketId {
            if let Some(socket) = self.remove(id) {
                self.out.push(Request::Close(socket.name, true));
            }
        }
        self.line.requests.put(&mut self.out);
        self.line.reports.abandon();
        // Its stack may wait for this.
        self.line.requests.ring();
    }
}
