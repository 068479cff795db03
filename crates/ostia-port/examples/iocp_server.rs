//! A key-value server in the shape of the classic Windows server: threads around GetQueuedCompletionStatus, accepts posted in
//! advance, a key per connection and a context per operation, a time limit for silent clients, a stop by packets. A request is a
//! line: `SET key value`, `GET key` or `QUIT`. docs/from-iocp.md shows it beside its Windows form. It serves until its standard
//! input ends: `cargo run -p ostia-port --example iocp_server -- 127.0.0.1:7000 [SECONDS OF SILENCE]`.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize, atomic::Ordering::AcqRel};
use std::time::{Duration, Instant};

use ostia_port::{Buffer, Completion, Handle, Op, OpId, Packet, Payload, SharedPort};

const WORKERS: usize = 8;
const ACCEPTS: usize = 16; // posted at once
const LINE_MAX: usize = 4 << 10; // bytes of a request
const KEYS_MAX: usize = 100_000;

// Completion keys. A connection's is its own handle, which is never so small a number.
const TIMER: u64 = 0; // what operations without a handle carry
const LISTENER: u64 = 1;
const STOP: u64 = 2;
const EXIT: u64 = 3;

// What an operation's context says: which one it was. A timer's is the key of whom it is for.
const ACCEPTED: u64 = 1;
const RECEIVED: u64 = 2;
const SENT: u64 = 3;
const LAST_WORDS: u64 = 4;
const CLOSED: u64 = 5;

struct Server<'a> {
    port: &'a SharedPort,
    listener: Handle,
    idle: Duration,
    connections: Mutex<Option<HashMap<u64, Arc<Mutex<Connection>>>>>, // by key; none once the server stops
    store: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    in_flight: AtomicUsize, // operations whose packets have not been dealt with, and the stop
}

/// While it is open, either a receive or a send of it is in flight.
struct Connection {
    socket: Handle,
    timer: Option<OpId>, // none once it is closed
    seen: Instant,
    requests: Vec<u8>, // received, not yet answered
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".into());
    let seconds = arguments.next().map_or(Ok(30.0), |text| text.parse().map_err(io::Error::other))?;
    let idle = Duration::try_from_secs_f64(seconds).map_err(io::Error::other)?;
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    let port = SharedPort::new()?;
    let stopper = port.clone();
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut io::sink()).and_then(|_| stop(&stopper)));
    serve(&port, listener, idle)?;
    println!("left: {} operations, {} packets", port.load().operations, port.load().packets);
    Ok(())
}

/// Serves until the exit packets have come; parts with clients that are silent for as long as `idle`.
pub fn serve(port: &SharedPort, listener: TcpListener, idle: Duration) -> io::Result<()> {
    let listener = port.adopt(listener, LISTENER)?;
    let (connections, store) = (Mutex::new(Some(HashMap::new())), Mutex::default());
    let server = Server { port, listener, idle, connections, store, in_flight: AtomicUsize::new(1) };
    (0..ACCEPTS).try_for_each(|_| server.submit(Op::Accept { listener }, ACCEPTED).map(drop))?;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| server.work())).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

pub(crate) fn stop(port: &SharedPort) -> io::Result<()> {
    Ok(port.post(Packet { key: STOP, context: 0, result: 0 })?)
}

