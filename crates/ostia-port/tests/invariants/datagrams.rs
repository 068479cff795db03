//! Invariants 3, 10 and 15 for what keeps boundaries: tried at once, waited for by poll.

use std::net::UdpSocket;
use std::task::Poll;

use ostia_port::{Features, Handle, Op, Port};

use crate::common::{World, on_every_engine, repeat};

/// A context that no operation of these tests has.
const ASKED: u64 = 1 << 40;

fn receive(port: &mut Port, socket: Handle) -> Poll<Vec<u8>> {
    let mut data = Vec::with_capacity(100);
    port.try_recv_msg(socket, &mut data, &mut Vec::new(), 0).map(|arrival| {
        assert_eq!(arrival.expect("received").len, data.len());
        data
    })
}

/// 10, 15: whoever asks is told once there is something, and every datagram comes out once, whoever else receives.
#[test]
fn i15_whoever_asks_for_datagrams_is_told() {
    on_every_engine("i15_whoever_asks_for_datagrams_is_told", |engine| {
        let mut world = World::new(engine.config());
        let near = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let far = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        far.connect(near.local_addr().expect("address")).expect("connects");
        let socket = world.port.adopt(near, 0).expect("adopts");
        for n in 0..repeat(200, 5000) as u32 {
            assert!(receive(&mut world.port, socket).is_pending());
            world.port.poll_readable(socket, ASKED - 1).expect("a datagram socket");
            if n % 3 == 0 {
                world.turns(1);
            }
            // Asking again replaces the context.
            world.port.poll_readable(socket, ASKED).expect("a datagram socket");
            if n % 5 == 0 {
                // An operation that receives beside it gets what comes, and the asker hears of it or of the next one.
                let (_, context) = world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(10) });
                far.send(b"for the operation").expect("sent");
                let done = world.take(context);
                assert_eq!(done.payload.into_vec(), b"for the op");
                if world.stashed(ASKED) > 0 {
                    assert!(world.taken(ASKED).is_some());
                    world.port.poll_readable(socket, ASKED).expect("a datagram socket");
                }
            }
            far.send(&n.to_le_bytes()).expect("sent");
            world.until("the notification", |world| {
                while let Some(done) = world.taken(ASKED) {
                    assert!(done.id.is_none());
                    if let Poll::Ready(data) = receive(&mut world.port, socket) {
                        assert_eq!(data, n.to_le_bytes());
                        return true;
                    }
                    world.port.poll_readable(socket, ASKED).expect("a datagram socket");
                }
                false
            });
        }
        assert_eq!(world.stashed(ASKED - 1), 0, "a context that was replaced is not told");
    });
}

/// 3, 15: a sender that finds no room is told when there is some; closing ends the waiting of both directions.
#[cfg(unix)]
#[test]
fn i03_waiting_for_datagrams_ends_with_the_handle() {
    on_every_engine("i03_waiting_for_datagrams_ends_with_the_handle", |engine| {
        let mut world = World::new(engine.config());
        let (near, far) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
        let socket = world.port.adopt(near, 0).expect("adopts");
        for _ in 0..2 {
            let mut queued = 0;
            while let Poll::Ready(sent) = world.port.try_send_msg(socket, b"full?", None, &[]) {
                sent.expect("sent");
                queued += 1;
            }
            world.port.poll_writable(socket, ASKED).expect("a datagram socket");
            world.turns(2);
            world.port.poll_writable(socket, ASKED).expect("asking again is one waiting");
            for _ in 0..queued {
                far.recv(&mut [0; 10]).expect("received");
            }
            world.until("room", |world| world.taken(ASKED).is_some());
        }
        while let Poll::Ready(sent) = world.port.try_send_msg(socket, b"full?", None, &[]) {
            sent.expect("sent");
        }
        world.port.poll_writable(socket, ASKED).expect("a datagram socket");
        world.port.poll_readable(socket, ASKED).expect("a datagram socket");
        world.turns(2);
        world.close(socket);
        assert!(world.port.poll_readable(socket, ASKED).is_err() && world.port.poll_writable(socket, ASKED).is_err());
        world.turns(2);
        assert_eq!(world.port.outstanding(), (0, 0));
        assert_eq!(world.stashed(ASKED), 0, "a closed handle tells nobody");
    });
}

