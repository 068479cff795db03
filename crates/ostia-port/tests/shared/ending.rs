//! Invariants 9 and 10: how threads are stopped, and what the end of the port leaves.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ostia_port::{Op, Packet, Payload, Refused, SharedConfig, SharedPort};

use crate::common::peers::{pipe, tcp_pair};
use crate::common::{open_descriptors, repeat};
use crate::{config, on_every_shared, post, shared, take, until};

const STOP: u64 = u64::MAX;

/// 9: as many exit packets as threads: everything that was queued before is dealt with, and each thread takes one.
#[test]
fn s09_exit_packets_stop_each_thread_once() {
    on_every_shared("s09_exit_packets_stop_each_thread_once", |engine| {
        const THREADS: usize = 4;
        let port = shared(engine, 2);
        let handled = AtomicUsize::new(0);
        (0..100).for_each(|n| post(&port, n));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while take(&port).key != STOP {
                        handled.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            (100..200).for_each(|n| post(&port, n));
            for _ in 0..THREADS {
                port.post(Packet { key: STOP, context: 0, result: 0 }).expect("room");
            }
        });
        assert_eq!(handled.into_inner(), 200);
        until(&port, "each took one", |load| load.members == 0 && load.packets == 0);
    });
}

/// 9: an end wakes everybody, whatever they wait for, and everything is refused afterwards.
#[test]
fn s09_the_end_wakes_everybody_and_refuses_everything() {
    on_every_shared("s09_the_end_wakes_everybody_and_refuses_everything", |engine| {
        for round in 0..repeat(5, 200) {
            let port = shared(engine, 2);
            let (read, _write) = pipe();
            let file = port.adopt(read, 0).expect("adopts");
            let id = port.submit(Op::Read { file, buffer: Vec::with_capacity(4) }, 0).expect("taken");
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let port = &port;
                    scope.spawn(move || {
                        let timeout = (thread % 2 == 0).then_some(Duration::from_secs(1000));
                        while port.wait(timeout).is_ok_and(|packet| packet.is_some()) {}
                        assert!(port.wait(timeout).is_err(), "and every wait after it");
                    });
                }
                if round % 2 == 0 {
                    until(&port, "all wait", |load| load.waiting == 4);
                }
                post(&port, 1);
                port.end();
            });
            let ended = port.ended().expect("it has ended");
            assert!(ended.cause().is_none() && ended.to_string().contains("ended"));
            let op = Op::Read { file, buffer: Vec::with_capacity(4) };
            assert!(matches!(port.submit(op, 0), Err(Refused::Ended(Op::Read { buffer, .. })) if buffer.capacity() >= 4));
            let packet = Packet { key: 1, context: 1, result: 1 };
            assert_eq!(port.post(packet), Err(Refused::Ended(packet)));
            assert_eq!(port.adopt(pipe().0, 0).expect_err("ended").kind(), std::io::ErrorKind::BrokenPipe);
            assert_eq!(port.associate(file, 1).expect_err("ended").kind(), std::io::ErrorKind::BrokenPipe);
            assert!(port.statistics().is_err() && port.duplicate(file).is_err());
            port.cancel(id);
            port.close(file);
            port.end();
            assert!(port.wait_batch(&mut Vec::new(), 4, None).is_err());
        }
    });
}

/// 9: whoever waits for room in the submission queue, or for an answer, hears of the end too.
#[test]
fn s09_the_end_reaches_those_that_submit() {
    on_every_shared("s09_the_end_reaches_those_that_submit", |engine| {
        for _ in 0..repeat(5, 200) {
            let port = SharedPort::with(SharedConfig { submissions_max: 1, ..config(engine, 2) }).expect("a port");
            std::thread::scope(|scope| {
                for thread in 0..3 {
                    let port = &port;
                    scope.spawn(move || {
                        loop {
                            let over = match thread {
                                0 => port.statistics().is_err(),
                                1 => port.adopt(pipe().0, 0).is_err(),
                                _ => port.submit(Op::Timeout { after: Duration::from_secs(1000) }, 0).is_err(),
                            };
                            if over {
                                break;
                            }
                        }
                    });
                }
                until(&port, "operations in flight", |load| load.operations > 20);
                port.end();
            });
        }
    });
}

