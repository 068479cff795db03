//! Two stacks joined by a link in memory, both engines of one port: operations complete on their sockets as on the kernel's.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use ostia_link::{MemoryConfig, Offload, memory};
use ostia_net::{NetConfig, StackEngine};
use ostia_port::{
    Address, Buffer, Completion, Config, DriverChoice, EngineId, Faults, Handle, Message, Op, Payload, Port, SocketOption,
    SocketSpec, os,
};

/// As long as anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two hosts on one port.
struct World {
    port: Port,
    one: EngineId,
    two: EngineId,
    done: Vec<Completion>,
    next: u64,
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, host], port))
}

impl World {
    fn new(config: Config) -> World {
        let mut port = Port::with(config).expect("a port");
        let (here, there) = memory::pair(&MemoryConfig::default());
        let mut host = |number: u8, link: memory::Memory| {
            let config = NetConfig::new([number; 32]).with_address(address(number, 0).ip(), 24);
            let config = config.with_address(format!("fd00::{number}").parse().expect("an address"), 64);
            port.add_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack")))
        };
        let (one, two) = (host(1, here), host(2, there));
        World { port, one, two, done: Vec::new(), next: 1 }
    }

    fn submit(&mut self, op: Op) -> u64 {
        self.next += 1;
        self.port.submit(op, self.next);
        self.next
    }

    fn turn(&mut self) {
        self.port.wait(Some(Duration::from_millis(5))).expect("the port works");
        while let Some(done) = self.port.next() {
            self.done.push(done);
        }
    }

    fn taken(&mut self, context: u64) -> Option<Completion> {
        let at = self.done.iter().position(|done| done.context == context)?;
        Some(self.done.remove(at))
    }

    #[track_caller]
    fn take(&mut self, context: u64) -> Completion {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(done) = self.taken(context) {
                return done;
            }
            assert!(Instant::now() < until, "waited in vain; outstanding {:?}", self.port.outstanding());
            self.turn();
        }
    }

    #[track_caller]
    fn run(&mut self, op: Op) -> Completion {
        let context = self.submit(op);
        self.take(context)
    }

    fn listener(&mut self) -> (Handle, SocketAddr) {
        let spec = SocketSpec::Listener { local: address(2, 0), backlog: 16, reuse_port: false };
        let listener = self.port.open_socket(self.two, spec, 0).expect("listens");
        let local = self.port.local_addr(listener).expect("an address").ip().expect("of IP");
        (listener, local)
    }

    /// Two ends of a connection, the client's first.
    fn pair(&mut self) -> (Handle, Handle) {
        let (listener, to) = self.listener();
        let client = self.port.open_socket(self.one, SocketSpec::Stream { local: None }, 0).expect("a socket");
        let accept = self.submit(Op::Accept { listener });
        let connected = self.run(Op::Connect { socket: client, address: to.into() });
        connected.result.expect("connects");
        let server = self.take(accept).payload.into_handle().expect("a connection");
        self.port.close(listener);
        (client, server)
    }

    /// Receives so many bytes.
    fn receive(&mut self, socket: Handle, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let done = self.run(Op::Recv { socket });
            let chunk = done.payload.into_chunk().unwrap_or_else(|| panic!("ended at {}: {:?}", all.len(), done.result));
            all.extend_from_slice(&chunk);
        }
        all
    }
}

/// Runs a test on each driver, plain and with faults.
fn everywhere(test: fn(&mut World)) {
    let drivers: &[DriverChoice] = if cfg!(target_os = "linux") {
        &[DriverChoice::Auto, DriverChoice::Epoll, DriverChoice::Virtual]
    } else {
        &[DriverChoice::Auto]
    };
    for &driver in drivers {
        for faults in [None, Some(Faults::all(7))] {
            let config = Config { driver, faults, linger: Duration::from_secs(1), ..Config::default() };
            test(&mut World::new(config));
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]).collect()
}

#[test]
fn bytes_go_both_ways_and_end() {
    everywhere(|world| {
        let (client, server) = world.pair();
        let data = pattern(3 << 20);
        let sent = world.submit(Op::Send { socket: client, data: data.clone().into() });
        assert!(world.receive(server, data.len()) == data, "other bytes");
        assert_eq!(world.take(sent).result.expect("sent"), data.len());
        let pieces: Vec<Buffer> = vec![b"sal".to_vec().into(), Buffer::default(), b"ve".to_vec().into()];
        assert_eq!(world.run(Op::SendVectored { socket: server, data: pieces }).result.expect("sent"), 5);
        assert_eq!(world.receive(client, 5), b"salve");
        world.run(Op::Shutdown { socket: client, how: Shutdown::Write }).result.expect("shut down");
        let end = world.run(Op::Recv { socket: server });
        assert_eq!(end.result.expect("the end"), 0);
        assert_eq!(world.run(Op::Send { socket: server, data: b"late".to_vec().into() }).result.expect("sent"), 4);
        assert_eq!(world.receive(client, 4), b"late");
        let broken = world.run(Op::Send { socket: client, data: b"x".to_vec().into() });
        assert_eq!(broken.result.expect_err("after the shutdown").raw_os_error(), Some(os::EPIPE));
        for socket in [server, client] {
            world.run(Op::Close { handle: socket }).result.expect("closed");
        }
    });
}

