//! A branch beside the stack itself: what a program meets is the same, and so are the bounds.

use std::any::Any;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, StackEngine};
use ostia_port::{Completion, Config, Engine, EngineId, Handle, Op, OptionName, Port, SocketOption, SocketSpec, os};

const PATIENCE: Duration = Duration::from_secs(60);

fn at(host: u8, port: u16) -> SocketAddr {
    ([10, 7, 0, host], port).into()
}

fn stack(number: u8, link: memory::Memory) -> StackEngine {
    let config = NetConfig::new([number; 32]).with_address(at(number, 0).ip(), 24);
    StackEngine::new(Box::new(link), &config).expect("a stack")
}

fn listener(host: u8) -> SocketSpec {
    SocketSpec::Listener { local: at(host, 80), backlog: 16, reuse_port: false }
}

/// A port with an engine.
struct Place {
    port: Port,
    engine: EngineId,
    done: Vec<Completion>,
}

impl Place {
    fn new(engine: Box<dyn Engine>) -> Place {
        let mut port = Port::with(Config { linger: Duration::from_secs(1), ..Config::default() }).expect("a port");
        let engine = port.add_engine(engine);
        Place { port, engine, done: Vec::new() }
    }

    fn turn(&mut self) {
        self.port.wait(Some(Duration::ZERO)).expect("works");
        self.done.extend(std::iter::from_fn(|| self.port.next()));
    }

    fn taken(&mut self, context: u64) -> Option<Completion> {
        let at = self.done.iter().position(|done| done.context == context)?;
        Some(self.done.remove(at))
    }

    fn open(&mut self, spec: SocketSpec) -> Handle {
        self.port.open_socket(self.engine, spec, 0).expect("a socket")
    }

    fn stack(&mut self) -> &mut StackEngine {
        let engine: &mut dyn Any = self.port.engine_mut(self.engine).expect("an engine");
        engine.downcast_mut().expect("a stack")
    }
}

/// The stack's own port, its peer's, and one with a branch of it, all on this thread.
struct World {
    places: [Place; 3],
}

const NEAR: usize = 0;
const FAR: usize = 1;
const AWAY: usize = 2;

impl World {
    fn new() -> World {
        let (here, there) = memory::pair(&MemoryConfig::default());
        let mut near = stack(1, here);
        let branch = near.branch().expect("a branch");
        World { places: [Place::new(Box::new(near)), Place::new(Box::new(stack(2, there))), Place::new(branch)] }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.places.iter_mut().for_each(Place::turn);
        }
    }

    #[track_caller]
    fn take(&mut self, place: usize, context: u64) -> Completion {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(done) = self.places[place].taken(context) {
                return done;
            }
            assert!(Instant::now() < until, "waited in vain for {context}");
            self.turns(1);
        }
    }

    #[track_caller]
    fn run(&mut self, place: usize, op: Op) -> Completion {
        self.places[place].port.submit(op, u64::MAX);
        self.take(place, u64::MAX)
    }

    /// A connection of this place's with the far one's.
    fn pair(&mut self, place: usize) -> (Handle, Handle) {
        let listener = self.places[FAR].open(listener(2));
        self.places[FAR].port.submit(Op::Accept { listener }, 1);
        let near = self.places[place].open(SocketSpec::Stream { local: None });
        self.run(place, Op::Connect { socket: near, address: at(2, 80).into() }).result.expect("connects");
        let far = self.take(FAR, 1).payload.into_handle().expect("a connection");
        self.places[FAR].port.close(listener);
        (near, far)
    }

    /// Receives until the end or an error.
    fn receive_all(&mut self, place: usize, socket: Handle) -> (Vec<u8>, Option<i32>) {
        let mut all = Vec::new();
        loop {
            let done = self.run(place, Op::RecvInto { socket, buffer: Vec::with_capacity(4096) });
            match done.result {
                Ok(0) => return (all, None),
                Ok(_) => all.extend(done.payload.into_vec()),
                Err(error) => return (all, error.raw_os_error()),
            }
        }
    }

    /// Sends until nothing more is taken; how much was.
    fn fill(&mut self, place: usize, socket: Handle) -> usize {
        for sent in 0.. {
            self.places[place].port.submit(Op::Send { socket, data: vec![1; 64 << 10].into() }, 100);
            self.turns(300);
            if self.places[place].taken(100).is_none() {
                return sent * (64 << 10);
            }
            assert!(sent < 1000, "nothing holds it up");
        }
        unreachable!("the loop ends within")
    }
}

/// A reader that is slow, and not only one that doesn't read, holds its peer up.
#[test]
fn a_slow_reader_holds_its_peer_up() {
    for place in [NEAR, AWAY] {
        let mut world = World::new();
        let (near, far) = world.pair(place);
        let (mut sent, mut read) = (0, 0);
        let (mut sending, mut reading) = (false, false);
        while sent < 16 << 20 {
            if !std::mem::replace(&mut sending, true) {
                world.places[FAR].port.submit(Op::Send { socket: far, data: vec![7; 256 << 10].into() }, 5);
            }
            if !std::mem::replace(&mut reading, true) {
                let op = Op::RecvInto { socket: near, buffer: Vec::with_capacity(4096) };
                world.places[place].port.submit(op, 6);
            }
            world.turns(1);
            if let Some(done) = world.places[FAR].taken(5) {
                (sent, sending) = (sent + done.result.expect("sent"), false);
            }
            if let Some(done) = world.places[place].taken(6) {
                (read, reading) = (read + done.result.expect("received"), false);
            }
            // The send buffer, which grows with the path, a receive buffer, a window, and what each may exceed it by.
            assert!(sent - read.min(sent) < 6 << 20, "{sent} sent and {read} read at {place}");
        }
    }
}

