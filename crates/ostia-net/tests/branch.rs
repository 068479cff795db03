//! A stack on one thread's port and its branch on another's: what becomes of each when the other goes, or doesn't answer.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, StackEngine};
use ostia_port::{Completion, Config, Engine, EngineId, Handle, Op, Packet, Port, Remote, SocketOption, SocketSpec, os};

const PATIENCE: Duration = Duration::from_secs(60);

fn at(host: u8, port: u16) -> SocketAddr {
    ([10, 7, 0, host], port).into()
}

fn stack(number: u8, link: memory::Memory) -> StackEngine {
    let config = NetConfig::new([number; 32]).with_address(at(number, 0).ip(), 24);
    StackEngine::new(Box::new(link), &config).expect("a stack")
}

/// A thread with a port that has two stacks joined by a link in memory. Told so by a packet it ends the port; with the packet's
/// result as seconds during which it does nothing.
struct Home {
    remote: Remote,
    thread: JoinHandle<()>,
}

impl Home {
    /// With two branches of the first stack.
    fn new() -> (Home, Box<dyn Engine + Send>, Box<dyn Engine + Send>) {
        let (made, is_made) = channel();
        let thread = thread::spawn(move || {
            let mut port = Port::with(Config { linger: Duration::from_secs(1), ..Config::default() }).expect("a port");
            let (here, there) = memory::pair(&MemoryConfig::default());
            let mut near = stack(1, here);
            let branches = [near.branch(), near.branch()].map(|branch| branch.expect("a branch"));
            port.add_engine(Box::new(near));
            port.add_engine(Box::new(stack(2, there)));
            made.send((port.remote(), branches)).expect("somebody waits");
            loop {
                port.wait(Some(Duration::from_secs(1))).expect("works");
                if let Some(packet) = port.next() {
                    match packet.result.expect("a packet") {
                        0 => break,
                        seconds => thread::sleep(Duration::from_secs(seconds as u64)),
                    }
                }
            }
        });
        let (remote, [one, two]) = is_made.recv().expect("made");
        (Home { remote, thread }, one, two)
    }

    fn tell(&self, result: usize) {
        assert!(self.remote.post(Packet { key: 0, context: 0, result }));
    }

    fn end(self) {
        self.tell(0);
        self.thread.join().expect("no panic");
    }
}

/// A port with a branch.
struct Away {
    port: Port,
    engine: EngineId,
    done: Vec<Completion>,
}

impl Away {
    fn new(branch: Box<dyn Engine + Send>) -> Away {
        let mut port = Port::with(Config { linger: Duration::from_secs(1), ..Config::default() }).expect("a port");
        let engine = port.add_engine(branch);
        Away { port, engine, done: Vec::new() }
    }

    fn listener(&mut self, local: SocketAddr) -> io::Result<Handle> {
        self.port.open_socket(self.engine, SocketSpec::Listener { local, backlog: 8, reuse_port: false }, 0)
    }

    fn stream(&mut self) -> io::Result<Handle> {
        self.port.open_socket(self.engine, SocketSpec::Stream { local: None }, 0)
    }

    fn take(&mut self, context: u64) -> Completion {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.done.iter().position(|done| done.context == context) {
                return self.done.remove(at);
            }
            assert!(Instant::now() < until, "waited in vain for {context}");
            self.port.wait(Some(Duration::from_millis(50))).expect("works");
            self.done.extend(std::iter::from_fn(|| self.port.next()));
        }
    }

    fn run(&mut self, op: Op) -> Completion {
        self.port.submit(op, 7);
        self.take(7)
    }

    /// Two ends of a connection of the branch with itself.
    fn pair(&mut self) -> (Handle, Handle) {
        let listener = self.listener(at(1, 79)).expect("listens");
        self.port.submit(Op::Accept { listener }, 1);
        let client = self.stream().expect("a socket");
        self.run(Op::Connect { socket: client, address: at(1, 79).into() }).result.expect("connects");
        let server = self.take(1).payload.into_handle().expect("a connection");
        self.port.close(listener);
        (client, server)
    }
}