/// 10: what a listening socket accepts is of the listener's type.
#[cfg(unix)]
#[test]
fn i10_packets_are_accepted_as_packets() {
    on_every_engine("i10_packets_are_accepted_as_packets", |engine| {
        use ostia_port::{Kind, os};
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let mut world = World::new(engine.config());
        let make = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let listener = make().expect("socket");
        rustix::net::bind(&listener, &SocketAddrUnix::new_unnamed()).expect("bind");
        rustix::net::listen(&listener, 8).expect("listen");
        let address = rustix::net::getsockname(&listener).expect("name");
        let listener = world.port.adopt(listener, 0).expect("adopts");
        let client = make().expect("socket");
        rustix::net::connect(&client, &address).expect("connects");
        rustix::net::send(&client, b"one", rustix::net::SendFlags::empty()).expect("sent");
        rustix::net::send(&client, b"two", rustix::net::SendFlags::empty()).expect("sent");
        let accepted = world.run(Op::Accept { listener }).payload.into_handle().expect("a handle");
        assert_eq!(world.port.kind(accepted).expect("open"), Kind::Datagram);
        assert_eq!(receive(&mut world.port, accepted), Poll::Ready(b"one".to_vec()));
        assert_eq!(receive(&mut world.port, accepted), Poll::Ready(b"two".to_vec()));
        let refused = world.run(Op::Recv { socket: accepted });
        assert_eq!(refused.result.expect_err("no stream").raw_os_error(), Some(os::EINVAL));
    });
}

fn receive_from(port: &mut Port, socket: Handle) -> Poll<Vec<u8>> {
    let mut data = Vec::with_capacity(2_000);
    port.poll_recv_from(socket, &mut data, ASKED).map(|received| {
        let (len, from) = received.expect("received");
        assert!(len == data.len() && from.is_some());
        data
    })
}

/// 10, 12, 13: what is received ahead is bounded on each handle, waits in order for whoever asks, and leaves buffers to the
/// others; closing and dropping find nothing amiss.
#[test]
fn i12_datagrams_received_ahead_are_bounded_and_none_is_lost() {
    on_every_engine("i12_datagrams_received_ahead_are_bounded_and_none_is_lost", |engine| {
        let mut config = engine.config();
        config.unread_max = 8 << 10;
        let mut world = World::new(config);
        let mut sockets = Vec::new();
        for _ in 0..repeat(24, 100) {
            let near = UdpSocket::bind("127.0.0.1:0").expect("loopback");
            let far = UdpSocket::bind("127.0.0.1:0").expect("loopback");
            far.connect(near.local_addr().expect("address")).expect("connects");
            let socket = world.port.adopt(near, 0).expect("adopts");
            assert!(receive_from(&mut world.port, socket).is_pending());
            sockets.push((socket, far));
        }
        world.turns(2);
        // Nobody takes anything: each socket keeps its share, the kernel the rest.
        for n in 0..80u8 {
            for (_, far) in &sockets {
                far.send(&[n; 40]).expect("sent");
            }
            world.turns(1);
        }
        // Thirty-two of them are the bound, and a pause takes effect within a few turns.
        let ahead = world.port.statistics().bytes_received / 40;
        assert!(ahead <= 64 * sockets.len() as u64, "{ahead} received ahead of {}", sockets.len());
        let can = world.port.features().contains(Features::MULTISHOT_RECV | Features::BUFFER_RING);
        assert_eq!(ahead > 0, can, "{ahead} received ahead");
        let told = world.stashed(ASKED);
        assert!(told <= sockets.len(), "told once each: {told}");
        for (socket, far) in &sockets {
            for n in 0..80u8 {
                world.until("a datagram", |world| match receive_from(&mut world.port, *socket) {
                    Poll::Ready(data) => {
                        assert_eq!(data, [n; 40]);
                        true
                    }
                    Poll::Pending => false,
                });
            }
            assert!(receive_from(&mut world.port, *socket).is_pending());
            far.send(b"unread").expect("sent");
        }
        world.turns(2);
        let (socket, _) = sockets.swap_remove(0);
        world.close(socket);
        assert!(matches!(world.port.poll_recv_from(socket, &mut Vec::with_capacity(1), ASKED), Poll::Ready(Err(_))));
        drop(world);
    });
}