/// Segments of one octet are put together where they wait, in their order.
#[test]
fn small_segments_are_put_together() {
    for place in [NEAR, AWAY] {
        let mut world = World::new();
        let (near, far) = world.pair(place);
        world.places[FAR].port.set_option(far, SocketOption::NoDelay(true)).expect("an option");
        let octets: Vec<u8> = (0..5000u32).map(|at| (at * 7 % 251) as u8).collect();
        for &octet in &octets {
            world.run(FAR, Op::Send { socket: far, data: vec![octet].into() }).result.expect("sent");
            world.turns(1);
        }
        world.run(FAR, Op::Close { handle: far }).result.expect("closed");
        assert!(world.receive_all(place, near) == (octets, None), "other bytes at {place}");
    }
}

/// What a peer answered before it broke off is read, though a send has met the reset before.
#[test]
fn an_answer_before_a_reset_is_read() {
    for place in [NEAR, AWAY] {
        let mut world = World::new();
        let (near, far) = world.pair(place);
        world.fill(place, near);
        world.run(FAR, Op::Send { socket: far, data: b"413 too large".to_vec().into() }).result.expect("sent");
        // What it has not read makes a reset of the end.
        world.run(FAR, Op::Close { handle: far }).result.expect("closed");
        world.turns(50);
        let (heard, _) = world.receive_all(place, near);
        assert_eq!(heard, b"413 too large", "at {place}");
        // Whoever asks again is told the end.
        assert_eq!(world.receive_all(place, near), (Vec::new(), None), "at {place}");
    }
}

/// A reset is told once, to whichever call comes first; then there is the end.
#[test]
fn a_reset_is_told_once() {
    for place in [NEAR, AWAY] {
        let mut world = World::new();
        let (near, far) = world.pair(place);
        world.places[FAR].port.set_option(far, SocketOption::Linger(Some(Duration::ZERO))).expect("an option");
        world.run(FAR, Op::Close { handle: far }).result.expect("closed");
        world.places[place].port.submit(Op::Send { socket: near, data: vec![1; 2000].into() }, 9);
        let (_, first) = world.receive_all(place, near);
        let sent = world.take(place, 9).result.err().and_then(|error| error.raw_os_error());
        world.turns(20);
        let told = [first, sent].iter().filter(|code| **code == Some(os::ECONNRESET)).count();
        assert_eq!(told, 1, "{first:?} and {sent:?} at {place}");
        for _ in 0..2 {
            assert_eq!(world.receive_all(place, near), (Vec::new(), None), "at {place}");
        }
    }
}

/// Closing with bytes that have no room is the stack's affair at once: its linger time holds, and its peer is told.
#[test]
fn closing_with_unsent_bytes_keeps_to_the_linger_time() {
    for (place, linger) in [NEAR, AWAY].into_iter().flat_map(|place| [(place, 0), (place, 1)]) {
        let mut world = World::new();
        let (near, far) = world.pair(place);
        world.fill(place, near);
        let linger = Some(Duration::from_secs(linger));
        world.places[place].port.set_option(near, SocketOption::Linger(linger)).expect("an option");
        world.places[place].port.close(near);
        let until = Instant::now() + PATIENCE;
        while world.places[NEAR].stack().is_draining() || world.places[NEAR].stack().stack().connections().count() > 0 {
            assert!(Instant::now() < until, "it lingers for ever at {place} with {linger:?}");
            world.turns(1);
        }
        let told = world.run(FAR, Op::Poll { handle: far, events: os::POLLHUP });
        assert!(told.result.expect("told") as i16 & os::POLLERR != 0, "a reset, at {place}");
    }
}

/// A port with a branch that goes takes what is on its way to it along.
#[test]
fn connections_under_way_to_a_branch_go_with_it() {
    let (here, there) = memory::pair(&MemoryConfig::default());
    let mut near = stack(1, here);
    let mut branch = near.branch().expect("a branch");
    let (mut near, mut far) = (Place::new(Box::new(near)), Place::new(Box::new(stack(2, there))));
    let branch = thread::scope(|scope| {
        let asks = scope.spawn(move || {
            branch.open(listener(1)).expect("listens");
            branch
        });
        while !asks.is_finished() {
            near.turn();
        }
        asks.join().expect("no panic")
    });
    for context in 0..5 {
        let socket = far.open(SocketSpec::Stream { local: None });
        far.port.submit(Op::Connect { socket, address: at(1, 80).into() }, context);
    }
    for _ in 0..100 {
        near.turn();
        far.turn();
    }
    assert_eq!(near.stack().stack().connections().count(), 5);
    drop(branch);
    for _ in 0..100 {
        near.turn();
        far.turn();
    }
    assert_eq!((near.stack().stack().connections().count(), near.stack().is_draining()), (0, false));
}

#[test]
fn options_are_remembered_within_their_bounds() {
    for place in [NEAR, AWAY] {
        let mut world = World::new();
        let (near, _far) = world.pair(place);
        let port = &mut world.places[place].port;
        port.set_option(near, SocketOption::NoDelay(true)).expect("an option");
        assert_eq!(port.option(near, OptionName::NoDelay).expect("a value"), SocketOption::NoDelay(true));
        port.set_option(near, SocketOption::ReceiveBuffer(1)).expect("an option");
        assert_eq!(port.option(near, OptionName::ReceiveBuffer).expect("a value"), SocketOption::ReceiveBuffer(2048));
    }
}
