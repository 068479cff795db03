//! Invariants 3 and 4: how many threads run, and where a thread belongs.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{Random, patience, repeat};
use crate::native::{LIMIT, wine_lacks};
use crate::{config, on_every_shared, post, shared, take, until};
use ostia_port::SharedPort;

/// A port that never looks who is asleep, so that only what threads say counts.
fn unwatched(engine: &crate::common::Engine, concurrency: usize) -> SharedPort {
    SharedPort::with(ostia_port::SharedConfig { watch_every: None, ..config(engine, concurrency) }).expect("a port")
}

/// 3: counted by the handlers themselves, with more threads than may run and packets in plenty.
#[test]
fn s03_no_more_run_than_may() {
    if wine_lacks("s03_no_more_run_than_may", LIMIT) {
        return;
    }
    on_every_shared("s03_no_more_run_than_may", |engine| {
        for concurrency in 1..=3 {
            let port = unwatched(engine, concurrency);
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let count = repeat(2000, 50_000);
            std::thread::scope(|scope| {
                for thread in 0..6 {
                    let (port, running, most) = (&port, &running, &most);
                    scope.spawn(move || {
                        let mut random = Random::new(thread);
                        while let Ok(Some(_)) = port.wait(None) {
                            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            if random.one_in(4) {
                                std::thread::yield_now();
                            }
                            running.fetch_sub(1, Ordering::SeqCst);
                        }
                    });
                }
                (0..count as u64).for_each(|n| post(&port, n));
                until(&port, "all packets are dealt with", |load| load.packets == 0 && load.waiting == 6);
                port.end();
            });
            let most = most.into_inner();
            assert!((1..=concurrency).contains(&most), "{most} ran, {concurrency} may");
        }
    });
}

/// 3: a thread in `blocking` lets another in; when it goes on nobody is stopped, and nobody released either until one of
/// them has come back.
#[test]
fn s03_blocking_lets_another_in() {
    if wine_lacks("s03_blocking_lets_another_in", LIMIT) {
        return;
    }
    on_every_shared("s03_blocking_lets_another_in", |engine| {
        let port = unwatched(engine, 1);
        let (took, taken) = channel();
        let (go, gone) = channel::<()>();
        let (counted, was_counted) = channel::<()>();
        std::thread::scope(|scope| {
            let (first, first_took) = (port.clone(), took.clone());
            scope.spawn(move || {
                first_took.send((1, take(&first).context)).expect("heard");
                let answer = first.blocking(|| {
                    // Nested: the inner one changes nothing.
                    first.blocking(|| ());
                    gone.recv().expect("told to go on");
                    42
                });
                assert_eq!(answer, 42);
                assert_eq!(first.load().running, 2, "both run for a while");
                post(&first, 13);
                assert!(first.wait(Some(Duration::ZERO)).expect("not ended").is_none(), "one runs, and no more may");
                counted.send(()).expect("heard");
            });
            post(&port, 10);
            assert_eq!(taken.recv().expect("alive"), (1, 10));
            let second = port.clone();
            scope.spawn(move || {
                for _ in 0..2 {
                    took.send((2, take(&second).context)).expect("heard");
                }
                was_counted.recv().expect("told to come back");
                took.send((2, take(&second).context)).expect("heard");
            });
            // While the first is in `blocking`, the second gets what comes.
            post(&port, 11);
            assert_eq!(taken.recv().expect("alive"), (2, 11));
            until(&port, "the second waits again", |load| load.waiting == 1);
            post(&port, 12);
            assert_eq!(taken.recv().expect("alive"), (2, 12));
            go.send(()).expect("heard");
            assert_eq!(taken.recv().expect("alive"), (2, 13), "the one that came back first");
        });
        until(&port, "the count is right afterwards", |load| load.running == 0 && load.members == 0);
    });
}

/// 3: a handler's panic doesn't leave its thread counted as blocked; its end counts it out.
#[test]
fn s03_a_panic_in_blocking_is_undone() {
    on_every_shared("s03_a_panic_in_blocking_is_undone", |engine| {
        let port = unwatched(engine, 1);
        post(&port, 1);
        take(&port);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            port.blocking(|| std::panic::resume_unwind(Box::new("on purpose")));
        }));
        assert!(caught.is_err());
        assert_eq!(port.load().running, 1, "it runs again");
        port.leave();
        assert_eq!(port.load().running, 0);
        assert!(port.blocking(|| true), "a stranger's work is only run");
        assert_eq!(port.load().running, 0);
    });
}

/// 3: a thread that sleeps in the kernel without a word is seen, and another gets the packet that waits.
#[test]
fn s03_who_is_asleep_is_seen() {
    if wine_lacks("s03_who_is_asleep_is_seen", LIMIT) {
        return;
    }
    on_every_shared("s03_who_is_asleep_is_seen", |engine| {
        let port = shared(engine, 1);
        let (wake, woken) = channel::<()>();
        std::thread::scope(|scope| {
            let sleeper = port.clone();
            scope.spawn(move || {
                take(&sleeper);
                // Nothing but the second packet ends this.
                woken.recv_timeout(patience()).expect("the second packet was handed to another");
                assert!(sleeper.wait(Some(Duration::ZERO)).expect("not ended").is_none());
            });
            post(&port, 1);
            until(&port, "the first packet is taken", |load| load.packets == 0 && load.running == 1);
            post(&port, 2);
            assert_eq!(take(&port).context, 2);
            wake.send(()).expect("heard");
        });
        port.leave();
        until(&port, "the count is right afterwards", |load| load.running == 0);
    });
}

