//! The situations that are the same for every operation, each told once.

use std::time::{Duration, Instant};

use ostia_port::{Op, leaked_requests, os};

use crate::common::world::is_cancelled;
use crate::common::{Random, World, open_descriptors, patience, repeat};
use crate::matrix::{Bench, Cell, Column, Reason};
use crate::rig::{Build, Rig, Row, Special};

/// What stands where a row and a column meet.
pub fn cell(row: &Row, column: Column, faulty: bool) -> Cell {
    let special = |special: Special| match special {
        Special::Test(test) => Cell::Test(Box::new(test)),
        Special::No(Reason::Unprovokable) if faulty => unreachable!("rows give the fault engines a test"),
        Special::No(reason) => Cell::Empty(reason),
    };
    let general = |test: fn(&mut Bench, &Row, Build)| match row.rig {
        Some(build) => {
            let row = *row;
            Cell::Test(Box::new(move |bench| test(bench, &row, build)))
        }
        None => unreachable!("a row without a rig has special cells only"),
    };
    if let Some(reason) = row.not_here {
        return Cell::Empty(reason);
    }
    match column {
        Column::Done => row.done.map_or_else(|| general(done), |test| Cell::Test(Box::new(test))),
        Column::Short if faulty => special(match row.short {
            Special::No(Reason::Unprovokable) => Special::Test(crate::files::cut_of(row)),
            other => other,
        }),
        Column::Short => special(row.short),
        Column::EndOfFile => special(row.end_of_file),
        Column::Reset => special(row.reset),
        Column::CancelBefore => row.cancel.map_or_else(|| general(cancel_before), special),
        Column::CancelAfter => row.cancel.map_or_else(|| general(cancel_after), special),
        Column::CancelRacing => row.cancel.map_or_else(|| general(cancel_racing), special),
        Column::HandleClosed => row.closed.map_or_else(|| general(handle_closed), special),
        Column::PortDropped => row.dropped.map_or_else(|| general(port_dropped), |test| Cell::Test(Box::new(test))),
        Column::BuffersDry => special(row.dry),
        Column::QueueFull => row.full.map_or_else(|| general(queue_full), |test| Cell::Test(Box::new(test))),
    }
}

/// Takes a completion while the rig's peer does its part.
#[track_caller]
fn take(world: &mut World, rig: &mut dyn Rig, context: u64) -> ostia_port::Completion {
    world.take_while(context, |_| rig.turn())
}

/// No second completion comes for an operation that has ended.
#[track_caller]
fn once(world: &mut World, context: u64) {
    world.turns(4);
    world.equal(world.stashed(context), 0, "completions after the last one");
}

/// Another operation of the same kind does its work on the same handle.
fn work_again(world: &mut World, rig: &mut dyn Rig) {
    let (_, context) = world.submit(rig.op());
    let done = take(world, rig, context);
    rig.verify(world, done);
}

fn done(bench: &mut Bench, _: &Row, build: Build) {
    let mut world = bench.world();
    let mut rig = build(&mut world);
    let op = rig.op();
    let (_, context) = world.submit(op);
    world.turns(2);
    rig.happen(&mut world);
    let done = take(&mut world, rig.as_mut(), context);
    rig.verify(&mut world, done);
    bench.book(&world);
}

/// Cancelled before the system has heard of it.
fn cancel_before(bench: &mut Bench, row: &Row, build: Build) {
    let mut world = bench.world();
    let mut rig = build(&mut world);
    let op = rig.op();
    let (id, context) = world.submit(op);
    world.port.cancel(id);
    settle(&mut world, rig.as_mut(), row, context, false);
    bench.book(&world);

    // The same once it waits in the system, and cancelled twice.
    let mut world = bench.world();
    let mut rig = build(&mut world);
    let op = rig.op();
    let (id, context) = world.submit(op);
    world.turns(3);
    world.port.cancel(id);
    world.port.cancel(id);
    settle(&mut world, rig.as_mut(), row, context, false);
    bench.book(&world);
}

/// What follows a cancel: exactly one completion, cancelled or done; and if cancelled, nothing is lost.
fn settle(world: &mut World, rig: &mut dyn Rig, row: &Row, context: u64, happened: bool) {
    let happened = happened
        || (rig.lends_memory() && {
            rig.happen(world);
            true
        });
    if !row.cancellable && !happened {
        rig.happen(world);
    }
    let done = if happened { take(world, rig, context) } else { world.take(context) };
    if row.waits && row.cancellable && !happened && !is_cancelled(&done) {
        // Only an operation that had moved a part may say so instead.
        world.check(done.result.is_ok(), &format!("a cancelled operation is cancelled or partly done: {:?}", done.result));
    }
    if !is_cancelled(&done) && (happened || !row.waits || !row.cancellable) {
        world.check(done.result.is_ok() || row.cancellable, "an operation that can't be cancelled succeeds");
        rig.verify(world, done);
    } else {
        world.check(row.cancellable, "only a cancellable operation is cancelled");
        rig.cancelled(world, done);
        if rig.recovers() {
            if !happened {
                rig.happen(world);
            }
            work_again(world, rig);
        }
    }
    once(world, context);
}

