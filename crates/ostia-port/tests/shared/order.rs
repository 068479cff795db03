//! Invariants 1 and 2: packets leave first in first out, threads are released last in first out.

use std::sync::mpsc::channel;
use std::time::Duration;

use ostia_port::{Op, Packet};

use crate::common::peers::{pipe, tcp_pair};
use crate::native::{LIFO, wine_lacks};
use crate::{on_every_shared, post, shared, take, until};

/// 1: by one thread, several, and in batches of every size.
#[test]
fn s01_posted_packets_leave_first_in_first_out() {
    on_every_shared("s01_posted_packets_leave_first_in_first_out", |engine| {
        let port = shared(engine, 1);
        (0..100).for_each(|n| post(&port, n));
        let mut next = 0;
        let mut batch = Vec::new();
        while next < 100 {
            if next % 3 == 0 {
                let done = take(&port);
                assert_eq!(done.context, next);
                next += 1;
                continue;
            }
            let max = next as usize % 7 + 1;
            let count = port.wait_batch(&mut batch, max, Some(Duration::ZERO)).expect("not ended");
            assert!((1..=max).contains(&count) && count == batch.len());
            for done in batch.drain(..) {
                assert_eq!(done.context, next);
                next += 1;
            }
        }
        assert!(port.wait(Some(Duration::ZERO)).expect("not ended").is_none(), "no more than were posted");
    });
}

/// 1: a poster's packets keep their order among those of others.
#[test]
fn s01_each_posters_packets_keep_their_order() {
    on_every_shared("s01_each_posters_packets_keep_their_order", |engine| {
        let port = shared(engine, 1);
        std::thread::scope(|scope| {
            for poster in 0..4 {
                let port = &port;
                scope.spawn(move || {
                    for n in 0..500 {
                        port.post(Packet { key: poster, context: n, result: n as usize }).expect("room");
                    }
                });
            }
            let mut next = [0; 4];
            for _ in 0..2000 {
                let done = take(&port);
                assert!(done.id.is_none() && !done.more);
                assert_eq!(done.context, next[done.key as usize]);
                assert_eq!(done.result.expect("a packet's result"), done.context as usize);
                next[done.key as usize] += 1;
            }
        });
    });
}

/// 1: reaped packets stand behind those that came before and in front of those that come after.
#[test]
fn s01_reaped_packets_stand_in_the_same_queue() {
    on_every_shared("s01_reaped_packets_stand_in_the_same_queue", |engine| {
        let port = shared(engine, 1);
        let (near, far) = tcp_pair();
        let socket = port.adopt(near, 5).expect("adopts");
        post(&port, 1);
        port.submit(Op::Recv { socket }, 2).expect("taken");
        std::io::Write::write_all(&mut &far, b"x").expect("sent");
        until(&port, "the received byte", |load| load.packets == 2);
        post(&port, 3);
        let order: Vec<u64> = (0..3).map(|_| take(&port).context).collect();
        assert_eq!(order, [1, 2, 3]);
    });
}

/// 1: two receives on one handle complete in their order, the bytes too.
#[test]
fn s01_a_streams_chunks_keep_their_order() {
    on_every_shared("s01_a_streams_chunks_keep_their_order", |engine| {
        let port = shared(engine, 1);
        let (read, write) = pipe();
        let file = port.adopt(read, 0).expect("adopts");
        port.submit(Op::ReadMulti { file }, 9).expect("taken");
        let sent: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut write = std::fs::File::from(write);
                for part in sent.chunks(700) {
                    std::io::Write::write_all(&mut write, part).expect("written");
                }
            });
            while got.len() < sent.len() {
                let done = take(&port);
                assert!(done.more, "it goes on");
                got.extend_from_slice(&done.payload.into_chunk().expect("bytes"));
            }
        });
        assert!(got == sent, "the bytes in their order");
    });
}

/// 2: threads that wait in a known order are released in the reverse one, each with the packet that is its turn.
#[test]
fn s02_threads_are_released_last_in_first_out() {
    if wine_lacks("s02_threads_are_released_last_in_first_out", LIFO) {
        return;
    }
    on_every_shared("s02_threads_are_released_last_in_first_out", |engine| {
        const THREADS: usize = 5;
        let port = shared(engine, THREADS);
        let (report, reports) = channel();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (near, report) = (&port, report.clone());
                scope.spawn(move || {
                    let done = take(near);
                    report.send((thread, done.context)).expect("heard");
                    // Running until it ends, so that nobody else's packet comes here.
                });
                until(&port, "the thread on the stack", |load| load.waiting == thread + 1);
            }
            (0..THREADS as u64).for_each(|n| post(&port, n));
        });
        let mut released: Vec<(usize, u64)> = reports.try_iter().collect();
        released.sort_unstable_by_key(|&(_, packet)| packet);
        let order: Vec<usize> = released.into_iter().map(|(thread, _)| thread).collect();
        assert_eq!(order, [4, 3, 2, 1, 0]);
        until(&port, "their ends", |load| load.members == 0);
    });
}

/// 2: the same thread gets packet after packet as long as it comes back in time; the others sleep on.
#[test]
fn s02_the_same_thread_stays_on_top() {
    if wine_lacks("s02_the_same_thread_stays_on_top", LIFO) {
        return;
    }
    on_every_shared("s02_the_same_thread_stays_on_top", |engine| {
        let port = shared(engine, 2);
        let (answer, answers) = channel();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (near, answer) = (&port, answer.clone());
                scope.spawn(move || {
                    while let Ok(Some(done)) = near.wait(None) {
                        answer.send((thread, done.context)).expect("heard");
                    }
                });
                until(&port, "the thread on the stack", |load| load.waiting == thread + 1);
            }
            for n in 0..50 {
                post(&port, n);
                assert_eq!(answers.recv().expect("a thread lives"), (2, n));
                until(&port, "it waits again", |load| load.waiting == 3);
            }
            port.end();
        });
    });
}