#[test]
fn a_receive_that_is_cancelled_loses_nothing() {
    everywhere(|world| {
        let (client, server) = world.pair();
        let context = world.next + 1;
        let id = world.port.submit(Op::RecvInto { socket: server, buffer: Vec::with_capacity(100) }, context);
        world.next = context;
        world.turn();
        world.port.cancel(id);
        let cancelled = world.take(context);
        assert_eq!(cancelled.result.expect_err("cancelled").raw_os_error(), Some(os::ECANCELED));
        world.run(Op::Send { socket: client, data: b"kept".to_vec().into() }).result.expect("sent");
        assert_eq!(world.receive(server, 4), b"kept");
    });
}

#[test]
fn many_connections_come_by_one_operation() {
    everywhere(|world| {
        let (listener, to) = world.listener();
        let accepts = world.submit(Op::AcceptMulti { listener });
        let mut clients = Vec::new();
        for number in 0..40u8 {
            let socket = world.port.open_socket(world.one, SocketSpec::Stream { local: None }, 0).expect("a socket");
            world.run(Op::Connect { socket, address: to.into() }).result.expect("connects");
            world.run(Op::Send { socket, data: vec![number].into() }).result.expect("sent");
            clients.push(socket);
        }
        let mut heard = Vec::new();
        for _ in 0..40 {
            let done = world.take(accepts);
            assert!(done.more);
            let socket = done.payload.into_handle().expect("a connection");
            heard.extend(world.receive(socket, 1));
            let peer = world.port.peer_addr(socket).expect("a peer").ip().expect("of IP");
            assert_eq!(peer.ip(), address(1, 0).ip());
        }
        heard.sort_unstable();
        assert!(heard.into_iter().eq(0..40));
    });
}

#[test]
fn what_nobody_listens_to_refuses() {
    everywhere(|world| {
        let socket = world.port.open_socket(world.one, SocketSpec::Stream { local: None }, 0).expect("a socket");
        let refused = world.run(Op::Connect { socket, address: address(2, 9).into() });
        assert_eq!(refused.result.expect_err("refused").raw_os_error(), Some(os::ECONNREFUSED));
        let again = world.run(Op::Recv { socket });
        assert_eq!(again.result.expect_err("never connected").raw_os_error(), Some(os::ENOTCONN));
    });
}

#[test]
fn a_reset_is_told() {
    everywhere(|world| {
        let (client, server) = world.pair();
        world.port.abort(client);
        let done = world.run(Op::Recv { socket: server });
        assert_eq!(done.result.expect_err("reset").raw_os_error(), Some(os::ECONNRESET));
    });
}

#[test]
fn what_is_broken_has_nothing_to_shut_down() {
    everywhere(|world| {
        let (client, server) = world.pair();
        world.port.abort(client);
        let done = world.run(Op::Recv { socket: server });
        assert_eq!(done.result.expect_err("reset").raw_os_error(), Some(os::ECONNRESET));
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            let done = world.run(Op::Shutdown { socket: server, how });
            assert_eq!(done.result.expect_err("not connected any more").raw_os_error(), Some(os::ENOTCONN), "{how:?}");
        }
    });
}

/// poll(2)'s POLLRDHUP.
#[cfg(target_os = "linux")]
#[test]
fn the_end_is_told_to_who_polls_for_it_alone() {
    everywhere(|world| {
        let (client, server) = world.pair();
        world.run(Op::Send { socket: client, data: b"unread".to_vec().into() }).result.expect("sent");
        let poll = |events| Op::Poll { handle: server, events };
        assert_eq!(world.run(poll(os::POLLIN | os::POLLRDHUP)).result.expect("polls") as i16, os::POLLIN);
        let end = world.submit(poll(os::POLLRDHUP));
        for _ in 0..5 {
            world.turn();
        }
        assert!(world.taken(end).is_none(), "nothing has ended");
        world.run(Op::Shutdown { socket: client, how: Shutdown::Write }).result.expect("shut down");
        assert_eq!(world.take(end).result.expect("polls") as i16, os::POLLRDHUP, "though what came before is unread");
        assert_eq!(world.receive(server, 6), b"unread");
    });
}

