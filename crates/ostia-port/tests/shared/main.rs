//! The contract of the shared port, rule by rule, on every engine. The numbers are those of the shared port's invariants:
//!
//! Order (`order.rs`):
//!
//! 1. Packets leave first in, first out, in the order in which they were reaped or posted.
//! 2. Waiting threads are released last in, first out.
//!
//! Threads (`threads.rs`):
//!
//! 3. At most so many threads run as the concurrency says; who blocks, sleeps, leaves or ends makes room for another.
//! 4. A thread belongs to the port it last waited on.
//!
//! Handles and operations (`handles.rs`, `operations.rs`, `quiet.rs`):
//!
//! 5. A handle is associated once; packets carry its key and the operation's context.
//! 6. What a thread has submitted is the port's: it completes when the thread has ended.
//! 7. A cancel is never lost, wherever the operation is at the moment.
//! 8. Every operation has its last packet exactly once, with its buffer; full queues wait or give back, and lose nothing.
//!    What was submitted quietly has a packet only if it fails.
//!
//! 2 and 3 again where the system has its own port, and Wine falls short of it: `native.rs`.
//!
//! The end (`ending.rs`):
//!
//! 9. Posted packets stop each thread once, after what was queued before; an end wakes everybody.
//! 10. The end of the port frees nothing that is in use and leaves nothing behind.
//!
//! Together (`stress.rs`, `pool.rs`, `example.rs`):
//!
//! 11. Every packet is taken exactly once, whatever comes, goes and blocks; no wake-up is lost.
//! 12. A pool grows while packets wait and its threads are blocked, shrinks when idle, survives its handlers' panics.
//!
//! What the page docs/from-iocp.md shows and names is there (`page.rs`).

#[path = "../common/mod.rs"]
#[allow(unused_imports, reason = "every test program uses its own part")]
mod common;

mod ending;
mod example;
mod handles;
mod native;
mod operations;
mod order;
mod page;
mod pool;
mod quiet;
mod stress;
mod threads;

use std::time::{Duration, Instant};

use common::{Engine, on_every_engine, patience, skip, under_valgrind};
use ostia_port::{Completion, Load, Packet, SharedConfig, SharedPort};

/// Runs `test` on every engine. Not under valgrind: it runs one thread at a time and lets no other run while one is in
/// io_uring_enter, so a port thread that waits would stop all members.
fn on_every_shared(name: &str, test: impl FnMut(&Engine)) {
    if under_valgrind() {
        return skip(name, "valgrind stops all threads while one waits in io_uring_enter");
    }
    on_every_engine(name, test);
}

/// A shared port on an engine.
fn shared(engine: &Engine, concurrency: usize) -> SharedPort {
    SharedPort::with(config(engine, concurrency)).unwrap_or_else(|error| panic!("no shared port: {error}"))
}

fn config(engine: &Engine, concurrency: usize) -> SharedConfig {
    SharedConfig { port: engine.config(), concurrency, ..SharedConfig::default() }
}

/// Waits for a packet that must come.
#[track_caller]
fn take(port: &SharedPort) -> Completion {
    port.wait(Some(patience())).expect("the port has not ended").expect("waited in vain for a packet")
}

/// Posts a packet that carries a number.
#[track_caller]
fn post(port: &SharedPort, context: u64) {
    port.post(Packet { key: 0, context, result: 0 }).expect("room for it");
}

/// Waits until the port is as busy as `met` asks for; fails when the suite's patience is over.
#[track_caller]
fn until(port: &SharedPort, what: &str, mut met: impl FnMut(Load) -> bool) {
    until_met(|| met(port.load()), || format!("{what}; {port:?}"));
}

#[track_caller]
fn until_met(mut met: impl FnMut() -> bool, what: impl Fn() -> String) {
    let deadline = Instant::now() + patience();
    while !met() {
        assert!(Instant::now() < deadline, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_micros(200));
    }
}
