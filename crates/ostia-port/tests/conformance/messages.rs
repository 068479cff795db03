//! Rigs of messages: datagrams with addresses, control data, and packets that are posted.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use ostia_port::{Completion, Handle, Message, Op, Packet, Payload};

use crate::common::World;
use crate::common::peers::{pipe, reset, tcp_pair};
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

const WORDS: &[u8] = b"one datagram, whole";

pub struct Datagrams {
    socket: Handle,
    near: SocketAddr,
    peer: UdpSocket,
}

pub fn recv_msg(world: &mut World) -> Box<dyn Rig> {
    let (near, peer) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    let address = near.local_addr().expect("address");
    Box::new(Datagrams { socket: world.port.adopt(near, 67).expect("adopts"), near: address, peer })
}

impl Rig for Datagrams {
    fn op(&mut self) -> Op {
        Op::recv_from(self.socket, Vec::with_capacity(100))
    }

    fn happen(&mut self, _: &mut World) {
        self.peer.send_to(WORDS, self.near).expect("sent");
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 67, "the socket's key");
        world.equal(done.result.ok(), Some(WORDS.len()), "a whole datagram");
        let Payload::Message(message) = done.payload else { panic!("a message") };
        world.equal(message.data.as_slice(), WORDS, "its bytes");
        world.equal(message.peer.and_then(|peer| peer.ip()), self.peer.local_addr().ok(), "its sender");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
        let Payload::Message(message) = done.payload else { panic!("the message comes back") };
        world.check(message.data.is_empty() && message.data.capacity() >= 100, "as it was");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.socket)
    }
}

/// A datagram longer than the room is cut, says so, and the next one is whole; an empty one is no end.
pub fn recv_msg_short(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, peer) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    let address = near.local_addr().expect("address");
    let socket = world.port.adopt(near, 0).expect("adopts");
    for words in [WORDS, b"", b"second"] {
        peer.send_to(words, address).expect("sent");
    }
    let done = world.run(Op::recv_from(socket, Vec::with_capacity(5)));
    let Payload::Message(message) = done.payload else { panic!("a message") };
    world.equal(message.data.as_slice(), &WORDS[..5], "what there was room for");
    world.check(message.flags & libc::MSG_TRUNC != 0, "and it says that there was more");
    let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(100) });
    world.equal(done.result.ok(), Some(0), "an empty datagram");
    let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(100) });
    world.equal(done.payload.into_vec(), b"second".to_vec(), "is not the end");
    bench.book(&world);
}

pub fn recv_msg_end(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, far) = tcp_pair();
    let socket = world.port.adopt(near, 0).expect("adopts");
    let (_, context) = world.submit(Op::recv_from(socket, Vec::with_capacity(10)));
    world.turns(2);
    drop(far);
    let done = world.take(context);
    world.equal(done.result.ok(), Some(0), "the end of a stream");
    bench.book(&world);
}

pub fn recv_msg_reset(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, far) = tcp_pair();
    let socket = world.port.adopt(near, 0).expect("adopts");
    let (_, context) = world.submit(Op::recv_from(socket, Vec::with_capacity(10)));
    world.turns(2);
    reset(far);
    let done = world.take(context);
    world.failed(&done, libc::ECONNRESET, "a reset");
    world.check(matches!(done.payload, Payload::Message(_)), "the message comes back");
    bench.book(&world);
}

/// A datagram to an address.
pub struct Addressing {
    socket: Handle,
    peer: UdpSocket,
}

pub fn send_to(world: &mut World) -> Box<dyn Rig> {
    let (near, peer) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    peer.set_read_timeout(Some(crate::common::patience())).expect("SO_RCVTIMEO");
    Box::new(Addressing { socket: world.port.adopt(near, 68).expect("adopts"), peer })
}

impl Rig for Addressing {
    fn op(&mut self) -> Op {
        Op::send_to(self.socket, WORDS.to_vec(), self.peer.local_addr().expect("address").into())
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 68, "the socket's key");
        world.equal(done.result.ok(), Some(WORDS.len()), "sent whole");
        let mut got = [0u8; 100];
        let count = self.peer.recv(&mut got).expect("arrives");
        world.equal(&got[..count], WORDS, "arrived whole");
    }

    fn cancelled(&mut self, world: &mut World, done: Completion) {
        world.check(is_cancelled(&done), "cancelled");
        let Payload::Message(message) = done.payload else { panic!("the message comes back") };
        world.equal(message.data.as_slice(), WORDS, "as it was");
    }

    fn handle(&self) -> Option<Handle> {
        Some(self.socket)
    }
}

