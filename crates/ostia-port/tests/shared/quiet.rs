//! Invariant 8 for what was submitted quietly: success has no packet, failure has one, and bytes go out whole and in order.

use std::io::Read;
use std::net::{Shutdown, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ostia_port::{Op, Payload, SharedConfig, SharedPort};

use crate::common::peers::{narrow_pair, read_up_to, reset, tcp_pair};
use crate::common::world::is_cancelled;
use crate::common::{Random, repeat};
use crate::stress::exchange;
use crate::{config, on_every_shared, shared, take, until};

/// Nothing is in flight any more, and nobody was told.
#[track_caller]
fn assert_silence(port: &SharedPort) {
    until(port, "all is over", |load| load.operations == 0 && load.commands == 0);
    // A turn of the port later what has completed would have been reaped.
    port.statistics().expect("not ended");
    port.statistics().expect("not ended");
    assert_eq!(port.load().packets, 0, "somebody was told");
}

/// Quiet sends and others take turns on one stream: all bytes arrive, in order, and only the others have packets.
#[test]
fn s08_quiet_sends_keep_their_place_and_say_nothing() {
    on_every_shared("s08_quiet_sends_keep_their_place_and_say_nothing", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 5).expect("adopts");
        let mut random = Random::new(3);
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        for n in 0..repeat(300, 10_000) as u64 {
            let data = vec![n as u8; random.below(3000)];
            expected.extend_from_slice(&data);
            if random.one_in(3) {
                port.submit(Op::Send { socket, data: data.into() }, n).expect("taken");
                let done = take(&port);
                assert_eq!((done.key, done.context, done.result.is_ok()), (5, n, true));
            } else {
                port.submit_quietly(Op::Send { socket, data: data.into() }, n).expect("taken");
            }
            if random.one_in(4) {
                read_up_to(&far, &mut got, expected.len());
            }
        }
        read_up_to(&far, &mut got, expected.len());
        assert!(got == expected, "{} of {} bytes, or others", got.len(), expected.len());
        assert_silence(&port);
    });
}

/// A peer that takes nothing for a while: what finds no place in the handle's queue waits as an operation, and nothing is
/// lost, told or overtaken.
#[test]
fn s08_quiet_sends_wait_for_a_slow_peer() {
    on_every_shared("s08_quiet_sends_wait_for_a_slow_peer", |engine| {
        let port = shared(engine, 1);
        let (near, far) = narrow_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        let mut expected = Vec::new();
        for n in 0..60u8 {
            let data = vec![n; 4096];
            expected.extend_from_slice(&data);
            port.submit_quietly(Op::Send { socket, data: data.into() }, u64::from(n)).expect("taken");
        }
        until(&port, "the port thread has them all", |load| load.commands == 0);
        assert!(port.load().operations > 0, "those for which there was no room are operations");
        let mut got = Vec::new();
        read_up_to(&far, &mut got, expected.len());
        assert!(got == expected, "{} of {} bytes, or others", got.len(), expected.len());
        assert_silence(&port);
        // Closing sends what was accepted first.
        port.submit_quietly(Op::Send { socket, data: vec![9; 4096].into() }, 0).expect("taken");
        port.submit_quietly(Op::Close { handle: socket }, 0).expect("taken");
        let mut rest = Vec::new();
        (&far).read_to_end(&mut rest).expect("the end");
        assert_eq!(rest, [9; 4096]);
        assert_silence(&port);
    });
}

/// A failure has its packet, with the context; with the buffer if the operation never began.
#[test]
fn s08_quiet_failures_are_told() {
    on_every_shared("s08_quiet_failures_are_told", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let closed = port.adopt(near, 3).expect("adopts");
        port.close(closed);
        for op in [Op::Send { socket: closed, data: vec![1; 8].into() }, Op::Shutdown { socket: closed, how: Shutdown::Write }] {
            let sends = matches!(op, Op::Send { .. });
            let id = port.submit_quietly(op, 77).expect("taken");
            let done = take(&port);
            assert_eq!((done.id, done.context), (Some(id), 77));
            assert_eq!(done.result.expect_err("it is closed").raw_os_error(), Some(ostia_port::os::EBADF));
            assert_eq!(done.payload.into_vec().len(), if sends { 8 } else { 0 });
        }
        drop(far);

        // The peer has gone: the first send or two may still find a place, then it is told.
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 4).expect("adopts");
        reset(far);
        let mut tried = 0u64;
        let done = loop {
            assert!(tried < 10_000, "nobody was told");
            port.submit_quietly(Op::Send { socket, data: vec![2; 8].into() }, tried).expect("taken");
            tried += 1;
            if let Some(done) = port.wait(Some(Duration::from_millis(1))).expect("not ended") {
                break done;
            }
        };
        assert!(done.context < tried && done.key == 4);
        let errno = done.result.expect_err("the peer has gone").raw_os_error();
        assert!(matches!(errno, Some(ostia_port::os::EPIPE | ostia_port::os::ECONNRESET)), "{errno:?}");
    });
}

