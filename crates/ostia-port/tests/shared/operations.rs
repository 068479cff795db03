//! Invariants 6 to 8: operations belong to the port, cancels are never lost, full queues lose nothing.

use std::collections::HashSet;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ostia_port::{Op, OpId, Packet, Refused, SharedConfig, SharedPort};

use crate::common::peers::{narrow_pair, pipe, tcp_pair};
use crate::common::world::is_cancelled;
use crate::common::{Random, repeat};
use crate::{config, on_every_shared, post, shared, take, until};

/// 6: threads submit and end at once, member or not; with the kernel's default flags their requests would end with them.
#[test]
fn s06_operations_outlive_the_thread_that_submitted_them() {
    on_every_shared("s06_operations_outlive_the_thread_that_submitted_them", |engine| {
        let port = shared(engine, 2);
        let mut peers = Vec::new();
        for n in 0..repeat(10, 200) as u64 {
            let (near, far) = tcp_pair();
            let submitter = port.clone();
            std::thread::spawn(move || {
                if n % 2 == 0 {
                    post(&submitter, 1000);
                    assert_eq!(take(&submitter).context, 1000, "it is a member");
                }
                let socket = submitter.adopt(near, n).expect("adopts");
                submitter.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(64) }, n).expect("taken");
                submitter.submit(Op::RecvMulti { socket }, n).expect("taken");
            })
            .join()
            .expect("no panic");
            peers.push(far);
        }
        // All their threads have gone; a turn of the port later the requests are still there.
        port.statistics().expect("not ended");
        assert_eq!(port.load().packets, 0, "nothing was cancelled");
        for (n, far) in peers.iter_mut().enumerate() {
            far.write_all(b"still there").expect("sent");
            let done = take(&port);
            assert_eq!(done.context, n as u64);
            assert!(done.result.is_ok(), "{:?}", done.result);
            // What the first has left, and the end.
            rustix::net::shutdown(&*far, rustix::net::Shutdown::Write).expect("shut down");
            loop {
                let done = take(&port);
                assert_eq!(done.context, n as u64);
                if !done.more {
                    assert_eq!(done.result.expect("the end"), 0);
                    break;
                }
            }
        }
    });
}

/// 7: a cancel right after its submission, when the port thread has seen neither.
#[test]
fn s07_a_cancel_may_come_before_the_operation() {
    on_every_shared("s07_a_cancel_may_come_before_the_operation", |engine| {
        let port = shared(engine, 1);
        let (read, _write) = pipe();
        let file = port.adopt(read, 0).expect("adopts");
        for n in 0..repeat(300, 10_000) as u64 {
            let id = port.submit(Op::Read { file, buffer: Vec::with_capacity(4) }, n).expect("taken");
            port.cancel(id);
            port.cancel(id);
            let done = take(&port);
            assert_eq!((done.id, done.context, done.more), (Some(id), n, false));
            assert!(is_cancelled(&done), "{:?}", done.result);
            assert!(done.payload.into_vec().capacity() >= 4, "the buffer comes back");
            port.cancel(id);
        }
        until(&port, "nothing is left", |load| load.operations == 0 && load.packets == 0);
    });
}

/// 7: from another thread, at a moment that chance decides, with completion racing: one packet, whichever was faster.
#[test]
fn s07_a_cancel_races_with_completion() {
    on_every_shared("s07_a_cancel_races_with_completion", |engine| {
        let port = shared(engine, 1);
        let (near, mut far) = tcp_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        let (send, ids) = std::sync::mpsc::channel::<OpId>();
        let canceller = port.clone();
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(7);
            for id in ids {
                (0..random.below(400)).for_each(|_| std::hint::spin_loop());
                canceller.cancel(id);
            }
        });
        let mut random = Random::new(8);
        let (mut received, mut sent, mut cancelled) = (0, 0, 0);
        for n in 0..repeat(300, 20_000) as u64 {
            let id = port.submit(Op::Recv { socket }, n).expect("taken");
            send.send(id).expect("alive");
            (0..random.below(400)).for_each(|_| std::hint::spin_loop());
            if random.one_in(2) {
                far.write_all(b"x").expect("sent");
                sent += 1;
            }
            let done = take(&port);
            assert_eq!((done.id, done.context), (Some(id), n));
            match is_cancelled(&done) {
                true => cancelled += 1,
                false => received += done.result.expect("received"),
            }
        }
        drop(send);
        thread.join().expect("no panic");
        drop(far);
        // What no operation has taken is still there: cancelling a receive loses nothing.
        loop {
            port.submit(Op::Recv { socket }, 0).expect("taken");
            match take(&port).result.expect("received") {
                0 => break,
                count => received += count,
            }
        }
        assert_eq!(received, sent);
        assert!(cancelled > 0, "some were cancelled");
    });
}