/// Addresses both ways, and a descriptor as control data through a Unix socket.
pub fn send_msg_done(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, peer) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    let from = near.local_addr().ok();
    let socket = world.port.adopt(near, 71).expect("adopts");
    let to = peer.local_addr().expect("address").into();
    let done = world.run(Op::send_to(socket, WORDS.to_vec(), to));
    world.equal(done.key, 71, "the socket's key");
    world.equal(done.result.ok(), Some(WORDS.len()), "sent");
    let mut got = [0u8; 100];
    peer.set_read_timeout(Some(crate::common::patience())).expect("SO_RCVTIMEO");
    let (count, sender) = peer.recv_from(&mut got).expect("arrives");
    world.equal((&got[..count], Some(sender)), (WORDS, from), "arrived whole, from us");

    let (left, right) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let (left, right) = (world.port.adopt(left, 0).expect("adopts"), world.port.adopt(right, 0).expect("adopts"));
    let (reader, writer) = pipe();
    let mut message = Message { data: b"x".to_vec(), ..Message::default() };
    message.push_control(libc::SOL_SOCKET, libc::SCM_RIGHTS, &writer.as_raw_fd().to_ne_bytes());
    let done = world.run(Op::SendMsg { socket: left, message: Box::new(message) });
    world.equal(done.result.ok(), Some(1), "sent with a descriptor");
    let done = world.run(Op::RecvMsg { socket: right, message: Message::with_capacity(10, 64) });
    let Payload::Message(message) = done.payload else { panic!("a message") };
    let (level, kind, value) = message.control_messages().next().expect("a control message");
    world.equal((level, kind), (libc::SOL_SOCKET, libc::SCM_RIGHTS), "rights");
    let fd = i32::from_ne_bytes(value[..4].try_into().expect("four bytes"));
    // SAFETY: recvmsg(2) has just made this descriptor for us.
    let passed = unsafe { OwnedFd::from_raw_fd(fd) };
    drop(writer);
    assert_eq!(rustix::io::write(passed.as_fd(), b"!"), Ok(1));
    let mut byte = [0u8; 1];
    world.equal(rustix::io::read(&reader, &mut byte).ok(), Some(1), "the descriptor is the same pipe");
    bench.book(&world);
}

/// A datagram to a closed port comes back as an error on the connected socket; one too long is refused whole.
pub fn datagram_refused(bench: &mut Bench) {
    let mut world = bench.world();
    let (near, peer) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    near.connect(peer.local_addr().expect("address")).expect("connects");
    let socket = world.port.adopt(near, 0).expect("adopts");
    let done = world.run(Op::SendMsg { socket, message: Box::new(Message { data: vec![0; 70_000], ..Message::default() }) });
    world.failed(&done, libc::EMSGSIZE, "longer than a datagram can be");
    drop(peer);
    let done = world.run(Op::Send { socket, data: b"hello?".into() });
    world.equal(done.result.ok(), Some(6), "the first is sent");
    let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(10) });
    world.failed(&done, libc::ECONNREFUSED, "its echo");
    bench.book(&world);
}

/// Packets: in order, from here and from elsewhere, with key, context and result.
pub fn post_done(bench: &mut Bench) {
    let mut world = bench.world();
    for n in 0..5 {
        world.port.post(Packet { key: 7, context: 1000 + n, result: n as usize });
    }
    let remote = world.port.remote();
    let poster =
        std::thread::spawn(move || (5..10).all(|n| remote.post(Packet { key: 8, context: 1000 + n, result: n as usize })));
    let mut seen = Vec::new();
    world.until("ten packets", |world| {
        while let Some(done) = world.pop() {
            assert!(done.id.is_none() && !done.more);
            seen.push((done.key, done.context, done.result.expect("a packet is no error")));
        }
        seen.len() == 10
    });
    bench.check(poster.join().expect("no panic"), "a living port takes packets");
    let want: Vec<_> = (0..10u64).map(|n| (if n < 5 { 7 } else { 8 }, 1000 + n, n as usize)).collect();
    world.equal(seen, want, "every packet once, in order");
    bench.book(&world);
}

/// A port that has gone takes no packets, and says so.
pub fn post_dropped(bench: &mut Bench) {
    let mut world = bench.world();
    let remote = world.port.remote();
    let packet = Packet { key: 1, context: 2, result: 3 };
    bench.check(remote.post(packet), "taken while the port lives");
    world.turns(1);
    drop(world);
    bench.check(!remote.post(packet), "refused when it has gone");
    remote.wake();
}

/// Ten thousand packets while the queues of the driver are as small as can be.
pub fn post_full(bench: &mut Bench) {
    const COUNT: u64 = 10_000;
    let mut world = bench.world();
    let remote = world.port.remote();
    let poster = std::thread::spawn(move || (0..COUNT).all(|n| remote.post(Packet { key: 0, context: n, result: 0 })));
    let mut next = 0;
    world.until("all packets", |world| {
        while let Some(done) = world.pop() {
            assert_eq!(done.context, next, "in order, none missing");
            next += 1;
        }
        next == COUNT
    });
    world.check(poster.join().expect("no panic"), "all were taken");
    bench.book(&world);
}
