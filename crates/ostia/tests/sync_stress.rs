//! `ostia::sync` under load: tasks of two workers and plain threads at once, many of them giving up in the middle. What is
//! counted at the end must be whole. `OSTIA_REPEAT=full` runs fifty times as many rounds; `OSTIA_SEED` repeats a run.

mod common;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use common::{drivers, runtime};
use ostia::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, watch};
use ostia::{JoinSet, WorkerId, select, yield_now};

fn rounds(few: u64) -> u64 {
    if std::env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") { few * 50 } else { few }
}

fn seed() -> u64 {
    let seed = std::env::var("OSTIA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    eprintln!("OSTIA_SEED={seed}");
    seed
}

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn new(stream: u64) -> Random {
        Random(seed().wrapping_add(stream).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// Runs a test on two workers of each driver; gives the second's name.
fn on_two<F: Future<Output = ()>>(test: impl Fn(Vec<WorkerId>) -> F) {
    for driver in drivers() {
        eprintln!("driver {driver:?}");
        let mut runtime = runtime(driver, 2);
        let workers = runtime.workers();
        runtime.block_on(test(workers));
    }
}

/// Awaits `future`, or gives it up after a few turns.
async fn patiently<F: Future>(random: &mut Random, future: F) -> Option<F::Output> {
    let patience = random.below(8);
    let giving_up = async {
        for _ in 0..patience {
            yield_now().await;
        }
    };
    select! {
        output = future => Some(output),
        () = giving_up => None,
    }
}

async fn all(mut set: JoinSet<u64>) -> u64 {
    let mut sum = 0;
    while let Some(result) = set.join_next().await {
        sum += result.expect("no panic");
    }
    sum
}

#[test]
fn permits_are_neither_lost_nor_made() {
    const PERMITS: usize = 5;
    on_two(|workers| async move {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let held = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for number in 0..8u64 {
            let (semaphore, held) = (Arc::clone(&semaphore), Arc::clone(&held));
            set.spawn_on(workers[number as usize % 2], move || async move {
                let mut random = Random::new(number);
                let mut done = 0;
                for _ in 0..rounds(1000) {
                    let wanted = 1 + random.below(PERMITS as u64) as usize;
                    let Some(permits) = patiently(&mut random, semaphore.acquire_many(wanted)).await else { continue };
                    let permits = permits.expect("open");
                    assert!(held.fetch_add(wanted, Ordering::SeqCst) + wanted <= PERMITS, "too many at once");
                    if random.below(2) == 0 {
                        yield_now().await;
                    }
                    held.fetch_sub(wanted, Ordering::SeqCst);
                    drop(permits);
                    done += 1;
                }
                done
            });
        }
        let (thread_semaphore, thread_held) = (Arc::clone(&semaphore), Arc::clone(&held));
        set.spawn_blocking(move || {
            for _ in 0..rounds(200) {
                let permits = thread_semaphore.blocking_acquire_many(2).expect("open");
                assert!(thread_held.fetch_add(2, Ordering::SeqCst) + 2 <= PERMITS, "too many at once");
                thread_held.fetch_sub(2, Ordering::SeqCst);
                drop(permits);
            }
            1
        });
        assert!(all(set).await > 0, "not everybody gave up every time");
        assert_eq!(semaphore.available_permits(), PERMITS);
    });
}

#[test]
fn locks_exclude_and_survive_those_who_give_up() {
    on_two(|workers| async move {
        let mutex = Arc::new(Mutex::new(0u64));
        let lock = Arc::new(RwLock::new((0u64, 0u64)));
        let mut set = JoinSet::new();
        for number in 0..8u64 {
            let (mutex, lock) = (Arc::clone(&mutex), Arc::clone(&lock));
            set.spawn_on(workers[number as usize % 2], move || async move {
                let mut random = Random::new(number);
                let mut added = 0;
                for _ in 0..rounds(1000) {
                    if let Some(mut value) = patiently(&mut random, mutex.lock()).await {
                        let before = *value;
                        if random.below(2) == 0 {
                            yield_now().await;
                        }
                        *value = before + 1;
                        added += 1;
                    }
                    if random.below(3) == 0 {
                        if let Some(mut pair) = patiently(&mut random, lock.write()).await {
                            pair.0 += 1;
                            yield_now().await;
                            pair.1 += 1;
                            let pair = pair.downgrade();
                            assert_eq!(pair.0, pair.1);
                        }
                    } else if let Some(pair) = patiently(&mut random, lock.read()).await {
                        assert_eq!(pair.0, pair.1, "a reader sees no half change");
                    }
                }
                added
            });
        }
        let added = all(set).await;
        assert_eq!((*mutex.try_lock().expect("free"), lock.try_write().is_ok()), (added, true));
        assert!(added > 0);
    });
}

#[test]
fn a_channel_delivers_what_was_accepted_in_order_and_once() {
    const SENDERS: u64 = 6;
    on_two(|workers| async move {
        for capacity in [1, 3, 64] {
            let (sender, mut receiver) = mpsc::channel::<(u64, u64)>(capacity);
            let mut set = JoinSet::new();
            for number in 0..SENDERS {
                let sender = sender.clone();
                let count = rounds(500);
                if number == SENDERS - 1 {
                    set.spawn_blocking(move || {
                        (0..count).for_each(|i| sender.blocking_send((number, i)).expect("open"));
                        count
                    });
                    continue;
                }
                set.spawn_on(workers[number as usize % 2], move || async move {
                    let mut random = Random::new(number);
                    let mut sent = 0;
                    for _ in 0..count {
                        // A reservation can be given up, and then nothing was sent.
                        let Some(room) = patiently(&mut random, sender.reserve()).await else { continue };
                        let room = room.expect("open");
                        if random.below(4) == 0 {
                            continue;
                        }
                        room.send((number, sent));
                        sent += 1;
                    }
                    sent
                });
            }
            drop(sender);
            let mut random = Random::new(99);
            let mut next = [0; SENDERS as usize];
            loop {
                match patiently(&mut random, receiver.recv()).await {
                    Some(Some((from, number))) => {
                        assert_eq!(number, next[from as usize], "in order, none lost, none twice");
                        next[from as usize] += 1;
                    }
                    Some(None) => break,
                    None => {}
                }
            }
            assert_eq!((next.iter().sum::<u64>(), receiver.capacity()), (all(set).await, capacity));
        }
    });
}

#[test]
fn a_receiver_that_goes_leaves_nothing_undropped() {
    /// Counts itself.
    struct Counted(Arc<AtomicU64>);
    impl Counted {
        fn new(count: &Arc<AtomicU64>) -> Counted {
            count.fetch_add(1, Ordering::SeqCst);
            Counted(Arc::clone(count))
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    on_two(|workers| async move {
        let alive = Arc::new(AtomicU64::new(0));
        for round in 0..rounds(100) {
            let (sender, mut receiver) = mpsc::channel(1 + round as usize % 5);
            let mut set = JoinSet::new();
            for number in 0..4 {
                let (sender, alive) = (sender.clone(), Arc::clone(&alive));
                set.spawn_on(workers[number % 2], move || async move {
                    let mut sent = 0;
                    while sender.send(Counted::new(&alive)).await.is_ok() {
                        sent += 1;
                    }
                    sent
                });
            }
            drop(sender);
            for _ in 0..round % 17 {
                drop(receiver.recv().await);
            }
            drop(receiver);
            assert!(all(set).await >= round % 17);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        }
    });
}

#[test]
fn notifications_between_workers_are_never_lost() {
    on_two(|workers| async move {
        let shared = Arc::new((Notify::new(), Notify::new(), AtomicU64::new(0)));
        let there = Arc::clone(&shared);
        let count = rounds(2000);
        let mut set = JoinSet::new();
        set.spawn_on(workers[1], move || async move {
            let mut random = Random::new(1);
            for round in 1..=count {
                while patiently(&mut random, there.0.notified()).await.is_none() {}
                assert_eq!(there.2.load(Ordering::Relaxed), round);
                there.1.notify_one();
            }
            count
        });
        let mut random = Random::new(2);
        for round in 1..=count {
            shared.2.store(round, Ordering::Relaxed);
            shared.0.notify_one();
            while patiently(&mut random, shared.1.notified()).await.is_none() {}
        }
        assert_eq!(all(set).await, count);
    });
}

#[test]
fn every_receiver_of_a_broadcast_accounts_for_every_message() {
    on_two(|workers| async move {
        let (sender, first) = broadcast::channel::<u64>(16);
        let (state, watching) = watch::channel(0u64);
        let count = rounds(3000);
        let mut set = JoinSet::new();
        for number in 0..4 {
            let (mut receiver, mut watching) = (first.resubscribe(), watching.clone());
            set.spawn_on(workers[number % 2], move || async move {
                let mut random = Random::new(number as u64);
                let mut next = 0;
                loop {
                    match patiently(&mut random, receiver.recv()).await {
                        Some(Ok(message)) => {
                            assert_eq!(message, next);
                            next += 1;
                        }
                        Some(Err(broadcast::RecvError::Lagged(missed))) => next += missed,
                        Some(Err(broadcast::RecvError::Closed)) => break,
                        None => {}
                    }
                }
                let mut last = 0;
                while watching.changed().await.is_ok() {
                    let seen = *watching.borrow_and_update();
                    assert!(seen > last, "never back");
                    last = seen;
                }
                assert_eq!(last, count, "the last change is seen");
                next
            });
        }
        drop((first, watching));
        let mut random = Random::new(9);
        for number in 0..count {
            sender.send(number).expect("receivers");
            state.send(number + 1).expect("receivers");
            if random.below(8) == 0 {
                yield_now().await;
            }
        }
        drop((sender, state));
        assert_eq!(all(set).await, 4 * count);
    });
}

#[test]
fn a_barrier_keeps_all_in_step() {
    const MEMBERS: u64 = 6;
    on_two(|workers| async move {
        let barrier = Arc::new(Barrier::new(MEMBERS as usize));
        let step = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for number in 0..MEMBERS {
            let (barrier, step) = (Arc::clone(&barrier), Arc::clone(&step));
            let count = rounds(100);
            set.spawn_on(workers[number as usize % 2], move || async move {
                let mut random = Random::new(number);
                let mut led = 0;
                for round in 0..count {
                    // One that is kept has come, however often its `select!` is given up.
                    let mut waiting = barrier.wait();
                    let result = loop {
                        if let Some(result) = patiently(&mut random, &mut waiting).await {
                            break result;
                        }
                    };
                    if result.is_leader() {
                        assert_eq!(step.fetch_add(1, Ordering::SeqCst), round);
                        led += 1;
                    }
                    barrier.wait().await;
                    assert_eq!(step.load(Ordering::SeqCst), round + 1);
                    barrier.wait().await;
                }
                led
            });
        }
        assert_eq!(all(set).await, rounds(100));
    });
}
