//! Rigs of messages: datagrams with addresses, control data, and packets that are posted.

use std::net::SocketAddr;
#[cfg(windows)]
use std::net::UdpSocket;

use ostia_port::{Completion, Handle, Message, Op, Packet, Payload, os};

use crate::common::World;
use crate::common::net::FarDatagrams;
use crate::common::system::EMSGSIZE;
use crate::common::world::is_cancelled;
use crate::matrix::Bench;
use crate::rig::Rig;

const WORDS: &[u8] = b"one datagram, whole";

pub struct Datagrams {
    socket: Handle,
    near: SocketAddr,
    peer: FarDatagrams,
}

pub fn recv_msg(world: &mut World) -> Box<dyn Rig> {
    let (socket, near) = world.datagrams(67, None);
    Box::new(Datagrams { socket, near, peer: world.far_datagrams() })
}

impl Rig for Datagrams {
    fn op(&mut self) -> Op {
        Op::recv_from(self.socket, Vec::with_capacity(100))
    }

    fn happen(&mut self, _: &mut World) {
        self.peer.send_to(WORDS, self.near);
    }

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 67, "the socket's key");
        world.equal(done.result.ok(), Some(WORDS.len()), "a whole datagram");
        let Payload::Message(message) = done.payload else { panic!("a message") };
        world.equal(message.data.as_slice(), WORDS, "its bytes");
        world.equal(message.peer.and_then(|peer| peer.ip()), Some(self.peer.address()), "its sender");
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
    let (socket, address) = world.datagrams(0, None);
    let peer = world.far_datagrams();
    for words in [WORDS, b"", b"second"] {
        peer.send_to(words, address);
    }
    let done = world.run(Op::recv_from(socket, Vec::with_capacity(5)));
    let Payload::Message(message) = done.payload else { panic!("a message") };
    world.equal(message.data.as_slice(), &WORDS[..5], "what there was room for");
    world.check(message.flags & os::MSG_TRUNC != 0, "and it says that there was more");
    let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(100) });
    world.equal(done.result.ok(), Some(0), "an empty datagram");
    let done = world.run(Op::RecvInto { socket, buffer: Vec::with_capacity(100) });
    world.equal(done.payload.into_vec(), b"second".to_vec(), "is not the end");
    bench.book(&world);
}

pub fn recv_msg_end(bench: &mut Bench) {
    let mut world = bench.world();
    let (socket, far) = world.pair(0);
    let (_, context) = world.submit(Op::recv_from(socket, Vec::with_capacity(10)));
    world.turns(2);
    drop(far);
    let done = world.take(context);
    world.equal(done.result.ok(), Some(0), "the end of a stream");
    bench.book(&world);
}

pub fn recv_msg_reset(bench: &mut Bench) {
    let mut world = bench.world();
    let (socket, far) = world.pair(0);
    let (_, context) = world.submit(Op::recv_from(socket, Vec::with_capacity(10)));
    world.turns(2);
    far.reset();
    let done = world.take(context);
    world.failed(&done, os::ECONNRESET, "a reset");
    world.check(matches!(done.payload, Payload::Message(_)), "the message comes back");
    bench.book(&world);
}

/// A datagram to an address.
pub struct Addressing {
    socket: Handle,
    peer: FarDatagrams,
}

pub fn send_to(world: &mut World) -> Box<dyn Rig> {
    let (socket, _) = world.datagrams(68, None);
    Box::new(Addressing { socket, peer: world.far_datagrams() })
}

impl Rig for Addressing {
    fn op(&mut self) -> Op {
        Op::send_to(self.socket, WORDS.to_vec(), self.peer.address().into())
    }

    fn happen(&mut self, _: &mut World) {}