impl Server<'_> {
    fn work(&self) -> io::Result<()> {
        loop {
            let Some(done) = self.port.wait(None)? else { continue };
            let mut counted = done.id.is_some() && done.context != LAST_WORDS;
            match done.key {
                EXIT => return Ok(()),
                STOP => counted = self.begin_stop()?,
                LISTENER => self.on_listener(done)?,
                TIMER if done.context == LISTENER => drop(self.submit(Op::Accept { listener: self.listener }, ACCEPTED)?),
                TIMER => self.with(done.context, |connection| self.on_timer(connection))?,
                key => self.with(key, |connection| self.on_connection(connection, done))?,
            }
            // Whatever follows from a packet has been submitted by now: after the last one nothing can come.
            if counted && self.in_flight.fetch_sub(1, AcqRel) == 1 {
                (0..WORKERS).try_for_each(|_| self.port.post(Packet { key: EXIT, context: 0, result: 0 }))?;
            }
        }
    }

    fn submit(&self, op: Op, context: u64) -> io::Result<OpId> {
        self.in_flight.fetch_add(1, AcqRel);
        Ok(self.port.submit(op, context)?)
    }

    fn on_listener(&self, done: Completion) -> io::Result<()> {
        let mut connections = lock(&self.connections);
        match (done.payload, connections.as_mut()) {
            (Payload::Handle(socket), Some(connections)) => {
                let key = socket.to_bits();
                self.port.associate(socket, key)?;
                let timer = Some(self.submit(Op::Timeout { after: self.idle }, key)?);
                let connection = Connection { socket, timer, seen: Instant::now(), requests: Vec::new() };
                connections.insert(key, Arc::new(Mutex::new(connection)));
                self.submit(Op::Recv { socket }, RECEIVED)?;
                self.submit(Op::Accept { listener: self.listener }, ACCEPTED).map(drop)
            }
            (Payload::Handle(handle), None) => self.submit(Op::Close { handle }, CLOSED).map(drop),
            // Out of descriptors, perhaps: not again at once.
            (_, Some(_)) => self.submit(Op::Timeout { after: Duration::from_millis(100) }, LISTENER).map(drop),
            (_, None) => Ok(()),
        }
    }

    /// Does something with a connection, if it is open. Packets of what was in flight when it was closed find nobody.
    fn with(&self, key: u64, act: impl FnOnce(&mut Connection) -> io::Result<()>) -> io::Result<()> {
        let Some(connection) = lock(&self.connections).as_ref().and_then(|all| all.get(&key).cloned()) else { return Ok(()) };
        let mut connection = lock(&connection);
        if connection.timer.is_some() { act(&mut connection) } else { Ok(()) }
    }

    fn on_connection(&self, connection: &mut Connection, done: Completion) -> io::Result<()> {
        connection.seen = Instant::now();
        match (done.context, done.payload) {
            (RECEIVED, Payload::Chunk(bytes)) => connection.requests.extend_from_slice(&bytes),
            (SENT, _) if done.result.is_ok() => {}
            _ => return self.close(connection, b""), // the end of its stream, or an error
        }
        // Answers some of the requests that are there, or asks for more: a client that takes no answers gets no further.
        let (socket, mut answers, mut taken) = (connection.socket, Vec::new(), 0);
        while answers.len() < LINE_MAX
            && let Some(len) = connection.requests[taken..].iter().position(|&byte| byte == b'\n')
        {
            if !self.answer(connection.requests[taken..taken + len].trim_ascii(), &mut answers) {
                return self.close(connection, answers);
            }
            taken += len + 1;
        }
        connection.requests.drain(..taken);
        match answers.is_empty() {
            false => self.submit(Op::Send { socket, data: answers.into() }, SENT).map(drop),
            true if connection.requests.len() > LINE_MAX => self.close(connection, b"ERR too long\n"),
            true => self.submit(Op::Recv { socket }, RECEIVED).map(drop),
        }
    }

    /// Carries a request out; false when it was the client's last.
    fn answer(&self, line: &[u8], answers: &mut Vec<u8>) -> bool {
        let words: Vec<_> = line.splitn(3, |&byte| byte == b' ').collect();
        let mut store = lock(&self.store);
        answers.extend_from_slice(match words[..] {
            [b"SET", key, value] if store.len() < KEYS_MAX => store.insert(key.into(), value.into()).map_or(b"NEW", |_| b"OLD"),
            [b"GET", key] => store.get(key).map_or(b"NONE", Vec::as_slice),
            [b"QUIT"] => b"BYE",
            _ => b"ERR",
        });
        answers.push(b'\n');
        words != [b"QUIT"]
    }

    /// Says the last words and closes: what was sent before a close goes out before it, whatever else is in flight ends.
    fn close(&self, connection: &mut Connection, words: impl Into<Buffer>) -> io::Result<()> {
        let (socket, data) = (connection.socket, words.into());
        let Some(timer) = connection.timer.take() else { return Ok(()) };
        lock(&self.connections).as_mut().and_then(|all| all.remove(&socket.to_bits()));
        self.port.cancel(timer);
        if !data.is_empty() {
            self.port.submit_quietly(Op::Send { socket, data }, LAST_WORDS)?;
        }
        self.submit(Op::Close { handle: socket }, CLOSED).map(drop)
    }

    fn on_timer(&self, connection: &mut Connection) -> io::Result<()> {
        let after = self.idle.saturating_sub(connection.seen.elapsed());
        match after.is_zero() {
            true => self.close(connection, b"BYE silent one\n"),
            false => self.submit(Op::Timeout { after }, connection.socket.to_bits()).map(|timer| connection.timer = Some(timer)),
        }
    }

    /// Nobody is accepted any more, everybody is told, and after the last packet the workers go. False if it was begun before.
    fn begin_stop(&self) -> io::Result<bool> {
        let Some(connections) = lock(&self.connections).take() else { return Ok(false) };
        self.submit(Op::Close { handle: self.listener }, CLOSED)?;
        connections.values().try_for_each(|connection| self.close(&mut lock(connection), b"BYE all\n")).map(|()| true)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
