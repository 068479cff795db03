//! Random operations on sockets, pipes and files from a seed, on every engine, against a model of what must arrive.
//!
//! A world has streams, each a pair of handles of one port over TCP (the kernel's or a stack's), a Unix socket or a pipe. Chance posts sends and
//! receives of every kind, cancels them, closes ends, breaks connections off, opens new ones, reads and writes a file, posts
//! packets and sets timers. The model knows how many bytes of each stream have been sent and received. At the end all is
//! closed: nothing may be outstanding, nothing lent, and every operation has completed once.
//!
//! `OSTIA_REPEAT=full` runs thousands of worlds. A failure names its world; `OSTIA_SEED` repeats it.

#[path = "../common/mod.rs"]
mod common;

mod model;

use common::{on_every_engine, on_every_network, repeat, skip, under_valgrind};
use model::Scene;

#[test]
fn random_operations_agree_with_the_model() {
    on_every_network("random_operations_agree_with_the_model", |engine| {
        for number in 0..repeat(30, 3000) as u64 {
            let mut scene = Scene::new(engine, number);
            for step in 0..600 {
                scene.step(step);
            }
            scene.finish();
        }
    });
}

/// Two ports on two threads, each with one end of every stream.
#[test]
fn ports_on_two_threads_agree_with_the_model() {
    if under_valgrind() {
        return skip("ports_on_two_threads_agree_with_the_model", "valgrind stops all threads while one waits in io_uring_enter");
    }
    on_every_engine("ports_on_two_threads_agree_with_the_model", |engine| {
        for number in 0..repeat(3, 300) as u64 {
            model::two_threads(engine, number);
        }
    });
}