#[test]
fn files_are_sent() {
    everywhere(|world| {
        let (client, server) = world.pair();
        let data = pattern(1 << 20);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &data).expect("written");
        let file = world.port.adopt(std::fs::File::open(file.path()).expect("opened"), 0).expect("adopted");
        let (head, offset, len) = (b"head".to_vec().into(), 1000, 1 << 30);
        let sent = world.submit(Op::SendFile { socket: server, head, file, offset, len });
        let got = world.receive(client, 4 + data.len() - 1000);
        assert!(got[..4] == *b"head" && got[4..] == data[1000..]);
        assert_eq!(world.take(sent).result.expect("sent"), data.len() - 1000, "the file ends earlier");
    });
}

#[test]
fn datagrams_keep_their_boundaries_and_senders() {
    everywhere(|world| {
        let server = world.port.open_socket(world.two, SocketSpec::Datagram { local: address(2, 5353) }, 0).expect("bound");
        let client = world.port.open_socket(world.one, SocketSpec::Datagram { local: address(1, 0) }, 0).expect("bound");
        for text in ["one", "", "three"] {
            let sent = world.run(Op::send_to(client, text.into(), address(2, 5353).into()));
            assert_eq!(sent.result.expect("sent"), text.len());
        }
        let from = world.port.local_addr(client).expect("an address");
        for text in ["one", "", "three"] {
            let done = world.run(Op::recv_from(server, Vec::with_capacity(100)));
            assert_eq!(done.result.expect("received"), text.len());
            let ostia_port::Payload::Message(message) = done.payload else { panic!("no message") };
            assert_eq!((message.data.as_slice(), message.peer), (text.as_bytes(), Some(from.clone())));
        }
        let refused = world.port.open_socket(world.two, SocketSpec::Datagram { local: address(2, 5353) }, 0);
        assert_eq!(refused.expect_err("taken").raw_os_error(), Some(os::EADDRINUSE));
    });
}

#[test]
fn a_datagram_tells_its_hop_limit_where_there_is_room() {
    everywhere(|world| {
        let server = world.port.open_socket(world.two, SocketSpec::Datagram { local: address(2, 5353) }, 0).expect("bound");
        let client = world.port.open_socket(world.one, SocketSpec::Datagram { local: address(1, 0) }, 0).expect("bound");
        world.port.set_option(client, SocketOption::HopLimit(9)).expect("an option");
        // The last has no room for it, which is nothing wrong.
        for (control, told) in [(64, vec![9i32.to_ne_bytes().to_vec()]), (24, vec![9i32.to_ne_bytes().to_vec()]), (8, vec![])] {
            world.run(Op::send_to(client, "news".into(), address(2, 5353).into())).result.expect("sent");
            let done = world.run(Op::RecvMsg { socket: server, message: Message::with_capacity(10, control) });
            assert_eq!(done.result.expect("received"), 4);
            let ostia_port::Payload::Message(message) = done.payload else { panic!("no message") };
            let values: Vec<_> = message.control_messages().map(|(_, _, value)| value.to_vec()).collect();
            assert_eq!((values, message.flags), (told, 0));
        }
    });
}

#[test]
fn who_only_polls_keeps_nobody_else_waiting() {
    everywhere(|world| {
        let (client, server) = world.pair();
        let polled = world.submit(Op::Poll { handle: server, events: 0 });
        world.turn();
        world.run(Op::Send { socket: client, data: b"news".to_vec().into() }).result.expect("sent");
        // The news has come before anybody asks for it.
        for _ in 0..20 {
            world.turn();
        }
        assert_eq!(world.receive(server, 4), b"news");
        world.port.abort(client);
        assert_ne!(world.take(polled).result.expect("polled"), 0, "the end of the connection");
    });
}

#[test]
fn ending_the_receiving_direction_ends_who_receives() {
    everywhere(|world| {
        let (client, server) = world.pair();
        let waiting = world.submit(Op::Recv { socket: server });
        world.turn();
        world.run(Op::Shutdown { socket: server, how: Shutdown::Read }).result.expect("shut down");
        assert_eq!(world.take(waiting).result.expect("the end"), 0);
        assert_eq!(world.run(Op::Recv { socket: server }).result.expect("the end"), 0);
        // The other direction goes on.
        world.run(Op::Send { socket: server, data: b"still".to_vec().into() }).result.expect("sent");
        assert_eq!(world.receive(client, 5), b"still");
    });
}

