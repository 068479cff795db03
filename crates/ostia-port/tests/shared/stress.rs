//! Invariant 11: every packet exactly once, while threads come, go, block, move and cancel at random.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ostia_port::{Handle, Op, Packet, SharedConfig, SharedPort};

use crate::common::peers::tcp_pair;
use crate::common::{Random, patience, repeat};
use crate::{config, on_every_shared, shared, until, until_met};

/// How often each number has come.
struct Tally(Vec<AtomicU8>);

impl Tally {
    fn new(count: usize) -> Tally {
        Tally((0..count).map(|_| AtomicU8::new(0)).collect())
    }

    fn came(&self, number: u64) {
        let before = self.0[number as usize].fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "packet {number} came twice");
    }

    fn missing(&self) -> usize {
        self.0.iter().filter(|count| count.load(Ordering::SeqCst) == 0).count()
    }
}

/// 11: posts from several threads, timers beside them, half of them cancelled; members that live for a few packets only,
/// take them singly or in batches, with every kind of patience, block, wander to another port, or die of a panic.
#[test]
fn s11_every_packet_comes_exactly_once() {
    on_every_shared("s11_every_packet_comes_exactly_once", |engine| {
        for round in 0..repeat(2, 20) as u64 {
            const POSTERS: u64 = 3;
            const EACH: u64 = 4000;
            let settings = SharedConfig {
                submissions_max: 1 + round as usize * 7 % 64,
                reaped_max: 1 + round as usize * 13 % 100,
                posted_max: 50 + round as usize * 31 % 1000,
                watch_every: (round % 2 == 0).then_some(Duration::from_millis(1)),
                ..config(engine, 1 + round as usize % 3)
            };
            let port = SharedPort::with(settings).expect("a port");
            let aside = shared(engine, 1);
            let total = POSTERS * EACH * 2;
            let tally = Tally::new(total as usize);
            let births = AtomicUsize::new(0);
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for poster in 0..POSTERS {
                    let (port, aside) = (&port, &aside);
                    scope.spawn(move || {
                        let mut random = Random::new(1000 * round + poster);
                        for n in 0..EACH {
                            let mut packet = Packet { key: 0, context: poster * EACH + n, result: 0 };
                            while let Err(refused) = port.post(packet) {
                                packet = refused.into_inner();
                                std::thread::yield_now();
                            }
                            let after = Duration::from_micros(random.below(3000) as u64);
                            let id = port.submit(Op::Timeout { after }, (POSTERS + poster) * EACH + n).expect("taken");
                            if random.one_in(2) {
                                port.cancel(id);
                            }
                            if random.one_in(500) {
                                aside.wait(Some(Duration::ZERO)).expect("not ended");
                            }
                        }
                    });
                }
                for member in 0..5 {
                    let (port, aside, tally, over, births) = (&port, &aside, &tally, &over, &births);
                    scope.spawn(move || {
                        let mut random = Random::new(2000 * round + member);
                        while !over.load(Ordering::SeqCst) {
                            births.fetch_add(1, Ordering::SeqCst);
                            let mut own = Random::new(random.draw());
                            // A thread for a few packets.
                            let life = scope.spawn(move || live(port, aside, tally, over, &mut own));
                            let _ = life.join();
                        }
                    });
                }
                until_met(|| tally.missing() == 0, || format!("{} packets of {total}; {port:?}", tally.missing()));
                over.store(true, Ordering::SeqCst);
            });
            let load = port.load();
            assert_eq!((load.packets, load.operations), (0, 0));
            until(&port, "their ends", |load| load.running == 0 && load.members == 0);
            println!("{} threads lived, {} packets", births.into_inner(), total);
        }
    });
}

/// The life of a member.
fn live(port: &SharedPort, aside: &SharedPort, tally: &Tally, over: &AtomicBool, random: &mut Random) {
    let mut batch = Vec::new();
    for _ in 0..random.below(60) {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let timeout = [Duration::ZERO, Duration::from_micros(50), Duration::from_millis(3)][random.below(3)];
        if random.one_in(2) {
            batch.extend(port.wait(Some(timeout)).expect("not ended"));
        } else {
            port.wait_batch(&mut batch, 1 + random.below(9), Some(timeout)).expect("not ended");
        }
        batch.drain(..).for_each(|done| tally.came(done.context));
        match random.below(40) {
            0 => port.blocking(|| std::thread::sleep(Duration::from_micros(100))),
            1 => port.blocking(std::thread::yield_now),
            2 => std::thread::sleep(Duration::from_micros(100)),
            3 => drop(aside.wait(Some(Duration::ZERO)).expect("not ended")),
            4 => port.leave(),
            5 => std::panic::resume_unwind(Box::new("a member dies")),
            _ => {}
        }
    }
}