/// Cancelled when it was done but not taken: left alone.
fn cancel_after(bench: &mut Bench, _: &Row, build: Build) {
    let mut world = bench.world();
    let mut rig = build(&mut world);
    let op = rig.op();
    let (id, context) = world.submit(op);
    rig.happen(&mut world);
    // Taken by a later turn of the world's own than the cancel, where the operation allows to wait so precisely.
    let done = take(&mut world, rig.as_mut(), context);
    world.port.cancel(id);
    let more = done.more;
    rig.verify(&mut world, done);
    if more {
        let last = world.take(context);
        world.check(is_cancelled(&last) && !last.more, "a multishot operation ends by its cancel");
    }
    once(&mut world, context);
    world.port.cancel(id);
    once(&mut world, context);
    bench.book(&world);
}

/// Cancelled while it completes, in every order that turns and cancels can have.
fn cancel_racing(bench: &mut Bench, row: &Row, build: Build) {
    let mut random = Random::new(row.name.len() as u64 ^ 0xace);
    for _ in 0..repeat(12, 200) {
        let mut world = bench.world();
        let mut rig = build(&mut world);
        let op = rig.op();
        let (id, context) = world.submit(op);
        world.turns(random.below(3));
        if random.one_in(2) {
            world.port.cancel(id);
            world.turns(random.below(2));
            rig.happen(&mut world);
        } else {
            rig.happen(&mut world);
            world.turns(random.below(2));
            rig.turn();
            world.port.cancel(id);
        }
        if row.name.ends_with("Multi") {
            multishot_race(&mut world, rig.as_mut(), context);
        } else {
            settle(&mut world, rig.as_mut(), row, context, true);
        }
        bench.book(&world);
    }
}

/// A multishot operation may complete before its cancel does; what it didn't bring the next one finds.
fn multishot_race(world: &mut World, rig: &mut dyn Rig, context: u64) {
    let first = take(world, rig, context);
    if first.more {
        rig.verify(world, first);
        let last = world.take(context);
        world.check(is_cancelled(&last) && !last.more, "the cancel ends it");
    } else {
        world.check(is_cancelled(&first), "cancelled before it brought anything");
        work_again(world, rig);
    }
    once(world, context);
}

/// Its handle is closed while it waits, and it is posted on a closed handle.
fn handle_closed(bench: &mut Bench, row: &Row, build: Build) {
    for turns in [0, 3] {
        let mut world = bench.world();
        let mut rig = build(&mut world);
        let handle = rig.handle().expect("rows without a handle say so");
        let op = rig.op();
        let (_, context) = world.submit(op);
        world.turns(turns);
        let (_, closing) = world.submit(Op::Close { handle });
        if rig.outlives_close() {
            rig.happen(&mut world);
            let done = take(&mut world, rig.as_mut(), context);
            rig.verify(&mut world, done);
        } else {
            let done = world.take(context);
            if is_cancelled(&done) {
                rig.cancelled(&mut world, done);
            } else {
                world.check(done.result.is_ok(), "an operation on a closing handle is cancelled, or was faster");
                world.check(!row.waits, "what waited for something that did not happen is cancelled");
            }
        }
        let closed = world.take(closing);
        world.equal(closed.result.ok(), Some(0), "the close succeeds");
        world.check(!world.is_open(handle), "the handle is gone");
        once(&mut world, context);

        let op = rig.op();
        let late = world.run(op);
        world.failed(&late, os::EBADF, "posted on a closed handle");
        bench.book(&world);
    }
}

/// The port is dropped with operations in flight, and with completions that nobody has taken.
fn port_dropped(bench: &mut Bench, _: &Row, build: Build) {
    let leaked = leaked_requests();
    for happened in [false, true] {
        let before = open_descriptors();
        let mut world = bench.world();
        let mut rigs: Vec<Box<dyn Rig>> = (0..6).map(|_| build(&mut world)).collect();
        for rig in &mut rigs {
            let op = rig.op();
            world.submit(op);
        }
        world.port.wait(Some(Duration::ZERO)).expect("the port works");
        if happened {
            rigs.iter_mut().for_each(|rig| rig.happen(&mut world));
            world.port.wait(Some(Duration::ZERO)).expect("the port works");
        }
        bench.book(&world);
        drop(world);
        drop(rigs);
        bench.check(leaked_requests() == leaked, "requests were left with the system");
        // The threads that did the work of a driver end by themselves.
        let deadline = Instant::now() + patience();
        while open_descriptors() > before && Instant::now() < deadline {
            std::thread::yield_now();
        }
        bench.check(open_descriptors() <= before, "descriptors were left open");
    }
}

/// Forty of them through a submission queue of one entry and a completion queue of two.
fn queue_full(bench: &mut Bench, _: &Row, build: Build) {
    let mut world = bench.world();
    let mut rigs: Vec<(Box<dyn Rig>, u64)> = Vec::new();
    for _ in 0..repeat(20, 40) {
        let mut rig = build(&mut world);
        let op = rig.op();
        let (_, context) = world.submit(op);
        rigs.push((rig, context));
    }
    for (rig, _) in &mut rigs {
        rig.happen(&mut world);
    }
    for (rig, context) in &mut rigs {
        let done = take(&mut world, rig.as_mut(), *context);
        rig.verify(&mut world, done);
    }
    bench.book(&world);
}