#[test]
fn any_address_is_listened_on_for_each_family() {
    everywhere(|world| {
        let any: [SocketAddr; 2] = ["0.0.0.0:80".parse().expect("an address"), "[::]:80".parse().expect("an address")];
        let listeners = any.map(|local| {
            world.port.open_socket(world.two, SocketSpec::Listener { local, backlog: 4, reuse_port: false }, 0).expect("listens")
        });
        for (listener, to) in listeners.into_iter().zip([address(2, 80), "[fd00::2]:80".parse().expect("an address")]) {
            let accept = world.submit(Op::Accept { listener });
            let socket = world.port.open_socket(world.one, SocketSpec::Stream { local: None }, 0).expect("a socket");
            world.run(Op::Connect { socket, address: to.into() }).result.expect("connects");
            let accepted = world.take(accept).payload.into_handle().expect("a connection");
            assert_eq!(world.port.local_addr(accepted).expect("an address").ip(), Some(to));
        }
    });
}

#[test]
fn a_long_row_of_frames_is_taken_in_to_its_end() {
    // More than are taken in at once, and no more than the link holds.
    const COUNT: usize = 200;
    let (here, there) = memory::pair(&MemoryConfig::default());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let sender = std::thread::spawn(move || {
        let mut port = Port::new().expect("a port");
        let config = NetConfig::new([2; 32]).with_address(address(2, 0).ip(), 24);
        let engine = port.add_engine(Box::new(StackEngine::new(Box::new(there), &config).expect("a stack")));
        let socket = port.open_socket(engine, SocketSpec::Datagram { local: address(2, 9) }, 0).expect("bound");
        for number in 0..COUNT {
            let to = Address::from(address(1, 9));
            assert!(port.try_send_msg(socket, &number.to_le_bytes(), Some(&to), &[]).is_ready());
        }
        port.wait(Some(Duration::ZERO)).expect("works");
        // And not a word more.
        let _ = gone.recv();
    });
    let mut port = Port::new().expect("a port");
    let config = NetConfig::new([1; 32]).with_address(address(1, 0).ip(), 24);
    let engine = port.add_engine(Box::new(StackEngine::new(Box::new(here), &config).expect("a stack")));
    let socket = port.open_socket(engine, SocketSpec::Datagram { local: address(1, 9) }, 0).expect("bound");
    for _ in 0..COUNT {
        port.submit(Op::recv_from(socket, Vec::with_capacity(16)), 0);
    }
    let (mut received, until) = (0, Instant::now() + PATIENCE);
    while received < COUNT && Instant::now() < until {
        // Longer than the test may take: whatever is left behind stays there.
        port.wait(Some(PATIENCE)).expect("works");
        received += std::iter::from_fn(|| port.next()).filter(|done| done.result.is_ok()).count();
    }
    drop(go);
    sender.join().expect("no panic");
    assert_eq!(received, COUNT);
}

#[test]
fn no_more_is_made_than_the_link_takes() {
    const QUEUE: usize = 4;
    const LEN: usize = 2 << 20;
    let link = MemoryConfig { mtu: 65_535, offload: Offload::Off, queue: QUEUE, ..MemoryConfig::default() };
    let (here, there) = memory::pair(&link);
    let host = |number: u8, link: memory::Memory| {
        let mut port = Port::with(Config { linger: Duration::ZERO, ..Config::default() }).expect("a port");
        let mut config = NetConfig::new([number; 32]).with_address(address(number, 0).ip(), 24);
        config.stack.receive_buffer = 4 << 20;
        let engine = port.add_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack")));
        (port, engine)
    };
    let ((mut near, engine), (mut far, far_engine)) = (host(1, here), host(2, there));
    let listener = far
        .open_socket(far_engine, SocketSpec::Listener { local: address(2, 80), backlog: 1, reuse_port: false }, 0)
        .expect("listens");
    let client = near.open_socket(engine, SocketSpec::Stream { local: None }, 0).expect("a socket");
    far.submit(Op::Accept { listener }, 0);
    near.submit(Op::Connect { socket: client, address: address(2, 80).into() }, 0);
    let made = |port: &Port| {
        let engine: &dyn std::any::Any = port.engine(engine).expect("an engine");
        engine.downcast_ref::<StackEngine>().expect("a stack").stack().counters().tcp_out_segs
    };
    let (until, mut most, mut received) = (Instant::now() + PATIENCE, 0, Vec::new());
    while received.len() < LEN {
        assert!(Instant::now() < until, "{} of {LEN}", received.len());
        let before = made(&near);
        // The other end takes none meanwhile.
        for _ in 0..2 * QUEUE {
            near.wait(Some(Duration::ZERO)).expect("the port works");
        }
        // The first that finds no room has been made.
        let now = made(&near) - before;
        assert!(now <= QUEUE as u64 + 1, "{now} before the link has room");
        most = most.max(now);
        while let Some(done) = near.next() {
            done.result.expect("connects, and sends");
            if done.context == 0 {
                near.submit(Op::Send { socket: client, data: pattern(LEN).into() }, 1);
            }
        }
        far.wait(Some(Duration::ZERO)).expect("the port works");
        while let Some(done) = far.next() {
            done.result.expect("accepts, and receives");
            match done.payload {
                Payload::Handle(socket) => _ = far.submit(Op::RecvMulti { socket }, 1),
                other => received.extend_from_slice(&other.into_chunk().expect("bytes")),
            }
        }
    }
    assert_eq!(most, QUEUE as u64 + 1, "the link is never full");
    assert!(received == pattern(LEN));
}