/// 10: the last clone takes everything along, with operations of every kind in flight, packets not taken, handles not
/// closed; descriptors are counted, and the peers see the end.
#[test]
fn s10_the_last_clone_takes_everything_along() {
    on_every_shared("s10_the_last_clone_takes_everything_along", |engine| {
        let before = open_descriptors();
        for round in 0..repeat(5, 200) {
            let port = shared(engine, 2);
            let mut peers = Vec::new();
            for n in 0..20u64 {
                let (near, far) = tcp_pair();
                let socket = port.adopt(near, n).expect("adopts");
                port.submit(Op::RecvMulti { socket }, n).expect("taken");
                port.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(100) }, n).expect("taken");
                port.submit(Op::Send { socket, data: vec![1; 1 << 20].into() }, n).expect("taken");
                std::io::Write::write_all(&mut &far, b"some").expect("sent");
                peers.push(far);
            }
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let address = listener.local_addr().expect("address");
            let listener = port.adopt(listener, 0).expect("adopts");
            port.submit(Op::AcceptMulti { listener }, 0).expect("taken");
            peers.push(std::net::TcpStream::connect(address).expect("connects"));
            port.submit(Op::Timeout { after: Duration::from_secs(1000) }, 0).expect("taken");
            let chunk = if round % 2 == 0 {
                loop {
                    if let Payload::Chunk(chunk) = take(&port).payload {
                        break Some(chunk);
                    }
                }
            } else {
                None
            };
            let clones = [port.clone(), port.clone()];
            drop(port);
            assert!(clones[0].ended().is_none(), "a clone keeps it");
            let mut clones = clones.into_iter();
            // Wherever the last one is dropped.
            let last = clones.next_back();
            std::thread::spawn(move || drop(clones)).join().expect("no panic");
            std::thread::spawn(move || drop(last)).join().expect("no panic");
            if let Some(chunk) = chunk {
                assert_eq!(&*chunk, b"some", "lent bytes outlive the port");
            }
            for mut far in peers {
                far.set_read_timeout(Some(crate::common::patience())).expect("SO_RCVTIMEO");
                let mut rest = [0; 16 << 10];
                while !matches!(far.read(&mut rest), Ok(0) | Err(_)) {}
            }
        }
        // This thread still belongs to the last port it waited on, which holds no descriptor.
        assert_eq!(open_descriptors(), before);
        assert_eq!(ostia_port::leaked_requests(), 0);
    });
}

/// 10: wrong settings are named.
#[test]
fn s10_wrong_settings_are_named() {
    on_every_shared("s10_wrong_settings_are_named", |engine| {
        let base = || config(engine, 1);
        let wrong = [
            ("submissions_max", SharedConfig { submissions_max: 0, ..base() }),
            ("reaped_max", SharedConfig { reaped_max: 0, ..base() }),
            ("posted_max", SharedConfig { posted_max: 0, ..base() }),
            ("watch_every", SharedConfig { watch_every: Some(Duration::ZERO), ..base() }),
            ("gather", SharedConfig { gather: Duration::from_millis(11), ..base() }),
            ("accepted_max", SharedConfig { port: ostia_port::Config { accepted_max: 0, ..engine.config() }, ..base() }),
        ];
        for (name, config) in wrong {
            let error = SharedPort::with(config).expect_err(name);
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name), "{error}");
        }
        let port = SharedPort::with(SharedConfig { concurrency: 0, ..base() }).expect("a port");
        assert_eq!(port.concurrency(), std::thread::available_parallelism().map_or(1, usize::from));
    });
}
