//! The model: streams with what was sent and received on them, operations in flight, and what each may come to.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ostia_port::{Buffer, Completion, Config, Handle, Op, OpId, Packet, Payload, PoolConfig, Port, os};

use crate::common::peers::{TempFile, pipe, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::{Engine, Random, World, patience};

/// What a file of the scene holds.
const FILE: u64 = 1 << 20;
const FILE_LEN: usize = 200_000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Medium {
    Tcp,
    Unix,
    Pipe,
}

/// One direction of a connection, or a pipe.
#[derive(Debug)]
struct Stream {
    number: u64,
    medium: Medium,
    sender: Handle,
    receiver: Handle,
    /// How much has been posted, and how much is known to have come.
    posted: u64,
    received: u64,
    /// A send was cut off or its result not known: nothing more is sent, and what arrives is a prefix.
    cut: bool,
    /// The sending side was shut down or closed in order.
    ended: bool,
    broken: bool,
    receiving: Option<u64>,
    sending: usize,
}

/// What an operation in flight may come to.
enum Expected {
    Received { stream: usize },
    Sent { stream: usize, len: usize },
    Shutdown { stream: usize },
    Read { offset: usize },
    Anything,
}

/// A port and everything on it.
pub struct Scene {
    world: World,
    random: Random,
    name: String,
    streams: Vec<Stream>,
    in_flight: BTreeMap<u64, (OpId, Expected)>,
    file: TempFile,
    file_handle: Handle,
    packets: (u64, u64),
    /// Chunks that are held, with what they held at first.
    lent: Vec<(Vec<u8>, ostia_port::Chunk)>,
}

/// Bounds drawn small, so that chance meets them.
fn random_config(engine: &Engine, random: &mut Random) -> Config {
    let entries = 1 << random.below(8);
    let buffers = [2, 4, 32, 512][random.below(4)];
    let buffer_size = [4096, 16 << 10, 64 << 10][random.below(3)];
    let ready_max = 1 + random.below(buffers.min(64));
    let pool = PoolConfig { buffer_size, buffers, ready_min: 1 + random.below(ready_max), ready_max, ..PoolConfig::default() };
    Config {
        submission_entries: entries,
        completion_entries: entries * [1, 2, 16][random.below(3)],
        pool,
        unread_max: [1024, 9000, 65_536][random.below(3)],
        blocking_threads: 1 + random.below(4),
        linger: Duration::from_millis(200),
        ..engine.config()
    }
}

impl Scene {
    pub fn new(engine: &Engine, number: u64) -> Scene {
        let mut random = Random::new(number);
        let mut world = engine.world(random_config(engine, &mut random));
        let file = TempFile::new(&pattern(FILE, 0, FILE_LEN));
        let file_handle = world.port.adopt(file.open(), 0).expect("adopts");
        let name = format!("world {number} on {}", engine.name);
        let mut scene = Scene {
            world,
            random,
            name,
            streams: Vec::new(),
            in_flight: BTreeMap::new(),
            file,
            file_handle,
            packets: (0, 0),
            lent: Vec::new(),
        };
        for _ in 0..4 {
            scene.open_streams();
        }
        scene
    }

    /// A new connection gives two streams, a pipe one.
    fn open_streams(&mut self) {
        let number = self.streams.len() as u64;
        let kind = self.random.below(3);
        if kind == 0 {
            let (left, right) = self.world.both_ends(number);
            self.streams.push(Stream::new(number, Medium::Tcp, left, right));
            self.streams.push(Stream::new(number + 1, Medium::Tcp, right, left));
            return;
        }
        let port = &mut self.world.port;
        let (medium, left, right) = match kind {
            1 => {
                #[cfg(unix)]
                let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
                #[cfg(windows)]
                let (near, far) = tcp_pair();
                (Medium::Unix, port.adopt(near, number), port.adopt(far, number))
            }
            _ => {
                let (near, far) = pipe();
                (Medium::Pipe, port.adopt(far, number), port.adopt(near, number))
            }
        };
        let (left, right) = (left.expect("adopts"), right.expect("adopts"));
        self.streams.push(Stream::new(number, medium, left, right));
        if medium != Medium::Pipe {
            self.streams.push(Stream::new(number + 1, medium, right, left));
        }
    }

    fn submit(&mut self, op: Op, expected: Expected) -> u64 {
        let (id, context) = self.world.submit(op);
        self.in_flight.insert(context, (id, expected));
        context
    }

    /// One random thing.
    pub fn step(&mut self, step: usize) {
        let at = self.random.below(self.streams.len());
        match self.random.below(24) {
            0..5 => self.send(at),
            5..11 => self.receive(at),
            11 | 12 => self.cancel_one(),
            13 => self.other(),
            14 if self.random.one_in(6) => self.shutdown(at),
            15 if self.random.one_in(12) => self.break_off(at),
            16 if self.streams.len() < 24 => self.open_streams(),
            17 => {
                // Chunks are held for a while, and given back out of order.
                if !self.lent.is_empty() {
                    let at = self.random.below(self.lent.len());
                    let (bytes, chunk) = self.lent.swap_remove(at);
                    assert_eq!(*bytes, *chunk, "{}: a lent chunk has changed", self.name);
                }
            }
            _ => {
                self.world.turn(Duration::from_micros(if step.is_multiple_of(7) { 500 } else { 0 }));
                self.take_all();
            }
        }
    }

    fn send(&mut self, at: usize) {
        let stream = &self.streams[at];
        if stream.cut || stream.ended || stream.broken || stream.sending > 6 {
            return;
        }
        let (socket, medium, number, posted) = (stream.sender, stream.medium, stream.number, stream.posted);
        let most = [1, 200, 9000, 60_000][self.random.below(4)];
        let mut len = 1 + self.random.below(most);
        let data = pattern(number, posted, len);
        let op = match (medium, self.random.below(5)) {
            (Medium::Pipe, _) if stream.sending > 0 => return,
            (Medium::Pipe, _) => {
                len = len.min(3000);
                Op::Write { file: socket, data: data[..len].to_vec().into() }
            }
            (_, 0) => Op::SendZc { socket, data: data.into() },
            (_, 1) => {
                let cut = self.random.below(len);
                let parts: Vec<Buffer> = vec![data[..cut].to_vec().into(), data[cut..].to_vec().into()];
                Op::SendVectored { socket, data: parts }
            }
            (_, 2) => Op::SendMsg { socket, message: Box::new(ostia_port::Message { data, ..Default::default() }) },
            (_, 3) => {
                let mut buffer = Some(Buffer::from(data));
                if let std::task::Poll::Ready(Ok(())) = self.world.port.poll_send(socket, &mut buffer, u64::MAX) {
                    self.streams[at].posted += len as u64;
                    return;
                }
                match buffer.take() {
                    Some(data) => Op::Send { socket, data },
                    None => return,
                }
            }
            _ => Op::Send { socket, data: data.into() },
        };
        self.streams[at].posted += len as u64;
        self.streams[at].sending += 1;
        self.submit(op, Expected::Sent { stream: at, len });
    }

    fn receive(&mut self, at: usize) {
        let stream = &self.streams[at];
        if stream.receiving.is_some() {
            return;
        }
        let socket = stream.receiver;
        let room = 1 + self.random.below(20_000);
        let op = match (stream.medium, self.random.below(3)) {
            (Medium::Pipe, 0) => Op::Recv { socket },
            (Medium::Pipe, _) => Op::ReadMulti { file: socket },
            (_, 0) => Op::Recv { socket },
            (_, 1) => Op::RecvMulti { socket },
            _ => Op::RecvInto { socket, buffer: Vec::with_capacity(room) },
        };
        self.streams[at].receiving = Some(self.submit(op, Expected::Received { stream: at }));
    }

    fn cancel_one(&mut self) {
        let Some(&context) = self.in_flight.keys().nth(self.random.below(self.in_flight.len().max(1))) else { return };
        let (id, expected) = &self.in_flight[&context];
        let id = *id;
        if let Expected::Sent { stream, .. } | Expected::Shutdown { stream } = *expected {
            self.streams[stream].cut = true;
        }
        self.world.port.cancel(id);
    }

    /// Something that is no stream.
    fn other(&mut self) {
        let file = self.file_handle;
        match self.random.below(5) {
            0 => {
                let offset = self.random.below(FILE_LEN + 1000);
                let buffer = Vec::with_capacity(1 + self.random.below(9000));
                self.submit(Op::ReadAt { file, buffer, offset: offset as u64 }, Expected::Read { offset });
            }
            1 => {
                let offset = self.random.below(FILE_LEN - 5000);
                let data = pattern(FILE, offset as u64, 1 + self.random.below(5000)).into();
                self.submit(Op::WriteAt { file, data, offset: offset as u64 }, Expected::Anything);
            }
            2 => {
                let after = Duration::from_micros(self.random.below(3000) as u64);
                self.submit(Op::Timeout { after }, Expected::Anything);
            }
            3 => {
                self.packets.0 += 1;
                let packet = Packet { key: u64::MAX, context: u64::MAX - 1, result: self.packets.0 as usize };
                assert!(self.world.port.remote().post(packet));
            }
            _ => {
                self.submit(Op::Statx { file: Some(file), path: None }, Expected::Anything);
            }
        }
    }

    /// Ends a stream in order: what was posted before goes out.
    fn shutdown(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        if stream.ended || stream.broken || stream.cut || stream.medium == Medium::Pipe {
            return;
        }
        stream.ended = true;
        let socket = stream.sender;
        self.submit(Op::Shutdown { socket, how: Shutdown::Write }, Expected::Shutdown { stream: at });
    }

    /// Closes or aborts a connection under whatever goes on.
    fn break_off(&mut self, at: usize) {
        let handle = self.streams[at].sender;
        for stream in &mut self.streams {
            if stream.sender == handle || stream.receiver == handle {
                stream.broken = true;
            }
        }
        if self.random.one_in(2) { self.world.port.close(handle) } else { self.world.port.abort(handle) }
    }

    fn take_all(&mut self) {
        while let Some(done) = self.world.pop() {
            self.take(done);
        }
    }

    fn take(&mut self, done: Completion) {
        if done.id.is_none() {
            if done.context == u64::MAX - 1 {
                self.packets.1 += 1;
                assert_eq!(done.result.ok(), Some(self.packets.1 as usize), "{}: packets in order", self.name);
            }
            return;
        }
        let Some((id, expected)) = self.in_flight.remove(&done.context) else {
            panic!("{}: a second completion for one operation: {done:?}", self.name);
        };
        assert_eq!(done.id, Some(id), "{}: the operation's id", self.name);
        match expected {
            Expected::Received { stream } => self.received(stream, id, done),
            Expected::Sent { stream, len } => {
                let stream = &mut self.streams[stream];
                stream.sending -= 1;
                let sent = done.result.unwrap_or(0);
                assert!(sent <= len, "{}: {sent} sent of {len}", self.name);
                if sent < len {
                    // What is behind it has not gone out in its place: the rest of the stream is not predictable.
                    stream.cut = true;
                }
            }
            Expected::Shutdown { stream } => {
                let handle = self.streams[stream].sender;
                let excused = self.streams[stream].broken || self.streams[stream].cut;
                assert!(
                    done.result.is_ok() || excused,
                    "{}: shutdown of stream {stream}: {:?}; the connection's streams are {:#?}",
                    self.name,
                    done.result,
                    self.streams.iter().filter(|s| s.sender == handle || s.receiver == handle).collect::<Vec<_>>()
                );
            }
            Expected::Read { offset } => {
                if let Ok(len) = done.result {
                    let bytes = done.payload.into_vec();
                    assert_eq!(bytes.len(), len);
                    assert!(len == 0 || offset + len <= FILE_LEN);
                    assert_pattern(FILE, offset as u64, &bytes);
                }
            }
            Expected::Anything => {}
        }
    }

    fn received(&mut self, at: usize, id: OpId, done: Completion) {
        if done.more {
            self.in_flight.insert(done.context, (id, Expected::Received { stream: at }));
        } else {
            self.streams[at].receiving = None;
        }
        let stream = &mut self.streams[at];
        let len = match done.result {
            Ok(len) => len,
            Err(error) => {
                let cancelled = error.raw_os_error() == Some(os::ECANCELED);
                assert!(cancelled || stream.broken || stream.cut, "{}: stream {at}: {error}", self.name);
                return;
            }
        };
        let from = stream.received;
        match done.payload {
            Payload::Chunk(chunk) => {
                assert_eq!(chunk.len(), len);
                self.check_bytes(at, from, &chunk);
                if self.random.one_in(3) && self.lent.len() < 40 {
                    self.lent.push((chunk.to_vec(), chunk));
                }
            }
            Payload::Buffer(buffer) => {
                assert_eq!(buffer.len(), len);
                self.check_bytes(at, from, &buffer);
            }
            _ => {
                assert_eq!(len, 0);
                let stream = &self.streams[at];
                let whole = stream.received == stream.posted && stream.ended;
                assert!(whole || stream.broken || stream.cut, "{}: stream {at} ended early", self.name);
            }
        }
    }

    fn check_bytes(&mut self, at: usize, from: u64, bytes: &[u8]) {
        let stream = &mut self.streams[at];
        stream.received += bytes.len() as u64;
        assert!(stream.received <= stream.posted, "{}: stream {at} has more than was sent", self.name);
        // A cut stream may go on behind a gap: only its length is known.
        if !stream.cut {
            assert_pattern(stream.number, from, bytes);
        }
    }

    /// Streams that nobody cut arrive to the last byte; then all is closed and nothing is left.
    pub fn finish(mut self) {
        let deadline = std::time::Instant::now() + patience();
        loop {
            let unfinished: Vec<usize> = (0..self.streams.len())
                .filter(|&at| {
                    let stream = &self.streams[at];
                    !stream.cut && !stream.broken && stream.received < stream.posted
                })
                .collect();
            if unfinished.is_empty() {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{}: streams {unfinished:?} do not arrive", self.name);
            unfinished.into_iter().for_each(|at| self.receive(at));
            self.world.turn(Duration::from_millis(1));
            self.take_all();
        }
        let (file, lent) = (self.file_handle, std::mem::take(&mut self.lent));
        self.streams.iter_mut().for_each(|stream| stream.broken = true);
        for stream in &self.streams {
            self.world.port.abort(stream.sender);
            self.world.port.abort(stream.receiver);
        }
        self.world.port.close(file);
        while self.world.port.handles().count() > 0 || !self.in_flight.is_empty() {
            assert!(
                std::time::Instant::now() < deadline,
                "{}: {} handles do not close, {} operations do not end",
                self.name,
                self.world.port.handles().count(),
                self.in_flight.len()
            );
            self.world.turn(Duration::from_millis(1));
            self.take_all();
        }
        assert_eq!(self.packets.0, self.packets.1, "{}: packets", self.name);
        assert_eq!(self.world.port.outstanding(), (0, 0), "{}: something is left", self.name);
        drop(lent);
        let (_, leased, _, copies) = self.world.port.pool_use();
        assert_eq!((leased, copies), (0, 0), "{}: lent buffers", self.name);
        let back = std::fs::read(&self.file.path).expect("reads");
        assert_pattern(FILE, 0, &back);
    }
}

impl Stream {
    fn new(number: u64, medium: Medium, sender: Handle, receiver: Handle) -> Stream {
        Stream {
            number,
            medium,
            sender,
            receiver,
            posted: 0,
            received: 0,
            cut: false,
            ended: false,
            broken: false,
            receiving: None,
            sending: 0,
        }
    }
}

/// Two threads with a port each; streams both ways over one set of connections, all checked.
pub fn two_threads(engine: &Engine, number: u64) {
    let pairs: Vec<(TcpStream, TcpStream)> = (0..8).map(|_| tcp_pair()).collect();
    let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let engine = *engine;
    let other = std::thread::spawn(move || one_side(&engine, number, 1, right));
    one_side(&engine, number, 0, left);
    other.join().expect("the other side is sound");
}

/// Sends its stream on every connection and receives the other's, until both have ended.
fn one_side(engine: &Engine, number: u64, side: u64, sockets: Vec<TcpStream>) {
    const TOTAL: u64 = 300_000;
    let mut random = Random::new(number * 2 + side);
    let mut port = Port::with(random_config(engine, &mut random)).expect("a port");
    let mut all: Vec<(Handle, u64, u64, bool)> =
        sockets.into_iter().map(|socket| (port.adopt(socket, 0).expect("adopts"), 0, 0, false)).collect();
    let deadline = std::time::Instant::now() + patience();
    // Accepted is not sent: a port that ends cancels what it has left.
    let mut shut = 0;
    loop {
        for (n, (socket, sent, got, ended)) in all.iter_mut().enumerate() {
            let (mine, theirs) = (n as u64 * 2 + side, n as u64 * 2 + 1 - side);
            while *sent < TOTAL {
                let len = (1 + random.below(20_000)).min((TOTAL - *sent) as usize);
                match port.poll_send(*socket, &mut Some(pattern(mine, *sent, len).into()), 1) {
                    std::task::Poll::Ready(done) => done.expect("sound"),
                    std::task::Poll::Pending => break,
                }
                *sent += len as u64;
                if *sent == TOTAL {
                    port.submit(Op::Shutdown { socket: *socket, how: Shutdown::Write }, 2);
                }
            }
            while !*ended {
                match port.poll_recv(*socket, 3) {
                    std::task::Poll::Ready(Ok(Some(chunk))) => {
                        assert_pattern(theirs, *got, &chunk);
                        *got += chunk.len() as u64;
                    }
                    std::task::Poll::Ready(Ok(None)) => {
                        assert_eq!(*got, TOTAL, "the end came early");
                        *ended = true;
                    }
                    std::task::Poll::Ready(Err(error)) => panic!("world {number}: {error}"),
                    std::task::Poll::Pending => break,
                }
            }
        }
        if shut == all.len() && all.iter().all(|(_, _, _, ended)| *ended) {
            break;
        }
        // Long: what is waited for must wake it, or this fails by the deadline.
        port.wait(Some(patience())).expect("the port works");
        while let Some(done) = port.next() {
            if done.context == 2 {
                assert!(done.result.is_ok(), "world {number}: {:?}", done.result);
                shut += 1;
            }
        }
        let left = all.iter().filter(|(_, sent, _, ended)| *sent < TOTAL || !ended).count();
        assert!(std::time::Instant::now() < deadline, "world {number} on {}: {left} connections hang", engine.name);
    }
}