#[test]
fn idle_waits_sleep() {
    let mut world = World::new(Config::default());
    let (_client, server) = world.pair();
    world.submit(Op::Recv { socket: server });
    // Delayed acknowledgments and the like come to rest.
    for _ in 0..20 {
        world.turn();
    }
    let before = world.port.statistics().turns;
    world.port.wait(Some(Duration::from_millis(200))).expect("the port works");
    let turns = world.port.statistics().turns - before;
    assert!(turns <= 4, "{turns} turns in one idle wait");
    assert!(!world.port.has_ready());
}

#[test]
fn a_port_that_ends_sends_what_was_accepted() {
    // Two ports, so that one can end: the peer must get all of it, and the end.
    let (here, there) = memory::pair(&MemoryConfig::default());
    let server = std::thread::spawn(move || {
        let mut port = Port::new().expect("a port");
        let config = NetConfig::new([2; 32]).with_address(address(2, 0).ip(), 24);
        let engine = port.add_engine(Box::new(StackEngine::new(Box::new(there), &config).expect("a stack")));
        let spec = SocketSpec::Listener { local: address(2, 80), backlog: 1, reuse_port: false };
        let listener = port.open_socket(engine, spec, 0).expect("listens");
        port.submit(Op::Accept { listener }, 0);
        let (mut got, mut ended) = (Vec::new(), None);
        let until = Instant::now() + PATIENCE;
        let mut socket = None;
        while ended.is_none() && Instant::now() < until {
            port.wait(Some(Duration::from_millis(50))).expect("works");
            while let Some(done) = port.next() {
                match done.payload {
                    ostia_port::Payload::Handle(accepted) => {
                        socket = Some(accepted);
                        port.submit(Op::RecvMulti { socket: accepted }, 1);
                    }
                    ostia_port::Payload::Chunk(chunk) => got.extend_from_slice(&chunk),
                    _ => ended = Some(done.result.map(|_| socket.is_some())),
                }
            }
        }
        (got, ended)
    });
    let data = pattern(1 << 20);
    {
        let mut port = Port::with(Config { linger: PATIENCE, ..Config::default() }).expect("a port");
        let config = NetConfig::new([1; 32]).with_address(address(1, 0).ip(), 24);
        let engine = port.add_engine(Box::new(StackEngine::new(Box::new(here), &config).expect("a stack")));
        let socket = port.open_socket(engine, SocketSpec::Stream { local: None }, 0).expect("a socket");
        port.submit(Op::Connect { socket, address: Address::from(address(2, 80)) }, 0);
        port.submit(Op::Send { socket, data: b"early".to_vec().into() }, 3);
        let mut queued = 0;
        let until = Instant::now() + PATIENCE;
        while queued < 2 && Instant::now() < until {
            port.wait(Some(Duration::from_millis(50))).expect("works");
            while let Some(done) = port.next() {
                match (done.context, done.result) {
                    // A send before the connection is there waits for it.
                    (3, result) => assert_eq!(result.expect("sent"), 5),
                    (0, result) => {
                        result.expect("connects");
                        port.submit(Op::Send { socket, data: data.clone().into() }, 1);
                        queued = 1;
                    }
                    (_, result) => {
                        assert_eq!(result.expect("sent"), data.len());
                        queued = 2;
                    }
                }
            }
        }
        assert_eq!(queued, 2);
    }
    let (got, ended) = server.join().expect("no panic");
    assert!(got[..5] == *b"early" && got[5..] == data, "{} of {} bytes", got.len(), 5 + data.len());
    assert!(matches!(ended, Some(Ok(true))), "the end, not {ended:?}");
}