/// 3: a thread that ends, at whichever moment, makes room: even one that dies of a panic.
#[test]
fn s03_the_end_of_a_thread_makes_room() {
    on_every_shared("s03_the_end_of_a_thread_makes_room", |engine| {
        let port = unwatched(engine, 1);
        for round in 0..20 {
            let runner = port.clone();
            post(&port, round);
            let ended = std::thread::spawn(move || {
                take(&runner);
                if round % 2 == 0 {
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
            })
            .join();
            assert_eq!(ended.is_err(), round % 2 == 0);
        }
        post(&port, 99);
        assert_eq!(take(&port).context, 99);
        assert_eq!((port.load().members, port.load().running), (1, 1));
    });
}

/// 3: of two threads that may run the one waits although there are packets, while the other holds the place.
#[test]
fn s03_whoever_may_not_run_waits_beside_the_packets() {
    if wine_lacks("s03_whoever_may_not_run_waits_beside_the_packets", LIMIT) {
        return;
    }
    on_every_shared("s03_whoever_may_not_run_waits_beside_the_packets", |engine| {
        let port = unwatched(engine, 1);
        (0..2).for_each(|n| post(&port, n));
        assert_eq!(take(&port).context, 0);
        let (other, tried) = (port.clone(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                assert!(other.wait(Some(Duration::ZERO)).expect("not ended").is_none());
                assert!(other.wait(Some(Duration::from_millis(2))).expect("not ended").is_none());
                tried.store(true, Ordering::SeqCst);
                take(&other).context
            });
            let waits = |load: ostia_port::Load| load.waiting == 1 && load.packets == 1;
            until(&port, "it waits", |load| tried.load(Ordering::SeqCst) && waits(load));
            // Until this thread blocks.
            port.blocking(|| assert_eq!(waiter.join().expect("no panic"), 1));
        });
    });
}

/// 4: who waits on another port no longer runs on the first, and what waited there goes to others.
#[test]
fn s04_a_thread_belongs_to_the_port_it_last_waited_on() {
    if wine_lacks("s04_a_thread_belongs_to_the_port_it_last_waited_on", LIMIT) {
        return;
    }
    on_every_shared("s04_a_thread_belongs_to_the_port_it_last_waited_on", |engine| {
        let [first, second] = [unwatched(engine, 1), unwatched(engine, 1)];
        (0..2).for_each(|n| post(&first, n));
        post(&second, 7);
        assert_eq!(take(&first).context, 0);
        assert_eq!((first.load().running, first.load().members), (1, 1));
        let other = first.clone();
        let waiter = std::thread::spawn(move || take(&other).context);
        until(&first, "another waits", |load| load.waiting == 1);
        // The move makes room for it.
        assert_eq!(take(&second).context, 7);
        assert_eq!(waiter.join().expect("no panic"), 1);
        assert_eq!((first.load().members, second.load().members, second.load().running), (0, 1, 1));
        // Blocking counts only where the thread runs.
        first.blocking(|| assert_eq!(second.load().running, 1));
        second.blocking(|| assert_eq!(second.load().running, 0));
        // Moving on from within `blocking` must not disturb whoever has the old seat now.
        let crowd = Barrier::new(2);
        second.blocking(|| {
            assert!(first.wait(Some(Duration::ZERO)).expect("not ended").is_none());
            assert_eq!(second.load().members, 0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    post(&second, 8);
                    take(&second);
                    second.blocking(|| {
                        crowd.wait();
                        crowd.wait();
                    });
                });
                crowd.wait();
                assert_eq!(second.load().running, 0);
                crowd.wait();
            });
        });
        until(&second, "the crowd's end", |load| load.running == 0 && load.members == 0);
        assert_eq!((first.load().running, first.load().members), (0, 1));
    });
}

/// 4: threads that go back and forth between ports take every packet of both.
#[test]
fn s04_threads_that_move_lose_nothing() {
    on_every_shared("s04_threads_that_move_lose_nothing", |engine| {
        let ports = [shared(engine, 2), shared(engine, 1)];
        let count = repeat(1000, 30_000);
        let (taken, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (ports, taken, done) = (&ports, &taken, &done);
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    while !done.load(Ordering::SeqCst) {
                        let port = &ports[random.below(2)];
                        if port.wait(Some(Duration::from_micros(300))).expect("not ended").is_some() {
                            taken.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
            (0..count).for_each(|n| post(&ports[n % 2], n as u64));
            for port in &ports {
                until(port, "all packets are taken", |load| load.packets == 0);
            }
            done.store(true, Ordering::SeqCst);
        });
        // A packet that was being handed over was taken too.
        assert_eq!(taken.into_inner(), count);
        ports.iter().for_each(|port| until(port, "their ends", |load| load.members == 0 && load.running == 0));
    });
}
