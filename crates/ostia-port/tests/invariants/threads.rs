//! Invariants 15 and 16: posts from other threads, lost wake-ups, and timers that must not be early.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ostia_port::{Op, Packet};

use crate::common::{Random, World, on_every_engine, patience, repeat, under_valgrind};

/// A wait without a deadline. Not so under valgrind: it runs one thread at a time and lets no other run while one is in
/// io_uring_enter, so nobody could ever wake it.
fn forever() -> Option<Duration> {
    under_valgrind().then_some(Duration::from_millis(1))
}

/// 15: eight threads post as fast as they can; every packet comes once and each thread's in its order.
#[test]
fn i15_packets_of_many_threads_come_once_and_in_order() {
    on_every_engine("i15_packets_of_many_threads_come_once_and_in_order", |engine| {
        const THREADS: u64 = 8;
        let each = repeat(4000, 100_000) as u64;
        let mut world = World::new(engine.config());
        let posters: Vec<_> = (0..THREADS)
            .map(|thread| {
                let remote = world.port.remote();
                std::thread::spawn(move || {
                    for n in 0..each {
                        assert!(remote.post(Packet { key: thread, context: n, result: 1 }));
                    }
                })
            })
            .collect();
        let mut next = [0u64; THREADS as usize];
        world.until("all packets", |world| {
            while let Some(done) = world.pop() {
                let expected = &mut next[done.key as usize];
                assert_eq!(done.context, *expected, "thread {} in order", done.key);
                *expected += 1;
            }
            next.iter().all(|&count| count == each)
        });
        posters.into_iter().for_each(|poster| poster.join().expect("no panic"));
        world.turns(3);
        assert!(world.pop().is_none(), "a packet came twice");
    });
}

/// 15: the hunt for a lost wake-up. The port waits without a deadline of its own; eight threads post one packet at a time
/// and go on only when it has come. A lost wake-up leaves all of them and the port asleep: then a watchdog says so.
#[test]
fn i15_no_wake_up_is_lost() {
    on_every_engine("i15_no_wake_up_is_lost", |engine| {
        const THREADS: usize = 8;
        let rounds = repeat(1500, 50_000) as u64;
        let mut world = World::new(engine.config());
        let seen: Arc<Vec<AtomicU64>> = Arc::new((0..THREADS).map(|_| AtomicU64::new(0)).collect());
        let failed = Arc::new(AtomicBool::new(false));
        let start = Arc::new(Barrier::new(THREADS));
        let posters: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (remote, seen, failed, start) =
                    (world.port.remote(), Arc::clone(&seen), Arc::clone(&failed), Arc::clone(&start));
                std::thread::spawn(move || {
                    let mut random = Random::new(thread as u64);
                    start.wait();
                    for n in 1..=rounds {
                        for _ in 0..random.below(200) {
                            std::hint::spin_loop();
                        }
                        remote.post(Packet { key: thread as u64, context: n, result: 0 });
                        let deadline = Instant::now() + patience();
                        while seen[thread].load(Ordering::Acquire) < n {
                            std::thread::yield_now();
                            if Instant::now() > deadline {
                                failed.store(true, Ordering::Release);
                                remote.wake();
                                return;
                            }
                        }
                    }
                })
            })
            .collect();
        let mut left = THREADS as u64 * rounds;
        while left > 0 {
            world.port.wait(forever()).expect("the port works");
            assert!(!failed.load(Ordering::Acquire), "a packet was posted and the port slept on");
            while let Some(done) = world.port.next() {
                seen[done.key as usize].store(done.context, Ordering::Release);
                left -= 1;
            }
        }
        posters.into_iter().for_each(|poster| poster.join().expect("no panic"));
        let statistics = world.port.statistics();
        println!("{} turns, {} wake-ups, {} calls", statistics.turns, statistics.wakeups, statistics.syscalls);
    });
}

/// 15: a chunk dropped on another thread wakes a port that starves for buffers, and so does a bare wake.
#[test]
fn i15_a_wake_ends_the_present_wait_or_the_next() {
    on_every_engine("i15_a_wake_ends_the_present_wait_or_the_next", |engine| {
        let mut world = World::new(engine.config());
        let remote = world.port.remote();
        for _ in 0..200 {
            remote.wake();
            // With no deadline: it must return.
            world.port.wait(forever()).expect("the port works");
        }
        let other = world.port.remote();
        let waker = std::thread::spawn(move || other.wake());
        world.port.wait(forever()).expect("the port works");
        waker.join().expect("no panic");
    });
}

/// 16: by the port's clock and by ours no timer is early, and they come in the order of their times; wait_until keeps its
/// moment too.
#[test]
fn i16_a_timer_never_fires_early() {
    on_every_engine("i16_a_timer_never_fires_early", |engine| {
        let mut world = World::new(engine.config());
        let mut random = Random::new(16);
        let mut timers = std::collections::HashMap::new();
        for _ in 0..repeat(300, 5000) {
            let after = Duration::from_micros(random.below(120_000) as u64);
            let set = world.port.now();
            let (id, context) = world.submit(Op::Timeout { after });
            timers.insert(context, (set, after));
            if random.one_in(5) {
                world.port.cancel(id);
            }
            if random.one_in(10) {
                world.turn(Duration::from_millis(1));
            }
        }
        let mut last = Duration::ZERO;
        world.until("all timers", |world| {
            while let Some(done) = world.pop() {
                let (set, after) = timers.remove(&done.context).expect("each fires once");
                if done.result.is_ok() {
                    assert!(world.port.now() - set >= after, "early by the port's clock");
                    assert!(Instant::now() - set >= after, "early by ours");
                    last = last.max(after);
                }
            }
            timers.is_empty()
        });
        assert!(last > Duration::from_millis(50), "some were long");
        for after in [Duration::ZERO, Duration::from_millis(3)] {
            let moment = Instant::now() + after;
            while Instant::now() < moment {
                world.port.wait_until(moment).expect("the port works");
            }
        }
    });
}

/// 16: the longest times there are do not come at once, do not overflow, and can be cancelled.
#[test]
fn i16_times_without_end_are_times() {
    on_every_engine("i16_times_without_end_are_times", |engine| {
        let mut world = World::new(engine.config());
        for after in [Duration::MAX, Duration::from_secs(u64::MAX / 1000), Duration::from_secs(1 << 40)] {
            let (id, context) = world.submit(Op::Timeout { after });
            world.turns(3);
            assert_eq!(world.stashed(context), 0, "{after:?} is over at once");
            world.port.cancel(id);
            assert!(crate::common::world::is_cancelled(&world.take(context)));
        }
        world.port.wait(Some(Duration::ZERO)).expect("the port works");
        world.port.post(Packet { key: 0, context: u64::MAX, result: 0 });
        world.port.wait(Some(Duration::MAX)).expect("a wait without end returns for what is ready");
        assert!(world.port.next().is_some());
    });
}