fn code(done: &Completion) -> Option<i32> {
    done.result.as_ref().err().and_then(io::Error::raw_os_error)
}

#[test]
fn without_its_stack_a_branch_is_down() {
    let (home, branch, _) = Home::new();
    let mut away = Away::new(branch);
    let listener = away.listener(at(1, 80)).expect("listens");
    let (client, _server) = away.pair();
    let unconnected = away.stream().expect("a socket");
    away.port.submit(Op::Accept { listener }, 1);
    away.port.submit(Op::Recv { socket: client }, 2);
    home.end();
    for context in [1, 2] {
        assert_eq!(code(&away.take(context)), Some(os::ENETDOWN));
    }
    let refused = away.run(Op::Connect { socket: unconnected, address: at(2, 80).into() });
    assert_eq!(code(&refused), Some(os::ENETDOWN));
    assert_eq!(away.listener(at(1, 81)).expect_err("down").raw_os_error(), Some(os::ENETDOWN));
    assert_eq!(away.stream().expect_err("down").raw_os_error(), Some(os::ENETDOWN));
}

/// To wait for an answer is bounded, and what is made too late is let go of again.
#[test]
fn a_stack_that_does_not_answer_is_an_error() {
    let (home, branch, _) = Home::new();
    let mut away = Away::new(branch);
    home.tell(8);
    thread::sleep(Duration::from_millis(100));
    let error = away.listener(at(1, 80)).expect_err("nobody answers");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("has not answered"), "{error}");
    let until = Instant::now() + PATIENCE;
    while let Err(error) = away.listener(at(1, 80)) {
        assert!(Instant::now() < until, "{error}");
    }
    home.end();
}

#[test]
fn with_a_branch_go_its_sockets() {
    let (home, branch, other) = Home::new();
    let mut away = Away::new(branch);
    let mut stays = Away::new(other);
    away.listener(at(1, 80)).expect("listens");
    assert_eq!(stays.listener(at(1, 80)).expect_err("in use").raw_os_error(), Some(os::EADDRINUSE));
    let listener = stays.listener(at(1, 81)).expect("listens");
    let client = away.stream().expect("a socket");
    away.port.submit(Op::Connect { socket: client, address: at(1, 81).into() }, 1);
    stays.port.submit(Op::Accept { listener }, 1);
    away.take(1).result.expect("connects");
    let server = stays.take(1).payload.into_handle().expect("a connection");
    away.run(Op::Send { socket: client, data: b"farewell".to_vec().into() }).result.expect("sent");
    drop(away);
    let heard = stays.run(Op::Recv { socket: server }).payload.into_chunk().expect("a chunk");
    assert_eq!(&*heard, b"farewell");
    let ended = stays.run(Op::Recv { socket: server });
    assert_eq!(ended.result.expect("the end, and no reset"), 0);
    let until = Instant::now() + PATIENCE;
    while let Err(error) = stays.listener(at(1, 80)) {
        assert!(Instant::now() < until, "{error}");
        thread::sleep(Duration::from_millis(1));
    }
    home.end();
}

/// What was sent and not read is unread at the end: the peer is told so by a reset, as from a socket of the stack itself.
#[test]
fn unread_bytes_make_a_reset_of_the_end() {
    let (home, branch, _) = Home::new();
    let mut away = Away::new(branch);
    let (client, server) = away.pair();
    away.port.set_option(server, SocketOption::NoDelay(true)).expect("an option");
    away.run(Op::Send { socket: server, data: b"unheard".to_vec().into() }).result.expect("sent");
    // It has come as far as the branch.
    let polled = away.run(Op::Poll { handle: client, events: os::POLLIN });
    polled.result.expect("readable");
    away.run(Op::Close { handle: client }).result.expect("closed");
    let told = away.run(Op::Recv { socket: server });
    assert_eq!(code(&told), Some(os::ECONNRESET));
    home.end();
}