/// 7 and 8: a submission queue of four, with a cancel for each operation behind it.
#[test]
fn s07_cancels_pass_a_full_queue() {
    on_every_shared("s07_cancels_pass_a_full_queue", |engine| {
        let port = SharedPort::with(SharedConfig { submissions_max: 4, ..config(engine, 2) }).expect("a port");
        let each = repeat(200, 5000) as u64;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let port = &port;
                scope.spawn(move || {
                    for n in 0..each {
                        let op = Op::Timeout { after: Duration::from_secs(1000) };
                        let id = port.submit(op, thread * each + n).expect("taken");
                        port.cancel(id);
                    }
                });
            }
            let mut seen = HashSet::new();
            for _ in 0..4 * each {
                let done = take(&port);
                assert!(is_cancelled(&done), "an hour has not passed");
                assert!(seen.insert(done.context), "twice");
            }
        });
        until(&port, "nothing is left", |load| load.operations == 0 && load.packets == 0 && load.commands == 0);
    });
}

/// 8: a full queue gives the operation back, or has it wait; either way each is carried out once. Operations that end at
/// once and those that wait mix.
#[test]
fn s08_a_full_submission_queue_loses_nothing() {
    on_every_shared("s08_a_full_submission_queue_loses_nothing", |engine| {
        let port = SharedPort::with(SharedConfig { submissions_max: 2, ..config(engine, 2) }).expect("a port");
        let each = repeat(500, 20_000) as u64;
        let full = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (port, full) = (&port, &full);
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    for n in 0..each {
                        let mut op = Op::Timeout { after: Duration::from_millis(random.below(3) as u64) };
                        let context = thread * each + n;
                        if random.one_in(2) {
                            port.submit(op, context).expect("waits for room");
                            continue;
                        }
                        while let Err(refused) = port.try_submit(op, context) {
                            assert!(refused.is_full());
                            full.fetch_add(1, Ordering::Relaxed);
                            op = refused.into_inner();
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut seen = HashSet::new();
            for _ in 0..4 * each {
                let done = take(&port);
                assert!(done.result.is_ok() && seen.insert(done.context));
            }
        });
        assert_eq!(port.load().operations, 0);
        println!("{} refusals", full.into_inner());
    });
}

/// 8: posted packets are bounded, and the bound is told.
#[test]
fn s08_posted_packets_are_bounded() {
    on_every_shared("s08_posted_packets_are_bounded", |engine| {
        let port = SharedPort::with(SharedConfig { posted_max: 3, ..config(engine, 1) }).expect("a port");
        (0..3).for_each(|n| post(&port, n));
        let packet = Packet { key: 1, context: 2, result: 3 };
        assert_eq!(port.post(packet), Err(Refused::Full(packet)));
        assert_eq!(take(&port).context, 0);
        port.post(packet).expect("there is room");
    });
}

/// 8: members that are far behind hold the port thread back, not the commands; nothing is lost, and bytes that nobody takes
/// close the sender's window.
#[test]
fn s08_members_that_are_behind_hold_receiving_back() {
    on_every_shared("s08_members_that_are_behind_hold_receiving_back", |engine| {
        let port = SharedPort::with(SharedConfig { reaped_max: 4, ..config(engine, 1) }).expect("a port");
        let (near, far) = narrow_pair();
        let socket = port.adopt(near, 0).expect("adopts");
        port.submit(Op::RecvMulti { socket }, 1).expect("taken");
        let total = 4usize << 20;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let part = [7u8; 4096];
                for _ in 0..total / part.len() {
                    (&far).write_all(&part).expect("sent");
                }
                rustix::net::shutdown(&far, rustix::net::Shutdown::Write).expect("shut down");
            });
            until(&port, "packets wait", |load| load.packets >= 4);
            // Commands and timers still go on while packets wait.
            for n in 0..20 {
                let id = port.submit(Op::Timeout { after: Duration::from_secs(1000) }, 100 + n).expect("taken");
                port.cancel(id);
                port.statistics().expect("answered");
                assert!(port.load().packets <= 4, "no more are reaped than may wait");
            }
            let (mut received, mut timers) = (0, 0);
            while received < total || timers < 20 {
                let done = take(&port);
                match done.context {
                    1 => received += done.payload.into_chunk().expect("bytes").len(),
                    _ => timers += 1,
                }
                assert!(port.load().packets <= 4);
            }
            assert_eq!((received, timers), (total, 20));
        });
        let end = take(&port);
        assert_eq!((end.result.expect("the end"), end.more), (0, false));
    });
}

/// 8: a repeating operation has one last packet, and its name ends with it.
#[test]
fn s08_a_repeating_operation_ends_once() {
    on_every_shared("s08_a_repeating_operation_ends_once", |engine| {
        let port = shared(engine, 1);
        let peer = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = peer.local_addr().expect("address");
        let listener = port.adopt(peer, 6).expect("adopts");
        let id = port.submit(Op::AcceptMulti { listener }, 1).expect("taken");
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(std::net::TcpStream::connect(address).expect("connects"));
            let done = take(&port);
            assert_eq!((done.id, done.key, done.more), (Some(id), 6, true));
        }
        assert_eq!(port.load().operations, 1);
        port.cancel(id);
        let last = take(&port);
        assert!(is_cancelled(&last) && last.id == Some(id) && !last.more);
        until(&port, "its name has ended", |load| load.operations == 0);
        assert!(port.wait(Some(Duration::ZERO)).expect("not ended").is_none());
    });
}