    fn verify(&mut self, world: &mut World, done: Completion) {
        world.equal(done.key, 68, "the socket's key");
        world.equal(done.result.ok(), Some(WORDS.len()), "sent whole");
        let (got, _) = world.far_receive(&self.peer);
        world.equal(got.as_slice(), WORDS, "arrived whole");
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

/// Addresses both ways, and control data.
pub fn send_msg_done(bench: &mut Bench) {
    let mut world = bench.world();
    let (socket, from) = world.datagrams(71, None);
    let peer = world.far_datagrams();
    let done = world.run(Op::send_to(socket, WORDS.to_vec(), peer.address().into()));
    world.equal(done.key, 71, "the socket's key");
    world.equal(done.result.ok(), Some(WORDS.len()), "sent");
    let (got, sender) = world.far_receive(&peer);
    world.equal((got.as_slice(), sender), (WORDS, from), "arrived whole, from us");

    if bench.simulated() {
        no_control_data(&mut world, socket, peer.address());
    } else {
        control_data(&mut world);
    }
    bench.book(&world);
}

/// What only the kernel has doesn't pass by an engine.
fn no_control_data(world: &mut World, socket: Handle, to: SocketAddr) {
    let mut message = Message { data: b"x".to_vec(), peer: Some(to.into()), ..Message::default() };
    message.push_control(1, 1, &[0; 4]);
    let done = world.run(Op::SendMsg { socket, message: Box::new(message) });
    world.failed(&done, os::EOPNOTSUPP, "no control data");
    let Payload::Message(message) = done.payload else { panic!("the message comes back") };
    world.equal(message.data, b"x".to_vec(), "as it was");
}

/// A descriptor through a Unix socket.
#[cfg(unix)]
fn control_data(world: &mut World) {
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

    use crate::common::peers::pipe;
    use crate::common::system::{read, write};

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
    assert_eq!(write(passed.as_fd(), b"!"), Ok(1));
    let mut byte = [0u8; 1];
    world.equal(read(&reader, &mut byte).ok(), Some(1), "the descriptor is the same pipe");
}

/// To which of our addresses a datagram was sent, and from which to send another.
#[cfg(windows)]
fn control_data(world: &mut World) {
    use windows_sys::Win32::Networking::WinSock::{IN_PKTINFO, IP_PKTINFO, IPPROTO_IP, setsockopt};

    let (near, peer) = (UdpSocket::bind("0.0.0.0:0").expect("any"), UdpSocket::bind("127.0.0.1:0").expect("loopback"));
    let on = 1u32;
    let raw = std::os::windows::io::AsRawSocket::as_raw_socket(&near) as usize;
    // SAFETY: one number is read.
    let set = unsafe { setsockopt(raw, IPPROTO_IP, IP_PKTINFO, (&raw const on).cast(), 4) };
    assert_eq!(set, 0, "IP_PKTINFO");
    let port = near.local_addr().expect("address").port();
    peer.send_to(WORDS, ("127.0.0.1", port)).expect("sent");
    let socket = world.port.adopt(near, 0).expect("adopts");
    let done = world.run(Op::RecvMsg { socket, message: Message::with_capacity(100, 64) });
    world.equal(done.result.ok(), Some(WORDS.len()), "whole");
    let Payload::Message(mut message) = done.payload else { panic!("a message") };
    let (level, kind, value) = message.control_messages().next().expect("a control message");
    world.equal((level, kind, value.len()), (IPPROTO_IP, IP_PKTINFO, size_of::<IN_PKTINFO>()), "packet info");
    world.equal(&value[..4], &[127, 0, 0, 1][..], "to which address it was sent");
    let value = value.to_vec();
    message.data = b"back".to_vec();
    message.control.clear();
    message.push_control(IPPROTO_IP, IP_PKTINFO, &value);
    message.flags = 0;
    world.equal(message.peer.as_ref().and_then(|peer| peer.ip()), peer.local_addr().ok(), "its sender");
    let done = world.run(Op::SendMsg { socket, message });
    world.equal(done.result.ok(), Some(4), "sent from there");
    let mut got = [0u8; 10];
    peer.set_read_timeout(Some(crate::common::patience())).expect("SO_RCVTIMEO");
    let (count, sender) = peer.recv_from(&mut got).expect("arrives");
    world.equal((&got[..count], sender), (&b"back"[..], ([127, 0, 0, 1], port).into()), "from the address it was sent to");
}

/// A datagram to a closed port comes back as an error on the connected socket, but on Windows, where such an echo fails no
/// receive (it may be about any peer); one too long is refused whole.
pub fn datagram_refused(bench: &mut Bench) {
    let mut world = bench.world();
    let peer = world.far_datagrams();
    let (socket, _) = world.datagrams(0, Some(peer.address()));
    let done = world.run(Op::SendMsg { socket, message: Box::new(Message { data: vec![0; 70_000], ..Message::default() }) });
    world.failed(&done, EMSGSIZE, "longer than a datagram can be");
    drop(peer);
    let done = world.run(Op::Send { socket, data: b"hello?".into() });
    world.equal(done.result.ok(), Some(6), "the first is sent");
    let (id, context) = world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(10) });
    if cfg!(windows) {
        world.turn(std::time::Duration::from_millis(50));
        world.port.cancel(id);
        let done = world.take(context);
        world.check(is_cancelled(&done), "nothing has come");
    } else {
        let done = world.take(context);
        world.failed(&done, os::ECONNREFUSED, "its echo");
    }
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