/// What brings something has its packet all the same, and a datagram that nobody wants spoils none that follows.
#[test]
fn s08_quiet_is_only_what_success_says_all_about() {
    on_every_shared("s08_quiet_is_only_what_success_says_all_about", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 1).expect("adopts");
        std::io::Write::write_all(&mut &far, b"told").expect("sent");
        let mut told = Vec::with_capacity(8);
        // Faults make short receives.
        while told.len() < 4 {
            port.submit_quietly(Op::RecvInto { socket, buffer: told }, 10).expect("taken");
            let done = take(&port);
            assert!(done.context == 10 && done.result.is_ok_and(|len| len > 0));
            told = done.payload.into_vec();
        }
        assert_eq!(told, b"told");
        port.submit_quietly(Op::Timeout { after: Duration::from_millis(1) }, 11).expect("taken");
        assert_eq!(take(&port).context, 11);
        port.submit_quietly(Op::SendVectored { socket, data: vec![vec![1; 3].into(), vec![2; 2].into()] }, 12).expect("taken");
        port.submit_quietly(Op::Shutdown { socket, how: Shutdown::Write }, 13).expect("taken");
        let mut all = Vec::new();
        (&far).read_to_end(&mut all).expect("the end");
        assert_eq!(all, [1, 1, 1, 2, 2]);

        let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let own = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        own.connect(peer.local_addr().expect("address")).expect("connects");
        let socket = port.adopt(own, 2).expect("adopts");
        for n in 0..20u8 {
            port.submit_quietly(Op::Send { socket, data: vec![n; 4].into() }, 14).expect("taken");
            let mut datagram = [0; 8];
            assert_eq!(peer.recv(&mut datagram).expect("received"), 4);
            assert_eq!(datagram[..4], [n; 4]);
        }
        assert_silence(&port);
    });
}

/// A cancel finds a quiet send that waits for room, or finds it over.
#[test]
fn s07_a_quiet_send_can_be_cancelled() {
    on_every_shared("s07_a_quiet_send_can_be_cancelled", |engine| {
        let port = shared(engine, 1);
        let (near, far) = narrow_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        let ids: Vec<_> = (0..64u64)
            .map(|n| port.submit_quietly(Op::Send { socket, data: vec![1; 16 << 10].into() }, n).expect("taken"))
            .collect();
        let (last, context) = (ids[63], 63);
        port.cancel(last);
        // The queue in front of it is longer than what the peer and the port hold: it had to wait.
        let done = take(&port);
        assert_eq!((done.id, done.context), (Some(last), context));
        assert!(is_cancelled(&done), "{:?}", done.result);
        assert!(matches!(done.payload, Payload::Buffer(bytes) if bytes.len() == 16 << 10), "the buffer comes back");
        // The first was taken over at once.
        port.cancel(ids[0]);
        let mut got = Vec::new();
        read_up_to(&far, &mut got, 63 * (16 << 10));
        assert_eq!(got.len(), 63 * (16 << 10));
        assert_silence(&port);
    });
}

/// Members that answer quietly: the send and the next receive are submitted together, and streams are whole, whether the
/// port thread gathers turns or not: with one that may run, packets always wait.
#[test]
fn s11_streams_that_are_answered_quietly_are_whole() {
    on_every_shared("s11_streams_that_are_answered_quietly_are_whole", |engine| {
        for (concurrency, gather) in [(2, 0), (1, 100), (1, 10_000)] {
            let gather = Duration::from_micros(gather);
            let port = SharedPort::with(SharedConfig { gather, ..config(engine, concurrency) }).expect("a port");
            answer_quietly(&port);
        }
    });
}

fn answer_quietly(port: &SharedPort) {
    let (streams, bytes) = (6, repeat(200_000, 4_000_000));
    let mut peers = Vec::new();
    let mut handles = Vec::new();
    for number in 0..streams {
        let (near, far) = tcp_pair();
        handles.push(port.adopt(near, number).expect("adopts"));
        peers.push(far);
    }
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while ended.load(Ordering::SeqCst) < streams as usize {
                    let Some(done) = port.wait(Some(Duration::from_millis(5))).expect("not ended") else { continue };
                    let socket = handles[done.key as usize];
                    match done.payload.into_chunk() {
                        Some(bytes) => {
                            port.submit_quietly(Op::Send { socket, data: bytes.into() }, 0).expect("taken");
                            port.submit(Op::Recv { socket }, 0).expect("taken");
                        }
                        None => {
                            assert_eq!(done.result.expect("the end"), 0);
                            port.close(socket);
                            ended.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        for socket in &handles {
            port.submit(Op::Recv { socket: *socket }, 0).expect("taken");
        }
        let clients: Vec<_> =
            peers.into_iter().zip(0..).map(|(far, number)| scope.spawn(move || exchange(far, number, bytes))).collect();
        clients.into_iter().for_each(|client| client.join().expect("a stream was not whole"));
    });
    until(port, "nothing is left", |load| load.operations == 0);
}