/// 11: the hunt for a lost wake-up. Members wait without a deadline; posters and pingers go on only when their packet has
/// been taken. A lost wake-up leaves all of them asleep: then a watchdog says so.
#[test]
fn s11_no_wake_up_is_lost() {
    on_every_shared("s11_no_wake_up_is_lost", |engine| {
        const POSTERS: usize = 4;
        let rounds = repeat(1500, 50_000) as u64;
        for concurrency in [1, 3] {
            let port = shared(engine, concurrency);
            let seen: Vec<AtomicU64> = (0..POSTERS).map(|_| AtomicU64::new(0)).collect();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while let Ok(Some(done)) = port.wait(None) {
                            let (poster, n) = (done.context as usize % POSTERS, done.context / POSTERS as u64);
                            seen[poster].store(n, Ordering::SeqCst);
                        }
                    });
                }
                let posters: Vec<_> = (0..POSTERS)
                    .map(|poster| {
                        let (port, seen) = (&port, &seen);
                        scope.spawn(move || {
                            let mut random = Random::new(poster as u64);
                            for n in 1..=rounds {
                                (0..random.below(200)).for_each(|_| std::hint::spin_loop());
                                let context = n * POSTERS as u64 + poster as u64;
                                if poster % 2 == 0 {
                                    port.post(Packet { key: 0, context, result: 0 }).expect("room");
                                } else {
                                    // Through the port thread, there and back.
                                    let id = port.submit(Op::Timeout { after: Duration::from_secs(1000) }, context);
                                    port.cancel(id.expect("taken"));
                                }
                                let deadline = Instant::now() + patience();
                                while seen[poster].load(Ordering::SeqCst) < n {
                                    std::thread::yield_now();
                                    if Instant::now() > deadline {
                                        return false;
                                    }
                                }
                            }
                            true
                        })
                    })
                    .collect();
                let all = posters.into_iter().all(|poster| poster.join().expect("no panic"));
                port.end();
                assert!(all, "a packet came and everybody slept on; {port:?}");
            });
        }
    });
}

/// 11: streams over loopback, each echoed by whichever member comes: every byte, once, in order, while members come and go.
#[test]
fn s11_streams_are_whole_whoever_serves_them() {
    on_every_shared("s11_streams_are_whole_whoever_serves_them", |engine| {
        const RECEIVED: u64 = 1;
        const SENT: u64 = 2;
        let port = shared(engine, 2);
        let bytes = repeat(200_000, 4_000_000);
        let streams = 8;
        let handles: Arc<Mutex<Vec<Handle>>> = Arc::default();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut peers = Vec::new();
            for number in 0..streams {
                let (near, far) = tcp_pair();
                let socket = port.adopt(near, number).expect("adopts");
                handles.lock().expect("no panic").push(socket);
                peers.push(far);
            }
            for number in 0..streams {
                let socket = handles.lock().expect("no panic")[number as usize];
                port.submit(Op::Recv { socket }, RECEIVED).expect("taken");
            }
            for member in 0..4 {
                let (port, handles, over) = (&port, Arc::clone(&handles), &over);
                scope.spawn(move || {
                    let mut random = Random::new(member);
                    while !over.load(Ordering::SeqCst) {
                        let handles = Arc::clone(&handles);
                        let (port, life) = (port.clone(), 1 + random.below(50));
                        // What it has submitted goes on without it.
                        let member = std::thread::spawn(move || {
                            for _ in 0..life {
                                let Ok(Some(done)) = port.wait(Some(Duration::from_millis(2))) else { return };
                                let socket = handles.lock().expect("no panic")[done.key as usize];
                                match (done.context, done.payload.into_chunk()) {
                                    (RECEIVED, Some(bytes)) => {
                                        port.submit(Op::Send { socket, data: bytes.into() }, SENT).expect("taken");
                                    }
                                    (SENT, _) => {
                                        assert!(done.result.is_ok(), "{:?}", done.result);
                                        port.submit(Op::Recv { socket }, RECEIVED).expect("taken");
                                    }
                                    _ => port.close(socket),
                                }
                            }
                        });
                        member.join().expect("no panic");
                    }
                });
            }
            let clients: Vec<_> =
                peers.into_iter().zip(0..).map(|(far, number)| scope.spawn(move || exchange(far, number, bytes))).collect();
            let done: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            over.store(true, Ordering::SeqCst);
            done.into_iter().for_each(|client| client.expect("a stream was not whole"));
        });
        until(&port, "nothing is left", |load| load.operations == 0);
    });
}

/// Sends a stream and reads it back.
pub fn exchange(far: std::net::TcpStream, number: u64, bytes: usize) {
    use crate::common::{peers::read_up_to, random};
    let reader = far.try_clone().expect("dup");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < bytes {
                let len = (bytes - sent).min(1 + sent % 9000);
                (&far).write_all(&random::pattern(number, sent as u64, len)).expect("sent");
                sent += len;
            }
        });
        let mut back = Vec::new();
        read_up_to(&reader, &mut back, bytes);
        assert_eq!(back.len(), bytes, "stream {number}");
        random::assert_pattern(number, 0, &back);
    });
    rustix::net::shutdown(&reader, rustix::net::Shutdown::Write).expect("shut down");
}
